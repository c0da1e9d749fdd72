// doctor(): which driver this machine gives us and with what, which limits hold, and what would help.
import { readFileSync } from 'node:fs';
import { availableParallelism, release } from 'node:os';
import { binding } from '../wire/binding.js';
import { systemReport } from '../wire/report.js';
import { driverOf } from './executor.js';

/** Something that makes ringwheel slower here than it could be, and what helps. */
export interface Finding {
  /** What was found, one sentence. */
  readonly problem: string;
  /** What to do about it, one sentence. */
  readonly remedy: string;
}

/** The limits of this process that matter to a driver; what a platform does not tell is left out. */
export interface DiagnosedLimits {
  /** The kernel's release, such as `6.12.48`. */
  readonly kernel: string;
  /** CPUs that this process may use. */
  readonly cpus: number;
  /** Bytes that may be locked (RLIMIT_MEMLOCK), which registered buffers count against. */
  readonly lockedMemory?: number | 'unlimited';
  /** Descriptors that may be open (RLIMIT_NOFILE). */
  readonly openFiles?: number | 'unlimited';
  /** The sysctl `kernel.io_uring_disabled`: 0 allows io_uring, 1 only to a group, 2 to nobody. */
  readonly ioUringDisabled?: number;
}

/** What {@link doctor} finds. A plain object: it can be printed as JSON. */
export interface Diagnosis {
  /** The driver that `auto` chooses here, or the one that RINGWHEEL_DRIVER names. */
  readonly driver: 'uring' | 'poll';
  /** The kernel features in use, as short names. */
  readonly features: readonly string[];
  /** The limits of this process. */
  readonly limits: DiagnosedLimits;
  /** What could be better, most important first; empty when nothing could. */
  readonly findings: readonly Finding[];
}

/**
 * Says which driver runs here, with which kernel features and limits, and what would help.
 *
 * It starts a driver of its own and closes it again, so this thread's executor is neither needed nor touched. With
 * RINGWHEEL_DRIVER=poll not one io_uring call is made. Cost: some hundred microseconds and a few file reads.
 *
 * @returns a plain object, yours to keep
 * @throws ERR_RINGWHEEL_INVALID_OPTION when RINGWHEEL_DRIVER names no driver.
 * @throws ERR_RINGWHEEL_NO_BINDING when there is no native binary for this platform.
 *
 * @example
 * ```ts
 * import { doctor } from 'ringwheel';
 * const { driver, findings } = doctor();
 * console.log(driver); // uring
 * for (const { problem, remedy } of findings) console.log(`${problem} ${remedy}`);
 * ```
 */
export function doctor(): Diagnosis {
  const wanted = driverOf({});
  const poll = wanted === 'poll';
  const { driver, features, notes } = binding().diagnose(poll ? 'poll' : 'auto');
  const limits = readLimits();
  const findings = notes.map((problem) => ({ problem, remedy: remedyFor(problem, limits) }));
  if (poll) {
    const problem = 'The environment variable RINGWHEEL_DRIVER=poll rules io_uring out.';
    findings.unshift({ problem, remedy: 'Unset it, or set it to auto.' });
  }
  return { driver: driver === 'uring' ? 'uring' : 'poll', features, limits, findings };
}

/** The remedy that belongs to what a driver noted while it started. */
function remedyFor(problem: string, { ioUringDisabled }: DiagnosedLimits): string {
  if (/memlock|memory|ENOMEM/i.test(problem)) {
    return 'Raise the limit of locked memory: `ulimit -l unlimited`, or LimitMEMLOCK=infinity in a systemd unit.';
  }
  if (process.platform !== 'linux') return 'None: io_uring is an interface of Linux, and the poll driver is complete.';
  if (ioUringDisabled === 2) return 'Allow it: `sysctl -w kernel.io_uring_disabled=0`.';
  if (ioUringDisabled === 1)
    return 'Add the process to the group that `sysctl kernel.io_uring_group` names, or allow io_uring to all.';
  if (/EPERM|EACCES|permitted|denied/i.test(problem)) {
    return 'Allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile of the container or sandbox.';
  }
  return 'Use Linux 5.15 or later with io_uring compiled in; 6.1 and later have what makes it fast.';
}

function readLimits(): DiagnosedLimits {
  const { userLimits } = systemReport();
  const lockedMemory = userLimits?.max_locked_memory_bytes?.soft;
  const openFiles = userLimits?.open_files?.soft;
  const ioUringDisabled = readNumber('/proc/sys/kernel/io_uring_disabled');
  return {
    kernel: release(),
    cpus: availableParallelism(),
    ...(lockedMemory === undefined ? {} : { lockedMemory }),
    ...(openFiles === undefined ? {} : { openFiles }),
    ...(ioUringDisabled === undefined ? {} : { ioUringDisabled }),
  };
}

/** Kernels before 6.6, and other systems, do not have the file. */
function readNumber(path: string): number | undefined {
  try {
    const value = Number(readFileSync(path, 'utf8'));
    return Number.isInteger(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
