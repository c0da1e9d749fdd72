// file.stream(): a file chunk by chunk in leases, with reads under way while the consumer is busy.
//
// Two ranges in turn are as good as many while the file is in the page cache, and better for the CPU's caches; so one read is ahead, and
// more only while the consumer has to wait for a device. The range that the consumer had last is read into next.

import { constants } from 'node:fs';
import { constants as os } from 'node:os';
import type { Link } from '../ring/link.js';
import { type FileState, HELD, type Hold, IN_OPERATION, RELEASED } from '../ring/state.js';
import { OPCODE_READ } from '../wire/layout.generated.js';
import { isAborted, listen, reasonOf } from './abort.js';
import { fstat } from './call.js';
import { ourError, systemError } from './errors.js';
import { type Lease, makeLease } from './lease.js';
import { operate } from './operation.js';
import { partOf, takeRangeUpTo } from './ranges.js';
import { abortSignal, type Rule, whole } from './validate.js';

const { S_IFBLK, S_IFMT, S_IFREG } = constants;
const CHUNK_BYTES = 262_144;
const AHEAD = 4;
/** What is read first of a file that does not say its length, such as those in /proc. */
const UNKNOWN_BYTES = 65_536;
/** What is read of a short one. */
const LEAST_BYTES = 4096;
/** A wait of less than this for each MiB is a copy out of the page cache: no more reads at once would make it shorter. */
const CACHED_MS_PER_MIB = 0.5;
/** After so many chunks without a wait, one read less is ahead. */
const PATIENCE = 32;

/** Options of {@link File.stream}. */
export interface StreamOptions {
  /** Byte position of the first byte, 0 to 2^53 − 1. Default 0; what has no positions (pipes, terminals, sockets) is read from where it is. */
  start?: number;
  /** Byte position behind the last byte. Default: the end of the file as it is when that is reached. */
  end?: number;
  /** The most bytes of a chunk, from 1 to 67108864. Default 262144. Chunks are shorter while the executor's memory is short. */
  chunkBytes?: number;
  /** The most chunks that are read ahead while you have one, from 0 to 64. Default 4. One is, and more only while you wait for a device. */
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

/** One pass over a file. `owner` is kept, so that the file is not collected meanwhile. @internal */
export async function* chunksOf(
  owner: object,
  link: Link,
  file: FileState,
  options: StreamOptions,
): AsyncGenerator<Lease, void, undefined> {
  const reading = new ReadAhead(owner, link, file, options);
  try {
    await reading.begin();
    for (let hold = await reading.next(); hold !== undefined; hold = await reading.next()) {
      yield makeLease(link, hold);
    }
  } finally {
    reading.end();
  }
}

/** A read under way, or done. */
interface Ahead {
  readonly hold: Hold;
  readonly position: number;
  readonly wanted: number;
  readonly read: Promise<number>;
  done: boolean;
}

/** The reads of one pass, in order. */
class ReadAhead {
  readonly owner: object;
  readonly #link: Link;
  readonly #file: FileState;
  readonly #signal: AbortSignal | undefined;
  /** Ends the reads under way: the user's signal does, and a loop that is left. */
  readonly #ending = new AbortController();
  readonly #forget: (() => void) | undefined;
  readonly #end: number;
  readonly #mostAhead: number;
  #chunkBytes: number;
  /** Of the next read; −1 where there are no positions. */
  #position: number;
  /** Where the file said that it ends: nothing behind is read ahead. */
  #expectedEnd = Number.POSITIVE_INFINITY;
  #depth: number;
  #unwaited = 0;
  readonly #ahead: Ahead[] = [];
  /** Ranges that nobody uses, the warmest last. */
  readonly #spare: Hold[] = [];
  /** What the consumer has: the range, and the part of it that was shown. */
  #out: { hold: Hold; part: Hold } | undefined;

  constructor(owner: object, link: Link, file: FileState, options: StreamOptions) {
    this.owner = owner;
    this.#link = link;
    this.#file = file;
    this.#signal = options.signal;
    this.#position = options.start ?? -1;
    this.#end = options.end ?? Number.POSITIVE_INFINITY;
    this.#chunkBytes = options.chunkBytes ?? CHUNK_BYTES;
    this.#mostAhead = options.readAhead ?? AHEAD;
    this.#depth = Math.min(1, this.#mostAhead);
    this.#forget = listen(this.#signal, () => this.#ending.abort(reasonOf(this.#signal)));
  }

  /** Looks whether the file has positions, and how long it is. */
  async begin(): Promise<void> {
    this.#check();
    const found = await fstat(this.#link, this.#file, ({ mode, size }) => ({ kind: mode & S_IFMT, size }));
    if (typeof found === 'number') throw systemError(found, 'fstat', this.#file.path);
    if (found.kind !== S_IFREG && found.kind !== S_IFBLK) {
      if (this.#position !== -1) throw systemError(-os.errno.ESPIPE, 'read', this.#file.path);
      this.#depth = 0;
      return;
    }
    if (this.#position === -1) this.#position = 0;
    if (found.kind === S_IFBLK) return;
    this.#expectedEnd = found.size;
    const needed = found.size === 0 ? UNKNOWN_BYTES : Math.max(LEAST_BYTES, found.size - this.#position);
    this.#chunkBytes = Math.min(this.#chunkBytes, needed);
  }

  /** The next chunk; what the consumer had is taken back. Undefined at the end. */
  async next(): Promise<Hold | undefined> {
    this.#takeBack();
    for (;;) {
      this.#check();
      this.#fill(Math.max(1, this.#depth));
      const head = this.#ahead[0];
      if (head === undefined) return undefined;
      const bytes = await this.#wait(head);
      this.#check();
      this.#ahead.shift();
      const { hold, position, wanted } = head;
      if (bytes === 0) {
        this.#spare.push(hold);
        // Reads behind it that found something know of a file that grew: those bytes are read again, in order.
        if (position === -1 || !(await this.#drop())) return undefined;
        this.#position = position;
        continue;
      }
      if (position !== -1 && bytes < wanted) {
        await this.#drop();
        this.#position = position + bytes;
      }
      const part = partOf(hold, bytes);
      this.#out = { hold, part };
      this.#fill(this.#depth);
      return part;
    }
  }

  /** Ends what is under way, and gives all memory back, now or when the kernel has let go of it. */
  end(): void {
    this.#forget?.();
    this.#takeBack();
    const ahead = this.#ahead.splice(0);
    if (ahead.some(({ done }) => !done)) this.#ending.abort();
    for (const { hold } of ahead) this.#link.release(hold);
    for (const hold of this.#spare.splice(0)) this.#link.release(hold);
  }

  #check(): void {
    if (isAborted(this.#signal)) throw reasonOf(this.#signal);
    if (!this.#link.open) throw ourError('ERR_RINGWHEEL_CLOSED', 'file.stream: the executor was closed');
    if (!this.#file.open) throw ourError('ERR_RINGWHEEL_CLOSED', 'file.stream: the file was closed');
  }

  /** Has so many reads under way, as far as there is memory; where there is none at all, that is an error. */
  #fill(depth: number): void {
    while (this.#ahead.length < depth) {
      const first = this.#ahead.length === 0 && this.#out === undefined;
      const left = this.#end - Math.max(0, this.#position);
      if (left <= 0 || (!first && this.#position >= this.#expectedEnd)) return;
      const hold = this.#spare.pop() ?? takeRangeUpTo(this.#link, this.#chunkBytes);
      if (hold === undefined) {
        if (!first) return;
        const message =
          'file.stream: not even 4096 bytes are free for a chunk. Release leases, or start the executor with a larger `memory`';
        throw ourError('ERR_RINGWHEEL_NO_MEMORY', message);
      }
      this.#read(hold, Math.min(left, hold.length));
    }
  }

  #read(hold: Hold, wanted: number): void {
    const position = this.#position;
    const read = operate(this.#link, OPCODE_READ, this.#file, hold, wanted, position, this.#ending.signal);
    const ahead: Ahead = { hold, position, wanted, read, done: false };
    const done = () => {
      ahead.done = true;
    };
    read.then(done, done);
    this.#ahead.push(ahead);
    if (position !== -1) this.#position = position + wanted;
  }

  /** Waits for a read, and learns from how long that took. */
  async #wait(head: Ahead): Promise<number> {
    if (head.done) {
      if (++this.#unwaited >= PATIENCE && this.#depth > 1) {
        this.#depth--;
        this.#unwaited = 0;
      }
      return head.read;
    }
    this.#unwaited = 0;
    const before = performance.now();
    const bytes = await head.read;
    const slow = performance.now() - before > (CACHED_MS_PER_MIB * Math.max(bytes, 65_536)) / 1_048_576;
    if (slow && this.#depth > 0 && this.#depth < this.#mostAhead) this.#depth++;
    return bytes;
  }

  /** Drops what was read ahead. True when there was anything. */
  async #drop(): Promise<boolean> {
    let any = false;
    for (const { hold, read } of this.#ahead.splice(0)) {
      const bytes = await read.catch(() => 0);
      any ||= bytes > 0;
      if (hold.state === HELD) this.#spare.push(hold);
    }
    return any;
  }

  /** The consumer asks for the next: what it had is ours again, unless an operation of its has it, or it gave it away. */
  #takeBack(): void {
    const out = this.#out;
    if (out === undefined) return;
    this.#out = undefined;
    const { hold, part } = out;
    if (part.state === IN_OPERATION) {
      part.releaseLater = true; // It goes back to the arena when that operation ends.
    } else if (part.state === HELD && !part.releaseLater) {
      part.state = RELEASED;
      this.#spare.push(hold);
    }
  }
}
