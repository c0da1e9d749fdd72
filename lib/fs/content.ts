// Whole content of an open file: reading it to its end, writing everything there is. FileHandle and the functions share it.
import { constants } from 'node:os';
import { isAborted } from '../api/abort.js';
import * as calls from '../api/call.js';
import { lengthOf, partOfArray } from '../ring/bytes.js';
import { BUFFER_GONE } from '../ring/link.js';
import { OPCODE_WRITE } from '../wire/layout.generated.js';
import { bytesOf } from './arguments.js';
import { failed, type Path, throwAbort, uvError } from './errors.js';
import { HERE, type Kernel } from './kernel.js';

const { EIO } = constants.errno;

/** What is moved between two looks at the signal. */
const CHUNK_BYTES = 2 ** 21;
/** Node's limit, beyond which it refuses: that is left to it. */
const MOST_BYTES = 2 ** 31 - 1;

/** What Node refuses to read: the caller lets it do so. */
export const TOO_LARGE = Symbol('too large');

/** Whether Node refuses a file of this length. */
export function isTooLarge(bytes: number): boolean {
  return bytes > MOST_BYTES;
}

/** Node's error of a file that is too long, for one that does not say its length. */
export function endless(): Error {
  const error = new RangeError(`File size (${MOST_BYTES + 1}) is greater than 2 GiB`);
  return Object.assign(error, { code: 'ERR_FS_FILE_TOO_LARGE' });
}

/** How a whole file is read: up to Node's limit. */
export function reading(encoding: unknown, signal: AbortSignal | undefined, flags = 0): calls.ReadWhole {
  return { flags, limit: MOST_BYTES, encoding: (encoding || undefined) as BufferEncoding | undefined, signal };
}

/** What reading a whole file gave; an abort becomes Node's error. The path is shown where open failed. */
export async function readWhole(
  work: Promise<Buffer | string | calls.Failed>,
  signal: AbortSignal | undefined,
  path?: Path,
): Promise<Buffer | string | typeof TOO_LARGE> {
  let content: Buffer | string | calls.Failed;
  try {
    content = await work;
  } catch (error) {
    if (isAborted(signal)) await throwAbort(signal);
    throw error;
  }
  return await wholeOf(content, path); // Without await the stack of an error would end here.
}

/** The same of a read that has ended: awaited only when it failed. */
export function wholeOf(
  content: Buffer | string | calls.Failed,
  path?: Path,
): Buffer | string | typeof TOO_LARGE | Promise<never> {
  if (typeof content === 'number') return unread(content, path);
  if (!(content instanceof calls.FailedAt)) return content;
  return content.size === undefined ? unread(content, path) : TOO_LARGE;
}

async function unread(failure: calls.Failed, path: Path | undefined): Promise<never> {
  if (typeof failure === 'number') throw await failed(failure, path === undefined ? 'read' : 'open', path, false);
  // The calls report fstat under the name of their own.
  if (failure.syscall === 'lstat') throw await uvError(failure.errno, 'fstat');
  throw await failed(failure, 'read', path, false);
}

/** What can be written: bytes, text, or something that gives one after the other. */
export type Content = ArrayBufferView | string | Iterable<unknown> | AsyncIterable<unknown>;

/** Whether a value is content. */
export function isContent(data: unknown): data is Content {
  return typeof data === 'string' || ArrayBuffer.isView(data) || isSeries(data);
}

function isSeries(data: unknown): data is Iterable<unknown> | AsyncIterable<unknown> {
  if (typeof data !== 'object' || data === null || ArrayBuffer.isView(data)) return false;
  const { [Symbol.asyncIterator]: later, [Symbol.iterator]: now } = data as never;
  return typeof later === 'function' || typeof now === 'function';
}

/** Writes everything at the file's position. */
export async function writeAll(
  kernel: Kernel,
  data: Content,
  encoding: BufferEncoding,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (isAborted(signal)) await throwAbort(signal);
  if (!isSeries(data)) {
    const bytes = typeof data === 'string' ? Buffer.from(data, encoding) : bytesOf(data as ArrayBufferView);
    return writeBytes(kernel, bytes, lengthOf(bytes), signal);
  }
  for await (const part of data) {
    if (isAborted(signal)) await throwAbort(signal);
    const bytes = ArrayBuffer.isView(part) ? bytesOfPart(part) : Buffer.from(part as string, encoding);
    await writeBytes(kernel, bytes, lengthOf(bytes), signal);
    if (isAborted(signal)) await throwAbort(signal);
  }
}

/** A part of a series that is detached has no bytes. Of a DataView Node throws then. */
function bytesOfPart(part: ArrayBufferView): Uint8Array {
  return part.byteLength === 0 ? new Uint8Array(0) : bytesOf(part);
}

/** Writes `length` bytes at the file's position. An array that is detached or cut meanwhile is an error: else a file would be a part of it, or empty. */
export async function writeBytes(
  kernel: Kernel,
  bytes: Uint8Array,
  length: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { link, file } = kernel;
  if (isAborted(signal)) await throwAbort(signal);
  for (let done = 0; done < length; ) {
    if (lengthOf(bytes) < length) await link.fail(BUFFER_GONE, OPCODE_WRITE, file);
    const written = await kernel.write(partOfArray(bytes, done, Math.min(done + CHUNK_BYTES, length)), HERE);
    if (written === 0) throw await uvError(-EIO, 'write');
    done += written;
    if (isAborted(signal) && done < length) await throwAbort(signal);
  }
}
