// Life of a command, stage 1 of 6: call. Before: lib/api/file.ts. After: lib/ring/command-writer.ts.
//
// One operation the careful way: it may have to wait for a slot or for memory, and a signal may end it early.

import { constants } from 'node:os';
import type { Waiter } from '../ring/fifo.js';
import type { Link } from '../ring/link.js';
import { OPCODE_OPEN, RAW } from '../ring/pending.js';
import { FileState, type Hold, IN_OPERATION, NO_FILE, NO_HOLD } from '../ring/state.js';
import { OPCODE_READ, OPENED_STREAM, REJECT_CLOSED } from '../wire/layout.generated.js';
import { isAborted, listen, reasonOf } from './abort.js';
import { ourError } from './errors.js';

const { ECANCELED, EINTR } = constants.errno;

/** What the kernel says of an operation that was ended early. */
export const CANCELLED = -ECANCELED;

/** True when a result says that an operation was ended early. */
export function wasCancelled(result: number): boolean {
  return result === -ECANCELED || result === -EINTR;
}

/**
 * Runs one operation. An abort is passed on to the kernel; the promise settles at the final completion: with the signal's
 * reason when the operation was ended, with its result when that was faster.
 */
export function operate(
  link: Link,
  opcode: number,
  file: FileState,
  hold: Hold,
  length: number,
  operand: number,
  signal?: AbortSignal,
): Promise<number> {
  if (isAborted(signal)) return Promise.reject(reasonOf(signal));
  return new Promise((resolve, reject) => {
    let slot = -1;
    let generation = 0;
    let waiter: Waiter | undefined;
    // First of all: were the signal to refuse, nothing has begun yet.
    const forget = listen(signal, () => {
      if (slot !== -1) return link.cancel(slot, generation);
      if (waiter !== undefined) waiter.wanted = false;
      if (hold !== NO_HOLD) link.handBack(hold);
      file.leave();
      reject(reasonOf(signal));
    });
    const settle = (result: number): void => {
      forget?.();
      if (result >= 0) resolve(result);
      else if (isAborted(signal) && wasCancelled(result)) reject(reasonOf(signal));
      else resolve(link.fail(result, opcode & ~RAW, file));
    };
    const start = (): void => {
      file.inFlight--; // Not `leave`: it counted as one that waits; `begin` counts it as one in flight.
      if (link.ended !== 0) {
        if (hold !== NO_HOLD) link.handBack(hold);
        settle(link.ended);
        return;
      }
      slot = link.begin(opcode | RAW, settle, file, hold, undefined, length, operand);
      generation = link.table.generations[slot];
    };
    file.enter();
    if (hold !== NO_HOLD) hold.state = IN_OPERATION;
    if (link.ended !== 0 || link.ready) start();
    else waiter = link.whenReady(start);
  });
}

/** Waits for a scratch range, in order; for one of `least` bytes, as long as there is hope for one. */
export function scratchFor(link: Link, bytes: number, signal?: AbortSignal, least = 0): Promise<Hold> {
  return new Promise((resolve, reject) => {
    let waiter: Waiter | undefined;
    const forget = listen(signal, () => {
      if (waiter !== undefined) waiter.wanted = false;
      reject(reasonOf(signal));
    });
    let found: Hold | undefined;
    const goOn = link.backToQueue(() => {
      resolve(found ?? link.fail(link.ended || REJECT_CLOSED, OPCODE_READ, NO_FILE));
    });
    const take = (hold: Hold | undefined): void => {
      forget?.();
      found = hold;
      goOn();
    };
    waiter = link.scratch.wait(bytes, take, least);
    link.scratch.serve();
  });
}

/** Who this process is to the kernel, as far as Node tells. @internal */
export function credentials(): string {
  const { geteuid, getegid, getgroups } = process;
  return [geteuid?.(), getegid?.(), ...(getgroups?.() ?? [])].join();
}

/** Opens a file: a native call, since a path does not fit into a command. */
export function openThrough(
  link: Link,
  bytes: Uint8Array,
  path: string,
  flags: number,
  mode: number,
  signal?: AbortSignal,
): Promise<{ slot: number; generation: number; waits: boolean }> {
  if (isAborted(signal)) return Promise.reject(reasonOf(signal));
  if (link.credentials !== '' && link.credentials !== credentials()) {
    const message =
      "File.open: the process has changed its user or groups, but the executor's sqpoll thread opens files with those of " +
      'its start: close the executor and start another';
    return Promise.reject(ourError('ERR_RINGWHEEL_DRIVER', message));
  }
  return new Promise((resolve, reject) => {
    let slot = -1;
    let generation = 0;
    let waiter: Waiter | undefined;
    let left = false;
    // Rejects at once: an open of a FIFO on the pool cannot be interrupted, and what it opens late is closed unseen (INV-7).
    const forget = listen(signal, () => {
      left = true;
      if (waiter !== undefined) waiter.wanted = false;
      if (slot !== -1) {
        link.cancel(slot, generation);
        link.letGo(slot);
      }
      reject(reasonOf(signal));
    });
    const settle = (result: number, fileGeneration: number): void => {
      if (left) {
        if (result >= 0) link.native.forget(result & ~OPENED_STREAM, fileGeneration);
        return;
      }
      forget?.();
      if (result >= 0) {
        const waits = (result & OPENED_STREAM) !== 0;
        resolve({ slot: result & ~OPENED_STREAM, generation: fileGeneration, waits });
      } else resolve(link.fail(result, OPCODE_OPEN, new FileState(0, 0, path)));
    };
    const start = (): void => {
      if (link.ended !== 0) {
        settle(link.ended, 0);
        return;
      }
      slot = link.beginCall(OPCODE_OPEN | RAW, settle);
      generation = link.table.generations[slot];
      try {
        link.native.open(bytes, flags, mode, slot, generation);
      } catch (error) {
        link.takeBackCall(slot);
        forget?.();
        reject(error);
      }
    };
    if (link.ended !== 0) start();
    else waiter = link.whenReady(start);
  });
}
