// The contenders of tasks that are done once a sample: a process of its own that runs worker.mjs.
import path from 'node:path';
import type { BenchOptions } from '../harness/options';
import { node, type Runtime } from '../harness/peers';
import { report } from '../harness/processes';
import type { Contender } from '../harness/rounds';

/** What the worker reports. */
interface Found {
  elapsed: number;
  cpu: number;
  foreign: number;
  resident: number;
  operations?: number;
}

/** A way to do a task, by its name in the suite. */
export interface Way {
  name: string;
  /** Its name in the suite, when the table's is another. */
  way?: string;
  environment?: Record<string, string>;
  unpinned?: boolean;
}

/** What is done, and with which files. */
export interface Task {
  suite: 'sequential' | 'many';
  task: string;
  [given: string]: unknown;
}

const taskTimeoutMs = 120_000;

/** A sample is the task done once: speed and CPU by byte for `sequential`, by operation for `many`. */
export function taskContender(
  { name, way = name, environment, unpinned }: Way,
  task: Task,
  size: number,
  runtimes: readonly Runtime[],
  options: BenchOptions,
): Contender | undefined {
  const needs = /^(bun|deno) /.exec(name)?.[1] ?? 'node';
  const runtime = needs === 'node' ? node : runtimes.find((found) => found.name === needs);
  if (runtime === undefined) return undefined;
  return {
    name,
    async sample() {
      const found = await report<Found>(
        {
          command: runtime.command,
          arguments: [...runtime.before, path.join(__dirname, 'worker.mjs'), JSON.stringify({ ...task, way })],
          environment: environment ?? {},
          core: unpinned === true ? undefined : options.core,
        },
        taskTimeoutMs,
      );
      const { elapsed, cpu, foreign, resident, operations } = found;
      const values: Record<string, number> =
        operations === undefined
          ? { speed: size / elapsed / 1e9, CPU: (cpu * 1e3) / (size / 2 ** 30), resident }
          : { rate: operations / elapsed, CPU: (cpu * 1e6) / operations };
      return { values, foreign };
    },
  };
}
