// An abort at every moment of an operation: before it, while it waits, while the kernel has it, after it.
import { execFileSync } from 'node:child_process';
import { getEventListeners } from 'node:events';
import test from 'ava';
import { File } from '../../index';
import { ended, executorOf, fileOf, folder, pattern, script } from '../drivers';

const reason = new Error('enough');
let pipes = 0;

/** A pipe that nobody writes to: reads of it wait until they are ended. */
async function silent(): Promise<File> {
  const path = `${folder}/pipe${pipes++}`;
  execFileSync('mkfifo', [path]);
  return File.open(path, 'r+');
}

test.serial('a signal that has aborted starts nothing', async (t) => {
  const executor = executorOf(t);
  await using file = await File.open(fileOf('abc'));
  const before = executor.stats().submitted;
  const signal = AbortSignal.abort(reason);
  using lease = executor.lease(3);
  await t.throwsAsync(file.read(new Uint8Array(3), { signal }), { is: reason });
  await t.throwsAsync(file.read(lease, { position: 0, signal }), { is: reason });
  await t.throwsAsync(file.write('x', { signal }), { is: reason });
  await t.throwsAsync(File.open('/dev/null', 'r', { signal }), { is: reason });
  t.is(executor.stats().submitted, before);
});

test.serial(
  'an abort reaches the kernel: a read that would wait for ever ends, and its lease comes back',
  async (t) => {
    const executor = executorOf(t);
    await using file = await silent();
    using lease = executor.lease(100);
    const controller = new AbortController();
    const reading = file.read(lease, { signal: controller.signal });
    await new Promise((resolve) => setTimeout(resolve, 20));
    t.is(executor.stats().inFlight, 1);
    controller.abort(reason);
    await t.throwsAsync(reading, { is: reason });
    t.is(executor.stats().inFlight, 0);
    t.is(await file.write('data'), 4);
    t.is(await file.read(lease), 4, 'the lease is in our hand again');
  },
);

test.serial('with a plain array an abort rejects at once, and the array is left alone', async (t) => {
  const executor = executorOf(t);
  await using file = await silent();
  const target = new Uint8Array(100);
  const controller = new AbortController();
  const reading = file.read(target, { signal: controller.signal });
  await new Promise((resolve) => setTimeout(resolve, 20));
  controller.abort(reason);
  let settled = false;
  reading.catch(() => {
    settled = true;
  });
  await Promise.resolve();
  await Promise.resolve();
  await Promise.resolve();
  await Promise.resolve();
  t.true(settled, 'before any completion can have come');
  await t.throwsAsync(reading, { is: reason });
  await file.write('late');
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.true(target.every((byte) => byte === 0));
  t.is(executor.stats().inFlight, 0, 'the private range came back');
});

test.serial('an abort in the turn of the call, after the call, and after the result', async (t) => {
  const executor = executorOf(t);
  await using file = await File.open(fileOf(pattern(100_000)));
  for (const make of [() => new Uint8Array(100_000), () => executor.lease(100_000)]) {
    const target = make();
    const length = target.length;
    const same = new AbortController();
    const reading = file.read(target, { position: 0, signal: same.signal });
    same.abort(reason);
    const outcome = await reading.catch((error) => error);
    t.true(outcome === reason || outcome === length, String(outcome));
    const late = new AbortController();
    t.is(await file.read(target, { position: 0, signal: late.signal }), length);
    late.abort(reason);
    const soon = new AbortController();
    const racing = file.read(target, { position: 0, signal: soon.signal });
    setImmediate(() => soon.abort(reason));
    const raced = await racing.catch((error) => error);
    t.true(raced === reason || raced === length, String(raced));
    if ('release' in target) target.release();
  }
});

test.serial('a late abort does not hide a result', async (t) => {
  const executor = executorOf(t);
  await using file = await File.open(fileOf(pattern(4096)));
  using lease = executor.lease(4096);
  const controller = new AbortController();
  const reading = file.read(lease, { position: 0, signal: controller.signal });
  const other = file.readAt(new Uint8Array(10), 0); // Completes in the same turn, is settled in the same call.
  await other;
  controller.abort(reason);
  t.is(await reading, 4096);
});

test.serial('no listener stays on a signal whose operations have settled', async (t) => {
  const executor = executorOf(t);
  await using file = await File.open(fileOf('abc'));
  const { signal } = new AbortController();
  using lease = executor.lease(3);
  await Promise.all([
    file.read(lease, { position: 0, signal }),
    file.read(new Uint8Array(3), { position: 0, signal }),
    file.read(new Uint8Array(3), { position: 1, signal }),
    File.open('/dev/null', 'r', { signal }).then((other) => other.close()),
    t.throwsAsync(file.write('x', { signal }), { code: 'EBADF' }),
  ]);
  t.is(getEventListeners(signal, 'abort').length, 0);
});

test.serial('operations that wait for memory leave the queue when aborted, and the others go on', async (t) => {
  const executor = executorOf(t);
  await using file = await File.open(fileOf(pattern(1000)));
  const hold = new AbortController();
  // More than there is memory for, all in one turn.
  const holders = Array.from({ length: 600 }, () =>
    file.read(new Uint8Array(4096), { position: 0, signal: hold.signal }),
  );
  const ended = Promise.allSettled(holders);
  const queued = new AbortController();
  const given = file.read(new Uint8Array(100), { position: 0, signal: queued.signal });
  const kept = file.readAt(new Uint8Array(100), 0);
  t.true(executor.stats().waiting >= 2);
  queued.abort(reason);
  await t.throwsAsync(given, { is: reason });
  hold.abort(reason);
  for (const outcome of await ended) {
    if (outcome.status === 'rejected') t.is(outcome.reason, reason);
    else t.is(outcome.value, 1000);
  }
  t.is(await kept, 100);
  for (let round = 0; executor.stats().inFlight > 0 && round < 500; round++)
    await new Promise((resolve) => setTimeout(resolve, 10));
  t.is(executor.stats().inFlight, 0, 'the ranges of the aborted ones came back');
  t.is(executor.stats().waiting, 0);
});

test.serial('ten thousand reads aborted at random moments each settle once', async (t) => {
  const executor = executorOf(t);
  await using file = await File.open(fileOf(pattern(65_536)));
  let results = 0;
  let aborts = 0;
  for (let round = 0; round < 20; round++) {
    const controllers = Array.from({ length: 500 }, () => new AbortController());
    const reads = controllers.map(({ signal }, index) =>
      file.read(new Uint8Array(64), { position: index, signal }).then(
        () => results++,
        (error) => {
          t.is(error, reason);
          aborts++;
        },
      ),
    );
    for (const [index, controller] of controllers.entries()) {
      if (index % 3 === 0) controller.abort(reason);
      else if (index % 3 === 1) setImmediate(() => controller.abort(reason));
    }
    await Promise.all(reads);
  }
  t.is(results + aborts, 10_000);
  t.is(executor.stats().pending, 0);
});

test('an open that waits for the other end of a FIFO rejects at once on abort, and does not hold the process', async (t) => {
  const result = await script(`
    const fs = require('node:fs');
    require('node:child_process').execFileSync('mkfifo', [__filename + '.fifo']);
    const controller = new AbortController();
    const opening = settled(File.open(__filename + '.fifo', 'r', { signal: controller.signal }));
    await sleep(20);
    const reason = new Error('enough');
    controller.abort(reason);
    const begun = Date.now();
    assert.strictEqual((await opening).error, reason);
    assert.ok(Date.now() - begun < 1000);
    const writer = fs.openSync(__filename + '.fifo', 'r+'); // Lets a thread of the poll driver's pool go on.
    while (Executor.current().stats().pending > 0) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.strictEqual(Executor.current().stats().files, 0);
    fs.closeSync(writer);`);
  ended(t, result);
});

test("a listener that stops an abort's propagation does not keep it from an operation", async (t) => {
  const result = await script(`
    const { Channel, interval } = ringwheel;
    const { execFileSync } = require('node:child_process');
    const fifo = require('node:path').join(require('node:fs').mkdtempSync('/tmp/ringwheel-'), 'fifo');
    execFileSync('mkfifo', [fifo]);
    const [port] = Channel.pair();
    const waits = {
      sleep: (signal) => sleep(60_000, { signal }),
      receive: (signal) => port.receive({ signal }),
      open: (signal) => File.open(fifo, 'r', { signal }),
      interval: async (signal) => { for await (const _ of interval(60_000, { signal })); },
    };
    for (const [name, begin] of Object.entries(waits)) {
      const abort = new AbortController();
      abort.signal.addEventListener('abort', (event) => event.stopImmediatePropagation());
      const wait = settled(begin(abort.signal));
      await sleep(1);
      abort.abort(new Error('enough'));
      assert.equal((await wait).error?.message, 'enough', name);
    }
    require('node:fs').rmSync(require('node:path').dirname(fifo), { recursive: true });
  `);
  ended(t, result);
});
