// Timer, sleep, sleepUntil: entries of this thread's wheel. No call of the addon and no kernel timer of their own.
import type { Link } from '../ring/link.js';
import { now, PRECISE_TIMER, PROMISE_TIMER, QUIET_TIMER } from '../ring/timers.js';
import { isAborted, listen, reasonOf } from './abort.js';
import { ourError, rejected } from './errors.js';
import { currentLink, linkIfRunning } from './executor.js';
import { SLEEP_RULES, type SleepOptions, TIMER_RULES, type TimerOptions } from './options.js';
import { checked, shown } from './validate.js';

/** Throws unless `ms` is a time to wait. @internal */
export function checkDelay(where: string, ms: unknown, minimum = 0): void {
  if (typeof ms === 'number' && ms >= minimum && ms <= Number.MAX_SAFE_INTEGER) return;
  const message = `${where}: ms must be a number from ${minimum} to ${Number.MAX_SAFE_INTEGER}; got ${shown(ms)}`;
  throw ourError('ERR_RINGWHEEL_INVALID_OPTION', message, checkDelay);
}

/** Throws unless `time` is a point in time. @internal */
export function checkTime(where: string, time: unknown): void {
  if (typeof time === 'number' && time <= Number.MAX_SAFE_INTEGER) return;
  const message = `${where}: time must be a number of milliseconds as performance.now() counts them; got ${shown(time)}`;
  throw ourError('ERR_RINGWHEEL_INVALID_OPTION', message, checkTime);
}

/** This thread's link, unless its executor is closing. @internal */
export function openLink(where: string): Link {
  const link = currentLink();
  if (link.open) return link;
  throw ourError('ERR_RINGWHEEL_CLOSED', `${where}: the executor is closed`, openLink);
}

function kindOf({ ref, precise }: TimerOptions): number {
  return (ref === false ? QUIET_TIMER : 0) | (precise === true ? PRECISE_TIMER : 0);
}

interface Call {
  wanted: boolean;
}

/**
 * The calls that are to come through a task queue: there they can be taken back after the timer has fired. Beside the timers, as
 * most have none and the collector copies what they hold.
 */
const calls = new WeakMap<Timer, Call>();
/** Beside an entry, which is a multiple of 4: a kind's bits, QUIET_TIMER and PRECISE_TIMER, and that the timer has such a call. */
const BITS = 7;
const ENTRY_SHIFT = 1;
const KIND_BITS = QUIET_TIMER | PRECISE_TIMER;
const HAS_CALL = 4;

/** In place of a generation: cancelled. */
const CANCELLED = 0;

/**
 * Calls a function once, after a time. What `setTimeout` does, at a tenth of its cost to set and cancel.
 *
 * The time counts from the call (when one job sets more than eight timers, for the last ones from the end of the job at the
 * latest), on the monotonic clock, which wall-clock steps do not move and which stands still while the
 * machine is suspended. The callback is never called early, fractions of a millisecond included; a timer that is alone is
 * called within some 0.1 ms of its time, one of many within a millisecond ({@link TimerOptions.precise}). Callbacks run in
 * the order of their times (within one millisecond in no promised order), up to 1024 in one call, before the microtasks they
 * queued. What a callback throws goes to `uncaughtException`; the others are called all the same. It runs outside of any
 * AsyncLocalStorage: wrap it in `AsyncResource.bind` where that matters.
 *
 * A timer that work of a {@link TaskQueue} sets calls back as work of that queue.
 *
 * A timer keeps the process alive until it has fired, unless `ref` is false. It belongs to the thread's executor and ends
 * with it. Cost: one small object; no call of the addon, no system call.
 *
 * @example
 * ```ts
 * import { Timer } from 'ringwheel';
 * const idle = new Timer(30_000, () => console.log('nobody came'));
 * idle.refresh(); // Somebody came: thirty seconds from now.
 * console.log(idle.cancel()); // true: it had not fired.
 * ```
 */
export class Timer implements Disposable {
  // Four fields, 56 bytes: the collector copies each timer that lives for a while, which is half of what one costs.
  readonly #callback: () => void;
  #ms: number;
  /** The entry, and BITS. */
  #entry: number;
  #generation: number;

  /**
   * @param ms - Milliseconds until the call, from 0 to 2^53 − 1; fractions count.
   * @param callback - Called without arguments. What it returns is not looked at: a promise that rejects is an unhandled
   * rejection, as with `setTimeout`.
   * @param options - See {@link TimerOptions}.
   * @throws ERR_RINGWHEEL_INVALID_OPTION when `ms` is not such a number, `callback` no function or an option unknown.
   * @throws ERR_RINGWHEEL_CLOSED while the executor is closing.
   */
  constructor(ms: number, callback: () => void, options?: TimerOptions) {
    if (!(typeof ms === 'number' && ms >= 0 && ms <= Number.MAX_SAFE_INTEGER)) checkDelay('Timer', ms);
    if (typeof callback !== 'function') {
      const message = `Timer: callback must be a function; got ${shown(callback)}`;
      throw ourError('ERR_RINGWHEEL_INVALID_OPTION', message, Timer);
    }
    const kind = options === undefined ? 0 : kindOf(checked('Timer', options, TIMER_RULES));
    const { timers, scheduler } = openLink('Timer');
    this.#callback = callback;
    this.#ms = ms;
    this.#entry = kind;
    const entry = timers.setIn(ms, scheduler.current === undefined ? callback : this.#inQueue(), kind);
    this.#entry |= entry << ENTRY_SHIFT;
    this.#generation = timers.generationOf(entry);
  }

  /** Takes the timer back: its callback is not called, also when it was due already. @returns False when it had fired or was cancelled. */
  cancel(): boolean {
    const generation = this.#generation;
    if (generation === CANCELLED) return false;
    this.#generation = CANCELLED;
    const queued = this.#takeBack();
    const timers = linkIfRunning()?.timers;
    return timers?.cancel((this.#entry & ~BITS) >> ENTRY_SHIFT, generation) || queued;
  }

  /**
   * Starts the time anew from now; a timer that has fired will fire once more. A cancelled one stays cancelled. Cost: to a later
   * time, one clock read and one store.
   *
   * @param ms - Milliseconds from now, from 0 to 2^53 − 1. Default: as last given.
   * @throws ERR_RINGWHEEL_INVALID_OPTION when `ms` is not such a number.
   * @throws ERR_RINGWHEEL_CLOSED when the executor has been closed.
   */
  refresh(ms: number = this.#ms): void {
    if (!(typeof ms === 'number' && ms >= 0 && ms <= Number.MAX_SAFE_INTEGER)) checkDelay('timer.refresh', ms);
    const generation = this.#generation;
    if (generation === CANCELLED) return;
    this.#ms = ms;
    const link = linkIfRunning();
    const deadline = now() + ms;
    if (link?.timers.move((this.#entry & ~BITS) >> ENTRY_SHIFT, generation, deadline)) return;
    if (!link?.open || generation < link.timers.floor) {
      throw ourError('ERR_RINGWHEEL_CLOSED', 'timer.refresh: the executor is closed', this.refresh);
    }
    this.#takeBack();
    const call = link.scheduler.current === undefined ? this.#callback : this.#inQueue();
    const entry = link.timers.set(deadline, call, this.#entry & KIND_BITS);
    this.#entry = (entry << ENTRY_SHIFT) | (this.#entry & BITS);
    this.#generation = link.timers.generationOf(entry);
  }

  /** The timer keeps the process alive while it waits. That is how it begins. */
  ref(): this {
    return this.#setQuiet(false);
  }

  /** The timer does not keep the process alive. */
  unref(): this {
    return this.#setQuiet(true);
  }

  /** Whether it keeps the process alive while it waits. */
  hasRef(): boolean {
    return (this.#entry & QUIET_TIMER) === 0;
  }

  /** The same as {@link Timer.cancel}, for `using`. */
  [Symbol.dispose](): void {
    this.cancel();
  }

  #inQueue(): () => void {
    const call: Call = { wanted: true };
    calls.set(this, call);
    this.#entry |= HAS_CALL;
    const callback = this.#callback;
    return () => {
      if (!call.wanted) return;
      call.wanted = false;
      callback();
    };
  }

  /** True when a call was on its way. */
  #takeBack(): boolean {
    if ((this.#entry & HAS_CALL) === 0) return false;
    this.#entry &= ~HAS_CALL;
    const call = calls.get(this) as Call;
    const { wanted } = call;
    call.wanted = false;
    return wanted;
  }

  #setQuiet(quiet: boolean): this {
    this.#entry = quiet ? this.#entry | QUIET_TIMER : this.#entry & ~QUIET_TIMER;
    linkIfRunning()?.timers.setQuiet((this.#entry & ~BITS) >> ENTRY_SHIFT, this.#generation, quiet);
    return this;
  }
}

let grabbed: () => void;
const grab = (resolve: (value: undefined) => void): void => {
  grabbed = resolve as () => void;
};

/**
 * Waits for at least `ms` milliseconds.
 *
 * The time counts from the call; see {@link Timer} for the clock, the precision and the order. Cost: its promise; no call of
 * the addon, no system call.
 *
 * @param ms - Milliseconds from 0 to 2^53 − 1; fractions count.
 * @param options - See {@link SleepOptions}.
 * @returns A promise without a value.
 * @throws ERR_RINGWHEEL_INVALID_OPTION when `ms` is not such a number or an option is unknown.
 * @throws ERR_RINGWHEEL_CLOSED when the executor is closed meanwhile.
 * @throws The signal's `reason` when it aborts first.
 * @example
 * ```ts
 * import { sleep } from 'ringwheel';
 * await sleep(10);
 * await sleep(60_000, { signal: AbortSignal.timeout(5) }).catch((error) => console.log(error.name)); // TimeoutError
 * ```
 */
export function sleep(ms: number, options?: SleepOptions): Promise<void> {
  try {
    if (!(typeof ms === 'number' && ms >= 0 && ms <= Number.MAX_SAFE_INTEGER)) checkDelay('sleep', ms);
    if (options === undefined) {
      const { timers } = openLink('sleep');
      const promise = new Promise<void>(grab as never);
      timers.setIn(ms, grabbed, PROMISE_TIMER);
      return promise;
    }
    return wait('sleep', now() + ms, options);
  } catch (error) {
    return rejected(error as Error);
  }
}

/**
 * Waits until a point in time, which {@link sleep} would need the difference for; for work at a steady pace.
 *
 * @param time - Milliseconds as `performance.now()` counts them. One that has passed waits for the next turn of the loop.
 * @param options - See {@link SleepOptions}.
 * @returns A promise without a value.
 * @throws As {@link sleep}.
 * @example
 * ```ts
 * import { sleepUntil } from 'ringwheel';
 * const start = performance.now();
 * for (let frame = 1; frame <= 3; frame++) await sleepUntil(start + frame * 16.7);
 * ```
 */
export function sleepUntil(time: number, options?: SleepOptions): Promise<void> {
  try {
    checkTime('sleepUntil', time);
    return wait('sleepUntil', time, options);
  } catch (error) {
    return rejected(error as Error);
  }
}

async function wait(where: string, deadline: number, options: SleepOptions | undefined): Promise<void> {
  const known = checked(where, options, SLEEP_RULES);
  const { signal } = known;
  if (isAborted(signal)) throw reasonOf(signal);
  return new Promise((resolve, reject) => {
    let forget: (() => void) | undefined;
    const taken = waitUntil(
      where,
      deadline,
      known,
      () => {
        forget?.();
        resolve();
      },
      (error) => {
        forget?.();
        reject(error);
      },
    );
    forget = listen(signal, () => {
      if (taken()) reject(reasonOf(signal));
    });
  });
}

/**
 * Calls `due` at a time, or `ended` when the executor closes before. Returns what takes that back, which says whether it came in
 * time. @internal
 */
export function waitUntil(
  where: string,
  deadline: number,
  options: TimerOptions,
  due: () => void,
  ended: (error: unknown) => void,
): () => boolean {
  const { timers } = openLink(where);
  let wanted = true; // It may be on its way through a task queue when it is taken back.
  const settle = (closed: Promise<never> | undefined) => {
    if (!wanted) return;
    wanted = false;
    if (closed === undefined) due();
    else closed.catch(ended);
  };
  const entry = timers.set(deadline, settle, kindOf(options) | PROMISE_TIMER);
  const generation = timers.generationOf(entry);
  return () => {
    const inTime = wanted;
    wanted = false;
    timers.cancel(entry, generation);
    return inTime;
  };
}
