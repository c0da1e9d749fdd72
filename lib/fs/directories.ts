// Functions of directories: mkdir, rmdir, rm, readdir.
import type { Dirent } from 'node:fs';
import { constants as os } from 'node:os';
import { join, normalize } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import * as calls from '../api/call.js';
import { currentLink } from '../api/executor.js';
import { isWhole, NOTHING, plainMode, plainOptions, plainPath, plainTruth, shownAs } from './arguments.js';
import { failed, type Path, uvError } from './errors.js';
import { classes, node } from './node.js';
import { encoded } from './paths.js';

const UNKNOWN_TYPE = 0;
const EISDIR = -os.errno.EISDIR;
/** What rm does without options. */
const REMOVING = { force: false, recursive: false, maxRetries: 0, retryDelay: 100 };
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
    const result = await calls.mkdir(currentLink(), valid, bits);
    if (result < 0) throw await uvError(result, 'mkdir', valid);
    return undefined;
  }
  const result = await calls.mkdirAll(currentLink(), valid, bits);
  if (typeof result === 'number') throw await uvError(result, 'mkdir', valid);
  if (result instanceof calls.FailedAt) throw await uvError(result.errno, 'mkdir', result.path ?? valid);
  return result?.toString();
}

/** rmdir(2). The deprecated options are Node's. */
export async function rmdir(path: unknown, options?: unknown): Promise<void> {
  const valid = plainPath(path);
  if (valid === undefined || options !== undefined) return await node.rmdir(path as never, options as never);
  const result = await calls.rmdir(currentLink(), valid);
  if (result < 0) throw await uvError(result, 'rmdir', valid);
}

/** Removes a file, or a tree. */
export async function rm(path: unknown, options?: unknown): Promise<void> {
  const valid = plainPath(path);
  const wanted = options === undefined ? NOTHING : options;
  const given = typeof wanted === 'object' && !Array.isArray(wanted) ? wanted : null;
  // As in Node: what is inherited is no option (here it could remove a tree), and one that is there and undefined is wrong.
  const { force, recursive, maxRetries, retryDelay } = { ...REMOVING, ...given } as Record<string, unknown>;
  const retried = isWhole(maxRetries, 0, 2 ** 32 - 1) && isWhole(retryDelay, 0, 2 ** 31 - 1);
  if (
    valid === undefined ||
    given === null ||
    typeof force !== 'boolean' ||
    typeof recursive !== 'boolean' ||
    !retried
  ) {
    return await node.rm(path as never, options as never);
  }
  for (let attempt = 1; ; attempt++) {
    const result = await calls.rm(currentLink(), valid, force, recursive);
    if (result === 0) return;
    if (errnoOf(result) === EISDIR && !recursive) return await node.rm(path as never, options as never); // Its own class of error.
    const error = await failed(result, 'lstat', valid, true);
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
  if (typeof result === 'number') throw await uvError(result, 'scandir', valid);
  if (result instanceof calls.FailedAt) {
    // Below the first, Node's paths are those that join made.
    const { path: below } = result;
    throw await uvError(result.errno, 'scandir', below === undefined ? valid : normalize(below.toString()));
  }
  // File systems that do not tell types are rare: Node asks for each.
  if (withFileTypes && result.types.includes(UNKNOWN_TYPE)) return await node.readdir(path as never, options as never);
  return withFileTypes ? entriesOf(shownAs(path, valid), result, plain.encoding) : namesOf(result, plain.encoding);
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
