// The timing wheel of this thread's timers, in typed arrays: no object of its own for a timer, no call of the addon to set,
// cancel or move one.
//
// Four levels of 256 slots, each a circular list of entries. A slot of level 0 is a millisecond; of the others, 256 slots of
// the level below. Deadlines are exact (a fraction of a millisecond counts); the slot only says where to look. An entry is
// moved down when its slot's time comes, so every occupied slot lies ahead and the first one is the next event. Moving a
// deadline to a later time is one store: the entry is put where it belongs when it comes up.

const SLOTS = 256;
/** List heads: 4 × 256 slots, then two of their own. */
const HEADS = 4 * SLOTS;
/** Entries of a slot whose time has come and that are still to be placed more finely. */
const MOVING = HEADS;
/** Entries that are due. */
const DUE = HEADS + 1;
const FIRST_ENTRY = HEADS + 2;
/** Entries to begin with. */
const ENTRIES_FIRST = 1024;
/** A wheel that has become empty gives the memory of more entries than this back: 4 MiB. */
const ENTRIES_KEPT = 131_072;
/** Entries placed anew by one look: about a millisecond. */
const MOVES_MAX = 16_384;
/** The highest place on the lowest 32 bits of ticks; behind it entries wait in the last slot, for a new base. */
const REACH = 0xffff_ffff;
const LAST_SLOT = 0xff00_0000;
/** An entry whose generation got here is not used again: no stale name ever means a later timer. */
const GENERATION_MAX = 0x7fff_ffff;
/** A kind's bit: in the list of what is due. The others are the owner's. */
const IS_DUE = 0x80;
/** In `#previous`: in no list. */
const NOWHERE = -1;

/** See the file's head. Names of entries are index and generation; times are milliseconds on any clock that does not go back. */
export class Wheel {
  /** Entries that neither fired nor were taken back. */
  live = 0;
  /** By entry. One more when it ends. */
  generations = new Int32Array(0);
  /** By entry: what it is for. */
  readonly whats: unknown[] = [];
  /** By entry: seven bits of the owner's. */
  kinds = new Uint8Array(0);
  #deadlines = new Float64Array(0);
  #next = new Int32Array(0);
  #previous = new Int32Array(0);
  /** First free entry, linked through `#next`; 0 for none. */
  #free = 0;
  /** A bit for each list that is not empty. */
  readonly #occupied = new Int32Array(HEADS / 32 + 1);
  /** No entry of an occupied slot has a deadline before this. */
  readonly #earliest = new Float64Array(HEADS + 2);
  /** The whole millisecond from which places count, and how many have passed since. */
  #base: number;
  #passed = 0;
  /** Above every generation that was given out before the arrays were made. */
  #floor = 1;

  constructor(now: number) {
    this.#base = Math.floor(now);
    this.#grow(ENTRIES_FIRST);
  }

  /** Sets a timer. Returns its entry, whose generation is in `generations`. */
  insert(deadline: number, what: unknown, kind: number): number {
    if (this.#free === 0) this.#grow((this.#next.length - FIRST_ENTRY) * 2);
    const entry = this.#free;
    this.#free = this.#next[entry];
    this.whats[entry] = what;
    this.kinds[entry] = kind;
    this.#deadlines[entry] = deadline;
    this.live++;
    this.#place(entry, deadline);
    return entry;
  }

  /** True while the entry is the timer of that generation. */
  has(entry: number, generation: number): boolean {
    return this.generations[entry] === generation;
  }

  /** Takes an entry out, which must be live. */
  remove(entry: number): void {
    this.#unlink(entry);
    this.whats[entry] = undefined;
    this.live--;
    if (this.generations[entry]++ === GENERATION_MAX) return;
    this.#next[entry] = this.#free;
    this.#free = entry;
    if (this.live === 0 && this.#next.length > ENTRIES_KEPT + FIRST_ENTRY) this.#shrink();
  }

  /** Moves the deadline of a live entry. */
  move(entry: number, deadline: number): void {
    const later = deadline >= this.#deadlines[entry];
    this.#deadlines[entry] = deadline;
    if (later && this.kinds[entry] < IS_DUE) return; // It is placed anew when the slot it is in comes up.
    this.kinds[entry] &= ~IS_DUE;
    this.#unlink(entry);
    this.#place(entry, deadline);
  }

  /** Moves the deadline of a live entry that is not due to a later time. */
  delay(entry: number, by: number): void {
    this.#deadlines[entry] += by;
  }

  /** The entry of a timer that is due, to be removed before the next call; −1 when there is none, or none yet: see `next`. */
  due(now: number): number {
    const first = this.#next[DUE];
    if (first !== DUE) return first;
    return this.#advance(now) ? this.#next[DUE] : -1;
  }

  /** When `due` is to be asked again: a time that is not after any deadline, −Infinity for at once, Infinity for never. */
  next(): number {
    if (this.live === 0) return Number.POSITIVE_INFINITY;
    if (this.#occupied[HEADS / 32] !== 0) return Number.NEGATIVE_INFINITY;
    return this.#earliest[this.#firstSlot()];
  }

  /** The live entries. */
  entries(): number[] {
    const found: number[] = [];
    for (let entry = FIRST_ENTRY; entry < this.#next.length; entry++) {
      if (this.#previous[entry] !== NOWHERE) found.push(entry);
    }
    return found;
  }

  /** Goes on until something is due; true then. Stops after a bounded number of moves: `next` then says "at once". */
  #advance(now: number): boolean {
    let moves = MOVES_MAX;
    for (;;) {
      for (let entry = this.#next[MOVING]; entry !== MOVING; entry = this.#next[MOVING]) {
        if (moves-- === 0) return false;
        this.#unlink(entry);
        this.#place(entry, this.#deadlines[entry]);
      }
      const until = Math.floor(now) - this.#base;
      const head = this.#firstSlot();
      const shift = (head >>> 8) * 8;
      // The slots of a level lie within what is left of one slot of the level above.
      const span = 2 ** (shift + 8);
      const start = Math.floor(this.#passed / span) * span + (head & (SLOTS - 1)) * 2 ** shift;
      if (head === HEADS || start > until) {
        if (until >= LAST_SLOT) this.#takeNewBase(now);
        else if (until > this.#passed) this.#passed = until;
        return false;
      }
      if (start >= LAST_SLOT) {
        this.#takeNewBase(now);
        continue;
      }
      if (start > this.#passed) this.#passed = start;
      if (shift > 0) {
        this.#splice(head, MOVING);
        continue;
      }
      this.#collect(head, now);
      if (this.#next[DUE] !== DUE) return true;
      if (start === until) return false; // What is left is due later in this millisecond.
    }
  }

  /** Moves what is due of a millisecond's list to the list of what is due, in order; what was moved later, to its place. */
  #collect(head: number, now: number): void {
    let earliest = Number.POSITIVE_INFINITY;
    for (let entry = this.#next[head]; entry !== head; ) {
      const next = this.#next[entry];
      const deadline = this.#deadlines[entry];
      if (Math.floor(deadline) - this.#base > this.#passed) {
        this.#unlink(entry);
        this.#place(entry, deadline);
      } else if (deadline <= now) {
        this.#unlink(entry);
        this.kinds[entry] |= IS_DUE;
        this.#append(DUE, entry);
      } else if (deadline < earliest) earliest = deadline;
      entry = next;
    }
    this.#earliest[head] = earliest;
  }

  /** Every 49 days, or after a jump as long: places count from now on, or from the first deadline when that is earlier. */
  #takeNewBase(now: number): void {
    const entries = this.entries();
    let base = Math.floor(now);
    for (const entry of entries) base = Math.min(base, Math.floor(this.#deadlines[entry]));
    for (const entry of entries) this.#unlink(entry);
    this.#base = Math.max(base, this.#base + this.#passed);
    this.#passed = 0;
    for (const entry of entries) this.#place(entry, this.#deadlines[entry]);
  }

  #place(entry: number, deadline: number): void {
    const passed = this.#passed;
    let place = Math.floor(deadline) - this.#base;
    if (!(place > passed)) place = passed;
    else if (place > REACH) place = REACH;
    // The level is the highest byte in which the place differs from now, as a shift by 8 bits a level.
    const shift = (31 - Math.clz32((place ^ passed) | 1)) & 24;
    const head = (shift << 5) | ((place >>> shift) & (SLOTS - 1));
    const bit = 1 << (head & 31);
    const word = this.#occupied[head >>> 5];
    if ((word & bit) === 0) {
      this.#occupied[head >>> 5] = word | bit;
      this.#earliest[head] = deadline;
    } else if (deadline < this.#earliest[head]) this.#earliest[head] = deadline;
    this.#link(head, entry);
  }

  #append(head: number, entry: number): void {
    this.#occupied[head >>> 5] |= 1 << (head & 31);
    this.#link(head, entry);
  }

  #link(head: number, entry: number): void {
    const last = this.#previous[head];
    this.#next[last] = entry;
    this.#previous[entry] = last;
    this.#next[entry] = head;
    this.#previous[head] = entry;
  }

  /** Moves all entries of a list to an empty one. */
  #splice(from: number, to: number): void {
    const first = this.#next[from];
    const last = this.#previous[from];
    this.#next[to] = first;
    this.#previous[first] = to;
    this.#previous[to] = last;
    this.#next[last] = to;
    this.#next[from] = from;
    this.#previous[from] = from;
    this.#occupied[from >>> 5] &= ~(1 << (from & 31));
    this.#occupied[to >>> 5] |= 1 << (to & 31);
  }

  #unlink(entry: number): void {
    const next = this.#next[entry];
    const previous = this.#previous[entry];
    this.#next[previous] = next;
    this.#previous[next] = previous;
    this.#previous[entry] = NOWHERE;
    // The list is empty: what is left is its head.
    if (next === previous) this.#occupied[next >>> 5] &= ~(1 << (next & 31));
  }

  /** The first occupied slot's head; HEADS when there is none. */
  #firstSlot(): number {
    for (let word = 0; word < HEADS / 32; word++) {
      const bits = this.#occupied[word];
      if (bits !== 0) return word * 32 + 31 - Math.clz32(bits & -bits);
    }
    return HEADS;
  }

  #grow(entries: number): void {
    const size = FIRST_ENTRY + entries;
    const before = this.#next.length;
    const next = new Int32Array(size);
    next.set(this.#next);
    const previous = new Int32Array(size).fill(NOWHERE);
    previous.set(this.#previous);
    const deadlines = new Float64Array(size);
    deadlines.set(this.#deadlines.subarray(0, before));
    const kinds = new Uint8Array(size);
    kinds.set(this.kinds.subarray(0, before));
    const generations = new Int32Array(size).fill(this.#floor);
    generations.set(this.generations);
    for (let entry = Math.max(before, FIRST_ENTRY); entry < size; entry++) {
      next[entry] = this.#free;
      this.#free = entry;
    }
    if (before === 0) {
      for (let head = 0; head < FIRST_ENTRY; head++) {
        next[head] = head;
        previous[head] = head;
      }
    }
    while (this.whats.length < size) this.whats.push(undefined);
    this.#next = next;
    this.#previous = previous;
    this.#deadlines = deadlines;
    this.kinds = kinds;
    this.generations = generations;
  }

  /** Gives the memory back; generations go on above the highest one. */
  #shrink(): void {
    const highest = this.generations.reduce((highest, generation) => Math.max(highest, generation), this.#floor);
    if (highest > GENERATION_MAX / 2) return; // Starting above it would use up the rest for all entries.
    this.#floor = highest;
    this.#free = 0;
    this.#next = new Int32Array(0);
    this.#previous = new Int32Array(0);
    this.generations = new Int32Array(0);
    this.whats.length = 0;
    this.#grow(ENTRIES_FIRST);
  }
}
