// class Channel: two ports that two threads send each other messages through, in memory that both have. No structured clone.
import { types } from 'node:util';
import { deserialize, serialize } from 'node:v8';
import { lengthOf } from '../ring/bytes.js';
import {
  BYTES,
  CAPACITY_MAX,
  CAPACITY_MIN,
  type ChannelEnd,
  CORRUPT,
  kindOf,
  makeMemory,
  NOTHING,
  NUMBERS,
  openEnd,
  recordBytes,
  VALUES,
  wrongMemory,
} from '../ring/channel-ring.js';
import { guarded, throwLater } from '../ring/guard.js';
import type { Link } from '../ring/link.js';
import { binding } from '../wire/binding.js';
import { isAborted, listen, reasonOf } from './abort.js';
import { ourError } from './errors.js';
import { currentLink } from './executor.js';
import { checkWork } from './semaphore.js';
import { abortSignal, checked, oneOf, powerOfTwo, shown } from './validate.js';

/** Options of {@link Channel.pair}. */
export interface ChannelOptions {
  /**
   * How much may be on the way in each direction: for `numbers` that many messages (default 1024), else bytes (default
   * 1048576), of which a message takes its length and up to 15 more. A power of two from 64 to 268435456.
   */
  capacity?: number;
  /**
   * What the messages are: `bytes` (Uint8Array), `numbers`, or `values`, which is whatever `v8.serialize` takes. Default `values`.
   */
  kind?: 'bytes' | 'numbers' | 'values';
}

/** Options of {@link ChannelPort.send} and {@link ChannelPort.receive}. */
export interface ChannelWaitOptions {
  /** Ends the wait: the promise is rejected with the signal's reason, and nothing was sent or taken. */
  signal?: AbortSignal;
}

const PAIR_RULES = {
  capacity: powerOfTwo(CAPACITY_MIN, CAPACITY_MAX),
  kind: oneOf('bytes', 'numbers', 'values'),
};
const WAIT_RULES = { signal: abortSignal };

const KINDS = { bytes: BYTES, numbers: NUMBERS, values: VALUES };
const DONE: Promise<void> = Promise.resolve();
/** Messages that a listener is given in one call of the loop; the rest comes in the next. */
const BATCH = 1024;
/** No message; none of a user's. */
const NONE = Symbol('none');
const KEY = Symbol('port');

interface Receiver<T> {
  resolve: (message: T) => void;
  reject: (error: unknown) => void;
}

interface Listener<T> {
  readonly onMessage: (message: T) => void;
  readonly onEnd: ((error?: Error) => void) | undefined;
}

interface Sender<T> {
  message: T | Uint8Array;
  /** Bytes that the message had when it was given. */
  length: number;
  resolve: () => void;
  reject: (error: unknown) => void;
}

/**
 * One end of a {@link Channel}: sends to the other end and receives from it. It travels by `postMessage` or `workerData` like
 * any plain object, and {@link Channel.open} makes a port of it again over there. It belongs to the first that uses it.
 *
 * While it waits for a message it keeps its thread alive; {@link ChannelPort.unref} changes that. When the other end's thread
 * ends without a `close()`, this end sees the end too, unless it ended before it used its port: then close that for it.
 */
export class ChannelPort<T> implements AsyncIterable<T>, Disposable {
  /** The channel's memory: what travels. */
  readonly memory: SharedArrayBuffer;
  /** Which end this is: what travels. */
  readonly side: 0 | 1;
  readonly #kind: number;
  #end: ChannelEnd | undefined;
  #link: Link | undefined;
  #address: [low: number, high: number] | undefined;
  #receivers: Receiver<T>[] = [];
  #senders: Sender<T>[] = [];
  #listener: Listener<T> | undefined;
  /** The listener is being called. */
  #calling = false;
  /** Called once when there is something to take. */
  #watcher: (() => void) | undefined;
  #waiting = false;
  #keeps = false;
  #ref = true;
  #closed = false;
  /** The other thread has ended. */
  #widowed = false;
  #failure: Error | undefined;

  /** @internal */
  constructor(key: typeof KEY, memory: SharedArrayBuffer, side: 0 | 1) {
    if (key !== KEY) {
      const message = 'ChannelPort has no public constructor: use Channel.pair() or Channel.open(port)';
      throw ourError('ERR_RINGWHEEL_INVALID_OPTION', message, ChannelPort);
    }
    this.memory = memory;
    this.side = side;
    this.#kind = kindOf(memory);
  }

  /**
   * Sends a message after those before it, and waits for room if need be.
   *
   * @param message - A number, a Uint8Array, or a value, by the channel's kind. It is copied before the promise resolves; leave
   *   an array alone until then.
   * @returns Resolves when the message is on its way, which says nothing about its being received.
   * @throws ERR_RINGWHEEL_INVALID_OPTION when it is not of the channel's kind or does not fit into its memory.
   * @throws ERR_RINGWHEEL_CLOSED when either end is closed, or the other thread has ended.
   * @throws ERR_RINGWHEEL_CHANNEL when the port is in use elsewhere, or something else wrote into the channel's memory.
   * @throws ERR_RINGWHEEL_CLONE when a value cannot be serialized; the cause is the error of `v8.serialize`.
   * @throws ERR_RINGWHEEL_BUFFER when an array was detached or resized while it waited for room; nothing of it was sent.
   */
  send(message: T, options?: ChannelWaitOptions): Promise<void> {
    try {
      const signal = options === undefined ? undefined : checked('port.send', options, WAIT_RULES).signal;
      if (isAborted(signal)) return Promise.reject(reasonOf(signal));
      const encoded = this.#encode(message);
      const length = this.#lengthOf(encoded);
      if (this.#senders.length === 0 && this.#push(encoded, length)) return DONE;
      return this.#waitToSend(encoded, length, signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Sends a message if there is room now.
   *
   * @returns False when there is none, or others wait for it; nothing was sent then.
   * @throws As {@link ChannelPort.send}.
   */
  trySend(message: T): boolean {
    const encoded = this.#encode(message);
    return this.#senders.length === 0 && this.#push(encoded, this.#lengthOf(encoded));
  }

  /**
   * Takes the next message, and waits for it if need be.
   *
   * @returns The message: an array of its own, or a value of its own.
   * @throws ERR_RINGWHEEL_CLOSED when either end is closed and everything that was sent has been taken.
   * @throws ERR_RINGWHEEL_CHANNEL as {@link ChannelPort.send}.
   */
  receive(options?: ChannelWaitOptions): Promise<T> {
    try {
      const signal = options === undefined ? undefined : checked('port.receive', options, WAIT_RULES).signal;
      if (isAborted(signal)) return Promise.reject(reasonOf(signal));
      const message = this.#receivers.length === 0 ? this.#take() : NONE;
      if (message !== NONE) return Promise.resolve(message as T);
      return this.#waitToReceive(signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Takes a message that is there.
   *
   * @returns Undefined when there is none, or others wait for the next.
   * @throws ERR_RINGWHEEL_CLOSED and ERR_RINGWHEEL_CHANNEL as {@link ChannelPort.receive}.
   */
  tryReceive(): T | undefined {
    const message = this.#receivers.length === 0 ? this.#take() : NONE;
    return message === NONE ? undefined : (message as T);
  }

  /**
   * Calls a function for each message from now on, those that are there already included: up to 1024 in one call of the loop, without
   * the promise and the microtask that each message of a `for await` costs. Until it returns, up to an eighth of the capacity that
   * was received may not count as room. What it throws goes to `uncaughtException`, and the next message comes all the same.
   *
   * @param onMessage - Called with each message, in order. Calls of {@link ChannelPort.receive} that wait come first.
   * @param onEnd - Called once when no message will come any more, since either end was closed; with an error when the channel's
   *   memory makes no sense.
   * @returns The port. Listening keeps the thread alive, unless {@link ChannelPort.unref} says otherwise.
   * @throws ERR_RINGWHEEL_INVALID_OPTION when they are no functions, or the port has a listener.
   * @throws ERR_RINGWHEEL_CLOSED and ERR_RINGWHEEL_CHANNEL as {@link ChannelPort.receive}.
   *
   * @example
   * ```ts
   * import { Channel } from 'ringwheel';
   * const [one, two] = Channel.pair<number>({ kind: 'numbers' });
   * two.listen((number) => two.trySend(number * 2), () => console.log('the end'));
   * await one.send(21);
   * console.log(await one.receive()); // 42
   * one.close();
   * ```
   */
  listen(onMessage: (message: T) => void, onEnd?: (error?: Error) => void): this {
    checkWork('port.listen', onMessage);
    if (onEnd !== undefined) checkWork('port.listen', onEnd);
    const end = this.#opened();
    if (this.#listener !== undefined) {
      throw ourError('ERR_RINGWHEEL_INVALID_OPTION', 'port.listen: the port has a listener', this.listen);
    }
    this.#listener = { onMessage, onEnd };
    this.#settle(end);
    this.#again();
    return this;
  }

  /** Messages until either end is closed. Leaving the loop leaves the port open. */
  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    const atEnd = (error: { code?: string }): IteratorResult<T, undefined> => {
      if (error.code === 'ERR_RINGWHEEL_CLOSED') return { value: undefined, done: true };
      throw error;
    };
    const one = (value: T): IteratorResult<T, undefined> => ({ value, done: false });
    return {
      next: () => {
        try {
          const message = this.#receivers.length === 0 ? this.#take() : NONE;
          if (message !== NONE) return Promise.resolve(one(message as T));
        } catch (error) {
          return new Promise((resolve) => resolve(atEnd(error as { code?: string })));
        }
        return this.#waitToReceive(undefined).then(one, atEnd);
      },
    };
  }

  /**
   * Closes this end: what it has sent can still be received over there, then that end sees the end. What waits here is rejected
   * with ERR_RINGWHEEL_CLOSED. Closing again does nothing.
   */
  close(): void {
    if (this.#closed) return;
    if (this.#end === undefined) {
      const end = openEnd(this.memory, this.side, this.#kind);
      if (end === undefined || !end.claim()) return; // It is nothing any more, or somebody else's.
      this.#end = end;
    }
    this.#shut();
  }

  /** The same as {@link ChannelPort.close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** Waiting keeps the thread alive, as it does from the start. */
  ref(): this {
    this.#ref = true;
    this.#keep();
    return this;
  }

  /** Waiting does not keep the thread alive. */
  unref(): this {
    this.#ref = false;
    this.#keep();
    return this;
  }

  #opened(): ChannelEnd {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#link?.open === false) this.abandon();
    if (this.#closed) throw ourError('ERR_RINGWHEEL_CLOSED', 'the port is closed', this.send);
    return this.#end ?? this.#bind();
  }

  /** The first use: the end is this thread's from now on. */
  #bind(): ChannelEnd {
    const link = currentLink();
    const end = openEnd(this.memory, this.side, this.#kind);
    if (end === undefined) {
      const message = 'the memory of the channel makes no sense: something else wrote into it';
      throw ourError('ERR_RINGWHEEL_CHANNEL', message, this.send);
    }
    if (!end.claim()) {
      const message = 'this port is used by another object or thread already: an end has one owner';
      throw ourError('ERR_RINGWHEEL_CHANNEL', message, this.send);
    }
    const [low, high] = link.native.address();
    this.#end = end;
    this.#link = link;
    this.#address = [low, high];
    end.bind(low, high);
    // Who waits over there since before this can now see to it that it hears of this thread's end.
    const waits = [end.readerWaits(), end.writerWaits()];
    if (waits.includes(true)) this.#wakeOther(end);
    return end;
  }

  #encode(message: T): T | Uint8Array {
    const { capacity } = this.#opened();
    if (this.#kind === NUMBERS) {
      if (typeof message === 'number') return message;
      throw this.#unfit('a number', message);
    }
    if (this.#kind === BYTES && !types.isUint8Array(message)) throw this.#unfit('a Uint8Array', message);
    const bytes = this.#kind === BYTES ? (message as Uint8Array) : this.#serialize(message);
    const length = lengthOf(bytes);
    if (recordBytes(length) > capacity) {
      const text = `a message of ${length} bytes does not fit into a channel of ${capacity}: make it with a larger capacity, or send parts`;
      throw ourError('ERR_RINGWHEEL_INVALID_OPTION', text, this.send);
    }
    return bytes;
  }

  #serialize(message: T): Uint8Array {
    try {
      return serialize(message);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message.replace(/\.$/, '') : String(cause);
      const error = ourError('ERR_RINGWHEEL_CLONE', `the message cannot be sent: ${why}; use plain data`, this.send);
      error.cause = cause;
      throw error;
    }
  }

  /** Bytes of an encoded message; a number has none. */
  #lengthOf(encoded: T | Uint8Array): number {
    return this.#kind === NUMBERS ? 0 : lengthOf(encoded as Uint8Array);
  }

  #unfit(what: string, message: unknown): Error {
    return ourError('ERR_RINGWHEEL_INVALID_OPTION', `message must be ${what}; got ${shown(message)}`, this.send);
  }

  #push(message: T | Uint8Array, length: number): boolean {
    const end = this.#opened();
    const pushed =
      this.#kind === NUMBERS ? end.pushNumber(message as number) : end.pushBytes(message as Uint8Array, length);
    if (this.#widowed || !pushed || end.readerHears()) this.#pushed(end);
    return pushed;
  }

  /** After a message was written that somebody waits for or nobody takes, or when there was no room. */
  #pushed(end: ChannelEnd): void {
    if (this.#widowed || end.readerGone) {
      throw ourError('ERR_RINGWHEEL_CLOSED', 'the other port is closed, or its thread has ended', this.send);
    }
    if (end.readerWaits()) this.#wakeOther(end);
    if (end.corrupt) throw this.#corrupt();
  }

  /** A message, or NONE; throws at the end. */
  #take(): T | typeof NONE {
    const end = this.#opened();
    let found = end.look();
    if (found === NOTHING && (this.#widowed || end.writerGone)) {
      found = end.look(); // What was sent before the end is there once the end is seen.
      if (found === NOTHING) {
        throw ourError('ERR_RINGWHEEL_CLOSED', 'the other port is closed, or its thread has ended', this.receive);
      }
    }
    if (found === NOTHING) return NONE;
    if (found === CORRUPT) throw this.#corrupt();
    const message = this.#kind === NUMBERS ? end.popNumber() : end.popBytes();
    if (message === undefined) throw this.#corrupt();
    if (end.writerWaits()) this.#wakeOther(end);
    if (this.#kind !== VALUES) return message as T;
    try {
      return deserialize(message as Uint8Array) as T;
    } catch {
      throw this.#corrupt();
    }
  }

  #resized(length: number): Error {
    const text = `the array of ${length} bytes was detached or resized while it waited for room: leave it alone until the promise resolves`;
    return ourError('ERR_RINGWHEEL_BUFFER', text, this.send);
  }

  /** The memory makes no sense: something other than the two ports wrote into it. */
  #corrupt(): Error {
    const message = 'the memory of the channel makes no sense: something else wrote into it. The port was closed';
    const error = ourError('ERR_RINGWHEEL_CHANNEL', message, this.receive);
    this.#failure = error;
    this.#shut(error);
    return error;
  }

  #waitToReceive(signal: AbortSignal | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const receiver: Receiver<T> = { resolve, reject };
      const forget = listen(signal, () => {
        this.#receivers = this.#receivers.filter((other) => other !== receiver);
        reject(reasonOf(signal));
        this.look();
      });
      if (forget !== undefined) {
        receiver.resolve = (message) => {
          forget();
          resolve(message);
        };
        receiver.reject = (error) => {
          forget();
          reject(error);
        };
      }
      this.#receivers.push(receiver);
      this.look();
    });
  }

  #waitToSend(message: T | Uint8Array, length: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const sender: Sender<T> = { message, length, resolve, reject };
      const forget = listen(signal, () => {
        this.#senders = this.#senders.filter((other) => other !== sender);
        reject(reasonOf(signal));
        this.look();
      });
      if (forget !== undefined) {
        sender.resolve = () => {
          forget();
          resolve();
        };
        sender.reject = (error) => {
          forget();
          reject(error);
        };
      }
      this.#senders.push(sender);
      this.look();
    });
  }

  /** Serves who waits with what is there; then announces that it waits, and looks once more, as it may have come between. @internal */
  look(): void {
    const end = this.#end;
    if (end === undefined || this.#closed) return;
    this.#serve(end);
    if (this.#awaitsMessages) end.awaitMessages();
    if (this.#senders.length > 0) end.awaitRoom();
    if (this.#waits) {
      this.#watch(end);
      this.#serve(end);
    }
    this.#settle(end);
  }

  /** A message, or `none`. Throws as {@link ChannelPort.tryReceive}. @internal */
  takeOr<N>(none: N): T | N {
    const message = this.#receivers.length === 0 ? this.#take() : NONE;
    return message === NONE ? none : (message as T);
  }

  /** Calls `then` once, when there is a message to take or none will come; undefined takes that back. @internal */
  watch(then: (() => void) | undefined): void {
    const end = this.#opened();
    this.#watcher = then;
    if (then === undefined) this.#settle(end);
    else this.look();
  }

  get #awaitsMessages(): boolean {
    return this.#receivers.length > 0 || this.#listener !== undefined || this.#watcher !== undefined;
  }

  get #waits(): boolean {
    return !this.#closed && (this.#senders.length > 0 || this.#awaitsMessages);
  }

  /** Has this thread look at its ports once more. */
  #again(): void {
    const own = this.#address;
    if (own !== undefined) binding().wakeExecutor(own[0], own[1]);
  }

  /** Calls the listener with what is there. */
  #call(end: ChannelEnd): void {
    this.#calling = true;
    end.startBatch();
    try {
      let left = BATCH;
      for (; left > 0 && this.#listener !== undefined; left--) {
        const message = this.#take();
        if (message === NONE) break;
        try {
          this.#listener.onMessage(message as T);
        } catch (error) {
          throwLater(error);
        }
      }
      if (left === 0) this.#again();
    } catch (error) {
      this.#listened((error as { code?: string }).code === 'ERR_RINGWHEEL_CLOSED' ? undefined : (error as Error));
    } finally {
      this.#calling = false;
      if (end.endBatch()) this.#wakeOther(end);
    }
  }

  /** No message will come any more. */
  #listened(error: Error | undefined): void {
    const onEnd = this.#listener?.onEnd;
    this.#listener = undefined;
    if (onEnd !== undefined) guarded(() => onEnd(error));
  }

  #serve(end: ChannelEnd): void {
    try {
      while (this.#receivers.length > 0) {
        const message = this.#take();
        if (message === NONE) break;
        this.#receivers.shift()?.resolve(message as T);
      }
    } catch (error) {
      for (const receiver of this.#receivers.splice(0)) receiver.reject(error);
    }
    try {
      while (this.#senders.length > 0) {
        const sender = this.#senders[0] as Sender<T>;
        if (this.#lengthOf(sender.message) !== sender.length) sender.reject(this.#resized(sender.length));
        else if (this.#push(sender.message, sender.length)) sender.resolve();
        else break;
        this.#senders.shift();
      }
    } catch (error) {
      for (const sender of this.#senders.splice(0)) sender.reject(error);
    }
    if (this.#listener !== undefined && !this.#calling) this.#call(end);
    if (this.#watcher !== undefined && (end.look() !== NOTHING || this.#widowed || end.writerGone)) this.#seen();
  }

  #seen(): void {
    const then = this.#watcher;
    this.#watcher = undefined;
    then?.();
  }

  /** Waits, or does not any more. */
  #settle(end: ChannelEnd): void {
    const waits = this.#waits;
    if (waits !== this.#waiting) {
      this.#waiting = waits;
      if (waits) this.#link?.doors.add(this);
      else {
        this.#link?.doors.delete(this);
        end.leave();
      }
    }
    this.#keep();
  }

  #keep(): void {
    const keeps = this.#waiting && this.#ref;
    if (keeps === this.#keeps) return;
    this.#keeps = keeps;
    if (keeps) this.#link?.retain();
    else this.#link?.unkeep();
  }

  /** Sees to it that the other thread's end wakes this one, and whether it has ended. */
  #watch(end: ChannelEnd): void {
    const other = end.itsAddress;
    const own = this.#address;
    if (other === undefined || own === undefined) return;
    this.#widowed ||= !binding().watchExecutor(other[0], other[1], own[0], own[1]);
  }

  #wakeOther(end: ChannelEnd): void {
    const address = end.itsAddress;
    if (address !== undefined) binding().wakeExecutor(address[0], address[1]);
  }

  /** Closes, and rejects who waits. */
  #shut(reason?: Error): void {
    const end = this.#end as ChannelEnd;
    this.#closed = true;
    end.close();
    this.#wakeOther(end);
    const error = reason ?? ourError('ERR_RINGWHEEL_CLOSED', 'the port was closed', this.close);
    for (const receiver of this.#receivers.splice(0)) receiver.reject(error);
    for (const sender of this.#senders.splice(0)) sender.reject(error);
    if (this.#listener !== undefined) this.#listened(reason === this.#failure ? reason : undefined);
    this.#seen();
    this.#settle(end);
  }

  /** This thread's executor has ended. @internal */
  abandon(): void {
    if (!this.#closed)
      this.#shut(ourError('ERR_RINGWHEEL_CLOSED', 'the executor of this thread was closed', undefined));
  }
}

/**
 * Two ports between two threads, over memory that both have: a message is copied in and out, never cloned, and a receiver that
 * sleeps is woken by the other thread's executor; one that does not, by nothing. Each port has one owner.
 *
 * @example
 * ```ts
 * import { Channel } from 'ringwheel';
 * import { Worker } from 'node:worker_threads';
 * const [here, there] = Channel.pair<string>();
 * const worker = new Worker(
 *   `const { Channel } = require('ringwheel');
 *    const port = Channel.open(require('node:worker_threads').workerData);
 *    (async () => { for await (const name of port) await port.send('hello ' + name); })();`,
 *   { eval: true, workerData: there },
 * );
 * await here.send('world');
 * console.log(await here.receive()); // hello world
 * here.close();
 * await new Promise((resolve) => worker.once('exit', resolve));
 * ```
 */
export class Channel {
  private constructor() {
    throw ourError('ERR_RINGWHEEL_INVALID_OPTION', 'Channel has no constructor: use Channel.pair()', Channel);
  }

  /**
   * Makes a channel.
   *
   * @param options - See {@link ChannelOptions}.
   * @returns Its two ports. Keep one, and send the other to a worker.
   * @throws ERR_RINGWHEEL_INVALID_OPTION when an option is unknown or out of range.
   */
  static pair<T = unknown>(options?: ChannelOptions): [ChannelPort<T>, ChannelPort<T>] {
    const { kind = 'values', capacity } = checked('Channel.pair', options, PAIR_RULES);
    const memory = makeMemory(KINDS[kind], capacity ?? (kind === 'numbers' ? 1024 : 1024 * 1024));
    return [new ChannelPort<T>(KEY, memory, 0), new ChannelPort<T>(KEY, memory, 1)];
  }

  /**
   * Makes a port of what came by `postMessage` or `workerData`.
   *
   * @throws ERR_RINGWHEEL_INVALID_OPTION when it is no port of this version.
   */
  static open<T = unknown>(port: { memory: SharedArrayBuffer; side: 0 | 1 }): ChannelPort<T> {
    const { memory, side } = (port ?? {}) as { memory: SharedArrayBuffer; side: 0 | 1 };
    const wrong = wrongMemory(memory, side);
    if (wrong !== undefined) {
      throw ourError('ERR_RINGWHEEL_INVALID_OPTION', `Channel.open: ${wrong}`, Channel.open);
    }
    return new ChannelPort<T>(KEY, memory, side);
  }
}

/** Closes the port of a thread that has ended, whether it had used it or not. @internal */
export function closeForDead({ memory, side }: { memory: SharedArrayBuffer; side: 0 | 1 }): void {
  const end = openEnd(memory, side, kindOf(memory));
  if (end === undefined) return;
  end.close();
  const address = end.itsAddress;
  if (address !== undefined) binding().wakeExecutor(address[0], address[1]);
}

/** Types only. */
export declare namespace Channel {
  /** The same as {@link ChannelPort}. */
  export type Port<T> = ChannelPort<T>;
}
