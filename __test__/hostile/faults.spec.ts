// Short transfers, EIO, EINTR, full disks, limits: whatever a read or write meets, each byte that a result counts is where it belongs, and
// what did not happen is said. Injected between TypeScript and Rust (see support/faults.ts) or made by the kernel.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { ended, folder, script } from '../drivers';
import { INJECT, smallDisk, under } from '../support/faults';

const SIZE = 700_001; // Three scratch ranges.

/** Goes on after short transfers, as programs have to. */
const LOOPS = `
const { OPCODE_READ, OPCODE_WRITE } = layout;
const size = ${SIZE};
const data = bytesOf(size);
/** Reads a file with readAt, from a position, until it is at the end. */
async function readOn(file, target, from = 0) {
  let done = 0;
  for (;;) {
    const bytes = await file.readAt(target.subarray(done), from + done);
    if (bytes === 0) return done;
    done += bytes;
  }
}
async function writeOn(file, source, from = 0) {
  let done = 0;
  while (done < source.length) {
    const bytes = await file.writeAt(source.subarray(done), from + done);
    assert(bytes > 0, 'a write that moves nothing says why');
    done += bytes;
  }
}
/** All memory is back where it was. */
const free = () => { const { leases, arenaFreeBytes } = Executor.current().stats(); return { leases, arenaFreeBytes }; };
`;

const injected = (body: string) => script(`${INJECT}${LOOPS}${body}`);

test('short reads and writes of plain arrays: what is reported is there, the rest is untouched, and going on loses nothing', async (t) => {
  const result = await injected(`
    for (const most of [1, 511, 4096, 262143]) {
      const path = place();
      const file = await File.open(path, 'w+');
      inject((number, opcode) => opcode === OPCODE_WRITE ? most : undefined);
      const some = most === 1 ? data.subarray(0, 300) : data;
      const first = await file.writeAt(some, 0);
      assert.strictEqual(first, Math.min(most, some.length));
      same(fs.readFileSync(path), some.subarray(0, first), 'a short write');
      await writeOn(file, some.subarray(first), first);
      assert(injected > 1);
      same(fs.readFileSync(path), some, 'short writes');
      inject((number, opcode) => opcode === OPCODE_READ ? most : undefined);
      const target = new Uint8Array(some.length + 1).fill(0xaa);
      const read = await file.readAt(target, 0);
      assert.strictEqual(read, Math.min(most, some.length));
      same(target.subarray(0, read), some.subarray(0, read), 'a short read');
      assert(target.subarray(read).every((byte) => byte === 0xaa), 'the rest is untouched');
      target.fill(0);
      assert.strictEqual(await readOn(file, target), some.length);
      same(target.subarray(0, some.length), some, 'short reads');
      inject();
      await file.close();
    }`);
  ended(t, result);
});

test('short transfers at the own position of a file move it by what was moved', async (t) => {
  const result = await injected(`
    const path = place();
    const file = await File.open(path, 'w+');
    const next = random(7);
    inject(() => 1 + next(100_000));
    for (let done = 0; done < size; ) done += await file.write(data.subarray(done));
    same(fs.readFileSync(path), data, 'written on');
    await file.close();
    const again = await File.open(path);
    const target = new Uint8Array(size);
    for (let done = 0, bytes = 1; bytes > 0; done += bytes) bytes = await again.read(target.subarray(done));
    same(target, data, 'read on');
    await again.close();`);
  ended(t, result);
});

test('short transfers of leases are reported, and the lease comes back', async (t) => {
  const result = await injected(`
    const executor = Executor.current();
    const path = place();
    const before = free();
    const file = await File.open(path, 'w+');
    const lease = executor.lease(65_536);
    lease.bytes.set(data.subarray(0, 65_536));
    inject(() => 1000);
    assert.strictEqual(await file.writeAt(lease, 0), 1000);
    same(fs.readFileSync(path), data.subarray(0, 1000), 'a short write');
    inject((number, opcode) => opcode === OPCODE_READ ? 10 : undefined);
    lease.bytes.fill(0xbb);
    assert.strictEqual(await file.readAt(lease, 0), 10);
    same(lease.bytes.subarray(0, 10), data.subarray(0, 10), 'a short read');
    assert(lease.bytes.subarray(10).every((byte) => byte === 0xbb));
    inject();
    assert.strictEqual(await file.writeAt(lease, 0), 65_536);
    lease.release();
    await file.close();
    assert.deepStrictEqual(free(), before);`);
  ended(t, result);
});

test('an error in a later range: the bytes before it count, and the next call meets it', async (t) => {
  const result = await injected(`
    const path = place();
    fs.writeFileSync(path, data);
    const file = await File.open(path, 'r+');
    const range = 262_144;
    for (const code of ['EIO', 'EINTR', 'ENOSPC']) {
      const fails = (number) => number > 0 ? -errno[code] : undefined;
      inject(fails);
      const target = new Uint8Array(size).fill(0xaa);
      assert.strictEqual(await file.readAt(target, 0), range);
      same(target.subarray(0, range), data.subarray(0, range), 'the first range');
      assert(target.subarray(range).every((byte) => byte === 0xaa), 'no byte of a failed one');
      inject(() => -errno[code]);
      const { error } = await settled(file.readAt(target.subarray(range), range));
      assert.strictEqual(error.code, code);
      assert.strictEqual(error.errno, -errno[code]);
      assert.strictEqual(error.syscall, 'read');
      const other = bytesOf(size, 2);
      inject(fails);
      assert.strictEqual(await file.writeAt(other, 0), range);
      inject(() => -errno[code]);
      const failed = (await settled(file.writeAt(other.subarray(range), range))).error;
      assert.strictEqual(failed.code, code);
      assert.strictEqual(failed.syscall, 'write');
      inject();
      same(fs.readFileSync(path).subarray(0, range), other.subarray(0, range), 'what counts was written');
      fs.writeFileSync(path, data);
    }
    await file.close();`);
  ended(t, result);
});

test('a thousand failures leave no range, lease or descriptor behind, and the file works on', async (t) => {
  const result = await injected(`
    const executor = Executor.current();
    const path = place();
    fs.writeFileSync(path, data);
    const file = await File.open(path, 'r+');
    const lease = executor.lease(4096);
    const fifty = () => Promise.all(Array.from({ length: 50 }, (_, number) => {
      const array = number % 5 === 0 ? new Uint8Array(size) : new Uint8Array(4096);
      return settled(number % 2 === 0 ? file.readAt(array, 0) : file.writeAt(array, 0));
    }));
    const descriptors = () => fs.readdirSync('/proc/self/fd').length;
    const before = descriptors();
    const next = random(11);
    const codes = ['EIO', 'EINTR', 'ENOSPC', 'EDQUOT', 'EROFS', 'ENXIO'];
    inject(() => -errno[codes[next(codes.length)]]);
    for (let round = 0; round < 20; round++) {
      for (const { error } of await fifty()) assert(codes.includes(error?.code), String(error));
      const { error } = await settled(file.readAt(lease, 0));
      assert(codes.includes(error?.code), String(error));
      assert.strictEqual(lease.bytes.length, 4096);
    }
    inject();
    assert(descriptors() <= before, descriptors() + ' descriptors');
    // Ranges are kept for the next transfer, as many as were used at once; what leaks would be a thousand.
    assert(executor.stats().leases < 100, executor.stats().leases + ' leases');
    assert.strictEqual(executor.stats().inFlight, 0);
    assert.strictEqual(await file.readAt(lease, 0), 4096);
    lease.release();
    await file.close();`);
  ended(t, result);
});

test('a disk that is full takes what has room, says ENOSPC, and takes the rest once there is room', async (t) => {
  const disk = join(folder, 'disk');
  mkdirSync(disk);
  const small = smallDisk(disk);
  if ('reason' in small) {
    t.log(`skip: ${small.reason}; /dev/full instead`);
    const result = await injected(`
      const file = await File.open('/dev/full', 'w');
      for (const array of [data, data.subarray(0, 10)]) {
        const { error } = await settled(file.writeAt(array, 0));
        assert.strictEqual(error.code, 'ENOSPC');
      }
      await file.close();`);
    ended(t, result);
    return;
  }
  const result = await under(
    small.command,
    `
    ${LOOPS}
    const disk = ${JSON.stringify(disk)};
    const big = bytesOf(3_000_000, 5);
    fs.writeFileSync(disk + '/ballast', big.subarray(0, 300_000));
    const file = await File.open(disk + '/file', 'w+');
    let done = 0, error;
    while (error === undefined) {
      const outcome = await settled(file.writeAt(big.subarray(done), done));
      error = outcome.error;
      done += outcome.value ?? 0;
    }
    assert.strictEqual(error.code, 'ENOSPC');
    assert.strictEqual(error.syscall, 'write');
    assert(done > 500_000 && done < 1_048_576, String(done));
    assert.strictEqual(await file.size(), done, 'as long as was said');
    same(fs.readFileSync(disk + '/file'), big.subarray(0, done), 'what was said to be written');
    fs.unlinkSync(disk + '/ballast');
    await writeOn(file, big.subarray(done, done + 200_000), done);
    same(fs.readFileSync(disk + '/file'), big.subarray(0, done + 200_000), 'once there is room');
    await file.sync();
    await file.close();`,
  );
  ended(t, result);
});

test('a limit of file sizes cuts a write, then says EFBIG', async (t) => {
  const result = await under(
    // POSIX: units of 512 bytes, whatever the shell; bash outside of POSIX mode takes 1024.
    'ulimit -f 1000; exec "$0" "$1"',
    `
    ${LOOPS}
    process.on('SIGXFSZ', () => {}); // Node gives it back its default, which ends the process.
    const limit = Number(/^Max file size +(\\d+)/m.exec(fs.readFileSync('/proc/self/limits', 'utf8'))[1]);
    const path = place();
    const file = await File.open(path, 'w+');
    const big = bytesOf(limit + 100_000, 6);
    let done = 0, error;
    while (error === undefined) {
      const outcome = await settled(file.writeAt(big.subarray(done), done));
      error = outcome.error;
      done += outcome.value ?? 0;
    }
    assert.strictEqual(error.code, 'EFBIG');
    assert.strictEqual(done, limit);
    same(fs.readFileSync(path), big.subarray(0, limit), 'up to the limit');
    await file.close();`,
  );
  ended(t, result);
});

test('files that give less than asked for: procfs, a pipe, and memory whose end is reached', async (t) => {
  const result = await injected(`
    // A generated file gives a page at a time.
    const maps = await File.open('/proc/self/maps');
    const text = new Uint8Array(4_000_000);
    let length = 0, calls = 0;
    for (let bytes = 1; bytes > 0; length += bytes, calls++) bytes = await maps.read(text.subarray(length));
    assert(calls > 2 && length > 4096, calls + ' ' + length);
    assert.match(Buffer.from(text.subarray(0, length)).toString('latin1'), /^[0-9a-f]+-[^]*\\n$/);
    await maps.close();
    // The end of a mapping, and nothing behind it: short, then EIO.
    const lines = fs.readFileSync('/proc/self/maps', 'latin1').trim().split('\\n');
    const ranges = lines.map((line) => line.split(/[- ]/)).map(([start, end, rights]) => ({ start: parseInt(start, 16), end: parseInt(end, 16), rights }));
    const last = ranges.find(({ end, rights }, index) => rights.startsWith('rw') && ranges[index + 1]?.start > end + 1_048_576);
    const { value: memory, error } = await settled(File.open('/proc/self/mem'));
    if (error !== undefined) { console.error('skip: ' + error.message); await Executor.current().close(); return; }
    for (const make of [() => new Uint8Array(8192), () => new Uint8Array(300_000)]) {
      assert.strictEqual(await memory.readAt(make(), last.end - 4096), 4096);
      const { error } = await settled(memory.readAt(make(), last.end));
      assert.strictEqual(error.code, 'EIO');
      assert.strictEqual(error.syscall, 'read');
    }
    await memory.close();`);
  ended(t, result);
});

test('signals cut nothing: every byte of a pipe and of a file arrives while they rain', async (t) => {
  const result = await injected(`
    const { execFileSync, spawn } = require('node:child_process');
    process.on('SIGUSR2', () => {});
    const fifo = place();
    execFileSync('mkfifo', [fifo]);
    const rain = spawn('sh', ['-c', 'for i in 1 2 3 4 5 6 7 8 9 10; do for j in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do kill -USR2 ' + process.pid + ' || exit; done; sleep 0.01; done']);
    const over = new Promise((resolve) => rain.once('close', resolve));
    const pipe = await File.open(fifo, 'r+');
    const path = place();
    const file = await File.open(path, 'w+');
    let dry = false;
    over.then(() => { dry = true; });
    let rounds = 0;
    do {
      const part = bytesOf(3000, ++rounds);
      const target = new Uint8Array(3000);
      const reading = (async () => { for (let done = 0; done < 3000; ) done += await pipe.read(target.subarray(done)); })();
      for (let done = 0; done < 3000; ) done += await pipe.write(part.subarray(done));
      await reading;
      same(target, part, 'through a pipe');
      await writeOn(file, part, 0);
      assert.strictEqual(await readOn(file, target), 3000);
      same(target, part, 'through a file');
    } while (!dry);
    assert(rounds > 1);
    await pipe.close();
    await file.close();`);
  ended(t, result);
});

test('a random mix of short transfers and errors: a program that goes on and tries again ends with the right bytes', async (t) => {
  const result = await injected(`
    for (let seed = 1; seed <= 10; seed++) {
      const next = random(seed * 40503);
      const path = place();
      const file = await File.open(path, 'w+');
      inject((number, opcode, length) => {
        const dice = next(10);
        if (dice < 3) return -errno[['EIO', 'EINTR', 'EAGAIN'][dice]];
        return dice < 8 ? 1 + next(length) : undefined;
      });
      const stubborn = async (operation) => {
        for (let tries = 0; tries < 100; tries++) {
          const { value, error } = await settled(operation());
          if (error === undefined) return value;
          assert.match(error.code, /^(EIO|EINTR|EAGAIN)$/);
        }
        assert.fail('a hundred errors in a row');
      };
      const piece = 65_536;
      // Several lanes, each with its part of the file.
      await Promise.all(Array.from({ length: 4 }, async (_, lane) => {
        for (let at = lane * piece; at < size; at += 4 * piece) {
          const end = Math.min(at + piece, size);
          for (let done = at; done < end; ) done += await stubborn(() => file.writeAt(data.subarray(done, end), done));
        }
      }));
      const target = new Uint8Array(size);
      for (let done = 0; done < size; ) done += await stubborn(() => file.readAt(target.subarray(done), done));
      assert(injected > 20);
      inject();
      same(fs.readFileSync(path), data, 'written, seed ' + seed);
      same(target, data, 'read, seed ' + seed);
      await file.close();
    }`);
  ended(t, result);
});
