// The ports of a thread that wait for another thread: looked at when that has woken this thread's executor.

import { guarded, throwLater } from './guard.js';

/** One that waits. */
export interface Door {
  /** Something may have come. */
  look(): void;
  /** The executor has ended: nobody will wake it any more. */
  abandon(): void;
}

/** See the file's head. */
export class Doors {
  readonly #waiting = new Set<Door>();

  /** From now on it is looked at. */
  add(door: Door): void {
    this.#waiting.add(door);
  }

  /** It waits no more. */
  delete(door: Door): void {
    this.#waiting.delete(door);
  }

  /** Another thread has called. */
  look(): void {
    for (const door of this.#waiting) {
      try {
        door.look();
      } catch (error) {
        throwLater(error); // The others are not told again.
      }
    }
  }

  /** The executor has ended. */
  abandon(): void {
    for (const door of this.#waiting) guarded(() => door.abandon());
    this.#waiting.clear();
  }
}
