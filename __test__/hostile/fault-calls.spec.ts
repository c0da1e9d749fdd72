// Whole-file calls that meet a full disk, a limit, an interrupted or failing system call, or a file that gives its bytes piece by piece: all
// of it arrives or the error says which step failed, a copy that failed is not there, and nothing stays open.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { ended, folder, script } from '../drivers';
import { root } from '../support/command';
import { INJECT, smallDisk, under } from '../support/faults';

const CALLS = `
const call = require(${JSON.stringify(join(root, 'dist/lib/api/call.js'))});
const link = require(${JSON.stringify(join(root, 'dist/lib/api/executor.js'))}).currentLink();
const { O_WRONLY, O_CREAT, O_TRUNC } = fs.constants;
const writing = { flags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o666 };
/** Descriptors that lead to one of these. */
const open = (directory) => fs.readdirSync('/proc/self/fd').filter((fd) => {
  try { return fs.readlinkSync('/proc/self/fd/' + fd).startsWith(directory); } catch { return false; }
});
const failed = (found, code, syscall) => {
  const result = Buffer.isBuffer(found) ? found.length + ' bytes' : found?.errno ?? found;
  assert.strictEqual(result, -errno[code], 'not ' + code + ': ' + result);
  if (syscall !== undefined) assert.strictEqual(found.syscall, syscall);
};
`;

test('a full disk: writeFile says that the write failed, a copy that failed is not there, and with room again both work', async (t) => {
  const disk = join(folder, 'calls-disk');
  mkdirSync(disk);
  const small = smallDisk(disk);
  if ('reason' in small) {
    t.log(`skip: ${small.reason}; /dev/full instead`);
    const result = await script(`
      ${INJECT}${CALLS}
      failed(await call.writeFile(link, '/dev/full', bytesOf(100), { ...writing, flags: O_WRONLY }), 'ENOSPC', 'write');`);
    ended(t, result);
    return;
  }
  const result = await under(
    small.command,
    `
    ${CALLS}
    const disk = ${JSON.stringify(disk)};
    const big = bytesOf(200_000), from = place();
    fs.writeFileSync(from, bytesOf(900_000, 3));
    fs.writeFileSync(disk + '/ballast', bytesOf(950_000, 2));
    failed(await call.writeFile(link, disk + '/file', big, writing), 'ENOSPC', 'write');
    const part = fs.readFileSync(disk + '/file');
    assert(part.length < big.length);
    same(part, big.subarray(0, part.length), 'what was written before');
    failed(await call.copyFile(link, from, disk + '/copy', 0), 'ENOSPC');
    assert(!fs.existsSync(disk + '/copy'), 'half a copy stays');
    assert.deepStrictEqual(open(disk), []);
    fs.unlinkSync(disk + '/ballast');
    fs.unlinkSync(disk + '/file');
    assert.strictEqual(await call.copyFile(link, from, disk + '/copy', 0), 0);
    same(fs.readFileSync(disk + '/copy'), fs.readFileSync(from), 'a copy');
    fs.unlinkSync(disk + '/copy');
    assert.strictEqual(await call.writeFile(link, disk + '/file', big, writing), 0);
    same(fs.readFileSync(disk + '/file'), big, 'a file');
    assert.deepStrictEqual(open(disk), []);`,
  );
  ended(t, result);
});

test('a limit of file sizes: writeFile and copyFile say EFBIG, and no half copy stays', async (t) => {
  const result = await under(
    'ulimit -f 300; exec "$0" "$1"', // 150 or 300 KiB.
    `
    ${CALLS}
    process.on('SIGXFSZ', () => {});
    const limit = Number(/^Max file size +(\\d+)/m.exec(fs.readFileSync('/proc/self/limits', 'utf8'))[1]);
    const path = place(), copy = place();
    const data = bytesOf(240_000);
    if (data.length > limit) {
      failed(await call.writeFile(link, path, data, writing), 'EFBIG', 'write');
      same(fs.readFileSync(path), data.subarray(0, limit), 'up to the limit');
    }
    failed(await call.copyFile(link, process.execPath, copy, 0), 'EFBIG');
    assert(!fs.existsSync(copy), 'half a copy stays');
    assert.strictEqual(await call.writeFile(link, path, data.subarray(0, 1000), writing), 0);
    same(fs.readFileSync(path), data.subarray(0, 1000), 'within the limit');`,
  );
  ended(t, result);
});

test('with no descriptor left whole-file calls say EMFILE at their open, and work again after', async (t) => {
  const result = await under(
    'ulimit -n 128; exec "$0" "$1"',
    `
    ${CALLS}
    const path = place(), copy = place();
    const data = bytesOf(50_000);
    fs.writeFileSync(path, data);
    const directory = require('node:path').dirname(path);
    assert.strictEqual(await call.copyFile(link, path, copy, 0), 0); // The pool's threads are there.
    fs.unlinkSync(copy);
    const held = [];
    try { for (;;) held.push(fs.openSync('/dev/null')); } catch (error) { assert.strictEqual(error.code, 'EMFILE'); }
    for (let round = 0; round < 3; round++) {
      failed(await call.readFile(link, path), 'EMFILE', 'open');
      failed(await call.writeFile(link, path, data, writing), 'EMFILE', 'open');
      failed(await call.copyFile(link, path, copy, 0), 'EMFILE');
      failed(await call.readdir(link, directory, {}), 'EMFILE');
    }
    fs.closeSync(held.pop()); // One is enough to read, not to copy.
    same(await call.readFile(link, path), data, 'untouched');
    failed(await call.copyFile(link, path, copy, 0), 'EMFILE');
    for (const fd of held) fs.closeSync(fd);
    assert(!fs.existsSync(copy));
    assert.strictEqual(await call.copyFile(link, path, copy, 0), 0);
    same(fs.readFileSync(copy), data, 'a copy');
    assert.deepStrictEqual(open(path), []);`,
  );
  ended(t, result);
});

test('files that say they are empty and come piece by piece are read whole', async (t) => {
  const result = await script(`
    ${INJECT}${CALLS}
    const maps = await call.readFile(link, '/proc/self/maps', { encoding: 'latin1' });
    assert(maps.length > 8192);
    assert.match(maps, /^[0-9a-f]+-[^]*\\n$/);
    const { execFileSync, spawn } = require('node:child_process');
    const fifo = place();
    execFileSync('mkfifo', [fifo]);
    spawn('sh', ['-c', 'for part in one two three; do printf %s $part; sleep 0.02; done > ' + fifo]);
    assert.strictEqual(await call.readFile(link, fifo, { encoding: 'latin1' }), 'onetwothree');`);
  ended(t, result);
});

/**
 * Runs a script under strace, which fails the system calls `inject` on the paths that begin with `path`. False, with the reason logged, where strace
 * is not to be had.
 */
async function traced(t: ExecutionContext, paths: readonly string[], inject: readonly string[], body: string) {
  const tried = spawnSync('strace', ['-f', '-e', 'inject=chdir:error=EIO', 'true'], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  if (tried.status !== 0) {
    t.log(`skip: strace: ${tried.error?.message ?? tried.stderr.trim().split('\n').at(-1)}`);
    t.pass();
    return;
  }
  const names = inject.map((each) => each.split(':', 1)[0]);
  const given = [
    ...['-f', '-o', '/dev/null', '-e', `trace=${names.join(',')}`],
    ...paths.flatMap((path) => ['-P', `'${path}'`]),
    ...inject.flatMap((each) => ['-e', `'inject=${each}'`]),
  ];
  ended(t, await under(`exec strace ${given.join(' ')} "$0" "$1"`, `${CALLS}${body}`));
}

test('system calls that are interrupted are made again: files are read, written and copied whole', async (t) => {
  const [path, other] = [join(folder, 'interrupted'), join(folder, 'interrupted-2')];
  const every = 'error=EINTR:when=1+2';
  await traced(
    t,
    [path, other],
    ['read', 'pread64', 'write', 'copy_file_range'].map((call) => `${call}:${every}`),
    `
    const [path, other] = ${JSON.stringify([path, other])};
    const data = bytesOf(200_000);
    assert.strictEqual(await call.writeFile(link, path, data, writing), 0);
    assert.strictEqual(fs.statSync(path).size, data.length);
    same(await call.readFile(link, path), data, 'read');
    assert.strictEqual(await call.copyFile(link, path, other, 0), 0);
    fs.renameSync(other, other + '.done'); // Another name: whatever looks at it is not interrupted.
    same(fs.readFileSync(other + '.done'), data, 'copied');`,
  );
});

test('a device that fails: the error says at which step, and what failed is closed', async (t) => {
  const [path, other] = [join(folder, 'failing'), join(folder, 'failing-2')];
  await traced(
    t,
    [path, other],
    ['read:error=EIO', 'pread64:error=EIO', 'preadv2:error=EIO', 'write:error=EIO', 'copy_file_range:error=EIO'],
    `
    const [path, other] = ${JSON.stringify([path, other])};
    const data = bytesOf(3_000_000);
    fs.writeFileSync(path + '.data', data);
    fs.renameSync(path + '.data', path);
    failed(await call.readFile(link, path), 'EIO', 'read');
    failed(await call.copyFile(link, path, other, 0), 'EIO');
    assert(!fs.existsSync(other), 'half a copy stays');
    failed(await call.writeFile(link, other, bytesOf(1000, 9), writing), 'EIO', 'write');
    assert.strictEqual(fs.statSync(other).size, 0);
    assert.deepStrictEqual(open(path), []);
    assert.deepStrictEqual(open(other), []);`,
  );
});
