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

/** A new order of the same things, each equally likely. */
export function shuffled<T>(things: readonly T[], random: () => number = Math.random): T[] {
  const left = [...things];
  const order: T[] = [];
  while (left.length > 0) order.push(...left.splice(Math.floor(random() * left.length), 1));
  return order;
}
