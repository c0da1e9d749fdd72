// Medians and paired ratios: what a handful of rounds allows one to say, and no more.

/** The middle value; of an even number the mean of the two in the middle. `NaN` of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[sorted.length >> 1] ?? Number.NaN;
  const lower = sorted[(sorted.length - 1) >> 1] ?? Number.NaN;
  return (lower + upper) / 2;
}

/** How far the values lie apart, as a fraction of their median. */
export function spread(values: readonly number[]): number {
  return (Math.max(...values) - Math.min(...values)) / median(values);
}

/** Ours over theirs, round by round: the median ratio, and the smallest and largest of any round. */
export interface Ratio {
  median: number;
  low: number;
  high: number;
}

/**
 * Pairs the values of the same round. The interval is the whole range: with three to ten rounds a percentile interval
 * would promise a precision that is not there. `undefined` without a common round.
 */
export function pairedRatio(ours: readonly number[], theirs: readonly number[]): Ratio | undefined {
  const ratios: number[] = [];
  for (const [round, value] of ours.entries()) {
    const other = theirs[round];
    if (other !== undefined && other > 0 && Number.isFinite(value)) ratios.push(value / other);
  }
  if (ratios.length === 0) return undefined;
  return { median: median(ratios), low: Math.min(...ratios), high: Math.max(...ratios) };
}

/** What a set of values has in two clusters, when it has two. */
export interface Modes {
  /** The median of the better cluster; of all values when they lie together. */
  better: number;
  /** The median of the other one. */
  worse: number | undefined;
  /** How many values are in the better one. */
  inBetter: number;
}

/** A gap between neighbours that is this large, as a fraction of the median, makes two clusters. */
const modeGap = 0.08;

/** Splits values at their largest gap, if that is large. */
export function modes(values: readonly number[], better: 'lower' | 'higher'): Modes {
  const sorted = [...values].sort((a, b) => (better === 'lower' ? a - b : b - a));
  let split = sorted.length;
  let largest = modeGap * median(values);
  for (let at = 1; at < sorted.length; at++) {
    const gap = Math.abs((sorted[at] ?? 0) - (sorted[at - 1] ?? 0));
    if (gap > largest) [split, largest] = [at, gap];
  }
  const rest = sorted.slice(split);
  return {
    better: median(sorted.slice(0, split)),
    worse: rest.length > 0 ? median(rest) : undefined,
    inBetter: split,
  };
}

/** The product's root of that order: the mean of ratios. `NaN` of none. */
export function geometricMean(ratios: readonly number[]): number {
  return Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);
}

/** A new order of the same things, each equally likely. */
export function shuffled<T>(things: readonly T[], random: () => number = Math.random): T[] {
  const left = [...things];
  const order: T[] = [];
  while (left.length > 0) order.push(...left.splice(Math.floor(random() * left.length), 1));
  return order;
}
