// The table of promises that wait for a completion: parallel arrays, so that taking a slot allocates nothing.
//
// A slot is taken when a command is written and given back when its one completion was read (INV-4). The generation is
// bumped as it is given back, so a completion or a cancel that names an older one is known as stale.
import { type FileState, type Hold, NO_FILE, NO_HOLD } from './state.js';

/** Called with the result of a completion and its second word. A promise's `resolve` is one, too. */
export type Settle = (result: number, extra: number) => void;

/** Fewer than the ring's 4096 completions, so that those always fit, and its 4096 commands, so that cancels find room. */
export const PENDING_SLOTS = 4000;

/** The low bits of a kind: the opcode. */
export const OPCODE_BITS = 0x3f;
/** A kind's bit: `settle` takes negative results, too. */
export const RAW = 0x40;
/** A kind's bit: does not keep the process alive. */
export const QUIET = 0x80;

function noSettle(): void {}

/** See the file's head. */
export class PendingTable {
  readonly generations = new Uint32Array(PENDING_SLOTS).fill(1);
  /** Opcode and bits; 0 is a free slot. */
  readonly kinds = new Uint8Array(PENDING_SLOTS);
  readonly settles: Settle[] = new Array<Settle>(PENDING_SLOTS).fill(noSettle);
  readonly files: FileState[] = new Array<FileState>(PENDING_SLOTS).fill(NO_FILE);
  readonly holds: Hold[] = new Array<Hold>(PENDING_SLOTS).fill(NO_HOLD);
  /** A plain Uint8Array that the bytes are copied to when they have come. */
  readonly targets: (Uint8Array | undefined)[] = new Array<Uint8Array | undefined>(PENDING_SLOTS).fill(undefined);
  /** A stack, so that the slot used last, which is in the cache, is used next. */
  readonly #free = new Uint16Array(PENDING_SLOTS);
  /** Slots that can be taken. */
  free = PENDING_SLOTS;

  constructor() {
    for (let index = 0; index < PENDING_SLOTS; index++) this.#free[index] = PENDING_SLOTS - 1 - index;
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
}
