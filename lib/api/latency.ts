// Latencies of operations as a user sees them: microseconds, by kind.
import type { NativeLatency } from '../wire/binding.js';

/** How long operations of one kind took: from their command to their completion, which the turn's end settles. Microseconds. */
export interface OperationLatency {
  /** Operations timed: about one in 64 of all. */
  samples: number;
  /** The shortest. */
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
}

/** The kinds of operations that are timed. */
export type OperationKind = 'open' | 'close' | 'read' | 'write' | 'sync' | 'truncate' | 'stat' | 'job';

/** @internal */
export function latenciesOf(list: readonly NativeLatency[]): Partial<Record<OperationKind, OperationLatency>> {
  return Object.fromEntries(list.map(({ operation, ...latency }) => [operation, latency]));
}
