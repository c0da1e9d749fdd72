// The memory of a channel: two rings of bytes or numbers, one for each direction, in a SharedArrayBuffer that two threads have.
//
//   line 0     magic, kind, capacity, who has claimed side 0 and side 1
//   line 1, 2  direction 0 → 1: the producer's tail and state; the consumer's head and state
//   line 3, 4  direction 1 → 0: the same
//   line 5, 6  where side 0 and side 1 are woken: low and high half of an executor's address, and 1 once they stand there
//   then       the two rings
//
// Anyone who has the memory may write anything into it (INV-5): what a side needs to know of itself it keeps here and never
// reads back; what it reads of the other side is read once and checked; a check that fails closes the channel.
import { types } from 'node:util';
import { copyBytes } from './bytes.js';

const { isSharedArrayBuffer } = types;
const MAGIC = 0x52_57_43_31;
const LINE = 32;
const KIND = 1;
const CAPACITY = 2;
const CLAIMS = 4;
const ADDRESSES = 5 * LINE;
const DATA_BYTES = 7 * LINE * 4;

/** Kinds of rings. */
export const NUMBERS = 1;
export const BYTES = 2;
export const VALUES = 3;

/** Bits of a state: that side waits for the other; that side is closed. */
const WAITING = 1;
const CLOSED = 2;

/** What {@link ChannelEnd.look} says. */
export const NOTHING = 0;
export const SOMETHING = 1;
export const CORRUPT = 2;

/** Bytes of a record's head: its length, and room to keep the next one aligned. */
const HEAD_BYTES = 8;

/** The least and the most of a capacity: messages of a ring of numbers, bytes of the others. Powers of two. */
export const CAPACITY_MIN = 64;
export const CAPACITY_MAX = 2 ** 28;

/** Bytes that a message takes in a ring of bytes. */
export function recordBytes(length: number): number {
  return HEAD_BYTES + Math.ceil(length / 8) * 8;
}

/** Makes the memory of a channel. */
export function makeMemory(kind: number, capacity: number): SharedArrayBuffer {
  const ring = kind === NUMBERS ? capacity * 8 : capacity;
  const memory = new SharedArrayBuffer(DATA_BYTES + 2 * ring);
  const words = new Int32Array(memory, 0, LINE);
  words[0] = MAGIC;
  words[KIND] = kind;
  words[CAPACITY] = capacity;
  return memory;
}

/** What is wrong with memory that is said to be a channel's; undefined when nothing is. */
export function wrongMemory(memory: unknown, side: unknown): string | undefined {
  if (!isSharedArrayBuffer(memory) || (side !== 0 && side !== 1)) return 'it is no port';
  if (memory.byteLength < DATA_BYTES) return 'its memory is too short';
  const [magic, kind, capacity] = new Int32Array(memory, 0, 3);
  if (magic !== MAGIC) return 'its memory is not a channel of this version';
  if (kind !== NUMBERS && kind !== BYTES && kind !== VALUES) return `it is of the unknown kind ${kind}`;
  return fits(memory, kind, capacity) ? undefined : `its capacity ${capacity} does not fit its memory`;
}

function fits(memory: SharedArrayBuffer, kind: number, capacity: number): boolean {
  const sized = capacity >= CAPACITY_MIN && capacity <= CAPACITY_MAX && Number.isInteger(Math.log2(capacity));
  return sized && memory.byteLength === DATA_BYTES + 2 * (kind === NUMBERS ? capacity * 8 : capacity);
}

/** The kind of memory that was checked. */
export function kindOf(memory: SharedArrayBuffer): number {
  return new Int32Array(memory, 0, 2)[KIND];
}

/** One side's view: it produces in one direction and consumes in the other. */
export class ChannelEnd {
  /** Numbers or bytes that may be on the way. */
  readonly capacity: number;
  /** The other side's head was one that cannot be: there will never be room. */
  corrupt = false;
  readonly #words: Int32Array;
  readonly #outNumbers: Float64Array;
  readonly #inNumbers: Float64Array;
  readonly #outBytes: Uint8Array;
  readonly #inBytes: Uint8Array;
  readonly #outHeads: Uint32Array;
  readonly #inHeads: Uint32Array;
  readonly #claim: number;
  /** Indices of words: of this side as producer and of who consumes that; of this side as consumer and of who produces that. */
  readonly #tail: number;
  readonly #itsHead: number;
  readonly #head: number;
  readonly #itsTail: number;
  readonly #address: number;
  readonly #itsAddress: number;
  /** Where this side stands, and the other as it was seen last; 32 bits that wrap. */
  #written = 0;
  #itsRead = 0;
  #read = 0;
  #itsWritten = 0;
  /** What was taken and not given back as room yet, and how much that may be; 0 gives it back at once. */
  #owed = 0;
  #owedMost = 0;

  /** Over memory in which nothing is wrong. */
  constructor(memory: SharedArrayBuffer, side: number, kind: number, capacity: number) {
    this.capacity = capacity;
    this.#words = new Int32Array(memory, 0, 7 * LINE);
    const bytes = kind === NUMBERS ? capacity * 8 : capacity;
    const [out, into] = [DATA_BYTES + side * bytes, DATA_BYTES + (1 - side) * bytes];
    this.#outNumbers = new Float64Array(memory, out, bytes / 8);
    this.#inNumbers = new Float64Array(memory, into, bytes / 8);
    this.#outBytes = new Uint8Array(memory, out, bytes);
    this.#inBytes = new Uint8Array(memory, into, bytes);
    this.#outHeads = new Uint32Array(memory, out, bytes / 4);
    this.#inHeads = new Uint32Array(memory, into, bytes / 4);
    this.#claim = CLAIMS + side;
    this.#tail = LINE + side * 2 * LINE;
    this.#itsHead = this.#tail + LINE;
    this.#itsTail = LINE + (1 - side) * 2 * LINE;
    this.#head = this.#itsTail + LINE;
    this.#address = ADDRESSES + side * LINE;
    this.#itsAddress = ADDRESSES + (1 - side) * LINE;
  }

  /** True for the first who asks: the side is that one's. */
  claim(): boolean {
    return Atomics.compareExchange(this.#words, this.#claim, 0, 1) === 0;
  }

  /** Says where this side is woken. */
  bind(low: number, high: number): void {
    Atomics.store(this.#words, this.#address, low | 0);
    Atomics.store(this.#words, this.#address + 1, high | 0);
    Atomics.store(this.#words, this.#address + 2, 1);
  }

  /** Where the other side is woken; undefined before it has said so. Nothing says that it is true. */
  get itsAddress(): [low: number, high: number] | undefined {
    const words = this.#words;
    if (Atomics.load(words, this.#itsAddress + 2) === 0) return undefined;
    return [Atomics.load(words, this.#itsAddress) >>> 0, Atomics.load(words, this.#itsAddress + 1) >>> 0];
  }

  /** Writes a number, if there is room. */
  pushNumber(number: number): boolean {
    const written = this.#written;
    if ((written - this.#itsRead) >>> 0 >= this.capacity && !this.#hasRoom(1)) return false;
    this.#outNumbers[written & (this.capacity - 1)] = number;
    this.#publish(1);
    return true;
  }

  /** Writes the bytes of an array that has `length` of them, if there is room. Call with no more than fit into an empty ring. */
  pushBytes(bytes: Uint8Array, length: number): boolean {
    const record = recordBytes(length);
    if (!this.#hasRoom(record)) return false;
    const mask = this.capacity - 1;
    const at = this.#written & mask;
    this.#outHeads[at >>> 2] = length;
    const start = (at + HEAD_BYTES) & mask;
    const first = Math.min(length, this.capacity - start);
    copyBytes(this.#outBytes, start, bytes, 0, first);
    if (first < length) copyBytes(this.#outBytes, 0, bytes, first, length - first);
    this.#publish(record);
    return true;
  }

  /** Whether there is something to take. */
  look(): number {
    if (this.#read !== this.#itsWritten) return SOMETHING;
    const tail = Atomics.load(this.#words, this.#itsTail);
    if (tail === this.#read) return NOTHING;
    const waits = (tail - this.#read) >>> 0;
    if (waits > this.capacity) return CORRUPT;
    this.#itsWritten = tail;
    return SOMETHING;
  }

  /** Takes the number that {@link ChannelEnd.look} has found. */
  popNumber(): number {
    const number = this.#inNumbers[this.#read & (this.capacity - 1)];
    this.#consume(1);
    return number;
  }

  /** Takes the bytes that {@link ChannelEnd.look} has found, into an array of their own; undefined when they make no sense. */
  popBytes(): Uint8Array | undefined {
    const mask = this.capacity - 1;
    const at = this.#read & mask;
    const waits = (this.#itsWritten - this.#read) >>> 0;
    const length = this.#inHeads[at >>> 2];
    if ((at & 7) !== 0 || length > waits || recordBytes(length) > waits) return undefined;
    const bytes = new Uint8Array(length);
    const start = (at + HEAD_BYTES) & mask;
    const first = this.capacity - start;
    if (length <= first) bytes.set(this.#inBytes.subarray(start, start + length));
    else {
      bytes.set(this.#inBytes.subarray(start));
      bytes.set(this.#inBytes.subarray(0, length - first), first);
    }
    this.#consume(recordBytes(length));
    return bytes;
  }

  /** This side waits for messages. Look again after this. */
  awaitMessages(): void {
    Atomics.or(this.#words, this.#head + 1, WAITING);
  }

  /** This side waits for room. Try again after this. */
  awaitRoom(): void {
    Atomics.or(this.#words, this.#tail + 1, WAITING);
  }

  /** It does not any more. */
  leave(): void {
    Atomics.and(this.#words, this.#head + 1, ~WAITING);
    Atomics.and(this.#words, this.#tail + 1, ~WAITING);
  }

  /** After a message was written: whether the other side waits for it, and so must be woken; or is closed. */
  readerHears(): boolean {
    return Atomics.load(this.#words, this.#itsHead + 1) !== 0;
  }

  /** Whether the other side waits for a message, and so must be woken. */
  readerWaits(): boolean {
    return this.#takeWaiting(this.#itsHead + 1);
  }

  /** After a message was taken: whether the other side waits for room, and so must be woken. */
  writerWaits(): boolean {
    return this.#owed === 0 && this.#takeWaiting(this.#itsTail + 1);
  }

  /** From here on what is taken becomes room an eighth of the ring at a time: one store for many messages. */
  startBatch(): void {
    this.#owedMost = this.capacity / 8;
  }

  /** All that was taken is room. Whether the other side waits for it. */
  endBatch(): boolean {
    this.#owedMost = 0;
    if (this.#owed === 0) return false;
    this.#consume(0);
    return this.writerWaits();
  }

  /** Whether the other side takes no more. */
  get readerGone(): boolean {
    return (Atomics.load(this.#words, this.#itsHead + 1) & CLOSED) !== 0;
  }

  /** Whether the other side sends no more. Look again after this: what it sent before is there then. */
  get writerGone(): boolean {
    return (Atomics.load(this.#words, this.#itsTail + 1) & CLOSED) !== 0;
  }

  /** This side neither sends nor takes any more. */
  close(): void {
    Atomics.or(this.#words, this.#tail + 1, CLOSED);
    Atomics.or(this.#words, this.#head + 1, CLOSED);
  }

  #takeWaiting(state: number): boolean {
    const words = this.#words;
    return (Atomics.load(words, state) & WAITING) !== 0 && (Atomics.and(words, state, ~WAITING) & WAITING) !== 0;
  }

  /** Room for so many numbers or bytes. A head that cannot be true means none, for ever. */
  #hasRoom(wanted: number): boolean {
    if (this.capacity - ((this.#written - this.#itsRead) >>> 0) >= wanted) return true;
    const head = Atomics.load(this.#words, this.#itsHead);
    if ((this.#written - head) >>> 0 > this.capacity) {
      this.corrupt = true;
      return false;
    }
    this.#itsRead = head;
    return this.capacity - ((this.#written - head) >>> 0) >= wanted;
  }

  #publish(count: number): void {
    this.#written = (this.#written + count) | 0;
    Atomics.store(this.#words, this.#tail, this.#written);
  }

  #consume(count: number): void {
    this.#read = (this.#read + count) | 0;
    this.#owed += count;
    if (this.#owed < this.#owedMost) return;
    this.#owed = 0;
    Atomics.store(this.#words, this.#head, this.#read);
  }
}

/** A side of memory that was checked; undefined when its head was overwritten since. */
export function openEnd(memory: SharedArrayBuffer, side: number, kind: number): ChannelEnd | undefined {
  const [, now, capacity] = new Int32Array(memory, 0, 3);
  return now === kind && fits(memory, kind, capacity) ? new ChannelEnd(memory, side, kind, capacity) : undefined;
}
