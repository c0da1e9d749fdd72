// What many rows come to: one table with a line a row, ours against the first, monoio and glommio, and the promises about all rows.
import Table from 'cli-table3';
import type { Result, ResultRow } from './result';
import { geometricMean, median, modes } from './statistics';
import { figure, find, ratioOf } from './table';

/** Issue 4, point 9: first or this close to it in every row. */
const nearFirst = 1 / 1.05;
/** Every p99, over monoio's. */
const tailLimit = 1.1;
/** The geometric mean of all rows, over glommio. */
const meanLimit = 1.35;

/** One row: its first metric, which it is judged by, and its p99. */
interface Line {
  row: string;
  ours: ResultRow;
  /** The contender with the best figure of all but ours. */
  first: ResultRow;
  /** How many times as good as it we are. */
  toFirst: number;
  toMonoio: number | undefined;
  toGlommio: number | undefined;
  /** To what the kernel alone takes: the bare ring. */
  toBare: number | undefined;
  /** Our p99 over monoio's; lower is better. */
  tail: number | undefined;
}

/** Prints the table and judges it. Returns how many promises were missed. */
export function summarize(result: Result, judge: boolean): number {
  const lines = [...new Set(result.rows.map(({ row }) => row))].flatMap((row) => line(result, row) ?? []);
  const table = new Table({
    head: [
      'row, by its first figure',
      'ringwheel',
      'first of the others',
      'ours to it',
      'to monoio',
      'to glommio',
      'to bare ring',
      '↓ p99 ÷ monoio',
    ],
    style: { head: [], border: [], compact: true },
    colAligns: ['left', 'right', 'left', 'right', 'right', 'right', 'right', 'right'],
  });
  for (const { row, ours, first, toFirst, toMonoio, toGlommio, toBare, tail } of lines) {
    const cell = (ratio: number | undefined): string => (ratio === undefined ? '' : figure(ratio));
    table.push([
      row,
      `${figure(best(ours))} ${ours.unit}`,
      `${first.contender}: ${figure(best(first))}`,
      figure(toFirst),
      cell(toMonoio),
      cell(toGlommio),
      cell(toBare),
      cell(tail),
    ]);
  }
  console.log(
    '\nall rows: how many times as good as another we are (1.2: a fifth more reads a second, or a sixth less time)',
  );
  console.log(table.toString());
  const mean = geometricMean(lines.flatMap(({ toGlommio }) => toGlommio ?? []));
  const means = [
    ['first of the others', geometricMean(lines.map(({ toFirst }) => toFirst))],
    ['monoio', geometricMean(lines.flatMap(({ toMonoio }) => toMonoio ?? []))],
    ['glommio', mean],
    ['the bare ring', geometricMean(lines.flatMap(({ toBare }) => toBare ?? []))],
  ] as const;
  for (const [whom, value] of means) {
    if (Number.isFinite(value)) console.log(`geometric mean of all rows to ${whom}: ${figure(value)}`);
  }
  if (!judge) return 0;
  const told = lines.flatMap(({ row, first, toFirst, tail }) => [
    verdict(toFirst >= nearFirst, `${row}: first, or within 5 % of ${first.contender}: ${figure(toFirst)}`),
    ...(tail === undefined
      ? []
      : [verdict(tail <= tailLimit, `${row}: p99 <= ${tailLimit} × monoio's: ${figure(tail)}`)]),
  ]);
  if (Number.isFinite(mean))
    told.push(verdict(mean >= meanLimit, `geometric mean >= ${meanLimit} × glommio: ${figure(mean)}`));
  return told.filter((held) => !held).length;
}

function verdict(held: boolean, what: string): boolean {
  console.log(`${held ? 'held  ' : 'MISSED'} ${what}`);
  return held;
}

/** The figure a row of values is known by. */
function best({ values, better, bimodal }: ResultRow): number {
  return bimodal === true ? modes(values, better).better : median(values);
}

function line(result: Result, row: string): Line | undefined {
  const here = result.rows.filter((found) => found.row === row);
  const ours = here.find(({ contender }) => contender === 'ringwheel');
  if (ours === undefined) return undefined;
  const others = here.filter(({ contender, metric }) => contender !== 'ringwheel' && metric === ours.metric);
  const sign = ours.better === 'higher' ? -1 : 1;
  const [first] = others.sort((a, b) => sign * (best(a) - best(b)));
  if (first === undefined) return undefined;
  const to = (contender: string): number | undefined => {
    const theirs = find(here, contender, ours.metric);
    return theirs === undefined ? undefined : timesAsGood(ours, theirs);
  };
  const bare = others.find(({ contender }) => contender.startsWith('bare ring'))?.contender;
  return {
    row,
    ours,
    first,
    toFirst: timesAsGood(ours, first),
    toMonoio: to('monoio'),
    toGlommio: to('glommio'),
    toBare: bare === undefined ? undefined : to(bare),
    tail: tailOf(here),
  };
}

function timesAsGood(ours: ResultRow, theirs: ResultRow): number {
  const ratio = ratioOf(ours, theirs)?.median ?? Number.NaN;
  return ours.better === 'higher' ? ratio : 1 / ratio;
}

function tailOf(here: readonly ResultRow[]): number | undefined {
  const metric = here.find(({ metric }) => metric.endsWith('p99'))?.metric;
  if (metric === undefined) return undefined;
  const [ours, theirs] = [find(here, 'ringwheel', metric), find(here, 'monoio', metric)];
  return ours === undefined || theirs === undefined ? undefined : ratioOf(ours, theirs)?.median;
}
