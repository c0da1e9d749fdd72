// class Semaphore: permits that work of one thread takes and gives back. RwLock is made of the same permits.
import { isAborted, reasonOf } from './abort.js';
import { ourError, rejected } from './errors.js';
import { Line } from './line.js';
import { abortSignal, checked, shown, whole } from './validate.js';

/** The most permits of a semaphore. */
const PERMITS_MAX = 2 ** 31 - 1;

const ACQUIRE_RULES = { permits: whole(1, PERMITS_MAX), signal: abortSignal };

/** Options of {@link Semaphore.acquire} and {@link Semaphore.run}. */
export interface AcquireOptions {
  /** How many, taken all at once: from 1 to 2147483647. Default 1. */
  permits?: number;
  /** Ends the wait: the promise is rejected with the signal's reason, and nothing was taken. */
  signal?: AbortSignal;
}

/** Something that is held until `release()`: at the latest by `using`. Releasing it again does nothing. */
export interface Guard extends Disposable {
  /** Gives it back; whoever is first in line has it from now on. */
  release(): void;
}

/** Permits, those who wait for them, and nothing of their meaning. @internal */
export class Permits {
  free: number;
  closed = false;
  readonly line = new Line();

  constructor(free: number) {
    this.free = free;
  }

  /** Takes `want` if they are free and nobody waits. */
  tryTake(want: number): boolean {
    if (this.closed || this.free < want || !this.line.empty) return false;
    this.free -= want;
    return true;
  }

  /** Takes `want`, after waiting if need be. */
  take(want: number, signal: AbortSignal | undefined): Promise<Permit> {
    if (this.tryTake(want)) return Promise.resolve(new Permit(this, want));
    return this.line.join(
      want,
      signal,
      () => new Permit(this, want),
      () => this.give(0),
    );
  }

  /** Gives back, or adds, and serves those who waited for it: first come, first served, also when a later one wants less. */
  give(count: number): void {
    this.free += count;
    for (let want = this.line.firstWants; want !== undefined && want <= this.free; want = this.line.firstWants) {
      this.free -= want;
      this.line.serveFirst();
    }
  }
}

/** Permits that were taken. {@link Semaphore.acquire} makes it. */
export class Permit implements Guard {
  #from: Permits | undefined;
  /** How many. */
  readonly count: number;

  /** @internal */
  constructor(from: Permits, count: number) {
    if (!(from instanceof Permits)) {
      const message = 'Permit has no public constructor: use await semaphore.acquire()';
      throw ourError('ERR_RINGWHEEL_INVALID_OPTION', message, Permit);
    }
    this.#from = from;
    this.count = count;
  }

  release(): void {
    const from = this.#from;
    this.#from = undefined;
    from?.give(this.count);
  }

  /** Gives the permits back, for `using`. */
  [Symbol.dispose](): void {
    this.release();
  }
}

/**
 * A number of permits that work of one thread takes and gives back: a bound for what runs at once. First come, first served,
 * also when a later one wants less. Work of a {@link TaskQueue} that waited goes on in its queue.
 *
 * It belongs to the thread that made it; threads bound each other with a {@link Channel}. Waiting keeps no process alive: what it
 * waits for has to. Cost: no call of the addon, no system call.
 *
 * @example
 * ```ts
 * import { Semaphore, sleep } from 'ringwheel';
 * const connections = new Semaphore(2);
 * await Promise.all(['a', 'b', 'c', 'd'].map((name) =>
 *   connections.run(async () => {
 *     await sleep(1); // At most two are here at once.
 *     console.log(name);
 *   }),
 * ));
 * ```
 */
export class Semaphore implements Disposable {
  readonly #permits: Permits;

  /**
   * @param permits - How many there are at first, from 0 to 2147483647.
   * @throws ERR_RINGWHEEL_INVALID_OPTION when it is no such number.
   */
  constructor(permits: number) {
    checkCount('new Semaphore', 'permits', permits, 0);
    this.#permits = new Permits(permits);
  }

  /**
   * Takes permits, and waits for them if need be. Wanting more than there will ever be waits until {@link Semaphore.close}.
   *
   * @param options - See {@link AcquireOptions}.
   * @returns A {@link Permit}: yours until its `release()`.
   * @throws ERR_RINGWHEEL_CLOSED when the semaphore is closed first; the signal's reason when it aborts first.
   * @throws ERR_RINGWHEEL_INVALID_OPTION when an option is unknown or out of range.
   */
  acquire(options?: AcquireOptions): Promise<Permit> {
    try {
      const { permits = 1, signal } = options === undefined ? {} : checked('semaphore.acquire', options, ACQUIRE_RULES);
      if (isAborted(signal)) return Promise.reject(reasonOf(signal));
      if (this.#permits.closed) return rejected(this.#closedError());
      return this.#permits.take(permits, signal);
    } catch (error) {
      return rejected(error as Error);
    }
  }

  /**
   * Takes permits now.
   *
   * @param permits - How many, from 1 to 2147483647. Default 1.
   * @returns Undefined when fewer are free, others wait already, or the semaphore is closed.
   * @throws ERR_RINGWHEEL_INVALID_OPTION when `permits` is no such number.
   */
  tryAcquire(permits = 1): Permit | undefined {
    checkCount('semaphore.tryAcquire', 'permits', permits, 1);
    return this.#permits.tryTake(permits) ? new Permit(this.#permits, permits) : undefined;
  }

  /**
   * Runs a function with permits, which it gives back when the function has ended, or thrown.
   *
   * @param work - A function, asynchronous or not.
   * @param options - As for {@link Semaphore.acquire}; the signal ends the wait, not the work.
   * @returns What `work` returns.
   * @throws What `work` throws, and as {@link Semaphore.acquire}.
   */
  async run<T>(work: () => Promise<T> | T, options?: AcquireOptions): Promise<T> {
    checkWork('semaphore.run', work);
    const permit = await this.acquire(options);
    try {
      return await work();
    } finally {
      permit.release();
    }
  }

  /**
   * Adds permits.
   *
   * @param permits - How many, from 1 to 2147483647. Default 1.
   * @throws ERR_RINGWHEEL_INVALID_OPTION when `permits` is no such number, or there would be more than 2147483647 free ones.
   */
  add(permits = 1): void {
    checkCount('semaphore.add', 'permits', permits, 1);
    checkCount('semaphore.add', 'the sum', permits + this.#permits.free, 1);
    this.#permits.give(permits);
  }

  /** Permits that are free now. */
  get available(): number {
    return this.#permits.free;
  }

  /** How many wait. Looks at each. */
  get waiting(): number {
    return this.#permits.line.count;
  }

  /** Ends all waiting, now and later, with ERR_RINGWHEEL_CLOSED. Permits that are out stay valid. Closing again does nothing. */
  close(): void {
    if (this.#permits.closed) return;
    this.#permits.closed = true;
    this.#permits.line.refuse(this.#closedError());
  }

  /** The same as {@link Semaphore.close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  #closedError(): Error {
    return ourError('ERR_RINGWHEEL_CLOSED', 'the semaphore is closed', this.acquire);
  }
}

function checkCount(where: string, name: string, value: number, least: number): void {
  const wrong = whole(least, PERMITS_MAX).wrong(value, name);
  if (wrong !== undefined) throw ourError('ERR_RINGWHEEL_INVALID_OPTION', `${where}: ${wrong}`, checkCount);
}

/** Throws unless `work` is a function. @internal */
export function checkWork(where: string, work: unknown): void {
  if (typeof work === 'function') return;
  const message = `${where}: work must be a function; got ${shown(work)}`;
  throw ourError('ERR_RINGWHEEL_INVALID_OPTION', message, checkWork);
}
