// class Gate and class Event: orderly ends, and the word that something has happened.
import { isAborted, reasonOf } from './abort.js';
import { ourError, rejected } from './errors.js';
import { Line } from './line.js';
import { checkWork, type Guard } from './semaphore.js';
import { abortSignal, checked } from './validate.js';

const WAIT_RULES = { signal: abortSignal };

/** Options of {@link Event.wait}. */
export interface EventWaitOptions {
  /** Ends the wait: the promise is rejected with the signal's reason. */
  signal?: AbortSignal;
}

/**
 * Lets work of one thread in until it is closed; closing waits until all have left. For orderly ends: nothing new begins, and what
 * runs is awaited. Else as {@link Semaphore}.
 *
 * @example
 * ```ts
 * import { Gate, sleep } from 'ringwheel';
 * const requests = new Gate();
 * void requests.run(() => sleep(5)).then(() => console.log('answered'));
 * await requests.close(); // answered
 * await requests.run(() => {}).catch((error) => console.log(error.code)); // ERR_RINGWHEEL_CLOSED
 * ```
 */
export class Gate implements AsyncDisposable {
  #inside = 0;
  #closing: Promise<void> | undefined;
  #done: (() => void) | undefined;

  /**
   * Goes in.
   *
   * @returns A {@link Guard}: you are inside until its `release()`.
   * @throws ERR_RINGWHEEL_CLOSED once the gate is closed.
   */
  enter(): Guard {
    if (this.#closing !== undefined) throw ourError('ERR_RINGWHEEL_CLOSED', 'the gate is closed', this.enter);
    this.#inside++;
    let inside = true;
    const release = (): void => {
      if (!inside) return;
      inside = false;
      if (--this.#inside === 0) this.#done?.();
    };
    return { release, [Symbol.dispose]: release };
  }

  /**
   * Runs a function inside.
   *
   * @param work - A function, asynchronous or not.
   * @returns What `work` returns.
   * @throws What `work` throws. ERR_RINGWHEEL_CLOSED, without calling it, once the gate is closed.
   */
  async run<T>(work: () => Promise<T> | T): Promise<T> {
    checkWork('gate.run', work);
    using _inside = this.enter();
    return await work();
  }

  /** Closes the gate, at once; resolves when nobody is inside any more. Every call returns the same promise, which never rejects. */
  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      if (this.#inside === 0) resolve();
      else this.#done = resolve;
    });
    return this.#closing;
  }

  /** The same as {@link Gate.close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Whether it is closed. */
  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /** How many are inside. */
  get inside(): number {
    return this.#inside;
  }
}

/**
 * A flag of one thread that is set once and awaited by any number: that something is ready, or that it is time to stop. Not the
 * `Event` of the DOM. Else as {@link Semaphore}.
 *
 * @example
 * ```ts
 * import { Event } from 'ringwheel';
 * const ready = new Event();
 * const waiting = ready.wait().then(() => console.log('ready'));
 * ready.set();
 * await waiting; // ready
 * ```
 */
export class Event {
  #set = false;
  readonly #line = new Line();

  /** Sets the flag; everyone who waits goes on, in the order of asking. Setting it again does nothing. */
  set(): void {
    this.#set = true;
    while (!this.#line.empty) this.#line.serveFirst();
  }

  /** Whether it is set. */
  get isSet(): boolean {
    return this.#set;
  }

  /**
   * Resolves when the flag is set; at once when it is.
   *
   * @param options - See {@link EventWaitOptions}.
   * @throws The signal's reason when it aborts first. ERR_RINGWHEEL_INVALID_OPTION when an option is unknown.
   */
  wait(options?: EventWaitOptions): Promise<void> {
    try {
      const signal = options === undefined ? undefined : checked('event.wait', options, WAIT_RULES).signal;
      if (isAborted(signal)) return Promise.reject(reasonOf(signal));
      if (this.#set) return Promise.resolve();
      return this.#line.join<void>(
        0,
        signal,
        () => undefined,
        () => {},
      );
    } catch (error) {
      return rejected(error as Error);
    }
  }
}
