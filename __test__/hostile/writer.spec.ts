// file.writer() where the system does not play along: short writes, errors in the middle, full disks, readers that go away, an executor or a thread
// that ends, a writer that is forgotten. Nothing is lost without somebody being told.
import { join } from 'node:path';
import test from 'ava';
import { ended, folder, script } from '../drivers';
import { INJECT, smallDiskFor, under } from '../support/faults';

const HELPERS = `
const { OPCODE_WRITE } = layout;
const data = bytesOf(700_001);
/** Bytes that no lease and no writer has. */
const free = () => { const { arenaFreeBytes, copyBytes } = Executor.current().stats(); return arenaFreeBytes + copyBytes; };
const fill = async (writer, piece) => {
  for (let done = 0; done < data.length; done += piece) await writer.write(data.subarray(done, done + piece));
  await writer.flush();
};
const opened = async () => { const path = place(); return { path, file: await File.open(path, 'w+') }; };
/** Of a writer and a failed call: the same error from then on, and memory back. */
const stays = async (writer, error) => {
  for (const later of [writer.write('x'), writer.flush(), writer.sync(), writer.close()]) {
    assert.strictEqual((await settled(later)).error, error);
  }
};
`;
const injected = (body: string) => script(`${INJECT}${HELPERS}${body}`);

test('short writes, at random or all of them: every byte once and in order, also of leases', async (t) => {
  const result = await injected(`
    const { file, path } = await opened();
    await fill(file.writer(), 100_000);
    await file.writeAt(data, 0);
    const next = random(7);
    const lease = Executor.current().lease(200_000);
    lease.bytes.set(data.subarray(0, 200_000));
    const before = free();
    for (const plan of [() => 1 + next(30_000), () => next(3) === 0 ? 5 : undefined, () => 4095]) {
      for (const [chunkBytes, writeBehind] of [[8192, 1], [65_536, 2], [20_000, 8]]) {
        await file.truncate();
        const writer = file.writer({ chunkBytes, writeBehind, position: 3 });
        inject((number, opcode) => opcode === OPCODE_WRITE ? plan() : undefined);
        let most = 3;
        const watch = setInterval(() => { assert(writer.flushedPosition >= most); most = writer.flushedPosition; }, 0);
        await fill(writer, 50_001);
        await writer.write(lease);
        await writer.write('end');
        assert.strictEqual(await writer.flush(), 3 + 900_004);
        clearInterval(watch);
        assert(injected > 3);
        inject();
        same(fs.readFileSync(path).subarray(3), Buffer.concat([data, data.subarray(0, 200_000), Buffer.from('end')]), 'short writes');
        same(lease.bytes, data.subarray(0, 200_000), 'the lease is as it was');
        await writer.close();
      }
    }
    assert.strictEqual(free(), before);
    const appended = await File.open(path, 'a');
    inject((number, opcode) => opcode === OPCODE_WRITE ? 1 + next(3000) : undefined);
    const writer = appended.writer({ chunkBytes: 8192, writeBehind: 4 });
    await fill(writer, 10_000);
    await writer.close();
    same(fs.readFileSync(path).subarray(-data.length), data, 'appended');
    await appended.close();
    await file.close();`);
  ended(t, result);
});

test('an error in the middle stays, says how far all arrived, and gives all memory back; an interrupted write too', async (t) => {
  const result = await injected(`
    let { file, path } = await opened();
    await fill(file.writer(), 100_000);
    await file.writeAt(data, 0);
    const before = free();
    for (const code of ['EIO', 'ENOSPC', 'EDQUOT']) {
      for (const at of [0, 1, 5]) {
        for (const piece of [1000, 300_000]) {
          await file.truncate();
          const writer = file.writer({ chunkBytes: 4096 });
          inject((number) => number === at ? -errno[code] : undefined);
          const { error } = await settled(fill(writer, piece));
          inject();
          assert.strictEqual(error?.code, code);
          assert.strictEqual(error.syscall, 'write');
          assert.strictEqual(error.path, path);
          assert.strictEqual(writer.flushedPosition, at * 4096);
          same(fs.readFileSync(path).subarray(0, at * 4096), data.subarray(0, at * 4096), 'what arrived');
          await stays(writer, error);
          await file.close();
          assert.strictEqual(free(), before);
          ({ file, path } = await opened());
        }
      }
    }
    // Half of a chunk, then the error.
    const writer = file.writer({ chunkBytes: 8192 });
    inject((number) => number === 2 ? 100 : number > 2 ? -errno.EIO : undefined);
    const { error } = await settled(fill(writer, 1000));
    inject();
    assert.strictEqual(error.code, 'EIO');
    assert.strictEqual(writer.flushedPosition, 2 * 8192 + 100);
    await stays(writer, error);
    // A lease whose write fails is its owner's again.
    const other = file.writer();
    const lease = Executor.current().lease(100_000);
    inject((number) => number === 0 ? 30_000 : -errno.EIO);
    await assert.rejects(other.write(lease), { code: 'EIO' });
    inject();
    assert.strictEqual(other.flushedPosition, 30_000);
    lease.bytes[0] = 1;
    lease.release();
    // Nobody was told: who closes the file is.
    const untold = file.writer({ chunkBytes: 4096 });
    inject(() => -errno.EIO);
    await untold.write(data.subarray(0, 5000));
    await new Promise((resolve) => setTimeout(resolve, 20));
    inject();
    await assert.rejects(file.close(), { code: 'EIO', path });
    assert.strictEqual(free(), before);`);
  ended(t, result);
});

test('a failing sync stays: nobody knows what is on the device', async (t) => {
  const result = await injected(`
    const { file } = await opened();
    const writer = file.writer();
    await writer.write('1');
    const { finish } = Link.prototype;
    let fails = true;
    Link.prototype.finish = function (slot, generation, result, extra) {
      const opcode = this.table.kinds[slot] & 0x3f;
      finish.call(this, slot, generation, fails && opcode === layout.OPCODE_DATASYNC ? -errno.EIO : result, extra);
    };
    const { error } = await settled(writer.sync());
    fails = false;
    assert.deepStrictEqual([error.code, error.syscall], ['EIO', 'fdatasync']);
    assert.deepStrictEqual([writer.flushedPosition, writer.syncedPosition], [1, 0]);
    await stays(writer, error);
    await file.close();`);
  ended(t, result);
});

test('/dev/full, and a pipe whose reader goes away', async (t) => {
  const result = await injected(`
    const full = await File.open('/dev/full', 'w');
    const writer = full.writer();
    await writer.write('taken');
    const { error } = await settled(writer.close());
    assert.deepStrictEqual([error?.code, error?.syscall, error?.path, writer.flushedPosition], ['ENOSPC', 'write', '/dev/full', 0]);
    await stays(writer, error);
    const path = place();
    require('node:child_process').execFileSync('mkfifo', [path]);
    const reader = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
    const pipe = await File.open(path, 'w');
    const before = free();
    const piped = pipe.writer();
    await piped.write('read');
    assert.strictEqual(await piped.flush(), 4);
    const filling = settled(fill(piped, 10_000));
    await new Promise((resolve) => setTimeout(resolve, 20));
    fs.closeSync(reader);
    const { error: broken } = await filling;
    assert.deepStrictEqual([broken?.code, broken?.syscall], ['EPIPE', 'write']);
    await stays(piped, broken);
    await pipe.close();
    assert(free() >= before);`);
  ended(t, result);
});

test('a full disk: ENOSPC, and all bytes before the flushed position are there', async (t) => {
  const disk = join(folder, 'writer-disk');
  const command = smallDiskFor(t, disk);
  if (command === undefined) return;
  const result = await under(
    command,
    `
    ${HELPERS}
    const path = ${JSON.stringify(disk)} + '/file';
    const big = bytesOf(1_500_000);
    for (const [chunkBytes, piece] of [[100_000, 1000], [1 << 20, 1_500_000], [4096, 77_777]]) {
      const file = await File.open(path, 'w');
      const writer = file.writer({ chunkBytes });
      const { error } = await settled((async () => {
        for (let done = 0; done < big.length; done += piece) await writer.write(big.subarray(done, done + piece));
        await writer.close();
      })());
      assert.deepStrictEqual([error?.code, error?.syscall, error?.path], ['ENOSPC', 'write', path]);
      const there = writer.flushedPosition;
      assert(there > 500_000 && there < big.length, String(there));
      await file.close();
      same(fs.readFileSync(path).subarray(0, there), big.subarray(0, there), 'what arrived');
      await stays(writer, error);
      fs.unlinkSync(path);
    }`,
  );
  ended(t, result);
});

test('an executor that is closed writes what was taken, also by calls that wait; later ones are told', async (t) => {
  const result = await injected(`
    for (const [chunkBytes, length] of [[4096, 100], [4096, 700_001], [1 << 20, 700_001]]) {
      const executor = Executor.current();
      const { file, path } = await opened();
      const writer = file.writer({ chunkBytes });
      const write = writer.write(data.subarray(0, length));
      await executor.close();
      await write;
      same(fs.readFileSync(path), data.subarray(0, length), 'taken');
      for (const late of [writer.write('x'), file.writeAt(data, 0)]) await assert.rejects(late, { code: 'ERR_RINGWHEEL_CLOSED' });
      await writer.close();
    }
    const executor = Executor.current();
    const warnings = [];
    process.on('warning', (warning) => warnings.push(warning));
    const full = await File.open('/dev/full', 'w');
    const lost = full.writer();
    await lost.write('taken');
    await executor.close();
    await new Promise(setImmediate);
    assert.deepStrictEqual(warnings.map(({ code }) => code), ['RINGWHEEL_WRITE_LOST']);
    assert.match(warnings[0].message, /ENOSPC.*\\/dev\\/full/s);
    await assert.rejects(lost.close(), { code: 'ENOSPC' });`);
  ended(t, result);
});

test('a writer that is forgotten is written to its end when it is collected', async (t) => {
  const result = await script(
    `${INJECT}${HELPERS}
    const paths = [];
    const forget = async () => {
      const { file, path } = await opened();
      paths.push(path);
      await file.writer().write(data.subarray(0, 100));
    };
    for (let each = 0; each < 3; each++) await forget();
    const written = () => paths.every((path) => fs.statSync(path).size === 100);
    for (let rounds = 0; rounds < 500 && !written(); rounds++) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert(written());
    for (const path of paths) same(fs.readFileSync(path), data.subarray(0, 100), 'forgotten');
    for (let rounds = 0; rounds < 500 && Executor.current().stats().files > 0; rounds++) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.strictEqual(Executor.current().stats().files, 0, 'the files are forgotten, too');`,
    ['--expose-gc'],
  );
  ended(t, result);
});

test('a thread is terminated in the middle of writers: what is there is what was written, in order', async (t) => {
  const result = await script(`
    const fs = require('node:fs');
    if (isMainThread) {
      const path = __filename + '.written';
      for (let round = 0; round < 8; round++) {
        const worker = new Worker(__filename, { workerData: path });
        await new Promise((resolve) => worker.once('message', resolve));
        for (let turn = 0; turn < round * 5; turn++) await new Promise(setImmediate);
        await worker.terminate();
        const found = fs.readFileSync(path);
        for (let index = 0; index < found.length; index++) {
          // A later chunk may be there while an earlier one is not: a gap of zeros.
          if (found[index] !== index % 251 + 1 && found[index] !== 0) assert.fail('byte ' + index);
        }
      }
      fs.unlinkSync(path);
    } else {
      const executor = Executor.start({ memory: 262144 });
      assert(wanted === undefined || executor.driver === wanted);
      const file = await File.open(workerData, 'w');
      const writer = file.writer({ chunkBytes: 8192, writeBehind: 3 });
      parentPort.postMessage('running');
      const bytes = Uint8Array.from({ length: 251 * 100 }, (_, index) => index % 251 + 1);
      while (writer.position < 50e6) { await writer.write(bytes); if (writer.position % 5 === 0) await writer.flush(); }
      await sleep(1e6);
    }`);
  ended(t, result);
});
