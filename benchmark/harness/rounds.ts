// The order of a benchmark: row after row, in each the rounds outside and the contenders inside, so that neighbours in time are compared with each other.
import { describeMachine } from './machine';
import { type BenchOptions, checkFilter, passes } from './options';
import { Progress } from './progress';
import type { Metric, Result, ResultRow } from './result';
import { shuffled } from './statistics';

/** What one run of a contender found: a value for each metric it knows, and how many cores others used meanwhile. */
export interface Sample {
  values: Record<string, number>;
  foreign: number;
  /** The driver and its features, when this contender can tell. */
  driver?: string;
}

/** Somebody who does the work of a row. */
export interface Contender {
  name: string;
  /** One sample. It throws when a result was wrong: a wrong answer has no speed. */
  sample(): Promise<Sample>;
}

/** One thing that is measured, by several contenders in turn. */
export interface Row {
  name: string;
  metrics: readonly Metric[];
  contenders: readonly Contender[];
  /** Runs before the first sample, with the names of those who are wanted; returns the names of those who cannot do this row. */
  prepare?(names: readonly string[]): Promise<ReadonlySet<string>>;
}

/** How often a noisy sample is taken at most. */
const attempts = 4;
const quickAttempts = 2;

/**
 * Runs every contender of a row once a round, in a new order each round, and keeps one value of each metric a round; then the next row.
 * `finished` is told of each row that is done.
 */
export async function measure(
  rows: readonly Row[],
  options: BenchOptions,
  leftOut: Result['leftOut'],
  finished?: (rows: readonly ResultRow[], row: Row) => void,
): Promise<Result> {
  checkFilter('--rows', rows, options.rows);
  checkFilter(
    '--only',
    rows.flatMap((row) => row.contenders),
    options.only,
  );
  const chosen = rows
    .filter((row) => passes(row.name, options.rows))
    .map((row) => ({ ...row, contenders: row.contenders.filter(({ name }) => passes(name, options.only)) }));
  const result: Result = { machine: describeMachine(), rows: [], repeated: 0, noisy: 0, leftOut };
  // By `ROW: NAME`.
  const failed = new Set<string>();
  const progress = new Progress(options.rounds * chosen.reduce((sum, row) => sum + row.contenders.length, 0));
  for (const row of chosen) {
    const cannot = await row.prepare?.(row.contenders.map(({ name }) => name));
    for (const name of cannot ?? []) failed.add(`${row.name}: ${name}`);
    for (let round = 0; round < options.rounds; round++) {
      for (const contender of shuffled(row.contenders)) {
        const what = `${row.name}: round ${round + 1} of ${options.rounds}: ${contender.name}`;
        progress.step(what);
        const key = `${row.name}: ${contender.name}`;
        if (failed.has(key)) continue;
        const again = (): void => progress.again(`${what}: others used the machine, once more`);
        try {
          record(result, row, contender.name, await quietSample(contender, options, result, again));
        } catch (error) {
          failed.add(key);
          leftOut.push({ contender: key, reason: error instanceof Error ? error.message : String(error) });
        }
      }
    }
    // A contender that failed half-way has values of some rounds only; they would not pair, so they go.
    result.rows = result.rows.filter((found) => !failed.has(`${found.row}: ${found.contender}`));
    inOrder(result, chosen);
    progress.end();
    finished?.(
      result.rows.filter((found) => found.row === row.name),
      row,
    );
  }
  progress.end();
  return result;
}

/** Repeats a sample while others use too much of the machine, and keeps the cleanest. */
async function quietSample(
  contender: Contender,
  options: BenchOptions,
  result: Result,
  again: () => void,
): Promise<Sample> {
  let best: Sample | undefined;
  for (let attempt = 1; ; attempt++) {
    const sample = await contender.sample();
    if (best === undefined || sample.foreign < best.foreign) best = sample;
    if (sample.foreign <= options.foreignLimit || options.smoke) return sample;
    if (attempt === (options.quick ? quickAttempts : attempts)) {
      result.noisy++;
      return best;
    }
    result.repeated++;
    again();
  }
}

function record(result: Result, row: Row, contender: string, sample: Sample): void {
  if (sample.driver !== undefined && contender === 'ringwheel') result.machine.driver = sample.driver;
  for (const metric of row.metrics) {
    const value = sample.values[metric.name];
    if (value === undefined) continue;
    let found = result.rows.find(
      (other) => other.row === row.name && other.contender === contender && other.metric === metric.name,
    );
    if (found === undefined) {
      const { name, ...rest } = metric;
      found = { row: row.name, contender, metric: name, ...rest, values: [], foreign: [] };
      result.rows.push(found);
    }
    found.values.push(value);
    found.foreign.push(Math.round(sample.foreign * 1000) / 1000);
  }
}

/** Sorts the rows as they were declared: the order of measuring was random. */
function inOrder(result: Result, rows: readonly Row[]): void {
  const place = ({ row, contender, metric }: ResultRow): number => {
    const at = rows.findIndex(({ name }) => name === row);
    const who = rows[at]?.contenders.findIndex(({ name }) => name === contender) ?? 0;
    const what = rows[at]?.metrics.findIndex(({ name }) => name === metric) ?? 0;
    return at * 10_000 + who * 100 + what;
  };
  result.rows.sort((a, b) => place(a) - place(b));
}
