// Memory of whole files that is read into again: never while anybody holds it, and never with a byte of who had it before.
import { join } from 'node:path';
import test from 'ava';
import { ended, script } from '../drivers';
import { root } from '../support/command';

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
