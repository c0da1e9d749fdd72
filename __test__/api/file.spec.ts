// class File through the public API: reading, writing, metadata, close; against node:fs on the same file.
import fs from 'node:fs';
import { pathToFileURL } from 'node:url';
import test from 'ava';
import { File, RingwheelError, Stats } from '../../index';
import { executorOf, fileOf, folder, pattern } from '../drivers';

test('readAt fills a lease with the bytes at that position', async (t) => {
  const executor = executorOf(t);
  const bytes = pattern(20_000);
  await using file = await File.open(fileOf(bytes));
  using lease = executor.lease(4096);
  t.is(await file.readAt(lease, 5000), 4096);
  t.deepEqual(Buffer.from(lease.bytes), Buffer.from(bytes.subarray(5000, 9096)));
  t.is(await file.readAt(lease, 19_000), 1000, 'fewer at the end');
  t.deepEqual(Buffer.from(lease.bytes.subarray(0, 1000)), Buffer.from(bytes.subarray(19_000)));
  t.is(await file.readAt(lease, 20_000), 0, 'none behind it');
  t.is(await file.readAt(lease, 2 ** 40), 0);
});

for (const length of [1, 4095, 4096, 4097, 65_536, 262_144, 262_145, 1_000_003, 9_000_001]) {
  test(`a Uint8Array of ${length} bytes is written and read back whole`, async (t) => {
    executorOf(t);
    const path = fileOf('');
    const bytes = pattern(length);
    await using file = await File.open(path, 'r+');
    t.is(await file.writeAt(bytes, 3), length);
    const back = new Uint8Array(length);
    t.is(await file.readAt(back, 3), length);
    t.is(Buffer.compare(back, bytes), 0);
    t.is(Buffer.compare(fs.readFileSync(path).subarray(3), bytes), 0);
    t.is(await file.size(), length + 3);
  });
}

test('writeAt from a lease writes all its bytes at that position', async (t) => {
  const executor = executorOf(t);
  const path = fileOf('..........');
  await using file = await File.open(path, 'r+');
  using lease = executor.lease(5);
  lease.bytes.set(Buffer.from('hello'));
  t.is(await file.writeAt(lease, 2), 5);
  t.is(fs.readFileSync(path, 'utf8'), '..hello...');
});

test('read and write without a position use and move the position of the file', async (t) => {
  executorOf(t);
  const path = fileOf('');
  await using file = await File.open(path, 'r+');
  t.is(await file.write('héllo '), 7);
  t.is(await file.write(Buffer.from('world')), 5);
  await using again = await File.open(path);
  const target = new Uint8Array(8);
  t.is(await again.read(target), 8);
  t.is(Buffer.from(target).toString(), 'héllo w');
  t.is(await again.read(target), 4);
  t.is(Buffer.from(target.subarray(0, 4)).toString(), 'orld');
  t.is(await again.read(target), 0);
});

test('length limits a transfer to a part of the target', async (t) => {
  const executor = executorOf(t);
  await using file = await File.open(fileOf('abcdefgh'));
  using lease = executor.lease(8);
  lease.bytes.fill(0);
  t.is(await file.read(lease, { position: 1, length: 3 }), 3);
  t.deepEqual([...lease.bytes], [98, 99, 100, 0, 0, 0, 0, 0]);
  const target = new Uint8Array(8);
  t.is(await file.read(target, { position: 4, length: 2 }), 2);
  t.deepEqual([...target], [101, 102, 0, 0, 0, 0, 0, 0]);
  t.is(await file.read(target, { position: 4, length: 0 }), 0);
  await t.throwsAsync(file.read(target, { length: 9 }), {
    code: 'ERR_RINGWHEEL_INVALID_OPTION',
    message: /at most .* 8 bytes/,
  });
});

test('a thousand reads at once each get their own bytes', async (t) => {
  executorOf(t);
  const bytes = pattern(1 << 20);
  await using file = await File.open(fileOf(bytes));
  const reads = Array.from({ length: 1000 }, async (_, index) => {
    const target = new Uint8Array(1000);
    const position = index * 1047;
    const length = await file.readAt(target, position);
    return (
      length === Math.min(1000, bytes.length - position) &&
      Buffer.compare(target.subarray(0, length), bytes.subarray(position, position + length)) === 0
    );
  });
  t.true((await Promise.all(reads)).every(Boolean));
});

test.serial('more operations than both rings hold are all run, in turn', async (t) => {
  executorOf(t);
  const bytes = pattern(4096);
  await using file = await File.open(fileOf(bytes));
  const targets = Array.from({ length: 10_000 }, () => new Uint8Array(16));
  const results = await Promise.all(targets.map((target, index) => file.readAt(target, index % 4000)));
  t.true(results.every((length) => length === 16));
  t.true(targets.every((target, index) => target[0] === bytes[index % 4000]));
});

test('stat says what node:fs says', async (t) => {
  executorOf(t);
  const path = fileOf('12345');
  await using file = await File.open(path);
  const ours = await file.stat();
  const theirs = fs.statSync(path);
  t.true(ours instanceof Stats);
  for (const key of ['dev', 'ino', 'mode', 'nlink', 'uid', 'gid', 'rdev', 'size', 'blksize', 'blocks'] as const)
    t.is(ours[key], theirs[key], key);
  t.is(ours.mtimeNs, fs.statSync(path, { bigint: true }).mtimeNs);
  t.is(ours.mtime.getTime(), theirs.mtime.getTime());
  t.true(ours.isFile());
  t.false(ours.isDirectory());
  await using directory = await File.open(folder);
  t.true((await directory.stat()).isDirectory());
  await using device = await File.open('/dev/null');
  t.is((await device.stat()).rdev, fs.statSync('/dev/null').rdev);
  t.true((await device.stat()).isCharacterDevice());
});

test('truncate cuts and fills with zeros, sync and datasync complete', async (t) => {
  executorOf(t);
  const path = fileOf('abcdef');
  await using file = await File.open(path, 'r+');
  await file.truncate(3);
  await file.truncate(5);
  await file.sync();
  await file.datasync();
  t.is(fs.readFileSync(path, 'latin1'), 'abc\0\0');
  await file.truncate();
  t.is(await file.size(), 0);
});

test('open takes a string, a file URL or bytes, and Node’s flags', async (t) => {
  executorOf(t);
  const path = fileOf('x');
  for (const form of [path, pathToFileURL(path), Buffer.from(path)]) {
    await using file = await File.open(form);
    t.is(await file.size(), 1);
  }
  const made = `${path}.new`;
  await (await File.open(made, 'wx', { mode: 0o600 })).close();
  t.is(fs.statSync(made).mode & 0o777, 0o600);
  await t.throwsAsync(File.open(made, 'wx'), { code: 'EEXIST', message: /^EEXIST: file already exists, open '/ });
  await using numbered = await File.open(made, fs.constants.O_RDWR);
  t.is(await numbered.write('1'), 1);
  await using appending = await File.open(made, 'a');
  t.is(await appending.writeAt(Buffer.from('2'), 0), 1);
  t.is(fs.readFileSync(made, 'utf8'), '12', 'the kernel appends whatever the position says');
});

test('system errors have the shape of Node’s, and the frames of who awaits', async (t) => {
  executorOf(t);
  const error = (await t.throwsAsync(async function whoAwaits() {
    await File.open('/nonexistent/file');
  })) as NodeJS.ErrnoException;
  t.is(error.code, 'ENOENT');
  t.is(error.errno, -2);
  t.is(error.syscall, 'open');
  t.is(error.path, '/nonexistent/file');
  t.is(error.message, "ENOENT: no such file or directory, open '/nonexistent/file'");
  t.regex(error.stack as string, /whoAwaits/);
  await using file = await File.open(fileOf('x'));
  const read = (await t.throwsAsync(async function reader() {
    await file.writeAt(new Uint8Array(1), 0);
  })) as NodeJS.ErrnoException;
  t.is(read.code, 'EBADF');
  t.is(read.syscall, 'write');
  t.regex(read.stack as string, /reader/);
  await using directory = await File.open(folder);
  await t.throwsAsync(directory.readAt(new Uint8Array(1), 0), { code: 'EISDIR', message: /^EISDIR: .*, read '/ });
});

test('close waits for what is in flight, is the same promise each time, and later calls say closed', async (t) => {
  const executor = executorOf(t);
  const file = await File.open(fileOf(pattern(100_000)));
  t.true(file.fd >= 0);
  const lease = executor.lease(50_000);
  let done = false;
  const read = file.readAt(lease, 0).then((length) => {
    done = true;
    return length;
  });
  const long = file.readAt(new Uint8Array(100_000), 0);
  const closing = file.close();
  t.is(file.close(), closing);
  t.is(file.fd, -1);
  await closing;
  t.true(done);
  t.is(await read, 50_000);
  t.is(await long, 100_000);
  for (const call of [
    () => file.readAt(lease, 0),
    () => file.writeAt(new Uint8Array(1), 0),
    () => file.read(lease),
    () => file.write('x'),
    () => file.stat(),
    () => file.size(),
    () => file.sync(),
    () => file.datasync(),
    () => file.truncate(),
  ]) {
    const error = await t.throwsAsync(call(), { code: 'ERR_RINGWHEEL_CLOSED', instanceOf: RingwheelError });
    t.regex(error.message, /open it again/);
  }
  lease.release();
});

test('a closed file’s descriptor is closed', async (t) => {
  executorOf(t);
  // Descriptors of this file alone: other tests open theirs meanwhile.
  const path = fileOf(pattern(1));
  const isOurs = (fd: string) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`) === path;
    } catch {
      return false; // Another test's, closed since.
    }
  };
  const open = () => fs.readdirSync('/proc/self/fd').filter(isOurs).length;
  for (let round = 0; round < 200; round++) {
    const file = await File.open(path);
    if (round === 0) t.is(open(), 1);
    await file.close();
  }
  t.is(open(), 0);
});

test('wrong arguments are named with their range', async (t) => {
  executorOf(t);
  await using file = await File.open(fileOf('x'));
  const target = new Uint8Array(1);
  const code = 'ERR_RINGWHEEL_INVALID_OPTION';
  for (const position of [-1, 1.5, Number.NaN, 2 ** 53, '0', 1n, undefined, null]) {
    await t.throwsAsync(file.readAt(target, position as number), {
      code,
      message: /position must be a whole number from 0 to /,
    });
  }
  for (const wrong of ['text', 5, null, undefined, [1], new Uint16Array(1), new ArrayBuffer(1), {}]) {
    await t.throwsAsync(file.readAt(wrong as Uint8Array, 0), {
      code,
      message: /target must be a Uint8Array or a Lease/,
    });
  }
  await t.throwsAsync(file.read(target, { postion: 1 } as object), {
    code,
    message: /unknown option 'postion' \(did you mean 'position'\?\)/,
  });
  await t.throwsAsync(file.read(target, { signal: {} as AbortSignal }), {
    code,
    message: /signal must be an AbortSignal/,
  });
  await t.throwsAsync(file.truncate(-1), { code });
  for (const path of ['', 'a\0b', 5, null, {}, new Uint8Array(0)]) {
    await t.throwsAsync(File.open(path as string), { code, message: /path must be/ });
  }
  await t.throwsAsync(File.open(new URL('https://example.com/')), { code, message: /file: URL/ });
  await t.throwsAsync(File.open('x', 'rx'), { code, message: /flags must be one of r, rs/ });
  await t.throwsAsync(File.open('x', 'r', { mode: 2 ** 20 }), {
    code,
    message: /mode must be a whole number from 0 to 4095/,
  });
  t.throws(() => new (File as unknown as new () => File)(), { code, message: /File\.open/ });
});

test('an array of no bytes moves none', async (t) => {
  executorOf(t);
  await using file = await File.open(fileOf('x'), 'r+');
  t.is(await file.readAt(new Uint8Array(0), 0), 0);
  t.is(await file.writeAt(new Uint8Array(0), 0), 0);
  t.is(await file.write(''), 0);
});

test('a position of what has none is ESPIPE, as node:fs says, and nothing is moved', async (t) => {
  const executor = executorOf(t);
  const path = `${folder}/no-positions`;
  (await import('node:child_process')).execFileSync('mkfifo', [path]);
  await using file = await File.open(path, 'r+');
  const target = new Uint8Array(10);
  for (const [syscall, call] of [
    ['read', () => file.readAt(target, 0)],
    ['read', () => file.read(target, { position: 3 })],
    ['read', () => file.readv([target, new Uint8Array(2)], 0)],
    ['write', () => file.writeAt(target, 0)],
    ['write', () => file.writeAt(new Uint8Array(100_000), 0)],
    ['write', () => file.writev([target], 1)],
  ] as [string, () => Promise<number>][]) {
    await t.throwsAsync(call(), { code: 'ESPIPE', message: `ESPIPE: invalid seek, ${syscall} '${path}'` });
  }
  using lease = executor.lease(4096);
  await t.throwsAsync(file.readAt(lease, 0), { code: 'ESPIPE' });
  t.is(await file.write('ping'), 4);
  t.is(await file.read(lease), 4);
  await using zero = await File.open('/dev/zero', 'r+');
  t.is(await zero.readAt(target.fill(1), 2 ** 40), 10);
  t.deepEqual(target, new Uint8Array(10));
  t.is(await zero.writeAt(target, 5), 10);
});

test('reads through a pipe wait for the writer', async (t) => {
  executorOf(t);
  const path = `${folder}/fifo`;
  (await import('node:child_process')).execFileSync('mkfifo', [path]);
  await using file = await File.open(path, 'r+');
  const target = new Uint8Array(10);
  const reading = file.read(target);
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.is(await file.write('ping'), 4);
  t.is(await reading, 4);
  t.is(Buffer.from(target.subarray(0, 4)).toString(), 'ping');
});
