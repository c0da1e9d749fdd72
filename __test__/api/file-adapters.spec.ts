// readable(), writable(), readableStream(), writableStream(): every byte once and in order, backpressure, memory that comes back however a stream ends.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import test, { type ExecutionContext } from 'ava';
import { type Executor, File, type ReadableOptions } from '../../index';
import { ended, executorOf, fileOf, folder, pattern, script } from '../drivers';

/** Bytes that no lease, stream and writer has. */
const free = (executor: Executor): number => {
  const { arenaFreeBytes, copyBytes } = executor.stats();
  return arenaFreeBytes + copyBytes;
};
const turn = () => new Promise(setImmediate);
/** All memory is back, once the kernel has let go of reads that were under way. */
const back = async (t: ExecutionContext, executor: Executor, before: number) => {
  for (let turns = 0; turns < 5000 && free(executor) < before; turns++) await turn();
  t.true(free(executor) >= before);
};
const same = (t: ExecutionContext, found: Uint8Array, expected: Uint8Array) =>
  t.is(Buffer.compare(found, expected), 0, `${found.length} of ${expected.length} bytes`);
const closed = (stream: { once(event: 'close', then: () => void): unknown }) =>
  new Promise<void>((resolve) => stream.once('close', resolve));

const SIZE = 1_000_003;
const bytes = pattern(SIZE);

// What is kept for calls and copies from the first one on is no leak.
test.before(async (t) => {
  executorOf(t);
  await using file = await File.open(fileOf('warm'), 'r+');
  for await (const chunk of file.stream()) t.is(chunk.length, 4);
  await file.writeAt(new Uint8Array(10), 0);
});

for (const options of [
  {},
  { highWaterMark: 777, end: 20_000 },
  { start: 5, end: 5 },
  { start: 999_990 },
  { start: SIZE + 1 },
  { start: 10, end: 3 },
  { highWaterMark: 2 ** 26 },
] satisfies ReadableOptions[]) {
  test.serial(`readable(${JSON.stringify(options)}) gives what fs.createReadStream does`, async (t) => {
    const executor = executorOf(t);
    const path = fileOf(bytes);
    const file = await File.open(path);
    const before = free(executor);
    const found: Buffer[] = [];
    for await (const chunk of file.readable(options)) {
      t.true(chunk.length <= (options.highWaterMark ?? 262_144));
      found.push(chunk);
    }
    const { start = 0, end = SIZE - 1 } = options;
    same(t, Buffer.concat(found), bytes.subarray(start, Math.max(start, end + 1)));
    await back(t, executor, before);
    t.not(file.fd, -1, 'who opened it closes it');
    await file.close();
  });
}

test.serial('readable: encodings, read(n), events, and the file closed with autoClose', async (t) => {
  executorOf(t);
  const text = '€äöü'.repeat(1000);
  const file = await File.open(fileOf(text));
  let found = '';
  for await (const chunk of file.readable({ encoding: 'utf8', highWaterMark: 7 })) {
    t.is(typeof chunk, 'string');
    found += chunk;
  }
  t.is(found, text);
  const stream = file.readable({ autoClose: true });
  await new Promise((resolve) => stream.once('readable', resolve));
  t.is(stream.read(6).toString(), '€ä'.slice(0, 1) + 'äö'.slice(0, 0) + Buffer.from(text).subarray(3, 6).toString());
  stream.resume();
  await closed(stream);
  t.is(file.fd, -1);
});

test.serial('readable: a slow reader is waited for', async (t) => {
  const executor = executorOf(t);
  const file = await File.open(fileOf(bytes));
  const before = free(executor);
  const stream = file.readable({ highWaterMark: 4096 });
  await new Promise((resolve) => stream.once('readable', resolve));
  for (let turns = 0; turns < 30; turns++) await turn();
  t.true(stream.readableLength <= 2 * 4096, `${stream.readableLength} bytes`);
  t.true(before - free(executor) <= 6 * 4096);
  stream.destroy();
  await closed(stream);
  await back(t, executor, before);
  await file.close();
});

for (const how of ['destroy', 'error', 'signal', 'break']) {
  test.serial(`readable: ${how} in the middle gives everything back`, async (t) => {
    const executor = executorOf(t);
    const before = free(executor);
    for (const after of [0, 1, 5]) {
      const file = await File.open(fileOf(bytes));
      const ending = new AbortController();
      const stream = file.readable({ highWaterMark: 8192, autoClose: after === 1, signal: ending.signal });
      const reason = new Error('mine');
      const reading = async () => {
        let chunks = 0;
        for await (const chunk of stream) {
          t.true(chunk.length > 0);
          if (++chunks <= after) continue;
          if (how === 'break') break;
          if (how === 'signal') ending.abort(reason);
          else stream.destroy(how === 'error' ? reason : undefined);
        }
      };
      const ends = closed(stream);
      if (how === 'break') await reading();
      else if (how === 'error') await t.throwsAsync(reading(), { is: reason });
      else if (how === 'signal') await t.throwsAsync(reading(), { name: 'AbortError' });
      else await t.throwsAsync(reading(), { code: 'ERR_STREAM_PREMATURE_CLOSE' });
      await ends;
      await back(t, executor, before);
      t.is(file.fd === -1, after === 1);
      await file.close();
    }
  });
}

test.serial('readable: what waits on a pipe is ended, and errors are the stream’s', async (t) => {
  const executor = executorOf(t);
  const path = join(folder, 'adapters.fifo');
  execFileSync('mkfifo', [path]);
  const end = fs.openSync(path, 'r+');
  const pipe = await File.open(path);
  const before = free(executor);
  const stream = pipe.readable();
  fs.writeSync(end, 'some');
  t.is((await new Promise<Buffer>((resolve) => stream.once('data', resolve))).toString(), 'some');
  await turn();
  stream.destroy();
  await closed(stream);
  await back(t, executor, before);
  const web = pipe.readableStream();
  const reader = web.getReader();
  const waiting = reader.read();
  await turn();
  await reader.cancel();
  t.deepEqual(await waiting, { done: true, value: undefined });
  await pipe.close();
  fs.closeSync(end);
  await using written = await File.open(fileOf('x'), 'w');
  const refused = await t.throwsAsync(Readable.from(written.readable()).toArray(), { code: 'EBADF' });
  t.is((refused as NodeJS.ErrnoException).syscall, 'read');
  await t.throwsAsync(written.readableStream({ autoClose: true }).getReader().read(), { code: 'EBADF' });
  t.is(written.fd, -1);
  t.throws(() => written.readable(), { code: 'ERR_RINGWHEEL_CLOSED' });
});

test.serial('writable: pieces, strings of encodings, a start; finish tells that all is written', async (t) => {
  const executor = executorOf(t);
  const path = fileOf('12345');
  const file = await File.open(path, 'r+');
  const before = free(executor);
  const stream = file.writable({ start: 3, encoding: 'latin1', flush: true });
  stream.write('ä');
  stream.write('c3b6', 'hex');
  for (let done = 0; done < SIZE; done += 1000) {
    if (!stream.write(bytes.subarray(done, done + 1000))) await new Promise((resolve) => stream.once('drain', resolve));
  }
  await new Promise<void>((resolve) => stream.end(new Uint8Array([7]), resolve));
  same(
    t,
    fs.readFileSync(path),
    Buffer.concat([Buffer.from('123ä', 'latin1'), Buffer.from('ö'), bytes, Buffer.from([7])]),
  );
  await closed(stream);
  await back(t, executor, before);
  const last = file.writable({ autoClose: true });
  last.end();
  await closed(last);
  t.is(file.fd, -1);
});

test.serial('writable: a pipe that is full stops its source, and destroy ends what waits', async (t) => {
  const executor = executorOf(t);
  const path = join(folder, 'full.fifo');
  execFileSync('mkfifo', [path]);
  const end = fs.openSync(path, 'r+');
  const pipe = await File.open(path, 'r+');
  const before = free(executor);
  const stream = pipe.writable({ chunkBytes: 4096, highWaterMark: 10_000 });
  let given = 0;
  while (given < 2_000_000 && stream.write(bytes.subarray(0, 5000))) {
    given += 5000;
    await turn();
  }
  t.true(given < 200_000, `${given} bytes`);
  const lost = new Promise<Error>((resolve) => stream.once('error', resolve));
  const ends = closed(stream);
  stream.destroy(new Error('mine'));
  t.is((await lost).message, 'mine');
  await ends;
  await back(t, executor, before);
  const web = pipe.writableStream({ chunkBytes: 4096 });
  const writer = web.getWriter();
  const writes = [writer.write(bytes), writer.write('x')];
  await turn();
  await Promise.all([writer.abort(new Error('enough')), ...writes.map((each) => t.throwsAsync(each))]);
  await back(t, executor, before);
  await pipe.close();
  fs.closeSync(end);
});

test.serial('writable and writableStream: an error in the background ends the stream at once', async (t) => {
  const executor = executorOf(t);
  const file = await File.open('/dev/full', 'w');
  const before = free(executor);
  const stream = file.writable({ chunkBytes: 100 });
  const error = new Promise<NodeJS.ErrnoException>((resolve) => stream.once('error', resolve));
  const ends = closed(stream);
  stream.write(new Uint8Array(100));
  t.is((await error).code, 'ENOSPC');
  await ends;
  const writer = file.writableStream({ chunkBytes: 100 }).getWriter();
  await writer.write(new Uint8Array(100));
  await t.throwsAsync(writer.closed, { code: 'ENOSPC' });
  await t.throwsAsync(pipeline(Readable.from([Buffer.alloc(50)]), file.writable()), { code: 'ENOSPC' });
  await back(t, executor, before);
  await file.close();
});

test.serial('readableStream: chunks of its own, a reader’s memory, cancel', async (t) => {
  const executor = executorOf(t);
  const file = await File.open(fileOf(bytes));
  const before = free(executor);
  const found: Buffer[] = [];
  for await (const chunk of file.readableStream({ chunkBytes: 10_000, start: 3 })) found.push(Buffer.from(chunk));
  same(t, Buffer.concat(found), bytes.subarray(3));
  const mixed = file.readableStream({ chunkBytes: 4096, end: 100_000 });
  const parts: Buffer[] = [];
  let memory: Uint8Array = new Uint8Array(1500);
  for (;;) {
    const reader = mixed.getReader({ mode: 'byob' });
    const { done, value } = await reader.read(memory);
    if (done) break;
    t.true(value.length > 0 && value.length <= 1500);
    parts.push(Buffer.from(value));
    memory = new Uint8Array(value.buffer);
    reader.releaseLock();
    const plain = mixed.getReader();
    const next = await plain.read();
    if (next.value !== undefined) parts.push(Buffer.from(next.value));
    plain.releaseLock();
  }
  same(t, Buffer.concat(parts), bytes.subarray(0, 100_000));
  await back(t, executor, before);
  const cancelled = file.readableStream({ autoClose: true });
  const reader = cancelled.getReader();
  await reader.read();
  await reader.cancel('enough');
  t.is(file.fd, -1);
  await back(t, executor, before);
});

test.serial('readableStream: a signal errors it with its reason', async (t) => {
  const executor = executorOf(t);
  const file = await File.open(fileOf(bytes));
  const before = free(executor);
  const reason = new Error('mine');
  for (const early of [true, false]) {
    const ending = new AbortController();
    if (early) ending.abort(reason);
    const reader = file.readableStream({ chunkBytes: 4096, signal: ending.signal }).getReader();
    if (!early) {
      await reader.read();
      ending.abort(reason);
    }
    await t.throwsAsync(reader.read(), { is: reason });
    await back(t, executor, before);
  }
  await file.close();
});

test.serial('writableStream: bytes in all forms, leases, strings; wrong ones end it; a signal too', async (t) => {
  const executor = executorOf(t);
  const path = fileOf('');
  const file = await File.open(path, 'w');
  const before = free(executor);
  const writer = file.writableStream({ flush: true }).getWriter();
  await writer.write('ä');
  await writer.write(new Uint8Array([1, 2]).buffer);
  await writer.write(new DataView(new ArrayBuffer(5), 1, 3));
  await writer.write(new Uint16Array([0x0403]));
  const lease = executor.lease(100_000);
  lease.bytes.fill(9);
  await writer.write(lease);
  lease.release();
  await writer.close();
  const expected = [Buffer.from('ä'), Buffer.from([1, 2, 0, 0, 0, 3, 4]), Buffer.alloc(100_000, 9)];
  same(t, fs.readFileSync(path), Buffer.concat(expected));
  const wrong = file.writableStream({ position: 0 }).getWriter();
  await t.throwsAsync(wrong.write(5 as never), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
  await t.throwsAsync(wrong.closed, { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
  const ending = new AbortController();
  const aborted = file.writableStream({ autoClose: true, signal: ending.signal }).getWriter();
  await aborted.write('x');
  ending.abort(new Error('mine'));
  await t.throwsAsync(aborted.closed, { message: 'mine' });
  await file.close();
  await back(t, executor, before);
});

test.serial('wrong options are refused', async (t) => {
  executorOf(t);
  await using file = await File.open(fileOf('x'), 'r+');
  const wrong = { code: 'ERR_RINGWHEEL_INVALID_OPTION' };
  for (const options of [
    { start: -1 },
    { encoding: 'x' },
    { highWaterMark: 0 },
    { autoClose: 1 },
    { flags: 'r' },
    null,
  ]) {
    t.throws(() => file.readable(options as never), wrong);
  }
  for (const options of [{ start: 1.5 }, { flush: 1 }, { chunkBytes: 0 }, { highWaterMark: -1 }, { mode: 0 }]) {
    t.throws(() => file.writable(options as never), wrong);
  }
  t.throws(() => file.readableStream({ chunkBytes: -1 }), wrong);
  t.throws(() => file.writableStream({ position: -1 }), wrong);
  t.throws(() => file.readable({ autoclose: true } as never), { message: /did you mean 'autoClose'/ });
});

test('100 MiB from each kind to each kind: the same hash, in bounded memory', async (t) => {
  const result = await script(
    `
    const fs = require('node:fs');
    const { createHash, randomFillSync } = require('node:crypto');
    const { pipeline } = require('node:stream/promises');
    const from = __filename + '.from', to = __filename + '.to';
    const block = randomFillSync(Buffer.alloc(1 << 20)), hash = createHash('sha1');
    const source = await File.open(from, 'w+');
    const writer = source.writer();
    for (let index = 0; index < 100; index++) {
      block[index] = index;
      hash.update(block);
      await writer.write(block);
    }
    await writer.close();
    const wanted = hash.digest('hex');
    const { arenaFreeBytes, copyBytes } = Executor.current().stats();
    const before = process.memoryUsage().arrayBuffers;
    let most = 0;
    const watch = setInterval(() => { gc(); most = Math.max(most, process.memoryUsage().arrayBuffers - before); }, 5);
    for (const copy of [
      (target) => pipeline(source.readable(), target.writable()),
      (target) => pipeline(source.readableStream(), target.writable()),
      (target) => source.readableStream().pipeTo(target.writableStream()),
      (target) => pipeline(source.readable(), target.writableStream()),
    ]) {
      const target = await File.open(to, 'w+');
      await copy(target);
      const found = createHash('sha1');
      for await (const chunk of target.stream()) found.update(chunk.bytes);
      assert.strictEqual(found.digest('hex'), wanted);
      await target.close();
    }
    clearInterval(watch);
    await source.close();
    assert(most < 16e6, most + ' bytes');
    const after = Executor.current().stats();
    assert(after.arenaFreeBytes + after.copyBytes >= arenaFreeBytes + copyBytes);
    fs.unlinkSync(from);
    fs.unlinkSync(to);`,
    ['--expose-gc'],
  );
  ended(t, result);
});
