// The terminal's side of a result: one table a row, with our ratio to each contender, and what came of each claim.
import Table from 'cli-table3';
import { printClaims } from './claims';
import { machineLine } from './machine';
import type { Claim, LeftOut, Result, ResultRow } from './result';
import type { Row } from './rounds';
import { median, modes, pairedRatio, type Ratio, spread } from './statistics';

const legend =
  '↓ lower is better, ↑ higher; ± half of what the rounds lie apart; ours ÷ it: median of the rounds [lowest–highest].';

/** Prints how the tables are read. */
export function printLegend(): void {
  console.log(legend);
}

/** Prints the table of one row, as soon as it is measured, with a line for everybody who should be in it and is not. */
export function printRow(found: readonly ResultRow[], { name, contenders }: Row, leftOut: readonly LeftOut[]): void {
  const present = new Set(found.map(({ contender }) => contender));
  const missing = contenders
    .filter((contender) => !present.has(contender.name))
    .map((contender) => [contender.name, whyMissing(name, contender.name, leftOut)] as const)
    .filter(([, reason]) => reason !== '');
  if (found.length === 0 && missing.length === 0) return;
  console.log(`\n${name}${found.length === 0 ? ': nobody ran it' : `\n${rowTable(found)}`}`);
  for (const [who, reason] of missing) console.log(`  ${who}: ${reason}`);
}

/** Why somebody is not in a row; empty where nobody said. */
export function whyMissing(row: string, contender: string, leftOut: readonly LeftOut[]): string {
  const said = leftOut.find((out) => out.contender === `${row}: ${contender}` || out.contender === contender);
  return said === undefined ? '' : `${said.absent === true ? 'absent' : 'left out'}: ${said.reason}`;
}

/** Prints, after the tables, the machine, what was left out, and the claims. Returns how many claims were missed. */
export function printResult(
  result: Result,
  claims: readonly Claim[],
  summarize?: (result: Result, judge: boolean) => number,
  judge = true,
): number {
  console.log(`\n${machineLine(result.machine)}`);
  const foreign = result.rows.flatMap((row) => row.foreign);
  console.log(
    `CPU used by others, cores per sample: median ${figure(median(foreign))}, most ${figure(Math.max(...foreign))}; ` +
      `${result.repeated} samples dropped and repeated, ${result.noisy} kept although noisy.`,
  );
  for (const { contender, reason } of result.leftOut) console.log(`left out: ${contender}: ${reason}`);
  const missed = summarize?.(result, judge) ?? 0;
  return missed + printClaims(result, claims);
}

function rowTable(found: readonly ResultRow[]): string {
  const metrics = [...new Set(found.map(({ metric }) => metric))].flatMap(
    (metric) => found.find((row) => row.metric === metric) ?? [],
  );
  const head = ['contender'];
  for (const { metric, unit, better, ratio } of metrics) {
    head.push(`${better === 'lower' ? '↓' : '↑'} ${metric} ${unit}`);
    if (ratio !== false) head.push('ours ÷ it');
  }
  const table = new Table({
    head,
    style: { head: [], border: [], compact: true },
    colAligns: head.map((_, at) => (at === 0 ? 'left' : 'right')),
  });
  for (const contender of new Set(found.map((row) => row.contender))) {
    const cells = [contender];
    for (const { metric, ratio } of metrics) {
      const theirs = find(found, contender, metric);
      const ours = find(found, 'ringwheel', metric);
      cells.push(theirs ? valueText(theirs) : '');
      if (ratio === false) continue;
      cells.push(theirs && ours && contender !== 'ringwheel' ? ratioText(ratioOf(ours, theirs)) : '');
    }
    table.push(cells);
  }
  return table.toString();
}

/** The row of a contender's metric. */
export function find(rows: readonly ResultRow[], contender: string, metric: string): ResultRow | undefined {
  return rows.find((row) => row.contender === contender && row.metric === metric);
}

/** Ours over theirs: round by round, or for bimodal values the better cluster of each. */
export function ratioOf(ours: ResultRow, theirs: ResultRow): Ratio | undefined {
  if (ours.bimodal !== true) return pairedRatio(ours.values, theirs.values);
  const ratio = modes(ours.values, ours.better).better / modes(theirs.values, theirs.better).better;
  return Number.isFinite(ratio) ? { median: ratio, low: ratio, high: ratio } : undefined;
}

/** Three significant digits, with a thousands separator for large ones. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '–';
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en');
  return Number(value.toPrecision(3)).toString();
}

function valueText({ values, better, bimodal }: ResultRow): string {
  if (bimodal === true) {
    const found = modes(values, better);
    if (found.worse === undefined) return figure(found.better);
    const count = values.length;
    return `${figure(found.better)} (${found.inBetter} of ${count}), else ${figure(found.worse)}`;
  }
  const apart = values.length > 1 ? ` ±${Math.round(spread(values) * 50)}%` : '';
  return `${figure(median(values))}${apart}`;
}

/** A ratio with the interval of the rounds. */
export function ratioText(ratio: Ratio | undefined): string {
  if (ratio === undefined) return '';
  const interval = ratio.low === ratio.high ? '' : ` [${figure(ratio.low)}–${figure(ratio.high)}]`;
  return `${figure(ratio.median)}${interval}`;
}
