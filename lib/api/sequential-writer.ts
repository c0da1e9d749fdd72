// class SequentialWriter: what a user sees of writing a file from one end to the other; write-behind.ts has the chunks.

import { isUint8Array } from 'node:util/types';
import type { Link } from '../ring/link.js';
import { type FileState, HELD } from '../ring/state.js';
import { isAborted, listen, reasonOf } from './abort.js';
import { ourError, quoted } from './errors.js';
import { Lease } from './lease.js';
import { abortSignal, checked, type Rule, shown, whole } from './validate.js';
import { WriteBehind } from './write-behind.js';

/** From here on a lease is written as it is: one more command costs as much as copying so many bytes. */
const LEASE_BYTES = 65_536;

/** Options of {@link File.writer}. */
export interface WriterOptions {
  /** The most bytes of a chunk, from 1 to 67108864. Default 1048576. Chunks are shorter at first, and while the executor's memory is short. */
  chunkBytes?: number;
  /**
   * Chunks that the kernel may have while the next one is filled, from 1 to 64. Default 2. One is, whatever you say, in a file that was opened for
   * appending and in what has no positions.
   */
  writeBehind?: number;
  /**
   * Byte position of the first byte, 0 to 2^53 − 1. Default 0. What was opened for appending is written at its end, what has no positions
   * (pipes, terminals, sockets) where it is: leave it out there, positions count from 0 then.
   */
  position?: number;
  /** Gives up when it aborts: {@link SequentialWriter.destroy} with the signal's reason. */
  signal?: AbortSignal;
}

/** @internal */
export const WRITER_RULES: Record<string, Rule> = {
  chunkBytes: whole(1, 2 ** 26),
  writeBehind: whole(1, 64),
  position: whole(0, Number.MAX_SAFE_INTEGER),
  signal: abortSignal,
};

const KEY = Symbol('writer');

/** Makes the writer of a file; `file` is kept, so that it is not collected meanwhile. @internal */
export let writerOf: (file: object, link: Link, state: FileState, options?: WriterOptions) => SequentialWriter;

/** Has the writer tell its first error when it comes, also between two calls. @internal */
export let whenFailed: (writer: SequentialWriter, then: (error: unknown) => void) => void;

/** Writes what a program forgot to, as far as that is possible, and tells of what is lost. */
const forgotten = new FinalizationRegistry<WriteBehind>((behind) => behind.drainUnheard());

/**
 * Writes a file from one position on, in order. What is given is copied into chunks; a full one is written while the next is filled, so that a
 * program that writes little pieces makes few system calls and waits for none. Made by {@link File.writer}.
 *
 * Three positions say how far it is: all bytes before {@link SequentialWriter.flushedPosition | flushedPosition} are in the kernel's hands, without a
 * gap: whoever reads the file sees them. All before {@link SequentialWriter.syncedPosition | syncedPosition} are on the device.
 * {@link SequentialWriter.position | position} is where the next byte goes; what lies between is in memory here.
 *
 * The first error ends the writer: that of a write in the background is told to the next call, and every later call, also
 * {@link SequentialWriter.close | close}, rejects with the same. `flushedPosition` then says how much arrived; behind it the file may have parts of
 * later chunks. Nothing is lost unless you are told: closing the file or the executor writes what was taken first, and
 * so does the collection of a writer that was forgotten; only what is in memory when the process exits is gone.
 *
 * @example
 * ```ts
 * import { File } from 'ringwheel';
 * await using file = await File.open('numbers.txt', 'w');
 * await using writer = file.writer();
 * for (let number = 0; number < 100_000; number++) await writer.write(`${number}\n`);
 * await writer.sync();
 * console.log(writer.position === writer.syncedPosition);
 * ```
 */
export class SequentialWriter implements AsyncDisposable {
  readonly #behind: WriteBehind;
  readonly #link: Link;
  readonly #leaseBytes: number;
  readonly #forget: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  static {
    writerOf = (file, link, state, options) => {
      const { chunkBytes = 2 ** 20, writeBehind = 2, position, signal } = checked('file.writer', options, WRITER_RULES);
      if (position !== undefined && state.appends) {
        const message =
          'file.writer: position must be left out: the file was opened for appending, and is written at its end';
        throw ourError('ERR_RINGWHEEL_INVALID_OPTION', message);
      }
      const behind = new WriteBehind(file, link, state, { chunkBytes, writeBehind, position });
      return new SequentialWriter(KEY, link, behind, Math.min(LEASE_BYTES, chunkBytes), signal);
    };
    whenFailed = (writer, then) => {
      writer.#behind.onError = then;
    };
  }

  private constructor(
    key: typeof KEY,
    link: Link,
    behind: WriteBehind,
    leaseBytes: number,
    signal: AbortSignal | undefined,
  ) {
    if (key !== KEY) {
      const message = 'SequentialWriter has no public constructor: use file.writer()';
      throw ourError('ERR_RINGWHEEL_INVALID_OPTION', message, SequentialWriter);
    }
    this.#link = link;
    this.#behind = behind;
    this.#leaseBytes = leaseBytes;
    // Of the part that outlives this object: a signal must not keep a forgotten writer.
    this.#forget = listen(signal, () => behind.destroy(reasonOf(signal)));
    if (isAborted(signal)) behind.destroy(reasonOf(signal));
    forgotten.register(this, behind, this);
  }

  /** Byte position in the file of the next byte that is taken. */
  get position(): number {
    return this.#behind.position;
  }

  /** All bytes before this position are in the kernel's hands: written, in the sense of write(2). */
  get flushedPosition(): number {
    return this.#behind.flushed;
  }

  /** All bytes before this position are on the device, by {@link SequentialWriter.sync}. */
  get syncedPosition(): number {
    return this.#behind.synced;
  }

  /**
   * Writes bytes behind those of the calls before, awaited or not.
   *
   * @param data - A Uint8Array, or a string, which is written as UTF-8: the promise resolves when its bytes are taken, at once as long as there is
   * room, else when a write has ended. Leave the array alone until then. Of a {@link Lease} of 64 KiB or more nothing is copied: the promise resolves
   * when it is written, and the lease is yours again. A shorter one is copied, and lent as well while it waits for room.
   * @throws The writer's first error, see {@link SequentialWriter}: a system error of syscall `write` (ENOSPC, EIO, EPIPE, …), `destroy`'s reason;
   * ERR_RINGWHEEL_INVALID_OPTION, ERR_RINGWHEEL_LEASE and ERR_RINGWHEEL_CLOSED, which end nothing; ERR_RINGWHEEL_BUFFER when an array
   * was detached or shrank while it waited, which does.
   *
   * Await it: that is the backpressure which keeps memory at `chunkBytes` × (`writeBehind` + 1). Calls that are not awaited keep what they were given.
   * When the executor has not a page left for a chunk, bytes go through the memory of copies, in order with others, and the promise waits for them.
   *
   * Cost: a promise; one command for each chunk and for each large lease.
   */
  write(data: Uint8Array | Lease | string): Promise<void> {
    const behind = this.#behind;
    if (behind.failed === undefined) {
      if (this.#closing !== undefined || !behind.file.open || !this.#link.open)
        return Promise.reject(this.#closed('write'));
    }
    if (typeof data === 'string') return behind.writeBytes(Buffer.from(data));
    if (isUint8Array(data)) return behind.writeBytes(data);
    const hold = typeof data === 'object' && data !== null ? Lease.holdOf(data) : undefined;
    if (hold === undefined) {
      const message = `writer.write: data must be a Uint8Array, a Lease or a string; got ${shown(data)}`;
      return Promise.reject(ourError('ERR_RINGWHEEL_INVALID_OPTION', message));
    }
    if (hold.state !== HELD || !Lease.belongs(data, this.#link)) {
      const message = 'writer.write: the lease was released, is in use by an operation, or belongs to another executor';
      return Promise.reject(ourError('ERR_RINGWHEEL_LEASE', message));
    }
    return hold.length < this.#leaseBytes ? behind.writeBytes(hold.bytes, hold) : behind.writeLease(hold);
  }

  /**
   * Waits until the kernel has all bytes that were given before: the last chunk is written, however little is in it.
   *
   * @returns The {@link SequentialWriter.flushedPosition | flushedPosition}.
   * @throws As {@link SequentialWriter.write}.
   */
  flush(): Promise<number> {
    return this.#closing !== undefined && this.#behind.failed === undefined
      ? Promise.reject(this.#closed('flush'))
      : this.#behind.flush();
  }

  /**
   * The same, and then until they are on the device: fdatasync(2). Writes go on meanwhile.
   *
   * @returns The {@link SequentialWriter.syncedPosition | syncedPosition}.
   * @throws As {@link SequentialWriter.write}; a system error of syscall `fdatasync`: EINVAL of what cannot be synced, such as a pipe, ends nothing.
   */
  sync(): Promise<number> {
    return this.#closing !== undefined && this.#behind.failed === undefined
      ? Promise.reject(this.#closed('sync'))
      : this.#behind.sync();
  }

  /**
   * Flushes, and ends the writer. The file stays open, and nothing is synced: that is {@link SequentialWriter.sync}. Every call returns the same
   * promise; later writes reject with ERR_RINGWHEEL_CLOSED. When it settles, nothing is under way any more, and all memory is back.
   *
   * @throws The writer's first error: bytes that earlier calls took are not in the file then.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** The same as {@link SequentialWriter.close}, for `await using`; an error that a call was told already is not thrown once more. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { told } = this.#behind;
    await this.close().catch((error) => {
      if (!told) throw error;
    });
  }

  /**
   * Gives up, now. Bytes that the kernel does not have are dropped, writes under way are asked to end, and their memory goes back when they have.
   * Nothing waits, and the file stays open, with what arrived in it.
   *
   * @param reason - What all calls that wait, and all later ones, reject with. Default: an ERR_RINGWHEEL_CLOSED error.
   */
  destroy(reason?: unknown): void {
    this.#behind.destroy(reason === undefined ? this.#closed('destroy') : reason);
    this.#end();
  }

  async #close(): Promise<void> {
    try {
      await this.#behind.flush();
    } finally {
      this.#end();
      await this.#behind.idle();
    }
  }

  #end(): void {
    this.#forget?.();
    forgotten.unregister(this);
  }

  #closed(method: string): Error {
    const { file } = this.#behind;
    const what = !this.#link.open ? 'the executor' : file.open ? 'the writer' : 'the file';
    return ourError('ERR_RINGWHEEL_CLOSED', `writer.${method}: ${what} of ${quoted(file.path)} is closed`);
  }
}
