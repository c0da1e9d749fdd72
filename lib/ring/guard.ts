// Work for many that one of them must not spoil: what one throws goes to `uncaughtException`, and the others are served all the same.

/** Throws it in a microtask of its own. */
export function throwLater(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}

/** Runs `work`; what it throws is thrown later. */
export function guarded(work: () => void): void {
  try {
    work();
  } catch (error) {
    throwLater(error);
  }
}
