// file.stream() and writeFileAtomic where the system does not play along: short reads, EIO, full disks, an executor or a thread that ends
// in the middle.
import { join } from 'node:path';
import test from 'ava';
import { ended, folder, script } from '../drivers';
import { INJECT, smallDiskFor, under } from '../support/faults';

const HELPERS = `
const { OPCODE_READ, OPCODE_WRITE } = layout;
const { writeFileAtomic } = ringwheel;
const data = bytesOf(700_001);
const source = place();
fs.writeFileSync(source, data);
async function collect(file, options) {
  const chunks = [];
  for await (const chunk of file.stream(options)) chunks.push(Buffer.from(chunk.bytes));
  return Buffer.concat(chunks);
}
const free = () => { const { leases, arenaFreeBytes } = Executor.current().stats(); return { leases, arenaFreeBytes }; };
`;
const injected = (body: string) => script(`${INJECT}${HELPERS}${body}`);

test('short reads, at random or all of them: every byte once and in order', async (t) => {
  const result = await injected(`
    const file = await File.open(source);
    await collect(file);
    const before = free();
    const next = random(7);
    for (const plan of [() => 1 + next(9000), () => next(3) === 0 ? 1 : undefined, () => 4095]) {
      for (const readAhead of [0, 1, 8]) {
        inject((number, opcode) => opcode === OPCODE_READ ? plan() : undefined);
        same(await collect(file, { chunkBytes: 8192, readAhead, start: 3 }), data.subarray(3), 'short reads');
        assert(injected > 10);
        inject();
      }
    }
    assert.deepStrictEqual(free(), before);
    await file.close();`);
  ended(t, result);
});

test('an error in the middle: what came before was handed out, the loop throws, all memory is back', async (t) => {
  const result = await injected(`
    let file = await File.open(source);
    await collect(file);
    const before = free();
    for (const at of [0, 1, 7]) {
      inject((number) => number === at ? -errno.EIO : undefined);
      let total = 0;
      await assert.rejects(async () => {
        for await (const chunk of file.stream({ chunkBytes: 4096 })) {
          same(chunk.bytes, data.subarray(total, total + chunk.length), 'before the error');
          total += chunk.length;
        }
      }, { code: 'EIO', syscall: 'read', path: source });
      assert.strictEqual(total, at * 4096);
      inject();
      await file.close(); // Reads under way have ended.
      assert.deepStrictEqual(free(), before);
      file = await File.open(source);
    }
    same(await collect(file), data, 'later it goes on as ever');
    await file.close();`);
  ended(t, result);
});

test('the executor is closed in the middle of a loop, with chunks out and reads under way', async (t) => {
  const result = await injected(`
    for (const after of [1, 2, 5]) {
      const executor = Executor.current();
      const file = await File.open(source);
      let chunks = 0, kept;
      await assert.rejects(async () => {
        for await (const chunk of file.stream({ chunkBytes: 4096, readAhead: 8 })) {
          kept = chunk;
          if (++chunks === after) {
            if (after === 2) void executor.close();
            else await executor.close();
          }
        }
      }, { code: 'ERR_RINGWHEEL_CLOSED' });
      assert.strictEqual(chunks, after);
      kept.release();
      await executor.close();
    }`);
  ended(t, result);
});

test('a thread is terminated in the middle of streams, and in the middle of atomic writes', async (t) => {
  const result = await script(`
    if (isMainThread) {
      const fs = require('node:fs');
      const directory = __filename + '.d';
      fs.mkdirSync(directory);
      const old = Buffer.alloc(300_000, 'a'), fresh = Buffer.alloc(400_000, 'b');
      fs.writeFileSync(directory + '/file', old);
      for (let round = 0; round < 6; round++) {
        const worker = new Worker(__filename, { workerData: directory });
        await new Promise((resolve) => worker.once('message', resolve));
        for (let turn = 0; turn < round * 5; turn++) await new Promise(setImmediate);
        await worker.terminate();
        const found = fs.readFileSync(directory + '/file');
        assert([old, fresh].some((content) => Buffer.compare(content, found) === 0), 'half a file: ' + found.length);
      }
      fs.rmSync(directory, { recursive: true });
    } else {
      const { writeFileAtomic } = ringwheel;
      const path = workerData + '/file';
      const file = await File.open(__filename);
      parentPort.postMessage('running');
      const read = async () => { for (;;) for await (const chunk of file.stream({ chunkBytes: 100 })) assert(chunk.length > 0); };
      const write = async () => { for (;;) await writeFileAtomic(path, Buffer.alloc(400_000, 'b')); };
      await Promise.all([read(), read(), write()]);
    }`);
  ended(t, result);
});

test('an atomic write that meets EIO, EINTR or short writes replaces the file whole or not at all', async (t) => {
  const result = await injected(`
    const directory = place();
    fs.mkdirSync(directory);
    const path = directory + '/file';
    const old = Buffer.from('old');
    const next = random(5);
    for (const [plan, fine] of [[() => -errno.EIO, false], [(number) => number >= 2 ? -errno.ENOSPC : undefined, false], [() => 1 + next(90_000), true]]) {
      fs.writeFileSync(path, old);
      inject((number, opcode) => opcode === OPCODE_WRITE ? plan(number) : undefined);
      const { error } = await settled(writeFileAtomic(path, data));
      inject();
      assert.strictEqual(error === undefined, fine, String(error));
      if (!fine) assert.deepStrictEqual([error.syscall, error.path], ['write', path]);
      same(fs.readFileSync(path), fine ? data : old, 'whole');
      assert.deepStrictEqual(fs.readdirSync(directory), ['file']);
    }
    const lease = Executor.current().lease(100_000);
    lease.bytes.set(data.subarray(0, 100_000));
    inject((number, opcode) => opcode === OPCODE_WRITE ? 30_000 : undefined);
    await writeFileAtomic(path, lease);
    same(fs.readFileSync(path), data.subarray(0, 100_000), 'of a lease');`);
  ended(t, result);
});

test('an atomic write on a full disk says ENOSPC, keeps the old file and leaves nothing', async (t) => {
  const disk = join(folder, 'atomic-disk');
  const command = smallDiskFor(t, disk);
  if (command === undefined) return;
  const result = await under(
    command,
    `
    ${HELPERS}
    const disk = ${JSON.stringify(disk)};
    fs.writeFileSync(disk + '/file', data.subarray(0, 500_000));
    await assert.rejects(writeFileAtomic(disk + '/file', data), { code: 'ENOSPC', syscall: 'write', path: disk + '/file' });
    assert.deepStrictEqual(fs.readdirSync(disk), ['file']);
    same(fs.readFileSync(disk + '/file'), data.subarray(0, 500_000), 'the old one');
    await writeFileAtomic(disk + '/file', data.subarray(0, 400_000));
    same(fs.readFileSync(disk + '/file'), data.subarray(0, 400_000), 'the new one');`,
  );
  ended(t, result);
});
