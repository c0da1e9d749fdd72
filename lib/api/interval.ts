// interval: a steady beat to iterate over. Beats that nobody waited for are counted, not queued.
import { now } from '../ring/timers.js';
import { isAborted, listen, reasonOf } from './abort.js';
import { SLEEP_RULES, type SleepOptions } from './options.js';
import { checkDelay, waitUntil } from './timer.js';
import { checked } from './validate.js';

/**
 * Beats every `ms` milliseconds, counted from the call without drift: beat `n` is due `n × ms` after it.
 *
 * @param ms - Milliseconds between beats, from 0.05 to 2^53 − 1; fractions count.
 * @param options - See {@link SleepOptions}; `signal` ends the iteration with its reason.
 * @returns An iterator whose values say how many beats there were since the last value: 1, or more when the loop's body was slower
 * than the beat. Leaving the loop ends it. While nobody waits for the next beat there is no timer and nothing keeps the
 * process alive.
 * @throws ERR_RINGWHEEL_INVALID_OPTION when `ms` is not such a number or an option is unknown.
 * @throws ERR_RINGWHEEL_CLOSED, from `next`, when the executor is closed meanwhile.
 * @example
 * ```ts
 * import { interval } from 'ringwheel';
 * let beats = 0;
 * for await (const count of interval(5)) {
 *   beats += count;
 *   if (beats >= 3) break;
 * }
 * ```
 */
export function interval(ms: number, options?: SleepOptions): AsyncIterableIterator<number> {
  checkDelay('interval', ms, 0.05);
  return new Interval(ms, checked('interval', options, SLEEP_RULES));
}

class Interval implements AsyncIterableIterator<number> {
  readonly #start = now();
  readonly #ms: number;
  readonly #options: SleepOptions;
  /** Beats that were handed out. */
  #beats = 0;
  #ended = false;
  /** Settles after the calls of `next` so far, one after the other. */
  #last: Promise<unknown> = Promise.resolve();
  /** Ends the wait that is going on. */
  #stop: (() => void) | undefined;

  constructor(ms: number, options: SleepOptions) {
    this.#ms = ms;
    this.#options = options;
  }

  next(): Promise<IteratorResult<number, undefined>> {
    const result = this.#last.then(() => this.#beat());
    this.#last = result.catch(() => {});
    return result;
  }

  return(): Promise<IteratorResult<number, undefined>> {
    this.#ended = true;
    this.#stop?.();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #beat(): Promise<IteratorResult<number, undefined>> | IteratorResult<number, undefined> {
    const { signal } = this.#options;
    if (this.#ended) return { done: true, value: undefined };
    if (isAborted(signal)) {
      this.#ended = true;
      return Promise.reject(reasonOf(signal));
    }
    const count = this.#passed();
    if (count > 0) return this.#hand(count);
    return new Promise((resolve, reject) => {
      const fail = (error: unknown) => {
        end();
        this.#ended = true;
        reject(error);
      };
      const due = () => {
        const count = this.#passed();
        if (count === 0) {
          cancel = this.#wait(due, fail); // A rounding error early.
          return;
        }
        end();
        resolve(this.#hand(count));
      };
      const end = () => {
        cancel();
        forget?.();
        this.#stop = undefined;
      };
      let cancel = this.#wait(due, fail);
      const forget = listen(signal, () => fail(reasonOf(signal)));
      this.#stop = () => {
        end();
        resolve({ done: true, value: undefined });
      };
    });
  }

  #wait(due: () => void, fail: (error: unknown) => void): () => boolean {
    const time = this.#start + (this.#beats + 1) * this.#ms;
    return waitUntil('interval', Math.max(time, now()), this.#options, due, fail);
  }

  /** Beats since the last one that was handed out. */
  #passed(): number {
    return Math.floor((now() - this.#start) / this.#ms) - this.#beats;
  }

  #hand(count: number): IteratorResult<number, undefined> {
    this.#beats += count;
    return { done: false, value: count };
  }
}
