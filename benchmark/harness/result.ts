// The shape of a result: what the table prints and what `--json FILE` holds.
import { writeFileSync } from 'node:fs';
import type { Machine } from './machine';

/** One figure of a contender, by name, with its unit and which direction is good. */
export interface Metric {
  name: string;
  unit: string;
  better: 'lower' | 'higher';
  /** `false` leaves our ratio out of the table, to keep it narrow; the JSON has the values all the same. */
  ratio?: false;
  /** The values lie in two clusters, for reasons outside of the contenders: the better one of each is compared, both are shown. */
  bimodal?: true;
}

/** The values of one metric of one contender in one row: one value a round, so that two contenders pair by index. */
export interface ResultRow {
  row: string;
  contender: string;
  metric: string;
  unit: string;
  better: 'lower' | 'higher';
  values: number[];
  /** Cores that others used during each sample. */
  foreign: number[];
  /** As in the metric. */
  ratio?: false;
  /** As in the metric. */
  bimodal?: true;
}

/** A figure this project promises: ours against a contender's in the same round, or against a number. */
export interface Claim {
  row: string;
  metric: string;
  /** The peer whose value divides ours; `best` is whoever of them has the best one. Without it the value itself is meant. */
  against?: string | 'best';
  /** Ours, when it is not `ringwheel`. */
  ours?: string;
  relation: '<=' | '>=' | '<';
  limit: number;
  /** Wished for beyond what is promised: told, and never missed. */
  goal?: true;
}

/** Everything one run found. */
export interface Result {
  machine: Machine;
  rows: ResultRow[];
  /** Samples that were dropped because others used the machine, and repeated. */
  repeated: number;
  /** Samples that stayed noisy however often they were repeated; the cleanest was kept. */
  noisy: number;
  /** Contenders that did not run, or not in one row (`ROW: NAME`), with the reason. */
  leftOut: LeftOut[];
}

/** Who did not run. */
export interface LeftOut {
  contender: string;
  reason: string;
  /** It is not to be had here, which is no failure. */
  absent?: true;
}

/** Writes the result as `{ machine, rows: [{ row, contender, metric, unit, better, values, foreign }], … }`. */
export function writeResult(file: string, result: Result): void {
  const rows = result.rows.map(({ row, contender, metric, unit, better, values, foreign }) => ({
    row,
    contender,
    metric,
    unit,
    better,
    values,
    foreign,
  }));
  writeFileSync(file, `${JSON.stringify({ ...result, rows }, null, 1)}\n`);
}
