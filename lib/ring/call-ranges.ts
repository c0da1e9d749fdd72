// Life of a command, below stage 2: the ranges of the arena in which calls are asked and answered, and how a request block is written.
//
// Most blocks are a header and a path or two: 1024 bytes hold them and the answer, of which an eighth of the arena may be. Longer ones use the
// ranges that plain arrays are copied through. crates/command/src/call.rs draws the block.
import type { NativeExecutor } from '../wire/binding.js';
import {
  BLOCK_A_DOUBLE,
  BLOCK_B_DOUBLE,
  BLOCK_FIRST_WORD,
  BLOCK_FLAGS_WORD,
  BLOCK_GID_WORD,
  BLOCK_HEADER,
  BLOCK_MODE_WORD,
  BLOCK_NUMBER_WORD,
  BLOCK_SECOND_WORD,
  BLOCK_UID_WORD,
  BLOCK_ZERO_WORD,
  BLOCK_ZEROS_WORD,
} from '../wire/layout.generated.js';
import { copyBytes, lengthOf } from './bytes.js';
import { Scratch } from './scratch.js';
import type { Hold } from './state.js';

/** A path as it is given: text, or its bytes. */
export type Path = string | Uint8Array;

/** Bytes of a small range. */
export const SMALL = 1024;
const SMALL_SIZES = [SMALL];
/** Of the arena. */
const SHARE = 1 / 8;

// Module constants: an imported name is a property of another module's exports, looked up at each use.
const HEADER = BLOCK_HEADER;
const WORD = Uint32Array.BYTES_PER_ELEMENT;
const DOUBLE = Float64Array.BYTES_PER_ELEMENT;
/** Two doubles that must be 0. */
const ZEROS = (BLOCK_ZEROS_WORD * WORD) / DOUBLE;

/** What a call asks for, beside its paths. */
export interface Asked {
  /** A CALL_ number. */
  readonly number: number;
  readonly flags?: number;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly a?: number;
  readonly b?: number;
}

/** See the file's head. */
export class CallRanges extends Scratch {
  /** The whole arena, three ways. Of length 0 once it was detached. */
  readonly bytes: Buffer;
  readonly words: Uint32Array;
  readonly #doubles: Float64Array;

  constructor(native: NativeExecutor, arena: ArrayBuffer) {
    super(native, arena, arena.byteLength * SHARE, () => false, SMALL_SIZES);
    this.bytes = Buffer.from(arena);
    this.words = new Uint32Array(arena);
    this.#doubles = new Float64Array(arena);
  }

  /** Writes what is to be written behind a block of `length` bytes. */
  writeData(hold: Hold, length: number, data: string | Uint8Array, encoding: BufferEncoding): void {
    const at = hold.offset + length;
    if (typeof data === 'string') this.bytes.write(data, at, encoding);
    else copyBytes(this.bytes, at, data, 0, lengthOf(data));
  }

  /** Writes a block. Returns its bytes; 0 when the arena is gone. The caller made sure that it fits. */
  write(hold: Hold, asked: Asked, first: Path | undefined, second: Path | undefined): number {
    const { words, bytes } = this;
    if (bytes.length === 0) return 0;
    const { offset } = hold;
    const word = offset / WORD;
    const start = offset + HEADER;
    let length = HEADER;
    let firstBytes = 0;
    let secondBytes = 0;
    if (first !== undefined) {
      firstBytes = put(bytes, start, first);
      length += firstBytes + 1;
      if (second !== undefined) {
        secondBytes = put(bytes, offset + length, second);
        length += secondBytes + 1;
      }
    }
    words[word + BLOCK_NUMBER_WORD] = asked.number;
    words[word + BLOCK_FLAGS_WORD] = asked.flags ?? 0;
    words[word + BLOCK_MODE_WORD] = asked.mode ?? 0;
    words[word + BLOCK_UID_WORD] = asked.uid ?? 0;
    words[word + BLOCK_GID_WORD] = asked.gid ?? 0;
    words[word + BLOCK_FIRST_WORD] = firstBytes;
    words[word + BLOCK_SECOND_WORD] = secondBytes;
    words[word + BLOCK_ZERO_WORD] = 0;
    const doubles = this.#doubles;
    const double = offset / DOUBLE;
    doubles[double + BLOCK_A_DOUBLE] = asked.a ?? 0;
    doubles[double + BLOCK_B_DOUBLE] = asked.b ?? 0;
    doubles[double + ZEROS] = 0;
    doubles[double + ZEROS + 1] = 0;
    return length;
  }
}

/** Writes a path. A loop is quicker than a call into C++ for as long as there is nothing but ASCII. Returns its bytes. */
function put(bytes: Buffer, at: number, path: Path): number {
  if (typeof path !== 'string') {
    const length = lengthOf(path);
    bytes.set(path, at);
    return length;
  }
  const { length } = path;
  for (let index = 0; index < length; index++) {
    const code = path.charCodeAt(index);
    if (code >= 0x80) return bytes.write(path, at, 'utf8');
    bytes[at + index] = code;
  }
  return length;
}

/** Bytes of a path or, of a short one, as many as it may have at most. */
export function bytesOf(path: Path | undefined): number {
  if (path === undefined) return 0;
  if (typeof path !== 'string') return lengthOf(path);
  return path.length <= 128 ? path.length * 3 : Buffer.byteLength(path);
}
