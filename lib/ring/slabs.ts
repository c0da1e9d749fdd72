// Ranges of the arena that readMany and stream hand to programs: kept by size class, so that no native call is needed in steady
// state, given out in the order in which they were asked for. They have a part of the arena of their own, so that what a program
// keeps never stops the copies of others (scratch.ts).
import type { NativeExecutor } from '../wire/binding.js';
import { leaseHold } from './lease-hold.js';
import { type Hold, PAGE_LOG2, RELEASED } from './state.js';

/** Ranges are powers of two, from a page to a MiB; longer ones are as long as asked for, and not kept. */
const SMALLEST_LOG2 = PAGE_LOG2;
const CLASSES = 9;

/** One who waits. Only the first of them holds a part of what it wants, so that no two can wait for each other. */
export interface SlabRequest {
  readonly sizes: readonly number[];
  readonly holds: Hold[];
  /** Gets the ranges, or none when there will never be any. Must not throw. */
  readonly then: (holds: Hold[] | undefined) => void;
}

/** See the file's head. */
export class Slabs {
  readonly #native: NativeExecutor;
  readonly #arena: ArrayBuffer;
  readonly #kept: Hold[][] = Array.from({ length: CLASSES }, () => []);
  readonly #evictOthers: () => boolean;
  #waiting: SlabRequest[] = [];
  #abandoned = false;
  /** Bytes of all ranges, in use and kept. */
  bytes = 0;

  /**
   * @param bytesMax - The most bytes of all ranges.
   * @param evictOthers - Has others give back what they keep idle; true when that was anything.
   */
  constructor(
    native: NativeExecutor,
    arena: ArrayBuffer,
    readonly bytesMax: number,
    evictOthers: () => boolean,
  ) {
    this.#native = native;
    this.#arena = arena;
    this.#evictOthers = evictOthers;
  }

  /** Those who wait. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** A range of at least `bytes`, from 1 to `bytesMax`. Undefined when there is none now, or when others wait for one. */
  take(bytes: number): Hold | undefined {
    return this.#waiting.length === 0 && !this.#abandoned ? this.#take(bytes) : undefined;
  }

  /** Calls `then` with ranges of these sizes, at most `bytesMax` in all, when it is this one's turn. */
  wait(sizes: readonly number[], then: SlabRequest['then']): SlabRequest {
    const request = { sizes, holds: [], then };
    this.#waiting.push(request);
    this.serve();
    return request;
  }

  /** One who waits does not want any more. */
  leave(request: SlabRequest): void {
    const index = this.#waiting.indexOf(request);
    if (index === -1) return;
    this.#waiting.splice(index, 1);
    for (const hold of request.holds.splice(0)) this.#putBack(hold);
    this.serve();
  }

  /** Takes a range back. */
  give(hold: Hold): void {
    this.#putBack(hold);
    if (this.#waiting.length > 0) this.serve();
  }

  /** Memory may have come free: whoever waits is served, in order. */
  serve(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      while (!this.#abandoned && first.holds.length < first.sizes.length) {
        const hold = this.#take(first.sizes[first.holds.length] as number);
        if (hold === undefined) return;
        first.holds.push(hold);
      }
      this.#waiting.shift();
      first.then(this.#abandoned ? undefined : first.holds);
    }
  }

  /** No range will come any more: whoever waits hears so. */
  abandon(): void {
    this.#abandoned = true;
    this.serve();
  }

  /** Gives what lies idle back to the arena; true when that was anything. */
  evict(): boolean {
    let given = false;
    for (const kept of this.#kept) {
      for (const hold of kept.splice(0)) {
        this.#free(hold);
        given = true;
      }
    }
    return given;
  }

  #putBack(hold: Hold): void {
    hold.state = RELEASED;
    if (this.#abandoned) return; // The arena goes as a whole.
    const kept = this.#kept[hold.sizeClass];
    if (kept === undefined) this.#free(hold);
    else kept.push(hold);
  }

  #free(hold: Hold): void {
    this.#native.release(hold.slot, hold.generation);
    this.bytes -= hold.length;
  }

  #take(bytes: number): Hold | undefined {
    const sizeClass = bytes <= 1 << SMALLEST_LOG2 ? 0 : 32 - Math.clz32(bytes - 1) - SMALLEST_LOG2;
    const known = this.#kept[sizeClass]?.pop();
    if (known !== undefined) return known;
    return this.#allocate(sizeClass, bytes) ?? (this.#makeRoom() ? this.#allocate(sizeClass, bytes) : undefined);
  }

  #makeRoom(): boolean {
    const own = this.evict();
    return this.#evictOthers() || own;
  }

  #allocate(sizeClass: number, bytes: number): Hold | undefined {
    const whole = sizeClass < CLASSES ? this.#lease(2 ** (sizeClass + SMALLEST_LOG2), sizeClass) : undefined;
    return whole ?? this.#lease(bytes, -1);
  }

  #lease(size: number, sizeClass: number): Hold | undefined {
    if (this.bytes + size > this.bytesMax) return undefined;
    const hold = leaseHold(this.#native, this.#arena, size, sizeClass);
    if (hold === undefined) return undefined;
    this.bytes += size;
    if (sizeClass >= 0) hold.pages = new Array<Uint8Array | undefined>(size >> PAGE_LOG2).fill(undefined);
    return hold;
  }
}
