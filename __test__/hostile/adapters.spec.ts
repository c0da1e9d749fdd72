// Node's and the Web's streams over a File where the system does not play along: short transfers, EIO in the middle, a thread that is terminated.
import test from 'ava';
import { ended, script } from '../drivers';
import { INJECT } from '../support/faults';

/** The adapters by name: what reads a file gives its bytes piece by piece, what writes one takes them. */
const ADAPTERS = `
const { pipeline } = require('node:stream/promises');
const { Readable } = require('node:stream');
const readers = {
  readable: (file, autoClose = false) => file.readable({ highWaterMark: 8192, autoClose }),
  readableStream: (file, autoClose = false) => file.readableStream({ chunkBytes: 8192, autoClose }),
  'readableStream into memory of its reader': async function* (file, autoClose = false) {
    const reader = file.readableStream({ chunkBytes: 8192, autoClose }).getReader({ mode: 'byob' });
    for (;;) {
      const { done, value } = await reader.read(new Uint8Array(5000));
      if (done) return;
      yield value;
    }
  },
};
const writers = {
  writable: (file, pieces, autoClose = false) =>
    pipeline(Readable.from(pieces), file.writable({ chunkBytes: 8192, writeBehind: 3, autoClose })),
  writableStream: (file, pieces, autoClose = false) =>
    ReadableStream.from(pieces).pipeTo(file.writableStream({ chunkBytes: 8192, writeBehind: 3, autoClose })),
};
`;

const HELPERS = `
${ADAPTERS}
const { OPCODE_READ, OPCODE_WRITE } = layout;
const data = bytesOf(300_001);
const source = place();
fs.writeFileSync(source, data);
const pieces = () => Array.from({ length: Math.ceil(data.length / 10_007) }, (_, index) => data.subarray(index * 10_007, (index + 1) * 10_007));
const collect = async (stream, chunks = []) => { for await (const chunk of stream) chunks.push(Buffer.from(chunk)); return chunks; };
/** Has the executor take the memory that it keeps. */
const warm = async (file) => {
  await file.stat();
  await file.readAt(new Uint8Array(10), 0);
};
/** Bytes that no lease and no stream has. */
const free = () => { const { arenaFreeBytes, copyBytes } = Executor.current().stats(); return arenaFreeBytes + copyBytes; };
/** Waits until all memory is back: a stream that has failed gives it back as the kernel lets go of it. */
const freed = async (before) => {
  for (let turn = 0; free() !== before && turn < 5000; turn++) await sleep(1);
  assert.strictEqual(free(), before, 'memory is back');
};
`;
const injected = (body: string) => script(`${INJECT}${HELPERS}${body}`);

test('short reads: every byte once and in order', async (t) => {
  const result = await injected(`
    const file = await File.open(source);
    await warm(file);
    const before = free();
    const next = random(7);
    for (const [name, read] of Object.entries(readers)) {
      for (const plan of [() => 1 + next(9000), () => next(3) === 0 ? 1 : undefined, () => 4095]) {
        inject((number, opcode) => opcode === OPCODE_READ ? plan() : undefined);
        same(Buffer.concat(await collect(read(file))), data, name);
        assert(injected > 10);
        inject();
        await freed(before);
      }
    }
    await file.close();`);
  ended(t, result);
});

test('short writes: every byte once and in order', async (t) => {
  const result = await injected(`
    const path = place();
    const file = await File.open(path, 'w+');
    await warm(file);
    const before = free();
    const next = random(7);
    for (const [name, write] of Object.entries(writers)) {
      for (const plan of [() => 1 + next(9000), () => next(3) === 0 ? 1 : undefined, () => 4095]) {
        await file.truncate();
        inject((number, opcode) => opcode === OPCODE_WRITE ? plan() : undefined);
        await write(file, pieces());
        assert(injected > 3);
        inject();
        same(fs.readFileSync(path), data, name);
        await freed(before);
      }
    }
    await file.close();`);
  ended(t, result);
});

test('EIO in the middle of reading: the bytes before it are right, the stream tells it, all memory is back, and the file is closed if that was asked for', async (t) => {
  const result = await injected(`
    const first = await File.open(source);
    await warm(first);
    await first.close();
    const before = free();
    for (const [name, read] of Object.entries(readers)) {
      for (const at of [0, 1, 7]) {
        for (const autoClose of [false, true]) {
          const file = await File.open(source);
          let reads = 0;
          inject((_, opcode) => opcode === OPCODE_READ && reads++ === at ? -errno.EIO : undefined);
          const chunks = [];
          await assert.rejects(collect(read(file, autoClose), chunks), { code: 'EIO', syscall: 'read', path: source }, name);
          assert.strictEqual(injected, 1);
          inject();
          const bytes = Buffer.concat(chunks);
          assert(bytes.length < data.length);
          same(bytes, data.subarray(0, bytes.length), name);
          await freed(before);
          if (autoClose) for (let turn = 0; file.fd !== -1 && turn < 5000; turn++) await sleep(1);
          assert.strictEqual(file.fd === -1, autoClose, name + ': closed');
          if (!autoClose) same(Buffer.concat(await collect(read(file))), data, 'later it is read as ever');
          await file.close();
          await freed(before);
        }
      }
    }`);
  ended(t, result);
});

test('EIO in the middle of writing: the stream tells it, all memory is back, and the file is closed if that was asked for', async (t) => {
  const result = await injected(`
    const path = place();
    const first = await File.open(path, 'w+');
    await warm(first);
    await first.close();
    const before = free();
    for (const [name, write] of Object.entries(writers)) {
      for (const at of [0, 1, 7]) {
        for (const autoClose of [false, true]) {
          const file = await File.open(path, 'w+');
          let writes = 0;
          inject((_, opcode) => opcode === OPCODE_WRITE && writes++ === at ? -errno.EIO : undefined);
          await assert.rejects(write(file, pieces(), autoClose), { code: 'EIO', syscall: 'write', path }, name);
          assert.strictEqual(injected, 1);
          inject();
          await freed(before);
          if (autoClose) for (let turn = 0; file.fd !== -1 && turn < 5000; turn++) await sleep(1);
          assert.strictEqual(file.fd === -1, autoClose, name + ': closed');
          // The write that failed took place (only its result was another): what is there is of this content, with gaps at most.
          fs.readFileSync(path).forEach((byte, index) => { if (byte !== data[index] && byte !== 0) assert.fail(name + ': byte ' + index); });
          if (!autoClose) {
            await file.truncate();
            await write(file, pieces());
            same(fs.readFileSync(path), data, 'later it is written as ever');
          }
          await file.close();
          await freed(before);
        }
      }
    }`);
  ended(t, result);
});

test('a thread is terminated in the middle of all of them: no descriptor stays, and what is there is what was written', async (t) => {
  const result = await script(`
    const fs = require('node:fs');
    ${ADAPTERS}
    const byteAt = (index) => index % 251 + 1;
    if (!isMainThread) {
      const executor = Executor.start({ memory: 524288 });
      assert(wanted === undefined || executor.driver === wanted);
      const content = Uint8Array.from({ length: 251 * 1000 }, (_, index) => byteAt(index));
      const reading = Object.values(readers).map(async (read) => {
        for (;;) {
          const file = await File.open(workerData + '.source');
          for await (const chunk of read(file, true)) assert(chunk.length > 0);
        }
      });
      const writing = Object.entries(writers).map(async ([name, write]) => {
        const file = await File.open(workerData + '.' + name, 'w');
        async function* pieces() { for (;;) { yield content.subarray(0, 251 * 30); await sleep(0); } }
        await write(file, pieces());
      });
      parentPort.postMessage('running');
      await Promise.all([...reading, ...writing]);
      return;
    }
    const place = __filename + '.adapters';
    fs.writeFileSync(place + '.source', Buffer.alloc(100_000, 7));
    const descriptors = () => fs.readdirSync('/proc/self/fd').length;
    let before;
    for (let round = 0; round < 10; round++) {
      const worker = new Worker(__filename, { workerData: place });
      await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
      for (let turn = 0; turn < round * 20; turn++) await new Promise(setImmediate);
      await worker.terminate();
      for (const name of Object.keys(writers)) {
        // A later chunk may be there while an earlier one is not: a gap of zeros.
        const found = fs.existsSync(place + '.' + name) ? fs.readFileSync(place + '.' + name) : Buffer.alloc(0);
        found.forEach((byte, index) => { if (byte !== byteAt(index) && byte !== 0) assert.fail(name + ': byte ' + index); });
      }
      before ??= descriptors();
    }
    assert(descriptors() <= before, 'descriptors: ' + before + ' -> ' + descriptors());`);
  ended(t, result);
});
