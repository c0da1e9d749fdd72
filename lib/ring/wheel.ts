// The timing wheel of this thread's timers, in typed arrays: no object of its own for a timer, no call of the addon to set,
// cancel or move one.
//
// Four levels of 256 slots, each a circular list of entries. A slot of level 0 is a millisecond; of the others, 256 slots of
// the level below. Deadlines are exact (a fraction of a millisecond counts); the slot only says where to look. An entry is
// moved down when its slot's time comes, so every occupied slot lies ahead and the first one is the next event. Moving a
// deadline to a later time is one store: the entry is put where it belongs when it comes up. Which entry a timer gets: blocks.ts.
import { BLOCK, Blocks, NEAR } from './blocks.js';

const SLOTS = 256;
/** List heads: 4 × 256 slots, then two of their own. */
const HEADS = 4 * SLOTS;
/** Words of an entry or a head: next and previous of its list, generation, kind. */
const STRIDE_BITS = 2;
const STRIDE = 1 << STRIDE_BITS;
const PREVIOUS = 1;
const GENERATION = 2;
const KIND = 3;
/** Entries of a slot whose time has come and that are still to be placed more finely. */
const MOVING = HEADS * STRIDE;
/** Entries of slots that have passed: due, unless they were moved. */
const DUE = MOVING + STRIDE;
/** Heads fill the first blocks. */
const FIRST_ENTRY = Math.ceil((DUE + STRIDE) / STRIDE / BLOCK) * BLOCK * STRIDE;
/** A kind's bit, which is not the owner's: an entry for a later time than the near ones, which have theirs in common. */
const FAR = 0x80;
/** Words to begin with: about as many entries as heads. */
const SIZE_FIRST = 2 * FIRST_ENTRY;
/** A wheel that has become empty gives the memory of more entries than this back: 4.5 MiB. */
const ENTRIES_KEPT = 140_000;
/** Entries placed anew by one look: about a millisecond. */
const MOVES_MAX = 16_384;
/** The highest place on the lowest 32 bits of ticks; behind it entries wait in the last slot, for a new base. */
const REACH = 0xffff_ffff;
const LAST_SLOT = 0xff00_0000;
/** An entry whose generation got here is not used again: no stale name ever means a later timer. */
const GENERATION_MAX = 0x7fff_ffff;
/** For previous: in no list. */
const NOWHERE = -1;

/**
 * See the file's head. A timer's name is its entry, a multiple of 4, and that entry's generation; times are milliseconds on any clock
 * that does not go back.
 */
export class Wheel {
  /** Entries that neither fired nor were taken back. */
  live = 0;
  /** Entries and heads. */
  #words = new Int32Array(0);
  /** By entry ÷ 4. A slot's head has one that none of its entries is before. */
  #deadlines = new Float64Array(0);
  /** By entry ÷ 4: what it is for. */
  readonly #whats: unknown[] = [];
  readonly #blocks = new Blocks();
  /** The first free entry for later times, linked through next; 0 for none. */
  #far = 0;
  /** A bit for each list that is not empty. */
  readonly #occupied = new Int32Array(HEADS / 32 + 1);
  /** The whole millisecond from which places count, and how many have passed since. */
  #base: number;
  #passed = 0;
  /** No generation below this was given out. */
  #floor: number;

  /**
   * @param now - The time.
   * @param floor - The first generation: above those of an earlier wheel, none of its names is one of this.
   */
  constructor(now: number, floor = 1) {
    this.#base = Math.floor(now);
    this.#floor = floor;
    this.#grow();
  }

  /** Entries that there is memory for, heads included. */
  get capacity(): number {
    return this.#words.length / STRIDE;
  }

  /** Not below any generation that was given out and has ended. */
  get ceiling(): number {
    const words = this.#words;
    let highest = this.#floor;
    for (let entry = FIRST_ENTRY; entry < words.length; entry += STRIDE) {
      highest = Math.max(highest, words[entry + GENERATION]);
    }
    return highest;
  }

  /** Sets a timer. Returns its entry. */
  insert(deadline: number, what: unknown, kind: number): number {
    const place = Math.floor(deadline) - this.#base;
    const near = place - this.#passed < NEAR;
    const entry = near ? this.#takeNear(place & (NEAR - 1)) : this.#takeFar();
    this.#whats[entry >> STRIDE_BITS] = what;
    this.#words[entry + KIND] = near ? kind : kind | FAR;
    this.#deadlines[entry >> STRIDE_BITS] = deadline;
    this.live++;
    this.#place(entry, deadline);
    return entry;
  }

  /** The generation of an entry, which is one more when it has ended. */
  generationOf(entry: number): number {
    return this.#words[entry + GENERATION];
  }

  /** True while the entry is the timer of that generation. */
  has(entry: number, generation: number): boolean {
    return this.#words[entry + GENERATION] === generation;
  }

  /** What the entry is for, as given. */
  whatOf(entry: number): unknown {
    return this.#whats[entry >> STRIDE_BITS];
  }

  /** The owner's bits. */
  kindOf(entry: number): number {
    return this.#words[entry + KIND];
  }

  /** Changes the owner's bits. */
  setKind(entry: number, kind: number): void {
    this.#words[entry + KIND] = kind;
  }

  /** Takes an entry out, which must be live. */
  remove(entry: number): void {
    const words = this.#words;
    this.#unlink(entry);
    this.#whats[entry >> STRIDE_BITS] = undefined;
    this.live--;
    if (words[entry + GENERATION]++ === GENERATION_MAX) return;
    if ((words[entry + KIND] & FAR) === 0) this.#blocks.giveBack(entry >> STRIDE_BITS);
    else {
      words[entry] = this.#far;
      this.#far = entry;
    }
    if (this.live === 0 && this.capacity > ENTRIES_KEPT) this.#shrink();
  }

  /** Moves the deadline of a live entry. */
  move(entry: number, deadline: number): void {
    const at = entry >> STRIDE_BITS;
    const later = deadline >= this.#deadlines[at];
    this.#deadlines[at] = deadline;
    if (later) return; // It is placed anew when the slot it is in comes up.
    this.#unlink(entry);
    this.#place(entry, deadline);
  }

  /** Moves the deadline of a live entry to a later time. */
  delay(entry: number, by: number): void {
    this.#deadlines[entry >> STRIDE_BITS] += by;
  }

  /** The entry of a timer that is due, to be removed before the next call; −1 when there is none, or none yet: see `next`. */
  due(now: number): number {
    for (let moves = MOVES_MAX; ; moves--) {
      const first = this.#words[DUE];
      if (first === DUE) {
        moves = this.#advance(now, moves);
        if (moves <= 0) return -1;
        continue;
      }
      const deadline = this.#deadlines[first >> STRIDE_BITS];
      if (deadline <= now && Math.floor(deadline) - this.#base <= this.#passed) return first;
      this.#unlink(first); // It was moved to a later time.
      this.#place(first, deadline);
      if (moves === 0) return -1;
    }
  }

  /** When `due` is to be asked again: a time that is not after any deadline, −Infinity for at once, Infinity for never. */
  next(): number {
    if (this.live === 0) return Number.POSITIVE_INFINITY;
    if (this.#occupied[HEADS / 32] !== 0) return Number.NEGATIVE_INFINITY;
    return this.#deadlines[this.#firstSlot()];
  }

  /** The live entries. */
  entries(): number[] {
    const words = this.#words;
    const found: number[] = [];
    for (let entry = FIRST_ENTRY; entry < words.length; entry += STRIDE) {
      if (words[entry + PREVIOUS] !== NOWHERE) found.push(entry);
    }
    return found;
  }

  /**
   * Goes on until something may be due. Returns how many of so many moves are left: 0 also when nothing is due. Where they did not
   * suffice, `next` says "at once".
   */
  #advance(now: number, moves: number): number {
    for (;;) {
      for (let entry = this.#words[MOVING]; entry !== MOVING; entry = this.#words[MOVING]) {
        if (moves-- <= 0) return 0;
        this.#unlink(entry);
        this.#place(entry, this.#deadlines[entry >> STRIDE_BITS]);
      }
      const until = Math.floor(now) - this.#base;
      const slot = this.#firstSlot();
      const shift = (slot >>> 8) * 8;
      // The slots of a level lie within what is left of one slot of the level above.
      const above = shift === 24 ? 0 : (this.#passed >>> (shift + 8)) << (shift + 8);
      const start = (above | ((slot & (SLOTS - 1)) << shift)) >>> 0;
      if (slot === HEADS || start > until) {
        if (until >= LAST_SLOT) this.#takeNewBase(now);
        else if (until > this.#passed) this.#passed = until >>> 0; // A small integer, as it began: V8 has one shape for both.
        return 0;
      }
      if (start >= LAST_SLOT) {
        this.#takeNewBase(now);
        continue;
      }
      if (start > this.#passed) this.#passed = start >>> 0;
      if (shift > 0) {
        this.#splice(slot, MOVING);
        continue;
      }
      if (start < until) this.#splice(slot, DUE);
      else this.#collect(slot, now);
      return this.#words[DUE] === DUE ? 0 : Math.max(moves, 1);
    }
  }

  /** Moves what is due of this millisecond's list to the list of what is due; what was moved later, to its place. */
  #collect(slot: number, now: number): void {
    const words = this.#words;
    const deadlines = this.#deadlines;
    const head = slot * STRIDE;
    let earliest = Number.POSITIVE_INFINITY;
    for (let entry = words[head]; entry !== head; ) {
      const next = words[entry];
      const deadline = deadlines[entry >> STRIDE_BITS];
      if (deadline <= now) {
        this.#unlink(entry);
        this.#occupied[HEADS / 32] |= 2;
        this.#link(DUE, entry);
      } else if (Math.floor(deadline) - this.#base > this.#passed) {
        this.#unlink(entry);
        this.#place(entry, deadline);
      } else if (deadline < earliest) earliest = deadline;
      entry = next;
    }
    deadlines[slot] = earliest;
  }

  /** Every 49 days, or after a jump as long: places count from now on, or from the first deadline when that is earlier. */
  #takeNewBase(now: number): void {
    const entries = this.entries();
    const deadlineOf = (entry: number) => this.#deadlines[entry >> STRIDE_BITS];
    let base = Math.floor(now);
    for (const entry of entries) base = Math.min(base, Math.floor(deadlineOf(entry)));
    for (const entry of entries) this.#unlink(entry);
    this.#base = Math.max(base, this.#base + this.#passed);
    this.#passed = 0;
    for (const entry of entries) this.#place(entry, deadlineOf(entry));
  }

  #place(entry: number, deadline: number): void {
    const passed = this.#passed;
    let place = Math.floor(deadline) - this.#base;
    if (!(place > passed)) place = passed;
    else if (place > REACH) place = REACH;
    // The level is the highest byte in which the place differs from now, as a shift by 8 bits a level.
    const shift = (31 - Math.clz32((place ^ passed) | 1)) & 24;
    const slot = (shift << 5) | ((place >>> shift) & (SLOTS - 1));
    const bit = 1 << (slot & 31);
    const occupied = this.#occupied[slot >>> 5];
    const head = slot * STRIDE;
    if ((occupied & bit) === 0) {
      this.#occupied[slot >>> 5] = occupied | bit;
      this.#deadlines[slot] = deadline;
    } else if (deadline < this.#deadlines[slot]) this.#deadlines[slot] = deadline;
    this.#link(head, entry);
  }

  #link(head: number, entry: number): void {
    const words = this.#words;
    const last = words[head + PREVIOUS];
    words[last] = entry;
    words[entry + PREVIOUS] = last;
    words[entry] = head;
    words[head + PREVIOUS] = entry;
  }

  /** Moves all entries of a slot's list to an empty one. */
  #splice(slot: number, to: number): void {
    const words = this.#words;
    const from = slot * STRIDE;
    const first = words[from];
    const last = words[from + PREVIOUS];
    words[to] = first;
    words[first + PREVIOUS] = to;
    words[to + PREVIOUS] = last;
    words[last] = to;
    words[from] = from;
    words[from + PREVIOUS] = from;
    this.#occupied[slot >>> 5] &= ~(1 << (slot & 31));
    this.#occupied[HEADS / 32] |= to === DUE ? 2 : 1;
  }

  #unlink(entry: number): void {
    const words = this.#words;
    const next = words[entry];
    const previous = words[entry + PREVIOUS];
    words[previous] = next;
    words[next + PREVIOUS] = previous;
    words[entry + PREVIOUS] = NOWHERE;
    // The list is empty: what is left is its head.
    if (next === previous) this.#occupied[next >>> (STRIDE_BITS + 5)] &= ~(1 << ((next >>> STRIDE_BITS) & 31));
  }

  /** The first occupied slot; HEADS when there is none. */
  #firstSlot(): number {
    for (let word = 0; word < HEADS / 32; word++) {
      const bits = this.#occupied[word];
      if (bits !== 0) return word * 32 + 31 - Math.clz32(bits & -bits);
    }
    return HEADS;
  }

  #takeNear(ms: number): number {
    if (!this.#blocks.has(ms)) this.#grow();
    return this.#blocks.take(ms) << STRIDE_BITS;
  }

  #takeFar(): number {
    if (this.#far === 0) {
      if (!this.#blocks.has()) this.#grow();
      const { first, free } = this.#blocks.takeBlock();
      // The last first, so that the first one is used first.
      for (let index = BLOCK - 1; index >= 0; index--) {
        if ((free & (1 << index)) === 0) continue;
        const entry = (first + index) << STRIDE_BITS;
        this.#words[entry] = this.#far;
        this.#far = entry;
      }
    }
    const entry = this.#far;
    this.#far = this.#words[entry];
    return entry;
  }

  #grow(): void {
    const before = this.#words.length;
    const size = before === 0 ? SIZE_FIRST : before * 2;
    const words = new Int32Array(size);
    words.set(this.#words);
    this.#blocks.grow(Math.max(before, FIRST_ENTRY) >> STRIDE_BITS, size >> STRIDE_BITS);
    for (let entry = Math.max(before, FIRST_ENTRY); entry < size; entry += STRIDE) {
      words[entry + PREVIOUS] = NOWHERE;
      words[entry + GENERATION] = this.#floor;
    }
    for (let head = before; head < FIRST_ENTRY; head += STRIDE) {
      words[head] = head;
      words[head + PREVIOUS] = head;
    }
    this.#words = words;
    const deadlines = new Float64Array(size / STRIDE);
    deadlines.set(this.#deadlines);
    this.#deadlines = deadlines;
    while (this.#whats.length < size / STRIDE) this.#whats.push(undefined);
  }

  /** Gives the memory back; generations go on above the highest one. */
  #shrink(): void {
    const { ceiling } = this;
    if (ceiling > GENERATION_MAX / 2) return; // Starting above it would use up the rest for all entries.
    this.#floor = ceiling;
    this.#far = 0;
    this.#blocks.clear();
    this.#words = new Int32Array(0);
    this.#deadlines = new Float64Array(0);
    this.#whats.length = 0;
    this.#grow();
  }
}
