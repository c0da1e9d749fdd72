// class RwLock: many read, or one writes, and either may await in between.
import { isAborted, reasonOf } from './abort.js';
import { rejected } from './errors.js';
import { checkWork, type Guard, Permit, Permits } from './semaphore.js';
import { abortSignal, checked } from './validate.js';

/** What a writer takes: all that readers could. */
const ALL = 2 ** 31 - 1;

const LOCK_RULES = { signal: abortSignal };

/** Options of {@link RwLock.read} and {@link RwLock.write}. */
export interface LockOptions {
  /** Ends the wait: the promise is rejected with the signal's reason, and nothing was locked. */
  signal?: AbortSignal;
}

/**
 * A lock of one thread that many readers hold together, or one writer alone. Between two awaits JavaScript needs none; this is for
 * what must not change across awaits. In the order of asking: a writer that waits lets no later reader pass, and readers beside each
 * other go in together. Taking it twice in one piece of work waits for itself, for ever. Else as {@link Semaphore}.
 *
 * @example
 * ```ts
 * import { RwLock, sleep } from 'ringwheel';
 * const lock = new RwLock();
 * const table: number[] = [];
 * const write = async (row: number) => {
 *   using _guard = await lock.write();
 *   table.push(row);
 *   await sleep(1); // nobody sees half of it
 *   table.push(row);
 * };
 * await Promise.all([write(1), write(2)]);
 * using _guard = await lock.read();
 * console.log(table); // [ 1, 1, 2, 2 ]
 * ```
 */
export class RwLock {
  readonly #permits = new Permits(ALL);

  /**
   * Waits until nobody writes.
   *
   * @param options - See {@link LockOptions}.
   * @returns A {@link Guard}: reading is yours until its `release()`.
   * @throws The signal's reason when it aborts first. ERR_RINGWHEEL_INVALID_OPTION when an option is unknown.
   */
  read(options?: LockOptions): Promise<Guard> {
    return this.#take('lock.read', 1, options);
  }

  /**
   * Waits until nobody reads or writes.
   *
   * @param options - See {@link LockOptions}.
   * @returns A {@link Guard}: the lock is yours alone until its `release()`.
   * @throws As {@link RwLock.read}.
   */
  write(options?: LockOptions): Promise<Guard> {
    return this.#take('lock.write', ALL, options);
  }

  /** Reads now; undefined when somebody writes or waits. */
  tryRead(): Guard | undefined {
    return this.#try(1);
  }

  /** Writes now; undefined when somebody reads, writes or waits. */
  tryWrite(): Guard | undefined {
    return this.#try(ALL);
  }

  /** Runs a function that reads. @throws What `work` throws, and as {@link RwLock.read}. */
  async runRead<T>(work: () => Promise<T> | T, options?: LockOptions): Promise<T> {
    checkWork('lock.runRead', work);
    using _guard = await this.read(options);
    return await work();
  }

  /** Runs a function that writes. @throws What `work` throws, and as {@link RwLock.write}. */
  async runWrite<T>(work: () => Promise<T> | T, options?: LockOptions): Promise<T> {
    checkWork('lock.runWrite', work);
    using _guard = await this.write(options);
    return await work();
  }

  #try(want: number): Permit | undefined {
    return this.#permits.tryTake(want) ? new Permit(this.#permits, want) : undefined;
  }

  #take(where: string, want: number, options: LockOptions | undefined): Promise<Permit> {
    try {
      const signal = options === undefined ? undefined : checked(where, options, LOCK_RULES).signal;
      return isAborted(signal) ? Promise.reject(reasonOf(signal)) : this.#permits.take(want, signal);
    } catch (error) {
      return rejected(error as Error);
    }
  }
}
