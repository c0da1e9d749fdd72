// Life of a command, stage 2 of 6: command ring. Before: lib/api/file.ts. After: crates/command/src/ring.rs.
//
// Writes 64 bytes into memory that Rust sees and moves the tail. Both sides run on this thread, so plain stores are enough.
import {
  COMMAND_CAPACITY,
  COMMAND_HEAD_WORD,
  COMMAND_TAIL_WORD,
  COMMAND_WORDS,
  COMMANDS_WORD,
  OPCODE_CANCEL,
} from '../wire/layout.generated.js';

// Module constants: an imported name is a property of another module's exports, looked up at each use.
const MASK = COMMAND_CAPACITY - 1;
const CAPACITY = COMMAND_CAPACITY;
const FIRST = COMMANDS_WORD;
const WORDS = COMMAND_WORDS;
const TAIL = COMMAND_TAIL_WORD;
const HEAD = COMMAND_HEAD_WORD;

/** The writing end of the command ring. Plain fields and numbers: `write` is on the path of every operation. */
export class CommandWriter {
  #tail = 0;
  readonly #words: Uint32Array;
  readonly #operands: Float64Array;

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Uint32Array(memory);
    this.#operands = new Float64Array(memory);
  }

  /** True when no command fits until Rust has read some. */
  get full(): boolean {
    return ((this.#tail - this.#words[HEAD]) | 0) >= CAPACITY;
  }

  /**
   * Writes one command. The caller made sure that the ring is not full. Bytes that must be 0 are never written, and the
   * offset in the lease, which is always 0, stay as the SharedArrayBuffer was born.
   */
  write(
    opcode: number,
    pendingSlot: number,
    pendingGeneration: number,
    fileSlot: number,
    fileGeneration: number,
    leaseSlot: number,
    leaseGeneration: number,
    length: number,
    operand: number,
  ): void {
    const words = this.#words;
    const tail = this.#tail;
    const base = FIRST + (tail & MASK) * WORDS;
    words[base] = opcode;
    words[base + 1] = pendingSlot;
    words[base + 2] = pendingGeneration;
    words[base + 3] = fileSlot;
    words[base + 4] = fileGeneration;
    words[base + 5] = leaseSlot;
    words[base + 6] = leaseGeneration;
    words[base + 8] = length;
    this.#operands[(base + 10) >> 1] = operand;
    this.#tail = (tail + 1) | 0;
    words[TAIL] = this.#tail;
  }

  /** Asks for the end of the command that a pending slot stands for. It still completes once. */
  cancel(pendingSlot: number, pendingGeneration: number): void {
    this.write(OPCODE_CANCEL, pendingSlot, pendingGeneration, 0, 0, 0, 0, 0, 0);
  }
}
