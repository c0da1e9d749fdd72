// The figures of a task queue, as `queue.stats()` and `executor.queueStats()` give them.
import type { Queue, Scheduler } from '../ring/scheduler.js';

const MILLISECOND = 1e6;

/** Figures of a {@link TaskQueue} since it was made, but where "now" is said. */
export interface QueueStats {
  /** Its name. */
  name: string;
  /** Its weight now. */
  shares: number;
  /** The latency class's bound in milliseconds, where it has one. */
  latencyMaxMs?: number;
  /** Tasks that were spawned or run and have not ended now. */
  tasks: number;
  /** Tasks and completions that wait for a slice now. */
  ready: number;
  /** Slices it got. */
  slices: number;
  /** Tasks and completions that those went on with. */
  resumes: number;
  /** Milliseconds that its slices took, by the monotonic clock. */
  runMs: number;
  /** The longest of them. */
  sliceMaxMs: number;
  /**
   * Of a latency class: slices that began later than its bound after work had reached it. A timer or a completion that waits behind work
   * which does not yield has not reached it yet: the stall detector is for that.
   */
  late: number;
  /** How late the latest was, milliseconds. */
  lateMaxMs: number;
}

/** @internal */
export function queueStats(scheduler: Scheduler, queue: Queue): QueueStats {
  if (!scheduler.slicing) scheduler.charge(); // The last slice, if there was one.
  return {
    name: queue.name,
    shares: queue.shares,
    ...(queue.bound === 0 ? {} : { latencyMaxMs: queue.bound / MILLISECOND }),
    tasks: queue.tasks,
    ready: queue.ready.length,
    slices: queue.slices,
    resumes: queue.resumes,
    runMs: queue.runtime / MILLISECOND,
    sliceMaxMs: queue.sliceMax / MILLISECOND,
    late: queue.late,
    lateMaxMs: queue.lateMax / MILLISECOND,
  };
}
