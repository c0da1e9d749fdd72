// What random.spec.ts draws: a generator that a number seeds, arguments good and bad, and operations made of them. The same calls for both
// sides: an operation gets the directory of its side and that side's open handles.
import { constants, type Dir, readdirSync, rmdirSync, statSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import { type Fs, outcome } from './twins';

/** One side of a run. */
export interface Side {
  readonly fs: Fs;
  /** Its directory; nothing outside is named by paths that go up at most a few times. */
  readonly root: string;
  readonly handles: FileHandle[];
}

/** An operation that was drawn: how it is told, and how it is done. */
export interface Step {
  readonly text: string;
  run(side: Side): unknown;
}

type Any = (...args: unknown[]) => Promise<unknown>;
/** An argument: of each side its own when it has the side's directory in it. */
type Argument = (root: string) => unknown;

/** Draws, always the same from the same seed (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A whole number from 0 to below `many`. */
  below(many: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % many;
  }

  of<T>(values: readonly T[]): T {
    return values[this.below(values.length)] as T;
  }

  /** True in one of `many` cases. */
  oneIn(many: number): boolean {
    return this.below(many) === 0;
  }
}

/** Values that are wrong nearly everywhere. No text: as a path that would be one below the working directory. */
const JUNK: readonly unknown[] = [
  undefined,
  null,
  true,
  false,
  -1,
  1.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  2 ** 32,
  1n,
  -1n,
  {},
  [],
  [1, 2],
  () => {},
  Symbol('junk'),
  new Date(Number.NaN),
  new Map(),
];
const JUNK_TEXT = ['', 'nonsense', 'utf-8', 'UTF8', '0', '-1', '9'];

const NAMES = ['a', 'b', 'c', 'dir', 'dir/x', 'dir/sub', 'dir/sub/y', 'file', 'long', 'link', 'to-dir', 'loop', 'none'];
const ODD_NAMES = [
  '',
  '.',
  'dir/.',
  'dir/..',
  'dir/',
  'dir//x',
  'file/',
  'file/x',
  'link/',
  'to-dir/x',
  'to-dir/',
  'loop/x',
  'dangling',
  'dangling/x',
  'none/x',
  'none/',
  'up',
  'up/z',
  './a',
  'ü',
  'a b',
  '\ud800',
  '%41',
  '#?',
  'n'.repeat(255),
  'n'.repeat(300),
  `dir/${'n'.repeat(300)}`,
  `${'deep/'.repeat(900)}x`,
];

/** What links are made to: one name, so that no path goes far up. */
const TARGETS = ['a', 'b', 'dir', 'file', 'link', 'loop', 'none', 'ü', '.', 'n'.repeat(300), 'file/'];

const ENCODINGS = [
  'utf8',
  'utf-8',
  'UTF-8',
  'latin1',
  'binary',
  'ascii',
  'hex',
  'base64',
  'base64url',
  'ucs2',
  'utf16le',
  'buffer',
];
const { O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_RDWR, O_SYNC, O_TRUNC, O_WRONLY } = constants;
const FLAGS: readonly unknown[] = [
  ...['r', 'r+', 'rs', 'rs+', 'sr', 'w', 'wx', 'xw', 'w+', 'wx+', 'a', 'ax', 'as', 'a+', 'ax+', 'as+', 'sa+'],
  O_RDONLY,
  O_RDWR,
  O_WRONLY | O_CREAT,
  O_RDWR | O_CREAT | O_EXCL,
  O_WRONLY | O_TRUNC,
  O_WRONLY | O_APPEND | O_CREAT,
  O_RDONLY | O_DIRECTORY,
  O_RDONLY | O_NOFOLLOW,
  O_RDWR | O_SYNC,
  3,
];

const TEXTS = ['', 'x', 'hello', 'ünï', '\ud800', '68656c6c6f', '686', 'aGVsbG8', 'aGV=sbG8=', 'line\n'.repeat(1000)];

/** Draws arguments. */
class Arguments {
  readonly random: Random;

  constructor(random: Random) {
    this.random = random;
  }

  /** The argument, or now and then a wrong one. */
  maybe(argument: Argument): Argument {
    if (!this.random.oneIn(14)) return argument;
    const value = this.random.of(JUNK);
    return () => value;
  }

  /** The same where text harms nobody. */
  value(value: unknown): Argument {
    const drawn = this.random.oneIn(14) ? this.random.of([...JUNK, ...JUNK_TEXT]) : value;
    return () => drawn;
  }

  /** A path; of bytes that are no UTF-8 only where no directory is made: in those Node's recursive readdir ends with ENOENT. */
  path(odd = true): Argument {
    const { random } = this;
    const name = random.of(random.oneIn(4) ? ODD_NAMES : NAMES);
    const full = (root: string): string => `${root}/${name}`;
    const empty = random.of(['', Buffer.alloc(0)]);
    switch (random.below(12)) {
      case 0:
        return (root) => Buffer.from(full(root));
      case 1:
        return (root) => pathToFileURL(full(root));
      case 2:
        if (!odd) return full;
        return (root) => new Uint8Array(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff, 0x61, 0xfe])]));
      case 3:
        return random.oneIn(4) ? (root) => `${full(root)}\0` : full;
      case 4:
        return random.oneIn(4) ? () => empty : full;
      default:
        return this.maybe(full);
    }
  }

  /** What a symbolic link says. */
  target(): Argument {
    const { random } = this;
    const name = random.of(TARGETS);
    if (random.oneIn(3)) return (root) => `${root}/${name}`;
    return this.maybe(random.oneIn(8) ? () => Buffer.from([0xff, 0x62]) : () => name);
  }

  encoding(): unknown {
    return this.random.of([undefined, null, ...ENCODINGS]);
  }

  /** An encoding, or options with one. */
  encodingOptions(more: Record<string, unknown> = {}): Argument {
    const { random } = this;
    const encoding = this.encoding();
    const odd = random.oneIn(10) ? random.of([...JUNK, ...JUNK_TEXT]) : encoding;
    if (random.oneIn(3) && Object.keys(more).length === 0) return this.value(odd);
    return this.value({ ...(random.oneIn(3) ? {} : { encoding: odd }), ...more });
  }

  flag(): Argument {
    return this.value(this.random.of(FLAGS));
  }

  mode(): Argument {
    const { random } = this;
    return this.value(
      random.of([undefined, null, 0o644, 0o600, 0o777, 0o755, 0o7755, 0o400, 0, '644', '0755', 0o100644]),
    );
  }

  id(): Argument {
    return this.value(this.random.of([-1, 0, process.getuid?.() ?? 0, 12_345, 2 ** 32 - 1]));
  }

  time(): Argument {
    return this.value(
      this.random.of([0, 1, 1.5, 1234.567_891, 1e9, '77', '77.5', new Date(5000), new Date(1_500_000_000_123), -1.5]),
    );
  }

  length(): Argument {
    return this.value(this.random.of([undefined, 0, 1, 10, 5000, 70_000, -5]));
  }

  flags(...names: string[]): Record<string, unknown> {
    const { random } = this;
    const options: Record<string, unknown> = {};
    for (const name of names) {
      if (random.oneIn(2))
        options[name] = random.oneIn(20) ? random.of(JUNK) : random.of([true, true, false, undefined]);
    }
    return options;
  }

  data(): Argument {
    const { random } = this;
    const text = random.of(TEXTS);
    const bytes = random.of([0, 1, 10, 4096, 300_000]);
    switch (random.below(8)) {
      case 0:
        return this.value(text);
      case 1:
        return () => Buffer.alloc(bytes, 'ab');
      case 2:
        return () => new Uint16Array([0x6162, 0x6364, 1]).subarray(1);
      case 3:
        return () => new DataView(new ArrayBuffer(20), 3, 9);
      case 4:
        return () => [text, Buffer.from('part'), 'x'];
      case 5:
        return () =>
          (async function* () {
            yield text;
            yield Buffer.from('later');
          })();
      case 6:
        return this.value(text);
      default:
        return () => Buffer.from(text);
    }
  }
}

/** Results without what differs from one file to another on the same disk: numbers of inodes, what the clock says. */
export function plain(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const { name } = value.constructor ?? {};
  if (name === 'Stats' || name === 'BigIntStats') return plainStats(value as Record<string, unknown>, name);
  if (name === 'StatFs') return [name, Object.keys(value), typeof (value as { type: unknown }).type];
  if (Array.isArray(value)) return value.map(plain);
  return value;
}

function plainStats(stats: Record<string, unknown>, name: string): unknown {
  const { mode, nlink, uid, gid, rdev, blksize, size, mtimeMs, mtime } = stats;
  const isFile = (Number(mode) & 0o170000) === 0o100000;
  // Times that were set are long gone.
  const old = Number(mtimeMs) < 1.6e12 ? { mtimeMs, mtime, mtimeNs: stats.mtimeNs } : {};
  return { name, keys: Object.keys(stats), mode, nlink, uid, gid, rdev, blksize, ...(isFile ? { size } : {}), ...old };
}

/** A call of a function of the module. */
function call(name: string, ...given: Argument[]): Step {
  return step(name, given, ({ fs }, args) => (fs as unknown as Record<string, Any>)[name]?.(...args));
}

function step(name: string, given: Argument[], run: (side: Side, args: unknown[]) => unknown): Step {
  return {
    get text() {
      return `${name}(${given.map((argument) => shown(argument('ROOT'))).join(', ')})`;
    },
    run: async (side) =>
      plain(
        await run(
          side,
          given.map((argument) => argument(side.root)),
        ),
      ),
  };
}

function shown(value: unknown): string {
  if (typeof value === 'bigint') return `${value}n`;
  if (value instanceof URL) return `URL ${value.href}`;
  if (ArrayBuffer.isView(value))
    return `${value.constructor.name} ${value.byteLength}: ${Buffer.from(value.buffer).subarray(0, 80).toString('latin1')}`;
  if (typeof value === 'object' && value !== null && Object.keys(value).length === 0)
    return `${value.constructor.name} {}`;
  const text =
    typeof value === 'object'
      ? JSON.stringify(value, (_, inner) => (typeof inner === 'object' ? inner : String(inner)))
      : String(value);
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 80)) : text;
}

/** Arguments of read and write in their many forms. No length that is no whole number: of those Node aborts the process. */
function transfer(a: Arguments, view: () => unknown): Argument[] {
  const { random } = a;
  const bits: Record<string, unknown> = {};
  if (random.oneIn(2)) bits.offset = random.of([0, 1, 5, 20, null, ...(random.oneIn(6) ? JUNK : [])]);
  if (random.oneIn(2)) bits.length = random.of([0, 1, 5, 30, 5000, -1]);
  if (random.oneIn(2)) bits.position = random.of([0, 3, 5000, null, -1, 2n, ...(random.oneIn(6) ? JUNK : [])]);
  if (random.oneIn(3)) return [() => view(), () => bits];
  return [() => view(), () => bits.offset, () => bits.length, () => bits.position];
}

function handleStep(a: Arguments): Step {
  const { random } = a;
  const which = random.below(4);
  const on = (name: string, ...given: Argument[]): Step => {
    const on = step(`handles[${which}].${name}`, given, ({ handles }, args) => {
      const handle = handles[which % Math.max(1, handles.length)];
      return handle === undefined ? 'no handle' : (handle as unknown as Record<string, Any>)[name]?.(...args);
    });
    return on;
  };
  const size = random.of([0, 1, 10, 30, 5000]);
  const view = random.of([
    () => Buffer.alloc(size, 'w'),
    () => new Uint16Array(size),
    () => new DataView(new ArrayBuffer(size + 3), 3),
  ]);
  switch (random.below(16)) {
    case 0:
      return on('read', ...transfer(a, view));
    case 1: {
      const bits = { buffer: view, ...(random.oneIn(2) ? { position: random.below(20) } : {}) };
      return on('read', () => ({ ...bits, buffer: view() }));
    }
    case 2:
      return on('write', ...transfer(a, view));
    case 3:
      return on(
        'write',
        a.value(random.of(TEXTS)),
        a.value(random.of([undefined, null, 0, 7, -1])),
        a.value(a.encoding()),
      );
    case 4:
      return on('readv', () => [view(), Buffer.alloc(3)], a.value(random.of([undefined, null, 0, 4])));
    case 5:
      return on('writev', () => [view(), Buffer.from('tail')], a.value(random.of([undefined, null, 0, 4])));
    case 6:
      return on('readFile', a.encodingOptions());
    case 7:
      return on('writeFile', a.data(), a.encodingOptions());
    case 8:
      return on('appendFile', a.data(), a.encodingOptions());
    case 9:
      return on('stat', a.value(random.of([undefined, {}, { bigint: true }])));
    case 10:
      return on('chmod', a.mode());
    case 11:
      return on('chown', a.id(), a.id());
    case 12:
      return on('utimes', a.time(), a.time());
    case 13:
      return on('truncate', a.length());
    case 14:
      return on(random.of(['sync', 'datasync']));
    default:
      return on('close');
  }
}

/** The names that opendir gives, sorted: their order is the file system's. */
function listing(a: Arguments): Step {
  const { random } = a;
  const options = {
    ...(random.oneIn(2) ? { bufferSize: random.of([1, 2, 100]) } : {}),
    ...(random.oneIn(2) ? { encoding: a.encoding() } : {}),
  };
  return step('opendir', [a.path(), () => options], async ({ fs }, args) => {
    const dir = (await (fs.opendir as unknown as Any)(...args)) as Dir;
    const names: string[] = [];
    for await (const entry of dir) names.push(`${String(entry.name)} ${entry.isDirectory()} ${entry.isSymbolicLink()}`);
    return [names.sort(), dir.path, await outcome(() => dir.close())];
  });
}

/** The letters that the system chose are cut off, and what was made is removed: it is what was not there before. */
function temporary(a: Arguments): Step {
  const prefix = a.path(false);
  return step('mkdtemp', [prefix, a.encodingOptions()], async ({ fs, root }, args) => {
    const places = [`${root}/..`, root, ...NAMES.map((name) => `${root}/${name}`)];
    const names = (place: string): string[] => {
      try {
        return readdirSync(place, 'latin1' as never);
      } catch {
        return [];
      }
    };
    const before = places.map(names);
    try {
      const made = await (fs.mkdtemp as unknown as Any)(...args);
      const shapes = [typeof made, (made as Buffer).constructor.name, (made as string).length];
      for (const [index, place] of places.entries()) {
        for (const name of names(place)) {
          if (before[index]?.includes(name)) continue;
          rmdirSync(Buffer.from(`${Buffer.from(place).toString('latin1')}/${name}`, 'latin1'));
          shapes.push(name.slice(0, -6));
        }
      }
      return shapes;
    } catch (error) {
      const { code, name, syscall, message } = error as NodeJS.ErrnoException;
      // libuv may tell the letters that it tried.
      return [code, name, syscall, syscall === undefined ? message : ''];
    }
  });
}

/** Node looks at both ends at once: where both looks fail, either may be told. */
function copy(a: Arguments): Step {
  const options = a.flags(
    ...['recursive', 'force', 'errorOnExist', 'dereference', 'preserveTimestamps', 'verbatimSymlinks'],
  );
  return step('cp', [a.path(false), a.path(false), a.value(options)], async ({ fs }, args) => {
    const fails = args.slice(0, 2).map((path) => {
      try {
        return statSync(path as string) === undefined;
      } catch {
        return true;
      }
    });
    return fails.includes(false) ? await (fs.cp as unknown as Any)(...args) : 'neither end is there';
  });
}

/** Draws an operation. */
export function draw(random: Random): Step {
  const a = new Arguments(random);
  const big = () => a.value(random.of([undefined, {}, { bigint: true }, { bigint: false }]));
  switch (random.below(33)) {
    case 0:
      return call('access', a.path(), a.value(random.of([undefined, 0, 1, 2, 4, 7, 8])));
    case 1:
      return call('stat', a.path(), big());
    case 2:
      return call('lstat', a.path(), big());
    case 3:
      return call('statfs', a.path(), big());
    case 4:
      return call(
        'mkdir',
        a.path(false),
        random.oneIn(2) ? a.mode() : a.value({ ...a.flags('recursive'), mode: a.mode()('') }),
      );
    case 5:
      return call('mkdir', a.path(false), () => ({ recursive: true }));
    case 6:
      return call('rmdir', a.path(), ...(random.oneIn(6) ? [a.value({})] : []));
    case 7:
      return call('rm', a.path(), a.value(a.flags('recursive', 'force')));
    case 8:
      return call('readdir', a.path(), a.encodingOptions(a.flags('withFileTypes')));
    case 9:
      return call('readdir', a.path(), () => ({ recursive: true, withFileTypes: true }));
    case 10:
      return call('rename', a.path(false), a.path(false));
    case 11:
      return call('link', a.path(), a.path());
    case 12:
      return call('symlink', a.target(), a.path(), a.value(random.of([undefined, null, 'file', 'dir', 'junction'])));
    case 13:
      return call('readlink', a.path(), a.encodingOptions());
    case 14:
      return call('realpath', a.path(), a.encodingOptions());
    case 15:
      return call('unlink', a.path());
    case 16:
      return call('chmod', a.path(), a.mode());
    case 17:
      return call(random.of(['chown', 'lchown']), a.path(), a.id(), a.id());
    case 18:
      return call(random.of(['utimes', 'lutimes']), a.path(), a.time(), a.time());
    case 19:
      return call('copyFile', a.path(), a.path(), a.value(random.of([undefined, 0, 1, 2, 3, 4, 8])));
    case 20:
      return copy(a);
    case 21:
      return call('truncate', a.path(), a.length());
    case 22:
    case 23:
      return call('readFile', a.path(), a.encodingOptions(random.oneIn(3) ? { flag: a.flag()('') } : {}));
    case 24:
    case 25: {
      const more = {
        ...(random.oneIn(3) ? { flag: a.flag()('') } : {}),
        ...(random.oneIn(3) ? { mode: a.mode()('') } : {}),
        ...(random.oneIn(5) ? a.flags('flush') : {}),
      };
      return call(random.of(['writeFile', 'writeFile', 'appendFile']), a.path(), a.data(), a.encodingOptions(more));
    }
    case 26:
      return listing(a);
    case 27:
      return temporary(a);
    case 28:
    case 29:
      return step('open', [a.path(), a.flag(), a.mode()], async (side, args) => {
        const handle = (await (side.fs.open as unknown as Any)(...args)) as FileHandle;
        side.handles.push(handle);
        return typeof handle.fd;
      });
    default:
      return handleStep(a);
  }
}
