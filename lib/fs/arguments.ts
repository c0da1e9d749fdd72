// The argument rules. Each function here says what a *plainly valid* argument means to us, or undefined: then Node's own function gets
// the whole call. It refuses it in its own words, or does what it does with such arguments. So nothing here makes an error.
import { constants } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isProxy, isUint8Array } from 'node:util/types';
import { isSignal } from '../api/abort.js';
import { bytesOfView, copyOf, lengthOf, partOfArray } from '../ring/bytes.js';
import type { Path } from './errors.js';

/** The bits that chmod(2), open(2) and mkdir(2) look at. */
const PERMISSIONS = 0o7777;

const { O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_SYNC, O_TRUNC, O_WRONLY } = constants;

const FLAGS: ReadonlyMap<unknown, number> = new Map<unknown, number>([
  [undefined, O_RDONLY],
  [null, O_RDONLY],
  ['r', O_RDONLY],
  ['rs', O_RDONLY | O_SYNC],
  ['sr', O_RDONLY | O_SYNC],
  ['r+', O_RDWR],
  ['rs+', O_RDWR | O_SYNC],
  ['sr+', O_RDWR | O_SYNC],
  ['w', O_TRUNC | O_CREAT | O_WRONLY],
  ['wx', O_TRUNC | O_CREAT | O_WRONLY | O_EXCL],
  ['xw', O_TRUNC | O_CREAT | O_WRONLY | O_EXCL],
  ['w+', O_TRUNC | O_CREAT | O_RDWR],
  ['wx+', O_TRUNC | O_CREAT | O_RDWR | O_EXCL],
  ['xw+', O_TRUNC | O_CREAT | O_RDWR | O_EXCL],
  ['a', O_APPEND | O_CREAT | O_WRONLY],
  ['ax', O_APPEND | O_CREAT | O_WRONLY | O_EXCL],
  ['xa', O_APPEND | O_CREAT | O_WRONLY | O_EXCL],
  ['as', O_APPEND | O_CREAT | O_WRONLY | O_SYNC],
  ['sa', O_APPEND | O_CREAT | O_WRONLY | O_SYNC],
  ['a+', O_APPEND | O_CREAT | O_RDWR],
  ['ax+', O_APPEND | O_CREAT | O_RDWR | O_EXCL],
  ['xa+', O_APPEND | O_CREAT | O_RDWR | O_EXCL],
  ['as+', O_APPEND | O_CREAT | O_RDWR | O_SYNC],
  ['sa+', O_APPEND | O_CREAT | O_RDWR | O_SYNC],
]);

/** True where a process may not do everything: Node's own functions know what it may. */
const LIMITED = (process as { permission?: unknown }).permission !== undefined;

/** The most bytes of a path, PATH_MAX without its NUL: 4096 on Linux, 1024 on macOS. */
const PATH_BYTES = process.platform === 'linux' ? 4095 : 1023;

/**
 * A path: text, the bytes of one (copied: the caller may change theirs), or what a `file:` URL names. None has a NUL, and none is longer than
 * some system takes: which error that is depends on where a call looks first.
 */
export function plainPath(path: unknown): Path | undefined {
  if (LIMITED) return undefined;
  if (typeof path === 'string') return path === '' || path.includes('\0') || isLong(path) ? undefined : path;
  if (isUint8Array(path)) {
    const length = lengthOf(path);
    if (length === 0 || length > PATH_BYTES) return undefined;
    const bytes = Buffer.from(copyOf(path).buffer);
    return bytes.includes(0) ? undefined : bytes;
  }
  if (!(path instanceof URL)) return undefined;
  try {
    const text = fileURLToPath(path);
    return text.includes('\0') || isLong(text) ? undefined : text;
  } catch {
    return undefined;
  }
}

/** What results show of a path: bytes are the caller's own, as with Node. */
export function shownAs(path: unknown, valid: Path): Path {
  return isUint8Array(path) ? path : valid;
}

function isLong(path: string): boolean {
  return path.length * 3 > PATH_BYTES && Buffer.byteLength(path) > PATH_BYTES;
}

/** Open flags: Node's words, or bits. */
export function plainFlags(flags: unknown): number | undefined {
  const bits = FLAGS.get(flags);
  if (bits !== undefined) return bits;
  return Number.isInteger(flags) && (flags as number) >= 0 && (flags as number) <= 0x7fffffff
    ? (flags as number)
    : undefined;
}

/** Permission bits, and those alone: of a number, or octal digits. Without a fallback they must be given. */
export function plainMode(mode: unknown, fallback?: number): number | undefined {
  if (mode === undefined || mode === null) return fallback;
  const bits = typeof mode === 'string' && /^[0-7]{1,10}$/.test(mode) ? Number.parseInt(mode, 8) : mode;
  return isWhole(bits, 0, 0xffffffff) ? bits & PERMISSIONS : undefined;
}

/** A user or group; −1 leaves it as it is. */
export function plainId(id: unknown): number | undefined {
  return isWhole(id, -1, 0xffffffff) ? id : undefined;
}

/** Ours are cut to microseconds, as by libuv up to 1.51; later ones keep the rest of a fraction. */
const [UV_MAJOR = 0, UV_MINOR = 0] = process.versions.uv.split('.').map(Number);
const FINE_TIMES = UV_MAJOR > 1 || UV_MINOR > 51;

/** Seconds since 1970: a number ≥ 0, its text, or a Date. */
export function plainTime(time: unknown): number | undefined {
  const seconds = secondsOf(time);
  return FINE_TIMES && !Number.isInteger(seconds) ? undefined : seconds;
}

function secondsOf(time: unknown): number | undefined {
  if (typeof time === 'number' && Number.isFinite(time)) return time < 0 ? Date.now() / 1000 : time;
  if (typeof time === 'string') return /^\d{1,15}(\.\d+)?$/.test(time) ? Number(time) : undefined;
  if (Object.prototype.toString.call(time) !== '[object Date]' || !(time instanceof Date)) return undefined;
  const seconds = time.getTime() / 1000;
  return Number.isFinite(seconds) ? seconds : undefined;
}

/** Whether a value is a whole number in a range. */
export function isWhole(value: unknown, least: number, most: number): value is number {
  return Number.isInteger(value) && (value as number) >= least && (value as number) <= most;
}

/** True for one of Node's names of encodings; not for `buffer`. */
export function isEncoding(value: unknown): value is BufferEncoding {
  return typeof value === 'string' && Buffer.isEncoding(value);
}

/** Options that nobody gave: what a program put on Object.prototype is none of them. */
export const NOTHING: Readonly<Record<string, unknown>> = Object.freeze(Object.create(null));

/** An options argument, as an object: nothing, an encoding's name, or an object whose encoding and signal are valid. */
export function plainOptions(options: unknown): Record<string, unknown> | undefined {
  if (options === undefined || options === null || typeof options === 'function') return NOTHING;
  if (typeof options === 'string') {
    return options === '' || options === 'buffer' || isEncoding(options)
      ? { __proto__: null, encoding: options }
      : undefined;
  }
  if (typeof options !== 'object') return undefined;
  const { encoding, signal } = options as { encoding?: unknown; signal?: unknown };
  // A Proxy of a signal is none to event targets; Node asks it only whether it has aborted.
  if (signal !== undefined && (!isSignal(signal) || isProxy(signal))) return undefined;
  if (encoding && encoding !== 'buffer' && !isEncoding(encoding)) return undefined;
  return options as Record<string, unknown>;
}

/** Whether options have no other names than these: what else a later Node reads of them is its own. */
export function hasOnly(options: unknown, names: ReadonlySet<string>): boolean {
  for (const name in options as object) if (!names.has(name)) return false;
  return true;
}

/** A boolean option with a default. Undefined when it is neither. */
export function plainTruth(value: unknown, fallback: boolean): boolean | undefined {
  if (value === undefined) return fallback;
  return typeof value === 'boolean' ? value : undefined;
}

const STAT_OPTIONS: ReadonlySet<string> = new Set(['bigint']);
/** What a whole file is read or written with. */
export const WHOLE_OPTIONS: ReadonlySet<string> = new Set(['encoding', 'flag', 'flush', 'mode', 'signal']);

/** Whether results are to be bigints. Only `true` is, as in Node. */
export function wantsBig(options: unknown): boolean | undefined {
  if (options === undefined) return false;
  return typeof options === 'object' && options !== null && hasOnly(options, STAT_OPTIONS)
    ? (options as { bigint?: unknown }).bigint === true
    : undefined;
}

/** The bytes of a view, of whatever kind, in the buffer that it is a view of. */
export function bytesOf(view: ArrayBufferView, offset = 0, length?: number): Uint8Array {
  const bytes = bytesOfView(view);
  return offset === 0 && length === undefined
    ? bytes
    : partOfArray(bytes, offset, offset + (length ?? lengthOf(bytes) - offset));
}
