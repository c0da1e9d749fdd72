// The contenders of tasks that are done once a sample: a process of its own that runs worker.mjs.
import path from 'node:path';
import type { BenchOptions } from '../harness/options';
import { node, type Runtime } from '../harness/peers';
import { report, run } from '../harness/processes';
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
  /** So much memory is touched and freed before each sample. */
  touched?: number;
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
      if (task.touched !== undefined && !options.smoke) await touch(task.touched);
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

/**
 * Touches memory in huge pages and frees it, in a process of its own. A virtual machine that gives free memory back to its host gets it back so slowly that
 * whoever reads a file whole pays more for that than for the read, or does not, as chance has it: now nobody does.
 */
async function touch(bytes: number): Promise<void> {
  const script = `const memory = Buffer.allocUnsafeSlow(${bytes}); for (let at = 0; at < ${bytes}; at += 4096) memory[at] = 1;`;
  const environment = { GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1' };
  await run({ command: node.command, arguments: ['-e', script], environment }, taskTimeoutMs);
}
