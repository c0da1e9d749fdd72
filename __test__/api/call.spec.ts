// Calls of the file system below lib/fs: what each does and answers, beside node:fs; on JavaScript's thread and on the pool.
import fs from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type Executor, TaskQueue } from '../../index';
import * as calls from '../../lib/api/call';
import { FailedAt, type StatView } from '../../lib/api/call';
import { currentLink } from '../../lib/api/executor';
import { openThrough } from '../../lib/api/operation';
import { moveInRanges } from '../../lib/api/transfer';
import type { Link } from '../../lib/ring/link';
import { FileState } from '../../lib/ring/state';
import { OPCODE_READ } from '../../lib/wire/layout.generated';
import { executorOf, fileOf, folder, pattern } from '../drivers';

const { ENOENT, EEXIST, ENOTDIR, EISDIR, ENAMETOOLONG, ENOTEMPTY, EINVAL } = constants.errno;

function start(t: ExecutionContext): { executor: Executor; link: Link } {
  return { executor: executorOf(t), link: currentLink() };
}

let directories = 0;
function directory(): string {
  const path = join(folder, `directory-${directories++}`);
  fs.mkdirSync(path);
  return path;
}

async function opened(link: Link, path: string, flags = fs.constants.O_RDONLY): Promise<FileState> {
  const { slot, generation } = await openThrough(link, Buffer.from(path), path, flags, 0o666);
  return new FileState(slot, generation, path);
}

const bigFields = (view: StatView) => ({
  dev: BigInt(view.dev),
  ino: view.inoBig,
  mode: BigInt(view.mode),
  nlink: BigInt(view.nlink),
  uid: BigInt(view.uid),
  gid: BigInt(view.gid),
  rdev: BigInt(view.rdev),
  size: view.sizeBig,
  blksize: BigInt(view.blksize),
  blocks: view.blocksBig,
  atimeNs: view.atimeNs,
  mtimeNs: view.mtimeNs,
  ctimeNs: view.ctimeNs,
  birthtimeNs: view.birthtimeNs,
});

function nodeFields(stats: fs.BigIntStats): object {
  const { dev, ino, mode, nlink, uid, gid, rdev, size, blksize, blocks } = stats;
  const { atimeNs, mtimeNs, ctimeNs, birthtimeNs } = stats;
  return { dev, ino, mode, nlink, uid, gid, rdev, size, blksize, blocks, atimeNs, mtimeNs, ctimeNs, birthtimeNs };
}

test.serial('stat, lstat and fstat have the numbers of node:fs', async (t) => {
  const { link } = start(t);
  const path = fileOf(pattern(5000));
  fs.utimesSync(path, -1.5, 1_700_000_000.25);
  const pointer = `${path}.link`;
  fs.symlinkSync(path, pointer);
  for (const each of [path, pointer, folder, '/dev/null', '/proc/self/status']) {
    if (each.startsWith('/proc')) continue; // Its times are the moment's.
    t.deepEqual(
      await calls.stat(link, each, true, bigFields),
      nodeFields(fs.statSync(each, { bigint: true })) as never,
    );
    t.deepEqual(
      await calls.stat(link, each, false, bigFields),
      nodeFields(fs.lstatSync(each, { bigint: true })) as never,
    );
    const file = await opened(link, each);
    t.deepEqual(await calls.fstat(link, file, bigFields), nodeFields(fs.statSync(each, { bigint: true })) as never);
  }
  const { size, ino, dev, rdev } = fs.statSync(path);
  const numbers = (view: StatView) => [view.size, view.ino, view.dev, view.rdev, view.blocks > 0];
  t.deepEqual(await calls.stat(link, path, true, numbers), [size, ino, dev, rdev, true]);
});

test.serial('paths are text, bytes, long, short, and wrong', async (t) => {
  const { link } = start(t);
  const size = (view: StatView) => view.size;
  const inside = directory();
  for (const name of ['a', 'käse', '名前', '🦀', 'x'.repeat(255), 'ü'.repeat(127)]) {
    fs.writeFileSync(join(inside, name), name);
    const path = join(inside, name);
    t.is(await calls.stat(link, path, true, size), Buffer.byteLength(name), name);
    t.is(await calls.stat(link, Buffer.from(path), true, size), Buffer.byteLength(name), name);
  }
  const latin = Buffer.concat([Buffer.from(`${inside}/`), Buffer.from([0xff, 0xfe])]);
  fs.writeFileSync(latin, 'latin');
  t.is(await calls.stat(link, latin, true, size), 5);
  const dots = `${inside}/${'./'.repeat(1900)}a`;
  t.is(await calls.stat(link, dots, true, size), 1, 'as long as a path may be, nearly');
  t.is(await calls.rename(link, dots, `${inside}/${'./'.repeat(1900)}b`), 0, 'two of them');
  t.is(await calls.stat(link, '/'.repeat(4095), true, (view) => view.mode & 0o170000), 0o040000);
  t.is(await calls.stat(link, '/'.repeat(4096), true, size), -ENAMETOOLONG);
  t.is(await calls.stat(link, 'ü'.repeat(2048), true, size), -ENAMETOOLONG);
  t.is(await calls.stat(link, Buffer.alloc(5000, 'a'), true, size), -ENAMETOOLONG);
  t.is(await calls.stat(link, 'x'.repeat(256), true, size), -ENAMETOOLONG);
  t.is(await calls.stat(link, '', true, size), -ENOENT);
  t.is(await calls.stat(link, join(inside, 'nowhere'), true, size), -ENOENT);
  t.is(await calls.stat(link, join(inside, 'b', 'below'), true, size), -ENOTDIR);
  await t.throwsAsync(calls.stat(link, 'a\0b', true, size), { code: 'ERR_RINGWHEEL_INTERNAL', message: /NUL/ });
});

test.serial('directories are made, found and removed', async (t) => {
  const { link } = start(t);
  const inside = directory();
  const path = join(inside, 'one');
  t.is(await calls.mkdir(link, path, 0o750), 0);
  t.is(fs.statSync(path).mode & 0o777, 0o750 & ~process.umask());
  t.is(await calls.mkdir(link, path, 0o777), -EEXIST);
  const deep = join(path, 'a/b/c');
  t.is(String(await calls.mkdirAll(link, deep, 0o777)), join(path, 'a'));
  t.is(await calls.mkdirAll(link, deep, 0o777), undefined);
  t.true(fs.statSync(deep).isDirectory());
  fs.writeFileSync(join(inside, 'file'), '');
  for (const [each, errno] of [
    ['file', EEXIST],
    ['file/x', ENOTDIR],
    ['file/x/y', ENOTDIR],
  ] as const) {
    const failed = (await calls.mkdirAll(link, join(inside, each), 0o777)) as FailedAt;
    t.is(failed.errno, -errno, each);
  }
  const proc = (await calls.mkdirAll(link, '/proc/nowhere/x', 0o777)) as FailedAt;
  t.is(proc.errno, -ENOENT, 'Node itself goes round for ever here');
  t.is(await calls.rmdir(link, path), -ENOTEMPTY);
  t.is(await calls.rmdir(link, deep), 0);
  t.is(((await calls.rm(link, path, false, false)) as FailedAt).errno, -EISDIR);
  fs.symlinkSync('/', join(path, 'root'));
  fs.mkdirSync(join(path, `${'d/'.repeat(300)}`), { recursive: true });
  t.is(await calls.rm(link, path, false, true), 0, 'a link in it is removed, not followed');
  t.false(fs.existsSync(path));
  t.is(((await calls.rm(link, path, false, true)) as FailedAt).errno, -ENOENT);
  t.is(await calls.rm(link, path, true, true), 0);
  const made = String(await calls.mkdtemp(link, join(inside, 'tmp-')));
  t.regex(made, /tmp-[A-Za-z0-9]{6}$/);
  t.is(fs.statSync(made).mode & 0o777, 0o700);
});

test.serial('names, links, modes, owners and times are what node:fs sees', async (t) => {
  const { link } = start(t);
  const inside = directory();
  const [one, two, three] = ['one', 'two', 'three'].map((name) => join(inside, name)) as [string, string, string];
  fs.writeFileSync(one, 'content');
  t.is(await calls.rename(link, one, two), 0);
  t.is(await calls.hardLink(link, two, one), 0);
  t.is(fs.statSync(one).nlink, 2);
  t.is(await calls.symlink(link, 'two', three), 0);
  t.is(String(await calls.readlink(link, three)), 'two');
  t.is(await calls.readlink(link, two), -EINVAL);
  const far = 'x/'.repeat(2000);
  fs.symlinkSync(far, join(inside, 'far'));
  t.is(String(await calls.readlink(link, join(inside, 'far'))), far, 'longer than its range: a parcel');
  t.is(String(await calls.realpath(link, three)), fs.realpathSync(two));
  t.is(await calls.chmod(link, one, 0o640), 0);
  t.is(fs.statSync(one).mode & 0o777, 0o640);
  const file = await opened(link, one, fs.constants.O_RDWR);
  t.is(await calls.fchmod(link, file, 0o600), 0);
  t.is(fs.statSync(one).mode & 0o777, 0o600);
  const { uid, gid } = fs.statSync(one);
  t.is(await calls.chown(link, one, uid, gid, true), 0);
  t.is(await calls.chown(link, three, -1, -1, false), 0);
  t.is(await calls.fchown(link, file, uid, -1), 0);
  for (const [atime, mtime] of [
    [1.5, 1_700_000_000.123456],
    [0, 1.25],
  ] as const) {
    t.is(await calls.utimes(link, one, atime, mtime, true), 0);
    const ours = fs.statSync(one, { bigint: true });
    fs.utimesSync(one, atime, mtime);
    const theirs = fs.statSync(one, { bigint: true });
    t.deepEqual([ours.atimeNs, ours.mtimeNs], [theirs.atimeNs, theirs.mtimeNs]);
    t.is(await calls.futimes(link, file, mtime, atime), 0);
    t.is(fs.statSync(one).mtimeMs, atime * 1000);
    t.is(await calls.utimes(link, three, atime, atime, false), 0);
    t.is(fs.lstatSync(three).mtimeMs, atime * 1000);
  }
  t.is(await calls.truncatePath(link, one, 3), 0);
  t.is(fs.readFileSync(one, 'utf8'), 'con');
  t.deepEqual(
    await calls.truncatePath(link, join(inside, 'nowhere'), 3),
    new FailedAt(-ENOENT, 1, new Uint8Array(), 0),
  );
  t.is(await calls.access(link, one, fs.constants.R_OK), 0);
  t.is(await calls.access(link, join(inside, 'nowhere'), 0), -ENOENT);
  t.is(await calls.unlink(link, one), 0);
  t.is(await calls.unlink(link, one), -ENOENT);
  const statfs = (await calls.statfs(link, folder)) as calls.StatfsFields;
  const node = fs.statfsSync(folder, { bigint: true });
  t.deepEqual(
    [statfs.type, statfs.bsize, statfs.blocks, statfs.files],
    [node.type, node.bsize, node.blocks, node.files],
  );
});

test.serial('copies have the content and the mode, and a copy that fails is removed', async (t) => {
  const { link } = start(t);
  const inside = directory();
  const [from, to] = [join(inside, 'from'), join(inside, 'to')];
  const bytes = pattern(3_000_001);
  fs.writeFileSync(from, bytes, { mode: 0o751 });
  fs.writeFileSync(to, 'longer'.repeat(1e6));
  t.is(await calls.copyFile(link, from, to, 0), 0);
  t.is(Buffer.compare(fs.readFileSync(to), bytes), 0);
  t.is(fs.statSync(to).mode, fs.statSync(from).mode);
  t.is(await calls.copyFile(link, from, to, fs.constants.COPYFILE_EXCL), -EEXIST);
  t.is(await calls.copyFile(link, from, to, fs.constants.COPYFILE_FICLONE), 0);
  t.is(await calls.copyFile(link, from, from, 0), 0, 'onto itself: nothing happens');
  t.is(Buffer.compare(fs.readFileSync(from), bytes), 0);
  t.is(await calls.copyFile(link, inside, to, 0), -EISDIR);
  t.is(await calls.copyFile(link, join(inside, 'nowhere'), to, 0), -ENOENT);
  t.is(await calls.copyFile(link, '/proc/self/maps', to, 0), 0, 'says that it is empty, and is not');
  t.true(fs.statSync(to).size > 100);
});

test.serial('listings have the names, order and types of node:fs', async (t) => {
  const { link } = start(t);
  const inside = directory();
  t.deepEqual(((await calls.readdir(link, inside)) as calls.Entries).texts(), { directories: [''], names: [] });
  for (const name of ['b', 'a', 'ä', 'Z', '名', 'sub/x', 'sub/deep/y', 'other/z']) {
    const path = join(inside, name);
    fs.mkdirSync(join(path, '..'), { recursive: true });
    fs.writeFileSync(path, '');
  }
  fs.symlinkSync('sub', join(inside, 'pointer'));
  const flat = (await calls.readdir(link, inside)) as calls.Entries;
  const node = fs.readdirSync(inside, { withFileTypes: true });
  t.deepEqual(flat.texts().names, await fs.promises.readdir(inside));
  t.deepEqual(flat.bytes().names.map(String), await fs.promises.readdir(inside));
  const types = new Map(flat.texts().names.map((name, index) => [name, flat.types[index]]));
  for (const each of node) t.is(types.get(each.name) === 2, each.isDirectory(), each.name);
  t.is(types.get('pointer'), 3);
  const whole = (await calls.readdir(link, inside, { recursive: true, follow: true })) as calls.Entries;
  t.deepEqual(whole.texts().names, await fs.promises.readdir(inside, { recursive: true }));
  const typed = (await calls.readdir(link, inside, { recursive: true })) as calls.Entries;
  t.deepEqual(typed.texts().directories, ['', 'sub', 'sub/deep', 'other'], 'of those found the last first');
  t.deepEqual(
    typed.texts().names.filter((name) => name === 'x' || name === 'y'),
    ['x', 'y'],
  );
  const failed = (await calls.readdir(link, join(inside, 'a'))) as FailedAt;
  t.deepEqual([failed.errno, failed.syscall], [-ENOTDIR, 'scandir']);
});

test.serial('a listing of 20,000 names is a parcel, and an open directory gives them in batches', async (t) => {
  const { executor, link } = start(t);
  const inside = directory();
  for (let index = 0; index < 20_000; index++) fs.closeSync(fs.openSync(join(inside, `name-${index}`), 'w'));
  const before = executor.stats();
  const all = (await calls.readdir(link, inside)) as calls.Entries;
  t.deepEqual(all.texts().names, fs.readdirSync(inside).sort());
  t.is(executor.stats().parcels, before.parcels + 1);
  t.is(executor.stats().parcelsWaiting, 0);
  const handle = await opened(link, inside, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  const found: string[] = [];
  for (;;) {
    const batch = (await calls.readEntries(link, handle)) as calls.Entries;
    if (batch.count === 0) break;
    found.push(...batch.texts().names);
  }
  t.deepEqual(found.sort(), all.texts().names);
});

test.serial('whole files are read, small and large, by path and from where an open file stands', async (t) => {
  const { link } = start(t);
  for (const length of [0, 1, 4096, 16_384, 16_385, 200_000, 3_000_001]) {
    const bytes = pattern(length);
    const path = fileOf(bytes);
    t.is(Buffer.compare((await calls.readFile(link, path)) as Buffer, bytes), 0, `${length}`);
    const file = await opened(link, path);
    t.is(Buffer.compare((await calls.readRest(link, file)) as Buffer, bytes), 0, `${length}`);
    t.is(((await calls.readRest(link, file)) as Buffer).length, 0, 'it stands at its end now');
    if (length > 0) {
      const failed = (await calls.readFile(link, path, { limit: length - 1 })) as FailedAt;
      t.is(failed.size, length);
      t.is(((await calls.readFile(link, path, { limit: length })) as Buffer).length, length);
    }
  }
  for (const length of [5000, 50_000]) {
    const bytes = pattern(length);
    const file = await opened(link, fileOf(bytes));
    const some = new Uint8Array(1000);
    t.is(await moveInRanges(link, OPCODE_READ, file, some, 1000, -1), 1000);
    t.is(Buffer.compare((await calls.readRest(link, file)) as Buffer, bytes.subarray(1000)), 0, 'the rest only');
  }
  const text = fileOf('grüße 🦀');
  t.is(await calls.readFile(link, text, { encoding: 'utf8' }), 'grüße 🦀');
  t.is(await calls.readFile(link, text, { encoding: 'hex' }), Buffer.from('grüße 🦀').toString('hex'));
  t.true(((await calls.readFile(link, '/proc/self/status', { encoding: 'utf8' })) as string).includes('VmRSS'));
  const failed = (await calls.readFile(link, join(folder, 'nowhere'))) as FailedAt;
  t.deepEqual([failed.errno, failed.syscall], [-ENOENT, 'open']);
  const wrong = (await calls.readFile(link, folder)) as FailedAt;
  t.deepEqual([wrong.errno, wrong.syscall], [-EISDIR, 'read']);
});

test.serial('whole files are written, with the flags and the mode that are asked for', async (t) => {
  const { link } = start(t);
  const inside = directory();
  const { O_WRONLY, O_CREAT, O_TRUNC, O_APPEND, O_EXCL } = fs.constants;
  const flags = O_WRONLY | O_CREAT | O_TRUNC;
  for (const length of [0, 1, 4096, 100_000, calls.WRITE_WHOLE_BYTES]) {
    for (const flush of [false, true]) {
      const path = join(inside, `${length}`);
      t.is(await calls.writeFile(link, path, pattern(length), { flags, mode: 0o640, flush }), 0);
      t.is(Buffer.compare(fs.readFileSync(path), pattern(length)), 0);
      t.is(fs.statSync(path).mode & 0o777, 0o640 & ~process.umask());
    }
  }
  const path = join(inside, '4096');
  t.is(await calls.writeFile(link, path, 'grüße', { flags, mode: 0o666 }), 0);
  t.is(await calls.writeFile(link, path, '2120', { flags: O_WRONLY | O_APPEND, mode: 0, encoding: 'hex' }), 0);
  t.is(fs.readFileSync(path, 'utf8'), 'grüße! ');
  for (const [text, encoding] of [
    ['aGVs\n bG8=\n', 'base64'],
    ['2120 no digits', 'hex'],
    ['ÿ€', 'latin1'],
    ['ab', 'utf16le'],
  ] as const) {
    t.is(await calls.writeFile(link, path, text, { flags, mode: 0, encoding }), 0);
    t.deepEqual(fs.readFileSync(path), Buffer.from(text, encoding), encoding);
  }
  const failed = (await calls.writeFile(link, path, '', { flags: flags | O_EXCL, mode: 0o666 })) as FailedAt;
  t.deepEqual([failed.errno, failed.syscall], [-EEXIST, 'open']);
  // What may have to wait for another process is left to a descriptor: `ringwheel/fs` says ENOSPC here.
  const stream = (await calls.writeFile(link, '/dev/full', 'x', { flags: O_WRONLY, mode: 0 })) as FailedAt;
  t.deepEqual([stream.errno, stream.syscall], [-constants.errno.EAGAIN, 'stream']);
  const wrong = (await calls.writeFile(link, inside, 'x', { flags, mode: 0o666 })) as FailedAt;
  t.deepEqual([wrong.errno, wrong.syscall], [-EISDIR, 'open']);
});

test.serial('more calls than there is memory for wait, and all are answered', async (t) => {
  const { executor, link } = start(t);
  const path = fileOf(pattern(100));
  const size = (view: StatView) => view.size;
  const many = Array.from({ length: 20_000 }, () => calls.stat(link, path, true, size));
  t.true((await Promise.all(many)).every((value) => value === 100));
  const whole = await Promise.all(Array.from({ length: 2000 }, () => calls.readFile(link, path)));
  t.true(whole.every((bytes) => (bytes as Buffer).length === 100));
  t.true(executor.stats().callsHere > 0);
});

test.serial('a signal ends a whole read at once, and its parcel is not left behind', async (t) => {
  const { executor, link } = start(t);
  const path = fileOf(pattern(9_000_000));
  const reason = new Error('enough');
  for (let round = 0; round < 20; round++) {
    const controller = new AbortController();
    const reading = calls.readFile(link, path, { signal: controller.signal });
    if (round % 3 === 0) controller.abort(reason);
    else if (round % 3 === 1) setImmediate(() => controller.abort(reason));
    else setTimeout(() => controller.abort(reason), round / 4);
    const value = await reading.catch((error) => error);
    t.true(value === reason || (value as Buffer).length === 9_000_000);
  }
  await t.throwsAsync(calls.readFile(link, path, { signal: AbortSignal.abort(reason) }), { is: reason });
  while (!link.idle) await new Promise((resolve) => setImmediate(resolve));
  t.is(executor.stats().parcelsWaiting, 0);
});

test.serial('calls of a task queue settle in its slices, also those that had to wait', async (t) => {
  const { link } = start(t);
  const path = fileOf(pattern(10));
  await using queue = new TaskQueue({ name: 'calls' });
  await queue.spawn(async () => {
    const mine = link.scheduler.current;
    t.truthy(mine);
    const one = async (): Promise<void> => {
      await calls.stat(link, path, true, (view) => view.size);
      if (link.scheduler.current !== mine) throw new Error('it settled elsewhere');
      await calls.readFile(link, path, { signal: new AbortController().signal });
      if (link.scheduler.current !== mine) throw new Error('it settled elsewhere');
    };
    await Promise.all(Array.from({ length: 1500 }, one));
  });
});
