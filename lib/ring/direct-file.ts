// A file that bypasses the page cache: what it asks of transfers, and which of them wait for each other.
//
// A part of a block is written by reading the block, changing it and writing it back: what another write puts there in between would be
// lost. And a block that reaches beyond the end of the file is written whole and cut again: what another write puts behind it in between would be
// cut, too. So such a write *claims* its range, up to infinity where it meets the end. It waits for all before it that overlap, and those behind it that overlap
// wait for it, reads too. Writes of whole blocks do not wait for each other: while nobody claims anything they look at one counter.
import type { Hold } from './state.js';
import { type BackToQueue, Turns } from './turns.js';

/** A write on its way, or one that waits for others. */
export interface Writing {
  readonly start: number;
  /** Byte position behind the last one. */
  readonly end: number;
  /** Nothing that overlaps may run beside it. */
  readonly claims: boolean;
  /** Settles when it may begin; undefined when that is now. */
  ready: Promise<void> | undefined;
  /** Those who wait for its end. */
  waiting: (() => void)[] | undefined;
}

/** See the file's head. */
export class DirectFile {
  /** The file's own position, which is kept here: the kernel's would have to be a multiple of the alignment. */
  position = 0;
  /** The length that was seen last. A guess, until a claim is held. */
  lengthSeen: number;
  readonly #mask: number;
  /** In the order in which they came. */
  readonly #writings = new Set<Writing>();
  /** How many of them claim their range. */
  #claims = 0;
  /** Of those who move the file's own position. */
  readonly movers = new Turns();

  /**
   * @param alignment - What positions, lengths and memory of transfers have to be multiples of: bytes, a power of two.
   * @param device - It is a block device, whose length nothing changes.
   * @param readable - Whether the program asked for reading. The descriptor always may: parts of blocks are read before they are written.
   * @param appends - Writes go to the end.
   */
  constructor(
    readonly alignment: number,
    readonly device: boolean,
    readonly readable: boolean,
    readonly appends: boolean,
    length: number,
  ) {
    this.#mask = alignment - 1;
    this.lengthSeen = length;
  }

  /** True when the device can do it as it is. A position of −1, the file's own, is none that it could. */
  fits(hold: Hold, length: number, position: number): boolean {
    // Bitwise: of a position beyond 2^32 the low bits are left, which are the ones that count.
    return ((hold.offset | length | position) & this.#mask) === 0;
  }

  /** The same of a read that may go at once. */
  reads(hold: Hold, length: number, position: number): boolean {
    return this.fits(hold, length, position) && this.#claims === 0 && this.readable;
  }

  /** The last multiple of the alignment that is not above. */
  down(position: number): number {
    return position - (position & this.#mask);
  }

  /** The first multiple of the alignment that is not below. */
  up(position: number): number {
    return position + (-position & this.#mask);
  }

  /** A write begins, or waits: then await its `ready`. Give it to `end`, once. */
  begin(start: number, end: number, claims: boolean, back: BackToQueue): Writing {
    const writing: Writing = { start, end, claims, ready: undefined, waiting: undefined };
    if (claims || this.#claims > 0) writing.ready = this.#after(start, end, claims, back);
    this.#writings.add(writing);
    if (claims) this.#claims++;
    return writing;
  }

  /** Settles when nothing claims a part of the range any more; undefined when that is now. */
  settled(start: number, end: number, back: BackToQueue): Promise<void> | undefined {
    return this.#claims === 0 ? undefined : this.#after(start, end, false, back);
  }

  /** A write has ended; one that did not wait to the end keeps its place until then, since others wait for whom it waits for. */
  end(writing: Writing, began: boolean): void {
    if (!began && writing.ready !== undefined) {
      writing.ready.then(() => this.#leave(writing));
      return;
    }
    this.#leave(writing);
  }

  #leave(writing: Writing): void {
    this.#writings.delete(writing);
    if (writing.claims) this.#claims--;
    if (writing.waiting !== undefined) for (const then of writing.waiting) then();
  }

  /** Waits for those on the way that overlap and cannot run beside it. */
  #after(start: number, end: number, claims: boolean, back: BackToQueue): Promise<void> | undefined {
    const before: Writing[] = [];
    for (const other of this.#writings) {
      if (other.start >= end || other.end <= start || !(claims || other.claims)) continue;
      // Whoever is before one that claims all of this range, and in its way, is in that one's way, too, and so has ended when that one has.
      if (other.claims && other.start <= start && other.end >= end) before.length = 0;
      before.push(other);
    }
    if (before.length === 0) return undefined;
    return new Promise((resolve) => {
      let left = before.length;
      const go = back(resolve);
      for (const other of before) {
        other.waiting ??= [];
        other.waiting.push(() => {
          if (--left === 0) go();
        });
      }
    });
  }
}
