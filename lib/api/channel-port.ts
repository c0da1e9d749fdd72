// class ChannelPort: one end of a channel. Sends, receives, waits, and hears of the other thread's end. No structured clone.
import { deserialize } from 'node:v8';
import { lengthOf } from '../ring/bytes.js';
import { type ChannelEnd, CORRUPT, kindOf, NOTHING, NUMBERS, openEnd, VALUES } from '../ring/channel-ring.js';
import type { Link } from '../ring/link.js';
import { binding } from '../wire/binding.js';
import { isAborted, reasonOf } from './abort.js';
import { Listener, NONE } from './channel-listener.js';
import { encode, resized } from './channel-message.js';
import { Waits } from './channel-waits.js';
import { ourError } from './errors.js';
import { currentLink } from './executor.js';
import { checkWork } from './semaphore.js';
import { abortSignal, checked } from './validate.js';

/** Options of {@link ChannelPort.send} and {@link ChannelPort.receive}. */
export interface ChannelWaitOptions {
  /** Ends the wait: the promise is rejected with the signal's reason, and nothing was sent or taken. */
  signal?: AbortSignal;
}

const WAIT_RULES = { signal: abortSignal };

const DONE: Promise<void> = Promise.resolve();
const KEY = Symbol('port');

/** A message that waits for room. */
interface Sender<T> {
  readonly message: T | Uint8Array;
  /** Bytes that the message had when it was given. */
  readonly length: number;
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
  readonly #looks = (): void => this.look();
  #end: ChannelEnd | undefined;
  #link: Link | undefined;
  #address: [low: number, high: number] | undefined;
  readonly #receivers = new Waits<T>();
  readonly #senders = new Waits<void, Sender<T>>();
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
      const encoded = encode(this.#kind, this.#opened().capacity, message, this.send);
      const length = this.#lengthOf(encoded);
      if (this.#senders.empty && this.#push(encoded, length)) return DONE;
      return this.#senders.join({ message: encoded, length }, signal, this.#looks);
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
    const encoded = encode(this.#kind, this.#opened().capacity, message, this.send);
    return this.#senders.empty && this.#push(encoded, this.#lengthOf(encoded));
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
      const message = this.#receivers.empty ? this.#take() : NONE;
      if (message !== NONE) return Promise.resolve(message as T);
      return this.#receivers.join(undefined, signal, this.#looks);
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
    const message = this.#receivers.empty ? this.#take() : NONE;
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
    this.#listener = new Listener(onMessage, onEnd);
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
          const message = this.#receivers.empty ? this.#take() : NONE;
          if (message !== NONE) return Promise.resolve(one(message as T));
        } catch (error) {
          return new Promise((resolve) => resolve(atEnd(error as { code?: string })));
        }
        return this.#receivers.join(undefined, undefined, this.#looks).then(one, atEnd);
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
    if (waits.includes(true)) wakeOther(end);
    return end;
  }

  /** Bytes of an encoded message; a number has none. */
  #lengthOf(encoded: T | Uint8Array): number {
    return this.#kind === NUMBERS ? 0 : lengthOf(encoded as Uint8Array);
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
    if (end.readerWaits()) wakeOther(end);
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
    if (end.writerWaits()) wakeOther(end);
    if (this.#kind !== VALUES) return message as T;
    try {
      return deserialize(message as Uint8Array) as T;
    } catch {
      throw this.#corrupt();
    }
  }

  /** The memory makes no sense: something other than the two ports wrote into it. */
  #corrupt(): Error {
    const message = 'the memory of the channel makes no sense: something else wrote into it. The port was closed';
    const error = ourError('ERR_RINGWHEEL_CHANNEL', message, this.receive);
    this.#failure = error;
    this.#shut(error);
    return error;
  }

  /** Serves who waits with what is there; then announces that it waits, and looks once more, as it may have come between. @internal */
  look(): void {
    const end = this.#end;
    if (end === undefined || this.#closed) return;
    this.#serve(end);
    if (this.#awaitsMessages) end.awaitMessages();
    if (!this.#senders.empty) end.awaitRoom();
    if (this.#waits) {
      this.#watch(end);
      this.#serve(end);
    }
    this.#settle(end);
  }

  /** A message, or `none`. Throws as {@link ChannelPort.tryReceive}. @internal */
  takeOr<N>(none: N): T | N {
    const message = this.#receivers.empty ? this.#take() : NONE;
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
    return !this.#receivers.empty || this.#listener !== undefined || this.#watcher !== undefined;
  }

  get #waits(): boolean {
    return !this.#closed && (!this.#senders.empty || this.#awaitsMessages);
  }

  /** Has this thread look at its ports once more. */
  #again(): void {
    const own = this.#address;
    if (own !== undefined) binding().wakeExecutor(own[0], own[1]);
  }

  /** Calls the listener with what is there. */
  #call(end: ChannelEnd, listener: Listener<T>): void {
    this.#calling = true;
    end.startBatch();
    try {
      const all = listener.serve(() => (this.#listener === listener ? this.#take() : NONE));
      if (!all) this.#again();
    } catch (error) {
      this.#listened((error as { code?: string }).code === 'ERR_RINGWHEEL_CLOSED' ? undefined : (error as Error));
    } finally {
      this.#calling = false;
      if (end.endBatch()) wakeOther(end);
    }
  }

  /** No message will come any more. */
  #listened(error: Error | undefined): void {
    const listener = this.#listener;
    this.#listener = undefined;
    listener?.end(error);
  }

  #serve(end: ChannelEnd): void {
    try {
      while (!this.#receivers.empty) {
        const message = this.#take();
        if (message === NONE) break;
        this.#receivers.settleFirst(message as T);
      }
    } catch (error) {
      this.#receivers.refuseAll(error);
    }
    try {
      for (let next = this.#senders.first; next !== undefined; next = this.#senders.first) {
        if (this.#lengthOf(next.message) !== next.length) this.#senders.refuseFirst(resized(next.length, this.send));
        else if (this.#push(next.message, next.length)) this.#senders.settleFirst();
        else break;
      }
    } catch (error) {
      this.#senders.refuseAll(error);
    }
    if (this.#listener !== undefined && !this.#calling) this.#call(end, this.#listener);
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

  /** Closes, and rejects who waits. */
  #shut(reason?: Error): void {
    const end = this.#end as ChannelEnd;
    this.#closed = true;
    end.close();
    wakeOther(end);
    const error = reason ?? ourError('ERR_RINGWHEEL_CLOSED', 'the port was closed', this.close);
    this.#receivers.refuseAll(error);
    this.#senders.refuseAll(error);
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

/** Makes a port of a channel's memory. @internal */
export function makePort<T>(memory: SharedArrayBuffer, side: 0 | 1): ChannelPort<T> {
  return new ChannelPort<T>(KEY, memory, side);
}

/** Has the thread of the other end look at its ports. @internal */
export function wakeOther(end: ChannelEnd): void {
  const address = end.itsAddress;
  if (address !== undefined) binding().wakeExecutor(address[0], address[1]);
}
