// Life of a command, stage 2 of 6: command ring. Before: lib/api/file.ts. After: lib/ring/command-writer.ts.
//
// What one executor's rings need on this side, in one object of fixed shape: the shared memory, the pending table, the
// scratch ranges, and the queue of operations that wait for a slot.
import type { NativeExecutor } from '../wire/binding.js';
import {
  ALARM_DOUBLE,
  HELD_WORD,
  KEEP_WORD,
  OPCODE_CALL,
  OPCODE_READ,
  OPCODE_READ_MANY,
  OPCODE_READV,
  OPCODE_WRITE,
  OPCODE_WRITEV,
  QUEUE_CURRENT_WORD,
  REGION_BYTES,
  WRITE_ELSEWHERE,
  WRITE_GONE,
  WRITE_NEVER,
} from '../wire/layout.generated.js';
import { copied, partIfThere } from './bytes.js';
import { CallRanges } from './call-ranges.js';
import { CommandWriter } from './command-writer.js';
import { CompletionReader } from './completion-reader.js';
import { Doors } from './doors.js';
import { Fifo, type Waiter } from './fifo.js';
import { guarded } from './guard.js';
import { OPCODE_BITS, OPCODE_QUEUE, PendingTable, QUEUED, QUIET, RAW, type Settle } from './pending.js';
import { Preempt } from './preempt.js';
import { type Rings, Scheduler } from './scheduler.js';
import { Scratch } from './scratch.js';
import { Slabs } from './slabs.js';
import { type FileState, HELD, type Hold, IN_OPERATION, NO_FILE, NO_HOLD, RELEASED } from './state.js';
import { Timers } from './timers.js';
import type { Unwritten } from './unwritten.js';

/** Makes the rejection for a failed operation; lib/api gives it, since errors are its room. */
export type Fail = (result: number, opcode: number, file: FileState) => Promise<never>;

/** A result that is none: the user's array was detached or shrank. Not an errno, not a reject. */
export const BUFFER_GONE = -200_000;

/** How much of the arena may be used for what; undefined: half of it. */
export interface MemoryLimits {
  readonly copyMemory?: number;
  readonly readMemory?: number;
}

/** Starts the addon's executor over the shared memory. */
export type StartNative = (
  memory: SharedArrayBuffer,
  onCompletions: (broken?: string) => void,
  onSlice: () => void,
) => NativeExecutor;

// Module constants: an imported name is a property of another module's exports, looked up at each use.
const CURRENT = QUEUE_CURRENT_WORD;
/** Commands whose lease Rust reads. */
const PUSHED: ReadonlySet<number> = new Set([OPCODE_WRITE, OPCODE_CALL, OPCODE_READ_MANY, OPCODE_READV, OPCODE_WRITEV]);
/** What Rust says when another thread has called. */
const CALLED = '';
/** In a command's first word the opcode is below the class. */
const CLASS_SHIFT = 16;
/** In the word: no queue but the default one. */
const NO_QUEUE = 1;

/** True unless it throws: somebody moved the buffer that all leases are of. */
function done(copy: () => void): boolean {
  try {
    copy();
    return true;
  } catch {
    return false;
  }
}

/** See the file's head. */
export class Link {
  readonly table = new PendingTable();
  readonly native: NativeExecutor;
  readonly scratch: Scratch;
  readonly calls: CallRanges;
  readonly slabs: Slabs;
  /** The memory that leases are ranges of. */
  readonly arena: ArrayBuffer;
  /** All of it, for the tables that commands have in their leases. */
  readonly arenaWords: Uint32Array;
  readonly arenaResults: Int32Array;
  readonly arenaDoubles: Float64Array;
  readonly scheduler: Scheduler;
  readonly doors = new Doors();
  readonly preempt: Preempt;
  readonly timers: Timers;
  /** True where JavaScript cannot see the arena itself: bytes are copied at both ends of an operation. */
  readonly copies: boolean;
  open = true;
  /** Of `cancelAll`. */
  cancelled = false;
  /** Not 0 once Rust reads no more commands: the result of everything that would still begin. */
  ended = 0;
  /** With a submission thread, which keeps the credentials of its start: those. Else empty. */
  credentials = '';
  /** Files that were collected without `close()`. */
  forgotten = 0;
  /** Who has bytes that no command carries yet: closes have them written first. */
  readonly unwritten = new Set<Unwritten>();
  /** Of `enter`. */
  #transfers = 0;
  readonly #words: Uint32Array;
  readonly #writer: CommandWriter;
  readonly #waiting = new Fifo();
  readonly #fail: Fail;
  #cancels: number[] = [];
  /** The ring is full and a flush did not help. */
  #blocked = false;
  /** Pending operations that keep the process alive. */
  #kept = 0;
  #whenIdle: (() => void)[] = [];

  constructor(start: StartNative, fail: Fail, onBroken: (what: string) => void, turnMs: number, limits: MemoryLimits) {
    const memory = new SharedArrayBuffer(REGION_BYTES);
    this.#words = new Uint32Array(memory);
    this.#writer = new CommandWriter(memory);
    this.#fail = fail;
    const reader = new CompletionReader(memory, this);
    const scheduler = new Scheduler(memory, this.#rings(), turnMs);
    this.scheduler = scheduler;
    this.preempt = new Preempt(() => this.native, scheduler);
    this.native = start(
      memory,
      (broken) => {
        reader.drain();
        if (broken !== undefined && broken !== CALLED) return onBroken(broken);
        if (broken === CALLED) this.doors.look();
        // Last: a callback of the user's may throw. What Rust told of is told once; timers that are left stay due.
        this.timers.fire();
      },
      () => scheduler.slice(),
    );
    const alarm = new Float64Array(memory, ALARM_DOUBLE * Float64Array.BYTES_PER_ELEMENT, 1);
    this.timers = new Timers(this, alarm, () => this.native.now());
    this.copies = this.native.copies;
    const { arena } = this.native;
    const { copyMemory = arena.byteLength / 2, readMemory = arena.byteLength / 2 } = limits;
    this.scratch = new Scratch(this.native, arena, copyMemory, () => this.slabs.evict());
    this.scratch.reserve();
    this.calls = new CallRanges(this.native, arena);
    this.slabs = new Slabs(this.native, arena, readMemory, () =>
      [this.scratch.evict(), this.calls.evict()].includes(true),
    );
    this.arena = arena;
    this.arenaWords = new Uint32Array(arena);
    this.arenaResults = new Int32Array(arena);
    this.arenaDoubles = new Float64Array(arena);
  }

  /** True when a command can be written now. Whoever waits was served when there was last room, so nobody is overtaken. */
  get ready(): boolean {
    return (this.table.free !== 0 || this.table.makeRoom()) && (!this.#writer.full || this.#makeRoom());
  }

  /** Takes a slot and writes the command. Call when `ready`. Returns the slot. */
  begin(
    kind: number,
    settle: Settle,
    file: FileState,
    hold: Hold,
    target: Uint8Array | undefined,
    length: number,
    operand: number,
  ): number {
    const table = this.table;
    const slot = table.take(kind, settle, file, hold, target);
    const queue = this.#words[CURRENT];
    const place = queue > NO_QUEUE ? this.#remember(slot, queue) << CLASS_SHIFT : 0;
    file.enter();
    hold.state = IN_OPERATION;
    if ((kind & QUIET) === 0) this.retain();
    if (this.copies && !this.#pushed(kind & OPCODE_BITS, hold, length)) {
      const generation = table.generations[slot];
      queueMicrotask(() => this.finish(slot, generation, BUFFER_GONE, 0));
      return slot;
    }
    this.#writer.write(
      (kind & OPCODE_BITS) | place,
      slot,
      table.generations[slot],
      file.slot,
      file.generation,
      hold.slot,
      hold.generation,
      length,
      operand,
    );
    return slot;
  }

  /** Takes a slot for an operation that reaches Rust by a call of its own. */
  beginCall(kind: number, settle: Settle): number {
    const slot = this.table.take(kind, settle, NO_FILE, NO_HOLD, undefined);
    const queue = this.#words[CURRENT];
    if (queue > NO_QUEUE) this.#remember(slot, queue);
    NO_FILE.enter();
    this.retain();
    return slot;
  }

  /** Nobody waits for this slot any more: it does not keep the process alive. */
  letGo(slot: number): void {
    if ((this.table.kinds[slot] & QUIET) !== 0) return;
    this.table.kinds[slot] |= QUIET;
    this.unkeep();
  }

  /** Gives back the slot of a call that was refused. */
  takeBackCall(slot: number): void {
    this.table.giveBack(slot);
    NO_FILE.leave();
    this.unkeep();
  }

  /** Settles the completion of a slot, unless it is stale by now. Settling runs no code of the user's: that comes with the microtasks. */
  finish(slot: number, generation: number, moved: number, extra: number): void {
    const table = this.table;
    if (slot >= table.size || table.generations[slot] !== generation) return;
    const kind = table.kinds[slot];
    const settle = table.settles[slot] as Settle;
    const file = table.files[slot];
    const target = table.targets[slot];
    const hold = table.holds[slot];
    // Before the range may go back to the arena.
    const answers = moved >= 0 || (kind & OPCODE_BITS) === OPCODE_CALL;
    const result = this.copies && answers && !this.#pulled(kind, hold, moved) ? BUFFER_GONE : moved;
    table.giveBack(slot);
    if ((kind & QUIET) === 0) this.unkeep();
    file.leave();
    if (hold !== NO_HOLD) this.handBack(hold);
    if ((kind & RAW) !== 0) settle(result, extra);
    else if (target !== undefined) this.settleCopied(settle, target, hold, kind, file, result);
    else if (result >= 0) settle(result, 0);
    else settle(this.#fail(result, kind & OPCODE_BITS, file) as never, 0);
  }

  /** Runs `start` once a command can be written, in the order of the calls, as work of the queue that asks. */
  whenReady(start: () => void): Waiter {
    const { current } = this.scheduler;
    const waiter = this.#waiting.push(() => this.scheduler.runAs(current, start));
    if (this.ready) this.runWaiting();
    return waiter;
  }

  /** Runs whoever waits while there is room. */
  runWaiting(): void {
    this.#blocked = false;
    while (this.#cancels.length > 0 && !this.#writer.full) {
      const generation = this.#cancels.pop() as number;
      const slot = this.#cancels.pop() as number;
      this.#writer.cancel(slot, generation);
    }
    while (!this.#waiting.empty && this.ready) guarded(() => this.#waiting.runFirst());
    if (this.#whenIdle.length > 0 && this.idle) for (const then of this.#whenIdle.splice(0)) then();
  }

  /** Asks for the early end of an operation. */
  cancel(slot: number, generation: number): void {
    if (this.table.generations[slot] !== generation) return;
    if (this.#writer.full && !this.#makeRoom()) this.#cancels.push(slot, generation);
    else this.#writer.cancel(slot, generation);
    // A loop that nothing keeps alive would end before Rust reads the cancel; what it names holds it where that matters.
  }

  /** Asks for the early end of all operations; who waits for its turn behind one of them is not to begin. */
  cancelAll(): void {
    this.cancelled = true;
    for (let slot = 0; slot < this.table.size; slot++) {
      if (this.table.kinds[slot] !== 0) this.cancel(slot, this.table.generations[slot]);
    }
  }

  /** True when nothing is pending and nobody waits. */
  get idle(): boolean {
    return this.table.free === this.table.size && this.#waiting.empty && this.#transfers === 0 && this.scheduler.idle;
  }

  /** Operations that wait for a slot. */
  get waitingForSlots(): number {
    return this.#waiting.count;
  }

  /** Operations that have a slot. */
  get pending(): number {
    return this.table.size - this.table.free;
  }

  /** Settles everything that still waits with a result that no completion will bring any more. */
  abandon(result: number): void {
    this.ended = result;
    const table = this.table;
    for (let slot = 0; slot < this.table.size; slot++) {
      const kind = table.kinds[slot];
      if (kind === 0) continue;
      const settle = table.settles[slot] as Settle;
      const file = table.files[slot] as FileState;
      table.giveBack(slot);
      guarded(() => {
        if ((kind & RAW) !== 0) settle(result, 0);
        else settle(this.#fail(result, kind & OPCODE_BITS, file) as never, 0);
      });
    }
    while (!this.#waiting.empty) guarded(() => this.#waiting.runFirst());
    this.preempt.end();
    this.scheduler.abandon(() => this.#fail(result, OPCODE_QUEUE, NO_FILE));
    this.scratch.abandon();
    this.calls.abandon();
    this.slabs.abandon();
    this.doors.abandon();
  }

  /** Something that takes several operations, or waits for its first, has started: close, of the file and of the executor, waits for all of it. */
  enter(file: FileState): void {
    file.enter();
    this.#transfers++;
  }

  /** What `enter` told of has ended. */
  leave(file: FileState): void {
    file.leave();
    this.#transfers--;
    if (this.#whenIdle.length > 0 && this.idle) for (const then of this.#whenIdle.splice(0)) then();
  }

  /** Calls `then` when nothing is pending. */
  whenIdle(then: () => void): void {
    if (this.idle) then();
    else this.#whenIdle.push(then);
  }

  /** Goes on in the queue that is current now, if there is one: for what is settled by other work's completion. */
  backToQueue(then: () => void): () => void {
    const { current } = this.scheduler;
    return current === undefined ? then : () => (current.open ? current.push(then) : then());
  }

  /** One more that keeps the process alive. */
  retain(): void {
    if (this.#kept++ === 0) this.#keep();
  }

  /** One operation less that keeps the process alive. Rust lets go of the loop when it next looks, without a call. */
  unkeep(): void {
    if (--this.#kept === 0) this.#words[KEEP_WORD] = 0;
  }

  /** An operation gave a range of the arena back. */
  handBack(hold: Hold): void {
    if (hold.releaseLater) this.release(hold);
    else hold.state = HELD;
  }

  /** Gives a range back to the arena, now or when the operation that has it ends. */
  release(hold: Hold): void {
    if (hold.state === IN_OPERATION && !hold.releaseLater) {
      hold.releaseLater = true;
      return;
    }
    hold.state = RELEASED;
    if (this.ended !== 0) return;
    if (hold.slab !== undefined) {
      this.slabs.give(hold.slab);
      return;
    }
    this.native.release(hold.slot, hold.generation);
    this.scratch.serve();
    this.calls.serve();
    this.slabs.serve();
  }

  /** Ends an operation of the copying path: copies what was read into the user's array, gives the range back, settles. */
  settleCopied(settle: Settle, target: Uint8Array, hold: Hold, kind: number, file: FileState, result: number): void {
    const opcode = kind & OPCODE_BITS;
    let outcome = result;
    if (result > 0 && opcode === OPCODE_READ && !copied(target, 0, hold.bytes, 0, result)) outcome = BUFFER_GONE;
    this.scratch.give(hold);
    if (outcome < 0) settle(this.#fail(outcome, opcode, file) as never, 0);
    else settle(outcome, 0);
  }

  /**
   * Writes the bytes from `start` to `end` of a long array at once, as far as that is a copy and nothing else: for files with `writesNow`. At `position`, or
   * where the file is (−1): then no other operation on it may be in flight. Bytes written, minus an errno, {@link BUFFER_GONE}, WRITE_NEXT_TURN, or
   * WRITE_ELSEWHERE when a command must do it.
   */
  writeNow(file: FileState, bytes: Uint8Array, start: number, end: number, position: number): number {
    const part = partIfThere(bytes, start, end);
    const result = part === undefined ? WRITE_GONE : this.native.writeNow(file.slot, file.generation, part, position);
    if (result === WRITE_GONE) return BUFFER_GONE;
    if (result !== WRITE_NEVER) return result;
    file.writesNow = false;
    return WRITE_ELSEWHERE;
  }

  /** Resolves in the loop's next turn. */
  nextTurn(): Promise<void> {
    return new Promise((resolve) => setImmediate(this.backToQueue(resolve)));
  }

  /** Where JavaScript cannot see the arena: brings the bytes of a lease beside the command's own to where the command finds them. False when they are gone. */
  pushes(hold: Hold): boolean {
    return !this.copies || done(() => this.native.push(hold.slot, hold.generation, hold.length));
  }

  /** The same the other way, of its first bytes, after a command. */
  pulls(hold: Hold, length: number): boolean {
    return !this.copies || done(() => this.native.pull(hold.slot, hold.generation, length));
  }

  /** The promise of a failed operation. */
  fail(result: number, opcode: number, file: FileState): Promise<never> {
    return this.#fail(result, opcode, file);
  }

  /** Has Rust read the ring in the middle of a turn. When its driver has no room either, not again before the next completions. */
  #makeRoom(): boolean {
    if (this.#blocked) return false;
    this.native.flush();
    this.#blocked = this.#writer.full;
    return !this.#blocked;
  }

  /** Where JavaScript cannot see the arena: brings what an operation wrote into the hold's own bytes. False when those are gone. */
  #pulled(kind: number, hold: Hold, moved: number): boolean {
    const opcode = kind & OPCODE_BITS;
    if (hold === NO_HOLD || opcode === OPCODE_WRITE || opcode === OPCODE_WRITEV) return true;
    // What is no read may fill the range, whatever it says.
    const length = opcode === OPCODE_READ ? Math.min(moved, hold.length) : hold.length;
    return length === 0 || this.pulls(hold, length);
  }

  /** The same the other way, before a write, or a call, which may have something to write behind its block. */
  #pushed(opcode: number, hold: Hold, length: number): boolean {
    if (!PUSHED.has(opcode)) return true;
    return done(() => this.native.push(hold.slot, hold.generation, opcode === OPCODE_CALL ? hold.length : length));
  }

  /** The slot's completion goes to the queue that asked. Returns its class. */
  #remember(slot: number, queue: number): number {
    this.table.kinds[slot] |= QUEUED;
    this.table.queues[slot] = queue;
    return this.scheduler.currentClass;
  }

  /** What the scheduler may ask of this. */
  #rings(): Rings {
    return {
      finish: (slot, generation, result, extra) => this.finish(slot, generation, result, extra),
      keep: () => this.retain(),
      unkeep: () => this.unkeep(),
      urge: () => this.preempt.urge(),
      classed: (queue) => this.native.setClass(queue.class, queue.shares, queue.bound !== 0),
      sliced: () => {
        if (!this.#waiting.empty || this.#whenIdle.length > 0) this.runWaiting();
      },
    };
  }

  #keep(): void {
    this.#words[KEEP_WORD] = 1;
    if (this.#words[HELD_WORD] === 0) this.native.hold();
  }
}
