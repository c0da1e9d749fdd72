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

const DROPPED = `
const fs = require('node:fs');
const { getEventListeners } = require('node:events');
const path = __filename + '.data';
const data = Uint8Array.from({ length: 700_001 }, (_, index) => (index * 31 + (index >> 8) * 7) & 0xff);
fs.writeFileSync(path, data);
const executor = Executor.current();
const free = () => { const { leases, arenaFreeBytes } = executor.stats(); return { leases, arenaFreeBytes }; };
/** Collects garbage until it is so; what never comes true fails. */
async function until(isSo, what) {
  for (let rounds = 0; rounds < 1000 && !isSo(); rounds++) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert(isSo(), what + ': ' + JSON.stringify(free()));
}
/** Reads so many chunks, and returns the last without ending the pass. */
async function begun(file, options, count = 1) {
  const chunks = file.stream(options)[Symbol.asyncIterator]();
  for (let at = 1; at < count; at++) await chunks.next();
  return (await chunks.next()).value;
}
/** What is free when no pass is under way; the executor keeps what its first operations took. */
async function idle(file) {
  for await (const _ of file.stream()) break;
  return free();
}
`;
const forgetting = (body: string) => script(`${DROPPED}${body}\nfs.unlinkSync(path);`, ['--expose-gc']);

test('an iterator dropped without return: its memory comes back with its collection, of files with and without the page cache', async (t) => {
  const result = await forgetting(`
    const file = await File.open(path);
    const direct = (await settled(File.open(path, 'r', { direct: true }))).value;
    const before = await idle(file);
    const signals = new AbortController();
    for (const options of [{}, { chunkBytes: 8192 }, { chunkBytes: 8192, readAhead: 16 }, { chunkBytes: 8192, signal: signals.signal }]) {
      for (let each = 0; each < 10; each++) {
        await begun(file, options, 1 + each);
        if (direct !== undefined) await begun(direct, options, 1 + each);
      }
      assert(free().leases > 0, 'the pass still has memory');
      await until(() => free().leases <= before.leases, 'leases');
      assert(free().arenaFreeBytes >= before.arenaFreeBytes);
    }
    assert.deepStrictEqual(getEventListeners(signals.signal, 'abort'), [], 'a signal forgets them');
    // What was dropped hurts nobody.
    let total = 0;
    for await (const chunk of file.stream({ chunkBytes: 8192 })) total += chunk.length;
    assert.strictEqual(total, data.length);
    await direct?.close();
    await file.close();`);
  ended(t, result);
});

test('a lease of a dropped iterator keeps its bytes as long as it is there, and a kernel that has it keeps it longer', async (t) => {
  const result = await forgetting(`
    const file = await File.open(path);
    const before = (await idle(file)).leases;
    let kept = await begun(file, { chunkBytes: 8192, readAhead: 4 }, 3);
    for (let each = 0; each < 20; each++) {
      gc();
      await begun(file, { chunkBytes: 8192 }); // Memory that comes free is used again.
    }
    assert.deepStrictEqual(Buffer.from(kept.bytes), Buffer.from(data.subarray(16_384, 24_576)));
    kept.release();
    kept.release();
    assert.throws(() => kept.bytes, { code: 'ERR_RINGWHEEL_LEASE' });
    await until(() => free().leases <= before, 'released');
    kept = await begun(file);
    await until(() => true, 'again');
    assert.strictEqual(kept.bytes[1], 31);
    kept = undefined;
    await until(() => free().leases <= before, 'collected');
    // A read of a pipe has the lease when nobody else has it any more.
    require('node:child_process').execFileSync('mkfifo', [path + '.pipe']);
    const pipe = await File.open(path + '.pipe', 'r+');
    let reading = (async () => pipe.read(await begun(file, { chunkBytes: 4096 })))();
    for (let rounds = 0; rounds < 50; rounds++) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    assert(free().leases > before, 'the kernel has it');
    const other = executor.lease(4096);
    other.bytes.fill(7);
    fs.writeFileSync(path + '.pipe', Buffer.alloc(4096, 9));
    assert.strictEqual(await reading, 4096);
    assert(other.bytes.every((byte) => byte === 7), 'not in the memory of others');
    other.release();
    reading = undefined;
    await until(() => free().leases <= before, 'after the read');
    fs.unlinkSync(path + '.pipe');
    await pipe.close();
    await file.close();`);
  ended(t, result);
});

test("Node's and the Web's streams that are dropped half read give their memory back, also under a signal that lives on", async (t) => {
  const result = await forgetting(`
    const file = await File.open(path);
    const before = (await idle(file)).leases;
    const { signal } = new AbortController();
    const readers = [
      async () => { for await (const _ of file.readable({ highWaterMark: 4096 }).iterator({ destroyOnReturn: false })) break; },
      async () => { await file.readableStream({ chunkBytes: 4096 }).getReader().read(); },
      async () => { await file.readableStream({ chunkBytes: 4096, signal }).getReader().read(); },
    ];
    for (const [index, reader] of readers.entries()) {
      for (let each = 0; each < 10; each++) await reader();
      assert(free().leases > before, 'they have memory');
      await until(() => free().leases <= before, 'reader ' + index);
    }
    await until(() => getEventListeners(signal, 'abort').length === 0, 'a signal forgets them');
    await file.close();`);
  ended(t, result);
});
