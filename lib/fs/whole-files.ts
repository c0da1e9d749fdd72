// open, and the functions of whole files: readFile, writeFile, appendFile, truncate.
import { constants, type Stats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { isUint8Array } from 'node:util/types';
import { isAborted } from '../api/abort.js';
import * as calls from '../api/call.js';
import type { RingwheelError } from '../api/errors.js';
import { currentLink } from '../api/executor.js';
import { bytesIfThere, lengthOf } from '../ring/bytes.js';
import { ALLOCATE_AHEAD, ALLOCATE_BACK, OPCODE_SYNC, OPCODE_TRUNCATE } from '../wire/layout.generated.js';
import { hasOnly, isEncoding, plainFlags, plainMode, plainOptions, plainPath, WHOLE_OPTIONS } from './arguments.js';
import {
  type Content,
  endless,
  isContent,
  isTooLarge,
  reading,
  readWhole,
  TOO_LARGE,
  wholeOf,
  writeAll,
  writeBytes,
} from './content.js';
import { failed, joined, type Path, throwAbort } from './errors.js';
import { handleClass, kernelOf } from './file-handle.js';
import { type Kernel, openKernel } from './kernel.js';
import { node } from './node.js';
import { stat } from './paths.js';

const PERMISSIONS = 0o666;
/** From this length on blocks are allocated before a file is written. */
const AHEAD_BYTES = 2 ** 21;

/** open(2) as a FileHandle. */
export async function open(path: unknown, flags?: unknown, mode?: unknown): Promise<FileHandle> {
  const valid = plainPath(path);
  const bits = plainFlags(flags);
  const permissions = plainMode(mode, PERMISSIONS);
  if (valid === undefined || bits === undefined || permissions === undefined) {
    return await node.open(path as never, flags as never, mode as never);
  }
  const Handle = await handleClass();
  return new Handle(await openKernel(valid, bits, permissions));
}

/** Opens a file, lets `work` have it, closes it; errors of both are joined as Node does. */
async function opened<T>(path: Path, flags: number, mode: number, work: (kernel: Kernel) => Promise<T>): Promise<T> {
  const kernel = await openKernel(path, flags, mode);
  let result: T;
  try {
    result = await work(kernel);
  } catch (error) {
    try {
      await kernel.close();
    } catch (closing) {
      throw joined(error, closing);
    }
    throw error;
  }
  await kernel.close();
  return result;
}

/** The content of a file, as bytes or text. */
export async function readFile(path: unknown, options?: unknown): Promise<Buffer | string> {
  const plain = plainOptions(options);
  const encoding = plain?.encoding;
  const flags = plain?.flag ? plainFlags(plain.flag) : constants.O_RDONLY;
  const known = hasOnly(plain, WHOLE_OPTIONS);
  if (plain === undefined || !known || flags === undefined || (encoding && !isEncoding(encoding))) {
    return await node.readFile(path as never, options as never);
  }
  const handle = kernelOf(path);
  if (handle !== undefined) return (path as FileHandle).readFile(options as never) as Promise<Buffer | string>;
  const valid = plainPath(path);
  if (valid === undefined) return await node.readFile(path as never, options as never);
  const signal = plain.signal as AbortSignal | undefined;
  if (isAborted(signal)) await throwAbort(signal);
  const work = calls.readFile(currentLink(), valid, reading(encoding, signal, flags));
  const whole = signal === undefined ? wholeOf(await work, valid) : readWhole(work, signal, valid);
  const content = whole instanceof Promise ? await whole : whole;
  return content === TOO_LARGE ? await tooLarge(path, options) : content;
}

/** Node refuses a file that says that it is too long; of one that does not say so, such as /dev/zero, it would read until the memory ends. */
async function tooLarge(path: unknown, options: unknown): Promise<Buffer | string> {
  const { size } = (await stat(path)) as Stats;
  if (!isTooLarge(size)) throw endless();
  return await node.readFile(path as never, options as never);
}

/** Replaces a file, or writes at a handle's position. */
export async function writeFile(path: unknown, data: unknown, options?: unknown): Promise<void> {
  return await written(path, data, options, 'w', 'writeFile');
}

/** Adds to a file, or writes at a handle's position. */
export async function appendFile(path: unknown, data: unknown, options?: unknown): Promise<void> {
  return await written(path, data, options, 'a', 'appendFile');
}

async function written(
  path: unknown,
  data: unknown,
  options: unknown,
  flag: string,
  name: 'writeFile' | 'appendFile',
): Promise<void> {
  const plain = plainOptions(options);
  const encoding = plain?.encoding || 'utf8';
  const flags = plainFlags(plain?.flag || flag);
  const mode = plainMode(plain?.mode, PERMISSIONS);
  const flush = plain?.flush ?? false;
  const known = hasOnly(plain, WHOLE_OPTIONS);
  const valid = known && isContent(data) && isEncoding(encoding) && flags !== undefined && mode !== undefined;
  const target = kernelOf(path) ?? plainPath(path);
  if (plain === undefined || !valid || typeof flush !== 'boolean' || target === undefined) {
    return await node[name](path as never, data as never, options as never);
  }
  if (typeof target === 'object' && 'file' in target)
    return await (path as FileHandle).writeFile(data as never, options as never);
  const signal = plain.signal as AbortSignal | undefined;
  if (isAborted(signal)) await throwAbort(signal);
  const view = ArrayBuffer.isView(data) ? bytesIfThere(data) : undefined;
  // It is detached: Node makes an error of that once the file is open.
  if (ArrayBuffer.isView(data) && view === undefined)
    return await node[name](path as never, data as never, options as never);
  const what = view ?? data;
  if (signal === undefined && isShort(what)) {
    const how = { flags, mode, encoding, flush };
    const result = await calls.writeFile(currentLink(), target as Path, what, how).catch(noRoom);
    if (result === 0) return;
    // A pipe, a socket or a device is waited for in steps.
    const isStream = result instanceof calls.FailedAt && result.stream !== undefined;
    if (result !== undefined && !isStream) throw await failed(result, 'open', target as Path, false);
  }
  // Text becomes bytes before the file is touched, as in Node: bytes that cannot be made leave it as it was.
  const bytes = typeof data === 'string' ? Buffer.from(data, encoding) : view;
  const length = bytes === undefined ? 0 : lengthOf(bytes);
  await opened(target as Path, flags, mode, async (kernel) => {
    const ahead = (flags & constants.O_TRUNC) !== 0 && length >= AHEAD_BYTES && signal === undefined;
    // Without room for the call, or blocks, it is written all the same, as far as it goes.
    if (ahead) await calls.allocate(kernel.link, kernel.file, ALLOCATE_AHEAD, 0, length).catch(noRoom);
    try {
      if (bytes === undefined) await writeAll(kernel, data, encoding, signal);
      else await writeBytes(kernel, bytes, length, signal);
    } catch (error) {
      // Where they are not given back they are in nobody's way, and go with the file.
      if (ahead) await calls.allocate(kernel.link, kernel.file, ALLOCATE_BACK, 0, length).catch(() => {});
      throw error;
    }
    if (flush) await kernel.run(OPCODE_SYNC, 0, 'fsync');
  });
}

/** Leases that the program keeps leave no range for all of it: undefined, and it is written piece by piece. */
function noRoom(error: unknown): undefined {
  if ((error as RingwheelError).code !== 'ERR_RINGWHEEL_NO_MEMORY') throw error;
  return undefined;
}

/** Whether one call can take it. Of text this looks at the most bytes that its letters can be. */
function isShort(data: Content): data is string | Uint8Array {
  if (typeof data === 'string') return data.length <= calls.WRITE_WHOLE_BYTES / 3;
  return isUint8Array(data) && lengthOf(data) <= calls.WRITE_WHOLE_BYTES;
}

/** Sets a file's length. */
export async function truncate(path: unknown, length: unknown = 0): Promise<void> {
  const valid = plainPath(path);
  if (valid === undefined || !Number.isSafeInteger(length)) return await node.truncate(path as never, length as never);
  const bytes = Math.max(0, length as number);
  await opened(valid, constants.O_RDWR, PERMISSIONS, (kernel) => kernel.run(OPCODE_TRUNCATE, bytes, 'ftruncate'));
}
