// Life of a command, stage 6 of 6: promise. Before: crates/command/src/reply.rs. After: none.
//
// Rust calls `drain` once a turn; it settles every promise of that turn. The microtasks run as it returns. What a task queue's
// slice began waits in that queue instead, and settles in one of its slices.
import {
  COMPLETION_CAPACITY,
  COMPLETION_HEAD_WORD,
  COMPLETION_TAIL_WORD,
  COMPLETION_WORDS,
  COMPLETIONS_WORD,
} from '../wire/layout.generated.js';
import { throwLater } from './guard.js';
import type { Link } from './link.js';
import { QUEUED } from './pending.js';

// Module constants: an imported name is a property of another module's exports, looked up at each use.
const MASK = COMPLETION_CAPACITY - 1;
const FIRST = COMPLETIONS_WORD;
const WORDS = COMPLETION_WORDS;
const TAIL = COMPLETION_TAIL_WORD;
const HEAD = COMPLETION_HEAD_WORD;

/** The reading end of the completion ring. */
export class CompletionReader {
  #head = 0;
  readonly #words: Uint32Array;
  readonly #results: Int32Array;
  readonly #link: Link;

  constructor(memory: SharedArrayBuffer, link: Link) {
    this.#words = new Uint32Array(memory);
    this.#results = new Int32Array(memory);
    this.#link = link;
  }

  /** Reads all that is there. Were settling one to throw, the others are settled all the same: nobody tells of them again. */
  drain(): void {
    for (;;) {
      try {
        this.#settleAll();
        break;
      } catch (error) {
        throwLater(error);
      }
    }
    this.#link.runWaiting();
  }

  /** Settling runs no code of the user's: that comes with the microtasks. */
  #settleAll(): void {
    const words = this.#words;
    const link = this.#link;
    const table = link.table;
    const tail = words[TAIL];
    let head = this.#head;
    // More than there is room for: something else wrote into the rings. What Rust counts is right again with its next completion.
    if ((tail - head) >>> 0 > COMPLETION_CAPACITY) return;
    try {
      while (head >>> 0 !== tail) {
        const base = FIRST + (head & MASK) * WORDS;
        head = (head + 1) | 0;
        const slot = words[base];
        const generation = words[base + 1];
        const result = this.#results[base + 2];
        const extra = words[base + 3];
        const queue = (table.kinds[slot] & QUEUED) === 0 ? undefined : link.scheduler.find(table.queues[slot]);
        if (queue === undefined || table.generations[slot] !== generation) link.finish(slot, generation, result, extra);
        else queue.pushCompletion(slot, generation, result, extra);
      }
    } finally {
      this.#head = head;
      words[HEAD] = head;
    }
  }
}
