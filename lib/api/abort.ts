// How an AbortSignal reaches an operation, and how its listener leaves when the promise has settled.

/** Calls `onAbort` when the signal aborts. Returns what takes the listener away; undefined when there is no signal. @internal */
export function listen(signal: AbortSignal | undefined, onAbort: () => void): (() => void) | undefined {
  if (signal === undefined) return undefined;
  signal.addEventListener('abort', onAbort, { once: true });
  return () => signal.removeEventListener('abort', onAbort);
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
