// Long arrays that are written from where they are: the right bytes at the right place, whatever else happens, and when they are not.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { Executor, File } from '../../index';
import { ended, executorOf, fileOf, pattern } from '../drivers';
import { root } from '../support/command';
import { under } from '../support/faults';

const linux = process.platform === 'linux';
const SIZE = 3_000_001;
const bytes = pattern(SIZE);
const written = () => Executor.current().stats().writesNow;

/** Runs `work` and returns how many writes were made so. */
async function countedNow(work: () => Promise<unknown>): Promise<number> {
  const before = written();
  await work();
  return written() - before;
}

(linux ? test.serial : test.serial.skip)(
  'arrays from 64 KiB on are written in one copy, at any position, and at the end',
  async (t) => {
    executorOf(t);
    const path = fileOf('');
    const file = await File.open(path, 'r+');
    t.is(await countedNow(() => file.writeAt(bytes.subarray(0, 65_535), 0)), 0);
    t.true((await countedNow(async () => t.is(await file.writeAt(bytes.subarray(0, 65_536), 7), 65_536))) > 0);
    t.true((await countedNow(async () => t.is(await file.writeAt(bytes, 1_000_003), SIZE))) > 0);
    const whole = fs.readFileSync(path);
    t.is(whole.compare(bytes, 0, 65_536, 7, 7 + 65_536), 0);
    t.is(whole.compare(bytes, 0, SIZE, 1_000_003), 0);
    await file.close();
    const appended = await File.open(path, 'a');
    t.is(await appended.write(bytes.subarray(0, 100_000)), 100_000);
    await appended.close();
    t.is(fs.readFileSync(path).compare(bytes, 0, 100_000, 1_000_003 + SIZE), 0);
  },
);

test.serial('many at once, long and short, by position and by turns: every byte is where it belongs', async (t) => {
  executorOf(t);
  const path = fileOf('');
  const file = await File.open(path, 'r+');
  const lengths = [70_000, 5, 300_000, 65_536, 4096, 1_500_000, 262_144, 262_145];
  const moves: Promise<number>[] = [];
  let at = 0;
  for (let round = 0; round < 4; round++) {
    for (const length of lengths) {
      moves.push(file.writeAt(bytes.subarray(at % 1_000_000, (at % 1_000_000) + length), at));
      at += length;
    }
  }
  const results = await Promise.all(moves);
  t.deepEqual(results, [...lengths, ...lengths, ...lengths, ...lengths]);
  const whole = fs.readFileSync(path);
  t.is(whole.length, at);
  let from = 0;
  for (const length of results) {
    const start = from % 1_000_000;
    t.is(whole.compare(bytes, start, start + length, from, from + length), 0, String(from));
    from += length;
  }
  await file.close();
});

test.serial('at the own position of a file writes keep their order with those before', async (t) => {
  executorOf(t);
  const path = fileOf('');
  const file = await File.open(path, 'r+');
  await Promise.all([file.write(bytes.subarray(0, 100)), file.write(bytes.subarray(100, 200_000))]);
  await file.write(bytes.subarray(200_000, 1_000_000));
  await file.write(bytes.subarray(1_000_000, 1_000_100));
  const whole = fs.readFileSync(path);
  t.is(whole.length, 1_000_100);
  t.is(whole.subarray(200_000).compare(bytes, 200_000, 1_000_100), 0);
  await file.close();
});

test.serial('other work has its turns while a long array is written, and a signal ends it', async (t) => {
  executorOf(t);
  const path = fileOf('');
  const file = await File.open(path, 'r+');
  const long = new Uint8Array(256 << 20).fill(3);
  let turns = 0;
  const ending = new AbortController();
  const reason = new Error('mine');
  const ticks = setInterval(() => {
    if (++turns === 3) ending.abort(reason);
  }, 1);
  await t.throwsAsync(file.write(long, { position: 0, signal: ending.signal }), { is: reason });
  clearInterval(ticks);
  t.true(turns >= 3);
  await file.close();
  const found = fs.readFileSync(path);
  t.true(found.length < long.length && found.every((byte) => byte === 3));
});

test.serial('what is no plain file goes through the ring: a pipe, O_DSYNC, a device', async (t) => {
  executorOf(t);
  const pipe = `${fileOf('')}.fifo`;
  spawnSync('mkfifo', [pipe]);
  const [reader, writer] = await Promise.all([File.open(pipe, 'r'), File.open(pipe, 'w')]);
  const part = bytes.subarray(0, 200_000);
  const count = await countedNow(async () => {
    const moved = await writer.write(bytes.subarray(0, 65_536)); // A pipe takes what it has room for.
    const got = Buffer.alloc(65_536);
    t.is(await reader.read(got), moved);
    t.is(got.compare(bytes, 0, moved, 0, moved), 0);
  });
  await Promise.all([reader.close(), writer.close()]);
  const synced = await File.open(fileOf(''), fs.constants.O_WRONLY | fs.constants.O_DSYNC);
  const device = await File.open('/dev/null', 'w');
  const others = await countedNow(async () => {
    t.is(await synced.writeAt(part, 0), part.length);
    t.true((await device.write(part)) > 0);
  });
  t.is(count + others, 0);
  await Promise.all([synced.close(), device.close()]);
});

test.serial('a file that cannot be written, and a limit in the middle, have the errors of any write', async (t) => {
  executorOf(t);
  const path = fileOf('');
  const file = await File.open(path, 'r');
  await t.throwsAsync(file.writeAt(bytes, 0), { code: 'EBADF', message: /write/ });
  const writer = file.writer();
  await t.throwsAsync(
    writer.write(bytes).then(() => writer.close()),
    { code: 'EBADF' },
  );
  await file.close();
  const result = await under(
    'ulimit -f 2048; exec "$0" "$1"', // 512 bytes each
    `
    process.on('SIGXFSZ', () => {});
    const path = place();
    const data = new Uint8Array(3_000_000).fill(5);
    const file = await File.open(path, 'w');
    assert.strictEqual(await file.writeAt(data, 0), 1 << 20);
    await assert.rejects(file.writeAt(data.subarray(0, 100_000), 1 << 20), { code: 'EFBIG', syscall: 'write', path });
    const writer = file.writer();
    const error = await writer.write(data).then(() => writer.close()).catch((error) => error);
    assert.strictEqual(error.code, 'EFBIG');
    assert.strictEqual(writer.flushedPosition, 1 << 20);
    await file.close();
    const { writeFile } = require(${JSON.stringify(join(root, 'dist/fs.js'))});
    await assert.rejects(writeFile(path, data), { code: 'EFBIG' });
    const { size, blocks } = fs.statSync(path);
    assert.strictEqual(size, 1 << 20);
    assert(blocks * 512 <= size + 65_536, 'blocks behind the end are given back: ' + blocks);`,
  );
  ended(t, result);
});

test.serial(
  'a writer takes long and short pieces in any mixture, and knows at each moment what is written',
  async (t) => {
    executorOf(t);
    const path = fileOf('');
    const file = await File.open(path, 'r+');
    const writer = file.writer();
    const cuts = [100, 70_000, 3, 1_200_000, 65_536, 65_535, 900_000, 1];
    const writes: Promise<void>[] = [];
    let at = 0;
    for (const cut of cuts) {
      writes.push(writer.write(bytes.subarray(at, at + cut)));
      at += cut;
    }
    await Promise.all(writes);
    await writer.flush();
    t.is(writer.flushedPosition, at);
    t.is(fs.readFileSync(path).compare(bytes, 0, at), 0);
    const unawaited = writer.write(bytes.subarray(at, at + 300_000));
    const last = writer.write(bytes.subarray(at + 300_000, at + 300_010));
    await file.close();
    await Promise.all([unawaited, last]);
    t.is(fs.readFileSync(path).compare(bytes, 0, at + 300_010), 0);
  },
);
