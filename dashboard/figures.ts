// What /stats.json says, second by second, and what it says of the time between two of them.
import type { ServerStats } from '../lib/api/file-server';

/** The answer of /stats.json. */
export interface Answer {
  readonly version: string;
  readonly url: string;
  readonly driver: string;
  readonly features: readonly string[];
  readonly notes: readonly string[];
  readonly state: 'serving' | 'draining';
  readonly startedAt: number;
  readonly now: number;
  readonly stats: ServerStats;
}

/** Samples that are kept: five minutes. */
const KEPT = 300;

/** The last samples; a gap where the server could not be reached. */
export class History {
  readonly times: number[] = [];
  readonly #answers: (Answer | undefined)[] = [];

  /** Adds what was heard at a time in seconds, or that nothing was. */
  add(time: number, answer: Answer | undefined): void {
    this.times.push(time);
    this.#answers.push(answer);
    if (this.times.length > KEPT) {
      this.times.shift();
      this.#answers.shift();
    }
  }

  /** Between the sample `index` and the one before; none over a gap, or over a restart. */
  rate(index: number, read: (stats: ServerStats) => number): number | null {
    const [before, after] = [this.#answers[index - 1], this.#answers[index]];
    if (before === undefined || after === undefined || before.startedAt !== after.startedAt) return null;
    const seconds = (after.now - before.now) / 1000;
    return seconds > 0 ? Math.max(0, read(after.stats) - read(before.stats)) / seconds : null;
  }

  /** All rates of one figure. */
  rates(read: (stats: ServerStats) => number): (number | null)[] {
    return this.times.map((_, index) => this.rate(index, read));
  }

  /** The last rate. */
  now(read: (stats: ServerStats) => number): number | null {
    return this.rate(this.times.length - 1, read);
  }

  /** What a count grew by in the last samples, at most `most` of them, without going over a restart. */
  growth(read: (stats: ServerStats) => number, most: number): number {
    const last = this.#answers.at(-1);
    if (last === undefined) return 0;
    let first: Answer | undefined;
    for (const answer of this.#answers.slice(-most - 1)) {
      if (first === undefined && answer?.startedAt === last.startedAt) first = answer;
    }
    return first === undefined ? 0 : read(last.stats) - read(first.stats);
  }
}

/** The upper end of the step in which the share of all lies, microseconds; infinity beyond the last; undefined of nothing. */
export function within(
  counts: readonly { leUs: number; count: number }[],
  samples: number,
  share: number,
): number | undefined {
  if (samples === 0) return undefined;
  return counts.find(({ count }) => count >= samples * share)?.leUs ?? Number.POSITIVE_INFINITY;
}
