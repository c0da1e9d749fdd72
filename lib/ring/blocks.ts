// Which entry of the wheel a timer gets: one beside those of the same millisecond.
//
// After a sleep nothing is in the caches. Timers that are due together but were set at different times lay all over the memory, and
// each cost several misses as it fired. So each of the next 1024 milliseconds takes its entries from a block of its own, 16 at a time.

export const BLOCK_BITS = 4;
/** Entries of a block. */
export const BLOCK = 1 << BLOCK_BITS;
/** Milliseconds with a block of their own. */
export const NEAR = 1024;
const ALL_FREE = 0xffff;

/** See the file's head. Entries are numbered from 0 here; block 0 is nobody's, so that 0 can mean none. */
export class Blocks {
  /** By block: a bit for each free entry. */
  #frees: Int32Array = new Int32Array(0);
  /** By block: the millisecond that takes from it, plus 1. */
  #owners: Int32Array = new Int32Array(0);
  /** By block: the next of the pool. */
  #pooled: Int32Array = new Int32Array(0);
  /** By millisecond: the block to take from, 0 for none. */
  readonly #current = new Int32Array(NEAR);
  /** The first of the blocks with free entries that no millisecond takes from; 0 for none. */
  #pool = 0;

  /** True when a millisecond can take an entry, or a whole block be taken where it is left out. */
  has(ms?: number): boolean {
    return this.#pool !== 0 || (ms !== undefined && this.#current[ms] !== 0);
  }

  /** Adds the entries from `first` on, the first of a block. */
  grow(first: number, entries: number): void {
    const blocks = entries >> BLOCK_BITS;
    const larger = (numbers: Int32Array): Int32Array => {
      const more = new Int32Array(blocks);
      more.set(numbers);
      return more;
    };
    this.#frees = larger(this.#frees);
    this.#owners = larger(this.#owners);
    this.#pooled = larger(this.#pooled);
    // The first of them is the first to be used: what is set together lies together.
    for (let block = blocks - 1; block >= first >> BLOCK_BITS; block--) {
      this.#frees[block] = ALL_FREE;
      this.#pooled[block] = this.#pool;
      this.#pool = block;
    }
  }

  /** A free entry beside others of the same millisecond, which `has` one. */
  take(ms: number): number {
    let block = this.#current[ms];
    if (block === 0) {
      block = this.#pool;
      this.#pool = this.#pooled[block];
      this.#current[ms] = block;
      this.#owners[block] = ms + 1;
    }
    const free = this.#frees[block];
    const left = free & (free - 1);
    this.#frees[block] = left;
    if (left === 0) {
      this.#current[ms] = 0;
      this.#owners[block] = 0;
    }
    return (block << BLOCK_BITS) + 31 - Math.clz32(free ^ left);
  }

  /** The free entries of a block, which there is, as bits; nobody else gets them any more. Returns its first entry and them. */
  takeBlock(): { first: number; free: number } {
    const block = this.#pool;
    const free = this.#frees[block];
    this.#pool = this.#pooled[block];
    this.#frees[block] = 0;
    return { first: block << BLOCK_BITS, free };
  }

  /** An entry of `take` is free again. */
  giveBack(entry: number): void {
    const block = entry >> BLOCK_BITS;
    const before = this.#frees[block];
    const free = before | (1 << (entry & (BLOCK - 1)));
    this.#frees[block] = free;
    const owner = this.#owners[block];
    if (free === ALL_FREE && owner !== 0) {
      this.#current[owner - 1] = 0; // A timer now and then must not leave a block with each millisecond.
      this.#owners[block] = 0;
    } else if (before !== 0) return; // It is in the pool, or a millisecond's.
    this.#pooled[block] = this.#pool;
    this.#pool = block;
  }

  /** All entries are gone. */
  clear(): void {
    this.#pool = 0;
    this.#current.fill(0);
    this.#frees = new Int32Array(0);
    this.#owners = this.#frees;
    this.#pooled = this.#frees;
  }
}
