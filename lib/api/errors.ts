// Every error class and code of the package in one list, and how a completion's number becomes an Error.
import { getSystemErrorMap, inspect } from 'node:util';
import type { Fail } from '../ring/link.js';
import { BUFFER_GONE } from '../ring/link.js';
import { OPCODE_OPEN, OPCODE_QUEUE } from '../ring/pending.js';
import { LINUX_ERRORS } from '../wire/errno.generated.js';
import {
  OPCODE_CALL,
  OPCODE_CLOSE,
  OPCODE_DATASYNC,
  OPCODE_NAMES,
  OPCODE_READV,
  OPCODE_READY,
  OPCODE_SYNC,
  OPCODE_TRUNCATE,
  OPCODE_WRITEV,
  REJECT_CEILING,
  REJECT_CLOSED,
  REJECT_STALE_FILE,
  REJECT_STALE_LEASE,
  REJECTS,
} from '../wire/layout.generated.js';

/** The code of a {@link RingwheelError}. */
export type ErrorCode =
  | 'ERR_RINGWHEEL_INVALID_OPTION'
  | 'ERR_RINGWHEEL_CLOSED'
  | 'ERR_RINGWHEEL_EXECUTOR_RUNNING'
  | 'ERR_RINGWHEEL_NO_MEMORY'
  | 'ERR_RINGWHEEL_LEASE'
  | 'ERR_RINGWHEEL_BUFFER'
  | 'ERR_RINGWHEEL_DRIVER'
  | 'ERR_RINGWHEEL_UNSUPPORTED_HOST'
  | 'ERR_RINGWHEEL_NO_BINDING'
  | 'ERR_RINGWHEEL_SERVER'
  | 'ERR_RINGWHEEL_TOO_MANY_QUEUES'
  | 'ERR_RINGWHEEL_PLACEMENT'
  | 'ERR_RINGWHEEL_MEMBER'
  | 'ERR_RINGWHEEL_MODULE'
  | 'ERR_RINGWHEEL_CLONE'
  | 'ERR_RINGWHEEL_TIMEOUT'
  | 'ERR_RINGWHEEL_TOO_LARGE'
  | 'ERR_RINGWHEEL_CHANNEL'
  | 'ERR_RINGWHEEL_PROPERTIES'
  | 'ERR_RINGWHEEL_INTERNAL';

/**
 * Every code a {@link RingwheelError} can carry, with when it is thrown and whether trying again makes sense.
 * Match on `error.code`; two copies of the package may be loaded, so `instanceof` of a class object is the weaker test.
 */
export const ERROR_CODES: Readonly<Record<ErrorCode, string>> = {
  ERR_RINGWHEEL_INVALID_OPTION:
    'An option or argument is unknown, of the wrong type or out of range. Do not retry: mend the call.',
  ERR_RINGWHEEL_CLOSED:
    'The executor, file, lease, queue, server or request was closed before or during the call. Do not retry.',
  ERR_RINGWHEEL_EXECUTOR_RUNNING:
    'Executor.start was called on a thread that has an executor. Use Executor.current(), or close it first.',
  ERR_RINGWHEEL_NO_MEMORY:
    'The arena has no range as large as was asked for. Release leases and retry, or start with a larger `memory`.',
  ERR_RINGWHEEL_LEASE:
    'The lease was released, belongs to another executor, or is in use by an operation. Await that operation first.',
  ERR_RINGWHEEL_BUFFER:
    'The target or source was detached, or shrank, before its bytes were copied. Do not detach it while an operation runs.',
  ERR_RINGWHEEL_DRIVER:
    'The driver that was asked for cannot start here: the message says what denies it. driver "auto" falls back by itself.',
  ERR_RINGWHEEL_UNSUPPORTED_HOST:
    'This JavaScript runtime has no libuv loop to join (Bun, Deno). FileServer still works there; File and sleep need Node.js.',
  ERR_RINGWHEEL_NO_BINDING:
    'There is no native binary for this platform: the message says which one was looked for and how to build it.',
  ERR_RINGWHEEL_SERVER: 'The file server could not start or stop; the message names the cause and the remedy.',
  ERR_RINGWHEEL_TOO_MANY_QUEUES:
    'The executor has as many task queues as it may have. Close some, or let one queue serve more tasks.',
  ERR_RINGWHEEL_PLACEMENT:
    'A placement or CPU cannot be had here: the message says which limit is in the way and what would help. Do not retry.',
  ERR_RINGWHEEL_MEMBER:
    'A member of a pool died, or did not start; `cause` is the reason. Retry when the pool replaces members and the work may run twice.',
  ERR_RINGWHEEL_MODULE:
    'A module that a pool was to run does not load, or has no such function. Do not retry: mend the module or the call.',
  ERR_RINGWHEEL_CLONE:
    "An argument or result of a pool's call cannot be cloned. Use plain data, or ExecutorPool.transfer for what can only be moved.",
  ERR_RINGWHEEL_TIMEOUT: 'The time was over before the work. The work was told so by its signal. Retry with more time.',
  ERR_RINGWHEEL_TOO_LARGE:
    "The body of a routed request is longer than the server's limits.routeBodyBytes. The client has got 413 in place of an answer.",
  ERR_RINGWHEEL_CHANNEL:
    "The channel's port is used by another thread or object, or something else wrote into its memory. Make another channel.",
  ERR_RINGWHEEL_PROPERTIES:
    'The properties file of the option `adaptive` cannot be read or holds what it may not: the message says what. Make one with `ringwheel calibrate`.',
  ERR_RINGWHEEL_INTERNAL:
    'A defect in ringwheel itself: please report it. The executor was closed and its pending work rejected.',
};

const BRAND = Symbol.for('ringwheel.error');

/**
 * An error that ringwheel itself raises. Errors of the system (ENOENT, EACCES, …) are plain `Error`s of Node's shape:
 * `code`, `errno`, `syscall` and, where there is one, `path`.
 *
 * @example
 * ```ts
 * import { Executor, RingwheelError } from 'ringwheel';
 * try {
 *   Executor.current().lease(2 ** 40);
 * } catch (error) {
 *   if (error instanceof RingwheelError) console.log(error.code); // ERR_RINGWHEEL_NO_MEMORY
 * }
 * ```
 */
export class RingwheelError extends Error {
  /** The stable code: one of {@link ERROR_CODES}. */
  readonly code: ErrorCode;

  /** @internal */
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    Object.defineProperty(this, BRAND, { value: true });
  }

  /** True for a RingwheelError of any copy of the package in this process. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && BRAND in value;
  }
}
Object.defineProperty(RingwheelError.prototype, 'name', {
  value: 'RingwheelError',
  configurable: true,
  writable: true,
});

/** Makes a RingwheelError whose stack starts at the caller of `above`. @internal */
export function ourError(code: ErrorCode, message: string, above?: object): RingwheelError {
  const error = new RingwheelError(code, message);
  if (above !== undefined) Error.captureStackTrace(error, above as () => void);
  return error;
}

/** An error of the system, of the shape Node gives its own. */
export interface SystemError extends Error {
  /** The errno's name, such as `ENOENT`. */
  code: string;
  /** The errno, negative as in Node. */
  errno: number;
  /** The system call that failed. */
  syscall: string;
  /** The path it was about, where there is one. */
  path?: string;
  /** The second path, of calls with two. */
  dest?: string;
}

/** A string in quotes, with NUL, line ends and whatever else could steer a terminal escaped, as Node shows it. @internal */
export function quoted(text: string): string {
  return inspect(text, { breakLength: Number.POSITIVE_INFINITY });
}

/** Makes the Error for a negative errno. @internal */
export function systemError(errno: number, syscall: string, path?: string, dest?: string): SystemError {
  const [code, what] = getSystemErrorMap().get(errno) ?? LINUX_ERRORS.get(errno) ?? [`E${-errno}`, 'unknown error'];
  const place = path === undefined || path === '' ? '' : ` ${quoted(path)}`;
  const other = dest === undefined ? '' : ` -> ${quoted(dest)}`;
  const error = new Error(`${code}: ${what}, ${syscall}${place}${other}`) as SystemError;
  error.errno = errno;
  error.code = code;
  error.syscall = syscall;
  if (place !== '') error.path = path as string;
  if (dest !== undefined) error.dest = dest;
  return error;
}

/** The names under which Node reports these calls; the others have their opcode's. */
const SYSCALLS: ReadonlyMap<number, string> = new Map([
  [OPCODE_OPEN, 'open'],
  [OPCODE_QUEUE, 'queue'],
  [OPCODE_SYNC, 'fsync'],
  [OPCODE_DATASYNC, 'fdatasync'],
  [OPCODE_READY, 'poll'],
  [OPCODE_TRUNCATE, 'ftruncate'],
  [OPCODE_CLOSE, 'close'],
  [OPCODE_CALL, 'call'],
  [OPCODE_READV, 'read'],
  [OPCODE_WRITEV, 'write'],
]);

const REJECT_ERRORS: ReadonlyMap<number, ErrorCode> = new Map([
  [BUFFER_GONE, 'ERR_RINGWHEEL_BUFFER'],
  [REJECT_STALE_LEASE, 'ERR_RINGWHEEL_LEASE'],
  [REJECT_STALE_FILE, 'ERR_RINGWHEEL_CLOSED'],
  [REJECT_CLOSED, 'ERR_RINGWHEEL_CLOSED'],
]);

/** Makes the Error for the negative result of a completion: an errno, or one of our own rejects. @internal */
export function completionError(result: number, opcode: number, path: string): Error {
  const syscall = SYSCALLS.get(opcode) ?? (OPCODE_NAMES[opcode] as string);
  if (result > REJECT_CEILING) return systemError(result, syscall, path);
  const code = REJECT_ERRORS.get(result) ?? 'ERR_RINGWHEEL_INTERNAL';
  const sentence =
    result === BUFFER_GONE
      ? 'the array was detached or shrank before its bytes were copied; leave it alone until the promise has settled'
      : (REJECTS.get(result)?.[1] ?? `unknown reject ${result}`);
  return new RingwheelError(code, `${syscall}: ${sentence}`);
}

/**
 * Rejects with the Error of a completion so that its stack has the frames of the code that awaits it: the Error is made one
 * microtask after the promise was joined to its waiters, when V8 can walk them. Costs nothing where nothing fails. @internal
 */
export const failLater: Fail = async (result, opcode, file) => {
  await undefined; // The caller passes this promise to `resolve`, which joins it in a microtask of its own …
  await undefined; // … that runs before this one.
  throw completionError(result, opcode, file.path);
};

/** A rejected promise from a function that must not throw. @internal */
export function rejected(error: Error): Promise<never> {
  return Promise.reject(error);
}
