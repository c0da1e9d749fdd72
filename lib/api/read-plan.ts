// Below File.readMany: which reads its ranges become, and where each range's bytes will lie.
//
// Ranges are sorted, those that lie near each other become one read, and reads are dealt out to commands of up to half a MiB. Plans are
// used again: five typed arrays for each batch of a hundred ranges cost as much as a tenth of its reads.
import { LENGTH_MAX, RANGE_BYTES, RANGES_HEAD_BYTES, RANGES_MAX } from '../wire/layout.generated.js';
import { ourError } from './errors.js';
import { shown } from './validate.js';

/** A part of a file. */
export interface ReadRange {
  /** Byte position in the file, 0 to 2^53 − 1. */
  readonly position: number;
  /** Bytes, 0 to 2147479552. */
  readonly length: number;
}

/** Bytes of one command's memory, but for a single longer read. */
const CHUNK_BYTES = 512 * 1024;
/** Numbers of a read in `Plan.reads`: position, length (later: bytes that came), and where it goes: chunk and offset. */
const READ_NUMBERS = 4;
/** Numbers of a range in `Plan.places`: its read, where it starts in that, bytes. */
const PLACE_NUMBERS = 3;
/** A range of no bytes has no read. */
const NO_READ = 0xffff_ffff;
/** Ranges of a plan that is kept, at most, and how many are. */
const KEPT_RANGES = 4096;
const KEPT_PLANS = 4;
/** Ranges that one bucket of a sort may get: each is compared with the others of its bucket. */
const CROWD = 16;

// Module constants: an imported name is a property of another module's exports, looked up at each use.
const LENGTH = LENGTH_MAX;

/** One command. */
export interface Chunk {
  /** Its first read, and how many. */
  readonly first: number;
  count: number;
  /** Bytes that are read: the table comes behind them, at a multiple of 16. */
  bytes: number;
}

/** Where a command's table lies in its memory. */
export function tableOf(chunk: Chunk): number {
  return Math.ceil(chunk.bytes / RANGE_BYTES) * RANGE_BYTES;
}

/** Bytes of a command's memory: what is read, then the table. */
export function sizeOf(chunk: Chunk): number {
  return tableOf(chunk) + RANGES_HEAD_BYTES + chunk.count * RANGE_BYTES;
}

/** What is read, and where it goes. */
export class Plan {
  /** Ranges. */
  count = 0;
  readonly chunks: Chunk[] = [];
  readonly places: Uint32Array;
  readonly reads: Float64Array;
  readonly #positions: Float64Array;
  /** The ranges by their positions. */
  readonly #order: Uint32Array;
  #sorted = true;
  /** Where each bucket of a sort begins. */
  readonly #starts: Uint32Array;

  constructor(readonly room: number) {
    this.places = new Uint32Array(room * PLACE_NUMBERS);
    this.reads = new Float64Array(room * READ_NUMBERS);
    this.#positions = new Float64Array(room);
    this.#order = new Uint32Array(room);
    this.#starts = new Uint32Array(room + 1);
  }

  /** Plans the reads of `ranges`. Throws what is wrong with one. */
  make(
    ranges: readonly ReadRange[],
    count: number,
    mergeBytes: number,
    amplification: number,
    alignment: number,
  ): void {
    this.count = count;
    this.#sorted = this.#takeIn(ranges);
    this.merge(mergeBytes, amplification, alignment);
  }

  /** Plans the reads of the same ranges anew, with other limits. */
  merge(mergeBytes: number, amplification: number, alignment: number): void {
    this.#deal(this.#merge(this.#sorted ? undefined : this.#order, mergeBytes, amplification, alignment));
  }

  /** Bytes of a range that came. */
  bytesOf(index: number): number {
    const { places, reads } = this;
    const at = index * PLACE_NUMBERS;
    const read = places[at] as number;
    if (read === NO_READ) return 0;
    const there = (reads[read * READ_NUMBERS + 1] as number) - (places[at + 1] as number);
    return Math.max(0, Math.min(there, places[at + 2] as number));
  }

  /** The chunk of a range that has bytes. */
  chunkOf(index: number): number {
    return this.reads[(this.places[index * PLACE_NUMBERS] as number) * READ_NUMBERS + 2] as number;
  }

  /** Where a range that has bytes starts in its chunk. */
  startOf(index: number): number {
    const at = index * PLACE_NUMBERS;
    return (this.reads[(this.places[at] as number) * READ_NUMBERS + 3] as number) + (this.places[at + 1] as number);
  }

  /** Writes a chunk's table into memory that Rust sees, from the 32-bit word `word` on. */
  writeTable(
    chunk: Chunk,
    words: Uint32Array,
    doubles: Float64Array,
    word: number,
    concurrency: number,
    granule: number,
  ): void {
    const { reads } = this;
    words[word] = chunk.count;
    words[word + 1] = concurrency;
    words[word + 2] = granule;
    words[word + 3] = 0;
    const end = (chunk.first + chunk.count) * READ_NUMBERS;
    let at = word;
    for (let read = chunk.first * READ_NUMBERS; read < end; read += READ_NUMBERS) {
      at += 4;
      doubles[at >> 1] = reads[read] as number;
      words[at + 2] = reads[read + 1] as number;
    }
  }

  /**
   * Takes in what the reads of a chunk brought, from the table that begins at `word`. Returns 0, or the result of the first read that
   * failed; undefined when the memory is gone.
   */
  readTable(chunk: Chunk, results: Int32Array, word: number): number | undefined {
    const { reads } = this;
    let at = word + 4;
    for (let read = chunk.first; read < chunk.first + chunk.count; read++, at += 4) {
      const moved = results[at + 3];
      if (moved === undefined || moved < 0) return moved;
      // The memory is the program's: never more than was asked for.
      const length = read * READ_NUMBERS + 1;
      reads[length] = Math.min(moved, reads[length] as number);
    }
    return 0;
  }

  /** Checks the ranges and notes what they are. False when they are not in order: then `#order` is made. */
  #takeIn(ranges: readonly ReadRange[]): boolean {
    const { count, places } = this;
    const positions = this.#positions;
    let sorted = true;
    let last = 0;
    let least = Number.MAX_SAFE_INTEGER;
    let most = 0;
    for (let index = 0, place = 2; index < count; index++, place += PLACE_NUMBERS) {
      const range = ranges[index] as ReadRange;
      if (typeof range !== 'object' || range === null) throw badRange(index, range);
      const { position, length } = range;
      if (!Number.isSafeInteger(position) || position < 0)
        throw badNumber(index, 'position', Number.MAX_SAFE_INTEGER, position);
      if (!Number.isSafeInteger(length) || length < 0 || length > LENGTH)
        throw badNumber(index, 'length', LENGTH, length);
      if (position + length > Number.MAX_SAFE_INTEGER) throw badEnd(index);
      positions[index] = position;
      places[place] = length;
      if (position < last) sorted = false;
      if (position < least) least = position;
      if (position > most) most = position;
      last = position;
    }
    if (!sorted) this.#sort(least, most);
    return sorted;
  }

  /**
   * Sorts by position: into as many buckets as there are ranges, then within them. Some 10 ns a range when they lie evenly; ranges that
   * crowd are left to a sort that bears it.
   */
  #sort(least: number, most: number): void {
    const { count } = this;
    const positions = this.#positions;
    const order = this.#order;
    const starts = this.#starts;
    const scale = (count - 1) / (most - least);
    starts.fill(0, 0, count);
    for (let index = 0; index < count; index++) starts[(((positions[index] as number) - least) * scale) | 0]++;
    let start = 0;
    for (let bucket = 0; bucket < count; bucket++) {
      const size = starts[bucket] as number;
      if (size > CROWD) {
        this.#sortSlowly();
        return;
      }
      starts[bucket] = start;
      start += size;
    }
    for (let index = 0; index < count; index++)
      order[starts[(((positions[index] as number) - least) * scale) | 0]++] = index;
    for (let at = 1; at < count; at++) {
      const index = order[at] as number;
      const position = positions[index] as number;
      let to = at;
      for (; to > 0 && (positions[order[to - 1] as number] as number) > position; to--)
        order[to] = order[to - 1] as number;
      order[to] = index;
    }
  }

  #sortSlowly(): void {
    const { count } = this;
    const positions = this.#positions;
    const order = this.#order.subarray(0, count);
    for (let index = 0; index < count; index++) order[index] = index;
    order.sort((one, other) => (positions[one] as number) - (positions[other] as number) || one - other);
  }

  /** Makes one read of ranges that lie near each other. Returns how many reads there are. */
  #merge(order: Uint32Array | undefined, mergeBytes: number, amplification: number, alignment: number): number {
    const { count, places, reads } = this;
    const positions = this.#positions;
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
    return read + 1;
  }

  /** Gives each read its place. */
  #deal(count: number): void {
    const { chunks, reads } = this;
    chunks.length = 0;
    let chunk: Chunk | undefined;
    for (let read = 0; read < count; read++) {
      const length = reads[read * READ_NUMBERS + 1] as number;
      const fits =
        chunk !== undefined &&
        chunk.count < RANGES_MAX &&
        chunk.bytes + length + (chunk.count + 3) * RANGE_BYTES <= CHUNK_BYTES;
      if (chunk === undefined || !fits) {
        chunk = { first: read, count: 0, bytes: 0 };
        chunks.push(chunk);
      }
      reads[read * READ_NUMBERS + 2] = chunks.length - 1;
      reads[read * READ_NUMBERS + 3] = chunk.bytes;
      chunk.count++;
      chunk.bytes += length;
    }
  }
}

/** Plans that nobody uses. */
const kept: Plan[] = [];

/** A plan for `count` ranges, used before or new. It is nobody else's until `keepPlan`. */
export function takePlan(count: number): Plan {
  const known = kept.pop();
  return known !== undefined && known.room >= count ? known : new Plan(Math.max(64, count));
}

/** Nobody uses this plan any more. */
export function keepPlan(plan: Plan): void {
  if (plan.room <= KEPT_RANGES && kept.length < KEPT_PLANS) kept.push(plan);
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
