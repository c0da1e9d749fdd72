// Histograms of task queues: how long one waited for its slices and how long those were. One in eight is timed, so that most wakes
// read no clock; the times are gathered here and handed to the native histogram, sixty-four in a call.
import { binding, type NativeDistribution, type NativeTimes } from '../wire/binding.js';

/** From one that is timed to the next: this many to three times as many, 8 on average. A fixed step would meet the same of queues that take turns. */
const STEP_MIN = 4;
const GATHERED = 64;

/** One histogram. */
class Times {
  #gathered: Float64Array | undefined = undefined;
  #count = 0;
  #native: NativeTimes | undefined = undefined;

  /** Adds a time in nanoseconds. */
  add(nanoseconds: number): void {
    this.#gathered ??= new Float64Array(GATHERED);
    this.#gathered[this.#count++] = nanoseconds;
    if (this.#count === GATHERED) this.#hand();
  }

  read(): NativeDistribution {
    return this.#hand().read();
  }

  #hand(): NativeTimes {
    this.#native ??= new (binding().NativeTimes)();
    if (this.#gathered !== undefined) this.#native.record(this.#gathered, this.#count);
    this.#count = 0;
    return this.#native;
  }
}

/** The waits and the slices of one queue. What is timed is chosen as the queue becomes ready. */
export class QueueTimes {
  readonly wait = new Times();
  readonly slice = new Times();
  /** Ready since then, if that is timed; else 0. */
  #since = 0;
  #left = 0;

  /** The queue has something to run: true when `ready` shall be told when. */
  due(): boolean {
    if (this.#left > 0) {
      this.#left--;
      return false;
    }
    this.#left = STEP_MIN - 1 + Math.floor(Math.random() * (2 * STEP_MIN + 1));
    return true;
  }

  /** It has since then. */
  ready(now: number): void {
    this.#since = now;
  }

  /** Its slice begins: true when `slice` shall get its length. */
  begin(now: number): boolean {
    if (this.#since === 0) return false;
    this.wait.add(Math.max(0, now - this.#since));
    this.#since = 0;
    return true;
  }
}
