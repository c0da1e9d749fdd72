// A pipe read as a whole and given up: the read ends, whoever reads next gets every byte, and nothing is held up behind it.
import test from 'ava';
import { ended, script } from '../drivers';

const HELPERS = `
const fs = require('node:fs');
const { execFileSync } = require('node:child_process');
const { readFile, fs: promises } = { readFile: ringwheel.readFile, fs: require(${JSON.stringify(require.resolve('../../dist/fs.js'))}) };
const executor = Executor.current();
const directory = fs.mkdtempSync(require('node:os').tmpdir() + '/ringwheel-pipes-');
process.on('exit', () => fs.rmSync(directory, { recursive: true, force: true }));
let count = 0;
const fifo = () => { const path = directory + '/fifo-' + count++; execFileSync('mkfifo', [path]); return path; };
const quiet = async () => { while (executor.stats().inFlight > 0) await sleep(5); };
const aborted = async (work) => {
  const stop = new AbortController();
  const promise = work(stop.signal);
  await sleep(50); // It waits by now.
  stop.abort(new Error('mine'));
  await assert.rejects(promise, (error) => error.message === 'mine' || error.name === 'AbortError');
};
`;
const run = (body: string) => script(`${HELPERS}${body}`);

test('readAll and FileHandle.readFile of a pipe that are aborted take nothing from the next reader', async (t) => {
  const result = await run(`
    const file = await File.open(fifo(), 'r+');
    await aborted((signal) => file.readAll({ signal }));
    await quiet();
    await file.write(Buffer.from('HELLO'));
    const target = new Uint8Array(5);
    assert.strictEqual(await file.read(target), 5);
    assert.strictEqual(Buffer.from(target).toString(), 'HELLO');
    const waiting = aborted((signal) => file.readAll({ signal }));
    await waiting;
    await file.close(); // What was given up does not hold it.
    const handle = await promises.open(fifo(), 'r+');
    await aborted((signal) => handle.readFile({ signal }));
    await quiet();
    await handle.write('HELLO');
    assert.strictEqual((await handle.read(Buffer.alloc(5))).bytesRead, 5);
    await handle.close();
    await executor.close();`);
  ended(t, result);
});

test('readFile of a FIFO waits for a writer, reads to its end, and holds up nothing once it is given up', async (t) => {
  const result = await run(`
    const path = fifo();
    const whole = readFile(path);
    await sleep(50);
    const writer = await File.open(path, 'w');
    await writer.write(Buffer.from('one '));
    await sleep(50);
    const rest = Buffer.alloc(300_000, 'x');
    for (let done = 0; done < rest.length; ) done += await writer.write(rest.subarray(done)); // A pipe takes what it has room for.
    await writer.close();
    const content = Buffer.from(await whole);
    assert.strictEqual(content.length, 300_004);
    assert.strictEqual(content.subarray(0, 5).toString(), 'one x');
    // A writer that says nothing is an end, too.
    const empty = promises.readFile(path, 'utf8');
    await sleep(50);
    await (await File.open(path, 'w')).close();
    assert.strictEqual(await empty, '');
    // More of them than the pool has threads.
    const idle = fifo();
    await Promise.all(Array.from({ length: 12 }, () => aborted((signal) => readFile(idle, { signal }))));
    await quiet();
    const long = directory + '/long';
    fs.writeFileSync(long, Buffer.alloc(300_000));
    assert.strictEqual((await readFile(long)).length, 300_000);
    const late = await File.open(idle, 'r+');
    await late.write(Buffer.from('HELLO'));
    assert.strictEqual((await late.read(new Uint8Array(9))), 5);
    await late.close();
    await executor.close();`);
  ended(t, result);
});

test('readFile of a path that is too long names open', async (t) => {
  const result = await run(`
    for (const length of [4095, 4096, 5000, 70_000]) {
      await assert.rejects(readFile('/' + 'a'.repeat(length - 1)), { code: 'ENAMETOOLONG', syscall: 'open' });
    }`);
  ended(t, result);
});
