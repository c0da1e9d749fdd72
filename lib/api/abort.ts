// How an AbortSignal reaches an operation, and how its listener leaves when the promise has settled.
//
// Signals are asked by AbortSignal's own getters and methods: a property that a program put over one of them would run in
// the middle of settling other operations.
import { addAbortListener } from 'node:events';
import { guarded } from '../ring/guard.js';

const { get: aborted } = Object.getOwnPropertyDescriptor(AbortSignal.prototype, 'aborted') as PropertyDescriptor;
const { get: reason } = Object.getOwnPropertyDescriptor(AbortSignal.prototype, 'reason') as PropertyDescriptor;
const { addEventListener, removeEventListener } = EventTarget.prototype;

/**
 * How node:events listens for an abort, so that another listener's stopImmediatePropagation() does not stop it: the key is Node's own, and
 * an object that only looks like a signal is told it.
 */
const RESISTANT: { once: boolean } = { once: true };
try {
  const told = { aborted: false, addEventListener: (...[, , options]: unknown[]) => Object.assign(RESISTANT, options) };
  addAbortListener(told as never, () => {});
} catch {
  // A Node that looks closer: then a program can stop its own aborts.
}

/** True for an AbortSignal, of whatever realm. @internal */
export function isSignal(value: unknown): value is AbortSignal {
  try {
    return typeof aborted?.call(value) === 'boolean';
  } catch {
    return false;
  }
}

/** True when there is a signal and it has aborted. @internal */
export function isAborted(signal: AbortSignal | undefined): boolean {
  return signal !== undefined && aborted?.call(signal) === true;
}

/** Why it has aborted. @internal */
export function reasonOf(signal: AbortSignal | undefined): unknown {
  return reason?.call(signal);
}

/** The operations that wait for one signal: they share a listener, so that a thousand reads under one signal add one. */
const waiting = new WeakMap<AbortSignal, Set<() => void>>();

function tellAll(this: AbortSignal): void {
  const all = waiting.get(this);
  waiting.delete(this);
  if (all !== undefined) for (const onAbort of all) guarded(onAbort);
}

/** Calls `onAbort` when the signal aborts. Returns what takes that back; undefined when there is no signal. @internal */
export function listen(signal: AbortSignal | undefined, onAbort: () => void): (() => void) | undefined {
  if (signal === undefined) return undefined;
  const others = waiting.get(signal);
  const all = others ?? new Set();
  all.add(onAbort);
  if (others === undefined) {
    waiting.set(signal, all);
    addEventListener.call(signal, 'abort', tellAll as never, RESISTANT);
  }
  return () => {
    all.delete(onAbort);
    if (all.size > 0 || waiting.get(signal) !== all) return;
    waiting.delete(signal);
    removeEventListener.call(signal, 'abort', tellAll as never);
  };
}

/**
 * Rejects with the signal's reason the moment it aborts, whatever `work` does later; else settles as `work` does. For
 * work on private memory, which can be left behind: the kernel finishes it and its range goes back by itself. @internal
 */
export function rejectsEarly<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const forget = listen(signal, () => reject(reasonOf(signal)));
    work.then(
      (value) => {
        forget?.();
        resolve(value);
      },
      (error) => {
        forget?.();
        reject(error);
      },
    );
  });
}

/**
 * Runs `work`, which is to pass the signal on to the kernel, and rejects with the signal's reason the moment it aborts: for what has no
 * memory of the caller's. Nothing begins when it has aborted before. @internal
 */
export function endedBy<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  if (signal === undefined) return work();
  return isAborted(signal) ? Promise.reject(reasonOf(signal)) : rejectsEarly(work(), signal);
}
