// What was handed to a call that has to wait for it: leases that go back meanwhile, arrays that say another length than they have, lists that change
// while they are read, descriptors for a message that is never sent.
import { join } from 'node:path';
import test from 'ava';
import { ended, folder, script } from '../drivers';
import { root } from '../support/command';

const HELPERS = `
const fs = require('node:fs');
const executor = Executor.current();
let count = 0;
const place = () => ${JSON.stringify(folder)} + '/handed-' + process.pid + '-' + count++;
const bytesOf = (length, seed = 1) => Uint8Array.from({ length }, (_, index) => (index * 31 + (index >> 8) * 7 + seed) & 0xff);
const same = (found, wanted, what) => assert(Buffer.compare(Buffer.from(found), Buffer.from(wanted)) === 0, what + ': other bytes');
`;
const run = (body: string) => script(`${HELPERS}${body}`, ['--expose-gc']);

test('a writer has the leases that wait for room, whoever releases them or takes them back', async (t) => {
  const result = await run(`
    const [from, to] = [place(), place()];
    const data = bytesOf(1_000_003);
    fs.writeFileSync(from, data);
    const [source, target] = [await File.open(from), await File.open(to, 'w+')];
    const free = () => executor.stats().arenaFreeBytes + executor.stats().copyBytes;
    // A stream takes back what it gave, and nobody awaits the writes.
    let writer = target.writer({ chunkBytes: 65_536, writeBehind: 1 });
    let writes = [];
    for await (const chunk of source.stream({ chunkBytes: 20_000 })) writes.push(writer.write(chunk));
    await Promise.all(writes);
    await writer.close();
    same(fs.readFileSync(to), data, 'of a stream');
    const before = free(); // With what the executor keeps for copies.
    // Released at once: the next lease has the same memory.
    await target.truncate();
    writer = target.writer({ chunkBytes: 4096, writeBehind: 1 });
    writes = [];
    for (let number = 0; number < 500; number++) {
      const lease = executor.lease(1000);
      lease.bytes.fill(number);
      writes.push(writer.write(lease));
      lease.release();
      assert.throws(() => lease.bytes, { code: 'ERR_RINGWHEEL_LEASE' });
    }
    await Promise.all(writes);
    await writer.close();
    same(fs.readFileSync(to), Buffer.concat(Array.from({ length: 500 }, (_, number) => Buffer.alloc(1000, number))), 'released');
    // One that waits is in one hand, and comes back with the promise; with an error, too.
    writer = target.writer({ chunkBytes: 4096, writeBehind: 1 });
    const lease = executor.lease(60_000);
    const writing = writer.write(lease);
    assert.strictEqual((await settled(target.writeAt(lease, 0))).error.code, 'ERR_RINGWHEEL_LEASE');
    await writing;
    await target.writeAt(lease, 0);
    const lost = settled(writer.write(lease));
    writer.destroy('enough');
    assert.strictEqual((await lost).error, 'enough');
    assert.strictEqual(lease.bytes.length, 60_000);
    await settled(writer.close());
    await target.writeAt(lease, 0);
    lease.release();
    await source.close();
    await target.close();
    assert.strictEqual(free(), before, 'all memory is back');
    await executor.close();`);
  ended(t, result);
});

test('writeFileAtomic and writableStream() write what an array has, not what it says', async (t) => {
  const result = await run(`
    const { writeFileAtomic } = ringwheel;
    const path = place();
    const real = bytesOf(100);
    const liar = (name, value) => Object.defineProperty(real.slice(), name, { value });
    const foreign = require('node:vm').runInNewContext('Uint8Array').from(real);
    for (const data of [liar('length', 0), liar('length', 7), liar('length', 200), foreign]) {
      fs.writeFileSync(path, 'old');
      await writeFileAtomic(path, data);
      same(fs.readFileSync(path), real, 'atomic');
    }
    for (const chunk of [liar('byteLength', 1), liar('byteOffset', 50), liar('buffer', new ArrayBuffer(3)), foreign, foreign.buffer]) {
      const file = await File.open(path, 'w');
      const writer = file.writableStream().getWriter();
      await writer.write(chunk);
      await writer.close();
      await file.close();
      same(fs.readFileSync(path), real, 'stream');
    }
    await executor.close();`);
  ended(t, result);
});

test('readMany reads the length of its ranges once, and plans for no more than it can', async (t) => {
  const result = await run(`
    const path = place();
    const data = bytesOf(100_000);
    fs.writeFileSync(path, data);
    const file = await File.open(path);
    const real = Array.from({ length: 200 }, (_, index) => ({ position: index * 400, length: 100 }));
    const lengths = (...said) => new Proxy(real, {
      get: (target, name, self) => name === 'length' ? (said.length > 1 ? said.shift() : said[0]) : Reflect.get(target, name, self),
    });
    for (const [first, later] of [[1, 200], [200, 1], [0, 200], [200, 0]]) {
      const batch = await file.readMany(lengths(first, later));
      assert.strictEqual(batch.length, first);
      for (let index = 0; index < first; index++) same(batch.view(index), data.subarray(index * 400, index * 400 + 100), 'range ' + index);
      batch.release();
    }
    for (const ranges of [lengths(-1), lengths(1.5), lengths(NaN), lengths(2 ** 40), new Array(2 ** 32 - 1), new Array(2 ** 24 + 1)]) {
      const { error } = await settled(file.readMany(ranges));
      assert.strictEqual(error.code, 'ERR_RINGWHEEL_INVALID_OPTION');
    }
    await file.close();
    await executor.close();`);
  ended(t, result);
});

test('a handle for a message that cannot be sent leaves no descriptor behind, and stays as it is', async (t) => {
  const result = await run(`
    const { MessageChannel } = require('node:worker_threads');
    const { open } = require(${JSON.stringify(join(root, 'dist/fs.js'))});
    const path = place();
    fs.writeFileSync(path, 'hello');
    const descriptors = () => fs.readdirSync('/proc/self/fd').length;
    await (await open(path)).close();
    const before = process.platform === 'linux' ? descriptors() : 0;
    process.on('warning', (warning) => { throw warning; });
    const { port1, port2 } = new MessageChannel();
    for (let round = 0; round < 20; round++) {
      const handle = await open(path);
      assert.throws(() => port1.postMessage({ handle, not: () => {} }, [handle]), { name: 'DataCloneError' });
      assert.throws(() => port1.postMessage({ handle }, [handle, handle]), { name: 'DataCloneError' });
      assert.strictEqual((await handle.read(Buffer.alloc(9), 0, 9, 0)).bytesRead, 5);
      // What is sent is not closed here.
      const { moved } = structuredClone({ moved: handle }, { transfer: [handle] });
      await sleep(0);
      assert.strictEqual(await moved.readFile('utf8'), 'hello');
      await moved.close();
    }
    await sleep(1);
    if (process.platform === 'linux') assert.strictEqual(descriptors(), before);
    global.gc();
    await sleep(1);
    port1.close();
    port2.close();
    await executor.close();`);
  ended(t, result);
});

test('a handle whose transfer a program has put its own in the place of does not end the process', async (t) => {
  const result = await run(`
    const { MessageChannel } = require('node:worker_threads');
    const { open } = require(${JSON.stringify(join(root, 'dist/fs.js'))});
    const handle = await open(__filename);
    let transfer;
    for (let of = handle; of !== null; of = Object.getPrototypeOf(of)) {
      transfer ??= Object.getOwnPropertySymbols(of).find(({ description }) => description === 'messaging_transfer_symbol');
    }
    assert.strictEqual(typeof transfer, 'symbol');
    handle[transfer] = () => ({ data: 1, deserializeInfo: 'none:None' });
    const { port1, port2 } = new MessageChannel();
    const refused = require('node:events').once(port2, 'messageerror');
    port1.postMessage(handle, [handle]);
    await refused;
    const other = await open(__filename);
    other[transfer] = () => { throw new Error('not today'); };
    assert.throws(() => port1.postMessage(other, [other]), { message: 'not today' });
    await sleep(1);
    await other.close();
    port1.close();
    port2.close();
    await handle.close();
    await executor.close();`);
  ended(t, result);
});
