// The function that a port calls for each message, a bounded number of times in one call of the loop.
import { guarded, throwLater } from '../ring/guard.js';

/** No message; none of a user's. */
export const NONE = Symbol('none');
/** Messages that a listener is given in one call of the loop; the rest comes in the next. */
const BATCH = 1024;

/** See the file's head. */
export class Listener<T> {
  readonly #onMessage: (message: T) => void;
  readonly #onEnd: ((error?: Error) => void) | undefined;

  constructor(onMessage: (message: T) => void, onEnd: ((error?: Error) => void) | undefined) {
    this.#onMessage = onMessage;
    this.#onEnd = onEnd;
  }

  /** Calls with what `take` gives. False when there may be more. Throws what `take` throws; what the function throws comes later. */
  serve(take: () => T | typeof NONE): boolean {
    for (let left = BATCH; left > 0; left--) {
      const message = take();
      if (message === NONE) return true;
      try {
        this.#onMessage(message as T);
      } catch (error) {
        throwLater(error);
      }
    }
    return false;
  }

  /** No message will come any more. */
  end(error: Error | undefined): void {
    const onEnd = this.#onEnd;
    if (onEnd !== undefined) guarded(() => onEnd(error));
  }
}
