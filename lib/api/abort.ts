// How an AbortSignal reaches an operation, and how its listener leaves when the promise has settled.

/** The operations that wait for one signal: they share a listener, so that a thousand reads under one signal add one. */
const waiting = new WeakMap<AbortSignal, Set<() => void>>();

function tellAll(this: AbortSignal): void {
  const all = waiting.get(this);
  waiting.delete(this);
  if (all !== undefined) for (const onAbort of all) onAbort();
}

/** Calls `onAbort` when the signal aborts. Returns what takes that back; undefined when there is no signal. @internal */
export function listen(signal: AbortSignal | undefined, onAbort: () => void): (() => void) | undefined {
  if (signal === undefined) return undefined;
  const others = waiting.get(signal);
  const all = others ?? new Set();
  all.add(onAbort);
  if (others === undefined) {
    waiting.set(signal, all);
    signal.addEventListener('abort', tellAll, { once: true });
  }
  return () => {
    all.delete(onAbort);
    if (all.size > 0 || waiting.get(signal) !== all) return;
    waiting.delete(signal);
    signal.removeEventListener('abort', tellAll);
  };
}

/**
 * Rejects with the signal's reason the moment it aborts, whatever `work` does later; else settles as `work` does. For
 * work on private memory, which can be left behind: the kernel finishes it and its range goes back by itself. @internal
 */
export function rejectsEarly<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const forget = listen(signal, () => reject(signal.reason));
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
