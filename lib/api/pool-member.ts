// One member of an ExecutorPool as its pool sees it: the worker, the calls that wait for it, its death and replacement.
import { extname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { guarded } from '../ring/guard.js';
import type { NativeSeat } from '../wire/binding.js';
import { isAborted, listen, reasonOf } from './abort.js';
import { ourError, type RingwheelError } from './errors.js';
import type { MeshSeat } from './mesh-seats.js';
import {
  BOOT,
  type Boot,
  type Branded,
  type FromMember,
  flatten,
  restore,
  type ToMember,
  transfersOf,
  withoutSignals,
} from './pool-messages.js';

/** From source (our specs) it is TypeScript, for which a worker has no loader until it registers one. */
const SOURCE = extname(__filename) === '.ts';
const WORKER = join(__dirname, `pool-worker${extname(__filename)}`);
const WORKER_FROM_SOURCE = `import('tsx/esm/api').then(({ register }) => {
  register();
  require('tsx/cjs/api').register();
  require(${JSON.stringify(WORKER)});
});`;

/** A life shorter than this is short; after so many in a row a member stays dead. */
const SHORT_LIFE_MS = 1000;
const SHORT_LIVES_MAX = 8;

interface Waiting {
  resolve: (value: unknown) => void;
  reject: (error: unknown) => void;
  /** Stops listening to signals. */
  forget: () => void;
  /** Which of the messages to this thread it is, counted from 1. */
  nth: number;
}

function nothing(): void {}

/** @internal */
export class Member {
  readonly index: number;
  readonly seat: NativeSeat;
  calls = 0;
  replaced = 0;
  driver: 'uring' | 'poll' | undefined;
  notes: readonly string[] = [];
  /** What it died of, the last time it did. */
  cause: RingwheelError | undefined;
  /** `ended`: it died and is not replaced, or the pool has closed it. */
  phase: 'starting' | 'running' | 'ended' = 'starting';
  readonly #boot: Boot;
  readonly #replace: boolean;
  readonly #name: string;
  /** By the call's number. */
  readonly #waiting = new Map<number, Waiting>();
  readonly #idle: (() => void)[] = [];
  /** Called when its thread has ended. */
  readonly #mourners: (() => void)[] = [];
  #worker: Worker | undefined;
  #next = 1;
  /** Messages that were sent to this thread. */
  #posted = 0;
  #closing = false;
  #error: unknown;
  #since = 0;
  #shortLives = 0;
  #started: Pick<Waiting, 'resolve' | 'reject'> | undefined;
  #ended: (() => void) | undefined;

  constructor(seat: NativeSeat, boot: Boot, replace: boolean, name: string) {
    this.index = boot.member;
    this.seat = seat;
    this.#boot = boot;
    this.#replace = replace;
    this.#name = name;
  }

  get pending(): number {
    return this.#waiting.size;
  }

  /** -1 when it has no thread. */
  get threadId(): number {
    return this.#worker?.threadId ?? -1;
  }

  /** Starts its thread; resolves when its executor runs and its setup is done. */
  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#started = { resolve: resolve as () => void, reject };
      this.#launch();
    });
  }

  /** Runs a function over there. `above` is where the stack of our own errors begins. */
  call(module: string, name: string, args: unknown[], above: object): Promise<unknown> {
    const { plain, signals } = withoutSignals(args);
    for (const signal of signals.values()) if (isAborted(signal)) return Promise.reject(reasonOf(signal));
    const worker = this.#worker;
    if (worker === undefined || this.phase === 'ended') return Promise.reject(this.#gone(above));
    const id = this.#next++;
    // Before the message: a getter of an argument may call the pool again, or end it.
    const waiting: Waiting = { resolve: nothing, reject: nothing, forget: nothing, nth: 0 };
    const result = new Promise((resolve, reject) => {
      waiting.resolve = resolve;
      waiting.reject = reject;
    });
    // A pool without work does not keep the process alive.
    if (this.#waiting.size === 0) worker.ref();
    this.#waiting.set(id, waiting);
    try {
      const call: ToMember = { kind: 'call', id, module, name, args: plain, signals: [...signals.keys()] };
      worker.postMessage(call, transfersOf(plain));
      waiting.nth = ++this.#posted;
      this.calls += 1;
      for (const [index, signal] of signals) this.#obey(worker, id, index, signal);
    } catch (cause) {
      const text = `pool.run: an argument of ${name} cannot be cloned: ${(cause as Error).message.replace(/\.$/, '')}; use plain data, or ExecutorPool.transfer for what can only be moved`;
      const error = ourError('ERR_RINGWHEEL_CLONE', text, above);
      error.cause = cause;
      waiting.reject(error);
      if (this.#waiting.delete(id)) this.#rest(worker);
    }
    return result;
  }

  /** Gives it a place in a mesh. `gone` is called when its thread has ended. */
  give(seat: MeshSeat, gone: () => void, above: object): void {
    const worker = this.#worker;
    if (worker === undefined || this.phase === 'ended') throw this.#gone(above);
    worker.postMessage({ kind: 'mesh', seat } satisfies ToMember);
    this.#posted++;
    this.#mourners.push(gone);
  }

  /** Ends a call with a signal. */
  #obey(worker: Worker, id: number, index: number, signal: AbortSignal): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    const abort = (): void => {
      waiting.forget();
      waiting.reject(reasonOf(signal));
      waiting.resolve = nothing;
      waiting.reject = nothing;
      if (worker !== this.#worker) return;
      worker.postMessage({ kind: 'abort', id, index, reason: flatten(reasonOf(signal)) } satisfies ToMember);
      this.#posted++;
    };
    // A getter of an argument may have done that.
    if (isAborted(signal)) {
      abort();
      return;
    }
    const others = waiting.forget;
    const forget = listen(signal, abort) as () => void;
    waiting.forget = () => {
      others();
      forget();
    };
  }

  /** Resolves when no call waits. */
  whenIdle(): Promise<void> {
    return this.pending === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Rejects what waits, closes the executor over there and ends the thread. `graceMs` bounds the middle one. */
  async close(reason: unknown, graceMs: number): Promise<void> {
    this.#closing = true;
    this.#started?.reject(reason);
    this.#settle(reason);
    const worker = this.#worker;
    if (worker === undefined) return;
    if (graceMs > 0 && this.phase === 'running') {
      worker.ref();
      await new Promise<void>((resolve) => {
        this.#ended = resolve;
        setTimeout(resolve, graceMs).unref();
        worker.postMessage({ kind: 'close' } satisfies ToMember);
      });
    }
    await worker.terminate();
    this.phase = 'ended';
    this.#worker = undefined;
  }

  #launch(): void {
    this.phase = 'starting';
    this.#error = undefined;
    this.#posted = 0;
    this.#since = performance.now();
    const options = { workerData: { [BOOT]: this.#boot }, name: this.#name, eval: SOURCE };
    let worker: Worker;
    try {
      worker = new Worker(SOURCE ? WORKER_FROM_SOURCE : WORKER, options);
    } catch (error) {
      this.#die(describe(error), error); // No room for one more thread, say.
      return;
    }
    worker.on('message', (given: Partial<Branded> | null | undefined) => {
      // A module may post messages of its own to its thread's parent, which is the pool: they are nobody's.
      if (given?.brand === this.#boot.brand) this.#read(worker, (given as Branded).message);
    });
    worker.on('messageerror', (error: Error) => this.#fail(worker, error));
    worker.on('error', (error: unknown) => {
      this.#error = error;
    });
    worker.on('exit', (code: number) => this.#exit(worker, code));
    this.#worker = worker;
  }

  /** The call of the nth message: one that the member could not read, so that its number is not known there. */
  #idOf(nth: number): number {
    for (const [id, waiting] of this.#waiting) if (waiting.nth === nth) return id;
    return 0;
  }

  #read(worker: Worker, message: FromMember): void {
    switch (message.kind) {
      case 'value':
      case 'error': {
        const id = message.id ?? this.#idOf(message.nth);
        const waiting = this.#waiting.get(id);
        if (waiting === undefined) return; // The pool gave it up.
        this.#waiting.delete(id);
        waiting.forget();
        if (message.kind === 'value') waiting.resolve(message.value);
        else waiting.reject(restore(message.error));
        this.#rest(worker);
        return;
      }
      case 'ready':
        this.phase = 'running';
        this.driver = message.driver;
        this.notes = message.notes;
        this.#started?.resolve(undefined);
        this.#started = undefined;
        this.#rest(worker);
        return;
      case 'failed':
        this.#fail(worker, restore(message.error));
        return;
      case 'closed':
        this.#ended?.();
    }
  }

  /** Ends a thread that did not start, or whose message cannot be read. */
  #fail(worker: Worker, error: unknown): void {
    this.#error = error;
    void worker.terminate();
  }

  #rest(worker: Worker): void {
    if (this.#waiting.size > 0 || this.#closing) return;
    worker.unref();
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** Its thread has ended. */
  #exit(worker: Worker, code: number): void {
    this.#ended?.();
    for (const gone of this.#mourners.splice(0)) guarded(gone);
    if (worker !== this.#worker || this.#closing) return;
    this.#worker = undefined;
    this.driver = undefined;
    const what = `its thread ended with exit code ${code}`;
    if (this.#error === undefined) this.#die(what, Object.assign(new Error(what), { exitCode: code }));
    else this.#die(describe(this.#error), this.#error);
  }

  #die(what: string, cause: unknown): void {
    const born = this.phase === 'running';
    this.#shortLives = performance.now() - this.#since < SHORT_LIFE_MS ? this.#shortLives + 1 : 0;
    const worn = this.#replace && this.#shortLives >= SHORT_LIVES_MAX;
    let text = `member ${this.index} of the pool ${born ? 'died' : 'did not start'}: ${what}`;
    if (worn) text += `; it died ${SHORT_LIVES_MAX} times within a second of its start and stays dead`;
    if (!born && this.cause !== undefined) text += `, after ${this.cause.message}`;
    this.cause = ourError('ERR_RINGWHEEL_MEMBER', text, undefined);
    this.cause.cause = cause;
    this.phase = 'ended';
    this.#started?.reject(this.cause);
    this.#started = undefined;
    this.#settle(this.cause);
    if (!this.#replace || !born || worn) return;
    this.replaced += 1;
    this.#launch();
  }

  /** Rejects all that waits. */
  #settle(reason: unknown): void {
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject, forget } of waiting) {
      forget();
      reject(reason);
    }
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  #gone(above: object): RingwheelError {
    if (this.cause === undefined) return ourError('ERR_RINGWHEEL_CLOSED', 'the pool is closed', above);
    const error = ourError('ERR_RINGWHEEL_MEMBER', this.cause.message, above);
    error.cause = this.cause.cause;
    return error;
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
