// Ranges of the arena through which plain Uint8Arrays are copied: kept by size class, so that no native call is needed
// in steady state, given out in the order in which they were asked for, never failing.
import type { NativeExecutor } from '../wire/binding.js';
import { Fifo, type Waiter } from './fifo.js';
import { leaseHold } from './lease-hold.js';
import { HELD, type Hold } from './state.js';

/** Powers of four pages: at most three quarters of a range lie idle. The largest is what one operation moves at a time. */
const SIZES: readonly number[] = [4096, 16384, 65536, 262144];

/** When nothing was given back in so many ticks, turns of the loop that may have brought something, what is in use is none to wait for. */
const PATIENCE_TICKS = 20;
const TICK_MS = 50;
/** For so long afterwards nobody waits for long ranges. */
const HOPELESS_MS = 10_000;

/** See the file's head. */
export class Scratch {
  readonly #native: NativeExecutor;
  readonly #arena: ArrayBuffer;
  readonly #sizes: readonly number[];
  readonly #kept: Hold[][];
  readonly #waiting = new Fifo();
  /** Bytes of all ranges, in use and idle, and the most they may be: the rest of the arena stays for leases of users. */
  held = 0;
  readonly heldMax: number;
  readonly #evictOthers: () => boolean;
  #abandoned = false;
  #serving = false;
  /** Runs while one who needs a long range waits for others to give theirs back. */
  #patience: NodeJS.Timeout | undefined;
  /** Ticks since the last one came back. */
  #quiet = 0;
  #hopelessUntil = 0;

  constructor(
    native: NativeExecutor,
    arena: ArrayBuffer,
    bytesMax: number,
    evictOthers: () => boolean,
    sizes: readonly number[] = SIZES,
  ) {
    this.#native = native;
    this.#arena = arena;
    this.#sizes = sizes;
    this.#kept = sizes.map(() => []);
    this.heldMax = bytesMax;
    this.#evictOthers = evictOthers;
  }

  /** Makes one range ours for ever, so that leases that a user keeps can slow a copy down but never stop it. False when there is no room. */
  reserve(): boolean {
    if (this.held > 0 || this.#abandoned) return true; // Whoever waits is told.
    const reserve = this.#allocate(0);
    if (reserve !== undefined) this.#kept[0].push(reserve);
    return reserve !== undefined;
  }

  /** Those who wait. */
  get waiting(): number {
    return this.#waiting.count;
  }

  /**
   * A range of `bytes` or, of what there is, the longest: the caller goes on with the rest. Undefined when there is none
   * or when others wait for one.
   */
  take(bytes: number): Hold | undefined {
    return this.#waiting.empty && !this.#abandoned ? this.#take(bytes) : undefined;
  }

  /** A range of all `bytes`, or none. */
  takeWhole(bytes: number): Hold | undefined {
    const hold = this.take(bytes);
    if (hold === undefined || hold.length >= bytes) return hold;
    this.give(hold);
    return undefined;
  }

  /**
   * Calls `then` with a range when it is this one's turn; with none after `abandon`. Taking the waiter back is the way out.
   *
   * @param least - Bytes that a range must have to be of use: one of fewer comes only when there will hardly be a longer one, since nothing of ours is in use,
   * or what is in use does not come back.
   */
  wait(bytes: number, then: (hold: Hold | undefined) => void, least = 0): Waiter {
    return this.#waiting.push(() => then(this.#abandoned ? undefined : this.#take(bytes)), least);
  }

  /** No range will come any more: whoever waits hears so. */
  abandon(): void {
    this.#abandoned = true;
    this.#endPatience();
    while (!this.#waiting.empty) this.#waiting.runFirst();
  }

  /** Takes a range back. */
  give(hold: Hold): void {
    hold.state = HELD;
    this.#kept[hold.sizeClass].push(hold);
    this.#quiet = 0;
    this.serve();
  }

  /** Memory may have come free: whoever waits is served, in order. */
  serve(): void {
    if (this.#serving) return; // Whoever is served gives its range back at once when it is of no use: the loop below goes on.
    this.#serving = true;
    try {
      while (this.#canServe()) this.#waiting.runFirst();
    } finally {
      this.#serving = false;
    }
  }

  /** Gives what lies idle back to the arena; true when that was anything. The last range is kept. */
  evict(): boolean {
    let given = false;
    for (const [index, kept] of this.#kept.entries()) {
      const spare = index === 0 ? 1 : 0;
      while (kept.length > spare) {
        const hold = kept.pop() as Hold;
        this.#native.release(hold.slot, hold.generation);
        this.held -= hold.length;
        given = true;
      }
    }
    return given;
  }

  #take(bytes: number): Hold | undefined {
    let wanted = 0;
    while (wanted < this.#sizes.length - 1 && this.#sizes[wanted] < bytes) wanted++;
    return this.#exactly(wanted) ?? this.#larger(wanted) ?? this.#afterEviction(wanted) ?? this.#smaller(wanted);
  }

  #exactly(sizeClass: number): Hold | undefined {
    return this.#kept[sizeClass].pop() ?? this.#allocate(sizeClass);
  }

  #larger(than: number): Hold | undefined {
    for (let index = than + 1; index < this.#sizes.length; index++) {
      const hold = this.#kept[index].pop();
      if (hold !== undefined) return hold;
    }
    return undefined;
  }

  #afterEviction(sizeClass: number): Hold | undefined {
    const own = this.evict();
    return this.#evictOthers() || own ? this.#allocate(sizeClass) : undefined;
  }

  #smaller(than: number): Hold | undefined {
    for (let index = than - 1; index >= 0; index--) {
      const hold = this.#exactly(index);
      if (hold !== undefined) return hold;
    }
    return undefined;
  }

  /** True when the first one who waits is to be told: there is enough for it, or nothing that comes back could make it more. */
  #canServe(): boolean {
    const { first } = this.#waiting;
    if (first === undefined) this.#endPatience();
    if (first === undefined || this.#abandoned) return first !== undefined;
    const hold = this.#take(Math.max(first.want, this.#sizes[0]));
    if (hold === undefined) return false;
    this.#kept[hold.sizeClass].push(hold);
    const enough = hold.length >= first.want;
    if (!enough && !this.#isIdle && performance.now() >= this.#hopelessUntil) {
      this.#patience ??= setInterval(() => this.#losePatience(), TICK_MS);
      return false;
    }
    this.#endPatience();
    return true;
  }

  /** Nobody else is served meanwhile, so that short ranges become a long one. Those that do not come back, since a pipe is read into them, are not waited for. */
  #losePatience(): void {
    if (++this.#quiet < PATIENCE_TICKS) return;
    this.#hopelessUntil = performance.now() + HOPELESS_MS;
    this.#endPatience();
    this.serve();
  }

  #endPatience(): void {
    if (this.#patience === undefined) return;
    clearInterval(this.#patience);
    this.#patience = undefined;
    this.#quiet = 0;
  }

  get #isIdle(): boolean {
    let idle = 0;
    for (const [index, kept] of this.#kept.entries()) idle += kept.length * this.#sizes[index];
    return idle === this.held;
  }

  #allocate(sizeClass: number): Hold | undefined {
    const size = this.#sizes[sizeClass];
    if (this.held + size > this.heldMax) return undefined;
    const hold = leaseHold(this.#native, this.#arena, size, sizeClass);
    if (hold !== undefined) this.held += size;
    return hold;
  }
}
