// Who waits for a semaphore, a lock, a gate or an event of this thread: served in the order of asking, taken out by a signal.
import { Fifo } from '../ring/fifo.js';
import { listen, reasonOf } from './abort.js';
import { backToQueue } from './executor.js';

/** See the file's head. @internal */
export class Line {
  readonly #waiting = new Fifo();
  /** Why whoever is served now gets nothing. */
  #refusal: Error | undefined;

  /** True when nobody waits. */
  get empty(): boolean {
    return this.#waiting.empty;
  }

  /** How many wait. */
  get count(): number {
    return this.#waiting.count;
  }

  /** How much the first one wants; undefined when nobody waits. */
  get firstWants(): number | undefined {
    return this.#waiting.first?.want;
  }

  /**
   * Waits at the end of the line. What awaits the promise goes on in the task queue that is current now.
   *
   * @param grant - Makes what the promise is resolved with, the moment it is served.
   * @param left - Called when a signal took it out: the next one may want less.
   */
  join<T>(want: number, signal: AbortSignal | undefined, grant: () => T, left: () => void): Promise<T> {
    return new Promise((resolve, reject) => {
      const back = backToQueue();
      const waiter = this.#waiting.push(() => {
        forget?.();
        const refusal = this.#refusal;
        if (refusal !== undefined) back(() => reject(refusal));
        else {
          const granted = grant();
          back(() => resolve(granted));
        }
      }, want);
      const forget = listen(signal, () => {
        waiter.wanted = false;
        reject(reasonOf(signal));
        left();
      });
    });
  }

  /** Serves the first one. Call only when somebody waits. */
  serveFirst(): void {
    this.#waiting.runFirst();
  }

  /** Refuses all who wait. */
  refuse(error: Error): void {
    this.#refusal = error;
    while (!this.#waiting.empty) this.#waiting.runFirst();
    this.#refusal = undefined;
  }
}
