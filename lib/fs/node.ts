// What ringwheel/fs takes from the running Node: its functions, for arguments that are not plainly valid, and its classes, so that
// results are of them. Taken once at load: a program that swaps `fs.promises` for this entry must not send us in circles.
import nodeFs, { type BigIntStats, type Dir, type Dirent, type StatsFs } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { devNull } from 'node:os';
import { ourError } from '../api/errors.js';

/** Node's own functions. */
export const node: typeof nodeFs.promises = { ...nodeFs.promises };

/** The value of a field of an object that may be undefined or of another shape. */
type Constructor<Arguments extends unknown[], Made> = new (...args: Arguments) => Made;

type StatsArguments<Whole> = [
  dev: Whole,
  mode: Whole,
  nlink: Whole,
  uid: Whole,
  gid: Whole,
  rdev: Whole,
  blksize: Whole,
  ino: Whole,
  size: Whole,
  blocks: Whole,
  atime: Whole,
  mtime: Whole,
  ctime: Whole,
  birthtime: Whole,
];

/** The classes of results that Node does not export, or only with a warning. */
export interface Classes {
  /** Times in milliseconds. */
  Stats: Constructor<StatsArguments<number>, nodeFs.Stats>;
  /** Times in nanoseconds. */
  BigIntStats: Constructor<StatsArguments<bigint>, BigIntStats>;
  /** Fields as in statfs(2). */
  StatFs: Constructor<unknown[], StatsFs>;
  /** The type is a UV_DIRENT number. */
  Dirent: Constructor<[name: unknown, type: number, path: unknown], Dirent>;
  /** Reads through the object it is given. */
  Dir: Constructor<[handle: object, path: unknown, options: unknown], Dir>;
}

const { statSync, statfsSync } = nodeFs;
const { Dirent: NodeDirent, Dir: NodeDir } = nodeFs as unknown as Classes;

let known: Classes | undefined;

/** Node's classes; the first call makes one object of each, to get at its constructor. */
export function classes(): Classes {
  known ??= {
    Stats: statSync('/').constructor as Classes['Stats'],
    BigIntStats: statSync('/', { bigint: true }).constructor as Classes['BigIntStats'],
    StatFs: statfsSync('/').constructor as Classes['StatFs'],
    Dirent: NodeDirent,
    Dir: NodeDir,
  };
  return known;
}

/** Node's FileHandle, which does not export it: its constructor takes what has the descriptor and closes it. */
export type NodeFileHandleClass = Constructor<
  [kernel: { fd: number; close(): Promise<void>; getAsyncId(): number }],
  FileHandle
>;

/** What is behind a FileHandle of Node's: constructed, it owns the descriptor. */
export type NativeHandleClass = Constructor<[fd: number], { close(): Promise<void> }>;

/** Node's FileHandle, as one file that it opened shows it. */
export interface NodeFileHandle {
  Base: NodeFileHandleClass;
  Native: NativeHandleClass;
  /** Where a FileHandle keeps its native one. */
  HANDLE: symbol;
}

/** Opens one file with Node to get at the classes of its handle. */
export async function nodeFileHandle(): Promise<NodeFileHandle> {
  const handle = await node.open(devNull).catch(() => node.open('/'));
  try {
    const HANDLE = hidden(handle, 'kHandle');
    const { constructor: Native } = (handle as unknown as Record<symbol, object>)[HANDLE] as object;
    return { Base: handle.constructor as NodeFileHandleClass, Native: Native as NativeHandleClass, HANDLE };
  } finally {
    await handle.close();
  }
}

/** The symbol under which Node keeps something in its handles, or in their prototype. */
export function hidden(holder: object, name: string): symbol {
  const found = Object.getOwnPropertySymbols(holder).find(({ description }) => description === name);
  if (found !== undefined) return found;
  const message = `ringwheel/fs does not know the FileHandle of Node ${process.version}: open files with node:fs/promises, and please report this`;
  throw ourError('ERR_RINGWHEEL_INTERNAL', message);
}
