// Life of a command, below stage 1: one typed function for each call of the file system that is no transfer.
//
// What the system refuses is a number below 0, minus an errno, or a FailedAt; the caller makes the error, since it knows under which name
// and with which paths. Arguments are valid already.

import { lengthOf } from '../ring/bytes.js';
import type { Path } from '../ring/call-ranges.js';
import type { Link } from '../ring/link.js';
import type { FileState, Hold } from '../ring/state.js';
import {
  CALL_ACCESS,
  CALL_CHMOD,
  CALL_CHOWN,
  CALL_COPY,
  CALL_FILE_ADVISE,
  CALL_FILE_ALLOCATE,
  CALL_FILE_CHMOD,
  CALL_FILE_CHOWN,
  CALL_FILE_ENTRIES,
  CALL_FILE_READ_REST,
  CALL_FILE_STAT,
  CALL_FILE_UTIMES,
  CALL_FLAG_ALIGNMENT,
  CALL_FLAG_FOLLOW,
  CALL_FLAG_FORCE,
  CALL_FLAG_RECURSIVE,
  CALL_FLAG_SYNC,
  CALL_LINK,
  CALL_LIST,
  CALL_MKDIR,
  CALL_MKDIR_ALL,
  CALL_MKDTEMP,
  CALL_READ_FILE,
  CALL_READLINK,
  CALL_REALPATH,
  CALL_REMOVE,
  CALL_RENAME,
  CALL_RMDIR,
  CALL_STAT,
  CALL_STATFS,
  CALL_SYMLINK,
  CALL_TRUNCATE_PATH,
  CALL_UNLINK,
  CALL_UTIMES,
  CALL_WRITE_FILE,
} from '../wire/layout.generated.js';
import { Entries, FailedAt, type StatfsFields, StatView, statfsFields } from './call-answers.js';
import { type Answer, type Call, call, kept } from './calling.js';
import { readStream, readStreamAt } from './streams.js';

export type { Path } from '../ring/call-ranges.js';
export { Entries, FailedAt, type StatfsFields, StatView } from './call-answers.js';

/** What a call with several steps fails with: a number when it is about the path asked for, as far as that says. @internal */
export type Failed = number | FailedAt;

/** Bytes that answers of a path's length, or lists of names, get; what is longer comes as a parcel. */
const PATH_ROOM = 4096;
const LIST_ROOM = 16_384;
const READ_ROOM = 16_384;

const done = (): number => 0;
/** An answer's bytes, in a buffer of their own. */
const copied = (result: number, parcel: number, hold: Hold, link: Link): Buffer =>
  parcel === 0 ? Buffer.from(hold.bytes.subarray(0, result)) : taken(parcel, link);

function taken(parcel: number, link: Link): Buffer {
  return Buffer.from(link.native.takeParcel(parcel) as ArrayBuffer);
}

/** A call without steps fails with a number. */
const simple = call as <T>(...args: Parameters<typeof call<T>>) => Promise<T | number>;

/** access(2). @internal */
export function access(link: Link, path: Path, mode: number): Promise<number> {
  return simple(link, { number: CALL_ACCESS, mode, answer: done }, path);
}

const view = new StatView();

function statAnswer<T>(_result: number, _parcel: number, hold: Hold, link: Link, make: unknown): T {
  return (make as (stat: StatView) => T)(view.show(link.arenaDoubles, link.arenaWords, hold.offset));
}

const STAT = { number: CALL_STAT, flags: CALL_FLAG_FOLLOW, answer: statAnswer };
const LSTAT = { number: CALL_STAT, answer: statAnswer };

/** stat(2), or lstat(2) without `follow`. `make` is called at once, with a view that it must not keep. @internal */
export function stat<T>(link: Link, path: Path, follow: boolean, make: (stat: StatView) => T): Promise<T | number> {
  return call(link, (follow ? STAT : LSTAT) as Call<T>, path, undefined, make) as Promise<T | number>;
}

/** fstat(2), as {@link stat}; with `alignment` the view has that, too. @internal */
export function fstat<T>(
  link: Link,
  file: FileState,
  make: (stat: StatView) => T,
  alignment = false,
  signal?: AbortSignal,
): Promise<T | number> {
  const flags = alignment ? CALL_FLAG_ALIGNMENT : 0;
  const asked: Call<T> = { number: CALL_FILE_STAT, flags, file, signal, answer: statAnswer };
  return call(link, asked, undefined, undefined, make) as Promise<T | number>;
}

/** statfs(2). @internal */
export function statfs(link: Link, path: Path): Promise<StatfsFields | number> {
  const answer = (_result: number, _parcel: number, hold: Hold) => statfsFields(hold.bytes);
  return simple(link, { number: CALL_STATFS, answer }, path);
}

/** mkdir(2). @internal */
export function mkdir(link: Link, path: Path, mode: number): Promise<number> {
  return simple(link, { number: CALL_MKDIR, mode, answer: done }, path);
}

/** Makes a directory and what is missing above it. Gives the path of the first one made; undefined when there was none to make. @internal */
export function mkdirAll(link: Link, path: Path, mode: number): Promise<Buffer | undefined | Failed> {
  const answer = (result: number, parcel: number, hold: Hold, on: Link) =>
    result === 0 ? undefined : copied(result, parcel, hold, on);
  return call(link, { number: CALL_MKDIR_ALL, mode, room: PATH_ROOM, answer }, path);
}

/** unlink(2). @internal */
export function unlink(link: Link, path: Path): Promise<number> {
  return simple(link, { number: CALL_UNLINK, answer: done }, path);
}

/** rmdir(2). @internal */
export function rmdir(link: Link, path: Path): Promise<number> {
  return simple(link, { number: CALL_RMDIR, answer: done }, path);
}

/** Removes a file or, with `recursive`, a tree; what is missing is fine with `force`. A directory without `recursive`: −EISDIR. @internal */
export function rm(link: Link, path: Path, force: boolean, recursive: boolean): Promise<Failed> {
  const flags = (force ? CALL_FLAG_FORCE : 0) | (recursive ? CALL_FLAG_RECURSIVE : 0);
  return call(link, { number: CALL_REMOVE, flags, room: recursive ? PATH_ROOM : 0, answer: done }, path);
}

/** rename(2). @internal */
export function rename(link: Link, from: Path, to: Path): Promise<number> {
  return simple(link, { number: CALL_RENAME, answer: done }, from, to);
}

/** link(2). @internal */
export function hardLink(link: Link, from: Path, to: Path): Promise<number> {
  return simple(link, { number: CALL_LINK, answer: done }, from, to);
}

/** symlink(2). @internal */
export function symlink(link: Link, target: Path, path: Path): Promise<number> {
  return simple(link, { number: CALL_SYMLINK, answer: done }, target, path);
}

/** readlink(2). @internal */
export function readlink(link: Link, path: Path): Promise<Buffer | number> {
  return simple(link, { number: CALL_READLINK, answer: copied }, path);
}

/** realpath(3). @internal */
export function realpath(link: Link, path: Path): Promise<Buffer | number> {
  return simple(link, { number: CALL_REALPATH, answer: copied }, path);
}

/** mkdtemp(3); `prefix` is without the letters that the system chooses. @internal */
export function mkdtemp(link: Link, prefix: Path): Promise<Buffer | Failed> {
  return call(link, { number: CALL_MKDTEMP, answer: copied }, prefix);
}

/** chmod(2). @internal */
export function chmod(link: Link, path: Path, mode: number): Promise<number> {
  return simple(link, { number: CALL_CHMOD, mode, answer: done }, path);
}

/** fchmod(2). @internal */
export function fchmod(link: Link, file: FileState, mode: number): Promise<number> {
  return simple(link, { number: CALL_FILE_CHMOD, file, mode, answer: done });
}

/** chown(2), or lchown(2) without `follow`; −1 leaves an id as it is. @internal */
export function chown(link: Link, path: Path, uid: number, gid: number, follow: boolean): Promise<number> {
  const flags = follow ? CALL_FLAG_FOLLOW : 0;
  return simple(link, { number: CALL_CHOWN, flags, uid, gid, answer: done }, path);
}

/** fchown(2). @internal */
export function fchown(link: Link, file: FileState, uid: number, gid: number): Promise<number> {
  return simple(link, { number: CALL_FILE_CHOWN, file, uid, gid, answer: done });
}

/** utimensat(2): seconds, of a link itself without `follow`. Cut to microseconds, as libuv does. @internal */
export function utimes(link: Link, path: Path, a: number, b: number, follow: boolean): Promise<number> {
  const flags = follow ? CALL_FLAG_FOLLOW : 0;
  return simple(link, { number: CALL_UTIMES, flags, a, b, answer: done }, path);
}

/** futimens(2), as {@link utimes}. @internal */
export function futimes(link: Link, file: FileState, a: number, b: number): Promise<number> {
  return simple(link, { number: CALL_FILE_UTIMES, file, a, b, answer: done });
}

/** Opens a file for writing, and sets its length. @internal */
export function truncatePath(link: Link, path: Path, length: number): Promise<Failed> {
  return call(link, { number: CALL_TRUNCATE_PATH, a: length, answer: done }, path);
}

/** Copies a file; `mode` has COPYFILE_ bits. Ended early, it removes what it made. @internal */
export function copyFile(link: Link, from: Path, to: Path, mode: number, signal?: AbortSignal): Promise<number> {
  return simple(link, { number: CALL_COPY, mode, answer: done, signal }, from, to);
}

/** fallocate(2); `mode` has FALLOC_FL_ bits. @internal */
export function allocate(
  link: Link,
  file: FileState,
  mode: number,
  a: number,
  b: number,
  signal?: AbortSignal,
): Promise<number> {
  return simple(link, { number: CALL_FILE_ALLOCATE, file, mode, a, b, signal, answer: done });
}

/** posix_fadvise(2); `mode` is an advice's number. @internal */
export function advise(
  link: Link,
  file: FileState,
  mode: number,
  a: number,
  b: number,
  signal?: AbortSignal,
): Promise<number> {
  return simple(link, { number: CALL_FILE_ADVISE, file, mode, a, b, signal, answer: done });
}

const entries = (result: number, parcel: number, hold: Hold, link: Link): Entries =>
  new Entries(copied(result, parcel, hold, link));

/**
 * All names in a directory, sorted by their bytes; with `recursive` those below it too, directory after directory in Node's order. `follow`
 * goes into links that lead to directories, and gives paths below the first directory for names. @internal
 */
export function readdir(
  link: Link,
  path: Path,
  options: { recursive?: boolean; follow?: boolean } = {},
): Promise<Entries | Failed> {
  const { recursive = false, follow = false } = options;
  const flags = (recursive ? CALL_FLAG_RECURSIVE : 0) | (follow ? CALL_FLAG_FOLLOW : 0);
  return call(link, { number: CALL_LIST, flags, room: LIST_ROOM, answer: entries }, path);
}

/** The next names of a directory that was opened like a file, in its file system's order; none at the end. @internal */
export function readEntries(link: Link, file: FileState): Promise<Entries | number> {
  return simple(link, { number: CALL_FILE_ENTRIES, file, room: LIST_ROOM, answer: entries });
}

/** How a whole file is read. */
export interface ReadWhole {
  /** open(2) flags. Default O_RDONLY. */
  flags?: number;
  /** The text's encoding; without one the bytes. */
  encoding?: BufferEncoding | undefined;
  /** The most bytes; a file with more is a {@link FailedAt} with its `size`. Default 2^53 − 1. */
  limit?: number;
  signal?: AbortSignal | undefined;
}

/** Opens, reads and closes a file. @internal */
export function readFile(link: Link, path: Path, options: ReadWhole = {}): Promise<Buffer | string | Failed> {
  const { flags = 0, limit = Number.MAX_SAFE_INTEGER, signal, encoding } = options;
  const answer = answerIn(encoding);
  const own = kept(path); // Theirs may change while this waits.
  const stream = async (on: Link, slot: number, generation: number) =>
    textIn(encoding, await readStreamAt(on, own, flags, limit, signal, slot, generation));
  return call(link, { number: CALL_READ_FILE, mode: flags, a: limit, room: READ_ROOM, answer, signal, stream }, path);
}

/** Reads an open file from its position to its end. @internal */
export function readRest(link: Link, file: FileState, options: ReadWhole = {}): Promise<Buffer | string | Failed> {
  const { limit = Number.MAX_SAFE_INTEGER, signal, encoding } = options;
  const answer = answerIn(encoding);
  const stream = async (on: Link) => textIn(encoding, await readStream(on, file, limit, signal));
  return call(link, { number: CALL_FILE_READ_REST, file, a: limit, room: READ_ROOM, answer, signal, stream });
}

function textIn(encoding: BufferEncoding | undefined, read: Buffer | FailedAt): Buffer | string | FailedAt {
  return encoding === undefined || read instanceof FailedAt ? read : read.toString(encoding);
}

function answerIn(encoding: BufferEncoding | undefined): Answer<Buffer | string> {
  if (encoding === undefined) return wholeBytes;
  return (result, parcel, hold, link) => {
    if (parcel !== 0) return taken(parcel, link).toString(encoding);
    return link.calls.bytes.toString(encoding, hold.offset, hold.offset + result);
  };
}

function wholeBytes(result: number, parcel: number, { bytes }: Hold, link: Link): Buffer {
  if (parcel !== 0) return taken(parcel, link);
  // Not of Node's pool: it is the caller's alone.
  const whole = Buffer.allocUnsafeSlow(result);
  whole.set(result === bytes.length ? bytes : bytes.subarray(0, result));
  return whole;
}

/** The most bytes that {@link writeFile} takes: what one range holds beside the longest path. More is opened, written and closed. */
export const WRITE_WHOLE_BYTES = 256 * 1024 - 8192;

/** How a whole file is written. */
export interface WriteWhole {
  /** open(2) flags. */
  flags: number;
  /** Permission bits of a file that is made. */
  mode: number;
  /** A string's encoding. Default utf8. */
  encoding?: BufferEncoding;
  /** Done when it is on the device. Default false. */
  flush?: boolean;
}

/** Opens, writes and closes a file: at most {@link WRITE_WHOLE_BYTES}. The bytes are taken during the call. @internal */
export function writeFile(link: Link, path: Path, content: string | Uint8Array, options: WriteWhole): Promise<Failed> {
  const { flags: mode, mode: b, encoding = 'utf8', flush = false } = options;
  // Of hex and base64 only making the bytes says how many there are: what is no digit is left out.
  const counted = typeof content !== 'string' || /^(utf|ucs|latin|binary|ascii)/i.test(encoding);
  const data = counted ? content : Buffer.from(content, encoding);
  const a = typeof data === 'string' ? Buffer.byteLength(data, encoding) : lengthOf(data);
  const flags = flush ? CALL_FLAG_SYNC : 0;
  return call(link, { number: CALL_WRITE_FILE, flags, mode, a, b, data, encoding, answer: done }, path);
}
