// A first-in-first-out queue whose entries can be taken back: what waits in order for a pending slot or for memory.

/** One who waits. */
export interface Waiter {
  run: () => void;
  /** Set to false to take it back; it is skipped then. */
  wanted: boolean;
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

  /** Lets `run` wait for its turn. */
  push(run: () => void): Waiter {
    const waiter = { run, wanted: true };
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
