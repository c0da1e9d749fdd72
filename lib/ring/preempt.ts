// Soft preemption on this side: whether the time of what runs is over, in two loads.
//
// A timer for each slice would tell, at the price of an interrupt, 20 µs in a virtual machine: 8 % of a slice of a quarter
// millisecond. So in a slice the looks themselves tell how often the clock has to be read: after as many more looks as will take half of
// the time that is left, as often as they came so far, and at most as many as there were. The word, which the kernel or a thread raises
// 5 ms after the slice's end, is for looks that come less and less often.
import type { NativeExecutor } from '../wire/binding.js';
import { monotonic, type Scheduler } from './scheduler.js';

/** Before the first look, and where the word cannot be seen: always raised, so that each look asks. */
const RAISED = new Uint32Array([1]);
/** The part of a slice that is not worth another look at the clock. */
const CLOSE = 0.02;
/** Looks in one slice, at most. */
const LOOKS_MAX = 1e8;

/** See the file's head. */
export class Preempt {
  #word = RAISED;
  /** The slice that is known to be over: it is not asked about again. */
  #over = -1;
  /** Looks that were to come before the clock is read again. */
  #step = 0;
  readonly #native: () => NativeExecutor;
  readonly #scheduler: Scheduler;
  #asked = false;
  /**
   * What a look calls that may have to say yes; this and the next in turn. V8 copies a function into the loops that call it where it has
   * seen no other in that place, and the registers that `#look` needs cost every look a nanosecond or two.
   */
  #slow = (): boolean => {
    this.#slow = this.#other;
    return this.#look();
  };
  readonly #one = this.#slow;
  readonly #other = (): boolean => {
    this.#slow = this.#one;
    return this.#look();
  };

  constructor(native: () => NativeExecutor, scheduler: Scheduler) {
    this.#native = native;
    this.#scheduler = scheduler;
  }

  /** Plain loads, since Atomics.load costs ten times as much; the loop that calls it sees the change all the same (a spec says so). */
  needed(): boolean {
    return (--this.#scheduler.looksLeft < 0 || this.#word[0] !== 0) && this.#slow();
  }

  /** The executor is closed: whatever runs should come to its end. */
  end(): void {
    this.#word = RAISED;
    this.#asked = true;
  }

  #look(): boolean {
    const scheduler = this.#scheduler;
    const { slicing, slices } = scheduler;
    if (slicing && this.#over === slices) {
      scheduler.looksLeft = 0;
      return true;
    }
    const over = (this.#word[0] !== 0 && this.#confirm()) || (slicing && this.#isOver());
    if (over && slicing) this.#over = slices;
    if (over || !slicing) scheduler.looksLeft = slicing ? 0 : 1e6; // Outside of slices there is the word alone.
    return over;
  }

  #isOver(): boolean {
    const scheduler = this.#scheduler;
    const { sliceStart, sliceEnd } = scheduler;
    const now = monotonic();
    const left = sliceEnd - now;
    if (left <= (sliceEnd - sliceStart) * CLOSE) return true;
    const passed = scheduler.looks === 0 ? 1 : 1 + this.#step - Math.max(0, scheduler.looksLeft + 1);
    scheduler.looks = Math.min(scheduler.looks + passed, LOOKS_MAX) | 0;
    const rate = scheduler.looks / Math.max(now - sliceStart, 1);
    // Whole, as small integers: were it ever a double, each look would count down in floating point.
    this.#step = Math.min(scheduler.looks, LOOKS_MAX, (rate * left) / 2) | 0;
    scheduler.looksLeft = this.#step;
    return false;
  }

  #confirm(): boolean {
    const native = this.#native();
    if (!this.#asked) {
      this.#asked = true;
      const word = native.preemptWord();
      if (word !== null) this.#word = new Uint32Array(word);
    }
    return native.confirmPreempt();
  }
}
