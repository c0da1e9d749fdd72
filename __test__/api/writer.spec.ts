// file.writer(): every byte once and in order, whatever the chunks; positions, backpressure, bounded memory; errors that stay.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type Executor, File, type Lease, SequentialWriter, type WriterOptions } from '../../index';
import { executorOf, fileOf, folder, pattern } from '../drivers';

/** Bytes that no lease and no writer has. */
const free = (executor: Executor): number => {
  const { arenaFreeBytes, copyBytes } = executor.stats();
  return arenaFreeBytes + copyBytes;
};
const turn = () => new Promise(setImmediate);
const same = (t: ExecutionContext, path: string, expected: Uint8Array) => {
  const found = fs.readFileSync(path);
  t.is(Buffer.compare(found, expected), 0, `${found.length} of ${expected.length} bytes`);
};

// What is kept for calls and copies from the first one on is no leak.
test.before(async (t) => {
  executorOf(t);
  await using file = await File.open(fileOf('warm'), 'r+');
  await file.writeAt(new Uint8Array(300_000), 0);
  await using writer = file.writer();
  await writer.write('warm');
});

const SIZE = 2_500_003;
const bytes = pattern(SIZE);

for (const [options, pieces] of [
  [{}, [100]],
  [{}, [SIZE]],
  [{ chunkBytes: 4096 }, [1, 4095, 4096, 4097, 100_000]],
  [{ chunkBytes: 4096, writeBehind: 1 }, [5000]],
  [{ chunkBytes: 777, writeBehind: 64 }, [776, 777, 778, 50_000]],
  [{ chunkBytes: 65_536, writeBehind: 3 }, [65_536]],
  [{ chunkBytes: 2 ** 26 }, [300_000]],
  [{ position: 12_345 }, [70_000, 3]],
] satisfies [WriterOptions, number[]][]) {
  for (const awaited of [true, false]) {
    test.serial(`${JSON.stringify(options)} with pieces of ${pieces}, ${awaited ? '' : 'not '}awaited`, async (t) => {
      const executor = executorOf(t);
      const path = fileOf('');
      const file = await File.open(path, 'r+');
      const before = free(executor);
      const writer = file.writer(options);
      const start = options.position ?? 0;
      const writes: Promise<void>[] = [];
      let done = 0;
      for (let index = 0; done < SIZE; index++) {
        const piece = bytes.subarray(done, done + (pieces[index % pieces.length] as number));
        const write = writer.write(index % 7 === 3 ? Buffer.from(piece) : piece);
        if (awaited) await write;
        else writes.push(write);
        done += piece.length;
        t.true(writer.flushedPosition <= writer.position && writer.position <= start + done);
      }
      t.is(await writer.flush(), start + SIZE);
      t.deepEqual(
        [writer.position, writer.flushedPosition, writer.syncedPosition],
        [start + SIZE, start + SIZE, start],
      );
      await Promise.all(writes);
      same(t, path, Buffer.concat([Buffer.alloc(start), bytes]));
      t.true(free(executor) >= before, 'a writer that has nothing to write holds no memory');
      t.is(await writer.sync(), start + SIZE);
      t.is(writer.syncedPosition, start + SIZE);
      await writer.close();
      await file.close();
    });
  }
}

test.serial('small pieces are one command for each chunk, and are taken at once', async (t) => {
  const executor = executorOf(t);
  await using file = await File.open(fileOf(''), 'r+');
  await using writer = file.writer({ chunkBytes: 65_536 });
  const before = executor.stats().completed;
  for (let index = 0; index < 1000; index++) await writer.write('0123456789');
  t.is(writer.position, 10_000);
  t.is(writer.flushedPosition, 0);
  await turn();
  t.is(writer.flushedPosition, 0, 'nothing is written before there is a chunk');
  await writer.flush();
  const commands = executor.stats().completed - before;
  t.true(commands >= 1 && commands <= 2, `a look at the file, and a write: ${commands}`);
  t.is(await file.size(), 10_000);
});

test.serial('strings are UTF-8; nothing is nothing', async (t) => {
  executorOf(t);
  const path = fileOf('');
  await using file = await File.open(path, 'r+');
  await using writer = file.writer({ chunkBytes: 5 });
  await writer.write('größer');
  await writer.write('');
  await writer.write(new Uint8Array(0));
  await writer.write('€');
  t.is(await writer.flush(), 11);
  t.is(fs.readFileSync(path, 'utf8'), 'größer€');
});

test.serial(
  'leases are written as they are, in order with copies, and are back when their promise settles',
  async (t) => {
    const executor = executorOf(t);
    const path = fileOf('');
    const file = await File.open(path, 'r+');
    const before = free(executor);
    const writer = file.writer();
    const lengths = [100, 200_000, 65_536, 65_535, 300_000, 10, 100_000];
    const leases = lengths.map((length) => executor.lease(length));
    const expected: Uint8Array[] = [];
    const writes = leases.flatMap((lease, index) => {
      lease.bytes.set(bytes.subarray(index, index + lease.length));
      expected.push(lease.bytes.slice(), Buffer.from(`-${index}-`));
      return [writer.write(lease), writer.write(`-${index}-`)];
    });
    await t.throwsAsync(writer.write(leases[4] as Lease), { code: 'ERR_RINGWHEEL_LEASE' });
    await t.throwsAsync(file.writeAt(leases[4] as Lease, 0), { code: 'ERR_RINGWHEEL_LEASE' });
    for (let index = 0; index < leases.length; index++) {
      await writes[2 * index];
      (leases[index] as Lease).bytes.fill(0); // Ours again.
    }
    await writer.close();
    same(t, path, Buffer.concat(expected));
    const released = executor.lease(70_000);
    released.release();
    await t.throwsAsync(file.writer().write(released), { code: 'ERR_RINGWHEEL_LEASE' });
    for (const lease of leases) lease.release();
    await file.close();
    t.true(free(executor) >= before);
  },
);

test.serial('a lease that is released while it is written goes back when that has ended', async (t) => {
  const executor = executorOf(t);
  const path = fileOf('');
  await using file = await File.open(path, 'r+');
  const before = free(executor);
  await using writer = file.writer();
  const lease = executor.lease(500_000);
  lease.bytes.set(bytes.subarray(0, 500_000));
  const written = writer.write(lease);
  lease.release();
  await written;
  t.true(free(executor) >= before);
  same(t, path, bytes.subarray(0, 500_000));
});

test.serial('a stream of one file into the writer of another', async (t) => {
  const executor = executorOf(t);
  const path = fileOf('');
  await using from = await File.open(fileOf(bytes));
  await using to = await File.open(path, 'r+');
  const before = free(executor);
  for (const [chunkBytes, awaited] of [
    [200_000, true],
    [200_000, false],
    [10_000, true],
  ] as const) {
    const writer = to.writer();
    const writes: Promise<void>[] = [];
    for await (const chunk of from.stream({ chunkBytes })) {
      const write = writer.write(chunk);
      if (awaited) await write;
      else writes.push(write);
    }
    await Promise.all(writes);
    await writer.close();
    same(t, path, bytes);
    await to.truncate(0);
  }
  t.true(free(executor) >= before);
});

test.serial('memory is bounded by the chunks, and a writer that falls behind waits', async (t) => {
  const executor = executorOf(t);
  const path = join(folder, 'writer.fifo');
  execFileSync('mkfifo', [path]);
  const end = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_NONBLOCK);
  const file = await File.open(path, 'r+');
  const before = free(executor);
  const writer = file.writer({ chunkBytes: 4096 });
  let taken = 0;
  let full = false;
  const filling = (async () => {
    while (taken < 400_000) {
      full = false;
      const write = writer.write(bytes.subarray(taken, taken + 1000));
      write.then(() => {
        full = false;
      });
      full = true;
      await write;
      taken += 1000;
    }
  })();
  // The pipe takes 64 KiB, then one chunk waits in the kernel and one is full.
  for (let turns = 0; turns < 200 && !(full && taken >= 65_536); turns++) await turn();
  for (let turns = 0; turns < 20; turns++) await turn();
  t.true(full && taken <= 65_536 + 2 * 4096 + 1000, `${taken} bytes taken`);
  t.true(before - free(executor) <= 2 * 4096);
  t.true(writer.position - writer.flushedPosition <= 2 * 4096);
  const found: Buffer[] = [];
  const collect = async () => {
    const piece = Buffer.alloc(30_000);
    let total = 0;
    while (total < 400_000) {
      try {
        const count = fs.readSync(end, piece);
        found.push(Buffer.from(piece.subarray(0, count)));
        total += count;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
        await turn();
      }
    }
  };
  await Promise.all([filling.then(() => writer.flush()), collect()]);
  t.is(Buffer.compare(Buffer.concat(found), bytes.subarray(0, 400_000)), 0);
  await t.throwsAsync(writer.sync(), { code: 'EINVAL' });
  await writer.write('and it goes on');
  t.is(await writer.flush(), 400_014);
  await writer.close();
  fs.closeSync(end);
  await file.close();
  t.true(free(executor) >= before);
});

test.serial(
  'a position is refused for what has none and for what appends; appended bytes come behind those of others',
  async (t) => {
    executorOf(t);
    const path = fileOf('old,');
    await using file = await File.open(path, 'a');
    t.throws(() => file.writer({ position: 0 }), { code: 'ERR_RINGWHEEL_INVALID_OPTION', message: /appending/ });
    await using writer = file.writer({ chunkBytes: 10 });
    await writer.write('0123456789ABCDEFGHIJ');
    await writer.write('mine,');
    await writer.flush();
    fs.appendFileSync(path, 'others,');
    await writer.write('mine');
    t.is(await writer.flush(), 29);
    t.is(fs.readFileSync(path, 'utf8'), 'old,0123456789ABCDEFGHIJmine,others,mine');
    await using terminal = await File.open('/dev/null', 'w');
    const positioned = terminal.writer({ position: 5 });
    await positioned.write('taken');
    await t.throwsAsync(positioned.close(), { code: 'ESPIPE' });
  },
);

test.serial('the first error stays: a file that cannot be written', async (t) => {
  const executor = executorOf(t);
  const file = await File.open(fileOf('x'));
  const before = free(executor);
  const writer = file.writer({ chunkBytes: 4096 });
  await writer.write('taken');
  const error = (await t.throwsAsync(writer.flush(), { code: 'EBADF' })) as Error;
  for (const later of [
    writer.write('x'),
    writer.flush(),
    writer.sync(),
    writer.close(),
    writer.close(),
    writer.write('x'),
  ]) {
    await t.throwsAsync(later, { is: error });
  }
  await t.notThrowsAsync(async () => writer[Symbol.asyncDispose](), 'it was told already');
  t.is(writer.flushedPosition, 0);
  await file.close();
  t.true(free(executor) >= before);
  const untold = async () => {
    await using again = await File.open(fileOf('x'));
    await using other = again.writer();
    await other.write('taken');
  };
  await t.throwsAsync(untold(), { code: 'EBADF' }, 'disposal tells what nobody was told');
});

test.serial('closed: the writer, and the file, which writes what was taken first', async (t) => {
  const executor = executorOf(t);
  const path = fileOf('');
  const file = await File.open(path, 'r+');
  const before = free(executor);
  const closed = file.writer();
  await closed.write('1');
  t.is(closed.close(), closed.close());
  await t.throwsAsync(closed.write('x'), { code: 'ERR_RINGWHEEL_CLOSED', message: /the writer of/ });
  await closed.close();
  for (const late of [closed.write('x'), closed.flush(), closed.sync()]) {
    await t.throwsAsync(late, { code: 'ERR_RINGWHEEL_CLOSED' });
  }
  const writer = file.writer({ position: 1, chunkBytes: 4096 });
  const writes = [writer.write(bytes.subarray(0, 100_000)), writer.write(bytes.subarray(100_000, 100_100))];
  await file.close();
  await Promise.all(writes);
  t.is(writer.flushedPosition, 100_101);
  same(t, path, Buffer.concat([Buffer.from('1'), bytes.subarray(0, 100_100)]));
  await t.throwsAsync(writer.write('x'), { code: 'ERR_RINGWHEEL_CLOSED', message: /the file of/ });
  await writer.close();
  t.throws(() => file.writer(), { code: 'ERR_RINGWHEEL_CLOSED' });
  t.true(free(executor) >= before);
  const readable = await File.open(fileOf(''));
  await readable.writer().write('lost');
  await t.throwsAsync(readable.close(), { code: 'EBADF' });
  t.is(readable.fd, -1);
});

test.serial(
  'destroy and a signal give up: calls that wait reject, memory comes back, what arrived stays',
  async (t) => {
    const executor = executorOf(t);
    for (const how of ['destroy', 'reason', 'signal', 'early']) {
      const path = fileOf('');
      const file = await File.open(path, 'r+');
      const before = free(executor);
      const ending = new AbortController();
      const reason = new Error('mine');
      if (how === 'early') ending.abort(reason);
      const writer = file.writer({ chunkBytes: 4096, signal: ending.signal });
      const lease = executor.lease(70_000);
      // None so long that it is written from where it is.
      const pieces = Array.from({ length: 40 }, (_, at) => bytes.subarray(at * 60_000, (at + 1) * 60_000));
      const writes = [...pieces.map((piece) => writer.write(piece)), writer.write(lease), writer.flush()];
      if (how !== 'early') await turn();
      if (how === 'destroy') writer.destroy();
      else if (how === 'reason') writer.destroy(reason);
      else ending.abort(reason);
      const expected = how === 'destroy' ? { code: 'ERR_RINGWHEEL_CLOSED' } : { is: reason };
      // The first few may have been taken.
      const outcomes = await Promise.allSettled(writes);
      const firstRefused = outcomes.findIndex(({ status }) => status === 'rejected');
      t.true(firstRefused >= 0 && firstRefused < 40);
      for (const each of [...writes.slice(firstRefused), writer.write('x'), writer.close()]) {
        await t.throwsAsync(each, expected);
      }
      writer.destroy(new Error('later'));
      await t.throwsAsync(writer.flush(), expected);
      await writer[Symbol.asyncDispose]();
      lease.release();
      await file.close();
      t.true(free(executor) >= before);
      same(t, path, bytes.subarray(0, fs.statSync(path).size));
    }
  },
);

test.serial(
  'with an arena that is used up bytes go through the memory of copies, none are lost, and nothing fails',
  async (t) => {
    const executor = executorOf(t);
    const path = fileOf('');
    await using file = await File.open(path, 'r+');
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
    const writers: SequentialWriter[] = [file.writer(), file.writer({ position: SIZE })];
    await Promise.all(
      writers.map(async (writer) => {
        for (let done = 0; done < SIZE; done += 100_000) await writer.write(bytes.subarray(done, done + 100_000));
        await writer.close();
      }),
    );
    same(t, path, Buffer.concat([bytes, bytes]));
    for (const lease of held) lease.release();
  },
);

test.serial('an array that goes away while it waits ends the writer with ERR_RINGWHEEL_BUFFER', async (t) => {
  const executor = executorOf(t);
  const path = fileOf('');
  const file = await File.open(path, 'r+');
  const before = free(executor);
  const writer = file.writer({ chunkBytes: 4096 });
  const array = bytes.slice(0, 100_000);
  const first = writer.write(array);
  const second = writer.write('behind it');
  structuredClone(array, { transfer: [array.buffer] });
  await t.throwsAsync(first, { code: 'ERR_RINGWHEEL_BUFFER' });
  await t.throwsAsync(second, { code: 'ERR_RINGWHEEL_BUFFER' });
  await t.throwsAsync(writer.close(), { code: 'ERR_RINGWHEEL_BUFFER' });
  await file.close();
  same(t, path, bytes.subarray(0, writer.flushedPosition));
  t.true(free(executor) >= before);
});

test.serial('wrong options and arguments are refused, and end nothing', async (t) => {
  executorOf(t);
  await using file = await File.open(fileOf('x'), 'r+');
  for (const options of [
    { chunkBytes: 0 },
    { writeBehind: 0 },
    { writeBehind: 65 },
    { position: -1 },
    { signal: {} },
    null,
  ]) {
    t.throws(() => file.writer(options as never), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
  }
  t.throws(() => file.writer({ chunkbytes: 1 } as never), { message: /did you mean 'chunkBytes'/ });
  await using writer = file.writer();
  for (const wrong of [undefined, null, 5, {}, [1], new ArrayBuffer(4), new Uint16Array(2)]) {
    await t.throwsAsync(writer.write(wrong as never), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
  }
  t.throws(() => new (SequentialWriter as unknown as new () => unknown)(), {
    code: 'ERR_RINGWHEEL_INVALID_OPTION',
    message: /file.writer/,
  });
  await writer.write('fine');
  t.is(await writer.flush(), 4);
});
