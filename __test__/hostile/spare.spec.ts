// Memory of whole files: read into again never while anybody holds it, and never with a byte of who had it before; freed with a worker never
// while another thread holds it.
import { join } from 'node:path';
import test from 'ava';
import { ended, script } from '../drivers';
import { root } from '../support/command';

const TRANSFER = ['--expose-gc', ...('transfer' in ArrayBuffer.prototype ? [] : ['--harmony-rab-gsab-transfer'])];
const READ = `
const { readFile } = require(${JSON.stringify(join(root, 'dist/fs.js'))});
const { writeFileSync, rmSync } = require('node:fs');
const make = (name, size, byte) => (writeFileSync(__filename + name, Buffer.alloc(size, byte)), __filename + name);
const long = make('long', 1_000_000, 1), short = make('short', 600_000, 2);
const is = (bytes, size, byte) => assert(bytes.length === size && Buffer.alloc(size, byte).equals(bytes));
// Collects until what this thread let go of was given back, which Node does some turns later.
const collected = async (there) => {
  for (let round = 0; round < 1000 && !there(); round++) {
    globalThis.gc();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert(there(), JSON.stringify(executor.stats()));
};
const readAndForget = async (path, size, byte) => is(await readFile(path), size, byte);
`;

test('memory is read into again once nobody holds it, and shows the new file only', async (t) => {
  const result = await script(
    `const executor = Executor.start({ spareMemory: 4_000_000 });
    ${READ}
    const held = await readFile(long);
    const copied = structuredClone(await readFile(long));
    for (let round = 0; round < 5; round++) await readAndForget(long, 1_000_000, 1);
    await collected(() => executor.stats().spareBytes > 0);
    const before = executor.stats().parcelsReused;
    const again = await readFile(short);
    is(again, 600_000, 2);
    assert.strictEqual(again.buffer.byteLength, 600_000, 'no byte behind the file is shown');
    assert.strictEqual(executor.stats().parcelsReused, before + 1);
    is(await readFile(long), 1_000_000, 1);
    is(held, 1_000_000, 1);
    is(Buffer.from(copied), 1_000_000, 1);
    held.fill(9); // It is this thread's own.
    for (let round = 0; round < 20; round++) await readAndForget(short, 600_000, 2);
    globalThis.gc();
    assert(held.every((byte) => byte === 9));
    await collected(() => executor.stats().spareBytes > 0);
    const { spareBytes, spareBytesMax } = executor.stats();
    assert(spareBytesMax === 4_000_000 && spareBytes <= spareBytesMax, String(spareBytes));
    rmSync(long), rmSync(short);`,
    ['--expose-gc'],
  );
  ended(t, result);
});

test('what outlives its executor keeps its bytes and is freed on its own', async (t) => {
  const result = await script(
    `let executor = Executor.start({});
    ${READ}
    let held = await Promise.all(Array.from({ length: 8 }, () => readFile(long)));
    let gone = 0;
    const registry = new FinalizationRegistry(() => gone++); // Held here: one that is collected itself tells nothing.
    for (const bytes of held) registry.register(bytes);
    await executor.close();
    for (const bytes of held) is(bytes, 1_000_000, 1);
    executor = Executor.start({});
    is(await readFile(short), 600_000, 2);
    for (const bytes of held) is(bytes, 1_000_000, 1);
    held = undefined;
    await collected(() => gone > 0);
    registry.unregister({});
    await executor.close();
    rmSync(long), rmSync(short);`,
    ['--expose-gc'],
  );
  ended(t, result);
});

test('with spareMemory 0 nothing is kept, and what it may be is checked', async (t) => {
  const result = await script(
    `for (const spareMemory of [-1, 0.5, 2 ** 30 + 1, '1'])
      assert.throws(() => Executor.start({ spareMemory }), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
    const executor = Executor.start({ spareMemory: 0 });
    ${READ}
    for (let round = 0; round < 20; round++) {
      await readAndForget(long, 1_000_000, 1);
      globalThis.gc();
    }
    const { parcels, parcelsReused, spareBytes, spareBytesMax } = executor.stats();
    assert.deepStrictEqual([parcels, parcelsReused, spareBytes, spareBytesMax], [20, 0, 0, 0]);
    rmSync(long), rmSync(short);`,
    ['--expose-gc'],
  );
  ended(t, result);
});

test('memory that a script moved out of a worker outlives the worker, and what it did not move does not', async (t) => {
  const result = await script(
    `
    const { readFileSync, rmSync } = require('node:fs');
    const { readFile } = require(${JSON.stringify(join(root, 'dist/fs.js'))});
    if (!isMainThread) {
      const { path, collects } = workerData;
      const move = ({ buffer }) => [buffer.transfer(), assert.strictEqual(buffer.byteLength, 0)][0]; // Even an external buffer allows that.
      const moved = move(await readFile(path));
      const kept = await readFile(path); // Ends with the worker.
      const again = await readFile(path);
      if (collects) globalThis.gc();
      parentPort.postMessage({ moved, length: kept.length + again.length }, [moved]);
      return void setInterval(() => {}, 1000);
    }
    const path = __filename + '.whole';
    require('node:fs').writeFileSync(path, Buffer.alloc(1_000_000, 1));
    const held = [];
    for (let round = 0; round < 8; round++) {
      const worker = new Worker(__filename, { workerData: { path, collects: round % 2 === 0 } });
      held.push(await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject)));
      await worker.terminate();
    }
    // Whoever allocates now gets what was freed.
    const others = Array.from({ length: 40 }, () => readFileSync(path).fill(7));
    for (const { moved, length } of held) {
      assert.strictEqual(length, 2_000_000);
      assert(Buffer.alloc(1_000_000, 1).equals(Buffer.from(moved)), 'it was freed with the worker');
    }
    assert(others.every((bytes) => bytes[999_999] === 7));
    rmSync(path);`,
    TRANSFER,
  );
  ended(t, result);
});

test('buffers that are live, collected or moved within the worker end with it', async (t) => {
  const result = await script(
    `
    const { writeFileSync, rmSync } = require('node:fs');
    const { readFile } = require(${JSON.stringify(join(root, 'dist/fs.js'))});
    if (!isMainThread) {
      const live = await Promise.all(Array.from({ length: 8 }, () => readFile(workerData)));
      await Promise.all(Array.from({ length: 8 }, () => readFile(workerData)));
      live[0].buffer.transfer();
      globalThis.gc();
      await Executor.current().close();
      parentPort.postMessage(live.length);
      return process.exit();
    }
    const path = __filename + '.whole';
    writeFileSync(path, Buffer.alloc(1_000_000, 1));
    const resident = () => process.memoryUsage.rss();
    let before = 0;
    for (let round = 0; round < 16; round++) {
      const worker = new Worker(__filename, { workerData: path });
      assert.strictEqual(await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject)), 8);
      await new Promise((resolve) => worker.once('exit', resolve));
      if (round === 5) before = resident();
    }
    // Seven live ones of 1 MB in each of ten workers would be 70 MB more; the one that was moved may stay.
    assert(resident() - before < 50e6, String(resident() - before));
    rmSync(path);`,
    TRANSFER,
  );
  ended(t, result);
});
