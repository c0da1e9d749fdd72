// `ringwheel/metrics`: the figures of an executor, its queues and file servers as metrics of a prom-client registry.
import { authorityOf } from './address.js';
import { ourError } from './errors.js';
import { Executor, type ExecutorStats, runningExecutor } from './executor.js';
import { type CoreStats, FileServer, type ServerStats } from './file-server.js';
import { type Add, type AddLatency, type Family, histogram, type Labels, numbers } from './metric-family.js';
import type { QueueStats } from './queue-stats.js';
import { checked, type Rule, rule, shown } from './validate.js';

/** What is asked of a registry: a `Registry` of [prom-client](https://github.com/siimon/prom-client) has it. */
export interface MetricsRegistry {
  /** Takes a metric; throws when one of this name is there. */
  registerMetric(metric: never): void;
  /** Takes it out again. */
  removeSingleMetric(name: string): void;
}

/** Options of {@link collectMetrics}. */
export interface MetricsOptions {
  /** Whose figures. Default: this thread's executor, whichever runs when it is scraped; none is started for that. */
  executor?: Executor;
  /** File servers, each told apart by the label `address`. Default: none. The array is read at each scrape. */
  servers?: readonly FileServer[];
  /** What names begin with: letters, digits, `_` and `:`, at most 64, no digit first. Default `ringwheel_`. */
  prefix?: string;
  /** Labels that every value gets, such as the name of a worker; at most 16. Default: none. */
  labels?: Readonly<Record<string, string>>;
}

const LABELS_MAX = 16;
/** Labels that are ours. */
const RESERVED = ['le', 'quantile', 'operation', 'queue', 'address', 'code', 'core'];

const isLabels = (value: unknown): boolean =>
  typeof value === 'object' &&
  value !== null &&
  Object.keys(value).length <= LABELS_MAX &&
  Object.entries(value).every(
    ([name, label]) => /^(?!__)[a-zA-Z_]\w*$/.test(name) && !RESERVED.includes(name) && typeof label === 'string',
  );

const executorRule = rule('an Executor', (value) => value instanceof Executor);
const serversRule = rule(
  'an array of FileServers',
  (value) => Array.isArray(value) && value.every((server) => server instanceof FileServer),
);

const RULES: Record<keyof MetricsOptions, Rule> = {
  executor: executorRule,
  servers: serversRule,
  prefix: rule(
    'letters, digits, _ and :, at most 64, no digit first',
    (value) => typeof value === 'string' && /^[a-zA-Z_:][\w:]{0,63}$/.test(value),
  ),
  labels: rule(
    `an object of at most ${LABELS_MAX} strings, their names letters, digits and _, and none of ${RESERVED.join(', ')}`,
    isLabels,
  ),
};

/**
 * Registers metrics of this package with a registry of prom-client: counters and gauges of an executor, of its task queues and of file
 * servers, and histograms of how long operations took and how long queues waited and ran. Values are read when they are scraped, in
 * about 0.1 ms and 0.1 ms a queue; nothing is counted on the way that was not before. The guide "Seeing inside" has the list.
 *
 * Nothing of prom-client is loaded here: the registry is the program's, from whichever copy it has. Metrics are of the calling thread's executor: in a worker
 * call it there, with a registry of its own, or send `executor.stats()` to where they are collected.
 *
 * @param register - A `Registry` of prom-client, such as its `register`.
 * @param options - See {@link MetricsOptions}.
 * @returns A function that takes the metrics out of the registry again.
 * @throws ERR_RINGWHEEL_INVALID_OPTION when `register` is no registry, or an option is unknown or out of range.
 * @throws What the registry throws when a metric of this name is there already; it has none of these then.
 *
 * @example
 * ```ts
 * import { Registry } from 'prom-client';
 * import { sleep } from 'ringwheel';
 * import { collectMetrics } from 'ringwheel/metrics';
 *
 * const register = new Registry();
 * collectMetrics(register, { labels: { worker: 'main' } });
 * await sleep(1);
 * console.log(await register.metrics()); // what your /metrics answers
 * ```
 */
export function collectMetrics(register: MetricsRegistry, options?: MetricsOptions): () => void {
  if (typeof register?.registerMetric !== 'function' || typeof register.removeSingleMetric !== 'function') {
    throw wrong(`register must be a Registry of prom-client; got ${shown(register)}`);
  }
  // The two that must not be copied, as options are.
  const { executor, servers = [] } = options ?? {};
  const plain = typeof options === 'object' && options !== null;
  const others = plain ? { ...options, executor: undefined, servers: undefined } : options;
  const { prefix = 'ringwheel_', labels = {} } = checked(
    'collectMetrics',
    others as Omit<MetricsOptions, 'executor' | 'servers'>,
    RULES,
  );
  for (const [name, value, each] of [
    ['executor', executor, executorRule],
    ['servers', servers, serversRule],
  ] as const) {
    const sentence = value === undefined ? undefined : each.wrong(value, name);
    if (sentence !== undefined) throw wrong(sentence);
  }
  const families = [
    ...ofExecutor(prefix, labels, () => executor ?? runningExecutor()),
    ...ofServers(prefix, labels, () => servers),
  ];
  const done: Family[] = [];
  const remove = () => {
    for (const { name } of done.splice(0)) register.removeSingleMetric(name);
  };
  try {
    for (const family of families) {
      register.registerMetric(family as never);
      done.push(family);
    }
  } catch (error) {
    remove();
    throw error;
  }
  return remove;
}

function wrong(sentence: string): Error {
  return ourError('ERR_RINGWHEEL_INVALID_OPTION', `collectMetrics: ${sentence}`, collectMetrics);
}

type Kind = 'counter' | 'gauge';
type Row<T> = [name: string, type: Kind, help: string, value: (stats: T) => number];

const EXECUTOR: Row<ExecutorStats>[] = [
  ['operations_submitted_total', 'counter', 'Operations given to the kernel.', (stats) => stats.submitted],
  ['operations_completed_total', 'counter', 'Operations that ended.', (stats) => stats.completed],
  ['operations_cancelled_total', 'counter', 'Operations asked to end early.', (stats) => stats.cancels],
  ['operations_leaked_total', 'counter', 'Operations whose memory was leaked at a shutdown.', (stats) => stats.leaked],
  ['operations_in_flight', 'gauge', 'Operations in flight.', (stats) => stats.inFlight],
  ['pending', 'gauge', 'Operations and timers that wait.', (stats) => stats.pending],
  ['enters_total', 'counter', 'System calls made to submit and wait.', (stats) => stats.enters],
  ['turns_total', 'counter', 'Turns taken.', (stats) => stats.turns],
  ['callbacks_total', 'counter', 'Calls into JavaScript.', (stats) => stats.callbacks],
  ['completion_overflows_total', 'counter', 'Overflows of the completion queue.', (stats) => stats.overflows],
  ['calls_here_total', 'counter', 'File system calls on this thread.', (stats) => stats.callsHere],
  ['writes_now_total', 'counter', 'Writes of long arrays from where they are.', (stats) => stats.writesNow],
  ['calls_pooled_total', 'counter', 'File system calls on the pool.', (stats) => stats.callsPooled],
  ['calls_postponed_total', 'counter', 'Times that calls waited for the next turn.', (stats) => stats.callsPostponed],
  ['parcels_total', 'counter', 'Answers with memory of their own.', (stats) => stats.parcels],
  ['parcels_reused_total', 'counter', 'Answers in memory of earlier ones.', (stats) => stats.parcelsReused],
  ['spare_bytes', 'gauge', 'Bytes of memory kept for answers.', (stats) => stats.spareBytes],
  ['parcels_waiting', 'gauge', 'Answers not taken yet.', (stats) => stats.parcelsWaiting],
  ['timers', 'gauge', 'Timers set.', (stats) => stats.timers],
  ['files', 'gauge', 'Files open.', (stats) => stats.files],
  ['files_forgotten_total', 'counter', 'Files collected without a close.', (stats) => stats.forgotten],
  ['leases', 'gauge', 'Leases given out, scratch ranges included.', (stats) => stats.leases],
  ['arena_bytes', 'gauge', 'Bytes of the arena.', (stats) => stats.arenaBytes],
  ['arena_free_bytes', 'gauge', 'Bytes of the arena that no lease has.', (stats) => stats.arenaFreeBytes],
  ['queues', 'gauge', 'Task queues, the default one aside.', (stats) => stats.queues],
  ['stalls_total', 'counter', 'Stalls of the thread.', (stats) => stats.stalls],
  ['longest_stall_seconds', 'gauge', 'The longest stall that is over.', (stats) => stats.longestStallMs / 1e3],
];

/** Only with the option `adaptive`. */
const ADAPTIVE: Row<NonNullable<ExecutorStats['adaptive']>>[] = [
  ['disk_depth_bytes', 'gauge', 'Work that may be with the disk at once.', (stats) => stats.depthBytes],
  ['disk_in_flight_bytes', 'gauge', 'Work that is with the disk.', (stats) => stats.inFlightBytes],
  ['disk_waiting', 'gauge', 'Reads and writes that wait for the disk.', (stats) => stats.waiting],
  ['disk_granted_total', 'counter', 'Reads and writes that were let go to the disk.', (stats) => stats.granted],
  ['disk_waited_total', 'counter', 'Those of them that had to wait.', (stats) => stats.waited],
  ['disk_flushes_total', 'counter', 'Times that room was given to those who waited.', (stats) => stats.flushes],
  ['disk_batch', 'gauge', 'Operations that are let go together.', (stats) => stats.batch],
  ['disk_latency_seconds', 'gauge', 'The average latency of the disk now.', (stats) => stats.latencyUs / 1e6],
];

const QUEUE: Row<QueueStats>[] = [
  ['queue_tasks', 'gauge', 'Tasks that have not ended.', (stats) => stats.tasks],
  ['queue_ready', 'gauge', 'Tasks and completions that wait for a slice.', (stats) => stats.ready],
  ['queue_slices_total', 'counter', 'Slices.', (stats) => stats.slices],
  ['queue_resumes_total', 'counter', 'Tasks and completions that slices went on with.', (stats) => stats.resumes],
  ['queue_run_seconds_total', 'counter', 'Time that slices took.', (stats) => stats.runMs / 1e3],
  ['queue_late_total', 'counter', 'Slices of a latency class that began after its bound.', (stats) => stats.late],
];

const SERVER: Row<ServerStats>[] = [
  ['server_requests_total', 'counter', 'Responses begun.', (stats) => stats.requests],
  ['server_sent_bytes_total', 'counter', 'Bytes given to the kernel, heads included.', (stats) => stats.bytes],
  [
    'server_cache_hits_total',
    'counter',
    'Requests answered from the cache or an open file.',
    (stats) => stats.cacheHits,
  ],
  ['server_connections', 'gauge', 'Connections open.', (stats) => stats.connections],
  ['server_accepted_total', 'counter', 'Connections accepted.', (stats) => stats.accepted],
  ['server_shed_total', 'counter', 'Connections refused with 503.', (stats) => stats.shed],
  ['server_timeouts_total', 'counter', 'Connections ended by a timeout.', (stats) => stats.timeouts],
  ['server_cut_total', 'counter', 'Connections cut in the middle of a response.', (stats) => stats.cut],
  ['server_loads_total', 'counter', 'Files loaded or opened.', (stats) => stats.loads],
  ['server_compressions_total', 'counter', 'Files compressed on the fly.', (stats) => stats.compressions],
  ['server_compressed_bytes', 'gauge', 'Bytes of compressed files held.', (stats) => stats.compressedBytes],
  ['server_cache_bytes', 'gauge', 'Bytes of ready-made responses held.', (stats) => stats.cacheBytes],
  ['server_cache_entries', 'gauge', 'Ready-made responses held.', (stats) => stats.cacheEntries],
  ['server_open_files', 'gauge', 'Large files held open.', (stats) => stats.openFiles],
  ['server_access_log_dropped_total', 'counter', 'Lines not written.', (stats) => stats.accessLogDropped],
  ['server_stalls_total', 'counter', 'Stalls of its threads.', (stats) => stats.stalls],
  ['server_longest_stall_seconds', 'gauge', 'The longest stall that is over.', (stats) => stats.longestStallMs / 1e3],
];

const CORE: Row<CoreStats>[] = [
  ['server_core_requests_total', 'counter', 'Responses begun by a core.', (stats) => stats.requests],
  ['server_core_connections', 'gauge', 'Connections open on a core.', (stats) => stats.connections],
  ['server_core_cpu_seconds_total', 'counter', 'CPU time of a core’s thread.', (stats) => stats.cpuMs / 1e3],
  ['server_core_turns_total', 'counter', 'Turns of a core.', (stats) => stats.turns],
  ['server_core_enters_total', 'counter', 'System calls of a core to submit and wait.', (stats) => stats.enters],
];

/** Values of a closed executor are left out: a scrape goes on. */
function whileOpen(executor: Executor | undefined, work: (executor: Executor) => void): void {
  if (executor === undefined) return;
  try {
    work(executor);
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ERR_RINGWHEEL_CLOSED') throw error;
  }
}

/** Reads once what several metrics of one scrape are taken from, so that they fit each other: a registry asks all of them in one go. */
function onceAScrape<Of extends object, Figures>(read: (of: Of) => Figures): (of: Of) => Figures {
  let taken: Map<Of, Figures> | undefined;
  return (of) => {
    if (taken === undefined) {
      taken = new Map();
      queueMicrotask(() => {
        taken = undefined;
      });
    }
    let figures = taken.get(of);
    if (figures === undefined) {
      figures = read(of);
      taken.set(of, figures);
    }
    return figures;
  };
}

function ofExecutor(prefix: string, labels: Labels, find: () => Executor | undefined): Family[] {
  const statsOf = onceAScrape((executor: Executor) => executor.stats());
  const one = ([name, type, help, value]: Row<ExecutorStats>) =>
    numbers(prefix + name, type, help, labels, (add: Add) => {
      whileOpen(find(), (executor) => add(value(statsOf(executor))));
    });
  const ofDisk = ([name, type, help, value]: Row<NonNullable<ExecutorStats['adaptive']>>) =>
    numbers(prefix + name, type, help, labels, (add: Add) => {
      whileOpen(find(), (executor) => {
        const { adaptive } = statsOf(executor);
        if (adaptive) add(value(adaptive));
      });
    });
  const perQueue = ([name, type, help, value]: Row<QueueStats>) =>
    numbers(prefix + name, type, help, labels, (add: Add) => {
      for (const stats of find()?.queueStats() ?? []) add(value(stats), { queue: stats.name });
    });
  const queueLatency = (name: string, help: string, what: 'wait' | 'slice') =>
    histogram(prefix + name, help, labels, (add: AddLatency) => {
      for (const queue of find()?.queueLatencies() ?? []) add(queue[what], { queue: queue.name });
    });
  return [
    ...EXECUTOR.map(one),
    ...ADAPTIVE.map(ofDisk),
    histogram(
      `${prefix}operation_seconds`,
      'How long operations took, from the command to the completion; one in 64 is timed.',
      labels,
      (add) =>
        whileOpen(find(), (executor) => {
          for (const [operation, latency] of Object.entries(executor.latencies())) add(latency, { operation });
        }),
    ),
    ...QUEUE.map(perQueue),
    queueLatency('queue_wait_seconds', 'How long a queue that had work waited for a slice; one in 8 is timed.', 'wait'),
    queueLatency('queue_slice_seconds', 'How long slices took; one in 8 is timed.', 'slice'),
  ];
}

function ofServers(prefix: string, labels: Labels, servers: () => readonly FileServer[]): Family[] {
  const addressOf = ({ host, port, unix }: FileServer) => (host === '' ? `unix:${unix}` : authorityOf(host, port));
  const statsOf = onceAScrape((server: FileServer) => server.stats());
  const one = ([name, type, help, value]: Row<ServerStats>) =>
    numbers(prefix + name, type, help, labels, (add: Add) => {
      for (const server of servers()) add(value(statsOf(server)), { address: addressOf(server) });
    });
  const perCore = ([name, type, help, value]: Row<CoreStats>) =>
    numbers(prefix + name, type, help, labels, (add: Add) => {
      for (const server of servers()) {
        const address = addressOf(server);
        for (const [core, stats] of statsOf(server).cores.entries()) add(value(stats), { address, core: `${core}` });
      }
    });
  return [
    ...SERVER.map(one),
    ...CORE.map(perCore),
    histogram(
      `${prefix}server_answer_seconds`,
      'How long answers took, from the arrival of a request to its last byte in the kernel; one in 64 is timed.',
      labels,
      (add) => {
        for (const server of servers()) add(statsOf(server).latency, { address: addressOf(server) });
      },
    ),
    numbers(`${prefix}server_reloads_total`, 'counter', 'Reloads, by what came of them.', labels, (add) => {
      for (const server of servers()) {
        const { reloads, reloadsFailed } = statsOf(server);
        add(reloads, { address: addressOf(server), result: 'success' });
        add(reloadsFailed, { address: addressOf(server), result: 'failure' });
      }
    }),
    numbers(`${prefix}server_responses_total`, 'counter', 'Responses by status code.', labels, (add) => {
      for (const server of servers()) {
        for (const [code, count] of Object.entries(statsOf(server).statuses)) {
          add(count, { address: addressOf(server), code });
        }
      }
    }),
  ];
}
