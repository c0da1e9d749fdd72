// Functions of one or two paths: one call each. An argument that is not plainly valid goes to Node's function with all the others.
//
// Here and in the rooms beside it a parameter has a default where Node's has one, so that every function has Node's length.
import { constants } from 'node:fs';
import * as calls from '../api/call.js';
import { currentLink } from '../api/executor.js';
import { isWhole, NOTHING, plainId, plainMode, plainOptions, plainPath, plainTime, wantsBig } from './arguments.js';
import { failed, type Path, uvError } from './errors.js';
import { node } from './node.js';
import { bigStatsOf, knowsStatfs, statfsOf, statsOf } from './stats.js';

const MOST_ACCESS = constants.R_OK | constants.W_OK | constants.X_OK;
const MOST_COPY = constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE | constants.COPYFILE_FICLONE_FORCE;

/** access(2). */
export async function access(path: unknown, mode: unknown = constants.F_OK): Promise<void> {
  const valid = plainPath(path);
  if (valid === undefined || !isWhole(mode, 0, MOST_ACCESS)) return await node.access(path as never, mode as never);
  const result = await calls.access(currentLink(), valid, mode);
  if (result < 0) throw await uvError(result, 'access', valid);
}

/** stat(2). */
export async function stat(path: unknown, options: unknown = NOTHING): Promise<unknown> {
  const valid = plainPath(path);
  const big = wantsBig(options);
  if (valid === undefined || big === undefined) return await node.stat(path as never, options as never);
  const result = await calls.stat<unknown>(currentLink(), valid, true, big ? bigStatsOf : statsOf);
  if (typeof result === 'number') throw await uvError(result, 'stat', valid);
  return result;
}

/** lstat(2). */
export async function lstat(path: unknown, options: unknown = NOTHING): Promise<unknown> {
  const valid = plainPath(path);
  const big = wantsBig(options);
  if (valid === undefined || big === undefined) return await node.lstat(path as never, options as never);
  const result = await calls.stat<unknown>(currentLink(), valid, false, big ? bigStatsOf : statsOf);
  if (typeof result === 'number') throw await uvError(result, 'lstat', valid);
  return result;
}

/** statfs(2). */
export async function statfs(path: unknown, options: unknown = NOTHING): Promise<unknown> {
  const valid = plainPath(path);
  const big = wantsBig(options);
  if (valid === undefined || big === undefined || !knowsStatfs())
    return await node.statfs(path as never, options as never);
  const result = await calls.statfs(currentLink(), valid);
  if (typeof result === 'number') throw await uvError(result, 'statfs', valid);
  return statfsOf(result, big);
}

/** unlink(2). */
export async function unlink(path: unknown): Promise<void> {
  const valid = plainPath(path);
  if (valid === undefined) return await node.unlink(path as never);
  const result = await calls.unlink(currentLink(), valid);
  if (result < 0) throw await uvError(result, 'unlink', valid);
}

/** rename(2). */
export async function rename(from: unknown, to: unknown): Promise<void> {
  const [source, target] = [plainPath(from), plainPath(to)];
  if (source === undefined || target === undefined) return await node.rename(from as never, to as never);
  const result = await calls.rename(currentLink(), source, target);
  if (result < 0) throw await uvError(result, 'rename', source, target);
}

/** link(2). */
export async function link(from: unknown, to: unknown): Promise<void> {
  const [source, target] = [plainPath(from), plainPath(to)];
  if (source === undefined || target === undefined) return await node.link(from as never, to as never);
  const result = await calls.hardLink(currentLink(), source, target);
  if (result < 0) throw await uvError(result, 'link', source, target);
}

/** symlink(2); the type is for Windows, but checked everywhere. */
export async function symlink(target: unknown, path: unknown, type?: unknown): Promise<void> {
  const [to, at] = [plainPath(target), plainPath(path)];
  const known = type === undefined || type === null || type === 'file' || type === 'dir' || type === 'junction';
  if (to === undefined || at === undefined || !known) {
    return await node.symlink(target as never, path as never, type as never);
  }
  const result = await calls.symlink(currentLink(), to, at);
  if (result < 0) throw await uvError(result, 'symlink', to, at);
}

/** Bytes of a path as the encoding wants them: text, or the bytes themselves with `buffer`. */
export function encoded(bytes: Buffer, encoding: unknown): string | Buffer {
  return encoding === 'buffer' ? bytes : bytes.toString((encoding || 'utf8') as BufferEncoding);
}

/** readlink(2). */
export async function readlink(path: unknown, options?: unknown): Promise<string | Buffer> {
  const valid = plainPath(path);
  const plain = plainOptions(options);
  if (valid === undefined || plain === undefined) return await node.readlink(path as never, options as never);
  const result = await calls.readlink(currentLink(), valid);
  if (typeof result === 'number') throw await uvError(result, 'readlink', valid);
  return encoded(result, plain.encoding);
}

/** realpath(3). */
export async function realpath(path: unknown, options?: unknown): Promise<string | Buffer> {
  const valid = plainPath(path);
  const plain = plainOptions(options);
  if (valid === undefined || plain === undefined) return await node.realpath(path as never, options as never);
  const result = await calls.realpath(currentLink(), valid);
  if (typeof result === 'number') throw await uvError(result, 'realpath', valid);
  return encoded(result, plain.encoding);
}

/** chmod(2). */
export async function chmod(path: unknown, mode: unknown): Promise<void> {
  const valid = plainPath(path);
  const bits = plainMode(mode);
  if (valid === undefined || bits === undefined) return await node.chmod(path as never, mode as never);
  const result = await calls.chmod(currentLink(), valid, bits);
  if (result < 0) throw await uvError(result, 'chmod', valid);
}

/** chown(2). */
export async function chown(path: unknown, uid: unknown, gid: unknown): Promise<void> {
  return await owned('chown', path, uid, gid);
}

/** lchown(2). */
export async function lchown(path: unknown, uid: unknown, gid: unknown): Promise<void> {
  return await owned('lchown', path, uid, gid);
}

async function owned(name: 'chown' | 'lchown', path: unknown, uid: unknown, gid: unknown): Promise<void> {
  const valid = plainPath(path);
  const [user, group] = [plainId(uid), plainId(gid)];
  if (valid === undefined || user === undefined || group === undefined) {
    return await node[name](path as never, uid as never, gid as never);
  }
  const result = await calls.chown(currentLink(), valid, user, group, name === 'chown');
  if (result < 0) throw await uvError(result, name, valid);
}

/** utimensat(2). */
export async function utimes(path: unknown, atime: unknown, mtime: unknown): Promise<void> {
  return await timed('utimes', path, atime, mtime);
}

/** utimensat(2) of a link itself. */
export async function lutimes(path: unknown, atime: unknown, mtime: unknown): Promise<void> {
  return await timed('lutimes', path, atime, mtime);
}

async function timed(name: 'utimes' | 'lutimes', path: unknown, atime: unknown, mtime: unknown): Promise<void> {
  const valid = plainPath(path);
  const [a, m] = [plainTime(atime), plainTime(mtime)];
  if (valid === undefined || a === undefined || m === undefined) {
    return await node[name](path as never, atime as never, mtime as never);
  }
  const result = await calls.utimes(currentLink(), valid, a, m, name === 'utimes');
  // libuv's names of them have no s.
  if (result < 0) throw await uvError(result, name.slice(0, -1), valid);
}

/** Whether a value is a mode of copyFile: COPYFILE_ bits. */
export function isCopyMode(mode: unknown): mode is number {
  return isWhole(mode, 0, MOST_COPY);
}

/** Copies a file. */
export async function copyFile(from: unknown, to: unknown, mode?: unknown): Promise<void> {
  const [source, target] = [plainPath(from), plainPath(to)];
  const bits = mode ?? 0;
  if (source === undefined || target === undefined || !isCopyMode(bits)) {
    return await node.copyFile(from as never, to as never, mode as never);
  }
  const result = await calls.copyFile(currentLink(), source, target, bits);
  if (result < 0) throw await uvError(result, 'copyfile', source, target);
}

/** mkdtemp(3). A prefix that ends with X is Node's: it warns. */
export async function mkdtemp(prefix: unknown, options?: unknown): Promise<string | Buffer> {
  const valid = plainPath(prefix);
  const plain = plainOptions(options);
  if (valid === undefined || plain === undefined || endsWithX(valid)) {
    return await node.mkdtemp(prefix as never, options as never);
  }
  const result = await calls.mkdtemp(currentLink(), valid);
  if (typeof result === 'number' || result instanceof calls.FailedAt) {
    throw await failed(result, 'mkdtemp', `${Buffer.from(valid as string)}XXXXXX`, true);
  }
  return encoded(result, plain.encoding);
}

function endsWithX(prefix: Path): boolean {
  return prefix.at(-1) === 'X' || prefix.at(-1) === 'X'.charCodeAt(0);
}
