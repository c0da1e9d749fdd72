// CPU time: of a process tree, of the whole machine, and so of everybody else during a sample.
import { readFileSync } from 'node:fs';
import { statistics, tree } from './processes';

/** The kernel counts in ticks of 10 ms on every configuration Node runs on. */
const ticksPerSecond = 100;

/** CPU seconds that a process, its threads, and its children have used so far, also those of children that have ended. */
export function treeCpu(root: number): number {
  let ticks = 0;
  for (const pid of tree(root)) {
    const fields = statistics(pid);
    for (const index of [11, 12, 13, 14]) ticks += Number(fields?.[index] ?? 0);
  }
  return ticks / ticksPerSecond;
}

/** CPU seconds the machine was not idle, and those a hypervisor took from it. `undefined` where there is no /proc. */
export function machineCpu(): number | undefined {
  try {
    const line = readFileSync('/proc/stat', 'latin1').split('\n', 1)[0] ?? '';
    const [user = 0, nice = 0, system = 0, , , interrupt = 0, soft = 0, steal = 0] = line
      .split(/\s+/)
      .slice(1)
      .map(Number);
    return (user + nice + system + interrupt + soft + steal) / ticksPerSecond;
  } catch {
    return undefined;
  }
}

/** CPU seconds of this process and of the children it has waited for. */
function ownCpu(): number {
  const fields = statistics(process.pid);
  return [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields?.[index] ?? 0), 0) / ticksPerSecond;
}

/** Watches how much CPU others use from now until `foreign` is asked. Children that have ended by then are not others. */
export class ForeignCpu {
  readonly #machine = machineCpu();
  readonly #own = ownCpu();
  readonly #started = performance.now();

  /** Cores others used on average, when children that still run used `running` CPU seconds meanwhile. 0 where it cannot be known. */
  foreign(running = 0): number {
    const now = machineCpu();
    if (now === undefined || this.#machine === undefined) return 0;
    const seconds = (performance.now() - this.#started) / 1000;
    return Math.max(0, (now - this.#machine - running - (ownCpu() - this.#own)) / seconds);
  }
}
