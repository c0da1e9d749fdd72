// Who waits at a port, for a message or for room: first come, first served; a signal takes one of them away.
import { listen, reasonOf } from './abort.js';

interface Wait<T, What> {
  readonly what: What;
  resolve: (value: T) => void;
  reject: (error: unknown) => void;
}

/** See the file's head. `T` is what a wait ends with, `What` what it waits with. */
export class Waits<T, What = undefined> {
  #waiting: Wait<T, What>[] = [];

  /** True when nobody waits. */
  get empty(): boolean {
    return this.#waiting.length === 0;
  }

  /** What the first waits with. */
  get first(): What | undefined {
    return this.#waiting[0]?.what;
  }

  /** Waits behind the others. `changed` is called when somebody has come or gone. */
  join(what: What, signal: AbortSignal | undefined, changed: () => void): Promise<T> {
    return new Promise((resolve, reject) => {
      const wait: Wait<T, What> = { what, resolve, reject };
      const forget = listen(signal, () => {
        this.#waiting = this.#waiting.filter((other) => other !== wait);
        reject(reasonOf(signal));
        changed();
      });
      if (forget !== undefined) {
        wait.resolve = (value) => {
          forget();
          resolve(value);
        };
        wait.reject = (error) => {
          forget();
          reject(error);
        };
      }
      this.#waiting.push(wait);
      changed();
    });
  }

  /** Ends the first one's wait. */
  settleFirst(value: T): void {
    this.#waiting.shift()?.resolve(value);
  }

  /** Ends the first one's wait with an error. */
  refuseFirst(error: unknown): void {
    this.#waiting.shift()?.reject(error);
  }

  /** Ends all waits with an error. */
  refuseAll(error: unknown): void {
    for (const wait of this.#waiting.splice(0)) wait.reject(error);
  }
}
