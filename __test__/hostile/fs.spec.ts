// ringwheel/fs where it hurts: memory that others hold, files that are none, calls that are left behind.
import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, constants, lstatSync, openSync, readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import fs from '../../fs';
import { File } from '../../index';
import { endless } from '../../lib/fs/content';
import { ended, executorOf, fileOf, folder, pattern, script } from '../drivers';
import { described, node } from '../fs/twins';
import { root } from '../support/command';

const FS = `const fs = require(${JSON.stringify(join(root, 'dist/fs.js'))});`;

let fifos = 0;
function fifo(): string {
  const path = join(folder, `fifo-${fifos++}`);
  execFileSync('mkfifo', [path]);
  return path;
}

test('what needs a long range waits for one, however many short ones come free first', async (t) => {
  executorOf(t);
  const file = await File.open(fileOf(pattern(4096)));
  let reading = true;
  let reads = 0;
  const readers = Array.from({ length: 800 }, async () => {
    for (const target = new Uint8Array(4096); reading; reads++) await file.readAt(target, 0);
  });
  const content = pattern(200_000);
  const long = `${folder}/${'./'.repeat(2000)}`;
  const work = Array.from({ length: 8 }, async (_, index) => {
    const path = join(folder, `long-range-${index}`);
    for (let round = 0; round < 10; round++) {
      await fs.writeFile(path, content);
      await fs.rename(path, `${long}long-range-${index}`);
    }
    return readFileSync(path);
  });
  for (const written of await Promise.all(work)) t.deepEqual(new Uint8Array(written), content);
  reading = false;
  await Promise.all(readers);
  t.true(reads > 0);
  await file.close();
});

test('a range that a pipe holds is not waited for', async (t) => {
  const path = fifo();
  const result = await script(`
    ${FS}
    const { constants, openSync, readFileSync, writeSync } = require('node:fs');
    const executor = Executor.start({ memory: 262144, copyMemory: 131072 });
    const both = openSync(${JSON.stringify(path)}, constants.O_RDWR);
    const pipe = await File.open(${JSON.stringify(path)});
    const waits = Array.from({ length: 5 }, () => settled(pipe.read(new Uint8Array(16000))));
    const file = await File.open(__filename);
    const written = Array.from({ length: 30 }, (_, index) => fs.writeFile(__filename + index, Buffer.alloc(100000, index)));
    const reads = Array.from({ length: 1000 }, () => file.readAt(new Uint8Array(100), 0));
    await Promise.all([...written, ...reads]);
    for (let index = 0; index < 30; index++) assert(readFileSync(__filename + index).equals(Buffer.alloc(100000, index)));
    writeSync(both, 'enough');
    await Promise.race(waits);
    process.exit(0);
  `);
  ended(t, result);
});

test('leases that are kept make writeFile slower, and never fail', async (t) => {
  const result = await script(`
    ${FS}
    const executor = Executor.start({ memory: 262144 });
    for (const bytes of [65536, 16384, 4096, 1024]) {
      try { for (;;) executor.lease(bytes); } catch (error) { assert.equal(error.code, 'ERR_RINGWHEEL_NO_MEMORY'); }
    }
    const path = __filename + '.written';
    const bytes = Buffer.alloc(200000, 'ringwheel');
    // Each that finds nothing gives its range to the next: ten thousand of them must not be a stack of as many frames.
    const many = await Promise.all(Array.from({ length: 10000 }, () => settled(fs.rename('./'.repeat(2000), './'.repeat(2000)))));
    for (const { error } of many) assert.equal(error.code, 'ERR_RINGWHEEL_NO_MEMORY');
    await Promise.all([fs.writeFile(path, bytes), fs.writeFile(path + '2', bytes.toString()), fs.appendFile(path + '3', bytes)]);
    for (const end of ['', '2', '3']) assert(require('node:fs').readFileSync(path + end).equals(bytes));
    await executor.close();
  `);
  ended(t, result);
});

test('a call that an abort left behind fails unseen when the executor closes', async (t) => {
  const path = fifo();
  const result = await script(`
    ${FS}
    const { openSync, closeSync, constants } = require('node:fs');
    const executor = Executor.start();
    const stop = new AbortController();
    const left = settled(ringwheel.readFile(${JSON.stringify(path)}, { signal: stop.signal }));
    await fs.stat('/');
    stop.abort(new Error('enough'));
    assert.equal((await left).error.message, 'enough');
    const closed = executor.close();
    // The other end, for which its job waits.
    const end = setInterval(() => {
      try { closeSync(openSync(${JSON.stringify(path)}, constants.O_WRONLY | constants.O_NONBLOCK)); } catch {}
    }, 5);
    await closed;
    clearInterval(end);
    await new Promise((resolve) => setTimeout(resolve, 10)); // An unhandled rejection would end the process.
  `);
  ended(t, result);
});

test('content that is cut short by a full disk or a limit is an error, never written over itself', async (t) => {
  const result = await script(`
    const { spawnSync } = require('node:child_process');
    if (process.argv[2] !== 'limited') {
      const { status } = spawnSync('sh', ['-c', 'ulimit -f 1500; exec "$0" "$@"', process.execPath, __filename, 'limited'], { stdio: 'inherit' });
      process.exit(status ?? 71);
    }
    ${FS}
    const { readFileSync } = require('node:fs');
    const content = Buffer.from(Uint32Array.from({ length: 1e6 }, (_, index) => index).buffer);
    const ways = {
      writeFile: (path) => fs.writeFile(path, content),
      handle: async (path) => (await fs.open(path, 'w')).writeFile(content),
      append: (path) => fs.appendFile(path, content),
      position: async (path) => {
        const handle = await fs.open(path, 'w');
        for (let at = 0; at < content.length; ) at += (await handle.write(content, at, 100000)).bytesWritten;
      },
      File: async (path) => {
        const file = await File.open(path, 'w');
        for (let at = 0; at < content.length; ) at += await file.write(content.subarray(at));
      },
    };
    for (const [name, way] of Object.entries(ways)) {
      const path = __filename + name;
      const { error } = await settled(way(path));
      assert.equal(error?.code, 'EFBIG', name);
      const written = readFileSync(path);
      assert(written.length > 500000 && written.equals(content.subarray(0, written.length)), name);
    }
    process.exit(0);
  `);
  ended(t, result);
});

test('mkdir of what cannot be made ends, also where Node goes round for ever', async (t) => {
  executorOf(t);
  const error = await t.throwsAsync(fs.mkdir('/proc/none/below', { recursive: true }), { code: 'ENOENT' });
  t.is(error?.message, "ENOENT: no such file or directory, mkdir '/proc/none'");
});

test('what is inherited is no option', async (t) => {
  const result = await script(`
    ${FS}
    const nodeFs = require('node:fs');
    const tree = __filename + '.tree';
    nodeFs.mkdirSync(tree + '/a/b', { recursive: true });
    nodeFs.writeFileSync(tree + '/file', 'some');
    const polluted = async (values, work) => {
      Object.assign(Object.prototype, values);
      try { return await settled(work()); } finally { for (const name of Object.keys(values)) delete Object.prototype[name]; }
    };
    for (const remove of [() => fs.rm(tree), () => fs.rm(tree, {}), () => fs.rm(tree, Object.create({ recursive: true }))]) {
      const { error } = await polluted({ recursive: true }, remove);
      assert.equal(error.code, 'ERR_FS_EISDIR');
    }
    assert.equal((await polluted({ force: true }, () => fs.rm(tree + '/none'))).error.code, 'ENOENT');
    assert.equal((await polluted({ recursive: true }, () => fs.mkdir(tree + '/none/x'))).error.code, 'ENOENT');
    assert.equal((await polluted({ recursive: true }, () => fs.mkdir(tree + '/none/x', 0o777))).error.code, 'ENOENT');
    assert.deepEqual((await polluted({ recursive: true, withFileTypes: true }, () => fs.readdir(tree))).value, ['a', 'file']);
    assert.equal((await polluted({ flag: 'w' }, () => fs.readFile(tree + '/file', 'utf8'))).value, 'some');
    assert.equal((await polluted({ limit: 1 }, () => ringwheel.readFile(tree + '/file'))).value.length, 4);
    assert.deepEqual(nodeFs.readdirSync(tree).sort(), ['a', 'file']);
  `);
  ended(t, result);
});

test('a copy that fails removes no FIFO and no device', async (t) => {
  executorOf(t);
  const path = fifo();
  const both = openSync(path, constants.O_RDWR);
  await t.throwsAsync(fs.copyFile(fileOf('some'), path), { code: 'EINVAL' });
  t.true(lstatSync(path).isFIFO());
  closeSync(both);
});

test('a file system that hangs holds those who ask it, not the event loop', async (t) => {
  const mayMount = spawnSync('sh', ['-c', 'test -w /dev/fuse && unshare -m --propagation private true']).status === 0;
  if (!mayMount) {
    t.pass('this needs a user who may mount, and FUSE; remote.rs has the same test with /proc');
    return;
  }
  const result = await script(`
    const { openSync, mkdirSync, symlinkSync } = require('node:fs');
    const { spawnSync } = require('node:child_process');
    const place = __filename + '.mount';
    if (process.argv[2] !== 'inside') {
      mkdirSync(place);
      // In a name space of its own: nobody else shall meet it. Nobody answers for the mount, and it ends with the process.
      const { status } = spawnSync('unshare', ['-m', '--propagation', 'private', process.execPath, __filename, 'inside'], {
        stdio: 'inherit', timeout: 20000, killSignal: 'SIGKILL',
      });
      process.exit(status ?? 71);
    }
    const fuse = openSync('/dev/fuse', 'r+');
    const options = 'fd=3,rootmode=40000,user_id=0,group_id=0';
    const { status } = spawnSync('mount', ['-i', '-t', 'fuse', 'none', place, '-o', options], { stdio: ['ignore', 'inherit', 'inherit', fuse] });
    if (status !== 0) process.exit(0);
    symlinkSync(place + '/x', place + '.link');
    ${FS}
    const O_PATH = 0o10000000; // Such an open asks nobody.
    const root = await File.open(place, O_PATH);
    const asked = [fs.stat(place + '/x'), fs.readdir(place), fs.writeFile(place + '/x', 'x'), fs.readFile(place + '/x'), fs.lstat(place + '.link/y'), root.stat(), root.size()];
    let settledOnes = 0;
    for (const one of asked) one.then(() => settledOnes++, () => settledOnes++);
    await sleep(100); // The loop goes round.
    assert.equal((await fs.stat(__filename)).isFile(), true);
    assert.equal(settledOnes, 0);
    process.exit(0);
  `);
  ended(t, result);
});

test('the error of a file that has no end is that of one that is too long', async (t) => {
  const path = fileOf('');
  truncateSync(path, 2 ** 31);
  const theirs = await t.throwsAsync(node.readFile(path));
  const [expected, made] = [described(theirs), described(endless())] as { class: string }[];
  t.deepEqual({ ...made, class: '' }, { ...expected, class: '' });
  t.true(endless() instanceof RangeError);
});
