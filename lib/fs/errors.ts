// The errors of a failed call, as Node makes them: the same words, the same properties in the same order.
//
// Each is made after an await, so that its stack has the frames of whoever awaits it and none of this room's inside: `at async stat`, as Node's has.
import { getSystemErrorMap } from 'node:util';
import { type Failed, FailedAt } from '../api/call.js';
import { node } from './node.js';

/** A path that was found valid: text, or bytes of our own. */
export type Path = string | Uint8Array;

/** An error of the system in Node's shape. */
export type UvError = NodeJS.ErrnoException & { dest?: string };

/** What a path looks like in a message: what its bytes are as UTF-8. */
function shownPath(path: Path): string {
  return Buffer.from(path as string).toString(); // Also of text: half a surrogate pair is no UTF-8.
}

/**
 * Makes the error of a system call.
 *
 * @param errno - Negative, as in Node.
 * @param syscall - The name under which Node reports the call.
 * @param path - Of calls with a path.
 * @param dest - Of calls with two.
 */
export async function uvError(errno: number, syscall: string, path?: Path, dest?: Path): Promise<UvError> {
  await undefined;
  const unknown = `Unknown system error ${errno}`;
  const [code, what] = getSystemErrorMap().get(errno) ?? [unknown, unknown];
  let message = `${code}: ${what}, ${syscall}`;
  if (path !== undefined) message += ` '${shownPath(path)}'`;
  if (dest !== undefined) message += ` -> '${shownPath(dest)}'`;
  const error = new Error(message) as UvError;
  Error.captureStackTrace(error, uvError);
  error.errno = errno;
  error.code = code;
  error.syscall = syscall;
  if (path !== undefined) error.path = shownPath(path);
  if (dest !== undefined) error.dest = shownPath(dest);
  return error;
}

/**
 * The error of a call with several steps.
 *
 * @param failure - A number, or the step that failed.
 * @param syscall - Of a number: what failed then.
 * @param path - What was asked for.
 * @param shown - Whether errors of all steps tell a path; else only those of open.
 */
export function failed(failure: Failed, syscall: string, path: Path | undefined, shown: boolean): Promise<UvError> {
  if (!(failure instanceof FailedAt)) return uvError(failure, syscall, path);
  const told = shown || failure.syscall === 'open';
  const error = uvError(failure.errno, failure.syscall || syscall, told ? (failure.path ?? path) : undefined);
  return failure.closing === undefined ? error : withClosing(error, failure.closing);
}

async function withClosing(error: Promise<UvError>, closing: number): Promise<UvError> {
  return joined(await error, await uvError(closing, 'close')) as UvError;
}

/** An error that lower rooms made, as Node would make it; one that is none of the system stays as it is. */
export function remade(error: unknown, syscall: string, path?: Path): unknown {
  const { errno } = error as UvError;
  return error instanceof Error && typeof errno === 'number' ? uvError(errno, syscall, path) : error;
}

/** Throws Node's own AbortError, whose cause is the signal's reason. The signal has aborted: Node opens nothing. */
export async function throwAbort(signal: AbortSignal | undefined): Promise<never> {
  await node.readFile('/', { signal });
  throw signal?.reason; // Not reached.
}

/** What an operation on a file threw, and then its close, as Node joins them. */
export function joined(error: unknown, closing: unknown): unknown {
  if (!(error instanceof Error) || !(closing instanceof Error)) return error;
  const both = new AggregateError([error, closing], error.message) as AggregateError & { code?: string | undefined };
  both.code = (error as UvError).code;
  return both;
}
