// What readFile and file.readAll share: their options, and what becomes of an answer.

import { FailedAt } from './call.js';
import { ourError, type RingwheelError, systemError } from './errors.js';
import { abortSignal, type Rule, whole } from './validate.js';

/** Options of {@link readFile} and {@link File.readAll}. */
export interface ReadFileOptions {
  /** The most bytes: a longer file is refused, before anything is read where it says its length. Default 2^53 − 1; of what does not say its length (pipes,
   * devices, /proc) 2^31 − 1. */
  limit?: number;
  /** Ends the read early: the promise rejects with the signal's reason at once. */
  signal?: AbortSignal;
}

/** The default limit of a file that does not say its length, which may have no end. */
export const UNKNOWN_MOST = 2 ** 31 - 1;

/** @internal */
export const READ_FILE_RULES: Record<string, Rule> = { limit: whole(0, Number.MAX_SAFE_INTEGER), signal: abortSignal };

/** What a whole-file read gave, or its error; `first` is what fails where no step is told. @internal */
export function wholeOf(
  read: Buffer | string | number | FailedAt,
  where: string,
  limit: number,
  path: string,
  first: 'open' | 'read',
): Uint8Array {
  if (typeof read === 'number') throw systemError(read, first, path);
  if (read instanceof FailedAt) {
    if (read.size === undefined) throw systemError(read.errno, read.syscall === 'lstat' ? 'fstat' : read.syscall, path);
    throw tooLarge(where, read.size, limit === Number.MAX_SAFE_INTEGER ? UNKNOWN_MOST : limit);
  }
  const bytes = read as Buffer;
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** The error of a file that is longer than the caller takes. @internal */
export function tooLarge(where: string, size: number, limit: number): RingwheelError {
  const message = `${where}: the file has ${size} bytes or more, and the limit is ${limit}: raise \`limit\`, or read it as a stream`;
  return ourError('ERR_RINGWHEEL_NO_MEMORY', message);
}
