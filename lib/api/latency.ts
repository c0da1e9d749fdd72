// Latencies as a user sees them, in microseconds: of operations by kind, and of task queues.
import type { Queue, Scheduler } from '../ring/scheduler.js';
import type { NativeDistribution, NativeLatency } from '../wire/binding.js';

/** How long something took, from those that were timed. Percentiles are exact to 1 % or 0.06 µs. All are 0 while there is no sample. */
export interface LatencySummary {
  /** How many were timed. */
  samples: number;
  /** The shortest, microseconds, as all that follow. */
  minUs: number;
  /** The mean. */
  meanUs: number;
  /** Half took no longer. */
  p50Us: number;
  /** 90 % took no longer. */
  p90Us: number;
  /** 99 % took no longer. */
  p99Us: number;
  /** 99.9 % took no longer. */
  p999Us: number;
  /** The longest; a minute stands for everything above. */
  maxUs: number;
  /** All together. */
  sumUs: number;
  /** The histogram as Prometheus has it: from 1 µs to 10 s in steps of 1, 2 and 5, how many took no longer. `samples` counts the longer ones too. */
  buckets: readonly LatencyBucket[];
}

/** One step of a cumulative histogram. */
export interface LatencyBucket {
  /** Its upper end, microseconds. */
  leUs: number;
  /** How many took no longer. */
  count: number;
}

/** The kinds of operations that are timed: from their command to their completion, which the turn's end settles. */
export type OperationKind = 'open' | 'close' | 'read' | 'write' | 'sync' | 'truncate' | 'stat' | 'job';

/** How long a task queue waited and ran. One slice in eight is timed. */
export interface QueueLatencies {
  /** The queue's name. */
  name: string;
  /** From the moment that it had something to run, because a task or a completion became ready or a slice left some over, to its next slice. */
  wait: LatencySummary;
  /** From the beginning of a slice to its end, microtasks included. */
  slice: LatencySummary;
}

/** @internal */
export function latenciesOf(list: readonly NativeLatency[]): Partial<Record<OperationKind, LatencySummary>> {
  return Object.fromEntries(list.map(({ operation, took }): [string, NativeDistribution] => [operation, took]));
}

/** @internal */
export function queueLatencies(scheduler: Scheduler, { name, times }: Queue): QueueLatencies {
  if (!scheduler.slicing) scheduler.charge(); // The last slice, if there was one.
  return { name, wait: times.wait.read(), slice: times.slice.read() };
}
