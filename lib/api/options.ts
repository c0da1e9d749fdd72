// Every options interface with unit, range and default, and the rules that check it once.
import {
  abortSignal,
  between,
  either,
  listOf,
  multipleOf,
  off,
  oneOf,
  powerOfTwo,
  type Rule,
  shape,
  shortText,
  text,
  truth,
  whole,
} from './validate.js';

/** Options of {@link Executor.start}. */
export interface ExecutorOptions {
  /**
   * Which backend runs the operations: io_uring, or readiness and a small thread pool. `auto` takes io_uring where the
   * kernel allows it. Default: the environment variable RINGWHEEL_DRIVER, else `auto`.
   */
  driver?: 'auto' | 'uring' | 'poll';
  /** Submission entries: a power of two from 8 to 32768. Default 1024. Halved, with a note in `doctor()`, where memory is locked too tightly. */
  entries?: number;
  /** Bytes of the arena that leases come from: a multiple of 4096 from 65536 to 1073741824. Default 4194304. */
  memory?: number;
  /**
   * Bytes of the arena, at most, through which plain Uint8Arrays are copied: from 65536 to `memory`. Default: half of it. Copies beyond
   * that wait for each other, in order.
   */
  copyMemory?: number;
  /**
   * Bytes of the arena, at most, that {@link File.readMany} and {@link File.stream} hand out: from 65536 to `memory`. Default: half of
   * it. Calls beyond that wait, in order, until batches and chunks are released.
   */
  readMemory?: number;
  /**
   * Bytes of memory, at most, that files were read into as a whole and nobody holds any more, kept for the next ones, beside the arena: from
   * 0, which keeps none, to 1073741824. Default 33554432. Fresh memory costs more than the copy out of the page cache; files of
   * less than 128 KiB and of 32 MiB and more do without. It is freed with the executor.
   */
  spareMemory?: number;
  /**
   * A kernel thread that submits without system calls. Default false. It needs a CPU of its own, so it is refused with fewer
   * than 4 usable CPUs unless `force` is set. It keeps the user and groups of its start: after `process.setuid()` files are not
   * opened (ERR_RINGWHEEL_DRIVER) until another executor is started.
   */
  sqpoll?: false | SqpollOptions;
  /**
   * The CPU, or CPUs, to pin the calling thread to, each from 0 to 65535; its memory comes from their NUMA node. The thread stays
   * pinned when the executor is closed, and threads that it starts (libuv's pool, workers) inherit it. Default: not pinned.
   */
  cpu?: number | readonly number[];
  /** How task queues share the event loop with everything else. */
  queues?: QueuesOptions;
  /**
   * Microseconds for which the event loop looks for the next message of another thread before it sleeps, from 0 to 1000; 0 does not
   * look. Default 50: about what it costs to wake the other thread and to be woken by it. It looks only after there was a message, and
   * less and less, down to a microsecond, where that is in vain; not at all on one CPU.
   */
  spinUs?: number;
  /**
   * Shares of the disk between task queues, and a depth that follows it. Reads and writes beyond what the disk does at its best wait here
   * instead of inside it: those of a queue with a latency class go first, those of others by shares. What waits is in
   * `stats().adaptive`. Default false: everything goes to the system at once, in the order of the calls.
   */
  adaptive?: boolean | AdaptiveOptions;
  /**
   * Watches for stalls: this thread not coming back to its event loop for 100 ms. By default they are counted (`stats().stalls`) and
   * published on the channel `ringwheel:stall` of node:diagnostics_channel. As an object they are warned of too, with the native
   * stack. False watches for nothing.
   */
  stall?: false | StallOptions;
}

/** What adaptive submission knows of the disk beforehand. */
export interface AdaptiveOptions {
  /**
   * The path of the file that `ringwheel calibrate` wrote. Default: none; an operation is taken to cost its bytes and 4 KiB, and what
   * the disk can do at once is found from a guess on.
   */
  properties?: string;
}

/** How stalls are watched for. */
export interface StallOptions {
  /** What counts as a stall: milliseconds, from 1 to 3600000. Default 100. */
  ms?: number;
  /**
   * Tell the JavaScript stack too: a CPU profile of node:inspector runs all the time, 20 samples in `ms`. Default false.
   */
  profile?: boolean;
}

/** How task queues share the event loop. */
export interface QueuesOptions {
  /**
   * Milliseconds for which queues may hold the event loop while somebody waits for it, from 0.05 to 1000. Default 0.5. More gives queues a
   * little more of the CPU, less lets timers, sockets and servers of Node wait less. A latency class shortens it to a quarter of
   * its bound. While nobody waits, tasks that ask {@link Executor.needPreempt} run on: five times as long, at most 2.5 ms.
   */
  turnMs?: number;
}

/** Options of the kernel's submission thread. */
export interface SqpollOptions {
  /** Milliseconds for which it spins without work before it sleeps, from 1 to 10000. Default 1. */
  idleMs?: number;
  /** The CPU that it is pinned to, from 0 to 4095. Default: the kernel's choice. */
  cpu?: number;
  /** Start it even when fewer than 4 CPUs are usable. Default false. */
  force?: boolean;
}

/** @internal */
export const EXECUTOR_RULES: Record<string, Rule> = {
  driver: oneOf('auto', 'uring', 'poll'),
  entries: powerOfTwo(8, 32768),
  memory: multipleOf(4096, 65536, 2 ** 30),
  copyMemory: whole(65536, 2 ** 30),
  readMemory: whole(65536, 2 ** 30),
  spareMemory: whole(0, 2 ** 30),
  cpu: either(whole(0, 65_535), listOf(whole(0, 65_535), 65_536)),
  sqpoll: either(off, shape({ idleMs: whole(1, 10_000), cpu: whole(0, 4095), force: truth })),
  queues: shape({ turnMs: between(0.05, 1000) }),
  spinUs: between(0, 1000),
  adaptive: either(truth, shape({ properties: text })),
  stall: either(off, shape({ ms: whole(1, 3_600_000), profile: truth })),
};

/** Options of {@link TaskQueue}. */
export interface TaskQueueOptions {
  /** A name for statistics, 1 to 64 characters. It need not be unique. Default `queue`. */
  name?: string;
  /** Weight against other queues, a whole number from 1 to 1000. Default 100. A queue of 300 gets three times the CPU of one of 100. */
  shares?: number;
  /** Makes it a latency class: what is ready goes before other queues. Default: none. */
  latency?: LatencyOptions;
}

/** A latency class. */
export interface LatencyOptions {
  /** Milliseconds in which what is ready shall run, from 0.2 to 10000. */
  maxMs: number;
}

/** @internal */
export const SHARES: Rule = whole(1, 1000);

/** @internal */
export const QUEUE_RULES: Record<string, Rule> = {
  name: shortText(64),
  shares: SHARES,
  latency: shape({ maxMs: between(0.2, 10_000) }, ['maxMs']),
};

/** Options of {@link File.open}. */
export interface OpenOptions {
  /** Permission bits of a file that is created, from 0 to 0o7777, cut by the process's umask. Default 0o666. */
  mode?: number;
  /**
   * Bypass the page cache (O_DIRECT, also as a bit of the flags). Default false. Transfers may have any position, length and memory. What is a
   * multiple of {@link File.alignment} and in a {@link Lease} goes to the device as it is; of the rest whole blocks are read into the executor's
   * memory and copied, and a write of a part of a block reads the block, changes it and writes it back. Such writes of one `File` wait for
   * each other where they meet, so that no byte is lost; those of other `File`s and processes do not. A write that ends within a block
   * behind the end of the file is padded with zeros up to that block's end, and the file is cut at once to its length.
   *
   * For writing, permission to read is needed, too. The file's own position, and the end that appends go to, are this object's and not
   * the kernel's. EINVAL where the file system has no direct I/O, or what is opened is neither a file nor a block device; then open it without.
   */
  direct?: boolean;
  /** Ends the open early: the promise rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** @internal */
export const OPEN_RULES: Record<string, Rule> = { mode: whole(0, 0o7777), direct: truth, signal: abortSignal };

/** Options of {@link File.read} and {@link File.write}. */
export interface TransferOptions {
  /** Byte position in the file, 0 to 2^53 − 1. Default: the file's own position, which moves. */
  position?: number;
  /** Bytes to move, at most the target's length, which is the default. */
  length?: number;
  /**
   * Ends the operation early. With a lease the promise settles when the kernel has let go of the memory: with the reason, or
   * with the result if that was faster. It is, as a rule, for what is in the page cache: io_uring moves such bytes as it is told of the operation, so that
   * an abort in the turn of the call resolves there, while the poll driver has not begun then and rejects. With a Uint8Array it rejects at once.
   */
  signal?: AbortSignal;
}

/** @internal */
export const TRANSFER_RULES: Record<string, Rule> = {
  position: whole(0, Number.MAX_SAFE_INTEGER),
  length: whole(0, Number.MAX_SAFE_INTEGER),
  signal: abortSignal,
};

/** Options of {@link File.stat}, `size`, `sync`, `datasync`, `truncate` and `advise`. */
export interface SignalOptions {
  /**
   * Ends it early: the promise rejects with the signal's reason at once, and the kernel is asked to end what it has begun, which it may do to its
   * end all the same. `file.close()` waits for that.
   */
  signal?: AbortSignal;
}

/** @internal */
export const SIGNAL_RULES: Record<string, Rule> = { signal: abortSignal };

/** Options of {@link File.readMany}. */
export interface ReadManyOptions {
  /** Bytes of one merged read at most: ranges that lie near each other are read together up to here. Default 262144; 0 merges none. */
  mergeBytes?: number;
  /** Bytes between two ranges, at most, that are read in vain to read both at once, from 0 to 2^30. Default 4096. */
  amplification?: number;
  /** Reads of the batch in flight at once at most, from 1 to 65536. Default 128. */
  concurrency?: number;
  /** Bytes of leased memory, at most, that the batch may take. Default: the executor's `readMemory`. */
  memory?: number;
  /** Ends the batch early: the promise rejects with the signal's reason once the kernel has let go of the memory. */
  signal?: AbortSignal;
}

/** @internal */
export const READ_MANY_RULES: Record<string, Rule> = {
  mergeBytes: whole(0, 2 ** 30),
  amplification: whole(0, 2 ** 30),
  concurrency: whole(1, 65_536),
  memory: whole(1, 2 ** 30),
  signal: abortSignal,
};

/** Options of {@link Timer}. */
export interface TimerOptions {
  /** Whether the timer keeps the process alive while it waits. Default true. */
  ref?: boolean;
  /**
   * Whether the loop wakes for this timer alone. By default timers within a millisecond of each other share a wake-up, so one
   * of many may be up to a millisecond late; a timer that is alone is not. With `precise` set, timers that are due 0.2 ms
   * apart are called 0.2 ms apart, at the cost of a wake-up each (some 20 µs of CPU). Default false.
   */
  precise?: boolean;
}

/** Options of {@link sleep}, {@link sleepUntil} and {@link interval}. */
export interface SleepOptions extends TimerOptions {
  /** Ends the wait early: the promise rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** Options of {@link timeout} and {@link deadline}. */
export interface TimeoutOptions {
  /** Ends the work early, too: the promise rejects with this signal's reason. */
  signal?: AbortSignal;
}

/** @internal */
export const TIMER_RULES: Record<string, Rule> = { ref: truth, precise: truth };
/** @internal */
export const SLEEP_RULES: Record<string, Rule> = { signal: abortSignal, ...TIMER_RULES };
/** @internal */
export const TIMEOUT_RULES: Record<string, Rule> = { signal: abortSignal };
