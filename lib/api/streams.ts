// Streams, whole and in parts: what a pipe, a socket or a device has, or takes, is waited for without memory of the executor's, and then moved piece by
// piece. Who reads the same one waits in line, and so does who writes: all of them would wake for one byte, and all but one wait on with memory.
import { constants } from 'node:os';
import type { Path } from '../ring/call-ranges.js';
import type { Link } from '../ring/link.js';
import { FileState, HELD, NO_HOLD } from '../ring/state.js';
import { Turns } from '../ring/turns.js';
import { OPCODE_READ, OPCODE_READV, OPCODE_READY } from '../wire/layout.generated.js';
import { isAborted, reasonOf } from './abort.js';
import { FailedAt } from './call-answers.js';
import type { SystemError } from './errors.js';
import { inTurn } from './in-turn.js';
import { CANCELLED, openThrough, operate, scratchFor } from './operation.js';
import { UNKNOWN_MOST } from './read-whole.js';

const { EAGAIN } = constants.errno;
const POLLIN = 1;
const POLLOUT = 4;
const HERE = -1;
/** As much as a pipe mostly holds. */
export const PIECE_BYTES = 65_536;
const PERMISSIONS = 0o666;

/** Whether a transfer may wait for another process. At a position none does: what has positions is a disk, a memory. */
export function mayWait(file: FileState, position: number): boolean {
  return file.waits && position < 0;
}

/** Waits until a stream has bytes, or its end, where `opcode` reads; until it takes some where it writes. */
export function ready(link: Link, opcode: number, file: FileState, signal: AbortSignal | undefined): Promise<unknown> {
  const events = opcode === OPCODE_READ || opcode === OPCODE_READV ? POLLIN : POLLOUT;
  return operate(link, OPCODE_READY, file, NO_HOLD, 0, events, signal);
}

/** Runs `work`, which moves a stream's bytes, behind those that came before it. */
export async function inLine<T>(
  link: Link,
  opcode: number,
  file: FileState,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const reads = opcode === OPCODE_READ || opcode === OPCODE_READV;
  link.enter(file);
  try {
    if (reads) file.readers ??= new Turns();
    else file.writers ??= new Turns();
    return await inTurn(link, (reads ? file.readers : file.writers) as Turns, signal, () =>
      link.cancelled ? link.fail(CANCELLED, opcode, file) : work(),
    );
  } finally {
    link.leave(file);
  }
}

/** Reads a stream to its end: `slot` where it is open already, else −1. It is closed in any case. */
export async function readStreamAt(
  link: Link,
  path: Path,
  flags: number,
  limit: number,
  signal: AbortSignal | undefined,
  slot: number,
  generation: number,
): Promise<Buffer | FailedAt> {
  let opened = { slot, generation };
  try {
    if (slot === -1) opened = await openThrough(link, Buffer.from(path as string), '', flags, PERMISSIONS, signal);
  } catch (error) {
    return failedAt('open', error, signal);
  }
  try {
    return await readStream(link, new FileState(opened.slot, opened.generation, ''), limit, signal);
  } finally {
    if (link.open) link.native.forget(opened.slot, opened.generation);
  }
}

function failedAt(step: 'open' | 'read', error: unknown, signal: AbortSignal | undefined): FailedAt {
  const { errno, syscall } = error as SystemError;
  if (isAborted(signal) || syscall === undefined || errno === undefined) throw error;
  return FailedAt.at(step, errno);
}

/** Reads an open stream to its end. */
export async function readStream(
  link: Link,
  file: FileState,
  limit: number,
  signal: AbortSignal | undefined,
): Promise<Buffer | FailedAt> {
  const most = limit === Number.MAX_SAFE_INTEGER ? UNKNOWN_MOST : limit;
  const parts: Buffer[] = [];
  let length = 0;
  link.enter(file);
  try {
    for (;;) {
      if (isAborted(signal)) throw reasonOf(signal);
      const part = await inLine(link, OPCODE_READ, file, signal, async () => {
        await ready(link, OPCODE_READ, file, signal);
        return readPart(link, file, signal);
      });
      if (part === undefined) continue;
      if (part.length === 0) break;
      parts.push(part);
      length += part.length;
      if (length > most) return FailedAt.tooLarge(length);
    }
  } catch (error) {
    return failedAt('read', error, signal);
  } finally {
    link.leave(file);
  }
  // Not of Node's pool: it is the caller's alone.
  const whole = Buffer.allocUnsafeSlow(length);
  let at = 0;
  for (const part of parts) at += part.copy(whole, at);
  return whole;
}

/** What there is; undefined when another reader was faster. */
async function readPart(link: Link, file: FileState, signal: AbortSignal | undefined): Promise<Buffer | undefined> {
  const hold = link.scratch.take(PIECE_BYTES) ?? (await scratchFor(link, PIECE_BYTES, signal));
  try {
    const read = await operate(link, OPCODE_READ, file, hold, hold.length, HERE, signal);
    return Buffer.from(hold.bytes.subarray(0, read));
  } catch (error) {
    if ((error as SystemError).errno === -EAGAIN) return undefined;
    throw error;
  } finally {
    if (hold.state === HELD) link.scratch.give(hold);
  }
}
