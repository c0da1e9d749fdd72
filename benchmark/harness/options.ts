// What every benchmark is told: how many rounds, how long a sample, which rows, where the data lies.
export interface BenchOptions {
  /** Rounds: every contender is run once in each, in a new order. At least 3, or 1 in a smoke. */
  rounds: number;
  /** Seconds one sample measures. */
  seconds: number;
  /** Tiny parameters, nothing fetched, results still verified. */
  smoke: boolean;
  /** Build the release first, unless it is up to date. */
  build: boolean;
  /** Fetch nothing: use the peers that are there. */
  offline: boolean;
  /** Keep only contenders whose name contains one of these; empty keeps all. */
  only: readonly string[];
  /** Keep only rows whose name contains one of these; empty keeps all. */
  rows: readonly string[];
  /** Directory of the data. It is kept and used again; without it a temporary one is made and removed. */
  directory: string | undefined;
  /** MiB of the file that `reads` reads. */
  fileMebibytes: number;
  /** The core that pinned contenders run on. */
  core: number;
  /** The core of a load generator, or of an unpinned contender's second thread. */
  otherCore: number;
  /** A sample during which others used more than this many cores is dropped and repeated. */
  foreignLimit: number;
}

/** Whether a name passes a filter: an exact name, or a part of it. No filter lets all pass. */
export function passes(name: string, filter: readonly string[]): boolean {
  return filter.length === 0 || filter.some((part) => name === part || name.includes(part));
}
