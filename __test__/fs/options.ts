// Every function and every option of it with every kind of value, good and bad: what options.spec.ts runs on node:fs/promises and on ringwheel/fs.
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';

/** Makes an argument: a new one each time, in the directory of the run. */
export type Made = (at: (name: string) => string) => unknown;
/** Where an argument goes (its index, or `index.option`), and what it is tried with. */
type Axes = Record<string, readonly Made[]>;

/** A function, what it is called with, and what is put in the place of that. */
export interface Subject {
  readonly name: string;
  /** Of a FileHandle that was opened so; else of the module. */
  readonly flags?: string;
  readonly base: readonly Made[];
  readonly axes: Axes;
}

const all = (...values: unknown[]): Made[] => values.map((value) => () => value);
const of =
  (value: unknown): Made =>
  () =>
    value;
const path =
  (name: string): Made =>
  (at) =>
    at(name);

/** Wrong nearly everywhere; no text, which as a path would be one below the working directory. */
const JUNK = all(null, true, -1, 1.5, Number.NaN, 1n, Symbol('junk'), () => {}).concat(
  () => ({}),
  () => [],
  () => new Date(Number.NaN),
);
const TRUTHS = all(true, false, undefined, null, 0, 1, '', 'x', 1n).concat(() => ({}));
const ENCODINGS = [
  ...all(undefined, null, 'utf8', 'UTF-8', 'utf-8', 'latin1', 'binary', 'ascii', 'hex', 'base64', 'base64url'),
  ...all('ucs2', 'ucs-2', 'utf16le', 'UTF16LE', 'buffer', '', 'nonsense', 'utf', 'Buffer', ' utf8'),
  ...JUNK,
];
const FLAGS = [
  ...all(undefined, 'r', 'rs', 'sr', 'r+', 'rs+', 'sr+', 'w', 'wx', 'xw', 'w+', 'wx+', 'xw+', 'a', 'ax', 'xa', 'as'),
  ...all('sa', 'a+', 'ax+', 'xa+', 'as+', 'sa+', 'R', 'rw', '', 'r ', '0', 0, 1, 2, 3, 64, 66, 193, 512, 1024, 1089),
  ...all(constants.O_DIRECTORY, constants.O_NOFOLLOW, constants.O_EXCL, constants.O_RDWR | constants.O_CREAT, 2 ** 31),
  ...all(2 ** 31 - 1, 2 ** 32, -2, Number.POSITIVE_INFINITY),
  ...JUNK,
];
/** Of bits from 2^31 on Node aborts the process. */
const MODES = [
  ...all(undefined, 0, 0o644, 0o777, 0o7777, 0o100644, 2 ** 31 - 1, 2 ** 32, '644', '0644', '0o644', '789', '', ' 644'),
  ...all('644x', '-1', '40000000000', Number.POSITIVE_INFINITY, 2 ** 53),
  ...JUNK,
];
const COUNTS = [...all(undefined, 0, 1, 2, 100, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53, '1', ''), ...JUNK];
const LENGTHS = [
  ...all(undefined, 0, 1, 5, 5000, -5, 2 ** 31, 2 ** 53, 2 ** 53 - 1, '5', Number.POSITIVE_INFINITY),
  ...JUNK,
];
const IDS = [
  ...all(undefined, 0, 1, 12_345, 2 ** 31, 2 ** 32 - 1, 2 ** 32, -2, '0', Number.POSITIVE_INFINITY),
  ...JUNK,
];
const TIMES = [
  ...all(0, 1, 1.5, 1e9, 1234.567_891, -1.5, 1e15, '77', '77.5', '', '0x10', ' 7', '1e3', '-3', 'x', undefined),
  ...all(Number.POSITIVE_INFINITY, new Date(0), new Date(1_500_000_000_123)),
  ...JUNK,
];
const POSITIONS = [
  ...all(undefined, 0, 3, 7, 100, 2 ** 31, 2 ** 53 - 1, 2 ** 53, 0n, 3n, -1n, 2n ** 53n, 2n ** 62n, 2n ** 63n - 1n),
  ...all(2n ** 63n, 2n ** 64n, -(2n ** 63n), '3', '', Number.POSITIVE_INFINITY),
  ...JUNK,
];
/** Of lengths that are no whole number Node aborts the process. */
const SIZES = all(undefined, null, 0, 1, 3, 8, 9, 100, -1, 2 ** 31, 2 ** 32);
const OFFSETS = [...all(undefined, 0, 1, 8, 9, 100, 2 ** 31, 2 ** 32, 2 ** 53, '1', 0n), ...JUNK];

class Ours extends Uint8Array {}

/** Memory of eight bytes and more, in all the ways there are. */
const VIEWS: Made[] = [
  ...[Uint8Array, Int8Array, Uint8ClampedArray, Uint16Array, Int16Array, Uint32Array, Int32Array].flatMap((View) => [
    () => new View([65, 66, 67, 68, 69, 70, 71, 72]),
    () => new View(new SharedArrayBuffer(16) as never, 8, 1),
  ]),
  () => new Float32Array([1, 2, 3]),
  () => new Float64Array([1, 2]),
  () => new BigInt64Array([5n]),
  () => new BigUint64Array([5n, 6n]),
  () => new DataView(new ArrayBuffer(16), 3, 9),
  () => new DataView(new SharedArrayBuffer(9)),
  () => Buffer.from('a buffer'),
  () => Buffer.alloc(100, 'x').subarray(90),
  () => Buffer.alloc(0),
  () =>
    new Uint8Array(
      new (ArrayBuffer as unknown as new (bytes: number, more: object) => ArrayBuffer)(9, { maxByteLength: 20 }),
    ),
  () => new Ours(9),
];
const NO_VIEWS: Made[] = [
  () => new ArrayBuffer(8),
  () => new SharedArrayBuffer(8),
  () => new ArrayBuffer(0),
  () => [65, 66],
  () => ({ length: 2, 0: 65, 1: 66 }),
  () => ({ byteLength: 0 }),
  () => ({ toString: () => 'text' }),
  () => new String('text'),
  () => new Map(),
  ...JUNK,
];
const TEXTS = all(
  '',
  'text',
  'ünï',
  '\ud800',
  '68656c6c6f',
  '686',
  'zz',
  'aGVsbG8',
  'aGV=sbG8=',
  'line\n'.repeat(2000),
);
const SERIES: Made[] = [
  () => ['one', Buffer.from('two'), new Uint16Array([0x6162])],
  () => new Set(['one', 'two']),
  () => 'text'[Symbol.iterator](),
  () => [],
  () => ['', Buffer.alloc(0), 'x'],
  () => ['x', 5],
  () => ['x', null],
  () => ['x', new ArrayBuffer(2)],
  async function* () {
    yield 'one';
    yield new DataView(new ArrayBuffer(3));
  },
  async function* () {
    yield 'one';
    throw new Error('the series ends');
  },
  function* () {
    yield 'one';
    throw new RangeError('the series ends');
  },
  () => ({ [Symbol.iterator]: 5 }),
  () => ({ [Symbol.asyncIterator]: () => ({ next: async () => ({ done: true }) }) }),
];
const CONTENTS = [...VIEWS, ...NO_VIEWS, ...TEXTS, ...SERIES];

const abortedBy =
  (queue: (task: () => void) => void): Made =>
  () => {
    const controller = new AbortController();
    queue(() => controller.abort(new Error('enough')));
    return controller.signal;
  };
const SIGNALS: Made[] = [
  () => AbortSignal.abort(),
  () => AbortSignal.abort('why'),
  () => AbortSignal.abort(new RangeError('why')),
  () => new AbortController().signal,
  abortedBy(queueMicrotask),
  () => new EventTarget(),
  () => ({ aborted: false }),
  () => ({ aborted: true }),
  () => ({ aborted: true, reason: 'why' }),
  () => new AbortController(),
  ...all(undefined, 'x', 0),
  ...JUNK,
];

/** What a path may be, of a file and of a directory that are there. */
const pathsOf = (name: string): Made[] => [
  path(name),
  (at) => Buffer.from(at(name)),
  (at) => new Uint8Array(Buffer.from(at(name))),
  (at) => pathToFileURL(at(name)),
  (at) => ({ href: `file://${at(name)}`, protocol: 'file:', hostname: '', pathname: at(name) }),
  (at) => new String(at(name)),
  (at) => new URL(`file://localhost${at(name)}`),
  (at) => new URL(`file://elsewhere${at(name)}`),
  (at) => new URL(`http://localhost${at(name)}`),
  (at) => new URL(`file://${at(name)}%2fx`),
  (at) => new URL(`file://${at(name)}?query#hash`),
  (at) => `${at(name)}/`,
  (at) => `${at(name)}\0`,
  (at) => Buffer.from(`${at(name)}\0`),
  (at) => new Uint16Array(Buffer.from(at(name))),
  (at) => new DataView(Uint8Array.from(Buffer.from(at(name))).buffer),
  (at) => Uint8Array.from(Buffer.from(at(name))).buffer,
  (at) => [at(name)],
  (at) => at(`x${'n'.repeat(300)}`),
  (at) => at(`${'long/'.repeat(1000)}x`),
  ...all('', undefined, 0, 7),
  () => Buffer.alloc(0),
  path('none'),
  path('file/x'),
  path('loop'),
  path('link'),
  path('dangling'),
  path('to-dir'),
  path('dir'),
  path('empty'),
  ...JUNK,
];

const options =
  (fields: Record<string, unknown> = {}): Made =>
  () => ({ ...fields });
/** The whole argument in place of an object of options. */
const INSTEAD = [
  ...all(undefined, 'utf8', 'nonsense', '', 0o600, 'x'),
  () => Object.create(null),
  () => new Map(),
  ...JUNK,
];

const CONTENT_OPTIONS = (index: number): Axes => ({
  [`${index}`]: INSTEAD,
  [`${index}.encoding`]: ENCODINGS,
  [`${index}.mode`]: MODES,
  [`${index}.flag`]: FLAGS,
  [`${index}.flush`]: TRUTHS,
  [`${index}.signal`]: SIGNALS,
});
const COPY_MODES = [...all(undefined, 0, 1, 2, 3, 4, 7, 8, '1', 2 ** 32, Number.POSITIVE_INFINITY), ...JUNK];
const FILTERS: Made[] = [
  ...all(undefined, 'x', 0),
  of(() => true),
  of(() => false),
  of(() => ''),
  of(() => 'yes'),
  of(async () => true),
  of(async () => 0),
  of((from: string) => !from.endsWith('x')),
  of((_: string, to: string) => !to.includes('sub')),
  of(() => {
    throw new Error('filtered');
  }),
  of(async () => {
    throw new Error('filtered later');
  }),
  ...JUNK,
];
const copying = (from: string, to: string, given: Record<string, unknown> = {}): Subject => ({
  name: 'cp',
  base: [path(from), path(to), options(given)],
  axes: {
    '0': pathsOf(from),
    '1': pathsOf(to),
    '2': INSTEAD,
    '2.recursive': TRUTHS,
    '2.force': TRUTHS,
    '2.errorOnExist': TRUTHS,
    '2.dereference': TRUTHS,
    '2.preserveTimestamps': TRUTHS,
    '2.verbatimSymlinks': TRUTHS,
    '2.mode': COPY_MODES,
    '2.filter': FILTERS,
  },
});

/** Functions of the module. */
const FUNCTIONS: Subject[] = [
  { name: 'access', base: [path('file'), of(4)], axes: { '0': pathsOf('file'), '1': COPY_MODES } },
  ...['stat', 'lstat', 'statfs'].map((name) => ({
    name,
    base: [path('file'), options()],
    axes: { '0': pathsOf('file'), '1': INSTEAD, '1.bigint': TRUTHS },
  })),
  ...['unlink', 'rmdir'].map((name) => ({
    name,
    base: [path(name === 'rmdir' ? 'empty' : 'file')],
    axes: { '0': pathsOf(name === 'rmdir' ? 'empty' : 'file') },
  })),
  { name: 'rmdir', base: [path('dir'), options()], axes: { '1': INSTEAD, '1.recursive': all(false, undefined, 0) } },
  ...['rename', 'link', 'copyFile'].map((name) => ({
    name,
    base: [path('file'), path('new')],
    axes: { '0': pathsOf('file'), '1': pathsOf('new'), ...(name === 'copyFile' ? { '2': COPY_MODES } : {}) },
  })),
  {
    name: 'symlink',
    base: [path('file'), path('new')],
    axes: {
      '0': pathsOf('file'),
      '1': pathsOf('new'),
      '2': [...all(undefined, 'file', 'dir', 'junction', 'x', ''), ...JUNK],
    },
  },
  ...['readlink', 'realpath'].map((name) => ({
    name,
    base: [path('link'), options()],
    axes: { '0': pathsOf('link'), '1': [...INSTEAD, ...ENCODINGS], '1.encoding': ENCODINGS },
  })),
  { name: 'chmod', base: [path('file'), of(0o600)], axes: { '0': pathsOf('file'), '1': MODES } },
  ...['chown', 'lchown'].map((name) => ({
    name,
    base: [path('link'), of(5), of(6)],
    axes: { '0': pathsOf('file'), '1': IDS, '2': IDS },
  })),
  ...['utimes', 'lutimes'].map((name) => ({
    name,
    base: [path('link'), of(5), of(6)],
    axes: { '0': pathsOf('file'), '1': TIMES, '2': TIMES },
  })),
  { name: 'truncate', base: [path('file'), of(3)], axes: { '0': pathsOf('file'), '1': LENGTHS } },
  {
    name: 'mkdir',
    base: [path('new'), options()],
    axes: { '0': pathsOf('new'), '1': [...INSTEAD, ...MODES], '1.mode': MODES, '1.recursive': TRUTHS },
  },
  {
    name: 'mkdir',
    base: [path('new/a/b'), options({ recursive: true })],
    axes: { '0': pathsOf('new/x'), '1.mode': MODES, '1.recursive': TRUTHS },
  },
  ...['file', 'dir', 'none', 'to-dir'].map((name) => ({
    name: 'rm',
    base: [path(name), options()],
    axes: {
      '0': name === 'file' ? pathsOf(name) : [],
      '1': INSTEAD,
      '1.recursive': TRUTHS,
      '1.force': TRUTHS,
      '1.maxRetries': COUNTS,
      '1.retryDelay': COUNTS,
    },
  })),
  { name: 'rm', base: [path('dir'), options({ recursive: true })], axes: { '0': pathsOf('dir'), '1.force': TRUTHS } },
  ...[{}, { withFileTypes: true }, { recursive: true }, { recursive: true, withFileTypes: true }].map((given) => ({
    name: 'readdir',
    base: [path('dir'), options(given)],
    axes: {
      '0': pathsOf('dir'),
      // Of some with `recursive` Node's promise is never settled.
      '1': [...INSTEAD, ...ENCODINGS],
      '1.encoding': 'recursive' in given ? all(undefined, null, 'utf8', '', 'nonsense', 5) : ENCODINGS,
      '1.withFileTypes': TRUTHS,
      ...('recursive' in given ? {} : { '1.recursive': all(false, undefined, null, 0, '') }),
    },
  })),
  {
    name: 'opendir',
    base: [path('dir'), options()],
    axes: {
      '0': pathsOf('dir'),
      // A function is the callback to Node, whose promise is never settled then.
      '1': [...INSTEAD, ...ENCODINGS].filter((made) => typeof made(String) !== 'function'),
      '1.encoding': ENCODINGS,
      // Of others Node ends the process.
      '1.bufferSize': all(1, 2, 100),
      '1.recursive': TRUTHS,
    },
  },
  {
    name: 'mkdtemp',
    base: [path('new'), options()],
    axes: { '0': pathsOf('new'), '1': [...INSTEAD, ...ENCODINGS], '1.encoding': ENCODINGS },
  },
  { name: 'open', base: [path('file'), of('r')], axes: { '0': pathsOf('file'), '1': FLAGS, '2': MODES } },
  { name: 'open', base: [path('new'), of('w'), of(0o640)], axes: { '0': pathsOf('new'), '1': FLAGS, '2': MODES } },
  {
    name: 'readFile',
    base: [path('file'), options()],
    axes: {
      '0': pathsOf('file'),
      '1': [...INSTEAD, ...ENCODINGS],
      '1.encoding': ENCODINGS,
      '1.flag': FLAGS,
      '1.signal': SIGNALS,
    },
  },
  { name: 'readFile', base: [path('large'), options()], axes: { '1.encoding': ENCODINGS, '1.signal': SIGNALS } },
  ...['writeFile', 'appendFile'].flatMap((name) => [
    {
      name,
      base: [path('file'), of('text'), options()],
      axes: { '0': pathsOf('file'), '1': CONTENTS, ...CONTENT_OPTIONS(2) },
    },
    { name, base: [path('new'), () => Buffer.alloc(700_000, 'ab'), options()], axes: CONTENT_OPTIONS(2) },
    { name, base: [path('new'), () => ['one', 'two'], options()], axes: CONTENT_OPTIONS(2) },
    { name, base: [path('new'), of('6869'), options({ encoding: 'hex' })], axes: { '1': CONTENTS } },
    { name, base: [path('new'), of('aGVs'), options({ encoding: 'base64' })], axes: { '1': CONTENTS } },
    { name, base: [path('new'), of('text'), options({ encoding: 'ucs2' })], axes: { '1': CONTENTS } },
  ]),
  copying('file', 'new'),
  copying('file', 'file2'),
  copying('link', 'new'),
  copying('link', 'to-file2'),
  copying('dir', 'new', { recursive: true }),
  copying('dir', 'dir2', { recursive: true }),
  copying('dir', 'dir/inside', { recursive: true }),
  copying('dir', 'dir2'),
];

/** Methods of a FileHandle of `file`. */
const METHODS: Subject[] = [
  {
    name: 'read',
    base: [() => Buffer.alloc(8), of(0), of(4), of(0)],
    axes: { '0': [...VIEWS, ...NO_VIEWS], '1': OFFSETS, '2': SIZES, '3': POSITIONS },
  },
  {
    name: 'read',
    base: [() => Buffer.alloc(8), options()],
    axes: { '0': VIEWS, '1': [...INSTEAD], '1.offset': OFFSETS, '1.length': SIZES, '1.position': POSITIONS },
  },
  {
    name: 'read',
    base: [options()],
    axes: {
      '0': INSTEAD,
      '0.buffer': [...VIEWS, ...NO_VIEWS],
      '0.offset': OFFSETS,
      '0.length': SIZES,
      '0.position': POSITIONS,
    },
  },
  {
    name: 'write',
    base: [() => Buffer.from('written!'), of(0), of(4), of(0)],
    axes: { '0': [...VIEWS, ...NO_VIEWS], '1': OFFSETS, '2': SIZES, '3': POSITIONS },
  },
  {
    name: 'write',
    base: [() => Buffer.from('written!'), options()],
    axes: { '0': VIEWS, '1': INSTEAD, '1.offset': OFFSETS, '1.length': SIZES, '1.position': POSITIONS },
  },
  { name: 'write', base: [of('text'), of(2), of('utf8')], axes: { '0': TEXTS, '1': POSITIONS, '2': ENCODINGS } },
  { name: 'write', base: [of('6869'), of(2), of('hex')], axes: { '0': TEXTS, '1': POSITIONS } },
  ...['readv', 'writev'].map((name) => ({
    name,
    base: [() => [Buffer.from('one'), new Uint16Array([0x4142])], of(1)],
    axes: {
      '0': [
        ...VIEWS.map(
          (view): Made =>
            (at) => [view(at), Buffer.from('end')],
        ),
        ...NO_VIEWS,
        () => [],
        () => [5],
      ],
      '1': POSITIONS,
    },
  })),
  {
    name: 'readFile',
    base: [options()],
    axes: { '0': [...INSTEAD, ...ENCODINGS], '0.encoding': ENCODINGS, '0.signal': SIGNALS, '0.flag': FLAGS },
  },
  ...['writeFile', 'appendFile'].map((name) => ({
    name,
    base: [of('text'), options()],
    axes: { '0': CONTENTS, ...CONTENT_OPTIONS(1) },
  })),
  { name: 'stat', base: [options()], axes: { '0': INSTEAD, '0.bigint': TRUTHS } },
  { name: 'chmod', base: [of(0o600)], axes: { '0': MODES } },
  { name: 'chown', base: [of(5), of(6)], axes: { '0': IDS, '1': IDS } },
  { name: 'utimes', base: [of(5), of(6)], axes: { '0': TIMES, '1': TIMES } },
  { name: 'truncate', base: [of(3)], axes: { '0': LENGTHS } },
  ...['sync', 'datasync', 'close'].map((name) => ({ name, base: [], axes: { '0': JUNK } })),
  {
    name: 'createReadStream',
    base: [options({ start: 1 })],
    axes: {
      '0': INSTEAD,
      '0.encoding': ENCODINGS,
      '0.start': COUNTS,
      '0.end': [...COUNTS, of(Number.POSITIVE_INFINITY)],
      '0.highWaterMark': all(undefined, null, 1, 2, 3, 100, 65_536, 0, -1, 1.5, Number.NaN, '2', true),
      '0.signal': SIGNALS.slice(0, 5),
    },
  },
  {
    name: 'createWriteStream',
    base: [options({ start: 1 })],
    axes: {
      '0': INSTEAD,
      '0.encoding': ENCODINGS,
      '0.start': COUNTS,
      '0.highWaterMark': all(undefined, null, 1, 2, 3, 100, 65_536, 0, -1, 1.5, Number.NaN, '2', true),
      '0.flush': TRUTHS,
      '0.signal': SIGNALS.slice(0, 5),
    },
  },
  {
    name: 'readLines',
    base: [options()],
    axes: { '0.encoding': ENCODINGS, '0.start': COUNTS, '0.end': COUNTS },
  },
];

/** All of them. */
export const SUBJECTS: readonly Subject[] = [
  ...FUNCTIONS,
  // Lines of a file that cannot be read never end.
  ...METHODS.flatMap((subject) =>
    ['r+', 'r', ...(subject.name === 'readLines' ? [] : ['a'])].map((flags) => ({ ...subject, flags })),
  ),
];

/** One call: which values of which axes. */
export interface Trial {
  readonly subject: Subject;
  readonly chosen: readonly (readonly [where: string, index: number])[];
}

/** The arguments of a trial. */
export function argumentsOf({ subject, chosen }: Trial, at: (name: string) => string): unknown[] {
  const args = subject.base.map((made) => made(at));
  for (const [where, index] of chosen) {
    const [place, option] = where.split('.', 2) as [string, string | undefined];
    const value = (subject.axes[where] as readonly Made[])[index]?.(at);
    if (option === undefined) args[Number(place)] = value;
    else if (typeof args[Number(place)] === 'object')
      (args[Number(place)] as Record<string, unknown> | null) &&= {
        ...(args[Number(place)] as object),
        [option]: value,
      };
  }
  return args;
}

/** Every subject as it is, and with every value of every axis, one at a time. */
export function* each(): Generator<Trial> {
  for (const subject of SUBJECTS) {
    yield { subject, chosen: [] };
    for (const [where, values] of Object.entries(subject.axes)) {
      for (const index of values.keys()) yield { subject, chosen: [[where, index]] };
    }
  }
}

/** A FileHandle, to whoever asks for it. */
export const isHandle = (value: unknown): value is FileHandle =>
  typeof value === 'object' && value !== null && 'fd' in value && 'readv' in value;
