// topology(): what the machine is made of, and what of it this process may use.
import { binding } from '../wire/binding.js';
import { nativeError } from './executor.js';

/** One logical CPU that is online. */
export interface Cpu {
  /** The kernel's number. */
  readonly number: number;
  /** Index in {@link Topology.cores}. */
  readonly core: number;
  /** Index in {@link Topology.packages}. */
  readonly package: number;
  /** The kernel's number of its NUMA node; left out where the kernel names none. */
  readonly node?: number;
  /** 0 for the core's first thread, 1 for its SMT sibling. */
  readonly thread: number;
  /** 0 for the machine's fastest kind of core, 1 for the next (small cores of big.LITTLE and hybrid chips). */
  readonly kind: number;
  /** Indices in {@link Topology.caches} of those it reads data through, the largest first. */
  readonly caches: readonly number[];
}

/** A physical core. */
export interface CpuCore {
  /** Index in {@link Topology.packages}. */
  readonly package: number;
  /** Its SMT siblings that are online. */
  readonly cpus: readonly number[];
}

/** A package: a socket, or what a hypervisor shows as one. */
export interface CpuPackage {
  /** What the kernel calls it; need not be dense. */
  readonly kernelId: number;
  /** Its online CPUs. */
  readonly cpus: readonly number[];
}

/** A NUMA node. */
export interface NumaNode {
  /** The kernel's number, as numactl(8) uses it. */
  readonly number: number;
  /** Its online CPUs; none for a node of memory alone. */
  readonly cpus: readonly number[];
  /** Bytes of memory; left out where the kernel does not say. */
  readonly memoryBytes?: number;
  /** Relative cost of reaching each node from here, 10 being the node itself. */
  readonly distances: readonly number[];
}

/** A cache. */
export interface Cache {
  /** 1 to 4. */
  readonly level: number;
  /** What it keeps. */
  readonly kind: 'data' | 'instruction' | 'unified';
  /** Bytes; 0 where the kernel does not say. */
  readonly bytes: number;
  /** Its online CPUs. */
  readonly cpus: readonly number[];
}

/** A cpuset and where it is set. */
export interface Cpuset {
  /** The CPUs it allows. */
  readonly cpus: readonly number[];
  /** The file that says so. */
  readonly file: string;
}

/** A quota of CPU time and where it is set. */
export interface CpuQuota {
  /** CPUs' worth of time: 1.5 is a CPU and a half. */
  readonly cpus: number;
  /** The file that says so. */
  readonly file: string;
}

/** What narrows this process; each is left out where nothing does. */
export interface CpuLimits {
  /** The affinity mask (taskset), of all threads together: a thread that was pinned does not narrow the process. */
  readonly affinity?: readonly number[];
  /** The cgroup's cpuset. */
  readonly cpuset?: Cpuset;
  /** The cgroup's quota of CPU time. */
  readonly quota?: CpuQuota;
}

/** The machine, and what this process may use of it. A copy of one moment. */
export interface Topology {
  /** Online CPUs, by number. */
  readonly cpus: readonly Cpu[];
  /** Physical cores, by their lowest CPU. */
  readonly cores: readonly CpuCore[];
  /** Packages (sockets), by their lowest CPU. */
  readonly packages: readonly CpuPackage[];
  /** NUMA nodes, by number; none where the kernel has none. */
  readonly nodes: readonly NumaNode[];
  /** Caches, by level. */
  readonly caches: readonly Cache[];
  /** CPUs that are there and switched off. */
  readonly offline: readonly number[];
  /** CPUs that this process may use. */
  readonly usable: readonly number[];
  /** How many threads can run at once: usable CPUs, or the CPU quota rounded down when that is less; at least 1. */
  readonly parallelism: number;
  /** What narrows this process. */
  readonly limits: CpuLimits;
  /** What could not be read, one sentence each. */
  readonly notes: readonly string[];
}

/**
 * Reads packages, cores, SMT siblings, caches and NUMA nodes from sysfs, and the affinity mask, cgroup cpuset and CPU quota of this
 * process. What is hidden (containers mask parts of sysfs) is assumed and said in `notes`.
 *
 * Cost: some thirty small files for each CPU, about half a millisecond for two CPUs. Nothing is kept. Outside Linux every CPU is a core of its own.
 *
 * @example
 * ```ts
 * import { topology } from 'ringwheel';
 * const { cores, usable, parallelism } = topology();
 * console.log(`${cores.length} cores; this process may use CPUs ${usable}, ${parallelism} threads at once`);
 * ```
 *
 * @throws ERR_RINGWHEEL_NO_BINDING without the native binary.
 */
export function topology(): Topology {
  try {
    return binding().topology() as Topology;
  } catch (error) {
    throw nativeError(error);
  }
}
