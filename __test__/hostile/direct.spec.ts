// Files that bypass the page cache: whatever position, length and memory a transfer has, it does what it would do on any other file, and the file is never
// longer than what was written. On a real disk: the directory is the clone's own, since /tmp is often in memory.
import { closeSync, constants, mkdirSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { ended, folder, script } from '../drivers';
import { root } from '../support/command';
import { INJECT, smallDiskFor, under } from '../support/faults';

mkdirSync(join(root, 'target'), { recursive: true });
const disk = mkdtempSync(join(root, 'target', 'direct-spec-'));
process.on('exit', () => rmSync(disk, { recursive: true, force: true }));

/** Why there is nothing to test in a directory; undefined when there is. */
function missing(directory: string): string | undefined {
  try {
    closeSync(openSync(join(directory, 'probe'), constants.O_CREAT | constants.O_RDWR | constants.O_DIRECT, 0o600));
    return undefined;
  } catch (error) {
    return `no O_DIRECT in ${directory}: ${(error as Error).message}`;
  }
}
const reason = missing(disk);

const PRELUDE = `
const disk = process.env.RINGWHEEL_DISK ?? ${JSON.stringify(disk)};
let count = 0;
const onDisk = () => disk + '/' + process.pid + '-' + count++;
const { OPCODE_READ, OPCODE_WRITE } = layout;
const next = random(Number(process.env.RINGWHEEL_SEED ?? 12345));
const executor = Executor.current();
if (wanted === 'uring' || wanted === 'poll') assert.strictEqual(executor.driver, wanted);
/** All memory is back, and nothing is on its way. */
const rest = () => {
  assert.strictEqual(executor.stats().inFlight, 0);
  assert.strictEqual(executor.stats().waiting, 0);
  assert(executor.stats().leases < 100, executor.stats().leases + ' leases');
};
/** Moves bytes through a lease or an array of their own, as chance has it. */
async function put(file, bytes, position, options) {
  if (bytes.length === 0 || next(2) === 0) return options ? file.write(bytes, { position, ...options }) : file.writeAt(bytes, position);
  const lease = executor.lease(bytes.length);
  lease.bytes.set(bytes);
  try {
    return await (options ? file.write(lease, { position, ...options }) : file.writeAt(lease, position));
  } finally { lease.release(); }
}
async function get(file, length, position) {
  if (length === 0 || next(2) === 0) {
    const target = new Uint8Array(length + 9).fill(0xaa);
    const bytes = await file.readAt(target.subarray(0, length), position);
    assert(target.subarray(bytes).every((byte) => byte === 0xaa), 'the rest of the array is untouched');
    return target.slice(0, bytes);
  }
  const lease = executor.lease(length);
  try {
    const bytes = await file.readAt(lease, position);
    return lease.bytes.slice(0, bytes);
  } finally { lease.release(); }
}
const lengths = [() => 1, () => next(100), () => 512, () => next(2000), () => 4096, () => next(40_000), () => 512 * next(40), () => next(400_000)];
const anyLength = () => lengths[next(lengths.length)]();
const anyPosition = () => [() => next(20) * 4096, () => next(200) * 512, () => next(100_000), () => next(400_000)][next(4)]();
/** A file as it should be. */
class Model {
  bytes = Buffer.alloc(0);
  put(bytes, position) {
    const end = position + bytes.length;
    if (bytes.length > 0 && end > this.bytes.length) this.bytes = Buffer.concat([this.bytes], end);
    Buffer.from(bytes).copy(this.bytes, position);
  }
  cut(length) { this.bytes = length < this.bytes.length ? this.bytes.subarray(0, length) : Buffer.concat([this.bytes], length); }
  is(path, what) {
    assert.strictEqual(fs.statSync(path).size, this.bytes.length, what + ': length');
    same(fs.readFileSync(path), this.bytes, what);
  }
}
`;

function direct(name: string, body: string, env: Record<string, string> = {}): void {
  test(name, async (t) => {
    if (reason !== undefined) {
      process.stderr.write(`skip: ${name}: ${reason}\n`);
      t.pass();
      return;
    }
    ended(t, await script(`${INJECT}${PRELUDE}${body}`, [], env));
  });
}

const PROPERTY = `
  const path = onDisk();
  const file = await File.open(path, 'w+', { direct: true });
  const model = new Model();
  for (let round = 0; round < 300; round++) {
    const what = next(10);
    const [length, position] = [anyLength(), anyPosition()];
    if (what < 5) {
      const bytes = bytesOf(length, round);
      assert.strictEqual(await put(file, bytes, position, next(3) === 0 ? {} : undefined), length);
      model.put(bytes, position);
    } else if (what < 9) {
      same(await get(file, length, position), model.bytes.subarray(position, position + length), 'read ' + length + ' at ' + position);
    } else {
      await file.truncate(position);
      model.cut(position);
    }
    assert.strictEqual(fs.statSync(path).size, model.bytes.length, 'round ' + round + ': ' + [what, length, position]);
  }
  model.is(path, 'at the end');
  // The other ways to read it.
  const ranges = Array.from({ length: 100 }, () => ({ position: anyPosition(), length: next(3000) }));
  const batch = await file.readMany(ranges, { amplification: next(10_000) });
  ranges.forEach(({ position, length }, index) => same(batch.view(index), model.bytes.subarray(position, position + length), 'range ' + index));
  batch.release();
  for (const options of [{}, { start: 777 }, { start: 5, end: 100_001, chunkBytes: 3333 }, { chunkBytes: 100, end: 3000 }, { start: 1e9 }]) {
    const parts = [];
    for await (const chunk of file.stream(options)) {
      assert(chunk.length <= (options.chunkBytes ?? Infinity));
      parts.push(Buffer.from(chunk.bytes));
    }
    same(Buffer.concat(parts), model.bytes.subarray(options.start ?? 0, options.end), 'stream ' + JSON.stringify(options));
  }
  // The file's own position.
  let done = 0;
  while (done < 5000) {
    const bytes = new Uint8Array(next(1500));
    const read = await file.read(bytes);
    same(bytes.subarray(0, read), model.bytes.subarray(done, done + read), 'own position');
    done += read;
  }
  await Promise.all([1, 700, 2].map((length) => put(file, bytesOf(length, 99), undefined, {})));
  for (const length of [1, 700, 2]) { model.put(bytesOf(length, 99), done); done += length; }
  same(await file.readAll(), model.bytes.subarray(done), 'readAll');
  assert.strictEqual((await file.readAll()).length, 0);
  assert.strictEqual(await file.size(), model.bytes.length);
  await file.close();
  model.is(path, 'closed');
  rest();
  await executor.close();
`;

direct('random unaligned reads, writes and truncations are those of a plain buffer', PROPERTY);
direct('the same with another seed, where JavaScript cannot see the arena', PROPERTY, {
  RINGWHEEL_COPIES: '1',
  RINGWHEEL_SEED: '777',
});

direct(
  'concurrent writes in the same blocks lose no byte, whatever their order',
  `
  const path = onDisk();
  const file = await File.open(path, 'w+', { direct: true });
  for (let round = 0; round < 12; round++) {
    // Pieces that touch each other, some of whole blocks, in any order: each byte belongs to one of them.
    const model = new Model();
    await file.truncate(next(2) * next(30_000));
    model.bytes = fs.readFileSync(path);
    const from = next(3000);
    const pieces = [];
    for (let at = from; at < 25_000; ) {
      const length = next(4) === 0 && at % 512 === 0 ? 1024 : 1 + next([20, 600, 3000][next(3)]);
      pieces.push({ at, bytes: bytesOf(length, at + round) });
      at += length;
    }
    for (const { at, bytes } of pieces) model.put(bytes, at);
    pieces.sort(() => next(3) - 1);
    const writes = pieces.map(({ at, bytes }) => put(file, bytes, at));
    const size = file.size();
    const moved = await Promise.all(writes);
    moved.forEach((bytes, index) => assert.strictEqual(bytes, pieces[index].bytes.length));
    assert.strictEqual(await size, model.bytes.length, 'the padding of the last block is not seen');
    model.is(path, 'round ' + round);
  }
  // A byte within a block that is written as a whole: it may win or lose, and nothing beside it.
  for (let round = 0; round < 20; round++) {
    const block = bytesOf(file.alignment, round);
    const lease = executor.lease(4096);
    lease.bytes.set(block);
    const whole = () => file.write(lease, { position: 0, length: block.length });
    const part = () => file.writeAt(Uint8Array.of(7, 7), 100);
    await Promise.all(round % 2 ? [whole(), part()] : [part(), whole()]);
    const found = fs.readFileSync(path).subarray(0, block.length);
    const both = round % 2 ? Uint8Array.of(7, 7) : block.subarray(100, 102);
    same(found.subarray(100, 102), both, 'in the order of the calls');
    same(found.subarray(0, 100), block.subarray(0, 100), 'before');
    same(found.subarray(102), block.subarray(102), 'behind');
    lease.release();
  }
  await file.close();
  rest();
  await executor.close();`,
);

direct(
  'appends are behind each other, and the file is as long as they are',
  `
  const path = onDisk();
  fs.writeFileSync(path, 'begin ');
  const file = await File.open(path, 'a+', { direct: true });
  const lines = Array.from({ length: 200 }, (_, line) => 'line ' + line + '.'.repeat(next(50)) + '\\n');
  const writes = lines.map((line, number) => number % 2 ? file.write(line) : file.writeAt(Buffer.from(line), 3));
  await Promise.all(writes);
  const text = fs.readFileSync(path, 'utf8');
  assert(text.startsWith('begin '));
  assert.strictEqual(text.length, 6 + lines.join('').length);
  assert.deepStrictEqual(text.slice(6).split('\\n').sort(), lines.join('').split('\\n').sort());
  await file.sync();
  await file.datasync();
  await file.close();
  // Opened for writing alone it is not read, although blocks of it are.
  const only = await File.open(path, 'r+', { direct: true });
  assert.strictEqual((await only.readAll()).length, text.length);
  await only.close();
  const written = await File.open(path, 'w', { direct: true });
  await written.writeAt(Buffer.from('short'), 0);
  for (const refused of [written.readAt(new Uint8Array(5), 0), written.read(executor.lease(512)), written.readAll(), written.readMany([{ position: 0, length: 1 }]),
    (async () => { for await (const chunk of written.stream()) assert(false); })()]) {
    const { error } = await settled(refused);
    assert.strictEqual(error.code, 'EBADF');
    assert.strictEqual(error.syscall, 'read');
  }
  await written.close();
  assert.strictEqual(fs.readFileSync(path, 'utf8'), 'short');
  await executor.close();`,
);

direct(
  'short transfers: what is reported is there, what is not is untouched, and the file is not longer',
  `
  for (let round = 0; round < 40; round++) {
    const path = onDisk();
    const model = new Model();
    model.put(bytesOf(next(20_000), round), 0);
    fs.writeFileSync(path, model.bytes);
    const file = await File.open(path, 'r+', { direct: true });
    const most = file.alignment * (1 + next(4));
    const [length, position] = [1 + next(30_000), next(15_000)];
    const bytes = bytesOf(length, round + 1000);
    inject((number, opcode) => opcode === OPCODE_WRITE ? most : undefined);
    const moved = await put(file, bytes, position);
    assert(moved > 0 && moved <= length);
    inject();
    model.put(bytes.subarray(0, moved), position);
    model.is(path, 'round ' + round + ' ' + [length, position, most, moved]);
    inject((number, opcode) => opcode === OPCODE_READ ? most : undefined);
    const found = await get(file, length, position);
    assert(found.length > 0);
    same(found, model.bytes.subarray(position, position + found.length), 'a short read');
    // Reads of the edges, too: what they do not bring is asked for again, never taken for zeros.
    const other = bytesOf(3000, round + 2000);
    assert.strictEqual(await put(file, other, 700), 3000);
    model.put(other, 700);
    inject();
    model.is(path, 'after short reads of blocks');
    await file.close();
    fs.unlinkSync(path);
  }
  rest();
  await executor.close();`,
);

direct(
  'errors are told, and a file is not longer after them',
  `
  const path = onDisk();
  const start = bytesOf(10_001, 4);
  for (const code of ['EIO', 'ENOSPC', 'EINTR']) {
    for (const bytes of [bytesOf(100, 5), bytesOf(300_000, 6)]) {
      for (const position of [10_001, 9_999, 12_000, 20_000, 0]) {
        fs.writeFileSync(path, start);
        const file = await File.open(path, 'r+', { direct: true });
        // The write is made and then told to have failed: what lies behind the end has to go.
        inject((number, opcode) => opcode === OPCODE_WRITE ? -errno[code] : undefined);
        const { error } = await settled(put(file, bytes, position));
        assert.strictEqual(error?.code, code);
        assert.strictEqual(error.syscall, 'write');
        assert.strictEqual(error.path, path);
        const size = fs.statSync(path).size;
        if ((position + bytes.length) % file.alignment !== 0) assert.strictEqual(size, start.length, 'cut again: ' + [position, bytes.length]);
        same(fs.readFileSync(path).subarray(0, Math.min(position, start.length)), start.subarray(0, position), 'before it');
        // A block that cannot be read is not written either.
        inject((number, opcode) => opcode === OPCODE_READ ? -errno[code] : undefined);
        const unread = (await settled(file.writeAt(bytesOf(10, 7), 5))).error;
        assert.strictEqual(unread?.code, code);
        assert.strictEqual(unread.syscall, 'read');
        inject();
        assert.strictEqual(await put(file, bytes, position), bytes.length, 'it works on');
        await file.close();
      }
    }
  }
  // An error in a later range: the bytes before it count.
  fs.writeFileSync(path, start);
  const file = await File.open(path, 'r+', { direct: true });
  const long = bytesOf(700_001, 8);
  let writes = 0;
  inject((number, opcode) => opcode === OPCODE_WRITE && writes++ > 0 ? -errno.EIO : undefined);
  const moved = await file.writeAt(long, 100);
  assert(moved > 100_000 && moved < 700_001, String(moved));
  same(fs.readFileSync(path).subarray(100, 100 + moved), long.subarray(0, moved), 'what counts is there');
  assert.strictEqual(fs.statSync(path).size, 100 + moved);
  inject();
  await file.close();
  rest();
  await executor.close();`,
);

direct(
  'aborts, closes and released leases in flight: each promise settles, each lease comes back, nothing is padded',
  `
  const path = onDisk();
  const start = bytesOf(100_001, 4);
  fs.writeFileSync(path, start);
  const file = await File.open(path, 'r+', { direct: true });
  for (let round = 0; round < 30; round++) {
    const stop = new AbortController();
    const lease = executor.lease(3001);
    lease.bytes.fill(round);
    const moves = [
      file.write(lease, { position: 100_500, signal: stop.signal }),
      file.write(new Uint8Array(5000).fill(round), { position: 99_000, signal: stop.signal }),
      file.write(new Uint8Array(10).fill(round), { position: 100_499, signal: stop.signal }),
      file.read(new Uint8Array(777), { position: 100_400, signal: stop.signal }),
      file.read(new Uint8Array(70), { signal: stop.signal }),
      file.readAll({ signal: stop.signal }),
    ];
    for (let turns = next(4); turns > 0; turns--) await new Promise(setImmediate);
    stop.abort('enough ' + round);
    if (round % 3 === 0) lease.release();
    const results = await Promise.all(moves.map(settled));
    for (const { error } of results) assert(error === undefined || error === 'enough ' + round, String(error));
    if (round % 3 !== 0) {
      assert.strictEqual(lease.bytes.length, 3001);
      lease.release();
    }
    const size = await file.size();
    assert([100_001, 104_000, 100_509, 103_501].includes(size), String(size));
    assert.strictEqual(fs.statSync(path).size, size);
  }
  const before = await settled(file.write(new Uint8Array(3), { position: 3, signal: AbortSignal.abort('before') }));
  assert.strictEqual(before.error, 'before');
  // A lease is in one hand.
  const lease = executor.lease(1000);
  const first = file.writeAt(lease, 1);
  assert.strictEqual((await settled(file.writeAt(lease, 1))).error.code, 'ERR_RINGWHEEL_LEASE');
  await first;
  lease.release();
  // An array that goes away before its bytes were taken.
  const gone = new Uint8Array(1000);
  const lost = settled(file.writeAt(gone, 1));
  structuredClone(gone.buffer, { transfer: [gone.buffer] });
  assert.strictEqual((await lost).error.code, 'ERR_RINGWHEEL_BUFFER');
  // Close waits for what was begun, and refuses the rest.
  const writes = Array.from({ length: 50 }, (_, number) => file.writeAt(new Uint8Array(333).fill(number + 1), 200_000 + number * 333));
  const closed = file.close();
  assert.strictEqual((await settled(file.writeAt(new Uint8Array(1), 0))).error.code, 'ERR_RINGWHEEL_CLOSED');
  await closed;
  for (const moved of await Promise.all(writes)) assert.strictEqual(moved, 333);
  assert.strictEqual(fs.statSync(path).size, 200_000 + 50 * 333);
  fs.readFileSync(path).subarray(200_000).forEach((byte, at) => assert.strictEqual(byte, Math.floor(at / 333) + 1));
  rest();
  // The executor's close waits, too.
  const again = await File.open(path, 'r+', { direct: true });
  const last = again.writeAt(new Uint8Array(77), 300_001);
  await executor.close();
  assert.strictEqual(await last, 77);
  assert.strictEqual(fs.statSync(path).size, 300_078);`,
);

direct(
  'aligned reads of leases go to the device as they are',
  `
  const path = onDisk();
  const bytes = bytesOf(65_536, 3);
  fs.writeFileSync(path, bytes);
  const file = await File.open(path, 'r+', { direct: true });
  assert([512, 1024, 2048, 4096].includes(file.alignment), String(file.alignment));
  const plain = await File.open(path);
  assert.strictEqual(plain.alignment, 1);
  await plain.close();
  const leases = Array.from({ length: 16 }, () => executor.lease(4096));
  const run = () => Promise.all(leases.map((lease, index) => file.readAt(lease, index * 4096)));
  const submitted = () => executor.stats().submitted;
  await run();
  const [before, copies] = [submitted(), executor.stats().copyBytes];
  await run();
  assert.strictEqual(submitted() - before, 16, 'one operation each');
  assert.strictEqual(executor.stats().copyBytes, copies);
  leases.forEach((lease, index) => same(lease.bytes, bytes.subarray(index * 4096, index * 4096 + 4096), 'read'));
  const early = submitted();
  await Promise.all(leases.map((lease, index) => file.writeAt(lease, (index + 1) * 4096)));
  assert.strictEqual(submitted() - early, 16, 'writes, too');
  same(fs.readFileSync(path).subarray(4096), bytes, 'written');
  // The part of a lease that can go as it is does: one write of it, and one block through a copy.
  const lease = executor.lease(1_000_100);
  lease.bytes.fill(9);
  const writes = [];
  inject((number, opcode, length) => void writes.push(length));
  assert.strictEqual(await file.writeAt(lease, 0), 1_000_100);
  inject();
  const inPlace = 1_000_100 - 1_000_100 % file.alignment;
  assert.deepStrictEqual(writes, [inPlace, file.alignment]);
  assert.strictEqual(fs.statSync(path).size, 1_000_100);
  for (const [place, flags] of [['/proc/self/status', 'r'], ['/dev/null', 'r+'], [disk, 'r']]) {
    const { error } = await settled(File.open(place, flags, { direct: true }));
    assert.strictEqual(error.code, 'EINVAL');
    assert.strictEqual(error.syscall, 'open');
    assert.strictEqual(error.path, place);
    assert.match(error.message, /^EINVAL: invalid argument, open '.*': no direct I\\/O .*open it without \`direct\`$/);
  }
  assert.strictEqual((await settled(File.open(disk + '/none', 'r', { direct: true }))).error.code, 'ENOENT');
  await executor.close();`,
);

test('a full disk takes what has room, says ENOSPC, and the file is as long as was said', async (t) => {
  const place = join(folder, 'direct-disk');
  const command = smallDiskFor(t, place);
  if (command === undefined) return;
  const result = await under(
    command,
    `
    try { fs.closeSync(fs.openSync(disk + '/probe', fs.constants.O_CREAT | fs.constants.O_RDWR | fs.constants.O_DIRECT)); }
    catch { console.error('skip: a full disk: this kernel has no O_DIRECT in tmpfs'); return; }
    ${PRELUDE}
    const file = await File.open(disk + '/file', 'w+', { direct: true });
    const big = bytesOf(3_000_000, 5);
    let done = 0, error;
    while (error === undefined) {
      const outcome = await settled(file.writeAt(big.subarray(done, done + 50_001), done));
      error = outcome.error;
      done += outcome.value ?? 0;
      assert.strictEqual(fs.statSync(disk + '/file').size, done);
    }
    assert.strictEqual(error.code, 'ENOSPC');
    assert.strictEqual(error.syscall, 'write');
    assert(done > 500_000 && done <= 1_048_576, String(done));
    same(fs.readFileSync(disk + '/file'), big.subarray(0, done), 'what was said to be written');
    await file.close();
    await executor.close();`.replace('disk + ', () => `${JSON.stringify(place)} + `),
    { RINGWHEEL_DISK: place },
  );
  ended(t, result);
});
