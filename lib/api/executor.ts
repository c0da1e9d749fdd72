// class Executor: one per thread. Starts the addon over the shared rings, hands out leases, closes in order.

import { constants } from 'node:os';
import { Link } from '../ring/link.js';
import { OPCODE_QUEUE } from '../ring/pending.js';
import type { Preempt } from '../ring/preempt.js';
import { NO_FILE } from '../ring/state.js';
import { binding, LAYOUT_VERSION, type NativeStats } from '../wire/binding.js';
import { REGION_BYTES, REJECT_CLOSED } from '../wire/layout.generated.js';
import { completionError, failLater, ourError } from './errors.js';
import { events } from './events.js';
import {
  type LatencySummary,
  latenciesOf,
  type OperationKind,
  type QueueLatencies,
  queueLatencies,
} from './latency.js';
import { type Lease, makeLease } from './lease.js';
import { credentials } from './operation.js';
import { EXECUTOR_RULES, type ExecutorOptions } from './options.js';
import { type QueueStats, queueStats } from './queue-stats.js';
import { takeRange } from './ranges.js';
import { StallWatch } from './stall.js';
import { checked, shown } from './validate.js';

/** How long close waits for operations before it cancels them, and for cancelled ones before their memory is leaked. */
const CLOSE_GRACE_MS = 5000;

/** How long a thread looks for the next message before it sleeps, unless an option says otherwise: what two threads' wake-ups cost. */
const SPIN_US = 50;

/** The result of operations that end with a broken executor. */
const BROKEN = -200_001;

/** How long task queues hold the event loop in a turn, unless an option says otherwise. */
const TURN_MS = 0.5;

/** Counters of an executor since its start, but where "now" is said. */
export interface ExecutorStats extends NativeStats {
  /** Operations and timers of this API that wait now. */
  pending: number;
  /** Slices of task queues, each a call into JavaScript of its own. */
  slices: number;
  /** Task queues there are now. */
  queues: number;
  /** Files that were collected without `close()`, and closed then. */
  forgotten: number;
  /** Operations and batches that wait for a slot or for memory now. */
  waiting: number;
  /** Bytes of the arena that copies of plain Uint8Arrays go through, in use and idle. */
  copyBytes: number;
  /** The most they may be: the option `copyMemory`. */
  copyBytesMax: number;
  /** Bytes of the arena that readMany and stream have handed out, and idle ones. */
  readBytes: number;
  /** The most they may be: the option `readMemory`. */
  readBytesMax: number;
}

const KEY = Symbol('executor');

/** This thread's executor: module state is per thread, since each worker_thread loads its own copy of the module. */
let running: Executor | undefined;
let runningLink: Link | undefined;

/** The link of this thread's executor, started on first use. @internal */
export function currentLink(): Link {
  return runningLink ?? linkOf(Executor.current());
}

/**
 * What goes on as work of the task queue that is current now; at once where there is none, or none any more. For promises that
 * other work settles. @internal
 */
export function backToQueue(): (then: () => void) => void {
  const link = runningLink;
  const current = link?.scheduler.current;
  if (link === undefined || current === undefined) return atOnce;
  return (then) => {
    if (link.ended === 0 && current.open) current.push(then);
    else then();
  };
}

function atOnce(then: () => void): void {
  then();
}

/** The link of this thread's executor, closing ones too; it starts none. @internal */
export function linkIfRunning(): Link | undefined {
  return runningLink;
}

/** This thread's executor, if it has one. @internal */
export function runningExecutor(): Executor | undefined {
  return running;
}

let linkOf: (executor: Executor) => Link;

/**
 * One thread's ring, timers and memory. There is one per thread; it starts by itself on first use, or by
 * {@link Executor.start} with options. It keeps the process alive only while operations are pending.
 *
 * @example
 * ```ts
 * import { Executor } from 'ringwheel';
 * await using executor = Executor.start({ memory: 16 * 1024 * 1024 });
 * console.log(executor.driver, executor.features);
 * ```
 */
export class Executor implements AsyncDisposable {
  readonly #link: Link;
  readonly #preempt: Preempt;
  readonly #stalls: StallWatch | undefined;
  #closing: Promise<void> | undefined;
  #broken: Error | undefined;

  static {
    linkOf = (executor) => executor.#link;
  }

  private constructor(key: typeof KEY, options: ExecutorOptions) {
    if (key !== KEY) {
      const message = 'Executor has no public constructor: use Executor.current() or Executor.start(options)';
      throw ourError('ERR_RINGWHEEL_INVALID_OPTION', message, Executor);
    }
    let self: Link | undefined;
    this.#link = new Link(
      (memory, onCompletions, onSlice) => startNative(options, memory, onCompletions, onSlice),
      (result, opcode, file) => {
        // An executor that closes ends operations with ECANCELED, which no user asked for.
        if (result === -constants.errno.ECANCELED && self?.open === false) {
          return Promise.reject(completionError(REJECT_CLOSED, opcode, file.path));
        }
        if (result === BROKEN) return Promise.reject(this.#broken);
        return failLater(result, opcode, file);
      },
      (what) => this.#end(what),
      options.queues?.turnMs ?? TURN_MS,
      options,
    );
    self = this.#link;
    this.#preempt = self.preempt;
    try {
      this.#stalls = options.stall === false ? undefined : new StallWatch(this.#link, options.stall);
    } catch (error) {
      this.#link.native.close();
      throw nativeError(error);
    }
    if (options.sqpoll) this.#link.credentials = credentials();
  }

  /**
   * This thread's executor; started with the defaults when there is none.
   *
   * @throws ERR_RINGWHEEL_DRIVER, ERR_RINGWHEEL_UNSUPPORTED_HOST, ERR_RINGWHEEL_NO_BINDING as {@link Executor.start}.
   */
  static current(): Executor {
    return running ?? Executor.start();
  }

  /**
   * Starts this thread's executor.
   *
   * @param options - See {@link ExecutorOptions}.
   * @throws ERR_RINGWHEEL_EXECUTOR_RUNNING when the thread has one: use {@link Executor.current}, or close it first.
   * @throws ERR_RINGWHEEL_INVALID_OPTION when an option or RINGWHEEL_DRIVER is unknown or out of range.
   * @throws ERR_RINGWHEEL_DRIVER when the driver insisted on cannot start here.
   * @throws ERR_RINGWHEEL_PLACEMENT when `cpu` is not one that this process may use.
   * @throws ERR_RINGWHEEL_PROPERTIES when the properties file of `adaptive` is of no use.
   * @throws ERR_RINGWHEEL_UNSUPPORTED_HOST in Bun and Deno.
   */
  static start(options?: ExecutorOptions): Executor {
    const known = checked('Executor.start', options, EXECUTOR_RULES);
    if (running !== undefined) {
      const message = 'this thread has an executor already: use Executor.current(), or await its close() first';
      throw ourError('ERR_RINGWHEEL_EXECUTOR_RUNNING', message, Executor.start);
    }
    const executor = new Executor(KEY, known);
    running = executor;
    runningLink = executor.#link;
    const started = events['ringwheel:executor:start'];
    if (started.hasSubscribers) started.publish({ driver: executor.driver, notes: executor.notes });
    return executor;
  }

  /** Which backend runs the operations. */
  get driver(): 'uring' | 'poll' {
    return this.#link.native.driver;
  }

  /** The kernel features in use, as short names. */
  get features(): readonly string[] {
    return this.#link.native.features;
  }

  /** Why io_uring was not chosen, or what was given up on the way: one sentence each. */
  get notes(): readonly string[] {
    return this.#link.native.notes;
  }

  /**
   * Takes memory that files are read into and written from without a copy.
   *
   * @param bytes - Bytes, from 1 up to the executor's `memory` option less the 4096 that it keeps for itself. From 4096 on it is aligned
   *   to pages.
   * @returns A {@link Lease}: yours until its `release()`. Its first content is whatever was there before.
   * @throws ERR_RINGWHEEL_NO_MEMORY when no range as long is free; the message names the limit.
   * @throws ERR_RINGWHEEL_INVALID_OPTION when `bytes` is not a whole number ≥ 1.
   * @throws ERR_RINGWHEEL_CLOSED after close.
   * @throws ERR_RINGWHEEL_BUFFER when the buffer of all leases was moved away, where the host cannot prevent that.
   */
  lease(bytes: number): Lease {
    if (!Number.isSafeInteger(bytes) || bytes < 1) {
      const message = `executor.lease: bytes must be a whole number ≥ 1; got ${shown(bytes)}`;
      throw ourError('ERR_RINGWHEEL_INVALID_OPTION', message, this.lease);
    }
    const link = this.#link;
    if (!link.open) throw ourError('ERR_RINGWHEEL_CLOSED', 'executor.lease: the executor is closed', this.lease);
    if (link.native.arena.byteLength === 0) {
      const message =
        'executor.lease: the buffer that all leases are parts of was detached: close the executor and start another';
      throw ourError('ERR_RINGWHEEL_BUFFER', message, this.lease);
    }
    const hold = takeRange(link, bytes);
    if (hold === undefined) {
      const { arenaBytes, arenaFreeBytes } = link.native.stats();
      const message =
        `executor.lease: no ${bytes} bytes in one piece: ${arenaFreeBytes} of the arena's ${arenaBytes} bytes are free. ` +
        'Release leases, or start the executor with a larger `memory`';
      throw ourError('ERR_RINGWHEEL_NO_MEMORY', message, this.lease);
    }
    return makeLease(link, hold);
  }

  /**
   * Whether the time of what runs is over, or somebody waits. Then await {@link Executor.yieldIfNeeded} or `queue.yield()`.
   *
   * Time is a task's slice of its queue, at most 2.5 ms; of what runs in no queue, a millisecond from the first question in a turn of the
   * event loop on. Who waits ends it sooner, once queues have had `queues.turnMs` since the last time they made way: a
   * completion, a timer of this package, a message or a wake of another thread, and anything else that Node's event loop sleeps on. So does
   * a latency class that the slice itself makes ready. A yes stays a yes until the slice ends. True also after close.
   *
   * Cost: a load of memory that the kernel or a timer thread writes, 1 to 2 ns; no native call and no look at the clock before it is raised.
   * Nothing is set while nobody asks: the first question in a long time is a native call.
   *
   * @example
   * ```ts
   * import { Executor } from 'ringwheel';
   * const executor = Executor.current();
   * let sum = 0;
   * for (let index = 0; index < 1_000_000; index++) {
   *   sum += index;
   *   if (executor.needPreempt()) await executor.yieldIfNeeded();
   * }
   * ```
   */
  needPreempt(): boolean {
    return this.#preempt.needed();
  }

  /**
   * Gives others their turn when the time of what runs is over: see {@link Executor.needPreempt}. The task goes on in one of the next
   * slices of its queue; what runs in no queue goes on in the default one.
   *
   * @returns Undefined when there is time left, so that nothing has to be awaited; else a promise. It rejects with
   * ERR_RINGWHEEL_CLOSED when the executor is closed.
   */
  yieldIfNeeded(): Promise<void> | undefined {
    const link = this.#link;
    if (!this.#preempt.needed()) return undefined;
    if (!link.open) return link.fail(REJECT_CLOSED, OPCODE_QUEUE, NO_FILE);
    return (link.scheduler.current ?? link.scheduler.fallback).yield();
  }

  /**
   * Counters; a plain object, cheap to make.
   *
   * @throws ERR_RINGWHEEL_CLOSED after close.
   */
  stats(): ExecutorStats {
    const { pending, forgotten, scheduler, scratch, calls, slabs, waitingForSlots } = this.#link;
    const { slices, count: queues } = scheduler;
    try {
      const { native, timers } = this.#link;
      const stats = native.stats();
      return {
        ...stats,
        timers: stats.timers + timers.size,
        pending: pending + timers.size,
        forgotten,
        slices,
        queues,
        waiting: waitingForSlots + scratch.waiting + calls.waiting + slabs.waiting,
        copyBytes: scratch.held,
        copyBytesMax: scratch.heldMax,
        readBytes: slabs.bytes,
        readBytesMax: slabs.bytesMax,
      };
    } catch (error) {
      throw nativeError(error);
    }
  }

  /**
   * Figures of this thread's task queues: first the default queue, whose slices are those of work that yielded outside of queues, then
   * the others in the order in which they were made. Closed ones are gone.
   */
  queueStats(): QueueStats[] {
    const { scheduler } = this.#link;
    return scheduler.all().map((queue) => queueStats(scheduler, queue));
  }

  /**
   * How long operations took, by kind, since the start. One in 64 is timed, so that the others read no clock; a kind of which
   * none was timed yet is left out. Sleeps are not operations.
   *
   * @example
   * ```ts
   * import { Executor } from 'ringwheel';
   * const { read } = Executor.current().latencies();
   * if (read !== undefined) console.log(`p99 of ${read.samples} timed reads: ${read.p99Us} µs`);
   * ```
   *
   * @throws ERR_RINGWHEEL_CLOSED after close.
   */
  latencies(): Partial<Record<OperationKind, LatencySummary>> {
    try {
      return latenciesOf(this.#link.native.latencies());
    } catch (error) {
      throw nativeError(error);
    }
  }

  /**
   * How long this thread's task queues waited for their slices and how long those were, in the order of {@link Executor.queueStats}.
   * One slice in eight is timed.
   *
   * @example
   * ```ts
   * import { Executor, TaskQueue } from 'ringwheel';
   * await using queue = new TaskQueue({ name: 'work' });
   * for (let index = 0; index < 100; index++) await queue.spawn(() => {});
   * for (const { name, wait, slice } of Executor.current().queueLatencies()) {
   *   console.log(`${name}: waits ${wait.p99Us} µs, runs ${slice.p99Us} µs at most in 99 of 100 slices`);
   * }
   * ```
   */
  queueLatencies(): QueueLatencies[] {
    const { scheduler } = this.#link;
    return scheduler.all().map((queue) => queueLatencies(scheduler, queue));
  }

  /**
   * Ends the executor: new work is refused, timers are cancelled, sleeps and yields rejected with ERR_RINGWHEEL_CLOSED, operations in flight are awaited
   * (for 5 s, then cancelled), files are closed, leases end: views of them have length 0 afterwards. Every call
   * returns the same promise. A new executor can be started then.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** The same as {@link Executor.close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** A defect of ours: everything that waits is rejected with one error, and the thread may start another executor. */
  #end(what: string): void {
    const message = `the executor broke and was closed: ${what}. Please report this`;
    this.#broken = ourError('ERR_RINGWHEEL_INTERNAL', message, undefined);
    this.#link.open = false;
    this.#link.native.close();
    this.#link.timers.end(() => Promise.reject(this.#broken));
    this.#link.abandon(BROKEN);
    this.#leave(this.#broken);
    this.#closing = Promise.resolve();
  }

  #leave(error?: Error): void {
    this.#stalls?.end();
    const closed = events['ringwheel:executor:close'];
    if (closed.hasSubscribers) closed.publish(error === undefined ? {} : { error });
    if (running !== this) return;
    running = undefined;
    runningLink = undefined;
  }

  async #close(): Promise<void> {
    const link = this.#link;
    link.open = false;
    link.timers.end(() => Promise.reject(closedWhile()));
    for (const each of link.unwritten) each.drainUnheard();
    const grace = setTimeout(() => {
      link.cancelAll();
      link.calls.abandon();
      link.slabs.abandon();
      link.scratch.abandon(); // Whoever waits for memory that a program keeps in leases waits for ever.
    }, CLOSE_GRACE_MS);
    // What the kernel does not end even then is left to native.close, which leaks its memory rather than freeing it.
    let enough: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      enough = setTimeout(resolve, 2 * CLOSE_GRACE_MS).unref();
      link.whenIdle(resolve);
    });
    clearTimeout(grace);
    clearTimeout(enough); // It would hold the rings for ten seconds more.
    link.native.close();
    link.abandon(REJECT_CLOSED);
    this.#leave();
  }
}

function closedWhile(): Error {
  return ourError('ERR_RINGWHEEL_CLOSED', 'the executor was closed meanwhile', undefined);
}

function startNative(
  options: ExecutorOptions,
  memory: SharedArrayBuffer,
  onCompletions: (broken?: string) => void,
  onSlice: () => void,
) {
  const versions = process.versions as Record<string, string | undefined>;
  const foreign = versions.bun !== undefined ? 'Bun' : versions.deno !== undefined ? 'Deno' : undefined;
  if (foreign !== undefined) {
    const message = `${foreign} has no libuv loop that the executor could join: File, sleep and Executor need Node.js 20.17 or newer; FileServer works here`;
    throw ourError('ERR_RINGWHEEL_UNSUPPORTED_HOST', message, Executor.start);
  }
  const addon = binding();
  if (addon.layoutVersion() !== LAYOUT_VERSION || addon.regionBytes() !== REGION_BYTES) {
    const message = `the native binary has layout ${addon.layoutVersion()}, this package ${LAYOUT_VERSION}: install ringwheel again`;
    throw ourError('ERR_RINGWHEEL_NO_BINDING', message, Executor.start);
  }
  try {
    return addon.startExecutor(nativeOptions(options), new Uint8Array(memory), onCompletions, onSlice);
  } catch (error) {
    throw nativeError(error);
  }
}

function nativeOptions(options: ExecutorOptions): object {
  const { sqpoll, cpu, queues, stall, adaptive, copyMemory, readMemory, spinUs = SPIN_US, ...others } = options;
  // For tests: do as where the host refuses external memory.
  const copies = process.env.RINGWHEEL_COPIES === '1';
  return {
    ...others,
    spinUs,
    ...(sqpoll ? { sqpoll } : {}),
    ...(adaptive ? { adaptive: adaptive === true ? {} : adaptive } : {}),
    ...(cpu === undefined ? {} : { cpu: typeof cpu === 'number' ? [cpu] : cpu }),
    driver: driverOf(options),
    copies,
    movable: 'transfer' in ArrayBuffer.prototype,
  };
}

/** The driver that the options or, without one, the environment asks for. @internal */
export function driverOf(options: { driver?: 'auto' | 'uring' | 'poll' }): 'auto' | 'uring' | 'poll' {
  if (options.driver !== undefined) return options.driver;
  const value = process.env.RINGWHEEL_DRIVER;
  if (value === undefined || value === '' || value === 'auto') return 'auto';
  if (value === 'uring' || value === 'poll') return value;
  const message = `the environment variable RINGWHEEL_DRIVER must be auto, uring or poll; got ${shown(value)}`;
  throw ourError('ERR_RINGWHEEL_INVALID_OPTION', message, Executor.start);
}

/** An error of the addon, "CODE: message", as a RingwheelError. @internal */
export function nativeError(error: unknown): unknown {
  const match = error instanceof Error ? /^(ERR_RINGWHEEL_[A-Z_]+): (.*)$/s.exec(error.message) : null;
  return match === null ? error : ourError(match[1] as never, match[2] as string, nativeError);
}
