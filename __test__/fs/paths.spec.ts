// The functions of one or two paths beside Node's own.
import { linkSync, mkdirSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import test from 'ava';
import { folder } from '../drivers';
import { BAD_PATHS } from './bad-paths';
import { type Fs, ring, same, sameHere, timeOf } from './twins';

type At = (name?: string) => string;
type Any = (...args: unknown[]) => Promise<unknown>;
const of = (fs: Fs, name: string): Any => (fs as unknown as Record<string, Any>)[name] as Any;

/** One of each kind. */
const scene = (at: At): void => {
  writeFileSync(at('file'), 'content');
  utimesSync(at('file'), 1, 2);
  mkdirSync(at('directory/below'), { recursive: true });
  writeFileSync(at('directory/file'), 'below');
  symlinkSync('file', at('link'));
  symlinkSync('directory', at('link-to-directory'));
  symlinkSync('gone', at('dangling'));
  symlinkSync('loop', at('loop'));
  symlinkSync(Buffer.from([0xff, 0x41]), at('odd-link'));
  linkSync(at('file'), at('hard'));
  writeFileSync(Buffer.concat([Buffer.from(`${at()}/`), Buffer.from([0xfe, 0x42])]), 'odd');
};

/** What chmod and its like need of it. */
const few = (at: At): void => {
  writeFileSync(at('file'), 'content');
  mkdirSync(at('directory'));
  symlinkSync('file', at('link'));
  symlinkSync('gone', at('dangling'));
};

const NAMES = [
  'file',
  'directory',
  'link',
  'link-to-directory',
  'dangling',
  'loop',
  'none',
  'none/x',
  'file/x',
  'file/',
  'link/',
  'directory/',
  `${'x'.repeat(300)}`,
];
const ONE_PATH = ['access', 'stat', 'lstat', 'unlink', 'rmdir', 'readlink', 'realpath', 'statfs'];

test.serial('functions of one path, of everything there is', async (t) => {
  for (const name of ONE_PATH) {
    // What says inodes and times is looked at in one place.
    if (['stat', 'lstat', 'statfs'].includes(name)) continue;
    for (const entry of NAMES) await same(t, (fs, at) => of(fs, name)(at(entry)), scene, `${name} ${entry}`);
    await same(t, (fs, at) => of(fs, name)(pathToFileURL(at('link'))), scene, `${name} of a URL`);
    await same(t, (fs, at) => of(fs, name)(Buffer.from(at('link'))), scene, `${name} of bytes`);
    await same(t, (fs, at) => of(fs, name)(Buffer.from(`${at()}/\xfeB`, 'latin1')), scene, `${name} of odd bytes`);
  }
  for (const name of [...ONE_PATH, 'readdir', 'opendir', 'mkdir', 'rm', 'mkdtemp']) {
    for (const path of [...BAD_PATHS, '', Buffer.alloc(0), '/'.padEnd(5000, 'x')]) {
      // Makes a directory here; and of a path that is too long libuv tells the letters that it tried.
      if (name === 'mkdtemp' && (path as string | undefined)?.length !== undefined) continue;
      await same(t, (fs) => of(fs, name)(path), undefined, `${name} ${String(path).slice(0, 20)}`);
    }
  }
});

test.serial('stat, lstat and statfs', async (t) => {
  const place = `${folder}/stats`;
  mkdirSync(place);
  const at: At = (name = '') => `${place}/${name}`;
  scene(at);
  utimesSync(at('file'), -5.25, 4e9 + 0.123456);
  for (const name of ['stat', 'lstat']) {
    for (const entry of [...NAMES, '']) {
      for (const options of [undefined, {}, { bigint: true }, { bigint: false }, { bigint: 1 }]) {
        await sameHere(t, (fs) => of(fs, name)(at(entry), options), `${name} ${entry}`);
      }
    }
    for (const device of ['/dev/null', '/dev/zero', '/proc/self/exe', '/proc/1/ns/pid', '/sys', '/']) {
      for (const options of [undefined, { bigint: true }])
        await sameHere(t, (fs) => of(fs, name)(device, options), device);
    }
    for (const options of [null, 5, 'x', true]) await sameHere(t, (fs) => of(fs, name)(at('file'), options));
  }
  t.true((await ring.stat(at('file'))) instanceof Object.getPrototypeOf(statSync('/')).constructor);
  for (const path of ['/proc', '/sys', '/none']) {
    for (const options of [undefined, {}, { bigint: true }, { bigint: false }, null]) {
      await sameHere(t, (fs) => of(fs, 'statfs')(path, options), path);
    }
  }
});

test.serial('access in every mode', async (t) => {
  for (const mode of [undefined, 0, 1, 2, 4, 7]) {
    for (const entry of ['file', 'directory', 'none', 'dangling']) {
      await same(t, (fs, at) => fs.access(at(entry), mode), scene, `${entry} ${mode}`);
    }
  }
});

test.serial('functions of two paths', async (t) => {
  const pairs = NAMES.flatMap((from) => ['new', 'file', 'directory'].map((to) => [from, to] as const));
  for (const name of ['rename', 'link', 'copyFile', 'symlink']) {
    for (const [from, to] of pairs) {
      await same(t, (fs, at) => of(fs, name)(at(from), at(to)), scene, `${name} ${from} ${to}`);
    }
    await same(t, (fs, at) => of(fs, name)(Buffer.from(at('file')), pathToFileURL(at('new ü'))), scene, name);
    await same(
      t,
      (fs, at) => of(fs, name)(Buffer.from(`${at()}/\xfeB`, 'latin1'), Buffer.from(`${at()}/\xfdC`, 'latin1')),
      scene,
      name,
    );
    await same(t, (fs, at) => of(fs, name)(Buffer.from(`${at()}/\xfc`, 'latin1'), at('none/x')), scene, name);
    for (const bad of BAD_PATHS) {
      await same(t, (fs, at) => of(fs, name)(bad, at('new')), scene, `${name} from ${String(bad)}`);
      await same(t, (fs, at) => of(fs, name)(at('file'), bad), scene, `${name} to ${String(bad)}`);
    }
  }
  for (const mode of [undefined, null, 0, 1, 2, 3, 8, -1, 1.5, 'x', {}]) {
    await same(t, (fs, at) => fs.copyFile(at('file'), at('new'), mode as never), scene, `mode ${mode}`);
    await same(t, (fs, at) => fs.copyFile(at('file'), at('directory/file'), mode as never), scene, `mode ${mode}`);
  }
  await same(t, (fs, at) => fs.copyFile(at('file'), at('file')), scene);
  for (const type of [undefined, null, 'file', 'dir', 'junction', 'nonsense', 5]) {
    await same(t, (fs, at) => fs.symlink('relative/target', at('new'), type as never), scene, `type ${type}`);
  }
  await same(t, (fs, at) => fs.symlink('', at('new')), scene);
});

test.serial('readlink and realpath in every encoding', async (t) => {
  for (const name of ['readlink', 'realpath']) {
    for (const encoding of [
      'utf8',
      'buffer',
      'hex',
      'latin1',
      'base64',
      'utf16le',
      null,
      '',
      'nonsense',
      { encoding: 'buffer' },
      { encoding: 'nonsense' },
      {},
      5,
    ]) {
      // What other letters make of the twins' own names cannot be compared.
      if (name === 'realpath' && /hex|base64|utf16/.test(JSON.stringify(encoding))) continue;
      for (const entry of ['link', 'odd-link', 'none', 'directory/../link']) {
        await same(
          t,
          (fs, at) => of(fs, name)(at(entry), encoding),
          scene,
          `${name} ${entry} ${JSON.stringify(encoding)}`,
        );
      }
    }
  }
});

test.serial('chmod, chown, lchown, utimes, lutimes, lchmod', async (t) => {
  for (const mode of [0, 0o640, 0o4755, 0o777, '600', '0755', 'rw', -1, 1.5, undefined, null, {}, 0o100600]) {
    for (const entry of ['file', 'link', 'directory', 'none']) {
      await same(t, (fs, at) => fs.chmod(at(entry), mode as never), few, `chmod ${entry} ${mode}`);
    }
  }
  for (const name of ['chown', 'lchown']) {
    for (const [uid, gid] of [
      [-1, -1],
      [0, 0],
      [1, 2],
      [1, -1],
      [2 ** 32 - 1, 5],
      ['0', 0],
      [0, -2],
      [0],
      [1.5, 0],
      [2 ** 32, 0],
      [0, null],
    ]) {
      for (const entry of ['file', 'link', 'dangling', 'none']) {
        await same(t, (fs, at) => of(fs, name)(at(entry), uid, gid), few, `${name} ${entry} ${uid} ${gid}`);
      }
    }
  }
  const times = [
    0,
    1.5,
    1700000000.123456,
    1e10,
    '5',
    '1.25',
    '-5',
    '',
    'x',
    new Date(123456),
    new Date(-1000),
    new Date(Number.NaN),
    undefined,
    null,
    {},
    Number.NaN,
    5n,
  ];
  for (const name of ['utimes', 'lutimes']) {
    for (const time of times) {
      for (const entry of ['file', 'link', 'none']) {
        await same(
          t,
          async (fs, at) => {
            await of(fs, name)(at(entry), time, 1000.25);
            const { atimeNs, mtimeNs } = await fs.lstat(at(entry), { bigint: true });
            return name === 'lutimes' || entry === 'file' ? [atimeNs, mtimeNs].map(timeOf) : undefined;
          },
          few,
          `${name} ${entry} ${String(time)}`,
        );
      }
    }
  }
  await same(t, (fs, at) => fs.lchmod(at('link'), 0o600), few);
});

test.serial('an error of every function has the frames of the caller', async (t) => {
  const calls: [string, ...unknown[]][] = [
    ...ONE_PATH.map((name) => [name, '/none/x'] as [string, string]),
    ['rename', '/none/x', '/none/y'],
    ['chmod', '/none/x', 0],
    ['readdir', '/none/x'],
    ['opendir', '/none/x'],
    ['mkdir', '/none/x/y'],
    ['rm', '/none/x'],
    ['mkdtemp', '/none/x/y'],
  ];
  for (const [name, ...args] of calls) {
    async function theCaller(): Promise<void> {
      await of(ring, name)(...args);
    }
    const { stack } = await t.throwsAsync(theCaller());
    t.regex(stack ?? '', /theCaller/, `${name}: ${stack}`);
  }
});
