// Whole content of an open file: reading it to its end, writing everything there is. FileHandle and the functions share it.
import { constants } from 'node:fs';
import { isAborted } from '../api/abort.js';
import { bytesOf } from './arguments.js';
import { throwAbort } from './errors.js';
import { HERE, type Kernel } from './kernel.js';

/** What is read at a time of a file whose size is not known. */
const UNKNOWN_BYTES = 64 * 1024;
/** What is moved between two looks at the signal. */
const CHUNK_BYTES = 512 * 1024;
/** Node's limit, beyond which it refuses: that is left to it. */
const MOST_BYTES = 2 ** 31 - 1;

/** What Node refuses to read: the caller lets it do so. */
export const TOO_LARGE = Symbol('too large');

/** Reads from the file's position to its end. */
export async function readToEnd(kernel: Kernel, signal: AbortSignal | undefined): Promise<Buffer | typeof TOO_LARGE> {
  if (isAborted(signal)) await throwAbort(signal);
  const size = await kernel.stat(sizeOf);
  if (size > MOST_BYTES) return TOO_LARGE;
  if (size === 0) return readUnknown(kernel, signal);
  const buffer = Buffer.allocUnsafeSlow(size);
  let done = 0;
  while (done < size) {
    if (isAborted(signal)) await throwAbort(signal);
    const moved = await kernel.read(buffer.subarray(done, Math.min(size, done + CHUNK_BYTES)), HERE);
    if (moved === 0) break;
    done += moved;
  }
  if (isAborted(signal)) await throwAbort(signal);
  return done === size ? buffer : buffer.subarray(0, done);
}

/** Pipes, devices and the files of /proc: until a read gives nothing. */
async function readUnknown(kernel: Kernel, signal: AbortSignal | undefined): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (;;) {
    if (isAborted(signal)) await throwAbort(signal);
    const buffer = Buffer.allocUnsafeSlow(UNKNOWN_BYTES);
    const moved = await kernel.read(buffer, HERE);
    if (moved === 0) return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
    parts.push(moved === UNKNOWN_BYTES ? buffer : buffer.subarray(0, moved));
  }
}

/** The size of a regular file; 0 of everything else. */
function sizeOf(statx: DataView): number {
  const regular = (statx.getUint16(28, true) & constants.S_IFMT) === constants.S_IFREG;
  return regular ? Number(statx.getBigUint64(40, true)) : 0;
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
    return writeBytes(kernel, bytes, signal);
  }
  for await (const part of data) {
    if (isAborted(signal)) await throwAbort(signal);
    await writeBytes(kernel, ArrayBuffer.isView(part) ? bytesOf(part) : Buffer.from(part as string, encoding), signal);
    if (isAborted(signal)) await throwAbort(signal);
  }
}

async function writeBytes(kernel: Kernel, bytes: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    if (isAborted(signal)) await throwAbort(signal);
    done += await kernel.write(bytes.subarray(done, done + CHUNK_BYTES), HERE);
  }
}
