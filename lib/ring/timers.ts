// This thread's timers: the clock, the wheel, and the one alarm that wakes the event loop for them.
//
// The alarm is a word of the shared memory. Rust reads it before the loop sleeps and rings by one timer of the kernel's; then it
// calls `fire`. What is due is decided here, by the same clock that deadlines were made with: nothing fires early whatever
// rings, and a timer that was cancelled is not in the wheel any more, so there is no ghost to look for.
import { performance } from 'node:perf_hooks';
import { guarded } from './guard.js';
import type { Link } from './link.js';
import type { Resume } from './ready.js';
import type { Queue } from './scheduler.js';
import { Wheel } from './wheel.js';

/** Bits of a kind. */
export const QUIET_TIMER = 1; // Does not keep the process alive.
export const PRECISE_TIMER = 2; // Has the loop woken for it alone.
export const PROMISE_TIMER = 4; // `what` is a promise's resolve, not a callback.
const FRESH_TIMER = 8; // Its deadline was made with a clock read before it was set, so it is too early yet.

const QUEUED_TIMER = 16; // Goes on in a task queue, which is in `#queues`.

/** Callbacks in one call; the rest comes in the next round, so that files and sockets have their turn. */
const FIRES_MAX = 1024;
/** Timers that are no more than this apart share a wake-up, in milliseconds. */
const SHARED_MS = 1;
/** Timers of one job that read the clock themselves, at least; of further ones every sixteenth does, for those before it. */
const EXACT_FIRST = 8;
const FRESH_MAX = 15;
const RESOLVED = Promise.resolve();
/** The alarm word for "at once": any time that has passed, but not 0. */
const AT_ONCE = 1e-6;

/** Milliseconds on the monotonic clock. Taken when this module is loaded: who replaces `performance.now` does not move timers. */
export const now: () => number = performance.now.bind(performance);

/** Half of the generations: the next executor begins anew then. */
const FLOOR_MAX = 2 ** 30;

/** The first generation of this thread's next executor: above those of the ones before. */
let floor = 1;

/** See the file's head. */
export class Timers {
  /** No timer of a lower generation is of this executor. */
  readonly floor: number;
  readonly #wheel: Wheel;
  readonly #link: Link;
  readonly #alarm: Float64Array;
  /** Milliseconds from `now` to the clock of the alarm. */
  readonly #offset: number;
  /** What the alarm is set to, on `now`'s clock. */
  #armed = Number.POSITIVE_INFINITY;
  /** When callbacks were last called. */
  #fired = Number.NEGATIVE_INFINITY;
  /** Timers with PRECISE_TIMER. */
  #precise = 0;
  /** By entry: the task queue whose work set the timer, and in which it goes on. */
  readonly #queues = new Map<number, Queue>();
  /** When the clock was last read for a timer. */
  #read = Number.NEGATIVE_INFINITY;
  /**
   * Timers that may still read it. At 0 a microtask is queued that makes it full again at the end of the job, so that few timers
   * queue few; then it goes on below 0, where the same number may.
   */
  #exact = EXACT_FIRST;
  /** Entries with FRESH_TIMER, or that had it and ended. */
  readonly #fresh = new Int32Array(FRESH_MAX);
  #freshCount = 0;
  readonly #settle = (): void => {
    this.#exact = EXACT_FIRST;
    if (this.#freshCount > 0) this.#settleFresh(now());
  };

  constructor(link: Link, alarm: Float64Array, theirNow: () => number) {
    this.#link = link;
    this.floor = floor;
    this.#alarm = alarm;
    // This clock is read first: the difference is at most too large, so the alarm never rings before its time here. The
    // smallest of a few is the one that least came between.
    let offset = Number.POSITIVE_INFINITY;
    for (let tries = 0; tries < 5; tries++) {
      const before = now();
      offset = Math.min(offset, theirNow() - before);
    }
    this.#offset = offset;
    this.#wheel = new Wheel(now(), floor);
  }

  /** Timers that wait. */
  get size(): number {
    return this.#wheel.live;
  }

  /** The generation of an entry. */
  generationOf(entry: number): number {
    return this.#wheel.generationOf(entry);
  }

  /**
   * Sets a timer that is due in `ms` milliseconds; returns its entry.
   *
   * Reading the clock costs more than all the rest. So when a job sets many timers, most get the time that was read last, and the
   * difference when it is next read: for the sixteenth, at the end of the job, or before anything fires. It comes after they
   * were set, so they are never early; they are late by what passed in between.
   */
  setIn(ms: number, what: unknown, kind: number): number {
    if (this.#exact > 0) {
      this.#exact--;
      return this.set(now() + ms, what, kind);
    }
    return this.#setOneOfMany(ms, what, kind);
  }

  #setOneOfMany(ms: number, what: unknown, kind: number): number {
    if (this.#exact > -EXACT_FIRST) {
      if (this.#exact-- === 0) RESOLVED.then(this.#settle);
      this.#read = now();
    } else if (this.#freshCount === FRESH_MAX) this.#settleFresh(now());
    else {
      const entry = this.set(this.#read + ms, what, kind | FRESH_TIMER);
      this.#fresh[this.#freshCount++] = entry;
      return entry;
    }
    return this.set(this.#read + ms, what, kind);
  }

  #settleFresh(time: number): void {
    const passed = time - this.#read;
    this.#read = time;
    for (let index = 0; index < this.#freshCount; index++) {
      const entry = this.#fresh[index];
      const kind = this.#wheel.kindOf(entry);
      if ((kind & FRESH_TIMER) === 0) continue; // Settled, or another timer by now.
      this.#wheel.setKind(entry, kind & ~FRESH_TIMER);
      this.#wheel.delay(entry, passed);
    }
    this.#freshCount = 0;
  }

  /** Sets a timer; returns its entry. */
  set(deadline: number, what: unknown, kind: number): number {
    const { current } = this.#link.scheduler;
    const entry = this.#wheel.insert(deadline, what, current === undefined ? kind : kind | QUEUED_TIMER);
    if (current !== undefined) this.#queues.set(entry, current);
    if ((kind & QUIET_TIMER) === 0) this.#link.retain();
    if ((kind & PRECISE_TIMER) !== 0) this.#precise++;
    if (deadline < this.#armed) this.#arm(deadline);
    return entry;
  }

  /** Takes a timer back. False when it has fired or was taken back. */
  cancel(entry: number, generation: number): boolean {
    if (!this.#wheel.has(entry, generation)) return false;
    this.#take(entry);
    return true;
  }

  /** Moves a timer's deadline. False when it has fired or was taken back. */
  move(entry: number, generation: number, deadline: number): boolean {
    if (!this.#wheel.has(entry, generation)) return false;
    this.#wheel.setKind(entry, this.#wheel.kindOf(entry) & ~FRESH_TIMER);
    this.#wheel.move(entry, deadline);
    if (deadline < this.#armed) this.#arm(deadline);
    return true;
  }

  /** Says whether a timer keeps the process alive. Does nothing when it has ended. */
  setQuiet(entry: number, generation: number, quiet: boolean): void {
    if (!this.#wheel.has(entry, generation)) return;
    const kind = this.#wheel.kindOf(entry);
    if (((kind & QUIET_TIMER) !== 0) === quiet) return;
    this.#wheel.setKind(entry, kind ^ QUIET_TIMER);
    if (quiet) this.#link.unkeep();
    else this.#link.retain();
  }

  /** Calls what is due. An exception goes to the caller, which calls again for the rest. */
  fire(): void {
    if (this.#wheel.live === 0) return;
    const wheel = this.#wheel;
    const begun = now();
    if (this.#freshCount > 0) this.#settleFresh(begun);
    try {
      for (let left = FIRES_MAX; left > 0; left--) {
        const entry = wheel.due(begun);
        if (entry === -1) break;
        this.#fired = begun;
        const what = wheel.whatOf(entry) as () => void;
        const kind = wheel.kindOf(entry);
        const queue = (kind & QUEUED_TIMER) !== 0 ? this.#queues.get(entry) : undefined;
        this.#take(entry);
        if (queue?.open) queue.push((kind & PROMISE_TIMER) !== 0 ? what : callOf(this.#link, what));
        else what();
      }
    } finally {
      this.#armed = Number.POSITIVE_INFINITY;
      this.#arm(wheel.next());
    }
  }

  /** Ends all timers. Promises are settled with what `reject` makes. */
  end(reject: () => Promise<never>): void {
    for (const entry of this.#wheel.entries()) {
      const what = this.#wheel.whatOf(entry) as (value?: unknown) => void;
      const kind = this.#wheel.kindOf(entry);
      this.#take(entry);
      if ((kind & PROMISE_TIMER) !== 0) guarded(() => what(reject()));
    }
    const { ceiling } = this.#wheel;
    floor = ceiling < FLOOR_MAX ? ceiling : 1;
  }

  #take(entry: number): void {
    const wheel = this.#wheel;
    const kind = wheel.kindOf(entry);
    wheel.remove(entry);
    if ((kind & QUEUED_TIMER) !== 0) this.#queues.delete(entry);
    if ((kind & QUIET_TIMER) === 0) this.#link.unkeep();
    if ((kind & PRECISE_TIMER) !== 0) this.#precise--;
    if (wheel.live === 0) {
      this.#armed = Number.POSITIVE_INFINITY;
      this.#alarm[0] = 0;
    }
  }

  /** Sets the alarm, no sooner after the last callbacks than timers may wait for each other. */
  #arm(deadline: number): void {
    if (deadline === Number.POSITIVE_INFINITY) {
      this.#alarm[0] = 0;
      return;
    }
    const shared = this.#precise > 0 ? deadline : Math.max(deadline, this.#fired + SHARED_MS);
    const at = deadline === Number.NEGATIVE_INFINITY ? deadline : shared;
    if (at >= this.#armed) return;
    this.#armed = at;
    this.#alarm[0] = Math.max(at + this.#offset, AT_ONCE);
  }
}

/** What a task queue does with a callback: run it with the slice's microtasks, whose exceptions go to `uncaughtException`. */
function callOf(link: Link, callback: () => void): Resume {
  const call = () => {
    if (link.open) callback(); // One before it in the slice may have closed the executor.
  };
  return (failed) => {
    if (failed === undefined) queueMicrotask(call);
    else failed.catch(() => {}); // The executor is closed: timers end without a call.
  };
}
