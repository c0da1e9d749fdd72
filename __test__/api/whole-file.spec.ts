// Whole files: readFile, file.readAll, copyFile and writeFileAtomic, against node:fs on the same files.
import fs from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { copyFile, File, readFile, writeFileAtomic } from '../../index';
import { executorOf, fileOf, folder, pattern } from '../drivers';

const same = (t: ExecutionContext, found: Uint8Array, expected: Uint8Array) => t.is(Buffer.compare(found, expected), 0);

/** A directory of the test's own, so that what is left in it shows. */
const place = (t: ExecutionContext): string => {
  const made = join(folder, t.title.replace(/\W+/g, '-').slice(0, 60));
  fs.mkdirSync(made);
  return made;
};

for (const length of [0, 1, 4096, 16_384, 16_385, 3_000_001]) {
  test(`readFile and readAll give the ${length} bytes of a file`, async (t) => {
    executorOf(t);
    const bytes = pattern(length);
    const path = fileOf(bytes);
    const read = await readFile(pathToFileURL(path));
    t.is(Object.getPrototypeOf(read), Uint8Array.prototype, 'no Buffer');
    same(t, read, bytes);
    await using file = await File.open(path);
    same(t, await file.readAll(), bytes);
    t.is((await file.readAll()).length, 0, 'the position is at the end');
  });
}

test('readAll reads from the position of the file, and a file that does not say its length', async (t) => {
  executorOf(t);
  await using file = await File.open(fileOf('hello world'));
  await file.read(new Uint8Array(6));
  t.is(Buffer.from(await file.readAll()).toString(), 'world');
  t.deepEqual(Buffer.from(await readFile('/proc/self/cmdline')), fs.readFileSync('/proc/self/cmdline'));
});

test('what readFile gives is the caller’s alone', async (t) => {
  executorOf(t);
  const path = fileOf(pattern(1000));
  const [one, other] = [await readFile(path), await readFile(path)];
  one.fill(0);
  same(t, other, pattern(1000));
  structuredClone(one, { transfer: [one.buffer as ArrayBuffer] });
  t.is(one.length, 0);
  same(t, other, pattern(1000));
});

test('readFile and readAll: errors name the path; a limit and a signal are kept', async (t) => {
  executorOf(t);
  const nowhere = join(folder, 'nowhere');
  await t.throwsAsync(readFile(nowhere), {
    code: 'ENOENT',
    message: `ENOENT: no such file or directory, open '${nowhere}'`,
  });
  await t.throwsAsync(readFile(folder), { code: 'EISDIR', message: /read/ });
  const path = fileOf(pattern(100_000));
  await t.throwsAsync(readFile(path, { limit: 99_999 }), {
    code: 'ERR_RINGWHEEL_NO_MEMORY',
    message: /100000 bytes.* limit is 99999/,
  });
  t.is((await readFile(path, { limit: 100_000 })).length, 100_000);
  const reason = new Error('enough');
  await t.throwsAsync(readFile(path, { signal: AbortSignal.abort(reason) }), { is: reason });
  const file = await File.open(path);
  await t.throwsAsync(file.readAll({ limit: 5 }), { code: 'ERR_RINGWHEEL_NO_MEMORY' });
  await t.throwsAsync(file.readAll({ signal: AbortSignal.abort(reason) }), { is: reason });
  await t.throwsAsync(readFile(path, { limt: 1 } as never), { message: /did you mean 'limit'/ });
  await t.throwsAsync(readFile('' as never), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
  await file.close();
  await t.throwsAsync(file.readAll(), { code: 'ERR_RINGWHEEL_CLOSED' });
  await using written = await File.open(fileOf(''), 'w');
  await t.throwsAsync(written.readAll(), { code: 'EBADF', message: /read/ });
});

test('copyFile copies content and mode, overwrites, and does not with `exclusive`', async (t) => {
  executorOf(t);
  const here = place(t);
  const [from, to] = [join(here, 'from'), join(here, 'to')];
  const bytes = pattern(1_000_003);
  fs.writeFileSync(from, bytes);
  fs.chmodSync(from, 0o640);
  await copyFile(from, pathToFileURL(to));
  same(t, fs.readFileSync(to), bytes);
  t.is(fs.statSync(to).mode & 0o7777, 0o640);
  fs.writeFileSync(from, 'short');
  await copyFile(from, Buffer.from(to), { reflink: 'try' });
  t.is(fs.readFileSync(to, 'utf8'), 'short');
  await t.throwsAsync(copyFile(from, to, { exclusive: true }), {
    code: 'EEXIST',
    message: `EEXIST: file already exists, copyfile '${from}' -> '${to}'`,
  });
  const error = await t.throwsAsync<NodeJS.ErrnoException & { dest: string }>(copyFile(join(here, 'no'), to));
  t.is(error?.code, 'ENOENT');
  t.is(error?.path, join(here, 'no'));
  t.is(error?.dest, to);
  t.is(fs.readFileSync(to, 'utf8'), 'short', 'the target is as it was');
  await t.throwsAsync(copyFile(from, to, { reflink: 'always' } as never), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
  const reason = new Error('enough');
  await t.throwsAsync(copyFile(from, join(here, 'none'), { signal: AbortSignal.abort(reason) }), { is: reason });
  t.deepEqual(fs.readdirSync(here).sort(), ['from', 'to']);
});

for (const length of [0, 11, 262_145, 2_500_000]) {
  test(`writeFileAtomic makes and replaces a file of ${length} bytes, and leaves nothing else`, async (t) => {
    const executor = executorOf(t);
    const here = place(t);
    const path = join(here, 'file');
    const bytes = pattern(length);
    await writeFileAtomic(path, bytes);
    same(t, fs.readFileSync(path), bytes);
    t.is(fs.statSync(path).mode & 0o7777, 0o666 & ~process.umask());
    const before = fs.statSync(path).ino;
    await writeFileAtomic(path, 'héllo', { syncDirectory: true });
    t.is(fs.readFileSync(path, 'utf8'), 'héllo');
    t.not(fs.statSync(path).ino, before, 'another file has the name');
    if (length > 0) {
      using lease = executor.lease(length);
      lease.bytes.set(bytes);
      await writeFileAtomic(path, lease);
      same(t, fs.readFileSync(path), bytes);
    }
    t.deepEqual(fs.readdirSync(here), ['file']);
  });
}

test('writeFileAtomic keeps the mode of the old file, follows links, and takes a mode', async (t) => {
  executorOf(t);
  const here = place(t);
  const path = join(here, 'file');
  fs.writeFileSync(path, 'old');
  fs.chmodSync(path, 0o604);
  fs.symlinkSync('file', join(here, 'link'));
  await writeFileAtomic(join(here, 'link'), 'new');
  t.is(fs.readFileSync(path, 'utf8'), 'new');
  t.is(fs.statSync(path).mode & 0o7777, 0o604);
  t.is(fs.readlinkSync(join(here, 'link')), 'file');
  await writeFileAtomic(path, 'newer', { mode: 0o666 });
  t.is(fs.statSync(path).mode & 0o7777, 0o666, 'whatever the umask');
  const old = process.cwd();
  process.chdir(here);
  try {
    await writeFileAtomic('beside', 'here', { syncDirectory: true });
  } finally {
    process.chdir(old);
  }
  t.is(fs.readFileSync(join(here, 'beside'), 'utf8'), 'here');
  t.deepEqual(fs.readdirSync(here).sort(), ['beside', 'file', 'link']);
});

test('writeFileAtomic that fails leaves the old file, and nothing beside it', async (t) => {
  executorOf(t);
  const here = place(t);
  const path = join(here, 'file');
  fs.writeFileSync(path, 'old');
  const missing = join(here, 'no', 'file');
  await t.throwsAsync(writeFileAtomic(missing, 'x'), {
    code: 'ENOENT',
    message: `ENOENT: no such file or directory, open '${missing}'`,
  });
  await t.throwsAsync(writeFileAtomic(here, 'x'), { code: 'ERR_RINGWHEEL_INVALID_OPTION', message: /regular file/ });
  await t.throwsAsync(writeFileAtomic('/dev/null', 'x'), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
  fs.symlinkSync('nowhere', join(here, 'dangling'));
  await t.throwsAsync(writeFileAtomic(join(here, 'dangling'), 'x'), { code: 'ENOENT', message: /realpath/ });
  fs.unlinkSync(join(here, 'dangling'));
  await t.throwsAsync(writeFileAtomic(path, 5 as never), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
  await t.throwsAsync(writeFileAtomic(path, 'x', { mode: 0o10000 }), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
  const reason = new Error('enough');
  await t.throwsAsync(writeFileAtomic(path, 'x', { signal: AbortSignal.abort(reason) }), { is: reason });
  t.is(fs.readFileSync(path, 'utf8'), 'old');
  t.deepEqual(fs.readdirSync(here), ['file']);
});

test('writeFileAtomic that is aborted at any moment has the old content or the new, and nothing beside it', async (t) => {
  executorOf(t);
  const here = place(t);
  const path = join(here, 'file');
  const [old, fresh] = [pattern(300_000), pattern(700_001)];
  let aborted = 0;
  let done = 0;
  for (let round = 0; round < 40; round++) {
    fs.writeFileSync(path, old);
    const ending = new AbortController();
    const reason = new Error('enough');
    const writing = writeFileAtomic(path, fresh, { signal: ending.signal });
    const outcome = writing.then(
      () => 'done',
      (error) => error,
    );
    for (let turn = 0; turn < round ** 2; turn++) await new Promise(setImmediate);
    ending.abort(reason);
    const how = await outcome;
    if (how === 'done') done++;
    else {
      t.is(how, reason);
      aborted++;
    }
    same(t, fs.readFileSync(path), how === 'done' ? fresh : old);
    t.deepEqual(fs.readdirSync(here), ['file']);
  }
  t.log(`${aborted} aborted, ${done} done`);
  t.true(aborted > 0);
});

test('whoever reads meanwhile sees one content or the other, whole', async (t) => {
  executorOf(t);
  const path = join(place(t), 'file');
  const contents = [Buffer.alloc(200_000, 'a'), Buffer.alloc(300_000, 'b')] as const;
  await writeFileAtomic(path, contents[0]);
  let writing = true;
  const reader = (async () => {
    let reads = 0;
    while (writing) {
      const found = await readFile(path);
      t.true(
        contents.some((content) => Buffer.compare(content, found) === 0),
        `${found.length} bytes`,
      );
      reads++;
    }
    return reads;
  })();
  for (let index = 0; index < 20; index++) await writeFileAtomic(path, contents[index % 2] as Buffer);
  writing = false;
  t.true((await reader) > 0);
  t.deepEqual(fs.readdirSync(dirname(path)), ['file']);
});
