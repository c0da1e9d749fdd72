// Life of a command, stage 1 of 6: call. Before: lib/api/file.ts. After: lib/ring/command-writer.ts.
//
// Moves bytes between a file and a lease (no copy) or a plain Uint8Array (one copy, through scratch ranges). Each has a
// fast path that allocates nothing but its promise, and a general one for aborts, long arrays and full queues.

import { copied, lengthOf } from '../ring/bytes.js';
import { BUFFER_GONE, type Link } from '../ring/link.js';
import type { Settle } from '../ring/pending.js';
import { type FileState, HELD, type Hold, IN_OPERATION } from '../ring/state.js';
import { OPCODE_READ, OPCODE_READV, OPCODE_WRITE, OPCODE_WRITEV, WRITE_NEXT_TURN } from '../wire/layout.generated.js';
import { isAborted, reasonOf, rejectsEarly } from './abort.js';
import { moveDirectly } from './direct.js';
import { moveParts } from './file-vectored.js';
import { operate, scratchFor } from './operation.js';
import { inLine, mayWait, PIECE_BYTES, ready } from './streams.js';

/** The longest array that one scratch range can carry. */
const ONE_RANGE = 262144;
/** From this length on an array is written from where it is, if that can be: a native call costs less than a copy into a range. */
export const NOW_BYTES = 65_536;

// One shared executor function for all promises: a closure per read would cost more than the read's own bookkeeping.
let grabbed: Settle;
const grab = (resolve: (value: number) => void): void => {
  grabbed = resolve;
};

/** True of a direct file's transfer that does not go as it is: see direct.ts. */
function needsBlocks(opcode: number, file: FileState, hold: Hold, length: number, position: number): boolean {
  const { direct } = file;
  return direct !== undefined && !(opcode === OPCODE_READ && direct.reads(hold, length, position));
}

/** Moves bytes between a file and a lease. `hold` must be in JavaScript's hand. */
export function moveDirect(
  link: Link,
  opcode: number,
  file: FileState,
  hold: Hold,
  length: number,
  position: number,
): Promise<number> {
  if (needsBlocks(opcode, file, hold, length, position))
    return moveDirectly(link, opcode, file, hold, length, position);
  if (!link.ready) return operate(link, opcode, file, hold, length, position);
  const promise = new Promise<number>(grab);
  link.begin(opcode, grabbed, file, hold, undefined, length, position);
  return promise;
}

/** The same with a signal, or at the file's own position, which is −1. */
export function moveLease(
  link: Link,
  opcode: number,
  file: FileState,
  hold: Hold,
  length: number,
  position: number,
  signal?: AbortSignal,
): Promise<number> {
  if (needsBlocks(opcode, file, hold, length, position))
    return moveDirectly(link, opcode, file, hold, length, position, signal);
  if (mayWait(file, position)) {
    hold.state = IN_OPERATION;
    const parts = [{ hold, array: hold.bytes, length }];
    return moveParts(link, opcode === OPCODE_READ ? OPCODE_READV : OPCODE_WRITEV, file, parts, position, signal);
  }
  return operate(link, opcode, file, hold, length, position, signal);
}

/** Fills a plain Uint8Array from a file. */
export function readCopied(
  link: Link,
  file: FileState,
  target: Uint8Array,
  length: number,
  position: number,
): Promise<number> {
  if (length <= ONE_RANGE && file.direct === undefined && link.ready) {
    const hold = link.scratch.takeWhole(length);
    if (hold !== undefined) {
      const promise = new Promise<number>(grab);
      link.begin(OPCODE_READ, grabbed, file, hold, target, length, position);
      return promise;
    }
  }
  return moveInRanges(link, OPCODE_READ, file, target, length, position);
}

/**
 * Writes a plain Uint8Array to a file. Its bytes are taken now or, of a long one, when their turn comes: a long one is written from where it is, as
 * far as the turn has time, where a command would only add a second copy.
 */
export function writeCopied(
  link: Link,
  file: FileState,
  source: Uint8Array,
  length: number,
  position: number,
): Promise<number> {
  const now = length >= NOW_BYTES && file.writesNow;
  if (length <= ONE_RANGE && !now && file.direct === undefined && link.ready) {
    const hold = link.scratch.takeWhole(length);
    if (hold !== undefined) {
      if (!copied(hold.bytes, 0, source, 0, length)) {
        link.scratch.give(hold);
        return link.fail(BUFFER_GONE, OPCODE_WRITE, file);
      }
      const promise = new Promise<number>(grab);
      link.begin(OPCODE_WRITE, grabbed, file, hold, source, length, position);
      return promise;
    }
  }
  return moveInRanges(link, OPCODE_WRITE, file, source, length, position);
}

/**
 * The general path: range after range, in order, until the array is done or the file gives or takes less than asked.
 * With a signal it rejects at once; the range in flight comes back when its operation has ended. A stream takes all of a write, as it does of write(2).
 */
export function moveInRanges(
  link: Link,
  opcode: number,
  file: FileState,
  array: Uint8Array,
  length: number,
  position: number,
  signal?: AbortSignal,
): Promise<number> {
  if (file.direct !== undefined) return moveDirectly(link, opcode, file, array, length, position, signal);
  const move = () => rangeAfterRange(link, opcode, file, array, length, position, signal);
  const moving = mayWait(file, position) ? inLine(link, opcode, file, signal, move) : move();
  return signal === undefined ? moving : rejectsEarly(moving, signal);
}

/** At the file's own position, or its end, others in flight come first: whoever asks is in flight already. */
function canWriteNow(file: FileState, position: number): boolean {
  return file.writesNow && ((position >= 0 && !file.appends) || file.inFlight === 1);
}

async function rangeAfterRange(
  link: Link,
  opcode: number,
  file: FileState,
  array: Uint8Array,
  length: number,
  position: number,
  signal?: AbortSignal,
): Promise<number> {
  const waits = mayWait(file, position);
  link.enter(file);
  try {
    let done = 0;
    while (done < length) {
      if (opcode === OPCODE_WRITE && length >= NOW_BYTES && canWriteNow(file, position)) {
        if (isAborted(signal)) throw reasonOf(signal);
        const result = link.writeNow(file, array, done, length, position < 0 ? -1 : position + done);
        if (result > 0) {
          done += result;
          continue;
        }
        if (result < 0 && result !== WRITE_NEXT_TURN) {
          if (done > 0) break;
          await link.fail(result, opcode, file);
        }
        // Of an array that a range can take the bytes are taken now, one way or the other.
        if (result === WRITE_NEXT_TURN && length > ONE_RANGE) {
          await link.nextTurn();
          continue;
        }
      }
      if (waits) await ready(link, opcode, file, signal);
      const most = waits && opcode === OPCODE_WRITE ? Math.min(length - done, PIECE_BYTES) : length - done;
      const hold = link.scratch.take(most) ?? (await scratchFor(link, most, signal));
      const wanted = Math.min(length - done, hold.length);
      try {
        if (isAborted(signal)) throw reasonOf(signal);
        if (lengthOf(array) < done + wanted) await link.fail(BUFFER_GONE, opcode, file);
        if (opcode === OPCODE_WRITE && !copied(hold.bytes, 0, array, done, wanted)) {
          await link.fail(BUFFER_GONE, opcode, file);
        }
        const moved = await operate(link, opcode, file, hold, wanted, position < 0 ? -1 : position + done, signal);
        if (opcode === OPCODE_READ && moved > 0) {
          if (isAborted(signal)) throw reasonOf(signal); // The promise is rejected already: the array is its owner's again.
          if (!copied(array, done, hold.bytes, 0, moved)) await link.fail(BUFFER_GONE, opcode, file);
        }
        done += moved;
        if (moved === 0 || (moved < wanted && !(waits && opcode === OPCODE_WRITE))) break;
      } catch (error) {
        // Bytes that earlier ranges moved count, as they do for pread(2) and pwrite(2); the next call meets the error.
        if (done > 0 && !isAborted(signal)) break;
        throw error;
      } finally {
        if (hold.state === HELD) link.scratch.give(hold);
      }
    }
    return done;
  } finally {
    link.leave(file);
  }
}
