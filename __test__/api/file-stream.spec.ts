// file.stream(): every byte once and in order, whatever chunk, range and read-ahead; leases that come back; bounded memory.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type Executor, File, type Lease, type StreamOptions } from '../../index';
import { executorOf, fileOf, folder, pattern } from '../drivers';

const free = (executor: Executor) => {
  const { leases, arenaFreeBytes } = executor.stats();
  return { leases, arenaFreeBytes };
};

/** The bytes of a pass, and how long its chunks were. */
async function collect(file: File, options?: StreamOptions): Promise<{ bytes: Buffer; lengths: number[] }> {
  const chunks: Buffer[] = [];
  for await (const chunk of file.stream(options)) chunks.push(Buffer.from(chunk.bytes));
  return { bytes: Buffer.concat(chunks), lengths: chunks.map(({ length }) => length) };
}

const same = (t: ExecutionContext, found: Uint8Array, expected: Uint8Array) =>
  t.is(Buffer.compare(found, expected), 0, `${found.length} of ${expected.length} bytes`);

// What is kept for calls and copies from the first one on is no leak.
test.before(async (t) => {
  executorOf(t);
  await using file = await File.open(fileOf('warm'));
  await collect(file);
  await file.readAt(new Uint8Array(10), 0);
});

const SIZE = 1_000_003;
const bytes = pattern(SIZE);

for (const options of [
  {},
  { chunkBytes: 4096 },
  { chunkBytes: 4096, readAhead: 0 },
  { chunkBytes: 777, start: 5, end: 20_000 },
  { chunkBytes: 65_536, readAhead: 64 },
  { chunkBytes: 2 ** 26 },
  { start: 999_000 },
  { start: SIZE - 1 },
  { start: SIZE },
  { start: SIZE + 5_000_000 },
  { start: 10, end: 10 },
  { start: 10, end: 3 },
  { end: 1 },
  { end: 2 ** 40 },
] satisfies StreamOptions[]) {
  test.serial(`a stream with ${JSON.stringify(options)} gives these bytes`, async (t) => {
    const executor = executorOf(t);
    await using file = await File.open(fileOf(bytes));
    const before = free(executor);
    const { start = 0, end = SIZE, chunkBytes = 1_048_576 } = options;
    const found = await collect(file, options);
    same(t, found.bytes, bytes.subarray(start, Math.max(start, end)));
    t.true(found.lengths.every((length) => length > 0 && length <= chunkBytes));
    t.deepEqual(free(executor), before);
  });
}

test.serial('an empty file and one of no stated length', async (t) => {
  executorOf(t);
  await using empty = await File.open(fileOf(''));
  t.deepEqual((await collect(empty)).lengths, []);
  await using proc = await File.open('/proc/self/cmdline');
  same(t, (await collect(proc, { chunkBytes: 3 })).bytes, fs.readFileSync('/proc/self/cmdline'));
});

test.serial('each loop is a pass of its own, also side by side', async (t) => {
  executorOf(t);
  await using file = await File.open(fileOf(bytes));
  const stream = file.stream({ chunkBytes: 10_000 });
  const pass = async () => {
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(Buffer.from(chunk.bytes));
    return Buffer.concat(chunks);
  };
  for (const found of await Promise.all([pass(), pass(), pass()])) same(t, found, bytes);
  same(t, await pass(), bytes);
});

test.serial('a chunk is taken back when the next one is asked for; releasing it early is fine', async (t) => {
  const executor = executorOf(t);
  await using file = await File.open(fileOf(bytes));
  const before = free(executor);
  const kept: Lease[] = [];
  let total = 0;
  for await (const chunk of file.stream({ chunkBytes: 50_000 })) {
    for (const old of kept) t.throws(() => old.bytes, { code: 'ERR_RINGWHEEL_LEASE' });
    total += chunk.bytes.length;
    kept.push(chunk);
    if (kept.length % 2 === 0) chunk.release();
  }
  t.is(total, SIZE);
  for (const old of kept) old.release();
  t.deepEqual(free(executor), before);
});

test.serial('a chunk that an unawaited write has is not read into before the write has ended', async (t) => {
  const executor = executorOf(t);
  const to = fileOf('');
  const before = free(executor);
  await using file = await File.open(fileOf(bytes));
  await using copy = await File.open(to, 'r+');
  const writes: Promise<number>[] = [];
  let position = 0;
  for await (const chunk of file.stream({ chunkBytes: 20_000 })) {
    writes.push(copy.writeAt(chunk, position));
    position += chunk.length;
  }
  t.is(
    (await Promise.all(writes)).reduce((sum, written) => sum + written, 0),
    SIZE,
  );
  same(t, fs.readFileSync(to), bytes);
  t.deepEqual(free(executor), before);
});

test.serial('a loop that is left by break, throw or return gives all memory back', async (t) => {
  const executor = executorOf(t);
  const file = await File.open(fileOf(bytes));
  const before = free(executor);
  const leave = async (how: string, after: number) => {
    let chunks = 0;
    for await (const chunk of file.stream({ chunkBytes: 8192, readAhead: 8 })) {
      t.true(chunk.length > 0);
      if (++chunks < after) continue;
      if (how === 'break') break;
      if (how === 'throw') throw new Error('mine');
      return chunks;
    }
    return chunks;
  };
  for (const after of [1, 2, 30]) {
    t.is(await leave('break', after), after);
    t.is(await leave('return', after), after);
    await t.throwsAsync(leave('throw', after), { message: 'mine' });
  }
  await file.close();
  t.deepEqual(free(executor), before);
});

test.serial('memory is bounded: a slow consumer holds two chunks, whoever never reads none', async (t) => {
  const executor = executorOf(t);
  await using file = await File.open(fileOf(bytes));
  const before = free(executor);
  const never = file.stream({ chunkBytes: 4096 });
  t.deepEqual(free(executor), before);
  t.truthy(never);
  let most = 0;
  for await (const chunk of file.stream({ chunkBytes: 4096 })) {
    t.true(chunk.length > 0);
    await new Promise(setImmediate);
    most = Math.max(most, executor.stats().leases - before.leases);
  }
  t.true(most >= 1 && most <= 5, `${most} leases`);
  const unread = file.stream({ chunkBytes: 4096 })[Symbol.asyncIterator]();
  await unread.next();
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
  t.true(executor.stats().leases - before.leases <= 5);
  await unread.return?.();
  t.deepEqual(free(executor), before);
});

test.serial('a file that grows is read to its end, one that shrinks ends early', async (t) => {
  executorOf(t);
  const path = fileOf(pattern(50_000));
  await using file = await File.open(path);
  let total = 0;
  for await (const chunk of file.stream({ chunkBytes: 10_000 })) {
    if (total === 40_000) fs.appendFileSync(path, pattern(25_000));
    total += chunk.length;
  }
  t.is(total, 75_000);
  total = 0;
  for await (const chunk of file.stream({ chunkBytes: 10_000, readAhead: 0 })) {
    total += chunk.length;
    if (total === 30_000) fs.truncateSync(path, 35_000);
  }
  t.is(total, 35_000);
});

test.serial('a pipe is read from where it is, chunk by chunk; a start is refused', async (t) => {
  executorOf(t);
  const path = join(folder, 'stream.fifo');
  execFileSync('mkfifo', [path]);
  const end = fs.openSync(path, 'r+'); // Keeps both ends open.
  await using file = await File.open(path);
  fs.writeSync(end, pattern(10_000));
  const stream = file.stream({ chunkBytes: 4000 })[Symbol.asyncIterator]();
  const found: Buffer[] = [];
  while (Buffer.concat(found).length < 10_000) {
    const { value } = await stream.next();
    found.push(Buffer.from((value as Lease).bytes));
  }
  same(t, Buffer.concat(found), pattern(10_000));
  const later = stream.next();
  fs.writeSync(end, 'more');
  t.is(Buffer.from(((await later).value as Lease).bytes).toString(), 'more');
  await stream.return?.();
  await t.throwsAsync(collect(file, { start: 0 }), { code: 'ESPIPE' });
  const ending = new AbortController();
  const reason = new Error('enough');
  const waiting = collect(file, { signal: ending.signal });
  await new Promise(setImmediate);
  ending.abort(reason);
  await t.throwsAsync(waiting, { is: reason });
  fs.closeSync(end);
});

test.serial('a signal ends a stream at each moment, and all memory comes back', async (t) => {
  const executor = executorOf(t);
  const file = await File.open(fileOf(bytes));
  const before = free(executor);
  for (let after = 0; after < 12; after++) {
    const ending = new AbortController();
    const reason = new Error('enough');
    let chunks = 0;
    if (after === 0) ending.abort(reason);
    const pass = async () => {
      for await (const chunk of file.stream({ chunkBytes: 4096, readAhead: 4, signal: ending.signal })) {
        t.true(chunk.length > 0);
        chunks++;
        if (chunks === Math.ceil(after / 2)) {
          if (after % 2 === 0) ending.abort(reason);
          else queueMicrotask(() => ending.abort(reason));
        }
      }
    };
    await t.throwsAsync(pass(), { is: reason });
    t.true(chunks <= after);
  }
  await file.close();
  t.deepEqual(free(executor), before);
});

test.serial('a file closed in mid-stream ends it with ERR_RINGWHEEL_CLOSED', async (t) => {
  const executor = executorOf(t);
  const file = await File.open(fileOf(bytes));
  const before = free(executor);
  let chunks = 0;
  const pass = async () => {
    for await (const chunk of file.stream({ chunkBytes: 4096 })) {
      t.true(chunk.length > 0);
      if (++chunks === 3) await file.close();
    }
  };
  await t.throwsAsync(pass(), { code: 'ERR_RINGWHEEL_CLOSED', message: /file.stream: the file was closed/ });
  t.is(chunks, 3);
  t.deepEqual(free(executor), before);
  t.throws(() => file.stream(), { code: 'ERR_RINGWHEEL_CLOSED' });
});

test.serial('when the arena is used up chunks get shorter, then the stream says so; other work goes on', async (t) => {
  const executor = executorOf(t);
  await using file = await File.open(fileOf(bytes));
  const held: Lease[] = [];
  for (let size = 1 << 20; size >= 4096; size /= 2) {
    for (;;) {
      try {
        held.push(executor.lease(size));
      } catch {
        break;
      }
    }
  }
  await t.throwsAsync(collect(file), { code: 'ERR_RINGWHEEL_NO_MEMORY', message: /file.stream/ });
  t.is(await file.readAt(new Uint8Array(10), 0), 10);
  held.pop()?.release();
  const { bytes: found, lengths } = await collect(file);
  same(t, found, bytes);
  t.true(Math.max(...lengths) <= 8192);
  for (const lease of held) lease.release();
});

test.serial('wrong options are refused by the call', async (t) => {
  executorOf(t);
  await using file = await File.open(fileOf('x'));
  for (const options of [
    { start: -1 },
    { end: 1.5 },
    { chunkBytes: 0 },
    { readAhead: 65 },
    { chunk: 1 },
    { signal: {} },
  ]) {
    t.throws(() => file.stream(options as never), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
  }
  t.throws(() => file.stream({ chunkbytes: 1 } as never), { message: /did you mean 'chunkBytes'/ });
  await using written = await File.open(fileOf('x'), 'w');
  await t.throwsAsync(collect(written), { code: 'EBADF' });
});
