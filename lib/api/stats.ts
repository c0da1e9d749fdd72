// What File.stat returns: the fields and questions of node:fs's Stats, read from a struct statx.
import { constants } from 'node:fs';
import type { StatView } from './call-answers.js';

const { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } = constants;

/**
 * A file's metadata, with the fields of node:fs's `Stats`. Times are milliseconds since 1970 with fractions (`…Ms`) and
 * `Date`s; `mtimeNs` and its siblings are whole nanoseconds, which a number cannot hold.
 */
export class Stats {
  /** Device that holds the file. */
  readonly dev: number;
  /** Inode number. */
  readonly ino: number;
  /** Kind and permission bits. */
  readonly mode: number;
  /** Hard links. */
  readonly nlink: number;
  /** User id of the owner. */
  readonly uid: number;
  /** Group id of the owner. */
  readonly gid: number;
  /** Device it stands for, when it is a device. */
  readonly rdev: number;
  /** Bytes. */
  readonly size: number;
  /** Preferred bytes of one transfer. */
  readonly blksize: number;
  /** Blocks of 512 bytes that it occupies. */
  readonly blocks: number;
  /** Last access, nanoseconds. */
  readonly atimeNs: bigint;
  /** Last change of the content, nanoseconds. */
  readonly mtimeNs: bigint;
  /** Last change of the metadata, nanoseconds. */
  readonly ctimeNs: bigint;
  /** Creation, nanoseconds; 0 where the file system does not know. */
  readonly birthtimeNs: bigint;

  /** @internal */
  constructor(stat: StatView) {
    this.dev = stat.dev;
    this.ino = stat.ino;
    this.mode = stat.mode;
    this.nlink = stat.nlink;
    this.uid = stat.uid;
    this.gid = stat.gid;
    this.rdev = stat.rdev;
    this.size = stat.size;
    this.blksize = stat.blksize;
    this.blocks = stat.blocks;
    this.atimeNs = stat.atimeNs;
    this.mtimeNs = stat.mtimeNs;
    this.ctimeNs = stat.ctimeNs;
    this.birthtimeNs = stat.birthtimeNs;
  }

  /** Last access, milliseconds. */
  get atimeMs(): number {
    return Number(this.atimeNs) / 1e6;
  }
  /** Last change of the content, milliseconds. */
  get mtimeMs(): number {
    return Number(this.mtimeNs) / 1e6;
  }
  /** Last change of the metadata, milliseconds. */
  get ctimeMs(): number {
    return Number(this.ctimeNs) / 1e6;
  }
  /** Creation, milliseconds. */
  get birthtimeMs(): number {
    return Number(this.birthtimeNs) / 1e6;
  }
  /** Last access. */
  get atime(): Date {
    return new Date(Math.round(this.atimeMs));
  }
  /** Last change of the content. */
  get mtime(): Date {
    return new Date(Math.round(this.mtimeMs));
  }
  /** Last change of the metadata. */
  get ctime(): Date {
    return new Date(Math.round(this.ctimeMs));
  }
  /** Creation. */
  get birthtime(): Date {
    return new Date(Math.round(this.birthtimeMs));
  }

  /** True for a regular file. */
  isFile(): boolean {
    return (this.mode & S_IFMT) === S_IFREG;
  }
  /** True for a directory. */
  isDirectory(): boolean {
    return (this.mode & S_IFMT) === S_IFDIR;
  }
  /** True for a symbolic link; an open file never is one. */
  isSymbolicLink(): boolean {
    return (this.mode & S_IFMT) === S_IFLNK;
  }
  /** True for a named pipe. */
  isFIFO(): boolean {
    return (this.mode & S_IFMT) === S_IFIFO;
  }
  /** True for a socket. */
  isSocket(): boolean {
    return (this.mode & S_IFMT) === S_IFSOCK;
  }
  /** True for a block device. */
  isBlockDevice(): boolean {
    return (this.mode & S_IFMT) === S_IFBLK;
  }
  /** True for a character device. */
  isCharacterDevice(): boolean {
    return (this.mode & S_IFMT) === S_IFCHR;
  }
}
