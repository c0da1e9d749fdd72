// Life of a command, stage 1 of 6: call. Before: lib/api/file.ts. After: lib/ring/command-writer.ts.
//
// readMany: ranges in, one promise out. Ranges that lie near each other become one read; the reads of up to half a MiB become one
// command, whose memory is one range of the arena with a table of them behind the bytes (crates/command/src/ranges.rs). So a range
// costs a few stores here, and no closure or promise.
import { BUFFER_GONE, type Link } from '../ring/link.js';
import { RAW } from '../ring/pending.js';
import type { SlabRequest } from '../ring/slabs.js';
import type { FileState, Hold } from '../ring/state.js';
import {
  LENGTH_MAX,
  OPCODE_READ,
  OPCODE_READ_MANY,
  RANGE_BYTES,
  RANGES_HEAD_BYTES,
  RANGES_MAX,
  REJECT_CLOSED,
} from '../wire/layout.generated.js';
import { isAborted, listen, reasonOf } from './abort.js';
import { ourError } from './errors.js';
import { CANCELLED, wasCancelled } from './operation.js';
import { makeBatch, type ReadBatch } from './read-batch.js';
import { shown } from './validate.js';

/** A part of a file. */
export interface ReadRange {
  /** Byte position in the file, 0 to 2^53 − 1. */
  readonly position: number;
  /** Bytes, 0 to 2147479552. */
  readonly length: number;
}

/** The limits of one call, all set. @internal */
export interface ReadManyLimits {
  readonly mergeBytes: number;
  readonly amplification: number;
  readonly concurrency: number;
  readonly memory: number;
}

/** @internal */
export const READ_MANY_DEFAULTS: ReadManyLimits = {
  mergeBytes: 262144,
  amplification: 4096,
  concurrency: 128,
  memory: Number.MAX_SAFE_INTEGER,
};

/** Bytes of one command's memory, but for a single longer read. */
const CHUNK_BYTES = 512 * 1024;

/** Numbers of a read in `Plan.reads`: position, length, and where it goes: chunk and offset. */
const READ_NUMBERS = 4;
/** Numbers of a range in `Plan.places`: its read, then its chunk; where it starts in the read, then in the chunk; bytes. */
export const PLACE_NUMBERS = 3;
/** A range of no bytes has no read. */
const NO_READ = 0xffff_ffff;

/** One command. */
interface Chunk {
  /** Its first read, and how many. */
  readonly first: number;
  count: number;
  /** Bytes that are read: the table comes behind them, at a multiple of 16. */
  bytes: number;
}

/** What is read, and where it goes. */
interface Plan {
  readonly places: Uint32Array;
  readonly reads: Float64Array;
  readonly chunks: Chunk[];
}

/** Reads ranges of a file; the caller checked the limits and that `ranges` is an array. @internal */
export function readRanges(
  link: Link,
  file: FileState,
  ranges: readonly ReadRange[],
  limits: ReadManyLimits,
  signal: AbortSignal | undefined,
): Promise<ReadBatch> {
  const plan = planOf(ranges, limits, file.alignment);
  const sizes = plan.chunks.map(sizeOf);
  let bytes = 0;
  for (const size of sizes) bytes += size;
  const most = Math.min(limits.memory, link.slabs.bytesMax);
  if (bytes > most) {
    const message =
      `file.readMany: the ranges need ${bytes} bytes of leased memory, and a batch may have ${most}: read them in several ` +
      'batches, or start the executor with a larger `memory` or `readMemory`';
    throw ourError('ERR_RINGWHEEL_NO_MEMORY', message);
  }
  if (isAborted(signal)) return Promise.reject(reasonOf(signal));
  if (sizes.length === 0) return Promise.resolve(makeBatch(link, [], plan.places));
  return new Promise((resolve, reject) => {
    new Reading(link, file, plan, limits.concurrency, signal, resolve, reject).start(sizes);
  });
}

function sizeOf(chunk: Chunk): number {
  return tableOf(chunk) + RANGES_HEAD_BYTES + chunk.count * RANGE_BYTES;
}

function tableOf(chunk: Chunk): number {
  return Math.ceil(chunk.bytes / RANGE_BYTES) * RANGE_BYTES;
}

/** One call on its way. */
class Reading {
  #holds: Hold[] = [];
  #left = 0;
  #begun = 0;
  #result = 0;
  #request: SlabRequest | undefined;
  #forget: (() => void) | undefined;
  /** Slot and generation of each command, for a signal. */
  readonly #slots: number[] = [];
  readonly #settle = (result: number): void => this.#ended(result);

  constructor(
    readonly link: Link,
    readonly file: FileState,
    readonly plan: Plan,
    readonly concurrency: number,
    readonly signal: AbortSignal | undefined,
    readonly resolve: (batch: ReadBatch | Promise<never>) => void,
    readonly reject: (reason: unknown) => void,
  ) {}

  start(sizes: readonly number[]): void {
    const { link, file } = this;
    if (this.signal !== undefined) this.#forget = listen(this.signal, () => this.#abort());
    link.enter(file);
    const only = sizes.length === 1 ? link.slabs.take(sizes[0] as number) : undefined;
    if (only !== undefined) {
      this.#begin([only]);
      return;
    }
    const begin = link.backToQueue(() => {
      if (this.#holds.length > 0) this.#begin(this.#holds);
      else this.#end(link.ended || REJECT_CLOSED);
    });
    let now = true;
    this.#request = link.slabs.wait(sizes, (holds) => {
      this.#request = undefined;
      this.#holds = holds ?? [];
      if (!now) begin();
    });
    now = false;
    if (this.#holds.length > 0) {
      this.#request = undefined;
      this.#begin(this.#holds);
    }
  }

  /** All memory is there: begins as many commands as may run together. */
  #begin(holds: Hold[]): void {
    this.#holds = holds;
    this.#left = holds.length;
    if (isAborted(this.signal)) {
      this.#end(CANCELLED);
      return;
    }
    const together = Math.min(holds.length, this.concurrency);
    while (this.#begun < together) this.#beginOne(this.#begun++);
  }

  #beginOne(index: number): void {
    const { link } = this;
    if (link.ended !== 0) this.#ended(link.ended);
    else if (link.ready) this.#write(index);
    else link.whenReady(() => (link.ended === 0 ? this.#write(index) : this.#ended(link.ended)));
  }

  #write(index: number): void {
    if (isAborted(this.signal)) {
      this.#ended(CANCELLED);
      return;
    }
    const { link, plan, file } = this;
    const chunk = plan.chunks[index] as Chunk;
    const hold = this.#holds[index] as Hold;
    const table = tableOf(chunk);
    const concurrency = Math.max(1, Math.floor(this.concurrency / Math.min(this.#holds.length, this.concurrency)));
    writeTable(link, plan.reads, chunk, hold.offset + table, concurrency, file.alignment || 1);
    const slot = link.begin(
      OPCODE_READ_MANY | RAW,
      this.#settle,
      file,
      hold,
      undefined,
      table + RANGES_HEAD_BYTES + chunk.count * RANGE_BYTES,
      table,
    );
    if (this.signal !== undefined) this.#slots.push(slot, link.table.generations[slot]);
  }

  #ended(result: number): void {
    if (result < 0 && this.#result === 0) this.#result = result;
    this.#left--;
    if (this.#begun < this.#holds.length && this.#result === 0) this.#beginOne(this.#begun++);
    // Those that were never begun count as ended.
    else if (this.#left === this.#holds.length - this.#begun) this.#end(this.#result);
  }

  #end(failed: number): void {
    const { link, file, signal } = this;
    this.#forget?.();
    const result = failed < 0 ? failed : settled(link, this.plan, this.#holds);
    const isCancelled = isAborted(signal) && wasCancelled(result);
    if (isCancelled) this.reject(reasonOf(signal));
    else if (result < 0) this.resolve(link.fail(result, OPCODE_READ, file));
    else this.resolve(makeBatch(link, this.#holds, this.plan.places));
    if (isCancelled || result < 0) for (const hold of this.#holds) link.slabs.give(hold);
    link.leave(file);
  }

  #abort(): void {
    const { link } = this;
    if (this.#request !== undefined) {
      link.slabs.leave(this.#request);
      this.#request = undefined;
      this.#end(CANCELLED);
      return;
    }
    for (let at = 0; at < this.#slots.length; at += 2)
      link.cancel(this.#slots[at] as number, this.#slots[at + 1] as number);
  }
}

/** Writes a chunk's table. */
function writeTable(
  link: Link,
  reads: Float64Array,
  chunk: Chunk,
  at: number,
  concurrency: number,
  granule: number,
): void {
  const { arenaWords: words, arenaDoubles: doubles } = link;
  let word = at >> 2;
  words[word] = chunk.count;
  words[word + 1] = concurrency;
  words[word + 2] = granule;
  words[word + 3] = 0;
  const end = (chunk.first + chunk.count) * READ_NUMBERS;
  for (let read = chunk.first * READ_NUMBERS; read < end; read += READ_NUMBERS) {
    word += 4;
    doubles[word >> 1] = reads[read];
    words[word + 2] = reads[read + 1];
  }
}

/** Turns the places of ranges in their reads into those in the memory. Returns 0, or the result of the first read that failed. */
function settled(link: Link, plan: Plan, holds: readonly Hold[]): number {
  const { places, reads, chunks } = plan;
  const { arenaResults: results } = link;
  for (let index = 0; index < holds.length; index++) {
    const chunk = chunks[index] as Chunk;
    let word = ((holds[index] as Hold).offset + tableOf(chunk) + RANGES_HEAD_BYTES) >> 2;
    for (let read = chunk.first; read < chunk.first + chunk.count; read++, word += 4) {
      const moved = results[word + 3];
      if (moved === undefined) return BUFFER_GONE;
      if (moved < 0) return moved;
      // The memory is the program's: never more than was asked for.
      reads[read * READ_NUMBERS + 1] = Math.min(moved, reads[read * READ_NUMBERS + 1] as number);
    }
  }
  for (let at = 0; at < places.length; at += PLACE_NUMBERS) {
    const read = places[at] as number;
    if (read === NO_READ) {
      places[at] = 0;
      continue;
    }
    const base = read * READ_NUMBERS;
    const start = places[at + 1] as number;
    const there = (reads[base + 1] as number) - start;
    places[at] = reads[base + 2] as number;
    places[at + 1] = (reads[base + 3] as number) + start;
    if (there < (places[at + 2] as number)) places[at + 2] = Math.max(0, there);
  }
  return 0;
}

/** Sorts the ranges, merges those that lie near each other, and gives each read its place. */
function planOf(ranges: readonly ReadRange[], limits: ReadManyLimits, alignment: number): Plan {
  const count = ranges.length;
  const places = new Uint32Array(count * PLACE_NUMBERS);
  const reads = new Float64Array(count * READ_NUMBERS);
  const chunks: Chunk[] = [];
  const positions = new Float64Array(count);
  let sorted = true;
  let last = 0;
  for (let index = 0; index < count; index++) {
    const range = ranges[index] as ReadRange;
    if (typeof range !== 'object' || range === null) throw badRange(index, range);
    const { position, length } = range;
    if (!Number.isSafeInteger(position) || position < 0)
      throw badNumber(index, 'position', Number.MAX_SAFE_INTEGER, position);
    if (!Number.isSafeInteger(length) || length < 0 || length > LENGTH_MAX)
      throw badNumber(index, 'length', LENGTH_MAX, length);
    if (position + length > Number.MAX_SAFE_INTEGER) throw badEnd(index);
    positions[index] = position;
    places[index * PLACE_NUMBERS + 2] = length;
    if (position < last) sorted = false;
    last = position;
  }
  const order = sorted ? undefined : sortedOrder(positions);
  const { mergeBytes, amplification } = limits;
  let read = -1; // The one that grows: its number, start and end.
  let start = 0;
  let end = 0;
  for (let at = 0; at < count; at++) {
    const index = order === undefined ? at : (order[at] as number);
    const place = index * PLACE_NUMBERS;
    const length = places[place + 2] as number;
    if (length === 0) {
      places[place] = NO_READ;
      continue;
    }
    const position = positions[index] as number;
    let from = position;
    let to = position + length;
    if (alignment !== 0) {
      from -= from % alignment;
      to += (alignment - (to % alignment)) % alignment;
    }
    const grown = Math.max(to, end);
    if (read === -1 || from - end > amplification || grown - start > mergeBytes) {
      // A range that lies in the read before it needs no read of its own.
      if (read === -1 || to > end || from < start) {
        read++;
        start = from;
        end = to;
        reads[read * READ_NUMBERS] = from;
        reads[read * READ_NUMBERS + 1] = to - from;
      }
    } else if (grown > end) {
      end = grown;
      reads[read * READ_NUMBERS + 1] = end - start;
    }
    places[place] = read;
    places[place + 1] = position - start;
  }
  let chunk: Chunk | undefined;
  for (let each = 0; each <= read; each++) {
    const length = reads[each * READ_NUMBERS + 1] as number;
    const fits =
      chunk !== undefined &&
      chunk.count < RANGES_MAX &&
      chunk.bytes + length + (chunk.count + 3) * RANGE_BYTES <= CHUNK_BYTES;
    if (chunk === undefined || !fits) {
      chunk = { first: each, count: 0, bytes: 0 };
      chunks.push(chunk);
    }
    reads[each * READ_NUMBERS + 2] = chunks.length - 1;
    reads[each * READ_NUMBERS + 3] = chunk.bytes;
    chunk.count++;
    chunk.bytes += length;
  }
  return { places, reads, chunks };
}

/** The indexes of positions in ascending order. */
function sortedOrder(positions: Float64Array): ArrayLike<number> {
  const count = positions.length;
  const scale = 2 ** Math.ceil(Math.log2(count));
  const keys = new Float64Array(count);
  for (let index = 0; index < count; index++) {
    const key = (positions[index] as number) * scale + index;
    if (key > Number.MAX_SAFE_INTEGER) {
      const order = Array.from(positions.keys());
      return order.sort((one, other) => (positions[one] as number) - (positions[other] as number));
    }
    keys[index] = key;
  }
  keys.sort(); // Without a comparison function: some 20 ns a range instead of 200.
  for (let at = 0; at < count; at++) keys[at] = (keys[at] as number) % scale;
  return keys;
}

function badRange(index: number, range: unknown): Error {
  const message = `file.readMany: ranges[${index}] must be an object with position and length; got ${shown(range)}`;
  return ourError('ERR_RINGWHEEL_INVALID_OPTION', message);
}

function badNumber(index: number, name: string, most: number, value: unknown): Error {
  const message = `file.readMany: ranges[${index}].${name} must be a whole number from 0 to ${most}; got ${shown(value)}`;
  return ourError('ERR_RINGWHEEL_INVALID_OPTION', message);
}

function badEnd(index: number): Error {
  const message = `file.readMany: ranges[${index}] must end at ${Number.MAX_SAFE_INTEGER} or before`;
  return ourError('ERR_RINGWHEEL_INVALID_OPTION', message);
}
