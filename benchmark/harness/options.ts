// What every benchmark is told: how many rounds, how long a sample, which rows, where the data lies.
export interface BenchOptions {
  /** Rounds: every contender is run once in each, in a new order. At least 3, or 1 in a smoke. */
  rounds: number;
  /** Seconds one sample measures. */
  seconds: number;
  /** Tiny parameters, nothing fetched, results still verified. */
  smoke: boolean;
  /** Short samples, and a noisy one is repeated once: the whole of a large benchmark in minutes. */
  quick: boolean;
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

/** The names of an option: a comma separates them, unless a space follows, as within the names of rows and contenders. */
export function nameList(text: string, before: readonly string[] = []): string[] {
  return [...before, ...text.split(/,(?! )/).filter((part) => part !== '')];
}

/** Whether a name passes a filter: has one of its parts within. No filter lets all pass. */
export function passes(name: string, filter: readonly string[]): boolean {
  return filter.length === 0 || filter.some((part) => name.includes(part));
}

/** Throws when a part of a filter lets nothing pass: it is misspelt, and what was meant would go unmeasured. */
export function checkFilter(option: string, things: readonly { name: string }[], filter: readonly string[]): void {
  const names = [...new Set(things.map(({ name }) => name))];
  const wrong = filter.find((part) => !names.some((name) => name.includes(part)));
  if (wrong === undefined) return;
  throw new Error(`${option} ${JSON.stringify(wrong)} is in no name; there are:\n  ${names.join('\n  ')}`);
}
