// Life of a command, stage 1 of 6: call. Before: none. After: lib/ring/command-writer.ts.
//
// class File: checks arguments and passes them on. The file-server pages of the same path: transfer.ts moves the bytes.
import { constants } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import type { ReadableStream, WritableStream } from 'node:stream/web';
import { isUint8Array } from 'node:util/types';
import { lengthOf } from '../ring/bytes.js';
import type { Link } from '../ring/link.js';
import { type FileState, HELD, type Hold, NO_HOLD } from '../ring/state.js';
import { drainAll } from '../ring/unwritten.js';
import {
  OPCODE_DATASYNC,
  OPCODE_READ,
  OPCODE_READV,
  OPCODE_SYNC,
  OPCODE_TRUNCATE,
  OPCODE_WRITE,
  OPCODE_WRITEV,
} from '../wire/layout.generated.js';
import { endedBy, isAborted, reasonOf } from './abort.js';
import { advise, allocate, fstat, readRest } from './call.js';
import { claiming, readRestDirectly, untilSettled } from './direct.js';
import { ourError, quoted, type RingwheelError, rejected, systemError } from './errors.js';
import { currentLink } from './executor.js';
import { READ_MANY_DEFAULTS, readRanges } from './file-many.js';
import { type ReadableOptions, type ReadableStreamOptions, readableOf, readableStreamOf } from './file-readable.js';
import { type Advice, type AllocateOptions, adviceNumber, allocation, told } from './file-space.js';
import { chunksOf, STREAM_RULES, type StreamOptions } from './file-stream.js';
import { appendedOf, appendParts, moveParts, type VectorOptions, type VectorPart, vectorOf } from './file-vectored.js';
import {
  type WritableChunk,
  type WritableOptions,
  type WritableStreamOptions,
  writableOf,
  writableStreamOf,
} from './file-writable.js';
import { openFlags, pathOf } from './flags.js';
import { Lease } from './lease.js';
import { DIRECT, openDirectly } from './open-direct.js';
import { closeFile, closeForgotten, openFile } from './open-file.js';
import { operate } from './operation.js';
import {
  OPEN_RULES,
  type OpenOptions,
  READ_MANY_RULES,
  type ReadManyOptions,
  SIGNAL_RULES,
  type SignalOptions,
  TRANSFER_RULES,
  type TransferOptions,
} from './options.js';
import type { ReadBatch } from './read-batch.js';
import type { ReadRange } from './read-plan.js';
import { READ_FILE_RULES, type ReadFileOptions, wholeOf } from './read-whole.js';
import { type SequentialWriter, type WriterOptions, writerOf } from './sequential-writer.js';
import { Stats } from './stats.js';
import { moveDirect, moveInRanges, moveLease, readCopied, writeCopied } from './transfer.js';
import { checked, shown } from './validate.js';

const KEY = Symbol('file');

/** What commands name a file by. @internal */
export let stateOf: (file: File) => FileState;

/** Closes what a program forgot: the file's slot, never memory. */
const forgotten = new FinalizationRegistry<{ state: FileState; link: Link }>(({ state, link }) => {
  if (!closeForgotten(link, state) || warned) return;
  // Not now: one collection ends many files, and this is said once in the life of a process.
  warned = true;
  const { forgotten: before } = link;
  queueMicrotask(() => warnOfForgotten(1 + link.forgotten - before, state.path));
});
let warned = false;

function warnOfForgotten(count: number, path: string): void {
  const what =
    count === 1
      ? `A ringwheel File, ${quoted(path)}, was`
      : `${count} ringwheel Files, one of them ${quoted(path)}, were`;
  process.emitWarning(`${what} collected without close() and closed now`, {
    type: 'RingwheelWarning',
    code: 'RINGWHEEL_FILE_NOT_CLOSED',
    detail:
      'Await file.close(), or declare it with `await using`. This is said once; executor.stats().forgotten counts on.',
  });
}

/**
 * An open file. Reads and writes go through this thread's {@link Executor}: no thread pool, no native call for each.
 *
 * @example
 * ```ts
 * import { File } from 'ringwheel';
 * await using file = await File.open('package.json');
 * const target = new Uint8Array(1024);
 * const length = await file.readAt(target, 0);
 * console.log(new TextDecoder().decode(target.subarray(0, length)));
 * ```
 */
export class File implements AsyncDisposable {
  readonly #link: Link;
  readonly #state: FileState;
  #closing: Promise<void> | undefined;

  static {
    stateOf = (file) => file.#state;
  }

  private constructor(key: typeof KEY, link: Link, state: FileState) {
    if (key !== KEY)
      throw ourError('ERR_RINGWHEEL_INVALID_OPTION', 'File has no public constructor: use File.open(path)', File);
    this.#link = link;
    this.#state = state;
    forgotten.register(this, { state, link }, this);
  }

  /**
   * Opens a file.
   *
   * @param path - A string, a `file:` URL, or the bytes of a path.
   * @param flags - As for node:fs: `r` (default), `r+`, `w`, `wx`, `a`, … or O_ bits.
   * @param options - See {@link OpenOptions}.
   * @returns The file. Close it; a forgotten one is closed when it is collected, and the first collection that finds any warns.
   * @throws ERR_RINGWHEEL_INVALID_OPTION when an argument is wrong.
   * @throws A system error of syscall `open` (ENOENT, EACCES, EMFILE, …) with `path`; EINVAL for `direct` where there is no direct I/O.
   */
  static async open(path: string | URL | Uint8Array, flags?: string | number, options?: OpenOptions): Promise<File> {
    const { mode = 0o666, direct = false, signal } = checked('File.open', options, OPEN_RULES);
    const bits = openFlags(flags, 'File.open');
    const { text, bytes } = pathOf(path, 'File.open');
    const link = currentLink();
    if (!link.open) throw executorClosed('File.open');
    const open = direct || (bits & DIRECT) !== 0 ? openDirectly : openFile;
    const state = await open(link, bytes, text, bits, mode, signal);
    state.appends = (bits & constants.O_APPEND) !== 0;
    return new File(KEY, link, state);
  }

  /** The file descriptor. It stays the File's: do not close it. −1 after close. */
  get fd(): number {
    return this.#state.open && this.#link.open
      ? this.#link.native.fileDescriptor(this.#state.slot, this.#state.generation)
      : -1;
  }

  /**
   * Bytes of which the memory, the position and the length of a transfer have to be multiples to go to the device as they are. Of a file
   * opened with {@link OpenOptions.direct} it is what the kernel says of it (STATX_DIOALIGN, mostly 512 or 4096), and 4096 where the kernel,
   * before 6.1, or the file system does not say; of any other file 1. Leases of 4096 bytes and more begin with a page.
   *
   * @example
   * ```ts
   * import { Executor, File } from 'ringwheel';
   * await using file = await File.open('data.bin', 'r', { direct: true });
   * using lease = Executor.current().lease(64 * file.alignment);
   * for (let position = 0, bytes = 1; bytes > 0; position += bytes) bytes = await file.readAt(lease, position); // no copy
   * const header = new Uint8Array(10);
   * await file.readAt(header, 3); // a whole block is read, and ten bytes of it copied
   * ```
   */
  get alignment(): number {
    return this.#state.direct?.alignment ?? 1;
  }

  /**
   * Reads at a position: the fast path.
   *
   * @param target - A {@link Lease} (no copy) or a Uint8Array (one copy); as many bytes as it has are asked for.
   * @param position - Byte position in the file, 0 to 2^53 − 1. The file's own position does not move.
   * @returns Bytes read: fewer than asked for near the end of the file, 0 at the end.
   * @throws ERR_RINGWHEEL_INVALID_OPTION, ERR_RINGWHEEL_LEASE, ERR_RINGWHEEL_BUFFER, ERR_RINGWHEEL_CLOSED, or a system error of syscall `read`: ESPIPE of
   * what has no positions (pipes, sockets, terminals), which {@link File.read} reads without one.
   *
   * Cost: a promise and 64 bytes of shared memory. All reads of one turn of the event loop share one system call.
   */
  readAt(target: Uint8Array | Lease, position: number): Promise<number> {
    if (!Number.isSafeInteger(position) || position < 0) return rejected(badPosition('readAt', position));
    if (!this.#state.open || !this.#link.open) return rejected(this.#closedError('readAt'));
    const hold = holdOf(target);
    if (hold !== undefined) {
      if (hold.state !== HELD || !Lease.belongs(target as Lease, this.#link)) return rejected(badLease('readAt', hold));
      return moveDirect(this.#link, OPCODE_READ, this.#state, hold, hold.length, position);
    }
    if (!isUint8Array(target)) return rejected(badArray('readAt', 'target', target));
    const length = lengthOf(target);
    return length === 0 ? Promise.resolve(0) : readCopied(this.#link, this.#state, target, length, position);
  }

  /**
   * Writes at a position: the fast path.
   *
   * @param source - A {@link Lease} (no copy) or a Uint8Array (one copy; none of 64 KiB and more to a regular file, as a rule, which is written in the
   * call, half a millisecond of each turn); all its bytes are written. Leave it alone until the promise has settled: a Uint8Array is copied during
   * the call only while there is memory for that.
   * @param position - Byte position in the file, 0 to 2^53 − 1. With the flag `a` the kernel appends all the same.
   * @returns Bytes written; fewer than asked for on a full device.
   * @throws As {@link File.readAt}, syscall `write`. With `direct` also `read`, `fstat` and `ftruncate`: of a block of which a part is written,
   * and of what is cut off behind the end.
   */
  writeAt(source: Uint8Array | Lease, position: number): Promise<number> {
    if (!Number.isSafeInteger(position) || position < 0) return rejected(badPosition('writeAt', position));
    if (!this.#state.open || !this.#link.open) return rejected(this.#closedError('writeAt'));
    const hold = holdOf(source);
    if (hold !== undefined) {
      if (hold.state !== HELD || !Lease.belongs(source as Lease, this.#link))
        return rejected(badLease('writeAt', hold));
      return moveDirect(this.#link, OPCODE_WRITE, this.#state, hold, hold.length, position);
    }
    if (!isUint8Array(source)) return rejected(badArray('writeAt', 'source', source));
    const length = lengthOf(source);
    return length === 0 ? Promise.resolve(0) : writeCopied(this.#link, this.#state, source, length, position);
  }

  /**
   * Reads with options: at the file's own position, a part of the target, or with a signal.
   *
   * @param target - A {@link Lease} or a Uint8Array.
   * @param options - See {@link TransferOptions}.
   * @returns Bytes read; 0 at the end.
   * @throws As {@link File.readAt}; also the signal's `reason`.
   */
  async read(target: Uint8Array | Lease, options?: TransferOptions): Promise<number> {
    return this.#move('read', 'target', OPCODE_READ, target, options);
  }

  /**
   * Writes with options: at the file's own position, a part of the source, or with a signal.
   *
   * @param source - A {@link Lease}, a Uint8Array, or a string, which is written as UTF-8.
   * @param options - See {@link TransferOptions}; `length` counts bytes.
   * @returns Bytes written.
   * @throws As {@link File.writeAt}; also the signal's `reason`.
   */
  async write(source: Uint8Array | Lease | string, options?: TransferOptions): Promise<number> {
    const bytes = typeof source === 'string' ? Buffer.from(source) : source;
    return this.#move('write', 'source', OPCODE_WRITE, bytes, options);
  }

  /**
   * Reads on into one memory after the other, by one system call: preadv(2).
   *
   * @param buffers - {@link Lease}s, typed arrays and DataViews, mixed as you like, at most 1024; they are filled in their order. A lease may be in it once.
   * It is yours to change as soon as the call has returned; its memory is the operation's until the promise has settled.
   * @param position - Byte position in the file, 0 to 2^53 − 1. Default: the file's own position, which moves.
   * @param options - See {@link VectorOptions}.
   * @returns Bytes read: fewer than there is room for near the end of the file, 0 at the end. Empty memory is passed over; with none at all it is 0,
   * without a system call.
   * @throws ERR_RINGWHEEL_INVALID_OPTION, ERR_RINGWHEEL_LEASE, ERR_RINGWHEEL_BUFFER (what was detached or cut meanwhile), ERR_RINGWHEEL_CLOSED; the
   * signal's `reason`; a system error of syscall `read`.
   *
   * Cost: a promise, 64 bytes of shared memory and 16 for each part. Leases are filled without a copy; of arrays a range of the executor's memory
   * takes up to 256 KiB at a time, from which they are copied: what is beyond is read by another system call. A file opened with `direct` is read
   * part by part, unless all are leases that fit its {@link File.alignment}.
   *
   * @example
   * ```ts
   * import { Executor, File } from 'ringwheel';
   * await using file = await File.open('data.bin');
   * using body = Executor.current().lease(4096);
   * const header = new Uint32Array(4);
   * const bytes = await file.readv([header, body], 0);
   * console.log(header[0], body.bytes.subarray(0, bytes - header.byteLength).length);
   * ```
   */
  async readv(buffers: readonly VectorPart[], position?: number, options?: VectorOptions): Promise<number> {
    const link = this.#usable('readv');
    const { parts, at, signal } = vectorOf(link, 'readv', buffers, position, options);
    return moveParts(link, OPCODE_READV, this.#state, parts, at, signal);
  }

  /**
   * Writes one memory after the other, by one system call: pwritev(2). It goes on until all is written.
   *
   * @param buffers - As for {@link File.readv}. Leave arrays alone until the promise has settled: they are copied during the call only while there is
   * memory for that.
   * @param position - Byte position in the file, 0 to 2^53 − 1. Default: the file's own position, which moves. With the flag `a` the kernel appends
   * all the same.
   * @param options - See {@link VectorOptions}.
   * @returns Bytes written; fewer than all when something was written before an error, such as a full disk, which the next write meets.
   * @throws As {@link File.readv}, syscall `write`.
   *
   * Cost: as {@link File.readv}. What goes by one system call is in the file as one piece, whoever else appends to it: leases of any length, and
   * arrays of up to 256 KiB less 16 bytes and 16 for each part. Beyond that, where the executor's memory for copies (`copyMemory`) is used
   * up by what does not end, and with `direct`, it takes several.
   *
   * @example
   * ```ts
   * import { File } from 'ringwheel';
   * await using log = await File.open('records.log', 'a');
   * const encoder = new TextEncoder();
   * const body = encoder.encode('a record\n');
   * await log.writev([encoder.encode(`${body.length} `), body]);
   * ```
   */
  async writev(buffers: readonly VectorPart[], position?: number, options?: VectorOptions): Promise<number> {
    const link = this.#usable('writev');
    const { parts, at, signal } = vectorOf(link, 'writev', buffers, position, options);
    return moveParts(link, OPCODE_WRITEV, this.#state, parts, at, signal);
  }

  /**
   * Writes to the end of a file that was opened with the flag `a`, `a+`, `ax` or `ax+`. What is appended through one `File` is written in the order of the
   * calls, each whole before the next one begins, however many writes the kernel makes of it.
   *
   * @param data - A {@link Lease}, a typed array or a DataView, or a string, which is written as UTF-8. Leave it alone until the promise has settled.
   * @param options - See {@link VectorOptions}. A call that still waits for others ends at once and has written nothing.
   * @returns Bytes written; fewer than all when something was written before an error, such as a full disk, which the next write meets. The file's own
   * position does not move.
   * @throws As {@link File.writev}; ERR_RINGWHEEL_INVALID_OPTION also when the file was opened without the flag.
   *
   * Cost and what other processes' appends may come between: as {@link File.writev}. Those of other `File`s and processes keep no order with these.
   *
   * @example
   * ```ts
   * import { File } from 'ringwheel';
   * await using log = await File.open('events.log', 'a');
   * await Promise.all(['one\n', 'two\n', 'three\n'].map((line) => log.append(line)));
   * ```
   */
  async append(data: VectorPart | string, options?: VectorOptions): Promise<number> {
    const link = this.#usable('append');
    if (!this.#state.appends) {
      const message = `file.append: the file ${quoted(this.#state.path)} must be open with the flag 'a', 'a+', 'ax' or 'ax+': open it so, or use writeAt`;
      throw ourError('ERR_RINGWHEEL_INVALID_OPTION', message);
    }
    const { parts, signal } = appendedOf(link, data, options);
    return parts.length === 0 ? 0 : appendParts(link, this.#state, parts, signal);
  }

  /**
   * Reads many ranges at once, into leased memory. Ranges that lie near each other become one read.
   *
   * @param ranges - What to read, in any order; ranges may overlap. At most 16777216.
   * @param options - See {@link ReadManyOptions}.
   * @returns Views of the ranges' bytes, in the order of `ranges`. Release it. One that is cut by the end of the file is shorter.
   * @throws ERR_RINGWHEEL_INVALID_OPTION, ERR_RINGWHEEL_CLOSED; ERR_RINGWHEEL_NO_MEMORY when the ranges need more memory than a batch may
   * have; the signal's `reason`; a system error of syscall `read`: that of the first read that failed, or ESPIPE, with nothing read, of what has no
   * positions (pipes, sockets, terminals). The memory went back then.
   *
   * With {@link ExecutorOptions.adaptive} each read of the batch asks for its share of the disk, in the task queue of the call.
   *
   * Memory that others have not released is waited for, in the order of the calls. Cost: one promise, and 64 bytes of shared memory for
   * each 512 KiB; a range costs 16 bytes more.
   *
   * @example
   * ```ts
   * import { File } from 'ringwheel';
   * await using file = await File.open('data.bin');
   * const ranges = [{ position: 200_000, length: 100 }, { position: 0, length: 100 }];
   * using batch = await file.readMany(ranges, { amplification: 0 });
   * console.log(batch.view(0).length, batch.view(1)[0]);
   * ```
   */
  async readMany(ranges: readonly ReadRange[], options?: ReadManyOptions): Promise<ReadBatch> {
    const { signal, ...given } = options === undefined ? {} : checked('file.readMany', options, READ_MANY_RULES);
    if (!Array.isArray(ranges)) {
      const message = `file.readMany: ranges must be an array of objects with position and length; got ${shown(ranges)}`;
      throw ourError('ERR_RINGWHEEL_INVALID_OPTION', message);
    }
    const limits = options === undefined ? READ_MANY_DEFAULTS : { ...READ_MANY_DEFAULTS, ...given };
    const link = this.#usable('readMany');
    const { direct } = this.#state;
    if (direct !== undefined) await untilSettled(link, direct);
    return readRanges(link, this.#state, ranges, limits, signal);
  }

  /**
   * Reads from the file's own position, which moves, to the end: all of a file that was just opened.
   *
   * @param options - See {@link ReadFileOptions}.
   * @returns The bytes, in memory that is yours alone; they are read into it directly, without a second copy.
   * @throws A system error of syscall `read`; ERR_RINGWHEEL_NO_MEMORY when there are more bytes than `limit`; ERR_RINGWHEEL_CLOSED; the
   * signal's reason.
   *
   * @example
   * ```ts
   * import { File } from 'ringwheel';
   * await using file = await File.open('data.bin');
   * console.log((await file.readAll()).length);
   * ```
   */
  async readAll(options?: ReadFileOptions): Promise<Uint8Array> {
    const { limit = Number.MAX_SAFE_INTEGER, signal } = checked('file.readAll', options, READ_FILE_RULES);
    const link = this.#usable('readAll');
    if (this.#state.direct !== undefined) return readRestDirectly(link, this.#state, limit, signal);
    const read = await readRest(link, this.#state, { limit, signal });
    return wholeOf(read, 'file.readAll', limit, this.#state.path, 'read');
  }

  /**
   * Reads the file chunk by chunk, without a copy, while it reads on in the background.
   *
   * Each chunk is a {@link Lease} that is yours until you ask for the next one: then it is taken back, and its `bytes` throw. Copy what you keep
   * (`lease.bytes.slice()`); a view that you kept would show later bytes. When an operation of yours has the lease at that time, such as a write
   * that you did not await, it goes back when that has ended; releasing it yourself is never wrong. So a loop uses one or two chunks' memory, and at most `readAhead` + 1
   * of them, whatever you do in it. However the loop is left, reads under way are cancelled and all memory goes back; so it does when an iterator that you dropped
   * in the middle, without `return()`, is collected, and with it its leases: keep one of them, not only a view, as long as you look at its bytes.
   *
   * @param options - See {@link StreamOptions}.
   * @returns What `for await` takes; each loop over it is a pass of its own, and nothing is read before. A file that grows meanwhile is read to the
   * end that it has then; one that shrinks ends early.
   * @throws ERR_RINGWHEEL_INVALID_OPTION from the call. From the loop: a system error of syscall `read` (ESPIPE when `start` is given for what has no
   * positions); ERR_RINGWHEEL_NO_MEMORY when not even a page is free; ERR_RINGWHEEL_CLOSED when the file or the executor is closed
   * meanwhile; the signal's reason.
   *
   * Cost: a few promises and a lease for each chunk, and no native call in steady state. Pipes are not read ahead.
   *
   * @example
   * ```ts
   * import { createHash } from 'node:crypto';
   * import { File } from 'ringwheel';
   * await using file = await File.open('data.bin');
   * const hash = createHash('sha256');
   * for await (const chunk of file.stream()) hash.update(chunk.bytes);
   * console.log(hash.digest('hex'));
   * ```
   */
  stream(options?: StreamOptions): AsyncIterable<Lease> {
    const known = checked('file.stream', options, STREAM_RULES);
    this.#usable('stream');
    return { [Symbol.asyncIterator]: () => chunksOf(this, this.#link, this.#state, known) };
  }

  /**
   * Writes the file from a position on, chunk by chunk in the background: see {@link SequentialWriter}.
   *
   * @param options - See {@link WriterOptions}.
   * @returns The writer. Close it before the file.
   * @throws ERR_RINGWHEEL_INVALID_OPTION, ERR_RINGWHEEL_CLOSED.
   */
  writer(options?: WriterOptions): SequentialWriter {
    return writerOf(this, this.#usable('writer'), this.#state, options);
  }

  /**
   * The file as a stream of Node's: {@link File.stream} with a copy of each chunk, which is yours.
   *
   * @param options - See {@link ReadableOptions}; they are those of `fs.createReadStream`.
   * @returns The stream. `destroy()` ends what is under way; its memory comes back as the kernel lets go of it. The file stays open, unless you say `autoClose`.
   * @throws ERR_RINGWHEEL_INVALID_OPTION, ERR_RINGWHEEL_CLOSED. The stream's errors are those of {@link File.stream}.
   *
   * @example
   * ```ts
   * import { pipeline } from 'node:stream/promises';
   * import { createGzip } from 'node:zlib';
   * import { File } from 'ringwheel';
   * await using from = await File.open('data.bin');
   * await using to = await File.open('data.bin.gz', 'w');
   * await pipeline(from.readable(), createGzip(), to.writable());
   * ```
   */
  readable(options?: ReadableOptions): Readable {
    return readableOf(this, options);
  }

  /**
   * A stream of Node's into the file, by a {@link SequentialWriter}: the callback of a write tells that its bytes are taken, `finish` that all are written.
   *
   * @param options - See {@link WritableOptions}; they are those of `fs.createWriteStream`, and the writer's.
   * @returns The stream. `destroy()` drops what is not written yet; when it has emitted `close`, nothing is under way and all memory is back. The file
   * stays open, unless you say `autoClose`.
   * @throws ERR_RINGWHEEL_INVALID_OPTION, ERR_RINGWHEEL_CLOSED. The stream's error is the writer's first one, also when it comes between two writes.
   */
  writable(options?: WritableOptions): Writable {
    return writableOf(this, options);
  }

  /**
   * The file as a stream of the Web's, of bytes: {@link File.stream} with a copy of each chunk, or straight into the memory of a reader that brings
   * its own (`getReader({ mode: 'byob' })`), which then costs no new memory.
   *
   * @param options - See {@link ReadableStreamOptions}.
   * @returns The stream. `cancel()` ends what is under way; its memory comes back as the kernel lets go of it. The file stays open, unless you say `autoClose`.
   * @throws ERR_RINGWHEEL_INVALID_OPTION, ERR_RINGWHEEL_CLOSED. The stream's errors are those of {@link File.stream}.
   *
   * @example
   * ```ts
   * import { File } from 'ringwheel';
   * await using from = await File.open('data.bin');
   * await using to = await File.open('data.copy.bin', 'w');
   * await from.readableStream().pipeTo(to.writableStream());
   * ```
   */
  readableStream(options?: ReadableStreamOptions): ReadableStream<Uint8Array> {
    return readableStreamOf(this, options);
  }

  /**
   * A stream of the Web's into the file, by a {@link SequentialWriter}. It takes bytes in whatever form, strings, and leases.
   *
   * @param options - See {@link WritableStreamOptions}.
   * @returns The stream: a write resolves when its bytes are taken, `close()` when all are written; `abort()` drops what is not. The file stays open, unless
   * you say `autoClose`.
   * @throws ERR_RINGWHEEL_INVALID_OPTION, ERR_RINGWHEEL_CLOSED. The stream's error is the writer's first one, also when it comes between two writes.
   */
  writableStream(options?: WritableStreamOptions): WritableStream<WritableChunk> {
    return writableStreamOf(this, options);
  }

  /**
   * Metadata of the file. Cost: one statx(2), at once; of a file on a network or FUSE mount, and for a while after one that took long, on the
   * executor's pool, so that a server that is gone holds nothing but this promise.
   *
   * @param options - See {@link SignalOptions}. A statx that has begun it ends, on the pool.
   * @throws A system error of syscall `fstat`; ERR_RINGWHEEL_INVALID_OPTION, ERR_RINGWHEEL_CLOSED; the signal's reason.
   */
  async stat(options?: SignalOptions): Promise<Stats> {
    return this.#stat('stat', options);
  }

  /** Bytes of the file now. As {@link File.stat}. */
  async size(options?: SignalOptions): Promise<number> {
    return (await this.#stat('size', options)).size;
  }

  /**
   * Waits until content and metadata are on the device: fsync(2).
   *
   * @param options - See {@link SignalOptions}. An fsync that the kernel has begun it ends.
   * @throws A system error of syscall `fsync`; ERR_RINGWHEEL_INVALID_OPTION, ERR_RINGWHEEL_CLOSED; the signal's reason.
   */
  async sync(options?: SignalOptions): Promise<void> {
    await this.#flush('sync', OPCODE_SYNC, options);
  }

  /** Waits until the content, and what is needed to find it, is on the device: fdatasync(2). As {@link File.sync}, syscall `fdatasync`. */
  async datasync(options?: SignalOptions): Promise<void> {
    await this.#flush('datasync', OPCODE_DATASYNC, options);
  }

  /**
   * Sets the file's length: cuts it, or fills it up with zeros. ftruncate(2).
   *
   * @param length - Bytes, 0 to 2^53 − 1. Default 0.
   * @param options - See {@link SignalOptions}. After an abort the file has its old length or the new one.
   * @throws A system error of syscall `ftruncate`; ERR_RINGWHEEL_INVALID_OPTION, ERR_RINGWHEEL_CLOSED; the signal's reason.
   */
  async truncate(length = 0, options?: SignalOptions): Promise<void> {
    const { signal } = checked('file.truncate', options, SIGNAL_RULES);
    if (!Number.isSafeInteger(length) || length < 0) {
      const message = `file.truncate: length must be a whole number from 0 to ${Number.MAX_SAFE_INTEGER}; got ${shown(length)}`;
      throw ourError('ERR_RINGWHEEL_INVALID_OPTION', message);
    }
    const link = this.#usable('truncate');
    const truncate = () => operate(link, OPCODE_TRUNCATE, this.#state, NO_HOLD, 0, length, signal);
    await endedBy(signal, () =>
      this.#state.direct === undefined ? truncate() : claiming(link, this.#state, length, signal, truncate),
    );
  }

  /**
   * Gives a range of the file blocks on its device, so that writing there cannot fail for want of space; or takes them away. fallocate(2), on
   * the executor's pool.
   *
   * @param position - Byte position, 0 to 2^53 − 1.
   * @param length - Bytes, 1 to 2^53 − 1.
   * @param options - See {@link AllocateOptions}.
   * @throws ERR_RINGWHEEL_INVALID_OPTION, ERR_RINGWHEEL_CLOSED; the signal's reason; a system error of syscall `fallocate`: ENOSPC, after which a file
   * on ext4 has what there was, and without `keepSize` the length of that (tmpfs gives it back): `truncate` it; ENOTSUP, Node's name of EOPNOTSUPP, where the file system cannot (and everywhere but on Linux); EBADF for a
   * file that is not open for writing; ESPIPE for a pipe; EFBIG beyond the file system's longest file.
   *
   * @example
   * ```ts
   * import { File } from 'ringwheel';
   * await using file = await File.open('journal.bin', 'w+');
   * await file.allocate(0, 1024 * 1024, { keepSize: true });
   * await file.writeAt(new TextEncoder().encode('has its place'), 0);
   * await file.allocate(4096, 1024 * 1024 - 4096, { punchHole: true });
   * console.log(await file.size()); // 13
   * ```
   */
  async allocate(position: number, length: number, options?: AllocateOptions): Promise<void> {
    const { mode, signal } = allocation(position, length, options);
    const link = this.#usable('allocate');
    const asked = () =>
      told(allocate(link, this.#state, mode, position, length, signal), 'fallocate', this.#state.path);
    await endedBy(signal, () =>
      this.#state.direct === undefined ? asked() : claiming(link, this.#state, position, signal, asked),
    );
  }

  /**
   * Tells the kernel how a range of the file will be used. It changes no result, only how long things take. posix_fadvise(2).
   *
   * @param kind - `sequential` doubles the kernel's read-ahead, `random` ends it, `normal` sets it back: for the whole file, whatever the range.
   * `willneed` begins to read the range, `dontneed` drops its pages from the cache (those that are not written yet stay: `sync()` first),
   * `noreuse` says that it is read once.
   * @param position - Byte position, 0 to 2^53 − 1. Default 0.
   * @param length - Bytes, 0 to 2^53 − 1; 0, the default, is up to the end.
   * @param options - See {@link SignalOptions}.
   * @throws ERR_RINGWHEEL_INVALID_OPTION, ERR_RINGWHEEL_CLOSED; the signal's reason; a system error of syscall `fadvise`: ESPIPE for a pipe.
   * Elsewhere than on Linux it does nothing.
   *
   * @example
   * ```ts
   * import { File } from 'ringwheel';
   * await using file = await File.open('data.bin');
   * await file.advise('willneed', 0, 1024 * 1024);
   * ```
   */
  async advise(kind: Advice, position = 0, length = 0, options?: SignalOptions): Promise<void> {
    const { signal } = checked('file.advise', options, SIGNAL_RULES);
    const number = adviceNumber(kind, position, length);
    const asked = advise(this.#usable('advise'), this.#state, number, position, length, signal);
    await told(asked, 'fadvise', this.#state.path);
  }

  /**
   * Closes the file. Operations in flight are awaited first, and what its writers have taken is written; later calls reject with
   * ERR_RINGWHEEL_CLOSED. Every call returns the same promise.
   *
   * @throws The error of a {@link SequentialWriter} that nobody was told yet. The file is closed all the same.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** The same as {@link File.close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#state.open = false;
    forgotten.unregister(this);
    try {
      if (this.#link.open) await drainAll(this.#link.unwritten, this.#state);
    } finally {
      await closeFile(this.#link, this.#state);
    }
  }

  async #move(
    method: string,
    argument: string,
    opcode: number,
    array: Uint8Array | Lease,
    options?: TransferOptions,
  ): Promise<number> {
    const { position = -1, length, signal } = checked(`file.${method}`, options, TRANSFER_RULES);
    const link = this.#usable(method);
    const hold = holdOf(array);
    if (hold === undefined && !isUint8Array(array)) throw badArray(method, argument, array);
    if (hold !== undefined && (hold.state !== HELD || !Lease.belongs(array as Lease, link)))
      throw badLease(method, hold);
    const room = hold === undefined ? lengthOf(array as Uint8Array) : hold.length;
    if (length !== undefined && length > room) {
      const message = `file.${method}: length must be at most the ${argument}'s ${room} bytes; got ${length}`;
      throw ourError('ERR_RINGWHEEL_INVALID_OPTION', message);
    }
    const bytes = length ?? room;
    if (isAborted(signal)) throw reasonOf(signal);
    if (hold !== undefined) return moveLease(link, opcode, this.#state, hold, bytes, position, signal);
    if (bytes === 0) return 0;
    const plain = array as Uint8Array;
    if (signal !== undefined || position < 0)
      return moveInRanges(link, opcode, this.#state, plain, bytes, position, signal);
    if (opcode === OPCODE_READ) return readCopied(link, this.#state, plain, bytes, position);
    return writeCopied(link, this.#state, plain, bytes, position);
  }

  async #stat(method: string, options: SignalOptions | undefined): Promise<Stats> {
    const { signal } = checked(`file.${method}`, options, SIGNAL_RULES);
    const link = this.#usable(method);
    return endedBy(signal, () => this.#look(link, signal));
  }

  async #look(link: Link, signal: AbortSignal | undefined): Promise<Stats> {
    const { direct } = this.#state;
    if (direct !== undefined) await untilSettled(link, direct);
    const found = await fstat(link, this.#state, (stat) => new Stats(stat), false, signal);
    if (typeof found === 'number') throw systemError(found, 'fstat', this.#state.path);
    return found;
  }

  async #flush(method: string, opcode: number, options: SignalOptions | undefined): Promise<void> {
    const { signal } = checked(`file.${method}`, options, SIGNAL_RULES);
    const link = this.#usable(method);
    await endedBy(signal, () => operate(link, opcode, this.#state, NO_HOLD, 0, 0, signal));
  }

  #usable(method: string): Link {
    if (!this.#state.open || !this.#link.open) throw this.#closedError(method);
    return this.#link;
  }

  #closedError(method: string): RingwheelError {
    if (!this.#link.open) return executorClosed(`file.${method}`);
    return ourError(
      'ERR_RINGWHEEL_CLOSED',
      `file.${method}: the file ${quoted(this.#state.path)} is closed; open it again`,
    );
  }
}

function holdOf(value: Uint8Array | Lease): Hold | undefined {
  return typeof value === 'object' && value !== null ? Lease.holdOf(value) : undefined;
}

function executorClosed(where: string): RingwheelError {
  return ourError('ERR_RINGWHEEL_CLOSED', `${where}: the executor is closed; start another and open the file with it`);
}

function badPosition(method: string, position: unknown): RingwheelError {
  const range = `a whole number from 0 to ${Number.MAX_SAFE_INTEGER}`;
  return ourError('ERR_RINGWHEEL_INVALID_OPTION', `file.${method}: position must be ${range}; got ${shown(position)}`);
}

function badArray(method: string, argument: string, value: unknown): RingwheelError {
  return ourError(
    'ERR_RINGWHEEL_INVALID_OPTION',
    `file.${method}: ${argument} must be a Uint8Array or a Lease; got ${shown(value)}`,
  );
}

function badLease(method: string, hold: Hold): RingwheelError {
  const why =
    hold.state === HELD
      ? 'the lease belongs to another executor'
      : hold.state === 1
        ? 'the lease is in use by another operation; await that one first'
        : 'the lease was released';
  return ourError('ERR_RINGWHEEL_LEASE', `file.${method}: ${why}`);
}
