// class Channel: makes the two ports that two threads send each other messages through, in memory that both have.
import {
  BYTES,
  CAPACITY_MAX,
  CAPACITY_MIN,
  kindOf,
  makeMemory,
  NUMBERS,
  openEnd,
  VALUES,
  wrongMemory,
} from '../ring/channel-ring.js';
import { type ChannelPort, makePort, wakeOther } from './channel-port.js';
import { ourError } from './errors.js';
import { checked, oneOf, powerOfTwo } from './validate.js';

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

const PAIR_RULES = {
  capacity: powerOfTwo(CAPACITY_MIN, CAPACITY_MAX),
  kind: oneOf('bytes', 'numbers', 'values'),
};
const KINDS = { bytes: BYTES, numbers: NUMBERS, values: VALUES };

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
    return [makePort<T>(memory, 0), makePort<T>(memory, 1)];
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
    return makePort<T>(memory, side);
  }
}

/** Closes the port of a thread that has ended, whether it had used it or not. @internal */
export function closeForDead({ memory, side }: { memory: SharedArrayBuffer; side: 0 | 1 }): void {
  const end = openEnd(memory, side, kindOf(memory));
  if (end === undefined) return;
  end.close();
  wakeOther(end);
}

/** Types only. */
export declare namespace Channel {
  /** The same as {@link ChannelPort}. */
  export type Port<T> = ChannelPort<T>;
}
