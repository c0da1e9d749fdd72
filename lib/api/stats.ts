// What File.stat returns: the fields and questions of node:fs's Stats, read from a struct statx.
import { constants } from 'node:fs';

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
  constructor(statx: DataView) {
    const word = (offset: number): number => statx.getUint32(offset, true);
    const wide = (offset: number): number => Number(statx.getBigUint64(offset, true));
    const time = (offset: number): bigint =>
      statx.getBigInt64(offset, true) * 1_000_000_000n + BigInt(word(offset + 8));
    this.blksize = word(4);
    this.nlink = word(16);
    this.uid = word(20);
    this.gid = word(24);
    this.mode = statx.getUint16(28, true);
    this.ino = wide(32);
    this.size = wide(40);
    this.blocks = wide(48);
    this.atimeNs = time(64);
    this.birthtimeNs = time(80);
    this.ctimeNs = time(96);
    this.mtimeNs = time(112);
    this.rdev = device(word(128), word(132));
    this.dev = device(word(136), word(140));
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

/** makedev(3) as glibc has it, so that the numbers equal Node's. */
function device(major: number, minor: number): number {
  const low = ((minor & 0xff) | ((major & 0xfff) << 8)) >>> 0;
  const high = (major & ~0xfff) >>> 0;
  return low + (minor & ~0xff) * 2 ** 12 + high * 2 ** 32;
}
