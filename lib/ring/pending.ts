// The table of promises that wait for a completion: parallel arrays, so that taking a slot allocates nothing.
//
// A slot is taken when a command is written and given back when its one completion was read (INV-4). The generation is
// bumped as it is given back, so a completion or a cancel that names an older one is known as stale.
import { PENDING_CAPACITY } from '../wire/layout.generated.js';
import { type FileState, type Hold, NO_FILE, NO_HOLD } from './state.js';

/** Called with the result of a completion and its second word. A promise's `resolve` is one, too. */
export type Settle = (result: number, extra: number) => void;

/** Slots to begin with; doubled when they run out. */
const SLOTS_FIRST = 1024;

/** Opens have no command, since a path does not fit; the opcode under which they wait. */
export const OPCODE_OPEN = 32;

/** Work of a task queue has no command either; the opcode under which its errors are made. */
export const OPCODE_QUEUE = 33;

/** The low bits of a kind: the opcode. */
export const OPCODE_BITS = 0x3f;
/** A kind's bit: `settle` takes negative results, too. */
export const RAW = 0x40;
/** A kind's bit: does not keep the process alive. */
export const QUIET = 0x80;
/** A kind's bit: settles in a slice of a task queue. */
export const QUEUED = 0x100;

function noSettle(): void {}

/** See the file's head. */
export class PendingTable {
  /** Slots there are, at most Rust's bound. */
  size = 0;
  generations = new Uint32Array(0);
  /** Opcode and bits; 0 is a free slot. */
  kinds = new Uint16Array(0);
  /** With QUEUED: the number of the task queue. */
  queues = new Uint32Array(0);
  readonly settles: Settle[] = [];
  readonly files: FileState[] = [];
  readonly holds: Hold[] = [];
  /** A plain Uint8Array that the bytes are copied to when they have come. */
  readonly targets: (Uint8Array | undefined)[] = [];
  /** A stack, so that the slot used last, which is in the cache, is used next. */
  #free = new Uint32Array(0);
  /** Slots that can be taken. */
  free = 0;

  constructor() {
    this.#grow(SLOTS_FIRST);
  }

  /** Makes sure that a slot can be taken; false at Rust's bound of a million. */
  makeRoom(): boolean {
    if (this.free === 0 && this.size < PENDING_CAPACITY) this.#grow(this.size * 2);
    return this.free !== 0;
  }

  /** Takes a slot; the caller made sure that one is free. */
  take(kind: number, settle: Settle, file: FileState, hold: Hold, target: Uint8Array | undefined): number {
    const slot = this.#free[--this.free];
    this.kinds[slot] = kind;
    this.settles[slot] = settle;
    this.files[slot] = file;
    this.holds[slot] = hold;
    this.targets[slot] = target;
    return slot;
  }

  /** Gives a slot back and lets go of what it kept alive. */
  giveBack(slot: number): void {
    this.generations[slot]++;
    this.kinds[slot] = 0;
    this.settles[slot] = noSettle;
    this.files[slot] = NO_FILE;
    this.holds[slot] = NO_HOLD;
    this.targets[slot] = undefined;
    this.#free[this.free++] = slot;
  }

  #grow(size: number): void {
    const generations = new Uint32Array(size).fill(1);
    generations.set(this.generations);
    const kinds = new Uint16Array(size);
    kinds.set(this.kinds);
    const queues = new Uint32Array(size);
    queues.set(this.queues);
    const free = new Uint32Array(size);
    free.set(this.#free);
    for (let slot = size - 1; slot >= this.size; slot--) free[this.free++] = slot;
    for (let slot = this.size; slot < size; slot++) {
      this.settles.push(noSettle);
      this.files.push(NO_FILE);
      this.holds.push(NO_HOLD);
      this.targets.push(undefined);
    }
    this.generations = generations;
    this.kinds = kinds;
    this.queues = queues;
    this.#free = free;
    this.size = size;
  }
}
