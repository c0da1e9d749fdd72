// What a script may do to its arrays while operations run: it hurts its own view, never the process (INV-2).
import { readFileSync } from 'node:fs';
import test from 'ava';
import { Executor, File } from '../../index';
import { ended, executorOf, fileOf, pattern, script } from '../drivers';

/** Takes an array's memory away, as postMessage with a transfer list does. */
function detach(array: Uint8Array): void {
  structuredClone(array.buffer, { transfer: [array.buffer as ArrayBuffer] });
}

test('a target detached while a read runs gets an error, and the executor lives on', async (t) => {
  executorOf(t);
  await using file = await File.open(fileOf(pattern(1_000_000)));
  for (const length of [10, 4096, 200_000, 1_000_000]) {
    const target = new Uint8Array(length);
    const reading = file.readAt(target, 0);
    detach(target);
    await t.throwsAsync(reading, { code: 'ERR_RINGWHEEL_BUFFER', message: /detached or shrank/ });
    t.is(target.length, 0);
    t.is(await file.readAt(new Uint8Array(length), 0), length);
  }
});

test('a target that shrinks while a read runs gets an error; one that grows gets its bytes', async (t) => {
  executorOf(t);
  await using file = await File.open(fileOf(pattern(10_000)));
  const Resizable = ArrayBuffer as unknown as new (
    length: number,
    options: object,
  ) => ArrayBuffer & { resize(length: number): void };
  const shrinking = new Resizable(8192, { maxByteLength: 16_384 });
  const reading = file.readAt(new Uint8Array(shrinking), 0);
  shrinking.resize(10);
  await t.throwsAsync(reading, { code: 'ERR_RINGWHEEL_BUFFER' });
  const growing = new Resizable(100, { maxByteLength: 16_384 });
  const read = file.readAt(new Uint8Array(growing), 5);
  growing.resize(16_384);
  t.is(await read, 100);
  t.deepEqual([...new Uint8Array(growing, 0, 100)], [...pattern(10_000).subarray(5, 105)]);
});

test('a SharedArrayBuffer is a target and a source like any other', async (t) => {
  executorOf(t);
  const path = fileOf(pattern(300_000));
  await using file = await File.open(path, 'r+');
  const target = new Uint8Array(new SharedArrayBuffer(300_000));
  t.is(await file.readAt(target, 0), 300_000);
  t.is(Buffer.compare(Buffer.from(target), pattern(300_000)), 0);
  t.is(await file.writeAt(target.subarray(0, 5000), 300_000), 5000);
  t.is(await file.size(), 305_000);
});

test('a source detached or changed after the call does not change what is written', async (t) => {
  executorOf(t);
  const path = fileOf('');
  await using file = await File.open(path, 'r+');
  const source = Uint8Array.from([1, 2, 3, 4]);
  const writing = file.writeAt(source, 0);
  source.fill(9);
  detach(source);
  t.is(await writing, 4);
  const back = new Uint8Array(4);
  await file.readAt(back, 0);
  t.deepEqual([...back], [1, 2, 3, 4]);
  const long = new Uint8Array(1_000_000).fill(7);
  const slow = file.writeAt(long, 0);
  detach(long);
  const outcome = await slow.then(
    (length) => length,
    (error: NodeJS.ErrnoException) => error.code,
  );
  t.true(
    outcome === 'ERR_RINGWHEEL_BUFFER' ||
      outcome === 1_000_000 ||
      (typeof outcome === 'number' && outcome % 4096 === 0),
    String(outcome),
  );
  if (typeof outcome === 'number')
    t.true(
      readFileSync(path)
        .subarray(0, outcome)
        .every((byte) => byte === 7),
    );
});

test('an array already detached, or of no bytes by its buffer’s size, moves nothing', async (t) => {
  executorOf(t);
  await using file = await File.open(fileOf('abc'), 'r+');
  const target = new Uint8Array(3);
  detach(target);
  t.is(await file.readAt(target, 0), 0);
  t.is(await file.writeAt(target, 0), 0);
});

test('arrays with lying getters are taken by their real bytes', async (t) => {
  executorOf(t);
  await using file = await File.open(fileOf(pattern(100)));
  const target = new Uint8Array(8);
  Object.defineProperty(target, 'length', { value: 1 << 30 });
  const outcome = await file.readAt(target, 0).then(
    (length) => length,
    (error: NodeJS.ErrnoException) => error.code,
  );
  t.true(outcome === 'ERR_RINGWHEEL_BUFFER' || outcome === 8, String(outcome));
});

test('the arena’s own buffer cannot be transferred away; detached all the same, calls fail with errors', async (t) => {
  const result = await script(`
    const executor = Executor.current();
    const lease = executor.lease(4096);
    const arena = lease.bytes.buffer;
    try { structuredClone(arena, { transfer: [arena] }); } catch {}
    if (arena.byteLength > 0 && arena.transfer) arena.transfer();
    const file = await File.open(__filename, 'r+');
    for (const call of [() => file.readAt(lease, 0), () => file.readAt(new Uint8Array(10), 0), () => file.writeAt(new Uint8Array(1), 0), () => file.stat(), () => file.readAt(new Uint8Array(1e6), 0)]) await settled(call());
    await settled(executor.close());
    await sleep(1);
    assert.notStrictEqual(Executor.current(), executor);`);
  ended(t, result);
});

test('leases and files that are collected while operations run hurt nobody', async (t) => {
  const result = await script(
    `
    const executor = Executor.current();
    const path = __filename;
    const warnings = [];
    process.on('warning', (warning) => { if (warning.code === 'RINGWHEEL_FILE_NOT_CLOSED') warnings.push(warning); });
    for (let round = 0; round < 200; round++) {
      const file = await File.open(path);
      let lease = executor.lease(4096);
      file.readAt(lease, 0).catch(() => {}); // The promise, the lease and the file are all forgotten.
      file.readAt(new Uint8Array(100), 0).catch(() => {});
      lease.release();
      if (round % 20 === 0) globalThis.gc();
      await 0;
    }
    for (let round = 0; round < 20; round++) { globalThis.gc(); await sleep(5); }
    assert(executor.stats().files < 10, 'forgotten files are closed: ' + executor.stats().files);
    assert(executor.stats().forgotten > 100, 'and counted: ' + executor.stats().forgotten);
    assert.strictEqual(warnings.length, 1, 'and that is told once');
    assert.match(warnings[0].message, /^(A ringwheel File, '.+', was|\\d+ ringwheel Files, one of them '.+', were) collected/);`,
    ['--expose-gc', '--no-warnings'],
  );
  ended(t, result);
});

test('an executor that nobody refers to goes on while operations run', async (t) => {
  const result = await script(
    `
    const file = await File.open(__filename);
    const reads = Array.from({ length: 100 }, () => file.readAt(new Uint8Array(10), 0));
    globalThis.gc();
    assert.deepStrictEqual(new Set(await Promise.all(reads)), new Set([10]));
    await file.close();`,
    ['--expose-gc'],
  );
  ended(t, result);
});

test('values of other threads’ clones are refused as what they are', async (t) => {
  executorOf(t);
  await using file = await File.open(fileOf('x'));
  const clone = structuredClone({ lease: {} });
  await t.throwsAsync(file.readAt(clone.lease as Uint8Array, 0), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
  using lease = Executor.current().lease(10);
  await t.throwsAsync(file.readAt(new Proxy(lease, {}), 0), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
  await t.throwsAsync(file.readAt(Object.create(lease), 0), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
});
