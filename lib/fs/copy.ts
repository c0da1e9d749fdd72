// cp: a file or a tree, entry by entry in the order of the directory, as Node goes, over the functions of this room.
//
// What Node refuses (ERR_FS_CP_…) is refused by Node: the pair of paths at which it would stop is given to its own cp, which looks again
// and throws its own error about it.
import type { BigIntStats, CopyOptions, Dir, Stats } from 'node:fs';
import { dirname, isAbsolute, join, parse, resolve, sep } from 'node:path';
import { plainPath } from './arguments.js';
import { opendir } from './dir.js';
import { mkdir } from './directories.js';
import type { UvError } from './errors.js';
import { node } from './node.js';
import { chmod, copyFile, isCopyMode, lstat, readlink, stat, symlink, unlink, utimes } from './paths.js';

const WRITABLE = 0o200;
const DEFAULTS = {
  dereference: false,
  errorOnExist: false,
  force: true,
  preserveTimestamps: false,
  recursive: false,
  verbatimSymlinks: false,
};
type Options = typeof DEFAULTS & { mode: number; filter: CopyOptions['filter'] };

/** Copies a file, a link or, with `recursive`, a tree. */
export async function cp(from: unknown, to: unknown, options?: unknown): Promise<void> {
  const [source, target] = [plainPath(from), plainPath(to)];
  const plain = plainCopy(options);
  // Node joins paths as text: what it makes of bytes is its own.
  if (typeof source !== 'string' || typeof target !== 'string' || plain === undefined) {
    return await node.cp(from as never, to as never, options as never);
  }
  await new Copy(plain).start(source, target);
}

function plainCopy(options: unknown = {}): Options | undefined {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) return undefined;
  const all = { mode: undefined, filter: undefined, ...DEFAULTS, ...options } as Record<string, unknown>;
  for (const name of Object.keys(DEFAULTS)) if (typeof all[name] !== 'boolean') return undefined;
  const mode = all.mode ?? 0;
  if (!isCopyMode(mode) || (all.dereference && all.verbatimSymlinks)) return undefined;
  // Of a directory that is there Node 20 goes on below, and Node 22 refuses it.
  if (all.errorOnExist && !all.force && all.recursive) return undefined;
  if (all.filter !== undefined && typeof all.filter !== 'function') return undefined;
  return { ...(all as Options), mode };
}

/** Undefined for what is not there. */
async function orNothing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if ((error as UvError).code === 'ENOENT') return undefined;
    throw error;
  }
}

function areOne(a: BigIntStats, b: BigIntStats): boolean {
  return a.ino !== 0n && a.ino === b.ino && a.dev !== 0n && a.dev === b.dev;
}

/** Whether a path is below another, or is it, going by the text alone. */
function isBelow(above: string, path: string): boolean {
  const [outer, inner] = [above, path].map((each) => resolve(each).split(sep).filter(Boolean)) as [string[], string[]];
  return outer.every((part, index) => inner[index] === part);
}

/** See the file's head. */
class Copy {
  readonly #options: Options;

  constructor(options: Options) {
    this.#options = options;
  }

  async start(from: string, to: string): Promise<void> {
    const found = await this.#look(from, to);
    if (found === undefined) return;
    if (await this.#isInside(found.source, from, to)) return await this.#refuse(from, to);
    const parent = dirname(to);
    if ((await orNothing(stat(parent))) === undefined) await mkdir(parent, { recursive: true });
    await this.#entry(from, to, found.target !== undefined);
  }

  /** What is at both ends; undefined when nothing more is to be done with them. */
  async #look(from: string, to: string): Promise<{ source: BigIntStats; target: BigIntStats | undefined } | undefined> {
    const { filter, dereference } = this.#options;
    if (filter !== undefined && !(await filter(from, to))) return undefined;
    const look = (path: string): Promise<BigIntStats> =>
      (dereference ? stat : lstat)(path, { bigint: true }) as Promise<BigIntStats>;
    const [source, target] = await Promise.all([look(from), orNothing(look(to))]);
    const isDirectory = source.isDirectory();
    const clash = target !== undefined && (areOne(source, target) || isDirectory !== target.isDirectory());
    if (clash || (isDirectory && isBelow(from, to))) {
      await this.#refuse(from, to);
      return undefined;
    }
    return { source, target };
  }

  /** Whether a directory above `to` is `from`, whatever their names. */
  async #isInside(source: BigIntStats, from: string, to: string): Promise<boolean> {
    const above = resolve(dirname(from));
    for (let parent = resolve(dirname(to)); ; parent = resolve(dirname(parent))) {
      if (parent === above || parent === parse(parent).root) return false;
      const found = await orNothing(stat(parent, { bigint: true }) as Promise<BigIntStats>);
      if (found === undefined) return false;
      if (areOne(source, found)) return true;
    }
  }

  /** Node's own function, which throws its own error; had somebody mended it meanwhile, this pair is copied. */
  async #refuse(from: string, to: string): Promise<void> {
    await node.cp(from, to, { ...this.#options, filter: undefined } as never);
  }

  async #entry(from: string, to: string, exists: boolean): Promise<void> {
    const { dereference, recursive } = this.#options;
    const source = (await (dereference ? stat : lstat)(from)) as Stats;
    if (source.isDirectory() && recursive) return await this.#directory(source, from, to, exists);
    if (source.isFile() || source.isCharacterDevice() || source.isBlockDevice()) {
      return await this.#file(source, from, to, exists);
    }
    if (source.isSymbolicLink()) return await this.#link(from, to, exists);
    await this.#refuse(from, to);
  }

  async #directory(source: Stats, from: string, to: string, exists: boolean): Promise<void> {
    if (!exists) await mkdir(to);
    for await (const { name } of (await opendir(from)) as Dir) {
      const [below, target] = [join(from, name), join(to, name)];
      const found = await this.#look(below, target);
      if (found !== undefined) await this.#entry(below, target, found.target !== undefined);
    }
    if (!exists) await chmod(to, source.mode);
  }

  async #file(source: Stats, from: string, to: string, exists: boolean): Promise<void> {
    const { force, errorOnExist, mode, preserveTimestamps } = this.#options;
    if (exists && !force) return errorOnExist ? await this.#refuse(from, to) : undefined;
    if (exists) await unlink(to);
    await copyFile(from, to, mode);
    if (preserveTimestamps) {
      if ((source.mode & WRITABLE) === 0) await chmod(to, source.mode | WRITABLE);
      // Anew: reading it has changed the time of access.
      const { atime, mtime } = (await stat(from)) as Stats;
      await utimes(to, atime, mtime);
    }
    await chmod(to, source.mode);
  }

  async #link(from: string, to: string, exists: boolean): Promise<void> {
    const found = (await readlink(from)) as string;
    const target = this.#options.verbatimSymlinks || isAbsolute(found) ? found : resolve(dirname(from), found);
    if (exists) {
      let old: string;
      try {
        old = (await readlink(to)) as string;
      } catch (error) {
        // No link is there: symlink says so.
        if ((error as UvError).code === 'EINVAL') return await symlink(target, to);
        throw error;
      }
      if (!isAbsolute(old)) old = resolve(dirname(to), old);
      const loops = isBelow(target, old) || (((await stat(from)) as Stats).isDirectory() && isBelow(old, target));
      if (loops) return await this.#refuse(from, to);
      await unlink(to);
    }
    await symlink(target, to);
  }
}
