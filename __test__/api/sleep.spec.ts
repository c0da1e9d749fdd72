// sleep: never early, in order, ended by a signal, and what keeps a process alive.
import test from 'ava';
import { sleep } from '../../index';
import { ended, executorOf, script } from '../drivers';

test.serial('a sleep is never early and not much late', async (t) => {
  executorOf(t);
  for (const ms of [0, 1, 2, 5, 10, 20.5, 50]) {
    const before = performance.now();
    await sleep(ms);
    const took = performance.now() - before;
    t.true(took >= ms, `${ms}: ${took}`);
    t.true(took < ms + 250, `${ms}: ${took}`);
  }
});

test('a sleep has no value', async (t) => {
  executorOf(t);
  t.is(await sleep(1), undefined);
  t.is(await sleep(1, {}), undefined);
});

test.serial('sleeps end in the order of their deadlines', async (t) => {
  executorOf(t);
  const order: number[] = [];
  await Promise.all([30, 10, 20, 5, 5].map((ms) => sleep(ms).then(() => order.push(ms))));
  t.deepEqual(order, [5, 5, 10, 20, 30]);
});

test.serial('ten thousand sleeps of 100 ms take about 100 ms', async (t) => {
  executorOf(t);
  const before = performance.now();
  await Promise.all(Array.from({ length: 10_000 }, () => sleep(100)));
  const took = performance.now() - before;
  t.true(took >= 100 && took < 1500, String(took));
});

test('an abort ends a sleep with the signal’s reason, before, during and after', async (t) => {
  executorOf(t);
  const reason = new Error('enough');
  await t.throwsAsync(sleep(1000, { signal: AbortSignal.abort(reason) }), { is: reason });
  const controller = new AbortController();
  const before = performance.now();
  const sleeping = sleep(60_000, { signal: controller.signal });
  setTimeout(() => controller.abort(reason), 10);
  await t.throwsAsync(sleeping, { is: reason });
  t.true(performance.now() - before < 5000);
  const late = new AbortController();
  await sleep(1, { signal: late.signal });
  late.abort();
  t.pass();
});

test('a million aborted sleeps leave no timers', async (t) => {
  const executor = executorOf(t);
  for (let round = 0; round < 20; round++) {
    const controller = new AbortController();
    const sleeping = Array.from({ length: 500 }, () =>
      sleep(30_000, { signal: controller.signal }).catch(() => 'aborted'),
    );
    await sleep(0);
    controller.abort();
    t.true((await Promise.all(sleeping)).every((outcome) => outcome === 'aborted'));
  }
  t.true(executor.stats().timers < 10_100);
});

test('wrong arguments are named with their range', async (t) => {
  executorOf(t);
  const code = 'ERR_RINGWHEEL_INVALID_OPTION';
  for (const ms of [-1, Number.NaN, Number.POSITIVE_INFINITY, '10', undefined, null, 2 ** 60]) {
    await t.throwsAsync(sleep(ms as number), { code, message: /ms must be a number from 0 to / });
  }
  await t.throwsAsync(sleep(1, { reff: true } as object), { code, message: /did you mean 'ref'/ });
  await t.throwsAsync(sleep(1, { ref: 1 as unknown as boolean }), { code, message: /ref must be true or false/ });
});

test('a script whose only statement is a sleep finishes', async (t) => {
  const result = await script(`await sleep(10); console.log('done');`);
  ended(t, result);
  t.is(result.stdout, 'done\n');
});

test('a script with nothing pending exits, whatever it used before', async (t) => {
  const result = await script(`
    const executor = Executor.current();
    assert(wanted === undefined || executor.driver === wanted);
    const file = await File.open(__filename);
    await file.readAt(new Uint8Array(10), 0);
    await sleep(1);
    globalThis.kept = file; // Left open on purpose.
    const before = Date.now();
    process.on('exit', () => assert(Date.now() - before < 5000));`);
  ended(t, result);
});

test('a sleep with ref: false lets the process exit, and one with ref keeps it', async (t) => {
  const before = Date.now();
  const quiet = await script(`sleep(60_000, { ref: false }); process.on('exit', () => console.log('left'));`);
  ended(t, quiet);
  t.is(quiet.stdout, 'left\n');
  t.true(Date.now() - before < 20_000);
  const kept = await script(`sleep(60_000, { ref: false }); await sleep(50); console.log('waited');`);
  ended(t, kept);
  t.is(kept.stdout, 'waited\n');
});

test('an idle process with one sleep wakes a few times, not every millisecond', async (t) => {
  const result = await script(`
    await sleep(1);
    const before = process.cpuUsage(), turns = Executor.current().stats().turns;
    await sleep(1000);
    console.log(Executor.current().stats().turns - turns);`);
  ended(t, result);
  t.true(Number(result.stdout) <= 16, `${result.stdout} turns`); // Two turns a wake-up: prepare and check.
});

test('after a completion that came late the process sleeps again', async (t) => {
  const result = await script(`
    const { execFileSync } = await import('node:child_process');
    const { mkdtempSync, writeFileSync } = await import('node:fs');
    const fifo = mkdtempSync(require('node:os').tmpdir() + '/ringwheel-') + '/fifo';
    execFileSync('mkfifo', [fifo]);
    const file = await File.open(fifo, require('node:fs').constants.O_RDWR);
    const read = file.read(new Uint8Array(8));
    setTimeout(() => writeFileSync(fifo, 'late'), 50);
    if ((await read) !== 4) throw new Error('not 4 bytes');
    const before = Executor.current().stats().turns;
    await new Promise((resolve) => setTimeout(resolve, 500));
    console.log(Executor.current().stats().turns - before);
    await file.close();`);
  ended(t, result);
  t.true(Number(result.stdout) <= 16, `${result.stdout} turns`); // A level that is never reset makes this millions.
});
