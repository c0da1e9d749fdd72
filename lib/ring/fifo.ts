// A first-in-first-out queue whose entries can be taken back: what waits in order for a pending slot, for memory or for a permit.

/** One who waits. */
export interface Waiter {
  run: () => void;
  /** Set to false to take it back; it is skipped then. */
  wanted: boolean;
  /** How much of what is waited for, where that differs. */
  readonly want: number;
}

/** An array with a moving head; shifting costs O(1) on average. */
export class Fifo {
  #entries: Waiter[] = [];
  #head = 0;

  /** True when nobody who is still wanted waits. */
  get empty(): boolean {
    while (this.#head < this.#entries.length && !(this.#entries[this.#head] as Waiter).wanted) this.#advance();
    return this.#head === this.#entries.length;
  }

  /** The first one who is still wanted. */
  get first(): Waiter | undefined {
    return this.empty ? undefined : this.#entries[this.#head];
  }

  /** How many wait. Looks at each. */
  get count(): number {
    let count = 0;
    for (let index = this.#head; index < this.#entries.length; index++) {
      if ((this.#entries[index] as Waiter).wanted) count++;
    }
    return count;
  }

  /** Lets `run` wait for its turn. */
  push(run: () => void, want = 0): Waiter {
    const waiter = { run, wanted: true, want };
    this.#entries.push(waiter);
    return waiter;
  }

  /** Takes the first one out and runs it. Call only when not `empty`. */
  runFirst(): void {
    const first = this.#entries[this.#head] as Waiter;
    this.#advance();
    first.wanted = false;
    first.run();
  }

  #advance(): void {
    this.#head++;
    if (this.#head === this.#entries.length) {
      this.#entries.length = 0;
      this.#head = 0;
    } else if (this.#head > 1024 && this.#head * 2 > this.#entries.length) {
      this.#entries.splice(0, this.#head);
      this.#head = 0;
    }
  }
}
