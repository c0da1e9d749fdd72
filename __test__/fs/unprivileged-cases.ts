// What users who are not root may not: each function of fs/promises on files and directories of others, and on their own without permission.
import { chmodSync, chownSync, lchownSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import type { Fs } from './twins';

/** Who makes the calls. */
export const NOBODY = 65534;

type At = (name: string) => string;
type Call = (fs: Fs, at: At) => unknown;

/** A call, and whether it may change anything: those that do not share a directory. */
export interface Case {
  readonly name: string;
  readonly changes: boolean;
  /** Beside `mine`, the directory that it is about. */
  readonly about: string;
  readonly call: Call;
}

/** Opens a file, lets `use` have its handle, and closes it. */
const handled =
  (name: string, flags: string, use: (handle: Awaited<ReturnType<Fs['open']>>) => unknown): Call =>
  async (fs, at) => {
    const handle = await fs.open(at(name), flags);
    try {
      return await use(handle);
    } finally {
      await handle.close();
    }
  };

/** Functions of one path that change nothing. */
const LOOKS: Record<string, (fs: Fs, path: string) => unknown> = {
  'access F_OK': (fs, path) => fs.access(path),
  'access R_OK': (fs, path) => fs.access(path, 4),
  'access W_OK': (fs, path) => fs.access(path, 2),
  'access X_OK': (fs, path) => fs.access(path, 1),
  'open r': async (fs, path) => (await fs.open(path)).close(),
  'open r+': async (fs, path) => (await fs.open(path, 'r+')).close(),
  opendir: async (fs, path) => {
    const names: string[] = [];
    for await (const { name } of await fs.opendir(path)) names.push(name);
    return names.sort();
  },
  'opendir recursive': async (fs, path) => {
    const names: string[] = [];
    for await (const { name } of await fs.opendir(path, { recursive: true })) names.push(name);
    return names.sort();
  },
  readdir: async (fs, path) => (await fs.readdir(path)).sort(),
  'readdir with types': async (fs, path) =>
    (await fs.readdir(path, { withFileTypes: true })).map((entry) => [entry.name, entry.isDirectory()]).sort(),
  'readdir recursive': async (fs, path) => (await fs.readdir(path, { recursive: true })).sort(),
  readFile: (fs, path) => fs.readFile(path),
  'readFile as text': (fs, path) => fs.readFile(path, 'utf8'),
  readlink: (fs, path) => fs.readlink(path),
  realpath: (fs, path) => fs.realpath(path),
  stat: async (fs, path) => modeOf(await fs.stat(path)),
  lstat: async (fs, path) => modeOf(await fs.lstat(path)),
  statfs: async (fs, path) => (await fs.statfs(path)).bsize,
};

/** Functions of one path that change something; `mine` is a directory in which all is allowed. */
const CHANGES: Record<string, (fs: Fs, path: string, mine: At) => unknown> = {
  'open a': async (fs, path) => (await fs.open(path, 'a')).close(),
  'open wx': async (fs, path) => (await fs.open(path, 'wx', 0o640)).close(),
  'open w': async (fs, path) => (await fs.open(path, 'w')).close(),
  chmod: (fs, path) => fs.chmod(path, 0o700),
  'chown to root': (fs, path) => fs.chown(path, 0, 0),
  'chown to oneself': (fs, path) => fs.chown(path, NOBODY, NOBODY),
  'lchown to root': (fs, path) => fs.lchown(path, 0, 0),
  utimes: (fs, path) => fs.utimes(path, 1, 2),
  lutimes: (fs, path) => fs.lutimes(path, 1, 2),
  truncate: (fs, path) => fs.truncate(path, 2),
  appendFile: (fs, path) => fs.appendFile(path, 'more'),
  'writeFile small': (fs, path) => fs.writeFile(path, 'other'),
  'writeFile large': (fs, path) => fs.writeFile(path, Buffer.alloc(600_000, 1)),
  'writeFile, flushed': (fs, path) => fs.writeFile(path, 'other', { flush: true }),
  'copyFile from': (fs, path, mine) => fs.copyFile(path, mine('copied')),
  'copyFile to': (fs, path, mine) => fs.copyFile(mine('file'), path),
  'copyFile to, with reflink': (fs, path, mine) => fs.copyFile(mine('file'), path, 2),
  'cp from': (fs, path, mine) => fs.cp(path, mine('copied'), { recursive: true }),
  'cp to': (fs, path, mine) => fs.cp(mine('file'), path, { recursive: true }),
  'link from': (fs, path, mine) => fs.link(path, mine('linked')),
  'link to': (fs, path, mine) => fs.link(mine('file'), path),
  'symlink to': (fs, path) => fs.symlink('file', path),
  mkdir: (fs, path) => fs.mkdir(path),
  'mkdir recursive': (fs, path) => fs.mkdir(`${path}/a/b`, { recursive: true }),
  mkdtemp: async (fs, path) => {
    try {
      const made = await fs.mkdtemp(path);
      await fs.rmdir(made);
      return made.slice(0, -6);
    } catch (error) {
      // Which letters it would have had is chance.
      const { message, path: told } = error as NodeJS.ErrnoException;
      throw Object.assign(error as Error, { message: message.slice(0, -7), path: told?.slice(0, -6) });
    }
  },
  'rename from': (fs, path, mine) => fs.rename(path, mine('renamed')),
  'rename to': (fs, path, mine) => fs.rename(mine('file'), path),
  unlink: (fs, path) => fs.unlink(path),
  rmdir: (fs, path) => fs.rmdir(path),
  rm: (fs, path) => fs.rm(path),
  'rm force': (fs, path) => fs.rm(path, { force: true }),
  'rm recursive': (fs, path) => fs.rm(path, { recursive: true }),
  'rm recursive force': (fs, path) => fs.rm(path, { recursive: true, force: true }),
};

/** What the calls are about. */
const PLACES = [
  'open/file',
  'open/secret',
  'open/directory',
  'open/new',
  'closed',
  'closed/file',
  'closed/new',
  'sticky/file',
  'sticky/new',
  'mine/file',
  'mine/none',
  'mine/readable',
  'mine/readable/file',
  'mine/readable/new',
  'mine/writable',
  'mine/writable/file',
  'mine/writable/new',
  'mine/listed',
  'mine/listed/file',
  'mine/mixed',
  'mine/held',
  'mine/link',
] as const;

const HANDLES: Record<string, Call> = {
  chmod: handled('open/file', 'r', (handle) => handle.chmod(0o700)),
  chown: handled('open/file', 'r', (handle) => handle.chown(NOBODY, NOBODY)),
  utimes: handled('open/file', 'r', (handle) => handle.utimes(1, 2)),
  truncate: handled('open/file', 'r', (handle) => handle.truncate(1)),
  write: handled('open/file', 'r', (handle) => handle.write(Buffer.from('x'))),
  'write at a position': handled('open/file', 'r', (handle) => handle.write(Buffer.from('x'), 0, 1, 1)),
  writev: handled('open/file', 'r', (handle) => handle.writev([Buffer.from('x')])),
  writeFile: handled('open/file', 'r', (handle) => handle.writeFile('x')),
  appendFile: handled('open/file', 'r', (handle) => handle.appendFile('x')),
  readFile: handled('mine/file', 'a', (handle) => handle.readFile()),
  read: handled('mine/file', 'a', (handle) => handle.read(Buffer.alloc(3), 0, 3, 0)),
  readv: handled('mine/file', 'a', (handle) => handle.readv([Buffer.alloc(3)])),
  sync: handled('open/file', 'r', (handle) => handle.sync()),
  datasync: handled('open/file', 'r', (handle) => handle.datasync()),
  stat: handled('open/file', 'r', async (handle) => modeOf(await handle.stat())),
};

/** All of them. */
export const CASES: readonly Case[] = PLACES.flatMap((place) => {
  const about = place.split('/', 1)[0] as string;
  const mine = (at: At) => (inside: string) => at(`mine/${inside}`);
  return [
    ...Object.entries(LOOKS).map(([name, call]): Case => {
      return { name: `${name} of ${place}`, changes: false, about, call: (fs, at) => call(fs, at(place)) };
    }),
    ...Object.entries(CHANGES).map(([name, call]): Case => {
      return { name: `${name} of ${place}`, changes: true, about, call: (fs, at) => call(fs, at(place), mine(at)) };
    }),
  ];
}).concat(
  Object.entries(HANDLES).map(([name, call]) => ({ name: `handle.${name}`, changes: true, about: 'open', call })),
);

/** Makes what cases about these directories name, as root. */
export function prepare(at: At, ...directories: readonly string[]): void {
  const directory = (name: string, mode: number, owner = 0): void => {
    mkdirSync(at(name));
    chownSync(at(name), owner, owner);
    chmodSync(at(name), mode);
  };
  const file = (name: string, mode: number, owner = 0): void => {
    writeFileSync(at(name), `content of ${name}`);
    chownSync(at(name), owner, owner);
    chmodSync(at(name), mode);
  };
  for (const [name, mode] of [
    ['open', 0o755],
    ['closed', 0o700],
  ] as const) {
    if (!directories.includes(name)) continue;
    directory(name, mode);
    file(`${name}/file`, 0o644);
    file(`${name}/secret`, 0o600);
    directory(`${name}/directory`, 0o755);
    file(`${name}/directory/file`, 0o644);
  }
  if (directories.includes('sticky')) {
    directory('sticky', 0o1777);
    file('sticky/file', 0o666);
  }
  directory('mine', 0o755, NOBODY);
  file('mine/file', 0o644, NOBODY);
  if (!directories.includes('mine')) return;
  file('mine/none', 0, NOBODY);
  for (const [name, mode] of [
    ['readable', 0o555],
    ['writable', 0o333],
    ['listed', 0o666],
  ] as const) {
    directory(`mine/${name}`, 0o755, NOBODY);
    file(`mine/${name}/file`, 0o644, NOBODY);
    chmodSync(at(`mine/${name}`), mode);
  }
  directory('mine/mixed', 0o755, NOBODY);
  directory('mine/mixed/closed', 0o700);
  file('mine/mixed/closed/file', 0o644);
  // What is beside it goes, and what is in a directory that has to stay does not.
  file('mine/mixed/before', 0o644, NOBODY);
  directory('mine/mixed/later', 0o755, NOBODY);
  file('mine/mixed/later/file', 0o644, NOBODY);
  directory('mine/held', 0o755, NOBODY);
  directory('mine/held/below', 0o755, NOBODY);
  file('mine/held/below/file', 0o644, NOBODY);
  chmodSync(at('mine/held'), 0o555);
  symlinkSync('mixed/closed/file', at('mine/link'));
  lchownSync(at('mine/link'), NOBODY, NOBODY);
}

function modeOf({ mode, uid, gid, nlink }: { mode: number; uid: number; gid: number; nlink: number }): unknown {
  return { mode, uid, gid, nlink };
}
