// Task queues on this side: which one is next, what its slice resumes, and the charge for the time that it took.
//
//   ready lists ── READY word ──▶ host.rs makes a slice: calls `slice` in a callback scope of its own
//                                 `slice` charges the last one, picks a queue, resumes up to 16 of its entries
//                                 their microtasks run as it returns; Rust reads the clock, and no queue is current any more
//
// Virtual runtime is nanoseconds ÷ shares: the ready queue with the least is next. A queue of a latency class goes first as
// long as it is no more than LEAD ahead of the others, so that it cannot starve them.
import {
  QUEUE_CURRENT_WORD,
  QUEUE_READY_WORD,
  QUEUE_TURN_WORD,
  SLICE_ELAPSED_DOUBLE,
  SLICE_START_DOUBLE,
} from '../wire/layout.generated.js';
import { guarded } from './guard.js';
import { type Finish, Ready, type Resume } from './ready.js';
import { QueueTimes } from './times.js';

const CURRENT = QUEUE_CURRENT_WORD;
const READY = QUEUE_READY_WORD;

/** Nanoseconds of a slice that may be a stall's. */
const LONG_SLICE = 1_000_000;
/** Entries resumed in one slice at most. */
const RESUMES_MAX = 16;
/** Nanoseconds that a slice should take: with costly tasks it resumes fewer, so that shares stay fine-grained. */
const SLICE_TARGET = 100_000;
/** Nanoseconds of CPU that a latency class may be ahead of its share. */
const LEAD = 20_000_000;
/** The part of a latency bound that one turn of the others may take. */
const TURNS_PER_BOUND = 4;
/** Queues of one executor at most, the default one aside. */
export const QUEUES_MAX = 63;
/** The default queue's number, and what the word holds while it runs. */
const DEFAULT = 1;

/** Monotonic nanoseconds, as Rust has them, = performance.now() × 10^6 + this. */
const ORIGIN = (() => {
  performance.now(); // The first call is slow.
  return Number(process.hrtime.bigint()) - performance.now() * 1e6;
})();

/** Now, on the clock of slices. */
export function monotonic(): number {
  return performance.now() * 1e6 + ORIGIN;
}

/** One queue: its ready list and its account. */
export class Queue {
  readonly ready = new Ready();
  readonly times = new QueueTimes();
  /** Nanoseconds of CPU ÷ shares. */
  virtual = 0;
  /** Tasks that were spawned or run and have not ended. */
  tasks = 0;
  /** Not removed. */
  open = true;
  /** Nobody can name it any more: it goes when it is empty. */
  forgotten = false;
  /** When a latency class must have been served, nanoseconds. */
  deadline = 0;
  /** Nanoseconds that one entry takes: rises at once, falls slowly. */
  cost = SLICE_TARGET;
  /** Statistics. Times in nanoseconds. */
  runtime = 0;
  slices = 0;
  resumes = 0;
  sliceMax = 0;
  late = 0;
  lateMax = 0;
  /** By which its reads and writes share the disk: below 64, 0 for the default queue. Another queue's after its end. */
  class = 0;
  readonly #scheduler: Scheduler;
  /** One function for all promises of this queue: a closure for each would cost more than the entry. */
  readonly #grab: (resume: Resume) => void;

  constructor(
    scheduler: Scheduler,
    readonly number: number,
    readonly name: string,
    public shares: number,
    /** The latency class's bound in nanoseconds; 0 without one. */
    readonly bound: number,
  ) {
    this.#scheduler = scheduler;
    this.#grab = (resume) => this.push(resume);
  }

  /** A promise that one of the queue's next slices resolves. */
  yield(): Promise<void> {
    return new Promise<void>(this.#grab as never);
  }

  /** Has a slice call `resume`, which must not throw. */
  push(resume: Resume): void {
    if (this.ready.length === 0) this.#scheduler.wake(this);
    this.ready.push(resume);
  }

  /** Has a slice settle a completion. */
  pushCompletion(slot: number, generation: number, result: number, extra: number): void {
    if (this.ready.length === 0) this.#scheduler.wake(this);
    this.ready.pushCompletion(slot, generation, result, extra);
  }
}

/** What the scheduler asks of the rings. */
export interface Rings {
  finish: Finish;
  /** Work that keeps the process alive begins, and ends. */
  keep(): void;
  unkeep(): void;
  /** A latency class became ready while another queue's slice runs. */
  urge(): void;
  /** A queue was made or its shares changed. */
  classed(queue: Queue): void;
  /** A slice has resumed what it had to: slots may be free, and nothing may be pending any more. */
  sliced(): void;
}

/** See the file's head. */
export class Scheduler {
  /** What has no queue of its own, when it yields. */
  readonly fallback: Queue;
  slices = 0;
  readonly #words: Uint32Array;
  readonly #doubles: Float64Array;
  readonly #rings: Rings;
  readonly #queues = new Map<number, Queue>();
  readonly #classes = new Set<number>();
  /** Those with entries, in no order. */
  readonly #ready: Queue[] = [];
  #numbers = DEFAULT;
  /** The least virtual runtime of the ready queues, when it was last looked at. */
  #least = 0;
  /** Whose slice ran last, and is not charged yet. */
  #charged: Queue | undefined = undefined;
  #chargedResumes = 0;
  #chargedStart = 0;
  /** Its length goes into the queue's histogram. */
  #timed = false;
  /** It did not resume all of its entries, which wait since its end. */
  #leftOver = false;
  #running: Queue;
  readonly #turnMicros: number;
  /** The last slice that was long, and when its charge showed it. */
  #long: { queue: Queue; elapsed: number; seen: number } | undefined = undefined;

  constructor(memory: SharedArrayBuffer, rings: Rings, turnMs: number) {
    this.#words = new Uint32Array(memory);
    this.#doubles = new Float64Array(memory);
    this.#rings = rings;
    this.#turnMicros = Math.round(turnMs * 1000);
    this.#words[QUEUE_TURN_WORD] = this.#turnMicros;
    this.fallback = new Queue(this, DEFAULT, 'default', 100, 0);
    this.#running = this.fallback;
  }

  /** The queue whose slice runs; undefined for the default one and outside of slices. */
  get current(): Queue | undefined {
    return this.#words[CURRENT] > DEFAULT ? this.#running : undefined;
  }

  /** True in a slice, the default queue's too. */
  get slicing(): boolean {
    return this.#words[CURRENT] !== 0;
  }

  /** True when no queue has entries. */
  get idle(): boolean {
    return this.#ready.length === 0;
  }

  /** Queues there are, the default one aside. */
  get count(): number {
    return this.#queues.size;
  }

  /** The default queue and the others, in the order in which they were made. */
  all(): Queue[] {
    return [this.fallback, ...this.#queues.values()];
  }

  /** Adds a queue. */
  add(name: string, shares: number, boundMs: number): Queue {
    const queue = new Queue(this, ++this.#numbers, name, shares, boundMs * 1e6);
    queue.virtual = this.#least;
    this.#queues.set(queue.number, queue);
    for (queue.class = 1; this.#classes.has(queue.class); ) queue.class++;
    this.#classes.add(queue.class);
    this.#rings.classed(queue);
    this.#boundTurn();
    return queue;
  }

  /** Takes an empty queue away. What still completes for it settles at once. */
  remove(queue: Queue): void {
    queue.open = false;
    if (this.#queues.delete(queue.number)) this.#classes.delete(queue.class);
    this.#boundTurn();
  }

  /** Gives a queue another weight. */
  weigh(queue: Queue, shares: number): void {
    queue.shares = shares;
    if (queue.open) this.#rings.classed(queue);
  }

  /** The class of the queue whose slice runs. */
  get currentClass(): number {
    return this.#running.open ? this.#running.class : 0;
  }

  /** The queue of this number, unless it was removed. */
  find(number: number): Queue | undefined {
    return this.#queues.get(number);
  }

  /** A queue gets its first entry. It comes back at the place of the others: time that it did not use is not saved up. */
  wake(queue: Queue): void {
    if (queue.virtual < this.#least) queue.virtual = this.#least;
    const timed = queue.times.due();
    if (timed || queue.bound !== 0) {
      const now = monotonic();
      queue.deadline = now + queue.bound;
      if (timed) queue.times.ready(now);
    }
    if (queue.bound !== 0 && this.slicing && queue !== this.#running) this.#rings.urge();
    const count = this.#ready.push(queue);
    this.#words[READY] = count;
    if (count === 1) this.#rings.keep();
  }

  /** One slice; Rust calls it. */
  slice(): void {
    this.charge();
    const queue = this.#pick();
    if (queue === undefined) return; // The word said otherwise: a script wrote it.
    this.#words[CURRENT] = queue.number;
    this.#running = queue;
    const start = this.#doubles[SLICE_START_DOUBLE];
    if (queue.bound !== 0) this.#account(queue, start);
    let count = Math.floor(SLICE_TARGET / queue.cost);
    count = Math.min(Math.max(count, 1), RESUMES_MAX, queue.ready.length);
    this.#charged = queue;
    this.#chargedStart = start;
    this.#timed = queue.times.begin(start);
    this.#chargedResumes = count;
    this.slices++;
    queue.slices++;
    queue.resumes += count;
    const { finish } = this.#rings;
    try {
      while (count-- > 0) queue.ready.goOn(finish);
    } finally {
      this.#leftOver = queue.ready.length > 0;
      if (!this.#leftOver) {
        this.#leave(queue);
        if (queue.forgotten) this.remove(queue);
      }
      this.#rings.sliced();
    }
  }

  /** Charges the last slice to its queue. Not in a slice, which has not ended. */
  charge(): void {
    const queue = this.#charged;
    if (queue === undefined) return;
    this.#charged = undefined;
    const elapsed = this.#doubles[SLICE_ELAPSED_DOUBLE];
    queue.virtual += elapsed / queue.shares;
    queue.runtime += elapsed;
    if (this.#timed) queue.times.slice.add(elapsed);
    this.#timed = false;
    if (this.#leftOver && queue.times.due()) queue.times.ready(this.#chargedStart + elapsed);
    if (elapsed > queue.sliceMax) queue.sliceMax = elapsed;
    if (elapsed > LONG_SLICE) this.#long = { queue, elapsed, seen: performance.now() * 1e6 + ORIGIN };
    const cost = elapsed / this.#chargedResumes;
    queue.cost = Math.max(cost, (queue.cost * 3 + cost) / 4);
  }

  /** The queue whose last long slice was seen in this time and took at least so long; nanoseconds of process.hrtime. */
  longSliceIn(from: number, to: number, least: number): Queue | undefined {
    if (!this.slicing) this.charge();
    const long = this.#long;
    return long !== undefined && long.seen >= from && long.seen <= to + LONG_SLICE && long.elapsed >= least
      ? long.queue
      : undefined;
  }

  /** Runs `work` as a queue's: what it begins completes there. */
  runAs(queue: Queue | undefined, work: () => void): void {
    const before = this.#words[CURRENT];
    const running = this.#running;
    this.#words[CURRENT] = queue?.number ?? DEFAULT;
    this.#running = queue ?? this.fallback;
    try {
      work();
    } finally {
      this.#words[CURRENT] = before;
      this.#running = running;
    }
  }

  /** Nothing will run any more: everyone who waits hears so. */
  abandon(failed: () => Promise<never>): void {
    for (const queue of [...this.#ready]) {
      while (queue.ready.length > 0) guarded(() => queue.ready.goOn(this.#rings.finish, failed));
      this.#leave(queue);
    }
  }

  #pick(): Queue | undefined {
    const ready = this.#ready;
    let least: Queue | undefined;
    let urgent: Queue | undefined;
    for (let index = 0; index < ready.length; index++) {
      const queue = ready[index];
      if (least === undefined || queue.virtual < least.virtual) least = queue;
      if (queue.bound === 0 || queue.virtual > this.#least + LEAD / queue.shares) continue;
      if (urgent === undefined || queue.deadline < urgent.deadline) urgent = queue;
    }
    if (least !== undefined && least.virtual > this.#least) this.#least = least.virtual;
    return urgent ?? least;
  }

  /** Notes whether a latency class kept its bound; what is left in its list counts from now. */
  #account(queue: Queue, now: number): void {
    const late = now - queue.deadline;
    if (late > 0) queue.late++;
    if (late > queue.lateMax) queue.lateMax = late;
    queue.deadline = now + queue.bound;
  }

  #leave(queue: Queue): void {
    const ready = this.#ready;
    const last = ready.pop() as Queue;
    if (last !== queue) ready[ready.indexOf(queue)] = last;
    this.#words[READY] = ready.length;
    if (ready.length === 0) this.#rings.unkeep();
  }

  /** A turn must be short enough for the tightest latency class. */
  #boundTurn(): void {
    let micros = this.#turnMicros;
    for (const { bound } of this.#queues.values()) {
      if (bound !== 0) micros = Math.min(micros, bound / 1000 / TURNS_PER_BOUND);
    }
    this.#words[QUEUE_TURN_WORD] = Math.max(1, Math.floor(micros));
  }
}
