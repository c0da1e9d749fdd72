// file.readv and file.writev: leases and arrays, mixed, in one system call.
import { open, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { File, type Lease, type VectorPart } from '../../index';
import { ended, executorOf, fileOf, folder, pattern, script } from '../drivers';

/** Bytes of all parts in a row. */
function joined(parts: readonly VectorPart[]): Uint8Array {
  return Buffer.concat(
    parts.map((part) => {
      const { buffer, byteOffset, byteLength } = 'release' in part ? part.bytes : part;
      return new Uint8Array(buffer, byteOffset, byteLength);
    }),
  );
}

test('readv fills leases, arrays and views of every kind in their order', async (t) => {
  const executor = executorOf(t);
  const bytes = pattern(100_000);
  await using file = await File.open(fileOf(bytes));
  using short = executor.lease(100);
  using long = executor.lease(70_000);
  const parts = [
    new Uint8Array(10),
    short,
    new Uint32Array(25),
    new DataView(new ArrayBuffer(64), 8, 33),
    long,
    Buffer.alloc(1000),
    new Uint8Array(0),
    new Float64Array(new SharedArrayBuffer(80)),
  ];
  const wanted = 10 + 100 + 100 + 33 + 70_000 + 1000 + 80;
  t.is(await file.readv(parts, 5), wanted);
  t.deepEqual(Buffer.from(joined(parts)), Buffer.from(bytes.subarray(5, 5 + wanted)));
  t.is(await file.readv(parts), wanted, 'at its own position, which was the start');
  t.deepEqual(Buffer.from(joined(parts)), Buffer.from(bytes.subarray(0, wanted)));
  t.is(await file.readv(parts), 100_000 - wanted, 'and has moved: the end is near');
  t.deepEqual(Buffer.from(joined(parts).subarray(0, 100_000 - wanted)), Buffer.from(bytes.subarray(wanted)));
  t.deepEqual(
    Buffer.from(joined(parts).subarray(100_000 - wanted)),
    Buffer.from(bytes.subarray(100_000 - wanted, wanted)),
    'what was not read is as it was',
  );
  t.is(await file.readv(parts), 0);
});

test('writev writes leases, arrays and views of every kind in their order', async (t) => {
  const executor = executorOf(t);
  const path = join(folder, 'written');
  await using file = await File.open(path, 'w+');
  using lease = executor.lease(5000);
  lease.bytes.set(pattern(5000));
  const parts = [new Uint8Array([1, 2, 3]), lease, new Uint16Array([258]), new DataView(new ArrayBuffer(9), 2, 5)];
  t.is(await file.writev(parts, 7), 5010);
  t.deepEqual(await readFile(path), Buffer.concat([new Uint8Array(7), joined(parts)]));
  t.is(await file.writev([new Uint8Array([9]), lease]), 5001, 'at its own position, which was the start');
  t.is(await file.writev([new Uint8Array([8])]), 1);
  t.deepEqual((await readFile(path)).subarray(0, 5002), Buffer.concat([Buffer.of(9), lease.bytes, Buffer.of(8)]));
});

test('arrays beyond the longest range, and as many parts as there may be, move every byte', async (t) => {
  const executor = executorOf(t);
  const path = join(folder, 'long');
  await using file = await File.open(path, 'w+');
  const bytes = pattern(1_500_000);
  using lease = executor.lease(300_000);
  lease.bytes.set(bytes.subarray(0, 300_000));
  const few = [bytes.subarray(0, 700_000), lease, bytes.subarray(700_000, 700_001), bytes.subarray(700_001)];
  t.is(await file.writev(few, 0), 1_800_000);
  t.true(Buffer.compare(await readFile(path), joined(few)) === 0);
  const many = Array.from({ length: 1024 }, (_, index) => new Uint8Array(index * 2));
  const room = joined(many).length;
  t.is(await file.readv(many, 3), room);
  t.true(Buffer.compare(joined(many), (await readFile(path)).subarray(3, 3 + room)) === 0);
  const singles = Array.from(bytes.subarray(0, 1024), (byte) => Uint8Array.of(byte));
  t.is(await file.writev(singles, 0), 1024);
  t.true(Buffer.compare((await readFile(path)).subarray(0, 1024), bytes.subarray(0, 1024)) === 0);
});

test('a pipe is written to its end and read as it comes', async (t) => {
  executorOf(t);
  const path = join(folder, 'fifo');
  const { execFileSync } = await import('node:child_process');
  execFileSync('mkfifo', [path]);
  const [reader, writer] = await Promise.all([File.open(path, 'r'), File.open(path, 'w')]);
  const bytes = pattern(300_000);
  const parts = [bytes.subarray(0, 10), bytes.subarray(10, 200_000), bytes.subarray(200_000)];
  const writing = writer.writev(parts);
  const read: Uint8Array[] = [];
  for (let done = 0; done < bytes.length; ) {
    const target = [new Uint8Array(1000), new Uint8Array(60_000)];
    const count = await reader.readv(target);
    t.true(count > 0);
    read.push(joined(target).subarray(0, count));
    done += count;
  }
  t.is(await writing, bytes.length);
  t.true(Buffer.compare(Buffer.concat(read), bytes) === 0);
  await writer.close();
  t.is(await reader.readv([new Uint8Array(1)]), 0);
  await reader.close();
});

test('records of many writers to one file stay whole', async (t) => {
  const executor = executorOf(t);
  const path = join(folder, 'records');
  const files = await Promise.all([1, 2, 3].map(() => File.open(path, 'a')));
  const record = async (file: File, mark: number): Promise<void> => {
    using lease = executor.lease(700);
    lease.bytes.fill(mark);
    t.is(await file.writev([new Uint8Array(300).fill(mark), lease, new Uint8Array(24).fill(mark)]), 1024);
  };
  await Promise.all(Array.from({ length: 240 }, (_, index) => record(files[index % 3] as File, index)));
  const content = await readFile(path);
  t.is(content.length, 240 * 1024);
  const marks = new Set<number>();
  for (let at = 0; at < content.length; at += 1024) {
    const one = content.subarray(at, at + 1024);
    t.true(one.every((byte) => byte === one[0]));
    marks.add(one[0] as number);
  }
  t.is(marks.size, 240);
  await Promise.all(files.map((file) => file.close()));
});

test('nothing to move is 0; the file has to be open all the same', async (t) => {
  executorOf(t);
  const file = await File.open(fileOf('x'), 'r+');
  t.is(await file.readv([]), 0);
  t.is(await file.writev([], 0), 0);
  t.is(await file.readv([new Uint8Array(0), new DataView(new ArrayBuffer(0))], 0), 0);
  await file.close();
  await t.throwsAsync(file.readv([]), { code: 'ERR_RINGWHEEL_CLOSED', message: /^file\.readv: / });
  await t.throwsAsync(file.writev([]), { code: 'ERR_RINGWHEEL_CLOSED', message: /^file\.writev: / });
});

test('what is wrong is named, with the range and the remedy, and leaves every lease alone', async (t) => {
  const executor = executorOf(t);
  const path = fileOf('content');
  await using file = await File.open(path, 'r+');
  using lease = executor.lease(10);
  const released = executor.lease(10);
  released.release();
  const invalid = 'ERR_RINGWHEEL_INVALID_OPTION';
  const cases: [unknown[], string, RegExp][] = [
    [['text'], invalid, /buffers must be an array of Leases, typed arrays and DataViews; got 'text'$/],
    [[{ length: 1 }], invalid, /got an object$/],
    [[[lease, 'text']], invalid, /buffers\[1\] must be a Lease, a typed array or a DataView; got 'text'$/],
    [[[lease, null]], invalid, /buffers\[1\] must be .*; got null$/],
    [[[lease, new ArrayBuffer(1)]], invalid, /buffers\[1\] must be /],
    [
      [new Array(1025).fill(new Uint8Array(1))],
      invalid,
      /at most 1024 entries; got 1025: give the rest to another call$/,
    ],
    [[[lease], -1], invalid, /position must be a whole number from 0 to 9007199254740991; got -1$/],
    [[[lease], 0.5], invalid, /position must be .*; got 0.5$/],
    [[[lease], 0, { sgnal: 1 }], invalid, /unknown option 'sgnal' \(did you mean 'signal'\?\)/],
    [[[lease], 0, { signal: 1 }], invalid, /signal must be an AbortSignal; got 1$/],
    [[[lease, new Uint8Array(1), lease]], 'ERR_RINGWHEEL_LEASE', /buffers\[2\] is a lease that the list has already/],
    [[[lease, released]], 'ERR_RINGWHEEL_LEASE', /buffers\[1\] is a lease that was released$/],
  ];
  for (const [given, code, message] of cases) {
    for (const method of ['readv', 'writev'] as const) {
      const call = file[method] as (...given: unknown[]) => Promise<number>;
      await t.throwsAsync(call.apply(file, given), { code, message });
      t.is(await file.readAt(lease, 0), 7, 'the lease is free');
    }
  }
  const reading = file.readv([lease], 0);
  await t.throwsAsync(file.writev([lease]), { code: 'ERR_RINGWHEEL_LEASE', message: /another operation uses/ });
  t.is(await reading, 7);
  t.is((await readFile(path)).toString(), 'content');
});

test('the system names what it refuses', async (t) => {
  executorOf(t);
  const path = fileOf('content');
  await using reader = await File.open(path, 'r');
  await using writer = await File.open(path, 'a');
  await t.throwsAsync(reader.writev([new Uint8Array(1)], 0), { code: 'EBADF', message: /^EBADF: .*, write '/ });
  await t.throwsAsync(writer.readv([new Uint8Array(1)], 0), { code: 'EBADF', message: /^EBADF: .*, read '/ });
});

test('direct files: parts of any length and memory; aligned leases are one read', async (t) => {
  const executor = executorOf(t);
  const bytes = pattern(200_000);
  const path = fileOf(bytes);
  let file: File;
  try {
    file = await File.open(path, 'r+', { direct: true });
  } catch (error) {
    t.is((error as NodeJS.ErrnoException).code, 'EINVAL');
    return;
  }
  const leases: Lease[] = [8192, 4096, 4096].map((length) => executor.lease(length));
  t.is(await file.readv(leases, 4096), 16_384);
  t.deepEqual(Buffer.from(joined(leases)), Buffer.from(bytes.subarray(4096, 4096 + 16_384)));
  const parts = [new Uint8Array(100), ...leases, new Uint8Array(5)];
  t.is(await file.readv(parts, 3), 16_489);
  t.deepEqual(Buffer.from(joined(parts)), Buffer.from(bytes.subarray(3, 3 + 16_489)));
  t.is(await file.readv(parts, 190_000), 10_000);
  const source = [new Uint8Array(100).fill(7), leases[0] as Lease, new Uint8Array(5).fill(9)];
  t.is(await file.writev(source, 199_990), 8297);
  t.is((await stat(path)).size, 199_990 + 8297);
  t.true(Buffer.compare((await readFile(path)).subarray(199_990), joined(source)) === 0);
  t.is(await file.writev(source), 8297, 'at its own position');
  t.true(Buffer.compare((await readFile(path)).subarray(0, 8297), joined(source)) === 0);
  await file.close();
  for (const lease of leases) lease.release();
});

test('a signal ends a read of an empty pipe: arrays at once, leases when the kernel has let go', async (t) => {
  const executor = executorOf(t);
  const path = join(folder, 'quiet');
  const { execFileSync } = await import('node:child_process');
  execFileSync('mkfifo', [path]);
  const [reader, writer] = await Promise.all([File.open(path, 'r'), open(path, 'w')]);
  const { leases } = executor.stats();
  using lease = executor.lease(100);
  for (const parts of [
    [new Uint8Array(10), new Uint8Array(10)],
    [new Uint8Array(10), lease],
  ]) {
    const controller = new AbortController();
    const reading = reader.readv(parts, undefined, { signal: controller.signal });
    setImmediate(() => controller.abort(new Error('enough')));
    await t.throwsAsync(reading, { message: 'enough' });
  }
  const aborted = AbortSignal.abort(new Error('before'));
  await t.throwsAsync(reader.readv([lease], undefined, { signal: aborted }), { message: 'before' });
  await writer.write('hello');
  const target = new Uint8Array(2);
  t.is(await reader.readv([target, lease]), 5, 'the lease is free, and no byte went astray');
  t.is(Buffer.concat([target, lease.bytes.subarray(0, 3)]).toString(), 'hello');
  await writer.close();
  await reader.close();
  t.true(executor.stats().leases <= leases + 4, 'ranges are kept for use, not lost');
});

test('hostile: detached arrays, released leases, more calls than there is memory, and the end of the executor', async (t) => {
  const result = await script(`
    const { writeFileSync, readFileSync } = require('node:fs');
    const path = __filename + '.data';
    writeFileSync(path, Buffer.alloc(300000, 7));
    const executor = Executor.start({ memory: 65536 * 4 });
    const file = await File.open(path, 'r+');
    // Detached while the read is under way: the promise says so, or the bytes were there before.
    const array = new Uint8Array(1000);
    const reading = settled(file.readv([new Uint8Array(10), array], 0));
    structuredClone(array.buffer, { transfer: [array.buffer] });
    assert.strictEqual((await reading).error.code, 'ERR_RINGWHEEL_BUFFER');
    // Released while it is in use: it goes back when the read has ended.
    const lease = executor.lease(4096);
    const kept = file.readv([new Uint8Array(10), lease], 0);
    lease.release();
    assert.strictEqual(await kept, 4106);
    await assert.rejects(file.readv([lease], 0), { code: 'ERR_RINGWHEEL_LEASE' });
    // Far more at once than fits: they wait in order, none fails.
    const many = Array.from({ length: 300 }, () => file.readv([new Uint8Array(1000), new Uint8Array(9000)], 0));
    for (const bytes of await Promise.all(many)) assert.strictEqual(bytes, 10000);
    // A list that lies about itself, and one that changes afterwards.
    const liar = new Proxy([new Uint8Array(1)], { get: (target, key) => key === 'length' ? 3 : target[key] });
    await assert.rejects(file.readv(liar, 0), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
    const list = [new Uint8Array(5)];
    const begun = file.readv(list, 0);
    list.push('no buffer');
    assert.strictEqual(await begun, 5);
    class Odd extends Uint8Array { get length() { throw new Error('never asked'); } get byteLength() { throw new Error('never asked'); } }
    assert.strictEqual(await file.readv([new Odd(6)], 0), 6);
    const before = executor.stats();
    // The end of the executor in the middle of it.
    const last = executor.lease(8192);
    const ending = settled(file.readv([new Uint8Array(10), last], 0));
    await executor.close();
    const { value, error } = await ending;
    assert(value === 8202 || error.code === 'ERR_RINGWHEEL_CLOSED');
    await assert.rejects(file.readv([new Uint8Array(1)], 0), { code: 'ERR_RINGWHEEL_CLOSED' });
  `);
  ended(t, result);
});

test('hostile: a worker that is terminated in the middle of vectored reads and writes', async (t) => {
  const result = await script(`
    if (isMainThread) {
      const { writeFileSync } = require('node:fs');
      writeFileSync(__filename + '.data', Buffer.alloc(300000, 7));
      for (let round = 0; round < 6; round++) {
        const worker = new Worker(__filename);
        await new Promise((resolve) => worker.once('message', resolve));
        await worker.terminate();
      }
    } else {
      const file = await File.open(__filename + '.data', 'r+');
      const go = async () => {
        const lease = Executor.current().lease(4096);
        for (;;) {
          await file.readv([new Uint8Array(100), lease, new Uint8Array(3000)], 0);
          await file.writev([new Uint8Array(100), lease, new Uint8Array(3000)], 0);
        }
      };
      for (let index = 0; index < 20; index++) go();
      setTimeout(() => parentPort.postMessage('busy'), 20);
    }
  `);
  ended(t, result);
});

test('append writes whole and in the order of the calls', async (t) => {
  const executor = executorOf(t);
  const path = fileOf('before ');
  await using file = await File.open(path, 'a+');
  using lease = executor.lease(5);
  lease.bytes.set(Buffer.from('lease'));
  const long = pattern(700_000); // Three commands.
  const sent = [' is', 'é', '', 'end'];
  const appended = [
    file.append('text '),
    file.append(lease),
    file.append(long),
    file.append(new Uint16Array([0x6261])),
    ...sent.map((text) => file.append(text)),
  ];
  t.deepEqual(await Promise.all(appended), [5, 5, 700_000, 2, 3, 2, 0, 3]);
  const expected = Buffer.concat([Buffer.from('before text lease'), long, Buffer.from('ab isé'), Buffer.from('end')]);
  t.true(Buffer.compare(await readFile(path), expected) === 0);
  const start = new Uint8Array(6);
  t.is(await file.read(start), 6, 'its own position did not move');
  t.is(Buffer.from(start).toString(), 'before');
});

test('append needs the flag, an open file and bytes', async (t) => {
  const executor = executorOf(t);
  const path = fileOf('x');
  const plain = await File.open(path, 'r+');
  const message =
    /^file\.append: the file '.*' must be open with the flag 'a', 'a\+', 'ax' or 'ax\+': open it so, or use writeAt$/;
  await t.throwsAsync(plain.append('y'), { code: 'ERR_RINGWHEEL_INVALID_OPTION', message });
  await plain.close();
  const file = await File.open(path, 'a');
  using lease = executor.lease(1);
  for (const wrong of [undefined, null, 5, {}, [], new ArrayBuffer(1)]) {
    const refused = file.append(wrong as never);
    await t.throwsAsync(refused, { code: 'ERR_RINGWHEEL_INVALID_OPTION', message: /data must be a string, a Lease, / });
  }
  await t.throwsAsync(file.append('y', { position: 1 } as never), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
  const busy = file.append(lease);
  await t.throwsAsync(file.append(lease), { code: 'ERR_RINGWHEEL_LEASE', message: /data is a lease that another/ });
  t.is(await busy, 1);
  const last = file.append('the last one');
  await file.close();
  t.is(await last, 12, 'close waits for it');
  await t.throwsAsync(file.append('y'), { code: 'ERR_RINGWHEEL_CLOSED' });
});

test('a signal takes an append that waits out of the row; those behind it go on', async (t) => {
  const executor = executorOf(t);
  const path = fileOf('');
  await using file = await File.open(path, 'a');
  const controller = new AbortController();
  const { signal } = controller;
  using lease = executor.lease(3);
  const first = file.append(pattern(600_000));
  const array = file.append('never', { signal });
  const leased = file.append(lease, { signal });
  const last = file.append('end');
  controller.abort(new Error('enough'));
  await t.throwsAsync(array, { message: 'enough' });
  await t.throwsAsync(leased, { message: 'enough' });
  t.is(await file.append(lease), 3, 'the lease is free');
  t.deepEqual(await Promise.all([first, last]), [600_000, 3]);
  const content = await readFile(path);
  t.is(content.length, 600_006);
  t.is(content.subarray(600_000, 600_003).toString(), 'end');
  await t.throwsAsync(file.append('no', { signal }), { message: 'enough' });
});

test('direct files are appended to whole and in order', async (t) => {
  executorOf(t);
  const path = fileOf('begin');
  let file: File;
  try {
    file = await File.open(path, 'a', { direct: true });
  } catch (error) {
    t.is((error as NodeJS.ErrnoException).code, 'EINVAL');
    return;
  }
  const bytes = pattern(9000);
  await Promise.all([file.append('one'), file.append(bytes), file.append('two')]);
  await file.close();
  t.true(
    Buffer.compare(await readFile(path), Buffer.concat([Buffer.from('beginone'), bytes, Buffer.from('two')])) === 0,
  );
});
