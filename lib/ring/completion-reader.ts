// Life of a command, stage 6 of 6: promise. Before: crates/command/src/reply.rs. After: none.
//
// Rust calls `drain` once a turn; it settles every promise of that turn. The microtasks run as it returns.
import {
  COMPLETION_CAPACITY,
  COMPLETION_HEAD_WORD,
  COMPLETION_TAIL_WORD,
  COMPLETION_WORDS,
  COMPLETIONS_WORD,
  OPCODE_SLEEP,
} from '../wire/layout.generated.js';
import type { Link } from './link.js';
import { OPCODE_BITS, QUIET, RAW, type Settle } from './pending.js';
import { NO_FILE, NO_HOLD } from './state.js';

// Module constants: an imported name is a property of another module's exports, looked up at each use.
const MASK = COMPLETION_CAPACITY - 1;
const FIRST = COMPLETIONS_WORD;
const WORDS = COMPLETION_WORDS;
const TAIL = COMPLETION_TAIL_WORD;
const HEAD = COMPLETION_HEAD_WORD;
const SLEEP = OPCODE_SLEEP;

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

  /** Reads all that is there. Settling runs no code of the user's: that comes with the microtasks. */
  drain(): void {
    const words = this.#words;
    const link = this.#link;
    const table = link.table;
    const tail = words[TAIL];
    let head = this.#head;
    while (head >>> 0 !== tail) {
      const base = FIRST + (head & MASK) * WORDS;
      head = (head + 1) | 0;
      const slot = words[base];
      if (slot >= table.size || table.generations[slot] !== words[base + 1]) continue; // Stale: was settled otherwise.
      const result = this.#results[base + 2];
      const kind = table.kinds[slot];
      const settle = table.settles[slot] as Settle;
      const file = table.files[slot];
      const target = table.targets[slot];
      const hold = table.holds[slot];
      table.giveBack(slot);
      if ((kind & QUIET) === 0) link.unkeep();
      if (--file.inFlight === 0 && file !== NO_FILE) file.becameIdle();
      if (hold !== NO_HOLD) link.handBack(hold);
      if ((kind & RAW) !== 0) settle(result, words[base + 3]);
      else if (target !== undefined) link.settleCopied(settle, target, hold, kind, file, result);
      else if (result >= 0) {
        if (link.copies) link.pullInto(hold, result);
        settle((kind & OPCODE_BITS) === SLEEP ? (undefined as never) : result, 0);
      } else settle(link.fail(result, kind & OPCODE_BITS, file) as never, 0);
    }
    this.#head = head;
    words[HEAD] = head;
    link.runWaiting();
  }
}
