// What travels between a pool and its members: calls, replies, and errors that keep class name, message, code and stack.
import { isMainThread, MessagePort, type Transferable, workerData } from 'node:worker_threads';
import { isSignal } from './abort.js';
import { ERROR_CODES, type ErrorCode, ourError, RingwheelError } from './errors.js';
import type { MeshSeat } from './mesh-seats.js';
import type { ExecutorOptions } from './options.js';

/** What a member is started with. */
export interface Boot {
  /** In each message from the member: others are those of modules that post to their thread's parent for themselves. */
  readonly brand: string;
  readonly member: number;
  readonly size: number;
  readonly executor: ExecutorOptions;
  readonly setup: string | undefined;
}

/** To a member. Ids are counted from 1; no two calls of a member have the same. */
export type ToMember =
  | {
      readonly kind: 'call';
      readonly id: number;
      readonly module: string;
      readonly name: string;
      readonly args: readonly unknown[];
      /** Which of the arguments are signals; there they are undefined. */
      readonly signals: readonly number[];
    }
  /** The signal that is that argument of that call has aborted. */
  | { readonly kind: 'abort'; readonly id: number; readonly index: number; readonly reason: FlatError }
  | { readonly kind: 'mesh'; readonly seat: MeshSeat }
  | { readonly kind: 'close' };

/** What comes from a member, if it has the brand. */
export interface Branded {
  readonly brand: string;
  readonly message: FromMember;
}

/** From a member. */
export type FromMember =
  | { readonly kind: 'ready'; readonly driver: 'uring' | 'poll'; readonly notes: readonly string[] }
  | { readonly kind: 'failed'; readonly error: FlatError }
  | { readonly kind: 'value'; readonly id: number; readonly nth?: undefined; readonly value: unknown }
  | { readonly kind: 'error'; readonly id: number; readonly nth?: undefined; readonly error: FlatError }
  /** The nth message, counted from 1, could not be read. */
  | { readonly kind: 'error'; readonly id?: undefined; readonly nth: number; readonly error: FlatError }
  | { readonly kind: 'closed' };

/** The place of a Boot in workerData, which programs may use for themselves in their own workers. */
export const BOOT = 'ringwheel.pool';

/** What this thread was started with as a member; undefined elsewhere. */
export function boot(): Boot | undefined {
  return isMainThread ? undefined : (workerData as { [BOOT]?: Boot } | null)?.[BOOT];
}

/** A thrown value that has become plain data. */
export interface FlatError {
  /** Not an Error but this value. */
  readonly value?: unknown;
  readonly className?: string;
  /** The nearest built-in class that it extends. */
  readonly base?: string;
  readonly name?: string;
  readonly message?: string;
  readonly stack?: string | undefined;
  /** Its other own properties that are plain: code, errno, syscall, path, … */
  readonly properties?: Record<string, unknown>;
  readonly cause?: FlatError | undefined;
  readonly errors?: FlatError[] | undefined;
}

/** Chains of causes longer than this are cut: an error may be its own cause. */
const DEPTH = 8;

/** Whatever was thrown, as data. Runs no getter but those of `name`, `message`, `stack` and `cause`, and never throws. */
export function flatten(thrown: unknown, depth = 0): FlatError {
  try {
    if (!(thrown instanceof Error)) return { value: cloned(thrown) };
    const properties: Record<string, unknown> = {};
    for (const [key, { value }] of Object.entries(Object.getOwnPropertyDescriptors(thrown))) {
      const plain = value === null || !['object', 'function', 'symbol', 'undefined'].includes(typeof value);
      if (plain && !['name', 'message', 'stack'].includes(key)) properties[key] = value;
    }
    const { name, message, stack, cause } = thrown;
    // DOMException has it as a getter of its prototype.
    const { code } = thrown as { code?: unknown };
    if (typeof code === 'string' || typeof code === 'number') properties.code = code;
    return {
      className: String(thrown.constructor?.name ?? 'Error'),
      base: baseOf(thrown),
      name: String(name),
      message: String(message),
      stack: typeof stack === 'string' ? stack : undefined,
      properties,
      cause: cause === undefined || depth >= DEPTH ? undefined : flatten(cause, depth + 1),
      errors:
        thrown instanceof AggregateError && depth < DEPTH
          ? thrown.errors.map((each: unknown) => flatten(each, depth + 1))
          : undefined,
    };
  } catch {
    return { className: 'Error', base: 'Error', name: 'Error', message: 'something was thrown that cannot be read' };
  }
}

/** A copy, whose getters have run: the message is cloned once more. Else its text. */
function cloned(value: unknown): unknown {
  try {
    return structuredClone(value);
  } catch {
    return String(value);
  }
}

const BUILT_IN: Readonly<Record<string, new (message: string) => Error>> = {
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
};

/** The name of the nearest built-in class. */
function baseOf(error: Error): string {
  if (error instanceof DOMException) return 'DOMException';
  if (error instanceof AggregateError) return 'AggregateError';
  return Object.entries(BUILT_IN).find(([, Class]) => error instanceof Class)?.[0] ?? 'Error';
}

/** The error again, in this thread: of its own class when that is built in or ours, else of the nearest built-in one with its class's name. */
export function restore(flat: FlatError): unknown {
  if (flat.className === undefined) return flat.value;
  const error = ofClass(flat, flat.className, flat.message ?? '');
  const hidden = { configurable: true, writable: true, enumerable: false };
  // A class that never set `name` has the name of the one that it extends: then its own says more.
  const name = flat.name === flat.base && flat.base !== 'DOMException' ? flat.className : flat.name;
  if (error.name !== name) Object.defineProperty(error, 'name', { ...hidden, value: name });
  Object.defineProperty(error, 'stack', { ...hidden, value: flat.stack });
  for (const [key, value] of Object.entries(flat.properties ?? {})) {
    if ((error as unknown as Record<string, unknown>)[key] !== value) {
      Object.defineProperty(error, key, { ...hidden, enumerable: true, value });
    }
  }
  if (flat.cause !== undefined) Object.defineProperty(error, 'cause', { ...hidden, value: restore(flat.cause) });
  return error;
}

function ofClass(flat: FlatError, className: string, message: string): Error {
  const code = flat.properties?.code;
  const { base = 'Error' } = flat;
  if (className === RingwheelError.name && typeof code === 'string' && Object.hasOwn(ERROR_CODES, code)) {
    return ourError(code as ErrorCode, message);
  }
  if (base === 'AggregateError') return new AggregateError((flat.errors ?? []).map(restore), message);
  if (base === 'DOMException') return new DOMException(message, flat.name);
  const BuiltIn = Object.hasOwn(BUILT_IN, base) ? BUILT_IN[base] : undefined;
  return BuiltIn === undefined ? new Error(message) : new BuiltIn(message);
}

/** What `transfer` marked, by value. */
const MARKED = new WeakMap<object, readonly Transferable[]>();

/** Marks a value so that these parts of it are moved, not copied, when it is an argument or a result. */
export function mark<T extends object>(value: T, parts: readonly Transferable[]): T {
  MARKED.set(value, parts);
  return value;
}

/** Arguments without the signals among them, which cannot be cloned, and those, by place. */
export function withoutSignals(args: readonly unknown[]): {
  plain: readonly unknown[];
  signals: Map<number, AbortSignal>;
} {
  const signals = new Map<number, AbortSignal>();
  // First by class: asking what is none costs an error, dearer than the whole call.
  for (const [index, arg] of args.entries()) if (arg instanceof AbortSignal && isSignal(arg)) signals.set(index, arg);
  return {
    plain: signals.size === 0 ? args : args.map((arg, index) => (signals.has(index) ? undefined : arg)),
    signals,
  };
}

/** What has to be moved with these values: what was marked, and ports, which cannot be copied. Undefined for nothing: Node takes its time over lists. */
export function transfersOf(values: readonly unknown[]): Transferable[] | undefined {
  const list: Transferable[] = [];
  for (const value of values) {
    if (typeof value !== 'object' || value === null) continue;
    const marked = MARKED.get(value);
    if (marked !== undefined) list.push(...marked);
    else if (value instanceof MessagePort) list.push(value);
  }
  return list.length === 0 ? undefined : list;
}
