// Whole files in one call: reading one into memory of its own, copying one, and replacing one so that nobody ever sees half of it.

import { randomBytes } from 'node:crypto';
import { constants, unlinkSync } from 'node:fs';
import { constants as os } from 'node:os';
import { isUint8Array } from 'node:util/types';
import { lengthOf, partOfArray } from '../ring/bytes.js';
import { BUFFER_GONE, type Link } from '../ring/link.js';
import { OPCODE_WRITE } from '../wire/layout.generated.js';
import { isAborted, reasonOf } from './abort.js';
import {
  copyFile as copyThrough,
  fchmod,
  fchown,
  readFile as readThrough,
  realpath,
  rename,
  stat,
  unlink,
} from './call.js';
import { completionError, ourError, type SystemError, systemError } from './errors.js';
import { currentLink } from './executor.js';
import { File, stateOf } from './file.js';
import { pathOf } from './flags.js';
import { Lease } from './lease.js';
import { READ_FILE_RULES, type ReadFileOptions, wholeOf } from './read-whole.js';
import { abortSignal, checked, oneOf, type Rule, shown, truth, whole } from './validate.js';

const { COPYFILE_EXCL, COPYFILE_FICLONE, COPYFILE_FICLONE_FORCE, O_CREAT, O_DIRECTORY, O_EXCL, O_WRONLY } = constants;
const { EEXIST, EINVAL, EIO, ENOENT, EPERM } = os.errno;
const { S_IFMT, S_IFREG } = constants;

/** Permission bits, with those that lend a program its owner's rights; and without. */
const ALL_BITS = 0o7777;
const PLAIN_BITS = 0o777;
/** Names tried before it is said that there are files of all of them. */
const NAMES = 8;

/** Options of {@link copyFile}. */
export interface CopyFileOptions {
  /** Fail with EEXIST when there is a file already. Default false: it is overwritten. */
  exclusive?: boolean;
  /** Share the blocks of the first file until one of the two is written to (reflink): `try`, or `require`, which fails with ENOTSUP where the file system
   * cannot. Default: a copy, which the file system may share by itself. */
  reflink?: 'try' | 'require';
  /** Ends the copy early: the promise rejects with the signal's reason at once, and the unfinished copy is removed. */
  signal?: AbortSignal;
}

const COPY_FILE_RULES: Record<string, Rule> = {
  exclusive: truth,
  reflink: oneOf('try', 'require'),
  signal: abortSignal,
};

/** Options of {@link writeFileAtomic}. */
export interface WriteFileAtomicOptions {
  /** Permission bits, from 0 to 0o7777. Default: those of the file that is replaced; of a new one 0o666, cut by the process's umask. */
  mode?: number;
  /** Also wait until the new name is on the device: fsync(2) of the directory. Default false: after a crash of the system there is the old file or the new one. */
  syncDirectory?: boolean;
  /** Ends it early, until the file is renamed: the promise rejects with the signal's reason, and the old file stays. */
  signal?: AbortSignal;
}

const WRITE_FILE_ATOMIC_RULES: Record<string, Rule> = {
  mode: whole(0, ALL_BITS),
  syncDirectory: truth,
  signal: abortSignal,
};

/**
 * Reads a whole file.
 *
 * @param path - A string, a `file:` URL, or the bytes of a path.
 * @param options - See {@link ReadFileOptions}.
 * @returns The bytes, in memory that is yours alone. A long file is read into it directly: there is no second copy.
 * @throws A system error of syscall `open` or `read` with `path`; ERR_RINGWHEEL_NO_MEMORY when the file is longer than `limit`;
 * ERR_RINGWHEEL_INVALID_OPTION when an argument is wrong; ERR_RINGWHEEL_CLOSED; the signal's reason.
 *
 * Cost: one command, and no native call for a file of up to 16 KiB; one for a longer one. What is cached and not longer than 256 KiB is read at
 * once, anything else on the executor's pool. No descriptor of it stays open, whatever happens.
 *
 * @example
 * ```ts
 * import { readFile } from 'ringwheel';
 * const bytes = await readFile('package.json');
 * console.log(JSON.parse(new TextDecoder().decode(bytes)));
 * ```
 */
export async function readFile(path: string | URL | Uint8Array, options?: ReadFileOptions): Promise<Uint8Array> {
  const { limit = Number.MAX_SAFE_INTEGER, signal } = checked('readFile', options, READ_FILE_RULES);
  const { text, bytes } = pathOf(path, 'readFile');
  const link = openLink('readFile');
  return wholeOf(await readThrough(link, bytes, { limit, signal }), 'readFile', limit, text, 'open');
}

/**
 * Copies a file: content and permission bits, within the kernel (copy_file_range(2)). A link is followed.
 *
 * @param from - The file to copy.
 * @param to - The copy's path. A file that is there is overwritten, in place.
 * @param options - See {@link CopyFileOptions}.
 * @throws A system error of syscall `copyfile` with `path` and `dest`: ENOENT, EEXIST, ENOSPC, ENOTSUP, …; what was made of the copy is removed. Also
 * ERR_RINGWHEEL_INVALID_OPTION, ERR_RINGWHEEL_CLOSED and the signal's reason.
 *
 * Cost: one command; the copy runs on the executor's pool, and its bytes do not pass through this process.
 *
 * @example
 * ```ts
 * import { copyFile } from 'ringwheel';
 * await copyFile('package.json', 'package.copy.json', { reflink: 'try' });
 * ```
 */
export async function copyFile(
  from: string | URL | Uint8Array,
  to: string | URL | Uint8Array,
  options?: CopyFileOptions,
): Promise<void> {
  const { exclusive = false, reflink, signal } = checked('copyFile', options, COPY_FILE_RULES);
  const source = pathOf(from, 'copyFile');
  const target = pathOf(to, 'copyFile');
  const share = reflink === undefined ? 0 : reflink === 'try' ? COPYFILE_FICLONE : COPYFILE_FICLONE_FORCE;
  const mode = (exclusive ? COPYFILE_EXCL : 0) | share;
  const result = await copyThrough(openLink('copyFile'), source.bytes, target.bytes, mode, signal);
  if (result < 0) throw systemError(result, 'copyfile', source.text, target.text);
}

/**
 * Replaces a file's content, or makes the file, at once: whoever opens it sees all of the old content or all of the new, also after a crash.
 *
 * The content is written to a file of another name in the same directory (`.ringwheel-….tmp`), brought to the device (fdatasync(2)), and renamed. When
 * anything fails, that file is removed, and the old one is as it was; only a process or worker that ends meanwhile leaves it behind. A symbolic link
 * stays one: what it leads to is replaced, and one that leads nowhere is ENOENT. Permission bits are kept, owner and group where the process may set them; further names of the old file
 * (hard links), its ACLs and extended attributes are not.
 *
 * @param path - A string, a `file:` URL, or the bytes of a path. The directory must be writable.
 * @param data - A Uint8Array, a {@link Lease}, or a string, which is written as UTF-8. Leave it alone until the promise has settled.
 * @param options - See {@link WriteFileAtomicOptions}.
 * @throws A system error with `path`, of the syscall that failed (`open`, `write`, `fdatasync`, `rename`, …). ERR_RINGWHEEL_INVALID_OPTION when an argument
 * is wrong, or when there is something at `path` that is no file. The signal's reason.
 *
 * Cost: seven or eight operations, one after the other, and the device's own time.
 *
 * @example
 * ```ts
 * import { writeFileAtomic } from 'ringwheel';
 * await writeFileAtomic('settings.json', JSON.stringify({ theme: 'dark' }), { syncDirectory: true });
 * ```
 */
export async function writeFileAtomic(
  path: string | URL | Uint8Array,
  data: Uint8Array | Lease | string,
  options?: WriteFileAtomicOptions,
): Promise<void> {
  const { mode, syncDirectory = false, signal } = checked('writeFileAtomic', options, WRITE_FILE_ATOMIC_RULES);
  if (!(typeof data === 'string' || isUint8Array(data) || (data as unknown) instanceof Lease)) {
    const message = `writeFileAtomic: data must be a Uint8Array, a Lease or a string; got ${shown(data)}`;
    throw ourError('ERR_RINGWHEEL_INVALID_OPTION', message);
  }
  const asked = pathOf(path, 'writeFileAtomic');
  const content = contentOf(data);
  const link = openLink('writeFileAtomic');
  const goOn = (): void => {
    if (isAborted(signal)) throw reasonOf(signal);
  };
  goOn();
  const old = await oldFile(link, asked);
  goOn();
  const target = old.bytes;
  const directory = target.subarray(0, target.lastIndexOf(0x2f) + 1);
  const { file, name } = await openBeside(directory, asked.text, mode ?? old.mode ?? 0o666);
  try {
    try {
      await fill(file, content, asked.text, signal);
      await dress(link, file, old, mode, asked.text);
      goOn();
      await about(asked.text, file.datasync());
    } finally {
      await about(asked.text, file.close());
    }
    goOn();
    const renamed = await rename(link, name, target);
    if (renamed < 0) throw systemError(renamed, 'rename', asked.text);
  } catch (error) {
    await remove(link, name);
    throw error;
  }
  if (syncDirectory) await sync(directory, asked.text);
}

function openLink(where: string): Link {
  const link = currentLink();
  if (!link.open) throw ourError('ERR_RINGWHEEL_CLOSED', `${where}: the executor is closed; a new one can be started`);
  return link;
}

/** A signal as an option, where there is one. */
function ending(signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

/** What is replaced, if there is anything: where it is behind links, and whose. */
interface Old {
  readonly bytes: Uint8Array;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

async function oldFile(link: Link, asked: { text: string; bytes: Uint8Array }): Promise<Old> {
  const found = await stat(link, asked.bytes, false, ({ mode, uid, gid }) => ({ mode, uid, gid }));
  if (found === -ENOENT) return { bytes: asked.bytes };
  if (typeof found === 'number') throw systemError(found, 'lstat', asked.text);
  if ((found.mode & S_IFMT) === constants.S_IFLNK) {
    const real = await realpath(link, asked.bytes);
    if (typeof real === 'number') throw systemError(real, 'realpath', asked.text);
    return oldFile(link, { text: asked.text, bytes: real });
  }
  if ((found.mode & S_IFMT) !== S_IFREG) {
    const message = `writeFileAtomic: path must be that of a regular file, or of none yet; ${asked.text} is something else`;
    throw ourError('ERR_RINGWHEEL_INVALID_OPTION', message);
  }
  return { ...found, bytes: asked.bytes, mode: found.mode & ALL_BITS };
}

/** Opens a new file in a directory, with no more permissions than it will have. An abort waits for this, which may make the file. */
async function openBeside(directory: Uint8Array, path: string, mode: number) {
  for (let tries = 1; ; tries++) {
    const name = Buffer.concat([directory, Buffer.from(`.ringwheel-${randomBytes(8).toString('hex')}.tmp`)]);
    try {
      const file = await File.open(name, O_WRONLY | O_CREAT | O_EXCL, { mode: mode & PLAIN_BITS });
      return { file, name };
    } catch (error) {
      if ((error as SystemError).errno !== -EEXIST || tries === NAMES) throw named(error, path);
    }
  }
}

/** What a file will have, and how many bytes that are: known at the call, so that one that shrinks cannot replace a file by a part of it. */
interface Whole {
  readonly data: Uint8Array | Lease;
  readonly length: number;
}

function contentOf(given: Uint8Array | Lease | string): Whole {
  const data = typeof given === 'string' ? Buffer.from(given) : given;
  // Its own, whatever a property says.
  return { data, length: isUint8Array(data) ? lengthOf(data) : data.length };
}

async function fill(file: File, { data, length }: Whole, path: string, signal?: AbortSignal): Promise<void> {
  let done = 0;
  while (done < length) {
    const all = isUint8Array(data) ? data : data.bytes;
    if (lengthOf(all) < length) throw completionError(BUFFER_GONE, OPCODE_WRITE, path);
    const rest = done === 0 ? data : partOfArray(all, done, length);
    const written = await about(path, file.write(rest, { position: done, ...ending(signal) }));
    if (written === 0) throw systemError(-EIO, 'write', path);
    done += written;
  }
}

/** Gives a new file the owner and the bits of the old one. */
async function dress(link: Link, file: File, old: Old, mode: number | undefined, path: string): Promise<void> {
  const state = stateOf(file);
  let bits = mode ?? old.mode;
  if (old.uid !== undefined && old.gid !== undefined) {
    const owned = await fchown(link, state, old.uid, old.gid);
    // Bits that lend the owner's rights must not lend another owner's.
    if (owned === -EPERM || owned === -EINVAL) bits = bits === undefined ? undefined : bits & PLAIN_BITS;
    else if (owned < 0) throw systemError(owned, 'fchown', path);
  }
  if (bits === undefined) return;
  const set = await fchmod(link, state, bits);
  if (set < 0) throw systemError(set, 'fchmod', path);
}

async function remove(link: Link, name: Buffer): Promise<void> {
  try {
    if ((await unlink(link, name)) >= 0) return;
  } catch {
    // The executor has ended; the file must go all the same.
    try {
      unlinkSync(name);
    } catch {
      // It was renamed, or somebody else removed it.
    }
  }
}

async function sync(directory: Uint8Array, path: string): Promise<void> {
  const opened = await about(path, File.open(directory.length === 0 ? '.' : directory, O_DIRECTORY));
  try {
    await about(path, opened.sync());
  } finally {
    await opened.close();
  }
}

/** Errors about the file beside are about the file asked for. */
async function about<T>(path: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw named(error, path);
  }
}

function named(error: unknown, path: string): unknown {
  const { errno, syscall } = error as SystemError;
  return typeof errno === 'number' && syscall !== undefined ? systemError(errno, syscall, path) : error;
}
