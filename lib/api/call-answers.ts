// Life of a command, below stage 6: what the answers of calls look like, read from the range or the parcel that they came in.

/** The system call that failed, where a call has several steps; by number as crates/executor/src/bridge/calls/out.rs has them. */
const STEPS = [
  '',
  'open',
  'read',
  'write',
  'ftruncate',
  'unlink',
  'rmdir',
  'scandir',
  'lstat',
  'too large',
  'fsync',
] as const;
const TOO_LARGE = STEPS.indexOf('too large');

/** A failure of one step of a call, and the path at which it happened where that is not the one asked for. @internal */
export class FailedAt {
  readonly errno: number;
  /** Its name as errors tell it. */
  readonly syscall: (typeof STEPS)[number];
  readonly path: Buffer | undefined;
  /** Of a file with more bytes than the caller takes: how many. */
  readonly size: number | undefined;

  constructor(errno: number, step: number, bytes: Uint8Array, pathBytes: number) {
    this.errno = errno;
    this.syscall = STEPS[step] ?? '';
    this.path = pathBytes === 0 ? undefined : Buffer.from(bytes.subarray(0, pathBytes));
    this.size = step === TOO_LARGE ? new DataView(bytes.buffer, bytes.byteOffset).getFloat64(0, true) : undefined;
  }
}

// Words of struct statx (linux/stat.h; the layout is the kernel's promise to user space).
const BLKSIZE = 1;
const NLINK = 4;
const UID = 5;
const GID = 6;
const MODE = 7;
const INO = 8;
const SIZE = 10;
const BLOCKS = 12;
const ATIME = 16;
const BTIME = 20;
const CTIME = 24;
const MTIME = 28;
const RDEV = 32;
const DEV = 34;
const HIGH = 2 ** 32;

/** One answer of stat, to be read during the call that is given it; the same object serves the next. @internal */
export class StatView {
  #words: Uint32Array = new Uint32Array(0);
  #at = 0;

  /** Shows another. */
  show(words: Uint32Array, at: number): this {
    this.#words = words;
    this.#at = at;
    return this;
  }

  get dev(): number {
    return device(this.#word(DEV), this.#word(DEV + 1));
  }
  get mode(): number {
    return this.#word(MODE) & 0xffff;
  }
  get nlink(): number {
    return this.#word(NLINK);
  }
  get uid(): number {
    return this.#word(UID);
  }
  get gid(): number {
    return this.#word(GID);
  }
  get rdev(): number {
    return device(this.#word(RDEV), this.#word(RDEV + 1));
  }
  get blksize(): number {
    return this.#word(BLKSIZE);
  }
  get ino(): number {
    return this.#wide(INO);
  }
  get inoBig(): bigint {
    return this.#big(INO);
  }
  get size(): number {
    return this.#wide(SIZE);
  }
  get sizeBig(): bigint {
    return this.#big(SIZE);
  }
  get blocks(): number {
    return this.#wide(BLOCKS);
  }
  get blocksBig(): bigint {
    return this.#big(BLOCKS);
  }
  get devBig(): bigint {
    return BigInt(this.dev);
  }
  get rdevBig(): bigint {
    return BigInt(this.rdev);
  }
  get atimeSec(): number {
    return this.#seconds(ATIME);
  }
  get atimeNsec(): number {
    return this.#word(ATIME + 2);
  }
  get mtimeSec(): number {
    return this.#seconds(MTIME);
  }
  get mtimeNsec(): number {
    return this.#word(MTIME + 2);
  }
  get ctimeSec(): number {
    return this.#seconds(CTIME);
  }
  get ctimeNsec(): number {
    return this.#word(CTIME + 2);
  }
  get birthtimeSec(): number {
    return this.#seconds(BTIME);
  }
  get birthtimeNsec(): number {
    return this.#word(BTIME + 2);
  }

  #word(index: number): number {
    return this.#words[this.#at + index];
  }
  #wide(index: number): number {
    return this.#word(index + 1) * HIGH + this.#word(index);
  }
  #big(index: number): bigint {
    return (BigInt(this.#word(index + 1)) << 32n) | BigInt(this.#word(index));
  }
  /** Signed: before 1970 there were files, too. */
  #seconds(index: number): number {
    return (this.#word(index + 1) | 0) * HIGH + this.#word(index);
  }
}

/** makedev(3) as glibc has it, so that the numbers equal Node's. */
function device(major: number, minor: number): number {
  const low = ((minor & 0xff) | ((major & 0xfff) << 8)) >>> 0;
  const high = (major & ~0xfff) >>> 0;
  return low + (minor & ~0xff) * 2 ** 12 + high * HIGH;
}

/** The seven numbers of statfs, in Node's order. @internal */
export interface StatfsFields {
  type: bigint;
  bsize: bigint;
  blocks: bigint;
  bfree: bigint;
  bavail: bigint;
  files: bigint;
  ffree: bigint;
}

/** Reads an answer of statfs. @internal */
export function statfsFields(bytes: Uint8Array): StatfsFields {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const word = (index: number): bigint => view.getBigUint64(index * 8, true);
  const [type, bsize, blocks, bfree, bavail, files, ffree] = [0, 1, 2, 3, 4, 5, 6].map(word) as bigint[];
  return { type, bsize, blocks, bfree, bavail, files, ffree } as StatfsFields;
}

const NUL = 0;

/** The names of one listing; crates/executor/src/bridge/calls/entries.rs draws how they are packed. @internal */
export class Entries {
  /** Names in it. */
  readonly count: number;
  /** How many of them each directory has, in order. */
  readonly counts: Uint32Array;
  /** UV_DIRENT numbers. */
  readonly types: Uint8Array;
  readonly #packed: Buffer;
  /** Where the directories' paths begin. */
  readonly #start: number;

  /** `packed` is this object's own from here on. */
  constructor(packed: Buffer) {
    const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
    this.count = view.getUint32(0, true);
    const directories = view.getUint32(4, true);
    this.counts = new Uint32Array(directories);
    for (let index = 0; index < directories; index++) this.counts[index] = view.getUint32(8 + index * 4, true);
    const types = 8 + directories * 4;
    this.types = packed.subarray(types, types + this.count);
    this.#packed = packed;
    this.#start = types + this.count;
  }

  /** The directories' paths below the one that was listed, which is '' itself, and then all names, in one list: split once. */
  texts(): { directories: string[]; names: string[] } {
    // The last of them ends with a NUL like the others: behind it is nothing.
    const all = this.#packed.toString('utf8', this.#start).split('\0');
    all.length--;
    const names = all.splice(this.counts.length);
    return { directories: all, names };
  }

  /** The same as bytes. */
  bytes(): { directories: Buffer[]; names: Buffer[] } {
    const all: Buffer[] = [];
    for (let at = this.#start; at < this.#packed.length; ) {
      const end = this.#packed.indexOf(NUL, at);
      all.push(Buffer.from(this.#packed.subarray(at, end)));
      at = end + 1;
    }
    const names = all.splice(this.counts.length);
    return { directories: all, names };
  }
}
