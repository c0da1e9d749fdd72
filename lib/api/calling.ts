// Life of a command, below stage 1: asks the system for something that is no transfer, and settles with its answer.
//
// The quick way allocates a promise and a closure. Whoever finds no memory or no slot waits in order; a signal takes who waits out of the
// queue, and asks what runs to end.
import { constants } from 'node:os';
import { isUint8Array } from 'node:util/types';
import { copyOf } from '../ring/bytes.js';
import { type Asked, bytesOf, type Path, SMALL } from '../ring/call-ranges.js';
import type { Waiter } from '../ring/fifo.js';
import { BUFFER_GONE, type Link } from '../ring/link.js';
import { RAW } from '../ring/pending.js';
import type { Scratch } from '../ring/scratch.js';
import { type FileState, type Hold, NO_FILE } from '../ring/state.js';
import { BLOCK_HEADER, OPCODE_CALL, PATH_BYTES, REJECT_CEILING, REJECT_CLOSED } from '../wire/layout.generated.js';
import { isAborted, listen, reasonOf } from './abort.js';
import { FailedAt } from './call-answers.js';
import { ourError } from './errors.js';

const { ECANCELED, ENAMETOOLONG } = constants.errno;
const KIND = OPCODE_CALL | RAW;
const FAILED_STEP = 0xff;
const FAILED_PATH_SHIFT = 8;

/**
 * Makes a value of an answer: the result, the number of a parcel or 0, and the range, which is another's as this returns. `make` is the
 * caller's own, so that what is asked can be one object for all calls of a kind.
 */
export type Answer<T> = (result: number, parcel: number, hold: Hold, link: Link, make: unknown) => T;

/** What a call is, beside its paths and numbers. */
export interface Call<T> extends Asked {
  /** The open file that it is about. */
  readonly file?: FileState;
  /** Bytes that the answer needs, where more than a block's. What is longer comes as a parcel. */
  readonly room?: number;
  readonly answer: Answer<T>;
  /** What is to be written, and in which encoding: `a` is its bytes. */
  readonly data?: string | Uint8Array;
  readonly encoding?: BufferEncoding;
  readonly signal?: AbortSignal | undefined;
  /** What to do when it is about a stream, which was opened, or has to be (−1). */
  readonly stream?: (link: Link, slot: number, generation: number) => Promise<T | FailedAt>;
}

/**
 * Runs a call.
 *
 * @returns The answer; a number below 0, minus an errno, when the system refused; a {@link FailedAt} where a step of it did.
 * @throws A RingwheelError when the executor ends meanwhile; the signal's reason, at once, when it aborts.
 */
export function call<T>(
  link: Link,
  asked: Call<T>,
  first?: Path,
  second?: Path,
  make?: unknown,
): Promise<T | number | FailedAt> {
  if (tooLong(first) || tooLong(second)) return Promise.resolve(-ENAMETOOLONG);
  let bytes = BLOCK_HEADER + bytesOf(first) + bytesOf(second) + 2;
  if (asked.data !== undefined) bytes += asked.a as number;
  const room = asked.room ?? 0;
  const wanted = Math.max(bytes, room);
  if (asked.signal === undefined && link.ready) {
    const ranges: Scratch = wanted <= SMALL ? link.calls : link.scratch;
    const hold = ranges.takeWhole(wanted);
    if (hold !== undefined) {
      return new Promise((resolve) => {
        begin(link, asked, ranges, hold, first, second, make, resolve);
      });
    }
  }
  // Theirs may change while this waits.
  const [one, two] = [kept(first), kept(second)];
  if (isUint8Array(asked.data)) asked = { ...asked, data: copyOf(asked.data) };
  return asked.signal === undefined
    ? waitThenCall(link, asked, wanted, bytes, one, two, make)
    : waitWithSignal(link, asked, wanted, bytes, one, two, make, asked.signal);
}

function tooLong(path: Path | undefined): boolean {
  return path !== undefined && path.length > PATH_BYTES / 3 && bytesOf(path) > PATH_BYTES;
}

/** Writes the block and the command. Returns the slot, −1 when there is none since the arena is gone. */
function begin<T>(
  link: Link,
  asked: Call<T>,
  ranges: Scratch,
  hold: Hold,
  first: Path | undefined,
  second: Path | undefined,
  make: unknown,
  resolve: (value: T | number | FailedAt | Promise<T | FailedAt>) => void,
): number {
  const file = asked.file ?? NO_FILE;
  const length = link.calls.write(hold, asked, first, second);
  if (length === 0) {
    ranges.give(hold);
    resolve(link.fail(BUFFER_GONE, OPCODE_CALL, file));
    return -1;
  }
  const { data } = asked;
  if (data !== undefined) link.calls.writeData(hold, length, data, asked.encoding ?? 'utf8');
  const settle = (result: number, extra: number): void => {
    let value: T | number | FailedAt | Promise<T | FailedAt>;
    try {
      value =
        result >= 0
          ? asked.answer(result, extra, hold, link, make)
          : failure(link, result, extra, hold, file, asked.stream);
    } catch (error) {
      value = Promise.reject(error);
    }
    ranges.give(hold);
    resolve(value);
  };
  return link.begin(KIND, settle, file, hold, undefined, length, 0);
}

function failure<T>(
  link: Link,
  result: number,
  extra: number,
  hold: Hold,
  file: FileState,
  stream: Call<T>['stream'],
): number | FailedAt | Promise<T | FailedAt> {
  if (result <= REJECT_CEILING || (result === -ECANCELED && !link.open)) return link.fail(result, OPCODE_CALL, file);
  if (extra === 0) return result;
  const failed = new FailedAt(result, extra & FAILED_STEP, hold.bytes, extra >>> FAILED_PATH_SHIFT);
  return failed.stream === undefined || stream === undefined ? failed : stream(link, ...failed.stream);
}

/** A path that stays as it is while something waits: a copy where it is an array. @internal */
export function kept<P extends Path | undefined>(path: P): P | Uint8Array {
  return isUint8Array(path) ? copyOf(path) : path;
}

/** The range that a call waits for: a small one, where there is any, else one of those that arrays are copied through. */
function rangesFor(link: Link, wanted: number): Scratch {
  return wanted <= SMALL && link.calls.reserve() ? link.calls : link.scratch;
}

/** Waits for a range and a slot, in order. A thousand of these at once are no rarity, so each is one closure. */
function waitThenCall<T>(
  link: Link,
  asked: Call<T>,
  wanted: number,
  needed: number,
  first: Path | undefined,
  second: Path | undefined,
  make: unknown,
): Promise<T | number | FailedAt> {
  const { file = NO_FILE } = asked;
  const ranges = rangesFor(link, wanted);
  const { current } = link.scheduler;
  link.enter(file);
  return new Promise((resolve) => {
    let range: Hold | undefined;
    const go = (hold?: Hold): void => {
      range ??= hold;
      if (range === undefined) resolve(link.fail(link.ended || REJECT_CLOSED, OPCODE_CALL, file));
      else if (link.ended !== 0 || range.length < needed) {
        ranges.give(range);
        resolve(link.ended !== 0 ? link.fail(link.ended, OPCODE_CALL, file) : Promise.reject(noRange(needed)));
      } else if (link.ready) {
        const mine = range;
        link.scheduler.runAs(current, () => begin(link, asked, ranges, mine, first, second, make, resolve));
      } else {
        link.whenReady(go);
        return;
      }
      link.leave(file);
    };
    ranges.wait(wanted, go, needed);
    ranges.serve();
  });
}

function noRange(needed: number): Error {
  const message = `a call with ${needed} bytes of paths and content finds no range as long in the executor's memory: release leases, or start it with more`;
  return ourError('ERR_RINGWHEEL_NO_MEMORY', message);
}

/** The same with a signal, which takes out of the queue what waits, and asks what runs to end. */
function waitWithSignal<T>(
  link: Link,
  asked: Call<T>,
  wanted: number,
  needed: number,
  first: Path | undefined,
  second: Path | undefined,
  make: unknown,
  signal: AbortSignal,
): Promise<T | number | FailedAt> {
  if (isAborted(signal)) return Promise.reject(reasonOf(signal));
  const { file = NO_FILE } = asked;
  const ranges = rangesFor(link, wanted);
  return new Promise((resolve, reject) => {
    let slot = -1;
    let generation = 0;
    let waiter: Waiter | undefined;
    let range: Hold | undefined;
    let left = false;
    let waits = true;
    link.enter(file);
    const waited = (): void => {
      if (!waits) return;
      waits = false;
      link.leave(file);
    };
    const forget = listen(signal, () => {
      left = true;
      if (waiter !== undefined) waiter.wanted = false;
      if (slot !== -1) {
        link.cancel(slot, generation);
        link.letGo(slot);
      } else if (range !== undefined) {
        ranges.give(range);
      }
      reject(reasonOf(signal));
      waited();
    });
    const end = (value: T | number | FailedAt | Promise<T | FailedAt>): void => {
      forget?.();
      // Of one that was left, nobody hears how it failed.
      if (left && value instanceof Promise) value.catch(() => {});
      else resolve(value);
      waited();
    };
    const answer: Answer<T> = (result, parcel, hold) => {
      if (!left) return asked.answer(result, parcel, hold, link, make);
      if (parcel !== 0) link.native.dropParcel(parcel);
      return undefined as T;
    };
    const start = (hold: Hold): void => {
      waiter = range = undefined;
      if (link.ended !== 0) {
        ranges.give(hold);
        end(link.fail(link.ended, OPCODE_CALL, file));
        return;
      }
      slot = begin(link, { ...asked, answer }, ranges, hold, first, second, undefined, end);
      if (slot !== -1) generation = link.table.generations[slot];
      waited();
    };
    const { current } = link.scheduler;
    waiter = ranges.wait(
      wanted,
      (hold) => {
        waiter = undefined;
        if (hold === undefined) return end(link.fail(link.ended || REJECT_CLOSED, OPCODE_CALL, file));
        if (hold.length < needed) {
          ranges.give(hold);
          return end(Promise.reject(noRange(needed)));
        }
        range = hold;
        link.scheduler.runAs(current, () => {
          if (link.ready || link.ended !== 0) start(hold);
          else waiter = link.whenReady(() => start(hold));
        });
      },
      needed,
    );
    ranges.serve();
  });
}
