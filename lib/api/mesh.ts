// class Mesh: a channel between each two of a pool's members and the thread that started it, or between some of them.
import { isAborted, listen, reasonOf } from './abort.js';
import { Channel, type ChannelOptions, closeForDead } from './channel.js';
import type { ChannelPort, ChannelWaitOptions } from './channel-port.js';
import { ourError, rejected } from './errors.js';
import { ExecutorPool, membersOf } from './executor-pool.js';
import { type MeshPort, type MeshSeat, nextSeat } from './mesh-seats.js';
import { boot } from './pool-messages.js';
import { abortSignal, checked, listOf, oneOf, powerOfTwo, shortText, shown, whole } from './validate.js';

/** Peers of one mesh: there are half as many channels as the square of that. */
const PEERS_MAX = 256;
/** Room for messages of each channel, each way, unless an option says otherwise. */
const NUMBERS = 256;
const BYTES = 65_536;

/** Options of {@link Mesh.join} in the thread that started the pool. */
export interface MeshOptions {
  /** Its name, by which members find it: 1 to 64 characters. Default `mesh`. */
  name?: string;
  /** As for {@link Channel.pair}. */
  kind?: ChannelOptions['kind'];
  /** As for {@link Channel.pair}, of each channel, each way. Default 256 numbers or 65536 bytes. */
  capacity?: number;
  /** The peers that send: members' numbers, and `pool.size` for this thread. Default: all. Who neither sends nor receives is not in the mesh. */
  producers?: readonly number[];
  /** The peers that receive. Default: all. */
  consumers?: readonly number[];
}

/** Options of {@link Mesh.join} in a member. */
export interface MeshMemberOptions {
  /** As for the owner. Default `mesh`. */
  name?: string;
  /** Ends the wait for the owner's `Mesh.join`: the promise is rejected with the signal's reason. */
  signal?: AbortSignal;
}

/** A message and who sent it. */
export interface MeshMessage<T> {
  /** The sender's number: a member's, or `pool.size` for the thread that started the pool. */
  readonly from: number;
  /** What was sent. */
  readonly message: T;
}

const NAME = shortText(64);
const peerList = listOf(whole(0, PEERS_MAX - 1), PEERS_MAX);
const OWNER_RULES = {
  name: NAME,
  kind: oneOf('bytes', 'numbers', 'values'),
  capacity: powerOfTwo(64, 2 ** 28),
  producers: peerList,
  consumers: peerList,
};
const MEMBER_RULES = { name: NAME, signal: abortSignal };
const WAIT_RULES = { signal: abortSignal };

const KEY = Symbol('mesh');
/** No message; none of a user's. */
const NONE = Symbol('none');

interface Peer<T> {
  readonly peer: number;
  readonly port: ChannelPort<T>;
}

interface Receiver<T> {
  resolve(message: MeshMessage<T>): void;
  reject(error: unknown): void;
}

/**
 * One thread's place among the members of an {@link ExecutorPool} and the thread that started it: it sends to any of them and receives
 * from all of them, through one {@link Channel} for each two. In a partial mesh only some send, or receive.
 *
 * Members have their numbers, the thread that started the pool has `pool.size`. It joins with the pool, which makes the
 * channels; a member joins by name, before or after that. What is sent to one that has not joined yet waits for it. A member that dies ends
 * its channels; when it is replaced, the new one is in the next mesh, not in this.
 *
 * @example
 * ```ts
 * import { writeFile } from 'node:fs/promises';
 * import { pathToFileURL } from 'node:url';
 * import { ExecutorPool, Mesh } from 'ringwheel';
 * await writeFile(
 *   'greet.mjs',
 *   `import { Mesh } from 'ringwheel';
 *    export async function greet() {
 *      const mesh = await Mesh.join();
 *      for (const peer of mesh.consumers) await mesh.send(peer, \`hello \${peer}, from \${mesh.id}\`);
 *      for (let left = mesh.producers.length; left > 0; left--) await mesh.receive();
 *    }`,
 * );
 * await using pool = await ExecutorPool.start({ size: 2 });
 * const greeting = pool.broadcast(pathToFileURL('greet.mjs'), 'greet');
 * using mesh = await Mesh.join<string>(pool);
 * for (const peer of mesh.consumers) await mesh.send(peer, 'hello');
 * for (let left = 2; left > 0; left--) console.log((await mesh.receive()).message); // hello 2, from 0; hello 2, from 1
 * await greeting;
 * ```
 */
export class Mesh<T> implements AsyncIterable<MeshMessage<T>>, Disposable {
  /** This thread's number. */
  readonly id: number;
  /** How many numbers there are: the pool's size and one. */
  readonly peers: number;
  readonly #out = new Map<number, ChannelPort<T>>();
  /** Those that may still bring something. */
  #in: Peer<T>[] = [];
  readonly #producers: readonly number[];
  readonly #ports: readonly ChannelPort<T>[];
  /** Who is looked at first: nobody starves. */
  #turn = 0;
  #receivers: Receiver<T>[] = [];
  #serving = false;
  #again = false;
  readonly #ready = (): void => this.#serve();

  private constructor(key: typeof KEY, seat: MeshSeat) {
    if (key !== KEY) {
      const message = 'Mesh has no public constructor: use await Mesh.join(pool), or await Mesh.join() in a member';
      throw ourError('ERR_RINGWHEEL_INVALID_OPTION', message, Mesh);
    }
    this.id = seat.id;
    this.peers = seat.peers;
    const ports = seat.ports.map((each) => ({ ...each, port: Channel.open<T>(each) }));
    this.#ports = ports.map(({ port }) => port);
    for (const { peer, port, sends, receives } of ports) {
      if (sends) this.#out.set(peer, port);
      if (receives) this.#in.push({ peer, port });
    }
    this.#producers = this.#in.map(({ peer }) => peer);
  }

  /**
   * Makes a mesh of a pool's members and this thread, or joins one in a member.
   *
   * @param pool - The pool, in the thread that started it. A member gives none: its pool is its own.
   * @param options - See {@link MeshOptions}; in a member {@link MeshMemberOptions}.
   * @returns This thread's place. In a member: once the owner has made a mesh of that name.
   * @throws ERR_RINGWHEEL_INVALID_OPTION when an option is unknown or out of range, there would be more than 256 peers, or this
   *   thread is no member and gives no pool.
   * @throws ERR_RINGWHEEL_CLOSED when the pool is closed; ERR_RINGWHEEL_MEMBER when one of the members is dead.
   */
  static join<T = unknown>(pool: ExecutorPool, options?: MeshOptions): Promise<Mesh<T>>;
  static join<T = unknown>(options?: MeshMemberOptions): Promise<Mesh<T>>;
  static async join<T = unknown>(given?: ExecutorPool | MeshMemberOptions, options?: MeshOptions): Promise<Mesh<T>> {
    if (given instanceof ExecutorPool) return new Mesh<T>(KEY, makeMesh(given, options));
    if (boot() === undefined) {
      const message = `Mesh.join: pool must be an ExecutorPool on a thread that is no pool's member; got ${shown(given)}`;
      throw ourError('ERR_RINGWHEEL_INVALID_OPTION', message, Mesh.join);
    }
    const { name = 'mesh', signal } = checked('Mesh.join', given, MEMBER_RULES);
    if (isAborted(signal)) throw reasonOf(signal);
    const seat = await new Promise<MeshSeat>((resolve, reject) => {
      const forget = listen(signal, () => {
        takeBack();
        reject(reasonOf(signal));
      });
      const takeBack = nextSeat(name, (seat) => {
        forget?.();
        resolve(seat);
      });
    });
    return new Mesh<T>(KEY, seat);
  }

  /** Whom this thread may send to. */
  get consumers(): number[] {
    return [...this.#out.keys()];
  }

  /** Whom this thread receives from, those included that have gone. */
  get producers(): number[] {
    return [...this.#producers];
  }

  /**
   * Sends a message to a peer, after those before it, and waits for room if need be.
   *
   * @param to - The peer's number: one of {@link Mesh.consumers}.
   * @param message - As for {@link ChannelPort.send}.
   * @throws As {@link ChannelPort.send}; ERR_RINGWHEEL_CLOSED when that peer has gone. ERR_RINGWHEEL_INVALID_OPTION when there is no way to it.
   */
  send(to: number, message: T, options?: ChannelWaitOptions): Promise<void> {
    try {
      return this.#way(to).send(message, options);
    } catch (error) {
      return rejected(error as Error);
    }
  }

  /**
   * Sends a message to a peer if there is room now.
   *
   * @returns False when there is none; nothing was sent then.
   * @throws As {@link Mesh.send}.
   */
  trySend(to: number, message: T): boolean {
    return this.#way(to).trySend(message);
  }

  /**
   * Takes the next message of any peer, and waits for it if need be. Peers that have some take turns; the messages of each come in order.
   *
   * @param options - A signal that ends the wait; nothing was taken then.
   * @throws ERR_RINGWHEEL_CLOSED when the mesh is closed, or all who send have gone and everything was received.
   * @throws ERR_RINGWHEEL_CHANNEL when something else wrote into a channel's memory; that peer has gone for this thread, the others have not.
   */
  receive(options?: ChannelWaitOptions): Promise<MeshMessage<T>> {
    try {
      const signal = options === undefined ? undefined : checked('mesh.receive', options, WAIT_RULES).signal;
      if (isAborted(signal)) return Promise.reject(reasonOf(signal));
      const found = this.#receivers.length === 0 ? this.#take() : NONE;
      return found === NONE ? this.#wait(signal) : Promise.resolve(found);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Takes a message that is there.
   *
   * @returns Undefined when there is none, or others wait for the next.
   * @throws As {@link Mesh.receive}.
   */
  tryReceive(): MeshMessage<T> | undefined {
    const found = this.#receivers.length === 0 ? this.#take() : NONE;
    return found === NONE ? undefined : found;
  }

  /** Messages of all peers until the mesh is closed or all who send have gone. Leaving the loop leaves the mesh open. */
  async *[Symbol.asyncIterator](): AsyncIterator<MeshMessage<T>, undefined> {
    for (;;) {
      try {
        yield await this.receive();
      } catch (error) {
        if ((error as { code?: string }).code === 'ERR_RINGWHEEL_CLOSED') return undefined;
        throw error;
      }
    }
  }

  /** Closes this thread's end of every channel, as {@link ChannelPort.close}. The others' channels stay. Closing again does nothing. */
  close(): void {
    for (const port of this.#ports) port.close();
    this.#serve();
  }

  /** The same as {@link Mesh.close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** Waiting keeps the thread alive, as it does from the start. */
  ref(): this {
    for (const port of this.#ports) port.ref();
    return this;
  }

  /** Waiting does not keep the thread alive. */
  unref(): this {
    for (const port of this.#ports) port.unref();
    return this;
  }

  #way(to: number): ChannelPort<T> {
    const port = this.#out.get(to);
    if (port !== undefined) return port;
    const ways = this.consumers.join(', ') || 'nobody';
    const message = `mesh.send: there is no way from ${this.id} to ${shown(to)}; this thread may send to ${ways}`;
    throw ourError('ERR_RINGWHEEL_INVALID_OPTION', message, this.send);
  }

  /** A message, or NONE; throws when none will come, and for a peer whose memory makes no sense, once. */
  #take(): MeshMessage<T> | typeof NONE {
    for (let looks = this.#in.length; looks > 0; looks--) {
      const index = this.#turn % this.#in.length;
      const { peer, port } = this.#in[index] as Peer<T>;
      try {
        const message = port.takeOr<typeof NONE>(NONE);
        this.#turn = index + 1;
        if (message !== NONE) return { from: peer, message };
      } catch (error) {
        this.#in.splice(index, 1);
        this.#turn = index;
        if ((error as { code?: string }).code !== 'ERR_RINGWHEEL_CLOSED') throw error;
      }
    }
    if (this.#in.length > 0) return NONE;
    throw ourError('ERR_RINGWHEEL_CLOSED', 'the mesh is closed, or all who send have gone', this.receive);
  }

  #wait(signal: AbortSignal | undefined): Promise<MeshMessage<T>> {
    return new Promise((resolve, reject) => {
      const receiver: Receiver<T> = {
        resolve: (message) => {
          forget?.();
          resolve(message);
        },
        reject: (error) => {
          forget?.();
          reject(error);
        },
      };
      const forget = listen(signal, () => {
        this.#receivers = this.#receivers.filter((other) => other !== receiver);
        reject(reasonOf(signal));
        this.#serve();
      });
      this.#receivers.push(receiver);
      this.#serve();
    });
  }

  /** Serves who waits with what is there, then has each port tell when there is more. A port may tell at once. */
  #serve(): void {
    this.#again = true;
    if (this.#serving) return;
    this.#serving = true;
    while (this.#again) {
      this.#again = false;
      this.#hand();
      for (const { port } of [...this.#in]) {
        try {
          port.watch(this.#receivers.length > 0 ? this.#ready : undefined);
        } catch {
          this.#again = this.#receivers.length > 0; // It is closed: `#take` finds out.
        }
      }
    }
    this.#serving = false;
  }

  #hand(): void {
    while (this.#receivers.length > 0) {
      try {
        const found = this.#take();
        if (found === NONE) return;
        this.#receivers.shift()?.resolve(found);
      } catch (error) {
        this.#receivers.shift()?.reject(error);
      }
    }
  }
}

/** Makes the channels, sends the members theirs, and gives this thread its own. */
function makeMesh(pool: ExecutorPool, options: MeshOptions | undefined): MeshSeat {
  const { name = 'mesh', kind = 'values', ...rest } = checked('Mesh.join', options, OWNER_RULES);
  const peers = pool.size + 1;
  const everyone = Array.from({ length: peers }, (_, peer) => peer);
  const { capacity = kind === 'numbers' ? NUMBERS : BYTES, producers = everyone, consumers = everyone } = rest;
  const refuse = (message: string) => ourError('ERR_RINGWHEEL_INVALID_OPTION', `Mesh.join: ${message}`, Mesh.join);
  if (peers > PEERS_MAX) throw refuse(`a mesh has at most ${PEERS_MAX} peers; the pool has ${pool.size} members`);
  const wrong = [...producers, ...consumers].find((peer) => peer >= peers);
  if (wrong !== undefined) throw refuse(`a peer must be a whole number from 0 to ${pool.size}; got ${wrong}`);
  const [sends, receives] = [new Set(producers), new Set(consumers)];
  const seats = everyone.map((): MeshPort[] => []);
  for (const one of everyone) {
    for (const other of everyone.slice(one + 1)) {
      const forth = sends.has(one) && receives.has(other);
      const back = sends.has(other) && receives.has(one);
      if (!forth && !back) continue;
      const [{ memory }] = Channel.pair({ kind, capacity });
      seats[one]?.push({ peer: other, memory, side: 0, sends: forth, receives: back });
      seats[other]?.push({ peer: one, memory, side: 1, sends: back, receives: forth });
    }
  }
  const seat = (id: number): MeshSeat => ({ name, id, peers, ports: seats[id] as MeshPort[] });
  try {
    for (const member of membersOf(pool)) {
      const { ports } = seat(member.index);
      if (ports.length > 0) member.give(seat(member.index), () => ports.forEach(closeForDead), Mesh.join);
    }
  } catch (error) {
    // Those that have theirs already see that it has ended.
    for (const port of seats.flat()) closeForDead(port);
    throw error;
  }
  return seat(pool.size);
}
