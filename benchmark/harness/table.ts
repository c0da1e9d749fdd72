// The terminal's side of a result: one table a row, with our ratio to each contender, and what came of each claim.
import Table from 'cli-table3';
import { machineLine } from './machine';
import type { Claim, Result, ResultRow } from './result';
import { median, modes, pairedRatio, type Ratio, spread } from './statistics';

const legend =
  '↓ lower is better, ↑ higher; ± half of what the rounds lie apart; ours ÷ it: median of the rounds [lowest–highest].';

/** Prints how the tables are read. */
export function printLegend(): void {
  console.log(legend);
}

/** Prints the table of one row, as soon as it is measured. */
export function printRow(found: readonly ResultRow[]): void {
  const [first] = found;
  if (first !== undefined) console.log(`\n${first.row}\n${rowTable(found)}`);
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

/** Says of each claim whether it held. The median decides; an interval on both sides of the limit is called close. */
function printClaims(result: Result, claims: readonly Claim[]): number {
  let missed = 0;
  for (const claim of claims) {
    const rows = result.rows.filter(({ row }) => row === claim.row);
    const ours = find(rows, claim.ours ?? 'ringwheel', claim.metric);
    const theirs = claim.against === undefined ? undefined : find(rows, claim.against, claim.metric);
    if (ours === undefined || (claim.against !== undefined && theirs === undefined)) continue;
    const ratio: Ratio | undefined = theirs
      ? ratioOf(ours, theirs)
      : { median: median(ours.values), low: Math.min(...ours.values), high: Math.max(...ours.values) };
    if (ratio === undefined) continue;
    const held = holds(ratio.median, claim);
    const close = holds(ratio.low, claim) !== holds(ratio.high, claim) ? ' (close: not in every round)' : '';
    const what = claim.against === undefined ? ours.unit : `× ${claim.against}`;
    console.log(
      `${held ? 'held  ' : 'MISSED'} ${claim.row}: ${claim.metric} of ${ours.contender} ${claim.relation} ${claim.limit} ${what}: ${ratioText(ratio)}${close}`,
    );
    if (!held) missed++;
  }
  return missed;
}

function holds(value: number, { relation, limit }: Claim): boolean {
  if (relation === '<=') return value <= limit;
  return relation === '<' ? value < limit : value >= limit;
}
