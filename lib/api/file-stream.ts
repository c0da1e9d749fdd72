// file.stream(): a file chunk by chunk in leases, with reads under way while the consumer is busy.
//
// From the page cache the ring's driver copies on this thread, whether that was asked for ahead or not: one range, which the CPU's cache keeps, is
// the fastest there. So nothing is read ahead until a read is slow, as it is from a device. On the other driver another thread copies: one read
// is ahead from the start. The range that the consumer had last is read into next.
//
// What runs once a chunk is kept small: V8 does not get to compiling it within a file of 1 GiB, and compiling costs more than such a file.

import { constants as os } from 'node:os';
import type { Link } from '../ring/link.js';
import type { Settle } from '../ring/pending.js';
import { type FileState, HELD, type Hold, IN_OPERATION, RELEASED } from '../ring/state.js';
import { OPCODE_READ } from '../wire/layout.generated.js';
import { isAborted, listen, reasonOf } from './abort.js';
import { untilSettled } from './direct.js';
import { ourError, systemError } from './errors.js';
import { type Lease, makeLease } from './lease.js';
import { operate } from './operation.js';
import { partOf, takeRangeUpTo } from './ranges.js';
import { statOf } from './stat-of.js';
import { PIECE_BYTES, ready } from './streams.js';
import { abortSignal, type Rule, whole } from './validate.js';

const CHUNK_BYTES = 1_048_576;
/** The same while less than half of the executor's memory is free, so that one stream leaves room for others. */
const CROWDED_BYTES = 262_144;
const AHEAD = 4;
/** What is read first of a file that does not say its length, such as those in /proc. */
const UNKNOWN_BYTES = 65_536;
/** What is read of a short one. */
const LEAST_BYTES = 4096;
/** A wait of less than this for each MiB is a copy out of the page cache: no more reads at once would make it shorter. */
const CACHED_MS_PER_MIB = 0.5;
/** Every fourth wait is timed. */
const TIMED = 4;
/** After so many timed waits that were short, one read less is ahead. */
const PATIENCE = 8;

/** Options of {@link File.stream}. */
export interface StreamOptions {
  /** Byte position of the first byte, 0 to 2^53 − 1. Default 0; what has no positions (pipes, terminals, sockets) is read from where it is. */
  start?: number;
  /** Byte position behind the last byte. Default: the end of the file as it is when that is reached. */
  end?: number;
  /** The most bytes of a chunk, from 1 to 67108864. Default 1048576, or 262144 while less than half of the executor's memory is free. Chunks are
   * shorter while that is short. */
  chunkBytes?: number;
  /** The most chunks that are read ahead while you have one, from 0 to 64. Default 4. More than one is only while you wait for a device, and with
   * io_uring none while the file is in the page cache. */
  readAhead?: number;
  /** Ends the stream early: the loop throws the signal's reason, and reads under way are cancelled. */
  signal?: AbortSignal;
}

/** @internal */
export const STREAM_RULES: Record<string, Rule> = {
  start: whole(0, Number.MAX_SAFE_INTEGER),
  end: whole(0, Number.MAX_SAFE_INTEGER),
  chunkBytes: whole(1, 2 ** 26),
  readAhead: whole(0, 64),
  signal: abortSignal,
};

/**
 * Ends passes that nobody can go on with: a program dropped the iterator without `return()`, and the leases that it had from it. Nothing that a
 * pass reaches may reach its token, or the token would be there for ever.
 */
const dropped = new FinalizationRegistry<ReadAhead>((reading) => reading.end());

/** One pass over a file. `owner` is kept, so that the file is not collected meanwhile. @internal */
export async function* chunksOf(
  owner: object,
  link: Link,
  file: FileState,
  options: StreamOptions,
): AsyncGenerator<Lease, void, undefined> {
  const reading = new ReadAhead(owner, link, file, options);
  // Kept by this generator and by each lease it gave out: their memory stays while a program can see it.
  const token = {};
  dropped.register(token, reading, token);
  try {
    await reading.begin();
    for (;;) {
      if (file.waits) await reading.arrival();
      const head = reading.head();
      if (head === undefined) return;
      const since = reading.timed(head) ? performance.now() : 0;
      let bytes: number;
      try {
        bytes = await head.read;
      } catch (error) {
        reading.check(); // A read that was ended early fails; why it was is better.
        throw error;
      }
      if (since !== 0) reading.took(bytes, performance.now() - since);
      reading.check();
      if (file.direct !== undefined) bytes = reading.cutOut(head, bytes);
      if (bytes < head.wanted && !(await reading.cut(head, bytes))) return;
      if (bytes > 0) yield makeLease(link, reading.show(head, bytes), token);
    }
  } finally {
    dropped.unregister(token);
    reading.end();
  }
}

/** A read under way, or done. */
interface Ahead {
  readonly hold: Hold;
  readonly position: number;
  /** Bytes from the position on that the consumer wants. */
  readonly wanted: number;
  /** Bytes in front of the position, which come since a direct file's are read by whole blocks. */
  readonly skip: number;
  readonly read: Promise<number>;
  /** Its slot, which has this generation until it is done; −1 while it may still wait for one. */
  readonly slot: number;
  readonly generation: number;
}

const ignore = (): void => {};

// One shared executor function for all promises.
let grabbed: Settle;
const grab = (resolve: (value: number) => void): void => {
  grabbed = resolve;
};

/** The reads of one pass, in order. */
class ReadAhead {
  readonly owner: object;
  readonly #link: Link;
  readonly #file: FileState;
  readonly #signal: AbortSignal | undefined;
  readonly #forget: (() => void) | undefined;
  /** The signal has aborted. */
  #aborted = false;
  /** Ends reads that wait for a slot. */
  #ending: AbortController | undefined;
  /** Where to stop; where there are no positions, so many bytes to go. */
  #end: number;
  #mostAhead: number;
  #leastAhead: number;
  #chunkBytes: number;
  /** How much is asked for where the user has not said it. */
  #crowdedBytes: number;
  /** The most of a chunk, which a direct file's range may be longer than. */
  readonly #mostBytes: number;
  /** Of the next read; −1 where there are no positions. */
  #position: number;
  /** Where the file said that it ends: nothing behind is read ahead. */
  #expectedEnd = Number.POSITIVE_INFINITY;
  /** So many are ahead now. */
  #depth: number;
  #waits = 0;
  /** Short waits since the last long one, of those that were timed, and long ones since the last short one. */
  #short = 0;
  #long = 0;
  readonly #ahead: Ahead[] = [];
  /** Ranges that nobody uses, the warmest last. */
  readonly #spare: Hold[] = [];
  /** What the consumer has: the range, and the part of it that was shown. */
  #out: Hold | undefined;
  #shown: Hold | undefined;

  constructor(owner: object, link: Link, file: FileState, options: StreamOptions) {
    this.owner = owner;
    this.#link = link;
    this.#file = file;
    this.#signal = options.signal;
    this.#position = options.start ?? -1;
    this.#end = options.end ?? Number.POSITIVE_INFINITY;
    this.#chunkBytes = options.chunkBytes ?? CHUNK_BYTES;
    this.#crowdedBytes = options.chunkBytes ?? CROWDED_BYTES;
    this.#mostBytes = this.#chunkBytes;
    this.#mostAhead = options.readAhead ?? AHEAD;
    this.#leastAhead = link.native.driver === 'uring' && file.direct === undefined ? 0 : Math.min(1, this.#mostAhead);
    this.#depth = this.#leastAhead;
    this.#aborted = isAborted(this.#signal);
    this.#forget = listen(this.#signal, () => {
      this.#aborted = true;
      this.#cancel();
    });
  }

  /** Looks whether the file has positions, and how long it is. */
  async begin(): Promise<void> {
    this.check();
    const { direct } = this.#file;
    if (direct !== undefined && !direct.readable) throw systemError(-os.errno.EBADF, 'read', this.#file.path);
    if (direct !== undefined) await untilSettled(this.#link, direct);
    const found = await statOf(this.#link, this.#file);
    if (!found.seeks) {
      if (this.#position !== -1) throw systemError(-os.errno.ESPIPE, 'read', this.#file.path);
      this.#mostAhead = 0;
      this.#leastAhead = 0;
      this.#depth = 0;
      if (this.#file.waits) this.#chunkBytes = Math.min(this.#chunkBytes, PIECE_BYTES);
      return;
    }
    if (this.#position === -1) this.#position = 0;
    if (direct !== undefined) {
      // Whole blocks, in memory that begins with a page.
      this.#chunkBytes = Math.max(LEAST_BYTES, direct.up(this.#chunkBytes));
      this.#crowdedBytes = Math.max(LEAST_BYTES, direct.up(this.#crowdedBytes));
    }
    if (found.device) return;
    this.#expectedEnd = found.size;
    const needed = found.size === 0 ? UNKNOWN_BYTES : Math.max(LEAST_BYTES, found.size - this.#position);
    this.#chunkBytes = Math.min(this.#chunkBytes, direct === undefined ? needed : direct.up(needed));
  }

  /** Waits until a stream has something, without memory; what the consumer had goes back to the arena. */
  async arrival(): Promise<void> {
    this.#takeBack();
    for (const hold of this.#spare.splice(0)) this.#link.release(hold);
    if (this.#end <= 0) return;
    this.check();
    this.#ending ??= new AbortController();
    try {
      await ready(this.#link, OPCODE_READ, this.#file, this.#ending.signal);
    } catch (error) {
      this.check();
      throw error;
    }
  }

  /** The next read; what the consumer had is taken back. Undefined at the end. */
  head(): Ahead | undefined {
    this.#takeBack();
    this.check();
    this.#fill(Math.max(1, this.#depth));
    return this.#ahead[0];
  }

  /** Whether the wait for this one is to be timed: after a long one the next is, too. */
  timed(head: Ahead): boolean {
    if (this.#waits++ % TIMED !== 0 && this.#long === 0) return false;
    if (!this.#done(head)) return true;
    this.#long = 0;
    if (++this.#short >= PATIENCE && this.#depth > 1) this.#lessAhead();
    return false;
  }

  /** Learns from how long a wait was. A long one after another is a device; one alone may be another process that had the CPU. */
  took(bytes: number, ms: number): void {
    if (ms > (CACHED_MS_PER_MIB * Math.max(bytes, 65_536)) / 1_048_576) {
      this.#short = 0;
      if (++this.#long > 1 && this.#depth < this.#mostAhead) this.#depth++;
      return;
    }
    this.#long = 0;
    if (++this.#short >= PATIENCE && this.#depth > this.#leastAhead) this.#lessAhead();
  }

  /** Of what a read of whole blocks has brought, the part that is wanted. A chunk's bytes begin where its lease does, so they are moved there. */
  cutOut({ hold, wanted, skip }: Ahead, read: number): number {
    const bytes = Math.min(wanted, Math.max(0, read - skip));
    if (skip > 0 && bytes > 0) hold.bytes.copyWithin(0, skip, skip + bytes);
    return bytes;
  }

  /** A read brought less than was asked for: those behind it are of no use. False at the end. */
  async cut({ hold, position }: Ahead, bytes: number): Promise<boolean> {
    if (position === -1) return bytes > 0;
    const grown = await this.#drop();
    this.#position = position + bytes;
    if (bytes > 0) return true;
    this.#ahead.shift();
    this.#spare.push(hold);
    // Reads behind it that found something know of a file that grew: those bytes are read again, in order.
    return grown;
  }

  /** Shows what a read has brought, and reads on. */
  show({ hold }: Ahead, bytes: number): Hold {
    this.#ahead.shift();
    const part = partOf(hold, bytes);
    if (this.#position === -1) this.#end -= bytes;
    this.#out = hold;
    this.#shown = part;
    if (this.#depth > 0) this.#fill(this.#depth);
    return part;
  }

  /** Ends what is under way, and gives all memory back, now or when the kernel has let go of it. */
  end(): void {
    this.#forget?.();
    this.#takeBack();
    this.#cancel();
    for (const { hold } of this.#ahead.splice(0)) this.#link.release(hold);
    for (const hold of this.#spare.splice(0)) this.#link.release(hold);
  }

  check(): void {
    if (this.#aborted) throw reasonOf(this.#signal);
    if (!this.#link.open) throw ourError('ERR_RINGWHEEL_CLOSED', 'file.stream: the executor was closed');
    if (!this.#file.open) throw ourError('ERR_RINGWHEEL_CLOSED', 'file.stream: the file was closed');
  }

  /** Has so many reads under way, as far as there is memory; where there is none at all, that is an error. */
  #fill(depth: number): void {
    while (this.#ahead.length < depth) {
      const first = this.#ahead.length === 0 && this.#out === undefined;
      const left = this.#end - Math.max(0, this.#position);
      if (left <= 0 || (!first && this.#position >= this.#expectedEnd)) return;
      const hold = this.#spare.pop() ?? this.#range();
      if (hold === undefined) {
        if (!first) return;
        const message =
          'file.stream: not even 4096 bytes are free for a chunk. Release leases, or start the executor with a larger `memory`';
        throw ourError('ERR_RINGWHEEL_NO_MEMORY', message);
      }
      this.#read(hold, left);
    }
  }

  /** Another range, as long as there is room for. */
  #range(): Hold | undefined {
    const bytes = this.#chunkBytes;
    const least = Math.max(LEAST_BYTES, this.#file.direct?.alignment ?? 0);
    if (bytes <= this.#crowdedBytes) return takeRangeUpTo(this.#link, bytes, least);
    const { arenaBytes, arenaFreeBytes } = this.#link.native.stats();
    return takeRangeUpTo(this.#link, arenaFreeBytes - bytes < arenaBytes / 2 ? this.#crowdedBytes : bytes, least);
  }

  /** Reads on, at most `left` bytes. */
  #read(hold: Hold, left: number): void {
    const { direct } = this.#file;
    const position = this.#position;
    if (direct === undefined) {
      const wanted = Math.min(left, hold.length);
      this.#readInto(hold, position, wanted, position, wanted, 0);
      return;
    }
    const start = direct.down(position);
    const skip = position - start;
    const wanted = Math.min(left, direct.down(hold.length) - skip, this.#mostBytes);
    this.#readInto(hold, start, direct.up(skip + wanted), position, wanted, skip);
  }

  #readInto(hold: Hold, start: number, length: number, position: number, wanted: number, skip: number): void {
    const link = this.#link;
    let read: Promise<number>;
    let slot = -1;
    let generation = 0;
    if (link.ready && link.ended === 0) {
      // Without a closure, and without a listener on a signal, which would be 10 µs: `#cancel` names the slot.
      read = new Promise<number>(grab);
      slot = link.begin(OPCODE_READ, grabbed, this.#file, hold, undefined, length, start);
      generation = link.table.generations[slot];
    } else {
      this.#ending ??= new AbortController();
      read = operate(link, OPCODE_READ, this.#file, hold, length, start, this.#ending.signal);
    }
    read.catch(ignore); // It may fail while nobody waits for it.
    this.#ahead.push({ hold, position, wanted, skip, read, slot, generation });
    if (position !== -1) this.#position = position + wanted;
  }

  #done({ slot, generation }: Ahead): boolean {
    return slot !== -1 && this.#link.table.generations[slot] !== generation;
  }

  #lessAhead(): void {
    this.#depth--;
    this.#short = 0;
  }

  /** Asks the kernel to end the reads under way. */
  #cancel(): void {
    for (const { slot, generation } of this.#ahead) if (slot !== -1) this.#link.cancel(slot, generation);
    this.#ending?.abort();
  }

  /** Drops what was read behind the first. True when there was anything. */
  async #drop(): Promise<boolean> {
    let any = false;
    for (const { hold, read, skip } of this.#ahead.splice(1)) {
      const bytes = await read.catch(() => 0);
      any ||= bytes > skip;
      if (hold.state === HELD) this.#spare.push(hold);
    }
    return any;
  }

  /** The consumer asks for the next: what it had is ours again, unless an operation of its has it, or it gave it away. */
  #takeBack(): void {
    const hold = this.#out;
    const part = this.#shown;
    if (hold === undefined || part === undefined) return;
    this.#out = undefined;
    if (part.state === IN_OPERATION) {
      part.releaseLater = true; // It goes back to the arena when that operation ends.
    } else if (part.state === HELD && !part.releaseLater) {
      part.state = RELEASED;
      this.#spare.push(hold);
    }
  }
}
