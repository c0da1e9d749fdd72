// Soft preemption on this side: whether the time of what runs is over, in one plain load.
import type { NativeExecutor } from '../wire/binding.js';
import type { Scheduler } from './scheduler.js';

/** Before the first look, and where the word cannot be seen: always raised, so that each look asks. */
const RAISED = new Uint32Array([1]);

/** See the file's head. */
export class Preempt {
  #word = RAISED;
  #asked = false;
  /** The slice that is known to be over: it is not asked about again. */
  #over = -1;
  readonly #native: () => NativeExecutor;
  readonly #scheduler: Scheduler;

  constructor(native: () => NativeExecutor, scheduler: Scheduler) {
    this.#native = native;
    this.#scheduler = scheduler;
  }

  /** A plain load, since Atomics.load costs ten times as much; the loop that calls it sees the change all the same (a spec says so). */
  needed(): boolean {
    return this.#word[0] !== 0 && this.#confirm();
  }

  /** The executor is closed: whatever runs should come to its end. */
  end(): void {
    this.#word = RAISED;
    this.#asked = true;
  }

  #confirm(): boolean {
    const { slicing, slices } = this.#scheduler;
    if (slicing && this.#over === slices) return true;
    const native = this.#native();
    if (!this.#asked) {
      this.#asked = true;
      const word = native.preemptWord();
      if (word !== null) this.#word = new Uint32Array(word);
    }
    const over = native.confirmPreempt();
    if (over && slicing) this.#over = slices;
    return over;
  }
}
