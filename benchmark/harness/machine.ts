// The machine line: what a figure was measured on. A figure without it says nothing.
import { readFileSync } from 'node:fs';
import os from 'node:os';

/** What the figures were measured on, as `--json` writes it. */
export interface Machine {
  cpu: string;
  cpus: number;
  memoryGibibytes: number;
  kernel: string;
  node: string;
  /** The driver ringwheel chose and the kernel features it uses; filled in by the first contender that knows. */
  driver: string;
  /** What changes the speed of Node or of the kernel: NODE_OPTIONS, mitigations, RINGWHEEL_DRIVER. */
  flags: string;
  /** When the run began. */
  date: string;
}

/** Looks at the machine. */
export function describeMachine(): Machine {
  const first = os.cpus()[0];
  return {
    cpu: first?.model.trim() || os.arch(),
    cpus: os.availableParallelism(),
    memoryGibibytes: Math.round(os.totalmem() / 2 ** 30),
    kernel: `${os.type()} ${os.release()}`,
    node: `${process.version} (libuv ${process.versions.uv ?? '?'})`,
    driver: 'not asked yet',
    flags: flags(),
    date: new Date().toISOString(),
  };
}

/** One line for the terminal. */
export function machineLine(machine: Machine): string {
  const { cpu, cpus, memoryGibibytes, kernel, node, driver, flags: set } = machine;
  return `${cpu}, ${cpus} CPUs, ${memoryGibibytes} GiB; ${kernel}; node ${node}; driver ${driver}; flags ${set}`;
}

function flags(): string {
  const set: string[] = [];
  for (const name of ['NODE_OPTIONS', 'UV_THREADPOOL_SIZE', 'UV_USE_IO_URING', 'RINGWHEEL_DRIVER']) {
    const value = process.env[name];
    if (value !== undefined && value !== '') set.push(`${name}=${value}`);
  }
  for (const word of readFirst('/proc/cmdline').split(/\s+/)) {
    if (/^(mitigations|isolcpus|nohz_full|idle|intel_pstate|amd_pstate)=/.test(word)) set.push(word);
  }
  const governor = readFirst('/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor').trim();
  if (governor !== '') set.push(`governor=${governor}`);
  return set.join(' ') || 'none';
}

function readFirst(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}
