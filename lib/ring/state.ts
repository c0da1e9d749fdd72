// The two things that commands name, as this side knows them: an open file and a held range of the arena.
import type { DirectFile } from './direct-file.js';
import type { Turns } from './turns.js';

/** An open file: what commands name, what errors show, what close waits for. */
export class FileState {
  /** Operations that were started and whose completion has not been read. */
  inFlight = 0;
  /** False from the first call of close on. */
  open = true;
  /** Set when it was opened with `direct`. */
  direct: DirectFile | undefined = undefined;
  /** Long arrays may be written without a command. Until the first of them it is not known. */
  writesNow = true;
  /** Opened with O_APPEND: writes go to the end, whatever their position. */
  appends = false;
  /** A pipe, a socket or a device: reads and writes may wait for another process, or a person. */
  waits = false;
  /** Of `append`, and of reads and writes of what waits: made by the first call. */
  appenders: Turns | undefined = undefined;
  readers: Turns | undefined = undefined;
  writers: Turns | undefined = undefined;
  #whenIdle: (() => void) | undefined = undefined;

  constructor(
    readonly slot: number,
    readonly generation: number,
    readonly path: string,
  ) {}

  /** An operation has started. */
  enter(): void {
    this.inFlight++;
  }

  /** An operation that was started has ended; `then` of `whenIdle` is called when it was the last. */
  leave(): void {
    if (--this.inFlight === 0 && this.#whenIdle !== undefined) this.#becameIdle(this.#whenIdle);
  }

  /** Calls `then` once no operation is in flight; at once when none is. */
  whenIdle(then: () => void): void {
    if (this.inFlight === 0) then();
    else this.#whenIdle = then;
  }

  #becameIdle(then: () => void): void {
    this.#whenIdle = undefined;
    then();
  }
}

/** The file of commands that have none; so that the arrays hold one kind of object. */
export const NO_FILE = new FileState(0, 0, '');

/** In whose hand a range of the arena is (INV-3): this side's, an operation's, nobody's. */
export const HELD = 0;
export const IN_OPERATION = 1;
export const RELEASED = 2;

/** The unit of the arena. */
export const PAGE_LOG2 = 12;
const NO_PAGES: (Uint8Array | undefined)[] = [];

/** A range of the arena that this side holds: a user's lease, or a scratch range of the copying path. */
export class Hold {
  state = HELD;
  /** Its release was asked for while an operation had it; it is done when the operation ends. */
  releaseLater = false;
  /** The range of slabs.ts that this one is the start of. */
  slab: Hold | undefined = undefined;
  /** Views that begin with a page, by its index: of ranges that are used again. Making one costs a tenth of a read. */
  pages = NO_PAGES;

  constructor(
    readonly slot: number,
    readonly generation: number,
    readonly offset: number,
    readonly length: number,
    /** The view of the range. */
    readonly bytes: Uint8Array,
    /** Index of its size class when it is a scratch range, else −1. */
    readonly sizeClass: number,
  ) {}
}

/** The hold of commands that have none. */
export const NO_HOLD = new Hold(0, 0, 0, 0, new Uint8Array(0), -1);
