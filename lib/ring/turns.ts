// One after the other, in the order of the calls: whoever moves something of which a file has one.
import { Fifo } from './fifo.js';

/** Goes on in the task queue that is current now: `Link.backToQueue`. */
export type BackToQueue = (then: () => void) => () => void;

/** See the file's head. */
export class Turns {
  #taken = false;
  readonly #waiting = new Fifo();

  /** Waits for the turn; undefined when it is there. Give it on with `pass`, once. */
  take(back: BackToQueue): Promise<void> | undefined {
    if (this.#taken) return new Promise((resolve) => this.#waiting.push(back(resolve)));
    this.#taken = true;
    return undefined;
  }

  /** Whoever had the turn is done, or has given up. */
  pass(): void {
    if (this.#waiting.empty) this.#taken = false;
    else this.#waiting.runFirst();
  }
}
