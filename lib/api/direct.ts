// Life of a command, stage 1 of 6: call. Before: lib/api/file.ts. After: lib/ring/command-writer.ts.
//
// Transfers of files that bypass the page cache, where the device cannot do them as they are. Reads are widened to whole blocks in a scratch
// range, of which the wanted part is copied out. Writes read the blocks of which they fill a part, change them there, and write them back.
//
// What a write leaves behind the end of the file, to fill the last block, is cut off again, whatever became of the write. lib/ring/direct-file.ts says who
// waits for whom.
import { constants } from 'node:os';
import { copied } from '../ring/bytes.js';
import type { DirectFile, Writing } from '../ring/direct-file.js';
import { BUFFER_GONE, type Link } from '../ring/link.js';
import { type FileState, HELD, Hold, IN_OPERATION, NO_HOLD } from '../ring/state.js';
import { OPCODE_READ, OPCODE_TRUNCATE, OPCODE_WRITE } from '../wire/layout.generated.js';
import { isAborted, reasonOf, rejectsEarly } from './abort.js';
import { ourError, systemError } from './errors.js';
import { inTurn, waited } from './in-turn.js';
import { operate, scratchFor } from './operation.js';
import { tooLarge } from './read-whole.js';
import { statOf } from './stat-of.js';

const { EBADF, EIO } = constants.errno;
/** Where a write has both edges in a range no longer than this, one read brings both. */
const ONE_READ = 16_384;
/** Reads of a block, at most, that bring less than the file has there. */
const ATTEMPTS = 8;
/** What is read first of what does not say its length. */
const GROWTH = 65_536;

/** One transfer. */
interface Transfer {
  readonly link: Link;
  readonly file: FileState;
  readonly direct: DirectFile;
  /** Where the bytes go or come from. */
  readonly array: Uint8Array;
  /** The lease that they are in, if it is one. */
  readonly hold: Hold | undefined;
  readonly length: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Moves bytes between a direct file and a lease, which must be in JavaScript's hand, or a plain array. With an array and a signal it rejects at
 * once; with a lease when the kernel has let go of it.
 */
export function moveDirectly(
  link: Link,
  opcode: number,
  file: FileState,
  memory: Hold | Uint8Array,
  length: number,
  position: number,
  signal?: AbortSignal,
): Promise<number> {
  const direct = file.direct as DirectFile;
  const hold = memory instanceof Hold ? memory : undefined;
  if (opcode === OPCODE_READ && !direct.readable) return link.fail(-EBADF, opcode, file);
  if (isAborted(signal)) return Promise.reject(reasonOf(signal));
  if (hold !== undefined) hold.state = IN_OPERATION;
  const array = hold === undefined ? (memory as Uint8Array) : hold.bytes;
  const moving = move({ link, file, direct, array, hold, length, signal }, opcode, position);
  return signal === undefined || hold !== undefined ? moving : rejectsEarly(moving, signal);
}

async function move(transfer: Transfer, opcode: number, position: number): Promise<number> {
  const { link, file, direct, hold, signal } = transfer;
  link.enter(file);
  try {
    const work = opcode === OPCODE_READ ? read : write;
    if (position >= 0) return (await work(transfer, position)).bytes;
    return await inTurn(link, direct.movers, signal, async () => {
      const { bytes, end } = await work(transfer, direct.position);
      direct.position = end;
      return bytes;
    });
  } finally {
    if (hold !== undefined) link.handBack(hold);
    link.leave(file);
  }
}

/**
 * The same for parts in a row, each a transfer of its own; the leases among them are in the operation's hand, and stay there. Nobody else moves the
 * file's own position meanwhile. @internal
 */
export async function movePartsDirectly(
  link: Link,
  opcode: number,
  file: FileState,
  parts: readonly Pick<Transfer, 'array' | 'hold' | 'length'>[],
  position: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  const direct = file.direct as DirectFile;
  if (opcode === OPCODE_READ && !direct.readable) return link.fail(-EBADF, opcode, file);
  const work = opcode === OPCODE_READ ? read : write;
  const all = async (start: number): Promise<Moved> => {
    let bytes = 0;
    let end = start;
    for (const part of parts) {
      try {
        const moved = await work({ link, file, direct, ...part, signal }, end);
        bytes += moved.bytes;
        end = moved.end;
        if (moved.bytes < part.length) break;
      } catch (error) {
        // Parts that were moved before count; the next call meets the error.
        if (bytes > 0 && !isAborted(signal)) break;
        throw error;
      }
    }
    return { bytes, end };
  };
  if (position >= 0) return (await all(position)).bytes;
  return await inTurn(link, direct.movers, signal, async () => {
    const { bytes, end } = await all(direct.position);
    direct.position = end;
    return bytes;
  });
}

/** What was moved, and the position behind it. */
interface Moved {
  readonly bytes: number;
  readonly end: number;
}

/** Runs `work`, which changes the file's length from `start` on, when no other change of it is on its way; a signal ends the wait. @internal */
export async function claiming<T>(
  link: Link,
  file: FileState,
  start: number,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const direct = file.direct as DirectFile;
  link.enter(file);
  // Writes that come behind it meet the end sooner; one that is guessed too soon costs them nothing but company.
  direct.lengthSeen = Math.min(direct.lengthSeen, start);
  const back = (then: () => void) => link.backToQueue(then);
  const writing = direct.begin(direct.down(start), Number.POSITIVE_INFINITY, true, back);
  let began = writing.ready === undefined;
  try {
    if (writing.ready !== undefined) await waited(writing.ready, signal);
    began = true;
    return await work();
  } finally {
    direct.end(writing, began);
    link.leave(file);
  }
}

/** Waits until no write is on its way that may have padded the file; undefined when none is. @internal */
export function untilSettled(link: Link, direct: DirectFile): Promise<void> | undefined {
  return direct.settled(0, Number.POSITIVE_INFINITY, (then) => link.backToQueue(then));
}

/** Reads from the file's own position to its end, as `file.readAll` does. @internal */
export function readRestDirectly(
  link: Link,
  file: FileState,
  limit: number,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const direct = file.direct as DirectFile;
  if (!direct.readable) return link.fail(-EBADF, OPCODE_READ, file);
  if (isAborted(signal)) return Promise.reject(reasonOf(signal));
  const reading = readRest(link, file, direct, limit, signal);
  return signal === undefined ? reading : rejectsEarly(reading, signal);
}

async function readRest(
  link: Link,
  file: FileState,
  direct: DirectFile,
  limit: number,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  link.enter(file);
  try {
    return await inTurn(link, direct.movers, signal, async () => {
      const start = direct.position;
      const known = Math.max(0, (await lengthNow(link, file, direct)) - start);
      if (known > limit) throw tooLarge('file.readAll', known, limit);
      let all = Buffer.allocUnsafeSlow(known === 0 ? GROWTH : known);
      let done = 0;
      for (;;) {
        const array = all.subarray(done);
        const transfer = { link, file, direct, array, hold: undefined, length: array.length, signal };
        const { bytes } = await read(transfer, start + done);
        done += bytes;
        if (done > limit) throw tooLarge('file.readAll', done, limit);
        if (bytes === 0 || (done === known && done === direct.lengthSeen - start)) break;
        // A device, which does not say its length, or a file that grew.
        if (done === all.length) all = Buffer.concat([all], Math.max(2 * done, GROWTH));
      }
      direct.position = start + done;
      // Memory of the caller's own, without what nothing was read into.
      return done === all.length ? new Uint8Array(all.buffer) : new Uint8Array(all.buffer.slice(0, done));
    });
  } finally {
    link.leave(file);
  }
}

async function read(transfer: Transfer, position: number): Promise<Moved> {
  const { link, direct, length, signal } = transfer;
  const ready = direct.settled(direct.down(position), direct.up(position + length), (then) => link.backToQueue(then));
  if (ready !== undefined) await waited(ready, signal);
  const whole = inPlace(transfer, position);
  let bytes = whole === 0 ? 0 : await moveInPlace(transfer, OPCODE_READ, whole, position);
  if (bytes === whole) bytes += await readThrough(transfer, bytes, position + bytes);
  return { bytes, end: position + bytes };
}

/** A part of a transfer, in whole blocks of a scratch range. */
interface Window {
  readonly range: Hold;
  /** Where its first block is in the file, and the bytes of all its blocks. */
  readonly start: number;
  readonly length: number;
  /** Of these, the transfer's begin behind `skip`. */
  readonly skip: number;
  readonly bytes: number;
  /** Where they are in the transfer's memory. */
  readonly at: number;
}

/** Has `step` move what of a transfer is left behind `from` bytes, window by window, until one moves less than all of its blocks. */
async function throughRanges(
  transfer: Transfer,
  from: number,
  position: number,
  step: (window: Window) => Promise<number>,
): Promise<number> {
  const { link, direct, length, signal } = transfer;
  let done = 0;
  while (from + done < length) {
    const start = direct.down(position + done);
    const skip = position + done - start;
    const left = length - from - done;
    const range = await rangeFor(transfer, direct.up(skip + left));
    try {
      if (isAborted(signal)) throw reasonOf(signal);
      const blocks = Math.min(direct.up(skip + left), direct.down(range.length));
      const bytes = Math.min(blocks - skip, left);
      const moved = await step({ range, start, length: blocks, skip, bytes, at: from + done });
      done += Math.min(Math.max(0, moved - skip), bytes);
      if (moved < blocks) break;
    } catch (error) {
      // Bytes that were moved before count, as they do for pread(2) and pwrite(2); the next call meets the error.
      if (from + done > 0 && !isAborted(signal)) break;
      throw error;
    } finally {
      if (range.state === HELD) link.scratch.give(range);
    }
  }
  return done;
}

/** Reads what of a transfer is left behind `from` bytes, widened to whole blocks. */
function readThrough(transfer: Transfer, from: number, position: number): Promise<number> {
  const { link, file, array, signal } = transfer;
  return throughRanges(transfer, from, position, async ({ range, start, length, skip, bytes, at }) => {
    const moved = await operate(link, OPCODE_READ, file, range, length, start, signal);
    if (isAborted(signal)) throw reasonOf(signal); // The promise is rejected already: the array is its owner's again.
    const count = Math.min(moved - skip, bytes);
    if (count > 0 && !copied(array, at, range.bytes, skip, count)) await link.fail(BUFFER_GONE, OPCODE_READ, file);
    return moved;
  });
}

async function write(transfer: Transfer, position: number): Promise<Moved> {
  const { link, direct, length } = transfer;
  if (length === 0) return { bytes: 0, end: position };
  const back = (then: () => void) => link.backToQueue(then);
  const end = position + length;
  const parts = direct.down(position) !== position || direct.down(end) !== end;
  for (let wholeFile = direct.appends; ; wholeFile = true) {
    // Where the last block reaches beyond the end it is padded and cut again: nobody may write behind it meanwhile.
    const beyond = wholeFile || (!direct.device && direct.down(end) !== end && direct.up(end) > direct.lengthSeen);
    const start = direct.appends ? 0 : direct.down(position);
    const writing = direct.begin(start, beyond ? Number.POSITIVE_INFINITY : direct.up(end), parts || beyond, back);
    const written = await alone(transfer, writing, position, parts, beyond);
    if (written !== undefined) return written;
  }
}

/** Writes when nothing is in the way. Undefined when the file turned out to be shorter than was thought. */
async function alone(
  transfer: Transfer,
  writing: Writing,
  asked: number,
  parts: boolean,
  beyond: boolean,
): Promise<Moved | undefined> {
  const { link, file, direct, length, signal } = transfer;
  let began = writing.ready === undefined;
  try {
    if (writing.ready !== undefined) {
      await waited(writing.ready, signal);
      began = true;
    }
    if (!parts && !beyond) return await writeAt(transfer, asked, Number.POSITIVE_INFINITY);
    const size = direct.device ? Number.POSITIVE_INFINITY : await lengthNow(link, file, direct);
    const position = direct.appends ? size : asked;
    const end = position + length;
    const padded = direct.up(end) > Math.max(end, size);
    if (!padded) return await writeAt(transfer, position, size);
    if (!beyond) return undefined;
    return await writePadded(transfer, position, size);
  } finally {
    direct.end(writing, began);
  }
}

/** Writes at a position in a file of `size` bytes; whoever calls it has claimed what it takes. */
async function writeAt(transfer: Transfer, position: number, size: number): Promise<Moved> {
  const { direct } = transfer;
  const whole = inPlace(transfer, position);
  let bytes = whole === 0 ? 0 : await moveInPlace(transfer, OPCODE_WRITE, whole, position);
  if (bytes === whole) bytes += await writeThrough(transfer, bytes, position + bytes, size);
  const end = position + bytes;
  if (end > direct.lengthSeen) direct.lengthSeen = end;
  return { bytes, end };
}

/** The same where the last block reaches beyond the end of the file: what is too much is cut off, whatever happens. */
async function writePadded(transfer: Transfer, position: number, size: number): Promise<Moved> {
  const { link, file, direct } = transfer;
  let length = size;
  try {
    const moved = await writeAt(transfer, position, size);
    length = Math.max(size, moved.end);
    return moved;
  } finally {
    if ((await lengthNow(link, file, direct)) > length) {
      direct.lengthSeen = length; // Not the padded one, which whoever begins now would take for true.
      await operate(link, OPCODE_TRUNCATE, file, NO_HOLD, 0, length);
    }
  }
}

/** Writes what of a transfer is left behind `from` bytes, in whole blocks. */
function writeThrough(transfer: Transfer, from: number, position: number, size: number): Promise<number> {
  const { link, file, array, signal } = transfer;
  return throughRanges(transfer, from, position, async (window) => {
    const { range, start, length, skip, bytes, at } = window;
    await readEdges(transfer, window, size);
    if (!copied(range.bytes, skip, array, at, bytes)) await link.fail(BUFFER_GONE, OPCODE_WRITE, file);
    return await operate(link, OPCODE_WRITE, file, range, length, start, signal);
  });
}

/** Brings what the first and the last block have beside the bytes that will be put between them: what is in the file, and zeros behind its end. */
async function readEdges(transfer: Transfer, window: Window, size: number): Promise<void> {
  const { direct } = transfer;
  const { range, start, length, skip, bytes } = window;
  const block = direct.alignment;
  const head = skip > 0;
  const last = start + length - block;
  const tail = skip + bytes < length && !(head && length === block);
  if (head && tail && length <= ONE_READ && (await readBlocks(transfer, range, start, length, size, 1))) return;
  let kept: Uint8Array | undefined;
  if (tail) {
    // A command's bytes go to the start of a range: so this one first, and kept aside.
    await readBlocks(transfer, range, last, block, size, ATTEMPTS);
    kept = range.bytes.slice(0, block);
  }
  if (head) await readBlocks(transfer, range, start, block, size, ATTEMPTS);
  if (kept !== undefined) range.bytes.set(kept, length - block);
}

/** Fills the start of a range with `length` bytes of the file, and zeros behind its end. False when all attempts brought too little. */
async function readBlocks(
  transfer: Transfer,
  range: Hold,
  start: number,
  length: number,
  size: number,
  attempts: number,
): Promise<boolean> {
  const { link, file, direct, signal } = transfer;
  let expected = Math.min(length, Math.max(0, size - start));
  for (let attempt = 0; expected > 0; attempt++) {
    const moved = await operate(link, OPCODE_READ, file, range, length, start, signal);
    // Behind the end of a device there is nothing either, which the write will hear.
    if (moved >= expected || (direct.device && moved === 0)) {
      expected = moved;
      break;
    }
    if (attempts === 1) return false;
    if (attempt + 1 === attempts) throw systemError(-EIO, 'read', file.path);
    // Somebody else cut the file, or the device gave less than it was asked for.
    if (!direct.device) expected = Math.min(length, Math.max(0, (await lengthNow(link, file, direct)) - start));
  }
  range.bytes.fill(0, expected, length);
  return true;
}

/** How many bytes of a transfer the device can move as they are, from the lease's start. */
function inPlace({ direct, hold, length }: Transfer, position: number): number {
  const whole = direct.down(length);
  return hold !== undefined && direct.fits(hold, whole, position) ? whole : 0;
}

/** Moves them. */
function moveInPlace(transfer: Transfer, opcode: number, length: number, position: number): Promise<number> {
  const { link, file, signal } = transfer;
  const { slot, generation, offset, length: room, bytes } = transfer.hold as Hold;
  // Its own hand: the lease stays taken when this ends.
  const hold = new Hold(slot, generation, offset, room, bytes, -1);
  return operate(link, opcode, file, hold, length, position, signal);
}

/** A scratch range of at least a block. */
async function rangeFor({ link, direct, signal }: Transfer, bytes: number): Promise<Hold> {
  const range = link.scratch.take(bytes) ?? (await scratchFor(link, bytes, signal));
  if (range.length >= direct.alignment) return range;
  link.scratch.give(range);
  const message = `a block of ${direct.alignment} bytes finds no room in the executor's memory: release leases, or start it with more \`memory\` and \`copyMemory\``;
  throw ourError('ERR_RINGWHEEL_NO_MEMORY', message);
}

/** Bytes of the file now. */
async function lengthNow(link: Link, file: FileState, direct: DirectFile): Promise<number> {
  const { size } = await statOf(link, file);
  direct.lengthSeen = size;
  return size;
}
