// The claims: what was promised, what was measured, and by how much it is kept or missed.
import Table from 'cli-table3';
import type { Claim, Result, ResultRow } from './result';
import { median, type Ratio } from './statistics';
import { figure, find, ratioOf, ratioText } from './table';

/** What came of a claim. */
export interface Verdict {
  claim: Claim;
  /** `undefined` when somebody of it was not measured. */
  held: boolean | undefined;
  /** Whether ours was measured. */
  ours: boolean;
  /** Whom ours was compared with. */
  against: string;
  measured: Ratio | undefined;
}

/** Judges the claims about rows that were measured. The median decides. */
export function judge(result: Result, claims: readonly Claim[]): Verdict[] {
  return claims.flatMap((claim) => {
    const rows = result.rows.filter(({ row }) => row === claim.row);
    if (rows.length === 0) return [];
    const ours = find(rows, claim.ours ?? 'ringwheel', claim.metric);
    const theirs = claim.against === 'best' ? best(rows, claim) : find(rows, claim.against ?? '', claim.metric);
    const against = theirs?.contender ?? (claim.against === 'best' ? 'a peer' : (claim.against ?? ''));
    const measured = ours && (claim.against === undefined ? range(ours.values) : theirs && ratioOf(ours, theirs));
    return { claim, ours: ours !== undefined, against, measured, held: measured && holds(measured.median, claim) };
  });
}

/** Prints a table of all verdicts. Returns how many promises were missed; a goal is none. */
export function printClaims(result: Result, claims: readonly Claim[]): number {
  const verdicts = judge(result, claims);
  if (verdicts.length === 0) return 0;
  const table = new Table({
    head: ['', 'claim', 'limit', 'measured', 'by'],
    style: { head: [], border: [], compact: true },
    colAligns: ['left', 'left', 'right', 'right', 'right'],
  });
  for (const verdict of verdicts) {
    const { claim, against, measured } = verdict;
    const whom = claim.against === undefined ? '' : ` × ${against}`;
    table.push([
      word(verdict),
      `${claim.row}: ${claim.metric} of ${claim.ours ?? 'ringwheel'}${whom}`,
      `${claim.relation} ${figure(claim.limit)}`,
      `${ratioText(measured)}${measured && holds(measured.low, claim) !== holds(measured.high, claim) ? ' (close)' : ''}`,
      measured === undefined ? '' : margin(measured.median, claim),
    ]);
  }
  console.log('\nclaims (close: not in every round; by: what there is to spare, or what is missing)');
  console.log(table.toString());
  return verdicts.filter(({ claim, held }) => held === false && claim.goal !== true).length;
}

function word({ claim, held, against, ours }: Verdict): string {
  if (held === undefined) return `not judged: no ${ours ? against : 'ours'}`;
  if (claim.goal === true) return held ? 'goal reached' : 'goal not reached';
  return held ? 'held' : 'MISSED';
}

/** How far the value is from the limit, in parts of the limit. */
function margin(value: number, { relation, limit }: Claim): string {
  if (limit === 0) return figure(value);
  const spare = relation === '>=' ? value / limit - 1 : 1 - value / limit;
  const percent = `${figure(Math.abs(spare) * 100)} %`;
  return spare >= 0 ? `${percent} to spare` : `${percent} missing`;
}

function best(rows: readonly ResultRow[], { metric }: Claim): ResultRow | undefined {
  const others = rows.filter((row) => row.metric === metric && !row.contender.startsWith('ringwheel'));
  const sign = others[0]?.better === 'higher' ? -1 : 1;
  return others.sort((a, b) => sign * (median(a.values) - median(b.values)))[0];
}

function range(values: readonly number[]): Ratio {
  return { median: median(values), low: Math.min(...values), high: Math.max(...values) };
}

function holds(value: number, { relation, limit }: Claim): boolean {
  if (relation === '<=') return value <= limit;
  return relation === '<' ? value < limit : value >= limit;
}
