// A file as Node's Writable and as the Web's WritableStream: a SequentialWriter underneath.

import { Writable } from 'node:stream';
import { WritableStream } from 'node:stream/web';
import { isArrayBuffer, isUint8Array } from 'node:util/types';
import { bytesOfView } from '../ring/bytes.js';
import type { File } from './file.js';
import { READABLE_RULES } from './file-readable.js';
import { Lease } from './lease.js';
import { type SequentialWriter, WRITER_RULES, type WriterOptions, whenFailed } from './sequential-writer.js';
import { checked, type Rule, truth, whole } from './validate.js';

/** Bytes that wait in a stream before it asks its source to wait; as many again are in the writer's chunks. */
const WAITING_BYTES = 65_536;

/** Options of {@link File.writable}: those of `fs.createWriteStream`, and the writer's. */
export interface WritableOptions extends Pick<WriterOptions, 'chunkBytes' | 'writeBehind'> {
  /** Byte position of the first byte, 0 to 2^53 − 1. Default 0; leave it out for what has no positions and for files opened to append. */
  start?: number;
  /** Bytes that wait before `write()` returns false, from 0 to 67108864. Default 65536. */
  highWaterMark?: number;
  /** The encoding of strings that are written without one. Default `utf8`. */
  encoding?: BufferEncoding;
  /** Wait until the bytes are on the device before `finish`: fdatasync(2). Default false. */
  flush?: boolean;
  /** Close the file when the stream has finished or was destroyed. Default false: who opened it closes it. */
  autoClose?: boolean;
  /** Emit `close` at last. Default true. */
  emitClose?: boolean;
  /** Destroys the stream with an AbortError, as Node's streams are. */
  signal?: AbortSignal;
}

/** Options of {@link File.writableStream}. */
export interface WritableStreamOptions extends WriterOptions {
  /** Bytes that wait before the stream's writer is not `ready`, from 0 to 67108864. Default 65536. */
  highWaterMark?: number;
  /** Wait until the bytes are on the device before the stream is closed: fdatasync(2). Default false. */
  flush?: boolean;
  /** Close the file when the stream was closed, failed or was aborted. Default false: who opened it closes it. */
  autoClose?: boolean;
}

/** What {@link File.writableStream} takes. */
export type WritableChunk = ArrayBuffer | ArrayBufferView | Lease | string;

const { chunkBytes, writeBehind } = WRITER_RULES as { chunkBytes: Rule; writeBehind: Rule };
const { start, encoding, autoClose, emitClose, signal } = READABLE_RULES as Record<string, Rule>;
const highWaterMark = whole(0, 2 ** 26);

const WRITABLE_RULES = {
  chunkBytes,
  writeBehind,
  start,
  highWaterMark,
  encoding,
  flush: truth,
  autoClose,
  emitClose,
  signal,
} as Record<string, Rule>;

const WRITABLE_STREAM_RULES: Record<string, Rule> = { ...WRITER_RULES, highWaterMark, flush: truth, autoClose: truth };

/** The writer of a stream: what the stream does at its end. */
class Sink {
  readonly writer: SequentialWriter;
  readonly #file: File;
  readonly #flush: boolean;
  readonly #closes: boolean;
  #finished = false;

  constructor(file: File, limits: WriterOptions, flush: boolean, closes: boolean) {
    this.writer = file.writer(limits);
    this.#file = file;
    this.#flush = flush;
    this.#closes = closes;
  }

  /** All bytes are written. */
  async finish(): Promise<void> {
    await (this.#flush ? this.writer.sync() : this.writer.flush());
    await this.writer.close();
    this.#finished = true;
  }

  /** The stream is over, in whatever way; resolves when all memory is back and the file, if that is wanted, closed. */
  async end(reason?: unknown): Promise<void> {
    if (!this.#finished) {
      this.writer.destroy(reason);
      await this.writer.close().catch(() => {}); // The stream knows.
    }
    if (this.#closes) await this.#file.close();
  }
}

/** See {@link File.writable}. @internal */
export function writableOf(file: File, options?: WritableOptions): Writable {
  const known = checked('file.writable', options, WRITABLE_RULES);
  const { start: position, encoding: defaultEncoding, flush = false, autoClose: closes = false, ...others } = known;
  const { chunkBytes, writeBehind, highWaterMark = WAITING_BYTES, ...streams } = others;
  const limits = {
    ...(position === undefined ? {} : { position }),
    ...(chunkBytes === undefined ? {} : { chunkBytes }),
    ...(writeBehind === undefined ? {} : { writeBehind }),
  };
  const sink = new Sink(file, limits, flush, closes);
  const { writer } = sink;
  const stream = new Writable({
    ...streams,
    ...(defaultEncoding === undefined ? {} : { defaultEncoding }),
    highWaterMark,
    write(chunk: Buffer, _encoding, done) {
      writer.write(chunk).then(() => done(), done);
    },
    writev(chunks, done) {
      Promise.all(chunks.map(({ chunk }) => writer.write(chunk))).then(() => done(), done);
    },
    final(done) {
      sink.finish().then(() => done(), done);
    },
    destroy(error, done) {
      sink.end(error ?? undefined).then(
        () => done(error),
        (failed) => done(error ?? failed),
      );
    },
  });
  whenFailed(writer, (error) => stream.destroy(error as Error));
  return stream;
}

/** See {@link File.writableStream}. @internal */
export function writableStreamOf(file: File, options?: WritableStreamOptions): WritableStream<WritableChunk> {
  const known = checked('file.writableStream', options, WRITABLE_STREAM_RULES);
  const { highWaterMark = WAITING_BYTES, flush = false, autoClose: closes = false, ...limits } = known;
  const sink = new Sink(file, limits, flush, closes);
  const { writer } = sink;
  // The Web asks a sink whose stream failed for nothing more.
  const lost = async (error: unknown): Promise<never> => {
    await sink.end(error).catch(() => {});
    throw error;
  };
  return new WritableStream(
    {
      start(controller) {
        // The Web calls `abort` only when the write that is under way has ended, and that may wait for a pipe that nobody reads.
        const { signal: aborting } = controller as unknown as { signal: AbortSignal }; // Node has it, its types do not.
        const abort = (): void => {
          whenFailed(writer, () => {}); // An error of the controller's now would be what the stream's `abort()` rejects with.
          writer.destroy(aborting.reason);
        };
        aborting.addEventListener('abort', abort, { once: true });
        whenFailed(writer, (error) => {
          controller.error(error);
          sink.end(error).catch(() => {});
        });
      },
      write: (chunk) => writer.write(bytesOf(chunk) as Uint8Array).catch(lost),
      close: () => sink.finish().then(() => sink.end(), lost),
      abort: (reason) => sink.end(reason),
    },
    { highWaterMark, size: (chunk) => (typeof chunk === 'string' ? chunk.length : sizeOf(chunk)) },
  );
}

/** What a writer takes, of what the Web calls bytes. Anything else is the writer's to refuse. */
function bytesOf(chunk: unknown): unknown {
  if (isUint8Array(chunk)) return chunk; // The writer knows how long it is, whatever a property of its own says.
  if (isArrayBuffer(chunk)) return new Uint8Array(chunk);
  return ArrayBuffer.isView(chunk) ? bytesOfView(chunk) : chunk;
}

function sizeOf(chunk: unknown): number {
  if (chunk instanceof Lease) return chunk.length;
  const { byteLength } = (chunk ?? {}) as { byteLength?: unknown };
  return typeof byteLength === 'number' ? byteLength : 1;
}
