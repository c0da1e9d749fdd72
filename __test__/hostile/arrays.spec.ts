// Arrays that are not what they seem: of a class that makes other parts of them than they have, or detached and cut while their bytes are on the way.
// Right bytes or an error, and never a file that is a part of them.
import fs from 'node:fs';
import test from 'ava';
import * as ours from '../../fs';
import { File, readFile, writeFileAtomic } from '../../index';
import { executorOf, fileOf, pattern } from '../drivers';

type Write = (bytes: Uint8Array) => Promise<unknown>;
const none = async (): Promise<void> => {};

async function opened(path: string, flags: string, write: (file: File, bytes: Uint8Array) => Promise<unknown>) {
  const file = await File.open(path, flags);
  return { write: (bytes: Uint8Array) => write(file, bytes), close: () => file.close() };
}

/** All ways to write an array's bytes to the start of a file, by name: what opens it. */
const ways: Record<string, (path: string) => Promise<{ write: Write; close(): Promise<void> }>> = {
  writeAt: (path) => opened(path, 'r+', (file, bytes) => file.writeAt(bytes, 0)),
  write: (path) => opened(path, 'r+', (file, bytes) => file.write(bytes)),
  writev: (path) => opened(path, 'r+', (file, bytes) => file.writev([bytes], 0)),
  append: (path) => opened(path, 'a', (file, bytes) => file.append(bytes)),
  writer: (path) =>
    opened(path, 'r+', async (file, bytes) => {
      const writer = file.writer({ chunkBytes: 65_536 });
      await writer.write(bytes);
      await writer.close();
    }),
  writableStream: (path) =>
    opened(path, 'r+', async (file, bytes) => {
      const writer = file.writableStream().getWriter();
      await writer.write(bytes);
      await writer.close();
    }),
  writeFileAtomic: async (path) => ({ write: (bytes) => writeFileAtomic(path, bytes), close: none }),
  writeFile: async (path) => ({ write: (bytes) => ours.writeFile(path, bytes), close: none }),
  appendFile: async (path) => ({ write: (bytes) => ours.appendFile(path, bytes), close: none }),
  'FileHandle.writeFile': async (path) => {
    const handle = await ours.open(path, 'r+');
    return { write: (bytes) => handle.writeFile(bytes), close: () => handle.close() };
  },
};

/** What is in a file afterwards. */
async function written(name: string, bytes: Uint8Array): Promise<Buffer> {
  const path = fileOf('');
  const { write, close } = await ways[name](path);
  await write(bytes);
  await close();
  const found = fs.readFileSync(path);
  fs.unlinkSync(path);
  return found;
}

const other = new Uint8Array(6_000_000).fill(0x58);
/** Its parts are others' bytes, and more of them, if somebody asks its species. */
class Liar extends Uint8Array {
  static get [Symbol.species](): Uint8ArrayConstructor {
    return ((_: unknown, __: number, length: number) => other.subarray(0, Math.min(other.length, 2 * length))) as never;
  }
}

test.serial('the class of an array has no say in which bytes are written', async (t) => {
  executorOf(t);
  for (const length of [1000, 300_000, 3_000_001]) {
    const bytes = pattern(length);
    const liar = new Liar(length);
    liar.set(bytes);
    for (const name of Object.keys(ways)) t.is((await written(name, liar)).compare(bytes), 0, `${name}, ${length}`);
  }
});

test.serial('nor in which path is meant, also where it waits for memory', async (t) => {
  const executor = executorOf(t);
  const path = fileOf('found');
  const bytes = Liar.from(Buffer.from(path));
  const lease = executor.lease(4096);
  lease.bytes.fill(3);
  t.is(Buffer.from(await readFile(bytes)).toString(), 'found');
  await over(bytes, async (file) => t.is(await file.size(), 5));
  // More of them than there is memory for calls.
  const stats = await Promise.all(Array.from({ length: 3000 }, () => ours.stat(bytes as Buffer)));
  t.true(stats.every(({ size }) => size === 5));
  t.deepEqual(await ours.readFile(bytes as Buffer, 'utf8'), 'found');
  t.true(lease.bytes.every((byte) => byte === 3));
  lease.release();
});

async function over(path: Uint8Array, work: (file: File) => Promise<unknown>): Promise<void> {
  const file = await File.open(path);
  await work(file);
  await file.close();
}

test.serial('nor have properties of its own', async (t) => {
  executorOf(t);
  const bytes = pattern(3_000_001);
  const names = ['length', 'byteLength', 'byteOffset', 'buffer'] as const;
  const lies = [7, 7, 9, new ArrayBuffer(9)];
  names.forEach((name, index) => {
    Object.defineProperty(bytes, name, { value: lies[index] });
  });
  const truth = pattern(3_000_001);
  for (const name of Object.keys(ways)) t.is((await written(name, bytes)).compare(truth), 0, name);
});

const LENGTH = 12 << 20;
type Resizable = { resize(length: number): void };
const ResizableBuffer = ArrayBuffer as unknown as new (length: number, options: object) => ArrayBuffer & Resizable;

test.serial('what was detached or cut on its way is never said to be written whole', async (t) => {
  executorOf(t);
  for (const end of ['detached', 'cut', 'cut, and tracking']) {
    for (const [name, open] of Object.entries(ways)) {
      if (name === 'writableStream') continue; // What waits in its queue is the Web's, and is looked at when it comes out.
      for (const turns of [0, 2]) {
        const buffer = new ResizableBuffer(LENGTH, end === 'detached' ? {} : { maxByteLength: LENGTH });
        const bytes = end === 'cut, and tracking' ? new Uint8Array(buffer) : new Uint8Array(buffer, 0, LENGTH);
        const path = fileOf('old');
        const { write, close } = await open(path);
        const writing = write(bytes).then(
          (moved) => ({ moved, error: undefined }),
          (error) => ({ moved: undefined, error }),
        );
        for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
        if (end === 'detached') structuredClone(buffer, { transfer: [buffer] });
        else buffer.resize(1000);
        const { moved, error } = await writing;
        await close();
        const { size } = fs.statSync(path);
        const what = `${name}, ${end}, ${turns}: ${error ?? moved}, ${size}`;
        if (error !== undefined) t.is(error.code, 'ERR_RINGWHEEL_BUFFER', what);
        else if (moved === undefined) t.true(size >= LENGTH, what);
        else t.is(moved, name === 'append' ? size - 3 : size, what);
        if (name === 'writeFileAtomic') t.is(fs.readFileSync(path, 'latin1'), 'old', what);
        fs.unlinkSync(path);
      }
    }
  }
});
