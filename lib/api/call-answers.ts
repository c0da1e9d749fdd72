// Life of a command, below stage 6: what the answers of calls look like, read from the range or the parcel that they came in.

import { constants } from 'node:os';
import { STAT_BYTES } from '../wire/layout.generated.js';

const { EFBIG } = constants.errno;

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
  'close',
  'mkdtemp',
  'stream',
] as const;
const TOO_LARGE = STEPS.indexOf('too large');
/** Nothing failed: it is about a stream, which is to be waited for. */
const STREAM = STEPS.indexOf('stream');
/** Closing the file failed, too. */
const CLOSE_FAILED = 0x80;

/** A failure of one step of a call, and the path at which it happened where that is not the one asked for. @internal */
export class FailedAt {
  readonly errno: number;
  /** Its name as errors tell it. */
  readonly syscall: (typeof STEPS)[number];
  readonly path: Buffer | undefined;
  /** Of a file with more bytes than the caller takes: how many. */
  readonly size: number | undefined;
  /** What closing the file failed with, after that. */
  readonly closing: number | undefined;
  /** Of what is a stream: its slot, or −1, and its generation. */
  readonly stream: readonly [slot: number, generation: number] | undefined;

  constructor(errno: number, how: number, bytes: Uint8Array, pathBytes: number) {
    const step = how & ~CLOSE_FAILED;
    this.errno = errno;
    this.syscall = STEPS[step] ?? '';
    this.path = pathBytes === 0 ? undefined : Buffer.from(bytes.subarray(0, pathBytes));
    const answer = new DataView(bytes.buffer, bytes.byteOffset);
    this.size = step === TOO_LARGE ? answer.getFloat64(0, true) : undefined;
    this.closing = (how & CLOSE_FAILED) === 0 ? undefined : -answer.getInt32(0, true);
    this.stream = step === STREAM ? [answer.getInt32(0, true), answer.getUint32(4, true)] : undefined;
  }

  /** A step that failed so. */
  static at(step: 'open' | 'read', errno: number): FailedAt {
    return new FailedAt(errno, STEPS.indexOf(step), new Uint8Array(8), 0);
  }

  /** What has so many bytes already has too many. */
  static tooLarge(bytes: number): FailedAt {
    const answer = new Uint8Array(8);
    new DataView(answer.buffer).setFloat64(0, bytes, true);
    return new FailedAt(-EFBIG, TOO_LARGE, answer, 0);
  }
}

// Words of struct statx (linux/stat.h; the layout is the kernel's promise to user space).
const MASK = 0;
const INO = 8;
const SIZE = 10;
const BLOCKS = 12;
const ATIME = 16;
const BTIME = 20;
const CTIME = 24;
const MTIME = 28;
const DIRECT_MEMORY = 38;
const DIRECT_OFFSET = 39;
const STATX_DIOALIGN = 0x2000;
const HIGH = 2 ** 32;
/** Doubles behind it: `numbers` in crates/driver/src/op/file/statx.rs makes them. */
const NUMBERS = STAT_BYTES / Float64Array.BYTES_PER_ELEMENT;

/** One answer of stat, to be read during the call that is given it; the same object serves the next. @internal */
export class StatView {
  /** What Node's Stats is made of, in its order, from `at` on: ten numbers, and four times in milliseconds. */
  numbers: Float64Array = new Float64Array(0);
  at = 0;
  #words: Uint32Array = new Uint32Array(0);
  #first = 0;

  /** Shows the answer at an offset of the arena. */
  show(numbers: Float64Array, words: Uint32Array, offset: number): this {
    this.numbers = numbers;
    this.at = offset / Float64Array.BYTES_PER_ELEMENT + NUMBERS;
    this.#words = words;
    this.#first = offset / Uint32Array.BYTES_PER_ELEMENT;
    return this;
  }

  get dev(): number {
    return this.numbers[this.at];
  }
  get mode(): number {
    return this.numbers[this.at + 1];
  }
  get nlink(): number {
    return this.numbers[this.at + 2];
  }
  get uid(): number {
    return this.numbers[this.at + 3];
  }
  get gid(): number {
    return this.numbers[this.at + 4];
  }
  get rdev(): number {
    return this.numbers[this.at + 5];
  }
  get blksize(): number {
    return this.numbers[this.at + 6];
  }
  get ino(): number {
    return this.numbers[this.at + 7];
  }
  get size(): number {
    return this.numbers[this.at + 8];
  }
  get blocks(): number {
    return this.numbers[this.at + 9];
  }
  get inoBig(): bigint {
    return this.#big(INO);
  }
  get sizeBig(): bigint {
    return this.#big(SIZE);
  }
  get blocksBig(): bigint {
    return this.#big(BLOCKS);
  }
  get atimeNs(): bigint {
    return this.#nanoseconds(ATIME);
  }
  get mtimeNs(): bigint {
    return this.#nanoseconds(MTIME);
  }
  get ctimeNs(): bigint {
    return this.#nanoseconds(CTIME);
  }
  get birthtimeNs(): bigint {
    return this.#nanoseconds(BTIME);
  }

  /**
   * Bytes that memory, positions and lengths of direct I/O have to be multiples of; 0 where the file has none, undefined where nobody knows
   * or nobody asked.
   */
  get alignment(): number | undefined {
    if ((this.#word(MASK) & STATX_DIOALIGN) === 0) return undefined;
    const positions = this.#word(DIRECT_OFFSET);
    return positions === 0 ? 0 : Math.max(positions, this.#word(DIRECT_MEMORY));
  }

  #word(index: number): number {
    return this.#words[this.#first + index];
  }
  /** Signed, as Node's are. */
  #big(index: number): bigint {
    return (BigInt(this.#word(index + 1) | 0) << 32n) | BigInt(this.#word(index));
  }
  #nanoseconds(index: number): bigint {
    // Signed: before 1970 there were files, too.
    const seconds = (this.#word(index + 1) | 0) * HIGH + this.#word(index);
    return BigInt(seconds) * 1_000_000_000n + BigInt(this.#word(index + 2));
  }
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
