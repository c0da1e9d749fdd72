// class Executor: one per thread, options, leases, statistics, close.
import test from 'ava';
import { ERROR_CODES, Executor, File, Lease, RingwheelError, sleep } from '../../index';
import { ended, executorOf, fileOf, pattern, script } from '../drivers';

const code = 'ERR_RINGWHEEL_INVALID_OPTION';

test.serial('current is one per thread, and start refuses a second', async (t) => {
  const executor = executorOf(t);
  t.is(Executor.current(), executor);
  const error = t.throws(() => Executor.start(), {
    code: 'ERR_RINGWHEEL_EXECUTOR_RUNNING',
    instanceOf: RingwheelError,
  });
  t.regex(error.message, /Executor\.current\(\)/);
});

test.serial('options are checked once, each error naming value and range', async (t) => {
  await executorOf(t).close();
  const start = (options: object) => () => Executor.start(options);
  t.throws(start({ entires: 8 }), { code, message: /unknown option 'entires' \(did you mean 'entries'\?\)/ });
  t.throws(start({ entries: 100 }), { code, message: /entries must be a power of two from 8 to 32768; got 100/ });
  t.throws(start({ memory: 5000 }), { code, message: /memory must be a multiple of 4096/ });
  t.throws(start({ driver: 'epoll' }), { code, message: /driver must be one of 'auto', 'uring', 'poll'; got 'epoll'/ });
  t.throws(start({ sqpoll: { idle: 1 } }), { code, message: /unknown option 'sqpoll.idle'/ });
  t.throws(start({ sqpoll: true }), { code, message: /sqpoll must be false, or an object/ });
  t.throws(start(5 as unknown as object), { code, message: /options must be an object/ });
  t.throws(start(null as unknown as object), { code });
});

test.serial('an executor can be started again after close, with other options', async (t) => {
  await Executor.current().close();
  for (let round = 0; round < 5; round++) {
    await using executor = Executor.start({ memory: 65_536, entries: 8 });
    t.is(executor.stats().arenaBytes, 65_536);
    await sleep(1);
    await using file = await File.open(fileOf('abc'));
    t.is(await file.readAt(new Uint8Array(3), 0), 3);
  }
  executorOf(t);
});

test.serial('close rejects sleeps, awaits reads, closes files, ends leases', async (t) => {
  const executor = executorOf(t);
  const file = await File.open(fileOf(pattern(100_000)));
  const lease = executor.lease(4096);
  const view = lease.bytes;
  const sleeping = t.throwsAsync(sleep(60_000), { code: 'ERR_RINGWHEEL_CLOSED' });
  const reading = file.readAt(new Uint8Array(100_000), 0);
  const closing = executor.close();
  t.is(executor.close(), closing);
  t.throws(() => executor.lease(1), { code: 'ERR_RINGWHEEL_CLOSED' });
  await t.throwsAsync(file.readAt(lease, 0), { code: 'ERR_RINGWHEEL_CLOSED' });
  await closing;
  await sleeping;
  t.is(await reading, 100_000);
  t.is(view.length, 0, 'a view of a lease is empty after close');
  t.is(file.fd, -1);
  await file.close();
  lease.release();
  t.throws(() => executor.stats(), { code: 'ERR_RINGWHEEL_CLOSED' });
});

test.serial('leases are ranges of the arena, and one too many names the limit', async (t) => {
  const executor = executorOf(t);
  const { arenaBytes } = executor.stats();
  const error = t.throws(() => executor.lease(arenaBytes + 1), { code: 'ERR_RINGWHEEL_NO_MEMORY' });
  t.regex(error.message, new RegExp(`of the arena's ${arenaBytes} bytes are free`));
  const leases: Lease[] = [];
  t.throws(
    () => {
      for (;;) leases.push(executor.lease(65_536));
    },
    { code: 'ERR_RINGWHEEL_NO_MEMORY' },
  );
  t.true(leases.length >= arenaBytes / 65_536 - 2);
  const ranges = leases.map(({ bytes }) => bytes.byteOffset).sort((one, other) => one - other);
  t.true(
    ranges.every((offset, index) => index === 0 || offset - ranges[index - 1] >= 65_536),
    'no two overlap',
  );
  // Plain arrays are read all the same: one range is kept for them.
  await using file = await File.open(fileOf(pattern(300_000)));
  const target = new Uint8Array(300_000);
  t.is(await file.readAt(target, 0), 300_000);
  t.deepEqual(Buffer.compare(target, pattern(300_000)), 0);
  for (const lease of leases) lease.release();
  executor.lease(arenaBytes / 2).release();
  for (const wrong of [0, -1, 1.5, '5', undefined, Number.NaN]) {
    t.throws(() => executor.lease(wrong as number), { code, message: /bytes must be a whole number/ });
  }
});

test.serial('a lease is in one hand: not in two operations, not after release', async (t) => {
  const executor = executorOf(t);
  await using file = await File.open(fileOf(pattern(10_000)));
  const lease = executor.lease(4096);
  const first = file.readAt(lease, 0);
  await t.throwsAsync(file.readAt(lease, 0), { code: 'ERR_RINGWHEEL_LEASE', message: /in use by another operation/ });
  await t.throwsAsync(file.write(lease), { code: 'ERR_RINGWHEEL_LEASE' });
  t.is(await first, 4096);
  const second = file.readAt(lease, 100);
  lease.release(); // While the kernel has it: given back when that ends.
  lease.release();
  t.throws(() => lease.bytes, { code: 'ERR_RINGWHEEL_LEASE' });
  t.is(await second, 4096);
  await t.throwsAsync(file.readAt(lease, 0), { code: 'ERR_RINGWHEEL_LEASE', message: /was released/ });
  t.is(lease.length, 4096);
  t.throws(() => new (Lease as unknown as new () => Lease)(), { code });
});

test.serial('stats count, and come back to rest', async (t) => {
  const executor = executorOf(t);
  const before = executor.stats();
  await using file = await File.open(fileOf('abc'));
  await Promise.all(Array.from({ length: 50 }, () => file.readAt(new Uint8Array(3), 0)));
  const after = executor.stats();
  t.is(after.submitted - before.submitted, 51);
  t.is(after.completed - before.completed, 51);
  t.is(after.inFlight, 0);
  t.is(after.pending, 0);
  t.is(after.files - before.files, 1);
  t.is(after.rejects, 0);
  t.true(after.callbacks - before.callbacks <= 10, 'one call a turn, not one a read');
  t.true(after.enters - before.enters <= 10, 'one system call a turn');
});

test.serial('latencies are of one operation in 64, by kind, and in order', async (t) => {
  const executor = executorOf(t);
  await using file = await File.open(fileOf('abc'), 'r+');
  const before = executor.latencies();
  for (let round = 0; round < 320; round++) await file.readAt(new Uint8Array(3), 0);
  await Promise.all(Array.from({ length: 320 }, () => file.writeAt(new Uint8Array(3), 0)));
  const { read, write } = executor.latencies();
  for (const [now, then] of [
    [read, before.read],
    [write, before.write],
  ]) {
    if (now === undefined) return t.fail('a kind was not timed');
    const samples = now.samples - (then?.samples ?? 0);
    t.true(samples >= 2 && samples <= 11, `${samples} of 320`);
    const { minUs, p50Us, p90Us, p99Us, p999Us, maxUs, meanUs } = now;
    const order = [minUs, p50Us, p90Us, p99Us, p999Us, maxUs];
    t.deepEqual(
      order,
      [...order].sort((one, other) => one - other),
    );
    t.true(minUs > 0 && meanUs >= minUs && meanUs <= maxUs, JSON.stringify(now));
  }
});

test('RINGWHEEL_DRIVER is honoured, and a bad value is a clear error', async (t) => {
  const bad = await script(
    `assert.throws(() => Executor.current(), { code: 'ERR_RINGWHEEL_INVALID_OPTION', message: /RINGWHEEL_DRIVER must be auto, uring or poll; got 'epoll'/ });`,
    [],
    { RINGWHEEL_DRIVER: 'epoll' },
  );
  ended(t, bad);
  const poll = await script(`assert.strictEqual(Executor.current().driver, 'poll');`, [], { RINGWHEEL_DRIVER: 'poll' });
  ended(t, poll);
  const option = await script(`assert.strictEqual(Executor.start({ driver: 'poll' }).driver, 'poll');`, [], {
    RINGWHEEL_DRIVER: 'uring',
  });
  ended(t, option);
});

test('on a host without libuv the error says so', async (t) => {
  const result = await script(`
    Object.defineProperty(process.versions, 'bun', { value: '1.2.0' });
    assert.throws(() => Executor.current(), { code: 'ERR_RINGWHEEL_UNSUPPORTED_HOST', message: /Bun/ });
    await assert.rejects(File.open('x'), { code: 'ERR_RINGWHEEL_UNSUPPORTED_HOST' });
    const server = await ringwheel.FileServer.start({ root: __dirname, port: 0, cores: 1 });
    await server.close();`);
  ended(t, result);
});

test('both module systems share one executor', async (t) => {
  const result = await script(`
    const { pathToFileURL } = require('node:url');
    const esm = await import(pathToFileURL(require.resolve(${JSON.stringify(`${__dirname}/../../dist/index.js`)}).replace('index.js', 'index.mjs')));
    assert.strictEqual(esm.Executor, Executor);
    assert.strictEqual(esm.Executor.current(), Executor.current());
    assert.deepStrictEqual(Object.keys(esm).filter((name) => !['default', 'module.exports', '__esModule'].includes(name)).sort(), Object.keys(ringwheel).sort());`);
  ended(t, result);
});

test('where external memory is refused everything works by copies', async (t) => {
  const result = await script(
    `
    const fs = require('node:fs');
    const executor = Executor.current();
    const path = __filename + '.data';
    const bytes = Uint8Array.from({ length: 700_000 }, (_, index) => index * 13);
    const file = await File.open(path, 'w+');
    assert.strictEqual(await file.writeAt(bytes, 0), bytes.length);
    const target = new Uint8Array(bytes.length);
    assert.strictEqual(await file.readAt(target, 0), bytes.length);
    assert.strictEqual(Buffer.compare(target, bytes), 0);
    const lease = executor.lease(5000);
    assert.strictEqual(await file.readAt(lease, 7), 5000);
    assert.strictEqual(Buffer.compare(lease.bytes, bytes.subarray(7, 5007)), 0);
    lease.bytes.fill(9);
    assert.strictEqual(await file.writeAt(lease, 100_000), 5000);
    assert.strictEqual(await file.read(target, { position: 100_000, signal: new AbortController().signal }), 600_000);
    assert(target.subarray(0, 5000).every((byte) => byte === 9));
    assert.strictEqual((await file.stat()).size, bytes.length);
    await file.close();
    const view = lease.bytes;
    await executor.close();
    assert.strictEqual(view.length, 0);
    fs.unlinkSync(path);`,
    [],
    { RINGWHEEL_COPIES: '1' },
  );
  ended(t, result);
});

test('without external memory, releases in flight and a moved arena end each operation for itself', async (t) => {
  const result = await script(
    `
    const file = await File.open(__filename + '.out', 'w+');
    await file.writeAt(Buffer.alloc(10_000, 7), 0);
    const executor = Executor.current();
    for (const method of ['readAt', 'writeAt', 'read', 'write']) {
      const lease = executor.lease(4096);
      const done = file[method](lease, method.endsWith('At') ? 0 : { position: 0 });
      lease.release();
      assert.strictEqual(await done, 4096, method);
    }
    const lease = executor.lease(4096);
    const all = [file.readAt(lease, 0), file.readAt(new Uint8Array(100), 0), file.readAt(new Uint8Array(900_000), 0), file.stat()].map(settled);
    structuredClone(lease.bytes.buffer, { transfer: [lease.bytes.buffer] });
    all.push(settled(file.writeAt(new Uint8Array(100), 0)), settled(file.stat()));
    for (const { error } of await Promise.all(all)) assert.strictEqual(error?.code, 'ERR_RINGWHEEL_BUFFER');
    assert.throws(() => executor.lease(4096), { code: 'ERR_RINGWHEEL_BUFFER' });
    await file.close();
    await executor.close();`,
    [],
    { RINGWHEEL_COPIES: '1' },
  );
  ended(t, result);
});

test('every code has a sentence, and RingwheelError is known by its brand', (t) => {
  for (const [name, sentence] of Object.entries(ERROR_CODES)) {
    t.regex(name, /^ERR_RINGWHEEL_[A-Z_]+$/);
    t.true(sentence.length > 20);
  }
  t.false(new Error('x') instanceof RingwheelError);
  const foreign = Object.assign(new Error('of another copy'), { [Symbol.for('ringwheel.error')]: true });
  t.true(foreign instanceof RingwheelError);
});
