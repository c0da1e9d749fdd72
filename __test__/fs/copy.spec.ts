// cp beside Node's own: trees, links, what exists, filters, and everything that is refused.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import test from 'ava';
import { BAD_PATHS } from './bad-paths';
import { type Fs, same } from './twins';

type At = (name?: string) => string;
type Copy = (...args: unknown[]) => Promise<unknown>;
const cp = (fs: Fs): Copy => fs.cp as never;

const scene = (at: At): void => {
  for (const path of ['from/a/b', 'from/empty', 'to/a', 'to-file', 'below']) mkdirSync(at(path), { recursive: true });
  for (const path of ['from/1', 'from/a/2', 'from/a/b/3', 'to/1', 'file', 'other', 'to-file/from'])
    writeFileSync(at(path), path);
  chmodSync(at('from/1'), 0o400);
  chmodSync(at('from/a'), 0o710);
  utimesSync(at('from/1'), 1000.5, 2000.25);
  symlinkSync('1', at('from/link'));
  symlinkSync('none', at('from/dangling'));
  symlinkSync('from', at('link-to-from'));
  symlinkSync('/dev/null', at('absolute'));
  symlinkSync('file', at('to-link'));
  symlinkSync('../to', at('below/up'));
};

const PAIRS: [string, string][] = [
  ['file', 'new'],
  ['file', 'other'],
  ['file', 'file'],
  ['file', 'new/deep/er'],
  ['file', 'to'],
  ['file', 'file/x'],
  ['from', 'new'],
  ['from', 'to'],
  ['from', 'file'],
  ['from', 'from'],
  ['from', 'from/below'],
  ['from', 'link-to-from/below'],
  ['from/a', 'to/a'],
  ['from/link', 'new'],
  ['from/link', 'to/link'],
  ['from/link', 'to-link'],
  ['from/dangling', 'new'],
  ['from/dangling', 'to-link'],
  ['link-to-from', 'new'],
  ['link-to-from', 'from'],
  ['link-to-from', 'below/up'],
  ['absolute', 'new'],
  ['absolute', 'to-link'],
  ['none', 'new'],
  ['none', 'file'],
];

test.serial('every pair, with every option', async (t) => {
  const options: unknown[] = [
    undefined,
    { recursive: true },
    { recursive: true, force: false },
    { recursive: true, force: false, errorOnExist: true },
    { recursive: true, dereference: true },
    { recursive: true, verbatimSymlinks: true },
    { recursive: true, preserveTimestamps: true },
    { mode: 1 },
  ];
  for (const [from, to] of PAIRS) {
    for (const option of options) {
      // Node's own looks at a tree that it is writing into for ever, or until a path is too long.
      if (from === 'from' && to === 'link-to-from/below' && (option as { dereference?: boolean })?.dereference)
        continue;
      await same(t, (fs, at) => cp(fs)(at(from), at(to), option), scene, `${from} ${to} ${JSON.stringify(option)}`);
    }
  }
});

test.serial('times are kept', async (t) => {
  await same(
    t,
    async (fs, at) => {
      await fs.cp(at('from'), at('new'), { recursive: true, preserveTimestamps: true });
      return (await fs.stat(at('new/1'), { bigint: true })).mtimeNs;
    },
    scene,
  );
});

test.serial('a filter sees every pair once, in order, and may wait or throw', async (t) => {
  for (const wait of [false, true]) {
    await same(
      t,
      async (fs, at) => {
        const seen: string[] = [];
        const filter = (from: string, to: string): boolean | Promise<boolean> => {
          seen.push(`${from} ${to}`);
          const wanted = !from.endsWith(join('a', 'b'));
          return wait ? Promise.resolve(wanted) : wanted;
        };
        await fs.cp(at('from'), at('new'), { recursive: true, filter: filter as never });
        return seen;
      },
      scene,
    );
  }
  await same(t, (fs, at) => fs.cp(at('none'), at('new'), { filter: () => false }), scene);
  const filter = (): never => {
    throw new TypeError('from the filter');
  };
  await same(t, (fs, at) => fs.cp(at('from'), at('new'), { recursive: true, filter }), scene);
});

test.serial('what cannot be copied, and what Node refuses', async (t) => {
  const special = (at: At): void => {
    scene(at);
    execFileSync('mkfifo', [at('from/fifo')]);
  };
  await same(t, (fs, at) => fs.cp(at('from/fifo'), at('new')), special);
  const failed = await same(
    t,
    async (fs, at) => {
      await fs.rm(at('from/a'), { recursive: true });
      return fs.cp(at('from'), at('new'), { recursive: true });
    },
    special,
  );
  t.regex(failed.error?.message ?? '', /cannot copy a FIFO pipe/);
  for (const path of BAD_PATHS) {
    await same(t, (fs, at) => cp(fs)(path, at('new')), scene, `from ${String(path)}`);
    await same(t, (fs, at) => cp(fs)(at('file'), path), scene, `to ${String(path)}`);
  }
  const bad: unknown[] = [
    null,
    5,
    'x',
    [],
    { recursive: 1 },
    { force: undefined },
    { mode: 99 },
    { mode: 'x' },
    { filter: 5 },
    { dereference: true, verbatimSymlinks: true },
  ];
  for (const option of bad)
    await same(t, (fs, at) => cp(fs)(at('file'), at('new'), option), scene, JSON.stringify(option));
  await same(t, (fs, at) => fs.cp(pathToFileURL(at('file')), pathToFileURL(at('new ü'))), scene);
  await same(t, (fs, at) => cp(fs)(Buffer.from(at('file')), at('new')), scene);
});
