// One file from begin to end, read or written, every way that node, bun, deno and ringwheel have. Each returns what it used.
import fs from 'node:fs';
import fsp from 'node:fs/promises';
import { begin, end } from '../reads/meter.mjs';
import { Checked, checkWritten, chunks, writtenBytes } from './content.mjs';

const MIB = 2 ** 20;

/** Measures a reader, a function that hands each piece to `take`. The first `warm` bytes of a smaller file make the code hot. */
const reading = (read) => async (given) => {
  const { file, size, warmFile, warmSize } = given;
  for (const [path, bytes, measured] of [
    [warmFile, warmSize, false],
    [file, size, true],
  ]) {
    const checked = new Checked();
    if (measured) begin();
    await read(path, (piece) => checked.add(piece), given);
    if (!measured) continue;
    const used = end();
    checked.end(bytes);
    return used;
  }
};

/** Measures a writer: the file is new, and checked when it is whole. */
const writing = (write) => async (given) => {
  const { target, size, warmSize } = given;
  for (const [bytes, measured] of [
    [warmSize, false],
    [size, true],
  ]) {
    const data = write.whole ? wholeOf(bytes) : undefined;
    if (measured) begin();
    await write(target, bytes, given, data);
    const used = measured ? end() : undefined;
    checkWritten(target, bytes);
    fs.rmSync(target);
    if (used !== undefined) return used;
  }
};

/** Everything at once: made before the measured time. */
function wholeOf(size) {
  const source = writtenBytes();
  const whole = new Uint8Array(size);
  for (let at = 0; at < size; at += source.length)
    whole.set(source.subarray(0, Math.min(source.length, size - at)), at);
  return whole;
}

const whole = (write) => Object.assign((path, _size, given, data) => write(path, data, given), { whole: true });

const readStream = (chunkBytes) =>
  reading(async (path, take) => {
    for await (const piece of fs.createReadStream(path, { highWaterMark: chunkBytes })) take(piece);
  });

const writeStream = (chunkBytes) =>
  writing(async (path, size) => {
    const stream = fs.createWriteStream(path, { highWaterMark: chunkBytes });
    for (const chunk of chunks(size, chunkBytes)) {
      if (!stream.write(chunk)) await new Promise((resolve) => stream.once('drain', resolve));
    }
    await new Promise((resolve, reject) => stream.once('error', reject).end(resolve));
  });

export const read = {
  'createReadStream 64 KiB': readStream(65_536),
  'createReadStream 1 MiB': readStream(MIB),
  'FileHandle.read 1 MiB': reading(async (path, take) => {
    const handle = await fsp.open(path);
    const target = new Uint8Array(MIB);
    for (let bytesRead; ; take(target.subarray(0, bytesRead))) {
      ({ bytesRead } = await handle.read(target, 0, MIB, null));
      if (bytesRead === 0) break;
    }
    await handle.close();
  }),
  'readSync 1 MiB': reading((path, take) => {
    const descriptor = fs.openSync(path);
    const target = new Uint8Array(MIB);
    for (let bytes; ; take(target.subarray(0, bytes))) {
      bytes = fs.readSync(descriptor, target, 0, MIB, null);
      if (bytes === 0) break;
    }
    fs.closeSync(descriptor);
  }),
  'bun stream': reading(async (path, take) => {
    for await (const piece of Bun.file(path).stream()) take(piece);
  }),
  'deno stream': reading(async (path, take) => {
    for await (const piece of (await Deno.open(path)).readable) take(piece);
  }),
  ringwheel: reading(async (path, take, { ringwheel }) => {
    const { File } = await import(ringwheel);
    const opened = await File.open(path);
    for await (const chunk of opened.stream()) take(chunk.bytes);
    await opened.close();
  }),
  /** Two leases in turn: the next is read while this one is looked at. */
  'ringwheel readAt 1 MiB': reading(async (path, take, { ringwheel }) => {
    const { Executor, File } = await import(ringwheel);
    const leases = [0, 1].map(() => Executor.current().lease(MIB));
    const opened = await File.open(path);
    const next = (turn) => opened.readAt(leases[turn & 1], turn * MIB);
    let pending = next(0);
    for (let turn = 0; ; turn++) {
      const bytes = await pending;
      if (bytes === 0) break;
      pending = next(turn + 1);
      take(leases[turn & 1].bytes.subarray(0, bytes));
    }
    await opened.close();
    for (const lease of leases) lease.release();
  }),
};

export const write = {
  'createWriteStream 64 KiB': writeStream(65_536),
  'createWriteStream 1 MiB': writeStream(MIB),
  'FileHandle.write 1 MiB': writing(async (path, size) => {
    const handle = await fsp.open(path, 'w');
    for (const chunk of chunks(size, MIB)) {
      const { bytesWritten } = await handle.write(chunk);
      if (bytesWritten !== chunk.length) throw new Error(`a write took ${bytesWritten} bytes of ${chunk.length}`);
    }
    await handle.close();
  }),
  'writeSync 1 MiB': writing((path, size) => {
    const descriptor = fs.openSync(path, 'w');
    for (const chunk of chunks(size, MIB)) fs.writeSync(descriptor, chunk);
    fs.closeSync(descriptor);
  }),
  'bun writer': writing(async (path, size) => {
    const writer = Bun.file(path).writer({ highWaterMark: MIB });
    for (const chunk of chunks(size, MIB)) {
      writer.write(chunk);
      await writer.flush();
    }
    await writer.end();
  }),
  'deno write 1 MiB': writing(async (path, size) => {
    const opened = await Deno.open(path, { write: true, create: true, truncate: true });
    for (const chunk of chunks(size, MIB)) {
      const bytes = await opened.write(chunk);
      if (bytes !== chunk.length) throw new Error(`a write took ${bytes} bytes of ${chunk.length}`);
    }
    opened.close();
  }),
  ringwheel: writing(async (path, size, { ringwheel }) => {
    const { File } = await import(ringwheel);
    const opened = await File.open(path, 'w');
    const writer = opened.writer();
    for (const chunk of chunks(size, MIB)) await writer.write(chunk);
    await writer.close();
    await opened.close();
  }),
  /** Two leases in turn: the next is filled while this one is written. */
  'ringwheel writeAt 1 MiB leases': writing(async (path, size, { ringwheel }) => {
    const { Executor, File } = await import(ringwheel);
    const leases = [0, 1].map(() => Executor.current().lease(MIB));
    const opened = await File.open(path, 'w');
    const pending = [0, 0];
    let written = 0;
    let at = 0;
    for (const chunk of chunks(size, MIB)) {
      const turn = (at / MIB) & 1;
      written += await pending[turn];
      leases[turn].bytes.set(chunk);
      pending[turn] = opened.writeAt(leases[turn], at);
      at += chunk.length;
    }
    for (const last of pending) written += await last;
    if (written !== size) throw new Error(`the writes took ${written} bytes of ${size}`);
    await opened.close();
    for (const lease of leases) lease.release();
  }),
  'ringwheel writeAt 1 MiB': writing(async (path, size, { ringwheel }) => {
    const { File } = await import(ringwheel);
    const opened = await File.open(path, 'w');
    let at = 0;
    for (const chunk of chunks(size, MIB)) {
      const bytes = await opened.writeAt(chunk, at);
      if (bytes !== chunk.length) throw new Error(`a write took ${bytes} bytes of ${chunk.length}`);
      at += bytes;
    }
    await opened.close();
  }),
};

const wholeRead = (readAll) =>
  reading(async (path, take, given) => {
    take(await readAll(path, given));
  });

/** `ringwheel/fs`, beside the entry of the package. */
const fsOf = async ({ ringwheel }) => (await import(new URL('fs.mjs', ringwheel))).default;

export const readWhole = {
  ringwheel: wholeRead(async (path, given) => (await fsOf(given)).readFile(path)),
  'ringwheel readAll': wholeRead(async (path, { ringwheel }) => {
    const { File } = await import(ringwheel);
    const opened = await File.open(path);
    const bytes = await opened.readAll();
    await opened.close();
    return bytes;
  }),
  'fs.promises': wholeRead((path) => fsp.readFile(path)),
  'fs.readFile': wholeRead(
    (path) =>
      new Promise((resolve, reject) => {
        fs.readFile(path, (error, bytes) => (error ? reject(error) : resolve(bytes)));
      }),
  ),
  readFileSync: wholeRead((path) => fs.readFileSync(path)),
  'bun bytes': wholeRead((path) => Bun.file(path).bytes()),
  'bun fs.promises': wholeRead((path) => fsp.readFile(path)),
  'deno readFile': wholeRead((path) => Deno.readFile(path)),
};

export const writeWhole = {
  ringwheel: writing(whole(async (path, data, given) => (await fsOf(given)).writeFile(path, data))),
  'fs.promises': writing(whole((path, data) => fsp.writeFile(path, data))),
  writeFileSync: writing(whole((path, data) => fs.writeFileSync(path, data))),
  'bun write': writing(whole((path, data) => Bun.write(path, data))),
  'bun fs.promises': writing(whole((path, data) => fsp.writeFile(path, data))),
  'deno writeFile': writing(whole((path, data) => Deno.writeFile(path, data))),
};
