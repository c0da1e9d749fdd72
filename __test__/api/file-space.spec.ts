// File.allocate and File.advise: blocks on the device, and what the kernel is told.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { type Advice, File } from '../../index';
import { ended, executorOf, fileOf, folder, pattern } from '../drivers';
import { smallDiskFor, under } from '../support/faults';

const MIB = 1 << 20;

test('allocate takes blocks: with the length that the range has, or with the length as it was', async (t) => {
  executorOf(t);
  const path = fileOf('head');
  await using file = await File.open(path, 'r+');
  await file.allocate(0, MIB, { keepSize: true });
  t.is(fs.statSync(path).size, 4);
  t.true(fs.statSync(path).blocks * 512 >= MIB);
  await file.allocate(MIB, 1000);
  t.is(fs.statSync(path).size, MIB + 1000);
  t.is(fs.readFileSync(path, 'latin1').replace(/\0+$/, ''), 'head');
});

test('a hole reads as zeros, frees its blocks, and changes nothing else', async (t) => {
  executorOf(t);
  const bytes = pattern(MIB);
  const path = fileOf(bytes);
  await using file = await File.open(path, 'r+');
  const before = fs.statSync(path);
  await file.allocate(100, MIB / 2, { punchHole: true });
  bytes.fill(0, 100, 100 + MIB / 2);
  t.is(Buffer.compare(fs.readFileSync(path), bytes), 0);
  t.true(fs.statSync(path).blocks < before.blocks);
  await file.allocate(0, 2 * MIB, { punchHole: true, keepSize: false });
  t.is(fs.statSync(path).size, MIB, 'never longer, never shorter');
  t.true(fs.readFileSync(path).every((byte) => byte === 0));
});

test('allocate: each wrong argument and each refusal of the system has its error', async (t) => {
  executorOf(t);
  const path = fileOf('x');
  await using file = await File.open(path, 'r+');
  const code = 'ERR_RINGWHEEL_INVALID_OPTION';
  for (const position of [-1, 0.5, Number.NaN, 2 ** 53, '0', undefined]) {
    await t.throwsAsync(file.allocate(position as never, 1), { code, message: /position must be .* from 0 to / });
  }
  for (const length of [0, -1, 1.5, Number.POSITIVE_INFINITY, 2 ** 53, 1n, undefined]) {
    await t.throwsAsync(file.allocate(0, length as never), { code, message: /length must be .* from 1 to / });
  }
  await t.throwsAsync(file.allocate(0, 1, { keepsize: true } as never), { code, message: /keepSize/ });
  await t.throwsAsync(file.allocate(0, 1, { punchHole: 1 } as never), { code });
  const tooLong = await t.throwsAsync(file.allocate(0, Number.MAX_SAFE_INTEGER));
  t.true(['EFBIG', 'ENOSPC'].includes((tooLong as NodeJS.ErrnoException).code as string));
  await using readOnly = await File.open(path);
  await t.throwsAsync(readOnly.allocate(0, 1), {
    code: 'EBADF',
    message: `EBADF: bad file descriptor, fallocate '${path}'`,
  });
  // A file system that cannot: EOPNOTSUPP, under the name that Node gives it.
  await using comm = await File.open('/proc/self/comm', 'r+');
  const refused = await t.throwsAsync<NodeJS.ErrnoException>(comm.allocate(0, 1));
  t.like(refused, { code: 'ENOTSUP', errno: -95, syscall: 'fallocate', path: '/proc/self/comm' });
  const reason = new Error('not now');
  await t.throwsAsync(file.allocate(0, 1, { signal: AbortSignal.abort(reason) }), { is: reason });
  t.is(fs.statSync(path).size, 1);
  await file.close();
  await t.throwsAsync(file.allocate(0, 1), { code: 'ERR_RINGWHEEL_CLOSED', message: /^file\.allocate: .* is closed/ });
  await t.throwsAsync(file.advise('normal'), { code: 'ERR_RINGWHEEL_CLOSED', message: /^file\.advise: .* is closed/ });
});

test('an abort while the pool allocates rejects at once, and close waits for the pool', async (t) => {
  executorOf(t);
  const path = fileOf('');
  const file = await File.open(path, 'r+');
  const controller = new AbortController();
  const reason = new Error('enough');
  const calls = Array.from({ length: 50 }, (_, index) =>
    file.allocate(index * MIB, MIB, { signal: controller.signal }).then(
      () => 'done',
      (error) => error,
    ),
  );
  await Promise.race(calls);
  controller.abort(reason);
  const closing = file.close();
  for (const outcome of await Promise.all(calls)) t.true(outcome === 'done' || outcome === reason);
  await closing;
  const { size } = fs.statSync(path);
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.is(fs.statSync(path).size, size, 'nothing happens to the file after close');
});

test('ENOSPC of allocate is reported, and what was there stays', async (t) => {
  const disk = join(folder, 'full-allocate');
  const command = smallDiskFor(t, disk);
  if (command === undefined) return;
  const result = await under(
    command,
    `
    const path = ${JSON.stringify(disk)} + '/file';
    const file = await File.open(path, 'w+');
    await file.writeAt(bytesOf(5000), 0);
    const { error } = await settled(file.allocate(0, 4 << 20));
    assert.strictEqual(error.code, 'ENOSPC');
    assert.strictEqual(error.message, "ENOSPC: no space left on device, fallocate '" + path + "'");
    same(fs.readFileSync(path), bytesOf(5000), 'the file is as it was');
    await file.allocate(0, 900_000, { keepSize: true });
    const other = await File.open(path + '2', 'w');
    assert.strictEqual((await settled(other.writeAt(new Uint8Array(200_000), 0))).value < 200_000, true, 'taken');
    same(fs.readFileSync(path), bytesOf(5000), 'the length is as it was');
    assert.strictEqual(await file.writeAt(bytesOf(900_000), 0), 900_000, 'its place was kept');
    await file.allocate(0, 900_000, { punchHole: true });
    assert.strictEqual(await other.writeAt(new Uint8Array(200_000), 0), 200_000, 'room again');
    await file.close();
    await other.close();`,
  );
  ended(t, result);
});

test('advise takes each kind, and says what is none', async (t) => {
  executorOf(t);
  await using file = await File.open(fileOf(pattern(3 * MIB)));
  for (const kind of ['normal', 'random', 'sequential', 'willneed', 'dontneed', 'noreuse'] as const) {
    t.is(await file.advise(kind), undefined);
    await file.advise(kind, 4096);
    await file.advise(kind, 4096, 8192);
  }
  const code = 'ERR_RINGWHEEL_INVALID_OPTION';
  for (const kind of ['WILLNEED', '', 0, undefined, null, Symbol.iterator, {}]) {
    await t.throwsAsync(file.advise(kind as Advice), {
      code,
      message: /^file\.advise: kind must be one of 'normal', .*; got /,
    });
  }
  await t.throwsAsync(file.advise('normal', -1), { code, message: /position must be/ });
  await t.throwsAsync(file.advise('normal', 0, 0.5), { code, message: /length must be/ });
  const pipe = join(folder, 'advised-pipe');
  spawnSync('mkfifo', [pipe]);
  await using fifo = await File.open(pipe, 'r+');
  await t.throwsAsync(fifo.advise('sequential'), {
    code: 'ESPIPE',
    message: `ESPIPE: invalid seek, fadvise '${pipe}'`,
  });
  await t.throwsAsync(fifo.allocate(0, 1), { code: 'ESPIPE' });
});
