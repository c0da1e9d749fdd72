// Reads and writes that wait for another process, by the thousand: they hold no memory and no place that others need, and go on in order.
import test from 'ava';
import { ended, script } from '../drivers';

const FS = JSON.stringify(require.resolve('../../dist/fs.js'));
const HELPERS = `
const fs = require('node:fs');
const { promises } = fs;
const ours = require(${FS});
const { execFileSync, spawn } = require('node:child_process');
const directory = fs.mkdtempSync(require('node:os').tmpdir() + '/ringwheel-idle-');
process.on('exit', () => fs.rmSync(directory, { recursive: true, force: true }));
let count = 0;
const fifos = (many) => {
  const paths = Array.from({ length: many }, () => directory + '/fifo-' + count++);
  execFileSync('mkfifo', paths);
  return paths;
};
const fifo = () => fifos(1)[0];
// Counts what comes, once somebody has opened the other end.
const counting = (path) => {
  const child = spawn('sh', ['-c', 'wc -c < "$0"', path], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (data) => (text += data));
  return new Promise((resolve) => child.on('close', () => resolve(Number(text))));
};
`;
const run = (body: string) => script(`${HELPERS}${body}`);

test('a write to a pipe is whole, as write(2) is, in parts of any kind and however many are at once', async (t) => {
  const result = await run(`
    const LONG = 300_000;
    for (const { open } of [promises, ours]) {
      const path = fifo();
      const counted = counting(path);
      const handle = await open(path, 'w');
      assert.strictEqual((await handle.write(Buffer.alloc(LONG))).bytesWritten, LONG);
      assert.strictEqual((await handle.write(Buffer.alloc(LONG), 1, LONG - 1)).bytesWritten, LONG - 1);
      assert.strictEqual((await handle.write('ä'.repeat(LONG))).bytesWritten, 2 * LONG);
      assert.strictEqual((await handle.writev([Buffer.alloc(LONG), Buffer.alloc(7), Buffer.alloc(LONG)])).bytesWritten, 2 * LONG + 7);
      await handle.close();
      assert.strictEqual(await counted, 6 * LONG + 6);
    }
    const path = fifo();
    const counted = counting(path);
    const file = await File.open(path, 'a');
    const lease = Executor.current().lease(LONG);
    assert.strictEqual(await file.write(new Uint8Array(LONG)), LONG);
    assert.strictEqual(await file.write(new Uint8Array(LONG), { signal: new AbortController().signal }), LONG);
    assert.strictEqual(await file.write(lease), LONG);
    assert.strictEqual(await file.write(lease, { length: 12 }), 12);
    assert.strictEqual(await file.writev([lease, new Uint8Array(LONG)]), 2 * LONG);
    assert.strictEqual(await file.append('appended'), 8);
    assert.strictEqual(await file.append(lease), LONG);
    lease.release();
    await file.close();
    assert.strictEqual(await counted, 6 * LONG + 20);
    // Two at once do not mix, whatever the reader's pace.
    const mixed = fifo();
    const reading = buffer(mixed);
    const writer = await ours.open(mixed, 'w');
    await Promise.all([writer.write('a'.repeat(LONG)), writer.writev([Buffer.alloc(LONG, 'b')]), writer.write('c'.repeat(9))]);
    await writer.close();
    assert.match((await reading).toString(), /^a{300000}b{300000}c{9}$/);
    async function buffer(from) {
      const handle = await promises.open(from, 'r');
      const whole = await handle.readFile();
      await handle.close();
      return whole;
    }`);
  ended(t, result);
});

test('reads of idle pipes and writes to full ones hold no memory and no place in the ring', async (t) => {
  const result = await run(`
    const executor = Executor.start({ driver: wanted, memory: 2 ** 22, entries: 8 });
    const paths = fifos(160);
    const files = await Promise.all(paths.map((path) => File.open(path, 'r+')));
    const others = fifos(160);
    const handles = await Promise.all(others.map((path) => ours.open(path, 'r+')));
    const full = await Promise.all(fifos(160).map((path) => ours.open(path, 'r+')));
    const leases = files.slice(0, 8).map(() => executor.lease(4096));
    const reads = files.map((file, index) =>
      [
        () => (index < 32 ? file.read(leases[index / 4]) : file.read(new Uint8Array(8000))),
        () => file.read(new Uint8Array(100_000)),
        () => file.readv([new Uint8Array(3), new Uint8Array(50_000)]),
        async () => {
          for await (const { bytes } of file.stream()) return bytes.length;
        },
      ][index % 4](),
    );
    const more = handles.map((handle) => handle.read(Buffer.alloc(70_000)).then(({ bytesRead }) => bytesRead));
    const writes = full.map((handle) => handle.write(Buffer.alloc(100_000)));
    // All of them wait; meanwhile others have all there is.
    const plain = directory + '/plain';
    for (let round = 0; round < 20; round++) {
      const bytes = Buffer.alloc(300_000, round);
      await ours.writeFile(plain, bytes);
      const file = await File.open(plain);
      const target = new Uint8Array(300_000);
      assert.strictEqual(await file.readAt(target, 0), 300_000);
      assert(bytes.equals(target));
      await file.close();
    }
    const lease = executor.lease(1_500_000); // Of 4 MiB. What copies have kept for the next time gives way, what is in use cannot.
    lease.release();
    assert(executor.stats().inFlight >= 400, 'they wait in the kernel: ' + executor.stats().inFlight);
    for (const [index, path] of [...paths, ...others].entries()) {
      fs.writeFileSync(path, '1');
      assert.strictEqual(await [...reads, ...more][index], 1);
    }
    for (const handle of full) {
      for (let left = 100_000; left > 0; ) left -= (await handle.read(Buffer.alloc(left))).bytesRead;
    }
    for (const { bytesWritten } of await Promise.all(writes)) assert.strictEqual(bytesWritten, 100_000);
    for (const each of [...files, ...handles, ...full]) await each.close();
    for (const each of leases) each.release();
    await executor.close();`);
  ended(t, result);
});

test('many reads of one pipe come in the order of their calls; those that are given up leave the line', async (t) => {
  const result = await run(`
    const path = fifo();
    const file = await File.open(path, 'r+');
    const handle = await ours.open(path, 'r+');
    for (const reader of [(target) => file.read(target), (target) => handle.read(target).then(({ bytesRead }) => bytesRead)]) {
      const targets = Array.from({ length: 200 }, () => new Uint8Array(10));
      const reads = targets.map(reader);
      for (let sent = 0; sent < 2000; sent += 40) {
        fs.writeFileSync(path, Buffer.from(Array.from({ length: 40 }, (_, index) => ((sent + index) / 10) | 0)));
        await sleep(0);
      }
      for (const bytes of await Promise.all(reads)) assert.strictEqual(bytes, 10);
      for (const [index, target] of targets.entries()) assert(target.every((byte) => byte === index), index + ': ' + target);
    }
    const stop = new AbortController();
    const lease = Executor.current().lease(64);
    const given = [
      file.read(new Uint8Array(9), { signal: stop.signal }),
      file.read(lease, { signal: stop.signal }),
      file.readv([new Uint8Array(9)], undefined, { signal: stop.signal }),
    ].map(settled);
    const last = file.read(new Uint8Array(9));
    await sleep(20);
    stop.abort(new Error('mine'));
    for (const { error } of await Promise.all(given)) assert.strictEqual(error.message, 'mine');
    assert.strictEqual(lease.bytes.length, 64, 'the lease is back');
    fs.writeFileSync(path, 'left');
    assert.strictEqual(await last, 4);
    // A stream ends where it is told to.
    fs.writeFileSync(path, 'abcdefgh');
    let text = '';
    for await (const { bytes } of file.stream({ end: 5, chunkBytes: 2 })) text += Buffer.from(bytes);
    assert.strictEqual(text, 'abcde');
    assert.strictEqual(await file.read(new Uint8Array(9)), 3);
    const ending = new AbortController();
    const streaming = settled(file.stream({ signal: ending.signal })[Symbol.asyncIterator]().next());
    await sleep(20);
    ending.abort(new Error('mine'));
    assert.strictEqual((await streaming).error.message, 'mine');
    // A close of the executor ends them all.
    const waiting = Array.from({ length: 50 }, () => settled(file.read(new Uint8Array(9))));
    await Executor.current().close();
    for (const { error } of await Promise.all(waiting)) assert.strictEqual(error.code, 'ERR_RINGWHEEL_CLOSED');
    lease.release();`);
  ended(t, result);
});
