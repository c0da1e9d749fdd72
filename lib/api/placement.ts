// Placement: where the members of a pool run, as an option, and the seats it gives on this machine.
import { binding, type NativeSeat } from '../wire/binding.js';
import { ourError } from './errors.js';
import { nativeError } from './executor.js';
import { either, listOf, oneOf, type Rule, shape, whole } from './validate.js';

/** Which CPUs a placement chooses from: those on every list that is given. */
export interface CpuFilter {
  /** Indices of packages in {@link Topology.packages}. */
  packages?: readonly number[];
  /** Indices of physical cores in {@link Topology.cores}. */
  cores?: readonly number[];
  /** Numbers of NUMA nodes. */
  nodes?: readonly number[];
  /** Numbers of CPUs. */
  cpus?: readonly number[];
}

/**
 * Where the members of a pool run.
 *
 * - `unbound`: the kernel places the threads; they inherit the mask of the thread that starts the pool.
 * - `fenced`: each may run on every CPU of the filter.
 * - `max-spread`: each on a CPU of its own, far apart: physical cores before SMT siblings, fast cores before small ones, then
 *   evenly over packages, nodes and caches.
 * - `max-pack`: each on a CPU of its own, close together: the fewest packages, nodes, caches and cores.
 * - `fixed`: member i on CPU i of the list. `custom`: member i on any CPU of set i.
 */
export type Placement =
  | 'unbound'
  | 'fenced'
  | 'max-spread'
  | 'max-pack'
  | FilteredPlacement
  | FixedPlacement
  | CustomPlacement;

/** A placement that chooses among some of the CPUs. */
export interface FilteredPlacement extends CpuFilter {
  /** Which one. */
  kind: 'fenced' | 'max-spread' | 'max-pack';
}

/** Member i on CPU i of the list. */
export interface FixedPlacement {
  /** Which one. */
  kind: 'fixed';
  /** A CPU for each member; one may be named more than once. */
  cpus: readonly number[];
}

/** Member i on any CPU of set i. */
export interface CustomPlacement {
  /** Which one. */
  kind: 'custom';
  /** A set of CPUs for each member. */
  sets: readonly (readonly number[])[];
}

const numbers = (most: number) => listOf(whole(0, 65_535), most);

/** @internal */
export const PLACEMENT_RULE: Rule = either(
  oneOf('unbound', 'fenced', 'max-spread', 'max-pack'),
  shape({
    kind: oneOf('fenced', 'max-spread', 'max-pack', 'fixed', 'custom'),
    packages: numbers(1024),
    cores: numbers(65_536),
    nodes: numbers(1024),
    cpus: numbers(65_536),
    sets: listOf(numbers(65_536), 1024),
  }),
);

/** The keys that each kind takes. */
const KEYS: Readonly<Record<string, readonly string[]>> = {
  fixed: ['cpus'],
  custom: ['sets'],
};
const FILTER_KEYS = ['packages', 'cores', 'nodes', 'cpus'];

/**
 * The seats that a checked placement gives on this machine.
 * Throws ERR_RINGWHEEL_PLACEMENT that says why it cannot be met and what would. @internal
 */
export function seatsOf(where: string, placement: Placement, size: number | undefined): NativeSeat[] {
  const wish = typeof placement === 'string' ? { kind: placement } : placement;
  const known = KEYS[wish.kind] ?? FILTER_KEYS;
  const stray = Object.keys(wish).find((key) => key !== 'kind' && !known.includes(key));
  if (wish.kind === undefined || stray !== undefined) {
    const message =
      wish.kind === undefined
        ? `${where}: placement.kind is missing; it must be "fenced", "max-spread", "max-pack", "fixed" or "custom"`
        : `${where}: placement.${stray} does not go with the kind "${wish.kind}", which takes ${known.join(', ')}`;
    throw ourError('ERR_RINGWHEEL_INVALID_OPTION', message, seatsOf);
  }
  try {
    return binding().place({ ...wish, ...(size === undefined ? {} : { size }) });
  } catch (error) {
    throw nativeError(error);
  }
}
