// class TaskQueue: work with a weight. Its tasks, and the completions of what they begin, run in slices that are charged to it.
import type { Link } from '../ring/link.js';
import { QUEUES_MAX, type Queue } from '../ring/scheduler.js';
import { ourError, rejected } from './errors.js';
import { currentLink } from './executor.js';
import { type QueueLatencies, queueLatencies } from './latency.js';
import { QUEUE_RULES, SHARES, type TaskQueueOptions } from './options.js';
import { type QueueStats, queueStats } from './queue-stats.js';
import { checked, shown } from './validate.js';

/** Takes away what a program forgot: a queue that nobody can name gets no more work. */
const forgotten = new FinalizationRegistry<{ link: Link; queue: Queue }>(({ link, queue }) => {
  if (queue.ready.length === 0) link.scheduler.remove(queue);
  else queue.forgotten = true;
});

/**
 * A queue of tasks with a weight. The ready queue that had the least time for its shares is next, so two that are always busy get
 * the CPU in the proportion of their shares; a latency class goes first while it does not use more than its share. Together they
 * hold the event loop at most `queues.turnMs` (0.5 ms by default) when somebody waits for it, so timers, sockets and servers of Node go on
 * beside them.
 *
 * What belongs to a queue: a task from `spawn` on, and what follows when it awaits a promise of this package (a read, a sleep, a
 * yield) that was begun in the queue. After a promise that something else settles, say `fetch`, work is in the default queue, whose time
 * nobody measures, until the next `queue.yield()`; `queue.run` does that by itself. JavaScript cannot be interrupted, so shares and
 * bounds hold for tasks that reach `yield()` or {@link Executor.yieldIfNeeded} at least every millisecond.
 *
 * It belongs to the thread's executor, at most 63 at once. Tasks that are ready keep the process alive, an idle queue does not.
 *
 * @example
 * ```ts
 * import { Executor, TaskQueue } from 'ringwheel';
 * const executor = Executor.current();
 * await using background = new TaskQueue({ name: 'background', shares: 10 });
 * const sum = await background.spawn(async () => {
 *   let sum = 0;
 *   for (let index = 0; index < 100_000; index++) {
 *     sum += index;
 *     await executor.yieldIfNeeded(); // or: if (executor.needPreempt()) await background.yield();
 *   }
 *   return sum;
 * });
 * console.log(sum, background.stats().runMs);
 * ```
 */
export class TaskQueue implements AsyncDisposable {
  readonly #link: Link;
  readonly #queue: Queue;
  #closing: Promise<void> | undefined;
  #whenDone: (() => void) | undefined;

  /**
   * Makes a queue. The thread's executor is started if there is none.
   *
   * @param options - See {@link TaskQueueOptions}.
   * @throws ERR_RINGWHEEL_INVALID_OPTION when an option is unknown or out of range.
   * @throws ERR_RINGWHEEL_TOO_MANY_QUEUES when the executor has 63.
   * @throws ERR_RINGWHEEL_CLOSED when the executor is closing.
   */
  constructor(options?: TaskQueueOptions) {
    const { name = 'queue', shares = 100, latency } = checked('new TaskQueue', options, QUEUE_RULES);
    const link = currentLink();
    if (!link.open) throw ourError('ERR_RINGWHEEL_CLOSED', 'new TaskQueue: the executor is closed', TaskQueue);
    if (link.scheduler.count >= QUEUES_MAX) {
      const message = `new TaskQueue: the executor has ${QUEUES_MAX} task queues, which is the most: close some, or let one serve more tasks`;
      throw ourError('ERR_RINGWHEEL_TOO_MANY_QUEUES', message, TaskQueue);
    }
    this.#link = link;
    this.#queue = link.scheduler.add(name, shares, latency?.maxMs ?? 0);
    forgotten.register(this, { link, queue: this.#queue }, this);
  }

  /** Its name, for statistics. */
  get name(): string {
    return this.#queue.name;
  }

  /** Its weight: a whole number from 1 to 1000. A change counts from the next slice on. */
  get shares(): number {
    return this.#queue.shares;
  }

  /** @throws ERR_RINGWHEEL_INVALID_OPTION when it is no such number; ERR_RINGWHEEL_CLOSED when the queue or the executor is closed. */
  set shares(shares: number) {
    const wrong = SHARES.wrong(shares, 'shares');
    if (wrong !== undefined) throw ourError('ERR_RINGWHEEL_INVALID_OPTION', `queue.shares: ${wrong}`);
    if (!this.#queue.open || !this.#link.open) throw this.#closedError('shares');
    this.#link.scheduler.weigh(this.#queue, shares);
  }

  /**
   * Starts a task in one of the queue's next slices.
   *
   * @param task - A function, asynchronous or not. Tasks start in the order of the calls.
   * @returns What the task returns. A task that throws rejects this promise and disturbs nothing else. What awaits it goes on where it
   *   was: in the caller's queue, or in the default one.
   * @throws ERR_RINGWHEEL_INVALID_OPTION when `task` is no function; ERR_RINGWHEEL_CLOSED when queue or executor are closed or closing.
   *
   * Cost: two promises and a 16th of a slice; no native call.
   */
  spawn<T>(task: () => Promise<T> | T): Promise<T> {
    if (typeof task !== 'function') return rejected(this.#noFunction('spawn', 'task', task));
    if (this.#closing !== undefined || !this.#link.open) return rejected(this.#closedError('spawn'));
    return this.#toCaller(this.#start(task));
  }

  /**
   * Runs a function in the queue and comes back to it: what awaits the result goes on in a slice of the queue, whatever settled it. Wrap
   * calls of others in it: `await queue.run(() => fetch(url))`.
   *
   * @param work - A function, asynchronous or not. Called at once when the caller is in this queue, else in one of its next slices.
   * @returns What `work` returns, or its error.
   * @throws ERR_RINGWHEEL_INVALID_OPTION when `work` is no function; ERR_RINGWHEEL_CLOSED when the queue or the executor is closed.
   */
  async run<T>(work: () => Promise<T> | T): Promise<T> {
    if (typeof work !== 'function') throw this.#noFunction('run', 'work', work);
    if (!this.#queue.open || !this.#link.open) throw this.#closedError('run');
    this.#queue.tasks++;
    try {
      if (!this.#isCurrent) await this.yield();
      try {
        return await work();
      } finally {
        // With the executor gone there is no slice to come back to; the result is there all the same.
        if (!this.#isCurrent) await this.yield().catch(() => {});
      }
    } finally {
      this.#taskEnded();
    }
  }

  /**
   * Waits for one of the queue's next slices, behind what is ready already: gives other tasks and queues their turn. Called from elsewhere
   * it moves the caller into the queue.
   *
   * @throws ERR_RINGWHEEL_CLOSED when the queue or the executor is closed.
   *
   * Cost: a promise and a 16th of a slice; no native call, no system call.
   */
  yield(): Promise<void> {
    if (!this.#queue.open || !this.#link.open) return rejected(this.#closedError('yield'));
    return this.#queue.yield();
  }

  /** Figures; a plain object. The slice that runs now is not in it yet. */
  stats(): QueueStats {
    return queueStats(this.#link.scheduler, this.#queue);
  }

  /**
   * How long it waited for its slices, and how long those were; one in eight is timed, the first one too. Makes a plain object, in
   * about 100 µs: for monitoring. See {@link Executor.queueLatencies} for all queues.
   */
  latencies(): QueueLatencies {
    return queueLatencies(this.#link.scheduler, this.#queue);
  }

  /**
   * Ends the queue: new tasks are refused, those that were spawned are awaited, then it is removed. What they began and did not await
   * settles in the default queue. Every call returns the same promise; it never rejects. A task of the queue that awaits it waits for itself:
   * close it from outside.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** The same as {@link TaskQueue.close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get #isCurrent(): boolean {
    return this.#link.scheduler.current === this.#queue;
  }

  async #start<T>(task: () => Promise<T> | T): Promise<T> {
    this.#queue.tasks++;
    try {
      await this.#queue.yield();
      return await task();
    } finally {
      this.#taskEnded();
    }
  }

  /** Settles in the caller's queue: who awaits another queue's task must not be charged to that one from then on. */
  #toCaller<T>(task: Promise<T>): Promise<T> {
    const link = this.#link;
    const { current, fallback } = link.scheduler;
    if (current === this.#queue) return task;
    const caller = current ?? fallback;
    const goOn = (settle: () => void): void => {
      if (link.ended === 0 && caller.open) caller.push(settle);
      else settle();
    };
    return new Promise((resolve, reject) => {
      task.then(
        (value) => goOn(() => resolve(value)),
        (error) => goOn(() => reject(error)),
      );
    });
  }

  #taskEnded(): void {
    if (--this.#queue.tasks === 0) this.#whenDone?.();
  }

  async #close(): Promise<void> {
    const queue = this.#queue;
    while (this.#queue.tasks > 0) {
      await new Promise<void>((resolve) => {
        this.#whenDone = resolve;
      });
    }
    while (queue.ready.length > 0 && this.#link.open) await queue.yield().catch(() => {});
    this.#link.scheduler.remove(queue);
    forgotten.unregister(this);
  }

  #closedError(method: string): Error {
    const what = this.#link.open ? 'queue' : 'executor';
    const error = ourError(
      'ERR_RINGWHEEL_CLOSED',
      `queue.${method}: the ${what} ${JSON.stringify(this.#queue.name)} is closed`,
    );
    return error;
  }

  #noFunction(method: string, what: string, value: unknown): Error {
    const message = `queue.${method}: ${what} must be a function; got ${shown(value)}`;
    return ourError('ERR_RINGWHEEL_INVALID_OPTION', message, this.spawn);
  }
}
