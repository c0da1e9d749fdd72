// Pipes as Node's own fs has them: opened with O_NONBLOCK, opened while the other end comes and goes, and waited for by many.
import test from 'ava';
import { ended, script } from '../drivers';

const FS = JSON.stringify(require.resolve('../../dist/fs.js'));
const HELPERS = `
const fs = require('node:fs');
const { constants, promises } = fs;
const ours = require(${FS});
const { execFileSync } = require('node:child_process');
const { buffer } = require('node:stream/consumers');
const executor = Executor.current();
assert(wanted === undefined || executor.driver === wanted);
const directory = fs.mkdtempSync(require('node:os').tmpdir() + '/ringwheel-pipes-');
process.on('exit', () => fs.rmSync(directory, { recursive: true, force: true }));
let count = 0;
const fifos = (many) => {
  const paths = Array.from({ length: many }, () => directory + '/fifo-' + count++);
  execFileSync('mkfifo', paths);
  return paths;
};
const fifo = () => fifos(1)[0];
const told = async (work) => {
  try {
    return { value: await work };
  } catch ({ name, code, errno, syscall, message }) {
    return { name, code, errno, syscall, message };
  }
};
`;
const run = (body: string) => script(`${HELPERS}${body}`);

test('a handle that was opened with O_NONBLOCK fails with EAGAIN where Node fails, and moves what can be moved', async (t) => {
  const result = await run(`
    const flags = constants.O_RDWR | constants.O_NONBLOCK;
    const steps = {
      read: (handle) => handle.read(Buffer.alloc(10)).then(({ bytesRead }) => bytesRead),
      readv: (handle) => handle.readv([Buffer.alloc(3), Buffer.alloc(3)]).then(({ bytesRead }) => bytesRead),
      readFile: (handle) => handle.readFile(),
      stream: async (handle) => buffer(handle.createReadStream({ autoClose: false })),
      write: (handle) => handle.write('some').then(({ bytesWritten }) => bytesWritten),
      some: (handle) => handle.read(Buffer.alloc(10)).then(({ bytesRead }) => bytesRead),
      fill: async (handle) => {
        for (;;) await handle.write(Buffer.alloc(4096));
      },
      full: (handle) => handle.write(Buffer.alloc(4096)),
      writev: (handle) => handle.writev([Buffer.alloc(4096), Buffer.alloc(1)]),
      writeFile: (handle) => handle.writeFile(Buffer.alloc(5000)),
      appendFile: (handle) => handle.appendFile('text'),
    };
    const found = [];
    for (const of of [promises, ours]) {
      const handle = await of.open(fifo(), flags);
      const answers = {};
      for (const [name, step] of Object.entries(steps)) answers[name] = await told(step(handle));
      await handle.close();
      found.push(answers);
    }
    assert.deepStrictEqual(found[1], found[0]);
    for (const step of ['read', 'readv', 'readFile', 'stream', 'fill', 'full', 'writev', 'writeFile', 'appendFile']) {
      assert.strictEqual(found[1][step].code, 'EAGAIN', step);
    }
    assert.strictEqual(found[1].some.value, 4);
    // A path that is read and written so.
    const path = fifo();
    assert.strictEqual(await ours.readFile(path, { encoding: 'utf8', flag: constants.O_RDONLY | constants.O_NONBLOCK }), '');
    const writing = (of) => told(of.writeFile(path, 'x', { flag: constants.O_WRONLY | constants.O_NONBLOCK }));
    assert.strictEqual((await writing(ours)).code, 'ENXIO');
    assert.strictEqual((await writing(ours)).message, (await writing(promises)).message);
    // The class of ringwheel, too, and a list of ranges.
    const file = await File.open(fifo(), flags);
    await assert.rejects(file.read(new Uint8Array(9)), { code: 'EAGAIN', syscall: 'read' });
    await assert.rejects(file.readAll(), { code: 'EAGAIN', syscall: 'read' });
    await file.write(Buffer.from('text'));
    assert.strictEqual(Buffer.from(await file.readAll().catch(() => [])).length, 0, 'no end, so no whole');
    await file.close();`);
  ended(t, result);
});

test('an open waits for the other end, and sees one that comes and goes at any moment', async (t) => {
  const result = await run(`
    const { spawn } = require('node:child_process');
    for (let round = 0; round < 12; round++) {
      const path = fifo();
      const text = round % 2 === 0 ? '' : 'left behind';
      // It waits for a reader, and is gone at once.
      const other = spawn('sh', ['-c', 'printf %s "$1" > "$0"', path, text], { stdio: 'ignore' });
      const gone = new Promise((resolve) => other.on('exit', resolve));
      if (round % 3 === 0) await sleep(30);
      const handle = await ours.open(path, 'r');
      await gone;
      assert.strictEqual(await handle.readFile('utf8'), text);
      await handle.close();
    }
    // The other way round, with a reader that reads to the end.
    for (const flags of ['w', 'a', constants.O_WRONLY]) {
      const path = fifo();
      const opening = ours.open(path, flags);
      await sleep(20);
      const other = spawn('cat', [path], { stdio: ['ignore', 'pipe', 'ignore'] });
      const heard = buffer(other.stdout);
      const handle = await opening;
      await handle.write('heard');
      await handle.close();
      assert.strictEqual((await heard).toString(), 'heard');
    }`);
  ended(t, result);
});

test('an open that waits is given up at once, and leaves neither an end nor a descriptor behind', async (t) => {
  const result = await run(`
    const descriptors = () => fs.readdirSync('/proc/self/fd').length;
    await File.open(__filename).then((file) => file.close());
    const before = descriptors();
    const [reads, writes] = [fifos(10), fifos(10)];
    const stop = new AbortController();
    const opening = [
      ...reads.map((path) => File.open(path, 'r', { signal: stop.signal })),
      ...writes.map((path) => File.open(path, 'w', { signal: stop.signal })),
    ].map(settled);
    await sleep(50);
    stop.abort(new Error('mine'));
    for (const { error } of await Promise.all(opening)) assert.strictEqual(error.message, 'mine');
    const other = (path, flags) => fs.closeSync(fs.openSync(path, flags | constants.O_NONBLOCK));
    const unread = (path) => {
      try {
        return other(path, constants.O_WRONLY);
      } catch ({ code }) {
        return code === 'ENXIO';
      }
    };
    for (let tries = 0; descriptors() > before || executor.stats().inFlight > 0 || !reads.every(unread); tries++) {
      assert(tries < 500, 'descriptors stay, or readers');
      // On the poll driver an open to be written ends with its reader only.
      for (const path of writes) other(path, constants.O_RDONLY);
      await sleep(10);
    }
    await executor.close();`);
  ended(t, result);
});

test('what waits for pipes holds up nothing else, however much of it there is', async (t) => {
  const result = await run(`
    const stop = new AbortController();
    const { signal } = stop;
    const waiting = [];
    for (const path of fifos(300)) waiting.push(ours.readFile(path, { signal }));
    const handles = [];
    for (const path of fifos(20)) {
      const handle = await ours.open(path, 'r+');
      handles.push(handle);
      waiting.push(handle.readFile({ signal }));
    }
    const [copied, written] = [fifos(12), fifos(12)];
    const copies = copied.map((path, index) => ours.copyFile(path, directory + '/copy-' + index));
    const writes = written.map((path) => ours.writeFile(path, 'to ' + path));
    const opens = fifos(12).map((path) => File.open(path, 'r', { signal }));
    await sleep(100);
    const plain = directory + '/plain';
    const long = Buffer.alloc(3_000_000, 'x');
    await ours.writeFile(plain, long);
    assert(long.equals(await ours.readFile(plain)));
    await ours.copyFile(plain, plain + '.copy');
    await ours.cp(plain, plain + '.cp');
    assert((await ours.readdir(directory, { recursive: true })).includes('plain.cp'));
    await Promise.all(Array.from({ length: 50 }, (_, index) => ours.writeFile(plain + index, 'x', { flush: true })));
    await ours.rm(plain + '1');
    const file = await File.open(plain, 'r+');
    await file.sync();
    await file.close();
    // All of them go on: those that are given up, those whose other end comes.
    stop.abort(new Error('mine'));
    for (const { error } of await Promise.all([...waiting, ...opens].map(settled))) assert(error.message === 'mine' || error.name === 'AbortError');
    for (const handle of handles) await handle.close();
    for (const [index, path] of copied.entries()) fs.writeFileSync(path, 'copy ' + index);
    await Promise.all(copies);
    for (const index of copied.keys()) assert.strictEqual(fs.readFileSync(directory + '/copy-' + index, 'utf8'), 'copy ' + index);
    for (const path of written) assert.strictEqual(await ours.readFile(path, 'utf8'), 'to ' + path);
    await Promise.all(writes);
    await executor.close();`);
  ended(t, result);
});

test('text, limits and long contents go through pipes whole', async (t) => {
  const result = await run(`
    const text = 'ä€'.repeat(100_000);
    for (const encoding of ['utf8', 'latin1', 'hex']) {
      const path = fifo();
      const writing = ours.writeFile(path, text);
      assert.strictEqual(await ours.readFile(path, encoding), Buffer.from(text).toString(encoding));
      await writing;
    }
    const bytes = require('node:crypto').randomBytes(1_000_000);
    const path = fifo();
    const adding = ours.appendFile(path, bytes);
    assert(bytes.equals(await ringwheel.readFile(path)));
    await adding;
    const writing = settled(ours.writeFile(path, bytes));
    await assert.rejects(ringwheel.readFile(path, { limit: 100_000 }), { code: 'ERR_RINGWHEEL_NO_MEMORY' });
    const { error } = await writing;
    assert.strictEqual(error.code, 'EPIPE');
    assert.strictEqual((await ours.readFile('/dev/null')).length, 0);`);
  ended(t, result);
});
