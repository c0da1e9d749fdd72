// class ExecutorPool: worker_threads with a pinned executor each, and functions of modules run on them.
import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import type { Transferable } from 'node:worker_threads';
import { ourError, quoted } from './errors.js';
import { driverOf } from './executor.js';
import { EXECUTOR_RULES, type ExecutorOptions } from './options.js';
import { PLACEMENT_RULE, type Placement, seatsOf } from './placement.js';
import { Member } from './pool-member.js';
import { type Boot, boot, mark } from './pool-messages.js';
import { checked, type Rule, rule, shape, shown, text, truth, whole } from './validate.js';

/** Options of {@link ExecutorPool.start}. */
export interface PoolOptions {
  /** Members, from 1 to 1024. Default: one for each CPU of the placement, as far as a CPU quota goes; as many as `fixed` and `custom` list. */
  size?: number;
  /** Where they run. Default `unbound`. */
  placement?: Placement;
  /** Options of each member's executor. `cpu` is not one of them: the placement has it. */
  executor?: Omit<ExecutorOptions, 'cpu'>;
  /**
   * A module that each member imports before it takes calls, again when it is replaced. If it exports a function `setup`, that
   * is called with `{ member, size }` and awaited.
   */
  setup?: URL | string;
  /** Whether a member that died is started again on its CPU. Default false. One that dies 8 times in a row within a second of its start stays dead. */
  replace?: boolean;
  /** Name of the threads, with the member's number after it. Default `ringwheel`. */
  name?: string;
}

/** How one member is, and what it has done. */
export interface PoolMemberStats {
  /** Its number. */
  readonly member: number;
  /** The CPUs it may run on; left out when the kernel places it. */
  readonly cpus?: readonly number[];
  /** The NUMA node its memory comes from; left out where there is one node, or its CPUs span several. */
  readonly node?: number;
  /** Node's id of its thread; -1 when it has none. */
  readonly threadId: number;
  /** `starting` takes calls too: they wait. */
  readonly phase: 'starting' | 'running' | 'ended';
  /** Its driver, once it runs. */
  readonly driver?: 'uring' | 'poll';
  /** What its executor gave up on the way. */
  readonly notes: readonly string[];
  /** Calls given to it. */
  readonly calls: number;
  /** Those of them that have not ended. */
  readonly pending: number;
  /** Times it was replaced. */
  readonly replaced: number;
  /** What it died of, the last time it did. */
  readonly cause?: Error;
}

/** Options of {@link ExecutorPool.close}. */
export interface PoolCloseOptions {
  /** Milliseconds to wait for calls that run, from 0 to 86400000. Default: as long as they take. */
  deadlineMs?: number;
}

/** How long a member's executor may take to close before its thread is ended all the same. */
const GRACE_MS = 12_000;

const moduleRule: Rule = rule(
  'a URL, such as new URL("./work.js", import.meta.url)',
  (value) => hrefOf(value) !== undefined,
);

const { cpu: _placed, ...MEMBER_RULES } = EXECUTOR_RULES;

const POOL_RULES: Record<string, Rule> = {
  size: whole(1, 1024),
  placement: PLACEMENT_RULE,
  executor: shape(MEMBER_RULES),
  setup: moduleRule,
  replace: truth,
  name: text,
};

/** A URL as text; undefined for what is none. */
function hrefOf(value: unknown): string | undefined {
  if (value instanceof URL) return value.href;
  return typeof value === 'string' && URL.canParse(value) ? value : undefined;
}

const KEY = Symbol('pool');

/** A pool's members; throws when it is closed. @internal */
export let membersOf: (pool: ExecutorPool) => readonly Member[];

/**
 * Worker threads with an executor each, placed on the machine's cores. A call names a module and an export; the member imports
 * the module once and runs the function. Arguments and results are copied as by `structuredClone`, or moved with
 * {@link ExecutorPool.transfer}; errors keep their class name, message, code and stack.
 *
 * A pool keeps the process alive only while calls run.
 *
 * @example
 * ```ts
 * import { ExecutorPool } from 'ringwheel';
 * const module = new URL('data:text/javascript,export const square = (x) => x * x');
 * await using pool = await ExecutorPool.start({ size: 2, placement: 'max-spread' });
 * console.log(await pool.run('any', module, 'square', 12)); // 144
 * ```
 */
export class ExecutorPool implements AsyncDisposable {
  readonly #members: readonly Member[];
  #closed = false;
  #closing: Promise<void> | undefined;
  #turn = 0;

  static {
    membersOf = (pool) => {
      if (!pool.#closed) return pool.#members;
      throw ourError('ERR_RINGWHEEL_CLOSED', 'Mesh.join: the pool is closed', membersOf);
    };
  }

  private constructor(key: typeof KEY, members: readonly Member[]) {
    if (key !== KEY) {
      const message = 'ExecutorPool has no public constructor: use await ExecutorPool.start(options)';
      throw ourError('ERR_RINGWHEEL_INVALID_OPTION', message, ExecutorPool);
    }
    this.#members = members;
  }

  /**
   * Starts a pool; resolves when every member's executor runs and its setup is done.
   *
   * @param options - See {@link PoolOptions}.
   * @throws ERR_RINGWHEEL_INVALID_OPTION when an option is unknown or out of range.
   * @throws ERR_RINGWHEEL_PLACEMENT when the placement cannot be met here: the message says why, and what would help.
   * @throws ERR_RINGWHEEL_MEMBER when a member did not start; its `cause` is the reason. The others are ended.
   */
  static async start(options?: PoolOptions): Promise<ExecutorPool> {
    const known = checked('ExecutorPool.start', options, POOL_RULES);
    const { placement = 'unbound', executor = {}, replace = false, name = 'ringwheel' } = known;
    const seats = seatsOf('ExecutorPool.start', placement, known.size);
    const size = seats.length;
    const driver = driverOf(executor);
    const setup = hrefOf(known.setup);
    const brand = randomUUID();
    const members = seats.map((seat, member) => {
      const cpu = seat.cpus === undefined ? {} : { cpu: seat.cpus };
      const booted: Boot = { brand, member, size, setup, executor: { ...executor, driver, ...cpu } };
      return new Member(seat, booted, replace, `${name}-${member}`);
    });
    const pool = new ExecutorPool(KEY, members);
    try {
      await Promise.all(members.map((member) => member.start()));
    } catch (error) {
      await pool.destroy(error);
      throw error;
    }
    return pool;
  }

  /** The number of this thread's member; undefined on threads that are not a pool's. */
  static get member(): number | undefined {
    return boot()?.member;
  }

  /**
   * Marks a value so that parts of it are moved instead of copied when it is an argument or a result of a call. They
   * cannot be used here afterwards. A MessagePort needs no mark: it can only be moved.
   *
   * @param value - The argument or result.
   * @param parts - What to move. Default: the value itself, or the memory under a typed array.
   * @returns The value.
   */
  static transfer<T extends object>(value: T, parts?: readonly Transferable[]): T {
    if (typeof value !== 'object' || value === null) {
      const message = `ExecutorPool.transfer: value must be an object; got ${shown(value)}`;
      throw ourError('ERR_RINGWHEEL_INVALID_OPTION', message, ExecutorPool.transfer);
    }
    const whole = ArrayBuffer.isView(value) ? value.buffer : value;
    return mark(value, parts ?? [whole as Transferable]);
  }

  /** How many members there are, dead ones included. */
  get size(): number {
    return this.#members.length;
  }

  /**
   * Runs an exported function on a member.
   *
   * @param core - The member's number, or `'any'` for a living one with the fewest calls that have not ended.
   * @param module - The module's URL. Each member imports it once, as `import()` does.
   * @param name - The export's name.
   * @param args - Its arguments: copied, or moved where {@link ExecutorPool.transfer} marked them. An AbortSignal among them ends the call:
   *   the promise is rejected with its reason at once, and in its place the function has a signal of its own, which aborts with that
   *   reason too. The call counts as pending until the function has ended.
   * @returns What the function returned or resolved with.
   * @throws whatever the function threw, with its class name, message, code and stack.
   * @throws ERR_RINGWHEEL_MODULE when the module does not load or has no such function.
   * @throws ERR_RINGWHEEL_CLONE when an argument or the result cannot be cloned.
   * @throws ERR_RINGWHEEL_MEMBER when the member died before it answered; the message and `cause` say of what: the error that it died
   *   of, or one with the `exitCode` of its thread.
   * @throws ERR_RINGWHEEL_CLOSED when the pool is closed.
   * @throws ERR_RINGWHEEL_INVALID_OPTION when there is no such member, or `module` is no URL.
   * @throws The signal's reason, when one among the arguments aborts first.
   */
  run<T = unknown>(core: number | 'any', module: URL | string, name: string, ...args: unknown[]): Promise<T> {
    const href = hrefOf(module);
    if (href === undefined || typeof name !== 'string' || name === '') {
      return this.#refuse(
        href === undefined
          ? `module must be ${moduleRule.range}; got ${shown(module)}`
          : "name must be an export's name",
      );
    }
    const member = core === 'any' ? this.#any() : Number.isInteger(core) ? this.#members[core] : undefined;
    if (member === undefined) {
      return this.#refuse(
        `core must be ${quoted('any')} or a whole number from 0 to ${this.size - 1}; got ${shown(core)}`,
      );
    }
    if (this.#closed) return Promise.reject(ourError('ERR_RINGWHEEL_CLOSED', 'pool.run: the pool is closed', this.run));
    return member.call(href, name, args, this.run) as Promise<T>;
  }

  /**
   * Runs an exported function on every member with the same arguments. The function finds its member in
   * {@link ExecutorPool.member}.
   *
   * @returns The results, in the order of the members, when all have answered.
   * @throws as {@link ExecutorPool.run}: the error of the first member that failed, when all have answered. Arguments cannot be moved.
   */
  async broadcast<T = unknown>(module: URL | string, name: string, ...args: unknown[]): Promise<T[]> {
    const settled = await Promise.allSettled(
      this.#members.map(({ index }) => this.run<T>(index, module, name, ...args)),
    );
    return settled.map((result) => {
      if (result.status === 'rejected') throw result.reason;
      return result.value;
    });
  }

  /**
   * Runs an exported function on every member and folds the results, in the order of the members.
   *
   * @param reduce - `(accumulator, value, member)` gives the next accumulator. It runs here.
   * @param initial - The first accumulator.
   * @throws as {@link ExecutorPool.broadcast}, and whatever `reduce` throws.
   */
  async mapReduce<T, R>(
    module: URL | string,
    name: string,
    reduce: (accumulator: R, value: T, member: number) => R,
    initial: R,
    ...args: unknown[]
  ): Promise<R> {
    return (await this.broadcast<T>(module, name, ...args)).reduce<R>(reduce, initial);
  }

  /** How each member is. A plain object for each, cheap to make. */
  stats(): PoolMemberStats[] {
    return this.#members.map((member) => ({
      member: member.index,
      ...(member.seat.cpus === undefined ? {} : { cpus: member.seat.cpus }),
      ...(member.seat.node === undefined ? {} : { node: member.seat.node }),
      threadId: member.threadId,
      phase: member.phase,
      ...(member.driver === undefined ? {} : { driver: member.driver }),
      notes: member.notes,
      calls: member.calls,
      pending: member.pending,
      replaced: member.replaced,
      ...(member.cause === undefined ? {} : { cause: member.cause }),
    }));
  }

  /**
   * Refuses new calls, waits for those that run, closes each member's executor and ends the threads. Calls that have not ended by
   * the deadline are rejected with ERR_RINGWHEEL_CLOSED. Every call of close returns the same promise.
   */
  close(options?: PoolCloseOptions): Promise<void> {
    const { deadlineMs } = checked('pool.close', options, { deadlineMs: whole(0, 86_400_000) });
    this.#closing ??= this.#close(deadlineMs);
    return this.#closing;
  }

  /** Ends the threads at once; calls that have not ended are rejected with `reason`, by default ERR_RINGWHEEL_CLOSED. */
  async destroy(reason?: unknown): Promise<void> {
    this.#closed = true;
    const error =
      reason ?? ourError('ERR_RINGWHEEL_CLOSED', 'the pool was destroyed before the call ended', this.destroy);
    const ended = Promise.all(this.#members.map((member) => member.close(error, 0)));
    this.#closing ??= ended.then(() => undefined);
    await ended;
  }

  /** The same as {@link ExecutorPool.close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(deadlineMs: number | undefined): Promise<void> {
    this.#closed = true;
    const idle = Promise.all(this.#members.map((member) => member.whenIdle()));
    if (deadlineMs === undefined) {
      await idle;
    } else {
      const stop = new AbortController();
      await Promise.race([idle, wait(deadlineMs, undefined, { signal: stop.signal }).catch(() => undefined)]);
      stop.abort();
    }
    const reason = ourError('ERR_RINGWHEEL_CLOSED', 'the pool was closed before the call ended', this.close);
    await Promise.all(this.#members.map((member) => member.close(reason, GRACE_MS)));
  }

  #any(): Member | undefined {
    const first = this.#turn++;
    let best: Member | undefined;
    for (let offset = 0; offset < this.size; offset++) {
      const member = this.#members[(first + offset) % this.size] as Member;
      if (member.phase !== 'ended' && (best === undefined || member.pending < best.pending)) best = member;
    }
    return best ?? this.#members[0]; // Where none lives, its call says why.
  }

  #refuse(message: string): Promise<never> {
    return Promise.reject(ourError('ERR_RINGWHEEL_INVALID_OPTION', `pool.run: ${message}`, this.run));
  }
}
