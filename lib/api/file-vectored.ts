// Life of a command, stage 1 of 6: call. Before: lib/api/file.ts. After: lib/ring/command-writer.ts.
//
// Many pieces of memory, one system call: readv, writev and append. A scratch range carries the table of the parts and, behind it, the bytes of those
// that are plain arrays (crates/command/src/parts.rs); leases are named where they are. Only what a range cannot carry takes another command.
import { isArrayBufferView, isUint8Array } from 'node:util/types';
import { bytesIfThere, copied, lengthOf } from '../ring/bytes.js';
import { BUFFER_GONE, type Link } from '../ring/link.js';
import { type FileState, HELD, type Hold, IN_OPERATION } from '../ring/state.js';
import { Turns } from '../ring/turns.js';
import {
  LENGTH_MAX,
  OPCODE_READ,
  OPCODE_READV,
  OPCODE_WRITE,
  OPCODE_WRITEV,
  PART_BYTES,
  PARTS_HEAD_BYTES,
  PARTS_MAX,
} from '../wire/layout.generated.js';
import { isAborted, reasonOf, rejectsEarly } from './abort.js';
import { movePartsDirectly } from './direct.js';
import { ourError } from './errors.js';
import { inTurn } from './in-turn.js';
import { Lease } from './lease.js';
import { operate, scratchFor } from './operation.js';
import { inLine, mayWait, ready } from './streams.js';
import { abortSignal, checked, type Rule, shown } from './validate.js';

/** Options of {@link File.readv}, {@link File.writev} and {@link File.append}. */
export interface VectorOptions {
  /**
   * Ends the operation early. When a lease is among the memory, the promise settles once the kernel has let go of it: with the reason, or with the
   * result if that was faster. Else it rejects at once.
   */
  signal?: AbortSignal;
}

const VECTOR_RULES: Record<string, Rule> = { signal: abortSignal };

/** Memory that the parts of a call may be. */
export type VectorPart = Lease | NodeJS.ArrayBufferView;

/** A part of a call: a lease, or a plain array. */
export interface Part {
  readonly hold: Hold | undefined;
  readonly array: Uint8Array;
  readonly length: number;
}

/** The longest scratch range. */
const RANGE_MAX = 262144;

/** Checks what readv and writev are given. The leases are in the operation's hand then: give them to `moveParts`. @internal */
export function vectorOf(
  link: Link,
  method: string,
  buffers: readonly VectorPart[],
  position: number | undefined,
  options: VectorOptions | undefined,
): { parts: Part[]; at: number; signal: AbortSignal | undefined } {
  const { signal } = checked(`file.${method}`, options, VECTOR_RULES);
  const refuse = (sentence: string) => ourError('ERR_RINGWHEEL_INVALID_OPTION', `file.${method}: ${sentence}`);
  if (position !== undefined && (!Number.isSafeInteger(position) || position < 0)) {
    throw refuse(`position must be a whole number from 0 to ${Number.MAX_SAFE_INTEGER}; got ${shown(position)}`);
  }
  if (!Array.isArray(buffers)) {
    throw refuse(`buffers must be an array of Leases, typed arrays and DataViews; got ${shown(buffers)}`);
  }
  const { length } = buffers;
  if (length > PARTS_MAX) {
    throw refuse(`buffers must have at most ${PARTS_MAX} entries; got ${length}: give the rest to another call`);
  }
  return { parts: partsOf(link, method, buffers, length), at: position ?? -1, signal };
}

/** Checks what append is given. @internal */
export function appendedOf(
  link: Link,
  data: VectorPart | string,
  options: VectorOptions | undefined,
): { parts: Part[]; signal: AbortSignal | undefined } {
  const { signal } = checked('file.append', options, VECTOR_RULES);
  const bytes = typeof data === 'string' ? Buffer.from(data) : data;
  return { parts: partsOf(link, 'append', [bytes], 1), signal };
}

function partsOf(link: Link, method: string, buffers: readonly VectorPart[], length: number): Part[] {
  const parts: Part[] = [];
  try {
    for (let index = 0; index < length; index++) {
      const name = method === 'append' ? 'data' : `buffers[${index}]`;
      const part = partOf(link, method, name, buffers[index], parts);
      if (part.length > 0) parts.push(part);
    }
  } catch (error) {
    handBack(link, parts);
    throw error;
  }
  return parts;
}

function partOf(link: Link, method: string, name: string, value: unknown, before: readonly Part[]): Part {
  const hold = typeof value === 'object' && value !== null ? Lease.holdOf(value) : undefined;
  if (hold !== undefined) {
    if (hold.state !== HELD || !Lease.belongs(value as Lease, link)) throw badLease(method, name, hold, before);
    // At once, so that the list cannot have it twice.
    hold.state = IN_OPERATION;
    return { hold, array: hold.bytes, length: hold.length };
  }
  const array = bytesOf(value);
  if (array === undefined) {
    const range =
      method === 'append' ? 'a string, a Lease, a typed array or a DataView' : 'a Lease, a typed array or a DataView';
    throw ourError('ERR_RINGWHEEL_INVALID_OPTION', `file.${method}: ${name} must be ${range}; got ${shown(value)}`);
  }
  return { hold, array, length: lengthOf(array) };
}

function badLease(method: string, name: string, hold: Hold, before: readonly Part[]): Error {
  const why = before.some((part) => part.hold === hold)
    ? 'is a lease that the list has already; each may be in it once'
    : hold.state === HELD
      ? 'is a lease of another executor'
      : hold.state === IN_OPERATION
        ? 'is a lease that another operation uses; await that one first'
        : 'is a lease that was released';
  return ourError('ERR_RINGWHEEL_LEASE', `file.${method}: ${name} ${why}`);
}

/** The bytes of any view, whatever a subclass or a property of its own says of it. Empty when it is detached. */
function bytesOf(value: unknown): Uint8Array | undefined {
  if (isUint8Array(value)) return value;
  return isArrayBufferView(value) ? (bytesIfThere(value) ?? new Uint8Array(0)) : undefined;
}

function handBack(link: Link, parts: readonly Part[]): void {
  for (const { hold } of parts) if (hold !== undefined) link.handBack(hold);
}

/**
 * Moves bytes between a file and parts, in order, from a position on or at the file's own, which is −1. A write goes on until it has written all; the
 * leases come back when it has ended, and the promise of plain arrays alone rejects at once when its signal aborts.
 *
 * @param opcode - READV or WRITEV.
 * @internal
 */
export function moveParts(
  link: Link,
  opcode: number,
  file: FileState,
  parts: readonly Part[],
  position: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  if (isAborted(signal)) {
    handBack(link, parts);
    return Promise.reject(reasonOf(signal));
  }
  if (parts.length === 0) return Promise.resolve(0);
  const early = signal !== undefined && parts.every((part) => part.hold === undefined);
  const moving = move(link, opcode, file, parts, position, signal, early);
  return early ? rejectsEarly(moving, signal) : moving;
}

async function move(
  link: Link,
  opcode: number,
  file: FileState,
  parts: readonly Part[],
  position: number,
  signal: AbortSignal | undefined,
  early: boolean,
): Promise<number> {
  link.enter(file);
  try {
    if (needsBlocks(opcode, file, parts, position)) {
      const direct = opcode === OPCODE_READV ? OPCODE_READ : OPCODE_WRITE;
      return await movePartsDirectly(link, direct, file, parts, position, signal);
    }
    const moving = new Moving(link, opcode, file, parts, signal, early);
    if (!mayWait(file, position)) return await moving.run(position);
    return await inLine(link, opcode, file, signal, () => moving.run(position));
  } finally {
    handBack(link, parts);
    link.leave(file);
  }
}

/** Writes what `append` was given behind the end of the file, when all that was appended through it before is written. @internal */
export function appendParts(
  link: Link,
  file: FileState,
  parts: readonly Part[],
  signal: AbortSignal | undefined,
): Promise<number> {
  file.appenders ??= new Turns();
  const early = signal !== undefined && parts.every((part) => part.hold === undefined);
  const appending = append(link, file, file.appenders, parts, signal);
  return early ? rejectsEarly(appending, signal) : appending;
}

async function append(
  link: Link,
  file: FileState,
  turns: Turns,
  parts: readonly Part[],
  signal: AbortSignal | undefined,
): Promise<number> {
  link.enter(file);
  let begun = false;
  try {
    return await inTurn(link, turns, signal, () => {
      begun = true;
      // Any position: the kernel writes to the end. A pipe has none.
      return move(
        link,
        OPCODE_WRITEV,
        file,
        parts,
        file.waits ? -1 : 0,
        signal,
        parts.every((part) => part.hold === undefined),
      );
    });
  } finally {
    if (!begun) handBack(link, parts);
    link.leave(file);
  }
}

/** True of a direct file's transfer that does not go as it is: see direct.ts. */
function needsBlocks(opcode: number, file: FileState, parts: readonly Part[], position: number): boolean {
  const { direct } = file;
  if (direct === undefined) return false;
  if (opcode !== OPCODE_READV) return true;
  return !parts.every(({ hold, length }) => hold !== undefined && direct.reads(hold, length, position));
}

/** One call on its way. */
class Moving {
  /** The part that is next, and how many of its bytes are done. */
  #next = 0;
  #skip = 0;

  constructor(
    readonly link: Link,
    readonly opcode: number,
    readonly file: FileState,
    readonly parts: readonly Part[],
    readonly signal: AbortSignal | undefined,
    /** The promise is rejected when the signal aborts, whatever is under way. */
    readonly early: boolean,
  ) {}

  /** Command after command until all is moved or the file gives or takes less than asked. */
  async run(position: number): Promise<number> {
    const { link, opcode, file, parts, signal } = this;
    let done = 0;
    while (this.#next < parts.length) {
      if (mayWait(file, position)) await ready(link, opcode, file, signal);
      const bytes = this.#bytesWanted();
      const range = link.scratch.takeWhole(bytes) ?? (await scratchFor(link, bytes, signal, bytes));
      try {
        if (isAborted(signal)) throw reasonOf(signal);
        const { used, wanted } = await this.#write(range);
        const at = position < 0 ? -1 : position + done;
        const moved = await operate(link, opcode, file, range, used, at, signal);
        if (this.early && isAborted(signal)) throw reasonOf(signal); // The arrays are their owner's again.
        await this.#advance(range, moved);
        done += moved;
        if (moved === 0 || (opcode === OPCODE_READV && moved < wanted)) break;
      } catch (error) {
        // Bytes that were moved before count, as they do for preadv(2) and pwritev(2); the next call meets the error.
        if (done > 0 && !isAborted(signal)) break;
        throw error;
      } finally {
        if (range.state === HELD) link.scratch.give(range);
      }
    }
    return done;
  }

  /** Bytes of a range that would carry all that is left, at most those of the longest. */
  #bytesWanted(): number {
    let bytes = PARTS_HEAD_BYTES - this.#skip;
    for (let index = this.#next; index < this.parts.length && bytes < RANGE_MAX; index++) {
      const { hold, length } = this.parts[index] as Part;
      bytes += PART_BYTES + (hold === undefined ? length : 0);
    }
    // Of a lease nothing lies in the range, whatever is done of it.
    if ((this.parts[this.#next] as Part).hold !== undefined) bytes += this.#skip;
    return Math.min(bytes, RANGE_MAX);
  }

  /** How many of a part's bytes a range with `left` bytes can carry; −1 when there is no room for its entry. */
  #fits(index: number, skip: number, left: number, most: number): number {
    const { hold, length } = this.parts[index] as Part;
    const room = left - PART_BYTES;
    if (room < 0 || (hold === undefined && room === 0) || most === 0) return -1;
    return Math.min(length - skip, hold === undefined ? room : length, most);
  }

  /** Writes the table of as many parts as the range can carry and, of those that are written, the bytes. */
  async #write(range: Hold): Promise<{ used: number; wanted: number }> {
    const { link, opcode, file, parts } = this;
    if (lengthOf(range.bytes) < range.length) await link.fail(BUFFER_GONE, opcode, file);
    let left = range.length - PARTS_HEAD_BYTES;
    let count = 0;
    let wanted = 0;
    for (let skip = this.#skip; this.#next + count < parts.length; skip = 0) {
      const index = this.#next + count;
      const bytes = this.#fits(index, skip, left, LENGTH_MAX - wanted);
      if (bytes < 0) break;
      const { hold, length } = parts[index] as Part;
      left -= PART_BYTES + (hold === undefined ? bytes : 0);
      wanted += bytes;
      count++;
      if (skip + bytes < length) break;
    }
    const { arenaWords: words } = link;
    let word = range.offset >>> 2;
    words[word] = count;
    words.fill(0, word + 1, word + 4);
    let staged = PARTS_HEAD_BYTES + count * PART_BYTES;
    let rest = wanted;
    for (let index = this.#next, skip = this.#skip; index < this.#next + count; index++, skip = 0) {
      const { hold, array, length } = parts[index] as Part;
      const bytes = Math.min(length - skip, rest);
      rest -= bytes;
      word += 4;
      if (lengthOf(array) < skip + bytes) await link.fail(BUFFER_GONE, opcode, file);
      words[word] = (hold ?? range).slot;
      words[word + 1] = (hold ?? range).generation;
      words[word + 2] = hold === undefined ? staged : skip;
      words[word + 3] = bytes;
      const isSent =
        opcode === OPCODE_READV ||
        (hold === undefined ? copied(range.bytes, staged, array, skip, bytes) : link.pushes(hold));
      if (!isSent) await link.fail(BUFFER_GONE, opcode, file);
      if (hold === undefined) staged += bytes;
    }
    return { used: staged, wanted };
  }

  /** Goes `moved` bytes on, and copies what was read to where it belongs. */
  async #advance(range: Hold, moved: number): Promise<void> {
    const { link, opcode, file, parts } = this;
    const isRead = opcode === OPCODE_READV;
    let word = range.offset >>> 2;
    for (let left = moved; left > 0; ) {
      const { hold, array, length } = parts[this.#next] as Part;
      word += 4;
      const bytes = Math.min(length - this.#skip, left);
      if (isRead) {
        const isHere =
          hold === undefined
            ? copied(array, this.#skip, range.bytes, link.arenaWords[word + 2] as number, bytes)
            : link.pulls(hold, this.#skip + bytes);
        if (!isHere) await link.fail(BUFFER_GONE, opcode, file);
      }
      left -= bytes;
      this.#skip += bytes;
      if (this.#skip < length) return;
      this.#next++;
      this.#skip = 0;
    }
  }
}
