// Soft preemption on this side: whether the time of what runs is over, or somebody waits who must be quick, in one load.
//
//   word == 0 ── go on
//   word != 0 ── ask Rust, once: it reads the clock, sets the timer for what is left and lowers the word, or says yes. A yes stays
//                a yes until the slice ends, without a call.
//
// The word is raised by the kernel or a thread (crates/driver/src/preempt): at the end of the slice, and when the event loop has something
// to do, which is a completion, a timer of ours, or a socket of Node's; by other threads that have a message; by `urge`.
import type { NativeExecutor } from '../wire/binding.js';
import type { Scheduler } from './scheduler.js';

/** Before the first look, and where the word cannot be seen: always raised, so that each look asks. */
const RAISED = new Uint32Array([1]);
/** The bit of the word that stands for "a latency class has something to do" (LATENCY in crates/driver/src/preempt/mod.rs). */
const LATENCY = 1 << 19;

/** See the file's head. */
export class Preempt {
  #word = RAISED;
  /** The slice that is known to be over: it is not asked about again. */
  #over = -1;
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

  /** A plain load, since Atomics.load costs ten times as much; the loop that calls it sees the change all the same (a spec says so). */
  needed(): boolean {
    return this.#word[0] !== 0 && this.#slow();
  }

  /** A latency class has something to do: what runs should come to its end. */
  urge(): void {
    // Atomic, since the kernel writes other bits of the word at the same time.
    if (this.#word !== RAISED) Atomics.or(this.#word, 0, LATENCY);
  }

  /** The executor is closed: whatever runs should come to its end. */
  end(): void {
    this.#word = RAISED;
    this.#asked = true;
  }

  #look(): boolean {
    const { slicing, slices } = this.#scheduler;
    if (slicing && this.#over === slices) return true;
    const over = this.#confirm();
    if (over && slicing) this.#over = slices;
    return over;
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
