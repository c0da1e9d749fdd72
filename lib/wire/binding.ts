// Life of a command, below stage 2: loads the native addon, and says plainly what is missing when it cannot.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { inspect } from 'node:util';
import { systemReport } from './report.js';

export { LAYOUT_VERSION } from './layout.generated.js';

/** How a native call hands out a range of the arena. */
export interface NativeLease {
  slot: number;
  generation: number;
  /** Byte offset in the arena. */
  offset: number;
}

/** Counters of an executor, as the addon gives them. */
export interface NativeStats {
  /** System calls made to submit and wait. */
  enters: number;
  /** Operations given to the kernel. */
  submitted: number;
  /** Operations that ended. */
  completed: number;
  /** Operations in flight now. */
  inFlight: number;
  /** The most that ever were. */
  inFlightMax: number;
  /** Times the completion queue overflowed and was flushed. */
  overflows: number;
  /** Operations asked to end early. */
  cancels: number;
  /** Results with an errno that the operation's table does not know. */
  unexpected: number;
  /** Operations whose memory was leaked on purpose at a shutdown. */
  leaked: number;
  /** Commands that were refused because they made no sense. */
  rejects: number;
  /** Turns taken. */
  turns: number;
  /** Calls into JavaScript; each settles all completions of a turn. */
  callbacks: number;
  /** Timers set now. */
  timers: number;
  /** Files open now. */
  files: number;
  /** Leases given out now, scratch ranges included. */
  leases: number;
  /** Bytes of the arena. */
  arenaBytes: number;
  /** Bytes of the arena that no lease has now. */
  arenaFreeBytes: number;
  /** Stalls of the thread; see the option `stall`. */
  stalls: number;
  /** The longest of those that are over, milliseconds. */
  longestStallMs: number;
  /** Calls of the file system that are no transfers and ran on this thread: stat, mkdir, a small readFile, … */
  callsHere: number;
  /** Those that ran on the executor's pool: long ones, and those whose kind has lately been slow. */
  callsPooled: number;
  /** Times such calls waited for the next turn, since what they may take of one was spent. */
  callsPostponed: number;
  /** Long arrays that were written from where they are, in one copy and without a command. */
  writesNow: number;
  /** Answers longer than the memory they were asked with, which got memory of their own. */
  parcels: number;
  /** Those that JavaScript has not taken yet. */
  parcelsWaiting: number;
  /** Those that were read into memory of earlier ones. */
  parcelsReused: number;
  /** Bytes of memory that answers were in and nobody holds any more, kept for the next ones. */
  spareBytes: number;
  /** The most they may be: the option `spareMemory`. */
  spareBytesMax: number;
  /** Only with the option `adaptive`. */
  adaptive?: AdaptiveStats;
}

/** Figures of adaptive submission since the start, but where "now" is said. */
export interface AdaptiveStats {
  /** Work that may be with the disk at once now: bytes, and what operations cost beside them. It follows the disk. */
  depthBytes: number;
  /** Work that is with it now. */
  inFlightBytes: number;
  /** Reads and writes that wait now. */
  waiting: number;
  /** Reads and writes that were let go. */
  granted: number;
  /** Those of them that had to wait before. */
  waited: number;
  /** Times that room was given out to those who waited. */
  flushes: number;
  /** Operations that are let go together now. It follows the latency and the arrival rate. */
  batch: number;
  /** The average latency of completions now, microseconds. */
  latencyUs: number;
}

/** What a histogram tells, as the addon gives it: microseconds. */
export interface NativeDistribution {
  samples: number;
  minUs: number;
  meanUs: number;
  p50Us: number;
  p90Us: number;
  p99Us: number;
  p999Us: number;
  maxUs: number;
  sumUs: number;
  buckets: { leUs: number; count: number }[];
}

/** Latencies of one kind of operation, as the addon gives them. */
export interface NativeLatency {
  operation: string;
  took: NativeDistribution;
}

/** A histogram that JavaScript fills. */
export interface NativeTimes {
  /** Adds the first `count` of some times in nanoseconds. */
  record(nanoseconds: Float64Array, count: number): void;
  read(): NativeDistribution;
}

/** One environment's executor, as the addon exports it: translation only, policy is in lib/api. */
export interface NativeExecutor {
  readonly driver: 'uring' | 'poll';
  readonly features: string[];
  readonly notes: string[];
  /** The arena's bytes: external memory, or (`copies` true) a plain buffer that `pull` and `push` keep in step. */
  readonly arena: ArrayBuffer;
  readonly copies: boolean;
  /** Keeps the loop alive until pending work that counts is zero again. */
  hold(): void;
  /** Milliseconds on the clock that the alarm word counts by. */
  now(): number;
  /** Where other threads wake this executor: the low and the high half of a number. */
  address(): [low: number, high: number];
  /** Reads the command ring now; for a full ring. */
  flush(): void;
  /** The word of soft preemption, 4 bytes; null where external memory is refused: then ask `confirmPreempt` each time. */
  preemptWord(): ArrayBuffer | null;
  /** The word is not 0: true when the time of what runs is over, false when the word is 0 again. */
  confirmPreempt(): boolean;
  open(path: Uint8Array, flags: number, mode: number, slot: number, generation: number): void;
  fileDescriptor(slot: number, generation: number): number;
  /**
   * Writes a Uint8Array at once, as far as that is a copy and nothing else; at `position`, below 0 where the file is. Bytes written, minus an errno, or one of `WRITE_…`.
   */
  writeNow(slot: number, generation: number, bytes: Uint8Array, position: number): number;
  /** A descriptor of its own for what a file has open, the caller's to close; minus an errno when there is none. */
  duplicate(slot: number, generation: number): number;
  /** Drops a file that nobody can name any more; true when it was open. */
  forget(slot: number, generation: number): boolean;
  /** An answer that was too long for its range; null when there is none of this number. */
  takeParcel(number: number): ArrayBuffer | null;
  /** Frees such an answer unseen. True when it was there. */
  dropParcel(number: number): boolean;
  lease(bytes: number): NativeLease | null;
  release(slot: number, generation: number): boolean;
  /** `copies` only: copies the first bytes of a lease out of, or into, the arena. */
  pull(slot: number, generation: number, length: number): void;
  push(slot: number, generation: number, length: number): void;
  stats(): NativeStats;
  /** Says what a class of reads and writes is, for adaptive submission. */
  setClass(index: number, shares: number, urgent: boolean): void;
  latencies(): NativeLatency[];
  /** Watches the thread for stalls; `onStall` gets lines: nanoseconds, nanoseconds since its end, how many were left out, the stack. */
  watch(milliseconds: number, stack: boolean, onStall: (text: string) => void): void;
  /** Cancels what is in flight, drains, closes. Returns how many operations had to be leaked. */
  close(): number;
}

/** Counters of a file server, as the addon gives them. */
export interface NativeServerStats {
  /** Responses begun. */
  requests: number;
  /** Bytes given to the kernel, heads included. */
  bytes: number;
  /** Requests answered from the cache, or with a file that was open already. */
  cacheHits: number;
  /** Connections open now. */
  connections: number;
  /** Connections accepted. */
  accepted: number;
  /** Connections refused with 503. */
  shed: number;
  /** Connections ended by a timeout. */
  timeouts: number;
  /** Connections cut in the middle of a response, or for want of the PROXY header that was asked for. */
  cut: number;
  /** Files loaded or opened. */
  loads: number;
  /** Files compressed on the fly, in each coding and version. */
  compressions: number;
  /** Bytes of them that the cores have in common, held now. */
  compressedBytes: number;
  /** Bytes of ready-made responses held now. */
  cacheBytes: number;
  /** Ready-made responses held now. */
  cacheEntries: number;
  /** Large files held open now. */
  openFiles: number;
  /** Times one of its threads did not come back to its turn for 100 ms; up to a second old. */
  stalls: number;
  /** The longest of those that are over, milliseconds. */
  longestStallMs: number;
  /** Lines of the access log that were not written: its writer did not keep up, or a write failed. */
  accessLogDropped: number;
  /** Why its last write failed; not there while all is well. */
  accessLogError?: string;
  /** Responses by status code; codes that never occurred are left out. */
  statuses: Record<string, number>;
  /** How long answers took, from the arrival of a request to its last byte in the kernel's hands; one request in 64 is timed. */
  latency: NativeAnswerLatency;
  /** Each core's share. */
  cores: NativeCoreStats[];
}

/** How long answers of a file server took. */
export interface NativeAnswerLatency {
  /** How many were timed. */
  samples: number;
  /** All of them together, microseconds. */
  sumUs: number;
  /** The histogram as Prometheus has it: from 1 µs to 10 s in steps of 1, 2 and 5, how many took no longer than `leUs`. `samples` counts the longer ones too. */
  buckets: { leUs: number; count: number }[];
}

/** What one core of a file server has done. */
export interface NativeCoreStats {
  /** The CPU it is pinned to, if it is. */
  cpu?: number;
  /** Responses begun. */
  requests: number;
  /** Bytes given to the kernel. */
  bytes: number;
  /** Requests answered from the cache, or with a file that was open already. */
  cacheHits: number;
  /** Connections open now. */
  connections: number;
  /** Turns of its executor, as of `lookedMs`, as all that follow. */
  turns: number;
  /** System calls made to submit and wait. */
  enters: number;
  /** Times it did not come back to its turn for 100 ms. */
  stalls: number;
  /** Tasks alive: one for each connection, and a few. */
  tasks: number;
  /** Operations in its ring. */
  inFlight: number;
  /** Operations that ended. */
  completed: number;
  /** CPU time of its thread, milliseconds; 0 where the system does not tell. */
  cpuMs: number;
  /** When that was, milliseconds since its start, at most a second ago while it has connections: the load is what `cpuMs` grew by in what this grew by. */
  lookedMs: number;
}

/** A running file server, as the addon exports it. */
export interface NativeFileServer {
  readonly port: number;
  /** Empty without TCP. */
  readonly host: string;
  readonly unix: string | null;
  readonly cores: number;
  readonly driver: string;
  readonly features: string[];
  readonly notes: string[];
  /** Also while it closes and after. */
  stats(): NativeServerStats;
  /** Options as JSON, as for a start. */
  reload(options: string): Promise<void>;
  reloadCertificates(): Promise<void>;
  reopenAccessLog(): Promise<void>;
  /** The sockets it listens on, by number; none once a close has begun. */
  descriptors(): number[];
  close(deadlineMs: number, idleMs: number, handedOver: boolean): Promise<void>;
  hurry(deadlineMs: number): void;
}

/** Routes of a server: JavaScript's thread as their attendant. */
export interface NativeRoutes {
  add(pattern: string): number;
  /** Fills in events, eight numbers each; then how many, and whether there are more. Returns the heads of requests. */
  take(numbers: Uint32Array): string;
  /** Eight numbers an answer; fields and body of each, one behind the other. */
  answer(numbers: Uint32Array, bytes: Uint8Array): void;
  send(number: number, bytes: Uint8Array): boolean;
  finish(number: number): void;
  fail(number: number): void;
  /** Null: later. 0: the end. 1: it was cut. */
  read(number: number): Uint8Array | null | 0 | 1;
  spurn(number: number): void;
}

/** Where one member of a pool runs. */
export interface NativeSeat {
  /** Left out: the kernel places it. */
  readonly cpus?: readonly number[];
  readonly node?: number;
}

/** What the addon exports. */
export interface Binding {
  layoutVersion(): number;
  regionBytes(): number;
  startExecutor(
    options: object,
    rings: Uint8Array,
    onCompletions: (broken?: string) => void,
    onSlice: () => void,
  ): NativeExecutor;
  /** Has the environment of that executor look at its channels; nothing when there is none. */
  wakeExecutor(low: number, high: number): void;
  /** Has the second executor woken when the first ends; false when that has ended. */
  watchExecutor(low: number, high: number, ownLow: number, ownHigh: number): boolean;
  /** Options as JSON, in the names of crates/fileserver. */
  /** On the sockets `handed`, where there are some. */
  startFileServer(options: string, routes: NativeRoutes, handed: readonly number[]): Promise<NativeFileServer>;
  /** Sends one datagram to a Unix socket, or to one of the abstract names when the path begins with `@`. */
  notify(socket: string, text: string): void;
  /** The same options with the defaults of what was left out, once they are checked. */
  checkFileServer(options: string): Promise<string>;
  NativeTimes: new () => NativeTimes;
  NativeRoutes: new (bell: () => void) => NativeRoutes;
  topology(): object;
  place(placement: object): NativeSeat[];
  diagnose(driver: 'auto' | 'poll' | 'uring'): { driver: string; features: string[]; notes: string[] };
}

interface LoadError extends Error {
  code: string;
}

const NO_BINDING = 'ERR_RINGWHEEL_NO_BINDING';

let loaded: Binding | undefined;

/** The addon; loaded once for each module instance. */
export function binding(): Binding {
  loaded ??= load();
  return loaded;
}

/** The name of this platform in file and package names: `linux-x64-gnu`, `darwin-arm64`, `win32-x64-msvc`. */
export function platformName(): string {
  const { platform, arch } = process;
  if (platform === 'linux') return `linux-${arch}-${usesMusl() ? 'musl' : 'gnu'}`;
  return platform === 'win32' ? `win32-${arch}-msvc` : `${platform}-${arch}`;
}

function load(): Binding {
  const name = platformName();
  let local = '';
  try {
    local = join(packageRoot(), `ringwheel.${name}.node`);
    if (existsSync(local)) return attempt(local, name);
    require.resolve(`ringwheel-${name}`);
  } catch (cause) {
    if ((cause as LoadError).code === NO_BINDING) throw cause;
    throw loadError(`neither its package nor the file ${inspect(local)} is there`, name, cause);
  }
  return attempt(`ringwheel-${name}`, name);
}

function attempt(specifier: string, name: string): Binding {
  try {
    return keepingProbe(() => require(specifier) as Binding);
  } catch (cause) {
    throw loadError(`${inspect(specifier)} does not load: ${(cause as Error).message}`, name, cause);
  }
}

/** The object of {@link keepingProbe}. */
const kept: object[] = [];

/**
 * Loads the addon, and keeps the object on which napi-rs tries `Reflect.getOwnPropertyDescriptor` meanwhile: it has a native getter, whose end
 * Node-API puts off to an immediate. A program whose `beforeExit` listener collects garbage would be kept alive for it, and hear `beforeExit` twice.
 */
function keepingProbe<T>(load: () => T): T {
  const { getOwnPropertyDescriptor } = Reflect;
  const set = (value: typeof getOwnPropertyDescriptor): boolean =>
    Reflect.set(Reflect, 'getOwnPropertyDescriptor', value);
  let loading = true;
  // napi-rs goes on using this one.
  const watched = set((target: object, key: PropertyKey) => {
    if (loading) kept[0] = target;
    return getOwnPropertyDescriptor(target, key);
  });
  try {
    return load();
  } finally {
    loading = false;
    if (watched) set(getOwnPropertyDescriptor);
  }
}

function loadError(what: string, name: string, cause: unknown): LoadError {
  const [platform, arch, libc] = name.split('-');
  const { message } = cause as Error;
  if (/too many open files/i.test(message)) {
    const full = `the native binary cannot be loaded: ${message}; raise the limit of open files (ulimit -n)`;
    return Object.assign(new Error(full, { cause }), { code: NO_BINDING });
  }
  const error = new Error(
    `no native binary for ${platform} ${arch}${libc === undefined ? '' : ` (${libc})`}: ${what}. ` +
      `Install it with \`npm install ringwheel-${name}\` (optional dependencies must not be left out), ` +
      'or, with a Rust toolchain (https://rustup.rs), clone the repository and run `npm run build`.',
    { cause },
  ) as LoadError;
  error.code = NO_BINDING;
  return error;
}

/** The folder whose package.json is ours: this file runs from lib/wire and from dist/lib/wire. */
function packageRoot(): string {
  for (let folder = __dirname; ; folder = dirname(folder)) {
    const manifest = join(folder, 'package.json');
    if (existsSync(manifest)) {
      const { name } = JSON.parse(readFileSync(manifest, 'utf8')) as { name?: string };
      if (name === 'ringwheel') return folder;
    }
    if (folder === dirname(folder)) return __dirname;
  }
}

/** The C library, by its loader; where both are installed, or neither is where it is expected, Node is asked, which takes longer. */
function usesMusl(): boolean {
  const machine = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
  const glibc = existsSync(process.arch === 'arm64' ? '/lib/ld-linux-aarch64.so.1' : '/lib64/ld-linux-x86-64.so.2');
  const musl = existsSync(`/lib/ld-musl-${machine}.so.1`);
  return glibc === musl ? systemReport().header?.glibcVersionRuntime === undefined : musl;
}
