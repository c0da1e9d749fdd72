// What is behind a SequentialWriter: chunks that are filled one after the other, and written while the next one is filled.
//
//   bytes → wait for their turn → chunk → in flight, at most `writeBehind` → flushed
//   a long array, with nothing before it → written from where it is ────────→ flushed
//   lease → wait for its turn ──────────→ in flight, as it is
//
// Who waits is served whenever a write has ended. The first error is everybody's from then on.

import { constants as os } from 'node:os';
import { copied, lengthOf, partOfArray } from '../ring/bytes.js';
import { Fifo } from '../ring/fifo.js';
import { BUFFER_GONE, type Link } from '../ring/link.js';
import { type FileState, type Hold, IN_OPERATION, NO_HOLD } from '../ring/state.js';
import type { Unwritten } from '../ring/unwritten.js';
import { OPCODE_DATASYNC, OPCODE_WRITE, WRITE_ELSEWHERE, WRITE_NEXT_TURN } from '../wire/layout.generated.js';
import { listen } from './abort.js';
import { completionError, quoted, systemError } from './errors.js';
import { operate } from './operation.js';
import { partOf, takeRangeUpTo } from './ranges.js';
import { statOf } from './stat-of.js';
import { moveInRanges, moveLease, NOW_BYTES } from './transfer.js';

const { EINVAL, EIO, ESPIPE } = os.errno;

/** What a chunk has at first; one that was filled makes the next twice as long, so that who flushes often takes little memory. */
const FIRST_BYTES = 65_536;
/** What a pipe takes at once: the rest of a longer write would have to be copied once more. */
const PIPE_BYTES = 65_536;
const PAGE = 4096;
/** Chunks after which it is asked again whether a long array may be written from where it is. */
const DETOUR = 16;
/** Of a long array: not yet. */
const LATER = -1;

/** @internal */
export interface WriteBehindLimits {
  readonly chunkBytes: number;
  readonly writeBehind: number;
  /** Undefined: 0, or where the file is when it has no positions or appends. */
  readonly position?: number | undefined;
}

/** What is filled. */
interface Chunk {
  readonly hold: Hold;
  readonly position: number;
  /** Bytes that it has in all, and so far. */
  readonly size: number;
  used: number;
}

/** A write under way. */
interface Write {
  readonly position: number;
  readonly length: number;
  done: number;
}

/** The first error, in a box since it may be any value. */
interface Failed {
  readonly error: unknown;
}

/** Is told when a write has ended, and whether there was an error, of this write or an earlier one. */
type Ended = (failed: Failed | undefined) => void;

/** One who waits until all bytes before `mark` are flushed. */
interface FlushWaiter {
  readonly mark: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** See the file's head. @internal */
export class WriteBehind implements Unwritten {
  /** Where the next byte goes. */
  position: number;
  /** All bytes before are in the kernel's hands, and on the device. */
  flushed: number;
  synced: number;
  failed: Failed | undefined;
  /** Somebody was told of it. */
  told = false;
  /** Is told the first error when it comes. */
  onError: ((error: unknown) => void) | undefined;
  readonly #link: Link;
  readonly #limits: WriteBehindLimits;
  /** Ends the writes under way. */
  readonly #ending = new AbortController();
  #prepared = false;
  /** Writes that the kernel may have at once; 0 until it is known what the file is. */
  #most = 0;
  #hasPositions = true;
  #chunkBytes: number;
  #nextBytes: number;
  #chunk: Chunk | undefined;
  readonly #spare: Hold[] = [];
  /** In the order of their positions. */
  readonly #writes: Write[] = [];
  #inFlight = 0;
  /** A long array waits for the loop's next turn. */
  #postponed = false;
  /** Chunks to go until {@link DETOUR} is over. */
  #detour = 0;
  readonly #turns = new Fifo();
  readonly #flushing: FlushWaiter[] = [];
  /** Closes wait for it. */
  #busy = false;
  readonly #whenIdle: (() => void)[] = [];

  /** `owner` is kept, so that the file is not collected meanwhile. */
  constructor(
    readonly owner: object,
    link: Link,
    readonly file: FileState,
    limits: WriteBehindLimits,
  ) {
    this.#link = link;
    this.#limits = limits;
    this.position = this.flushed = this.synced = limits.position ?? 0;
    this.#chunkBytes = limits.chunkBytes;
    this.#nextBytes = Math.min(FIRST_BYTES, limits.chunkBytes);
    // Somebody listens all the time: with the first of several operations a listener is added to the signal, and with the last taken away, 10 µs.
    listen(this.#ending.signal, () => {});
  }

  /** Takes bytes: now if there is room for them, else piece by piece when it is their turn. The lease that they are in, if it is one, is lent until then. */
  writeBytes(bytes: Uint8Array, lease?: Hold): Promise<void> {
    if (this.failed !== undefined) return this.#refusal();
    const length = lengthOf(bytes);
    let done = this.#turns.empty ? this.#take(bytes, 0, length) : 0;
    if (this.failed !== undefined) return this.#refusal();
    if (done === length) return Promise.resolve();
    if (lease !== undefined) lease.state = IN_OPERATION;
    return new Promise((resolve, refuse) => {
      const handBack = (): void => {
        if (lease !== undefined) this.#link.handBack(lease);
      };
      const taken = this.#link.backToQueue(() => resolve());
      const settle = (): void => {
        handBack();
        taken();
      };
      const reject = (error: unknown): void => {
        handBack();
        refuse(error);
      };
      const go = (): boolean => {
        done = this.#take(bytes, done, length);
        if (done === length) settle();
        else if (!this.#stuck) return false;
        // Not a page is free: range after range of those that copies have, in order with them.
        else this.#writeOutside(undefined, bytes, done, length, (failed) => (failed ? this.#refuse(reject) : settle()));
        return true;
      };
      this.#wait(go, reject);
    });
  }

  /** Writes a lease's range as it is; it is lent until the promise settles. */
  writeLease(hold: Hold): Promise<void> {
    if (this.failed !== undefined) return this.#refusal();
    hold.state = IN_OPERATION;
    return new Promise((resolve, reject) => {
      const settle = this.#link.backToQueue(() => resolve());
      const ended: Ended = (failed) => {
        this.#link.handBack(hold);
        if (failed === undefined) settle();
        else this.#refuse(reject);
      };
      const go = (): boolean => {
        this.#prepare();
        if (!this.#sendChunk() || this.#inFlight >= this.#most) return false;
        // A second hold: between the operations of a write that goes on, the lease stays lent.
        this.#writeOutside(partOf(hold, hold.length), hold.bytes, 0, hold.length, ended);
        return true;
      };
      this.#wait(go, (error) => ended({ error }));
    });
  }

  /** Resolves with the flushed position, once all bytes that were given before are in the kernel's hands. */
  flush(): Promise<number> {
    if (this.failed !== undefined) return this.#refusal();
    if (this.#turns.empty && this.flushed === this.position) return Promise.resolve(this.flushed);
    return new Promise((resolve, reject) => {
      const settle = this.#link.backToQueue(() => resolve(this.flushed));
      const go = (): boolean => {
        if (!this.#sendChunk()) return false;
        if (this.flushed === this.position) settle();
        else this.#flushing.push({ mark: this.position, resolve: settle, reject });
        return true;
      };
      this.#wait(go, reject);
    });
  }

  /** The same, and then on the device. */
  async sync(): Promise<number> {
    const flushed = await this.flush();
    if (this.failed !== undefined) return this.#refusal();
    try {
      await operate(this.#link, OPCODE_DATASYNC, this.file, NO_HOLD, 0, 0, this.#ending.signal);
    } catch (error) {
      // What cannot be synced, such as a pipe, has lost nothing. After any other error nobody knows what is on the device.
      if ((error as { errno?: number }).errno === -EINVAL) throw error;
      this.#fail(error);
      return this.#refusal();
    }
    this.synced = Math.max(this.synced, flushed);
    return this.synced;
  }

  /** For a close: writes what there is; rejects with an error that nobody was told. */
  async drain(): Promise<void> {
    if (this.failed === undefined) await this.flush();
    else if (!this.told) await this.#refusal();
  }

  /** For when nobody is there to be told. */
  drainUnheard(): void {
    this.drain().catch((error) => {
      process.emitWarning(`Bytes that a SequentialWriter of ${quoted(this.file.path)} had taken were lost: ${error}`, {
        type: 'RingwheelWarning',
        code: 'RINGWHEEL_WRITE_LOST',
        detail: `Await writer.close() before the executor's. Up to byte ${this.flushed} all are written.`,
      });
    });
  }

  /** Gives up: what no command carries is dropped, what is under way is asked to end, who waits gets `error`. */
  destroy(error: unknown): void {
    if (this.failed !== undefined) return;
    this.told = true;
    this.#fail(error);
    this.#ending.abort(error);
  }

  /** Resolves when nothing is under way any more. */
  idle(): Promise<void> {
    return new Promise((resolve) => (this.#busy ? this.#whenIdle.push(resolve) : resolve()));
  }

  #refusal(): Promise<never> {
    return new Promise((_, reject) => this.#refuse(reject));
  }

  /** Tells somebody of the error. */
  #refuse(reject: (error: unknown) => void): void {
    this.told = true;
    this.#link.unwritten.delete(this);
    reject(this.failed?.error);
  }

  /** Lets `go` have its turns until it returns true. */
  #wait(go: () => boolean, refuse: (error: unknown) => void): void {
    const waiter = this.#turns.push(() => {
      if (this.failed !== undefined) refuse(this.failed.error);
      else waiter.wanted = !go();
    });
    if (this.#turns.first === waiter) this.#serve();
    else this.#count();
  }

  /** Lets those who wait go, as far as there is room; sends a chunk that is full. */
  #serve(): void {
    for (let first = this.#turns.first; first !== undefined; first = this.#turns.first) {
      first.run();
      if (first.wanted) break;
    }
    if (this.#chunk?.used === this.#chunk?.size) this.#sendChunk();
    if (this.#inFlight === 0 && this.#chunk === undefined) {
      for (const hold of this.#spare.splice(0)) this.#link.release(hold);
    }
    this.#count();
  }

  /** Closes, of the file and of the executor, wait for who waits here, and for the rest of a write that came back half done. */
  #count(): void {
    const busy = !this.#turns.empty || this.#inFlight > 0;
    if (busy === this.#busy) return;
    this.#busy = busy;
    if (busy) this.#link.enter(this.file);
    else {
      this.#link.leave(this.file);
      for (const then of this.#whenIdle.splice(0)) then();
    }
  }

  /** Finds out, once, what the file is: who has no positions is written to by one command at a time. */
  #prepare(): void {
    if (this.#prepared) return;
    this.#prepared = true;
    this.#look().then(
      () => this.#serve(),
      (error) => {
        this.#fail(error);
        this.#serve();
      },
    );
  }

  async #look(): Promise<void> {
    const { file } = this;
    const { seeks } = await statOf(this.#link, file);
    if (!seeks && this.#limits.position !== undefined) throw systemError(-ESPIPE, 'write', file.path);
    if (!seeks) this.#chunkBytes = Math.min(this.#chunkBytes, PIPE_BYTES);
    this.#hasPositions = seeks && !file.appends;
    this.#most = this.#hasPositions ? this.#limits.writeBehind : 1;
  }

  /** Copies from `done` on into chunks as far as there is room, and returns how far. */
  #take(bytes: Uint8Array, done: number, length: number): number {
    while (done < length) {
      this.#prepare();
      const count = this.#writeNow(bytes, done, length);
      if (count === LATER) {
        // A close comes after it.
        if (this.failed === undefined) this.#link.unwritten.add(this);
        return done;
      }
      if (count > 0) {
        done += count;
        continue;
      }
      const gone = lengthOf(bytes) < length;
      const chunk = gone ? undefined : this.#room(length - done);
      if (!gone && chunk === undefined) return done;
      const fits = chunk === undefined ? 0 : Math.min(chunk.size - chunk.used, length - done);
      if (chunk === undefined || !copied(chunk.hold.bytes, chunk.used, bytes, done, fits)) {
        this.#fail(completionError(BUFFER_GONE, OPCODE_WRITE, this.file.path));
        return done;
      }
      chunk.used += fits;
      done += fits;
      this.position += fits;
      this.#link.unwritten.add(this);
      if (chunk.used === chunk.size) this.#sendChunk();
    }
    return done;
  }

  /**
   * Writes a long array from where it is, once everything before it is written. Returns how many bytes: 0 when it is for chunks, {@link LATER} when it
   * has to wait.
   */
  #writeNow(bytes: Uint8Array, done: number, length: number): number {
    const { file } = this;
    if (length < NOW_BYTES || this.#detour > 0 || !file.writesNow || file.direct !== undefined) return 0;
    if (this.#most === 0 || this.#postponed || !this.#sendChunk() || this.#inFlight > 0) return LATER;
    // At the file's end others in flight come first.
    if (!this.#hasPositions && file.inFlight > (this.#busy ? 1 : 0)) return 0;
    const count = this.#link.writeNow(file, bytes, done, length, this.#hasPositions ? this.position : -1);
    if (count > 0) {
      this.position += count;
      this.flushed = this.position;
      this.#link.unwritten.delete(this);
      return count;
    }
    if (count === WRITE_NEXT_TURN) {
      this.#postponed = true;
      this.#link.nextTurn().then(() => {
        this.#postponed = false;
        this.#serve();
      });
      return LATER;
    }
    if (count === WRITE_ELSEWHERE) {
      this.#detour = DETOUR;
      return 0;
    }
    this.#fail(completionError(count, OPCODE_WRITE, file.path));
    return LATER;
  }

  /** A chunk that is not full. Undefined when there is none before a write has ended, or no memory. */
  #room(bytes: number): Chunk | undefined {
    const last = this.#chunk;
    if (last !== undefined && last.used < last.size) return last;
    if (!this.#sendChunk()) return undefined;
    const wanted = Math.min(this.#chunkBytes, Math.max(this.#nextBytes, Math.ceil(bytes / PAGE) * PAGE));
    let hold = this.#spare.pop();
    if (hold !== undefined && hold.length < wanted) {
      this.#link.release(hold);
      hold = undefined;
    }
    hold ??= takeRangeUpTo(this.#link, wanted);
    this.#chunk = hold && { hold, position: this.position, size: hold.length, used: 0 };
    return this.#chunk;
  }

  /** No memory for a chunk, and no write that would bring some. */
  get #stuck(): boolean {
    return (
      this.failed === undefined &&
      !this.#postponed &&
      this.#chunk === undefined &&
      this.#inFlight === 0 &&
      this.#most > 0
    );
  }

  /** Sends the chunk, full or not. False when it has to wait. */
  #sendChunk(): boolean {
    const chunk = this.#chunk;
    if (chunk === undefined) return true;
    if (this.#inFlight >= this.#most) return false;
    this.#chunk = undefined;
    if (this.#detour > 0) this.#detour--;
    const { hold, size, used, position } = chunk;
    this.#nextBytes = Math.min(this.#chunkBytes, used === size ? Math.max(2 * used, this.#nextBytes) : FIRST_BYTES);
    this.#write({ position, length: used, done: 0 }, hold, hold.bytes, (failed) => {
      if (failed === undefined) this.#spare.push(hold);
      else this.#link.release(hold);
    });
    return true;
  }

  /** Sends bytes that are in no chunk. */
  #writeOutside(hold: Hold | undefined, bytes: Uint8Array, from: number, length: number, ended: Ended): void {
    const { position } = this;
    this.position += length - from;
    this.#link.unwritten.add(this);
    const rest = from === 0 ? bytes : partOfArray(bytes, from, length);
    this.#write({ position, length: length - from, done: 0 }, hold, rest, ended);
  }

  #write(write: Write, hold: Hold | undefined, bytes: Uint8Array, ended: Ended): void {
    this.#writes.push(write);
    this.#inFlight++;
    this.#count();
    const settle = (): void => {
      this.#inFlight--;
      ended(this.failed);
      this.#serve();
    };
    this.#move(write, hold, bytes).then(settle, (error) => {
      this.#fail(error);
      settle();
    });
  }

  /** Writes to the end: what a short write leaves goes on from there. */
  async #move(write: Write, hold: Hold | undefined, bytes: Uint8Array): Promise<void> {
    const { file } = this;
    const link = this.#link;
    const { signal } = this.#ending;
    const next = () => (this.#hasPositions ? write.position + write.done : -1);
    if (hold !== undefined) {
      this.#moved(write, await moveLease(link, OPCODE_WRITE, file, hold, write.length, next(), signal));
    }
    while (write.done < write.length) {
      const rest = write.done === 0 ? bytes : partOfArray(bytes, write.done, write.length);
      const length = write.length - write.done;
      this.#moved(write, await moveInRanges(link, OPCODE_WRITE, file, rest, length, next(), signal));
    }
  }

  #moved(write: Write, count: number): void {
    if (count === 0) throw systemError(-EIO, 'write', this.file.path);
    write.done += count;
    for (let first = this.#writes[0]; first !== undefined; first = this.#writes[0]) {
      this.flushed = first.position + first.done;
      if (first.done < first.length) break;
      this.#writes.shift();
    }
    if (this.failed !== undefined) return;
    while (this.#flushing.length > 0 && (this.#flushing[0] as FlushWaiter).mark <= this.flushed) {
      this.#flushing.shift()?.resolve();
    }
    if (this.flushed === this.position) this.#link.unwritten.delete(this);
  }

  /** The first error is that of all who wait and of all later calls. */
  #fail(error: unknown): void {
    if (this.failed !== undefined) return;
    this.failed = { error };
    this.told ||= !this.#turns.empty || this.#flushing.length > 0;
    const chunk = this.#chunk;
    this.#chunk = undefined;
    if (chunk !== undefined) this.#link.release(chunk.hold);
    while (!this.#turns.empty) this.#turns.runFirst();
    for (const { reject } of this.#flushing.splice(0)) reject(error);
    const { onError } = this;
    this.told ||= onError !== undefined;
    if (this.told) this.#link.unwritten.delete(this);
    else this.#link.unwritten.add(this);
    onError?.(error);
  }
}
