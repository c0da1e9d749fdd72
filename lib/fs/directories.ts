// Functions of directories: mkdir, rmdir, rm, readdir.
import { constants, type Dirent } from 'node:fs';
import { constants as os } from 'node:os';
import { join, normalize } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import * as calls from '../api/call.js';
import { currentLink } from '../api/executor.js';
import { isWhole, NOTHING, plainMode, plainOptions, plainPath, plainTruth } from './arguments.js';
import { failed, type Path, uvError } from './errors.js';
import { classes, node } from './node.js';
import { encoded } from './paths.js';

const PERMISSIONS = 0o7777;
const UNKNOWN_TYPE = 0;
const { S_IFDIR, S_IFMT } = constants;
const EISDIR = -os.errno.EISDIR;
const ENOENT = -os.errno.ENOENT;
const EEXIST = -os.errno.EEXIST;
const ENOTDIR = -os.errno.ENOTDIR;
/** Own properties of all options of rm. */
const REMOVE: Record<'force' | 'recursive' | 'maxRetries' | 'retryDelay', unknown> = {
  force: undefined,
  recursive: undefined,
  maxRetries: undefined,
  retryDelay: undefined,
};
/** At these mkdir looks no further. */
const FINAL: ReadonlySet<number> = new Set([-os.errno.EACCES, -os.errno.ENOSPC, ENOTDIR, -os.errno.EPERM]);
/** What another attempt of rm may find gone. */
const TRANSIENT: ReadonlySet<string | undefined> = new Set(['EBUSY', 'EMFILE', 'ENFILE', 'ENOTEMPTY', 'EPERM']);

/** mkdir(2); recursively, the first directory that was made. */
export async function mkdir(path: unknown, options?: unknown): Promise<string | undefined> {
  const valid = plainPath(path);
  const short = typeof options === 'number' || typeof options === 'string';
  const { recursive, mode } = (short ? { __proto__: null, mode: options } : options || NOTHING) as Record<
    string,
    unknown
  >;
  const bits = plainMode(mode, 0o777);
  const all = plainTruth(recursive, false);
  if (valid === undefined || bits === undefined || all === undefined) {
    return await node.mkdir(path as never, options as never);
  }
  if (!all) {
    const result = await calls.mkdir(currentLink(), valid, bits & PERMISSIONS);
    if (result < 0) throw uvError(result, 'mkdir', valid);
    return undefined;
  }
  const result = await calls.mkdirAll(currentLink(), valid, bits & PERMISSIONS);
  if (typeof result === 'number' || result instanceof calls.FailedAt) {
    return await mkdirSteps(Buffer.from(valid as string).toString('latin1'), bits & PERMISSIONS);
  }
  return result?.toString();
}

/**
 * After a failure, step by step as Node goes: the error is that of the step at which Node stops, about the directory at which it does.
 * Paths are latin1, so that no byte is lost.
 */
async function mkdirSteps(path: string, mode: number): Promise<string | undefined> {
  const link = currentLink();
  const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
  const left = [path];
  let first: string | undefined;
  let tried: string | undefined;
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const made = await calls.mkdir(link, bytes(next), mode);
    const above = next.slice(0, Math.max(0, next.lastIndexOf('/')));
    if (made === 0) first ??= next;
    else if (made === ENOENT && above !== '' && next !== tried) {
      tried = next;
      left.push(next, above);
    } else if (made === ENOENT && next === tried)
      throw uvError(made, 'mkdir', bytes(next)); // As in /proc, where Node goes round for ever.
    else if (FINAL.has(made)) throw uvError(made, 'mkdir', bytes(next));
    else {
      const found = await calls.stat(link, bytes(next), true, ({ mode: kind }) => (kind & S_IFMT) === S_IFDIR);
      if (found === true) continue;
      if (made === EEXIST && left.length > 0) throw uvError(ENOTDIR, 'mkdir', bytes(next));
      throw uvError(typeof found === 'number' ? found : EEXIST, 'mkdir', bytes(next));
    }
  }
  return first === undefined ? undefined : bytes(first).toString();
}

/** rmdir(2). The deprecated options are Node's. */
export async function rmdir(path: unknown, options?: unknown): Promise<void> {
  const valid = plainPath(path);
  if (valid === undefined || options !== undefined) return await node.rmdir(path as never, options as never);
  const result = await calls.rmdir(currentLink(), valid);
  if (result < 0) throw uvError(result, 'rmdir', valid);
}

/** Removes a file, or a tree. */
export async function rm(path: unknown, options: unknown = NOTHING): Promise<void> {
  const valid = plainPath(path);
  // As in Node, what is inherited is no option: here it could remove a tree.
  const given = typeof options === 'object' && options !== null && !Array.isArray(options) ? options : null;
  const { force, recursive, maxRetries = 0, retryDelay = 100 } = { ...REMOVE, ...given } as typeof REMOVE;
  const [forced, all] = [plainTruth(force, false), plainTruth(recursive, false)];
  const retried = isWhole(maxRetries, 0, 2 ** 32 - 1) && isWhole(retryDelay, 0, 2 ** 31 - 1);
  if (valid === undefined || given === null || forced === undefined || all === undefined || !retried) {
    return await node.rm(path as never, options as never);
  }
  for (let attempt = 1; ; attempt++) {
    const result = await calls.rm(currentLink(), valid, forced, all);
    if (result === 0) return;
    if (errnoOf(result) === EISDIR && !all) return await node.rm(path as never, options as never); // Its own class of error.
    const error = failed(result, 'lstat', valid, true);
    if (attempt > (maxRetries as number) || !TRANSIENT.has(error.code)) throw error;
    await pause(attempt * (retryDelay as number));
  }
}

const errnoOf = (failure: calls.Failed): number => (typeof failure === 'number' ? failure : failure.errno);

/** The names in a directory, or its entries with their types. */
export async function readdir(path: unknown, options?: unknown): Promise<unknown> {
  const valid = plainPath(path);
  const plain = plainOptions(options);
  // Of other encodings, and of bytes, Node walks no tree or throws.
  const recursive = Boolean(plain?.recursive);
  const asText = (plain?.encoding ?? 'utf8') === 'utf8';
  if (valid === undefined || plain === undefined || (recursive && (!asText || typeof valid !== 'string'))) {
    return await node.readdir(path as never, options as never);
  }
  const withFileTypes = Boolean(plain.withFileTypes);
  const result = await calls.readdir(currentLink(), valid, { recursive, follow: !withFileTypes });
  if (typeof result === 'number') throw uvError(result, 'scandir', valid);
  if (result instanceof calls.FailedAt) {
    // Below the first, Node's paths are those that join made.
    const { path: below } = result;
    throw uvError(result.errno, 'scandir', below === undefined ? valid : normalize(below.toString()));
  }
  // File systems that do not tell types are rare: Node asks for each.
  if (withFileTypes && result.types.includes(UNKNOWN_TYPE)) return await node.readdir(path as never, options as never);
  return withFileTypes ? entriesOf(valid, result, plain.encoding) : namesOf(result, plain.encoding);
}

function namesOf(entries: calls.Entries, encoding: unknown): unknown[] {
  if (encoding && encoding !== 'utf8') return entries.bytes().names.map((name) => encoded(name, encoding));
  return entries.texts().names;
}

function entriesOf(path: Path, entries: calls.Entries, encoding: unknown): Dirent[] {
  const { Dirent } = classes();
  const bytes = encoding && encoding !== 'utf8';
  const { directories, names } = bytes ? entries.bytes() : entries.texts();
  const made: Dirent[] = [];
  let at = 0;
  for (const [index, directory] of directories.entries()) {
    const parent = directory.length === 0 ? path : join(path as string, directory.toString());
    for (const end = at + (entries.counts[index] as number); at < end; at++) {
      const name = names[at] as string | Buffer;
      made.push(new Dirent(bytes ? encoded(name as Buffer, encoding) : name, entries.types[at] as number, parent));
    }
  }
  return made;
}
