// A file as Node's Readable and as the Web's ReadableStream: file.stream() underneath, and a copy of each chunk, since what is handed out here stays
// with whoever reads it.

import { Readable } from 'node:stream';
import { ReadableStream } from 'node:stream/web';
import { isAborted, listen, reasonOf } from './abort.js';
import type { File } from './file.js';
import { STREAM_RULES, type StreamOptions } from './file-stream.js';
import type { Lease } from './lease.js';
import { abortSignal, checked, type Rule, rule, truth, whole } from './validate.js';

/** Bytes of a chunk. Larger ones cost more in fresh memory than they save in promises. */
const CHUNK_BYTES = 262_144;

/** Options of {@link File.readable}: those of `fs.createReadStream`. */
export interface ReadableOptions {
  /** Byte position of the first byte, 0 to 2^53 − 1. Default 0; what has no positions (pipes, terminals, sockets) is read from where it is. */
  start?: number;
  /** Byte position of the last byte, which is read too, as in Node (and unlike {@link StreamOptions.end}). Default: the end of the file. */
  end?: number;
  /** The most bytes of a chunk, and what is kept read: from 1 to 67108864. Default 262144. */
  highWaterMark?: number;
  /** Chunks are strings of this encoding. Default: Buffers. */
  encoding?: BufferEncoding;
  /** Close the file when the stream has ended or was destroyed. Default false: who opened it closes it. */
  autoClose?: boolean;
  /** Emit `close` at last. Default true. */
  emitClose?: boolean;
  /** Destroys the stream with an AbortError, as Node's streams are. */
  signal?: AbortSignal;
}

/** Options of {@link File.readableStream}. */
export interface ReadableStreamOptions extends StreamOptions {
  /** The most bytes of a chunk, from 1 to 67108864. Default 262144; who brings its own memory gets as much as that has. */
  chunkBytes?: number;
  /** Close the file when the stream has ended, failed or was cancelled. Default false: who opened it closes it. */
  autoClose?: boolean;
}

const encoding: Rule = rule('an encoding of Buffer', (value) => typeof value === 'string' && Buffer.isEncoding(value));

/** @internal */
export const READABLE_RULES: Record<string, Rule> = {
  start: whole(0, Number.MAX_SAFE_INTEGER),
  end: whole(0, Number.MAX_SAFE_INTEGER - 1),
  highWaterMark: whole(1, 2 ** 26),
  encoding,
  autoClose: truth,
  emitClose: truth,
  signal: abortSignal,
};

const READABLE_STREAM_RULES: Record<string, Rule> = { ...STREAM_RULES, autoClose: truth };

/** Has a signal forget streams that a program forgot. */
const dropped = new FinalizationRegistry<() => void>((forget) => forget());

/** Ends with the signal. Holds neither the stream nor its chunks: a signal must not keep those. */
function endWith(signal: AbortSignal | undefined, ending: AbortController): (() => void) | undefined {
  return listen(signal, () => ending.abort(reasonOf(signal)));
}

/** The chunks of a pass, which can be ended while one is waited for. */
class Chunks {
  readonly #file: File;
  readonly #autoClose: boolean;
  readonly #ending = new AbortController();
  readonly #forget: (() => void) | undefined;
  readonly #chunks: AsyncIterator<Lease>;
  ended = false;

  constructor(file: File, { signal, ...options }: StreamOptions, autoClose: boolean) {
    this.#file = file;
    this.#autoClose = autoClose;
    this.#chunks = file.stream({ ...options, signal: this.#ending.signal })[Symbol.asyncIterator]();
    if (isAborted(signal)) this.#ending.abort(reasonOf(signal));
    else this.#forget = endWith(signal, this.#ending);
    if (this.#forget !== undefined) dropped.register(this, this.#forget, this);
  }

  /** The bytes of the next chunk, which are there until the next call. Undefined at the end. */
  async next(): Promise<Uint8Array | undefined> {
    const { done, value } = await this.#chunks.next();
    return done ? undefined : value.bytes;
  }

  /** Ends what is under way, whose memory comes back as the kernel lets go of it. */
  async end(): Promise<void> {
    this.ended = true;
    this.#forget?.();
    dropped.unregister(this);
    this.#ending.abort();
    await this.#chunks.return?.();
    if (this.#autoClose) await this.#file.close();
  }
}

/** See {@link File.readable}. @internal */
export function readableOf(file: File, options?: ReadableOptions): Readable {
  const known = checked('file.readable', options, READABLE_RULES);
  const { start, end, highWaterMark = CHUNK_BYTES, autoClose = false, ...others } = known;
  const range = { ...(start === undefined ? {} : { start }), ...(end === undefined ? {} : { end: end + 1 }) };
  const chunks = new Chunks(file, { ...range, chunkBytes: highWaterMark }, autoClose);
  return new Readable({
    ...others,
    highWaterMark,
    read() {
      chunks.next().then(
        (bytes) => {
          // What is destroyed wants nothing, and its bytes may be others' by now.
          if (!chunks.ended) this.push(bytes === undefined ? null : copyOf(bytes));
        },
        (error) => this.destroy(error),
      );
    },
    destroy(error, done) {
      chunks.end().then(
        () => done(error),
        (failed) => done(error ?? failed),
      );
    },
  });
}

/** Outside of Node's pool, which a long chunk would use up. */
function copyOf(bytes: Uint8Array): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  copy.set(bytes);
  return copy;
}

/** See {@link File.readableStream}. @internal */
export function readableStreamOf(file: File, options?: ReadableStreamOptions): ReadableStream<Uint8Array> {
  const known = checked('file.readableStream', options, READABLE_STREAM_RULES);
  const { autoClose = false, chunkBytes = CHUNK_BYTES, ...others } = known;
  const chunks = new Chunks(file, { ...others, chunkBytes }, autoClose);
  /** What no reader has had yet of the chunk that is there. */
  let rest: Uint8Array = new Uint8Array(0);
  return new ReadableStream({
    type: 'bytes',
    async pull(controller) {
      if (rest.length === 0) {
        try {
          const next = await chunks.next();
          if (chunks.ended) return;
          if (next === undefined) {
            await chunks.end();
            controller.close();
            controller.byobRequest?.respond(0);
            return;
          }
          rest = next;
        } catch (error) {
          if (!chunks.ended) await chunks.end().catch(() => {});
          throw error;
        }
      }
      const request = controller.byobRequest;
      const view = request?.view;
      if (request === null || view === null || view === undefined) {
        controller.enqueue(new Uint8Array(rest));
        rest = rest.subarray(rest.length);
        return;
      }
      // Into the reader's own memory.
      const count = Math.min(view.byteLength, rest.length);
      new Uint8Array(view.buffer, view.byteOffset, count).set(rest.subarray(0, count));
      rest = rest.subarray(count);
      request.respond(count);
    },
    cancel: () => chunks.end(),
  });
}
