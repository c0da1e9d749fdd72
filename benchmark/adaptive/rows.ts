// `bench adaptive`: a reader with a latency class beside a saturating reader and writer, with every fixed depth and batch of a sweep, and adaptive.

import { randomFillSync } from 'node:crypto';
import { closeSync, constants, fsyncSync, openSync } from 'node:fs';
import path from 'node:path';
import { buildNative, nativeContender } from '../harness/native';
import type { BenchOptions } from '../harness/options';
import { say } from '../harness/progress';
import type { Metric, Result } from '../harness/result';
import { median } from '../harness/statistics';
import { find } from '../harness/table';
import { filesystem, makeFile, workspace } from '../harness/workspace';
import type { Benchmark } from '../main';

const row = 'reader of 4 KiB beside 128 readers and 128 writers of 16 KiB';
const metrics: Metric[] = [
  { name: 'throughput', unit: 'MB/s', better: 'higher' },
  { name: 'p50', unit: 'µs', better: 'lower' },
  { name: 'p99', unit: 'µs', better: 'lower' },
  { name: 'CPU', unit: 'µs/op', better: 'lower' },
  { name: 'system calls', unit: '/op', better: 'lower' },
];

/** The sweep: each depth, let in one at a time and a quarter of it at a time. */
const SWEEP = [
  '1x1',
  '4x1',
  '8x1',
  '16x1',
  '16x4',
  '32x1',
  '32x8',
  '64x1',
  '64x16',
  '128x1',
  '128x32',
  '256x1',
  '256x64',
];
/** What of the best throughput a fixed depth must have to count, and adaptive of that one's. */
const KEPT = 0.97;
/** What adaptive's p99 may be of the best fixed one's. */
const BELOW = 0.75;

/** Makes the file and names the contenders. */
export async function adaptive(options: BenchOptions): Promise<Benchmark> {
  const program = path.join(await buildNative('ours', ['ours'], options), 'ours');
  const directory = workspace(options);
  const file = path.join(directory, `adaptive-${options.fileMebibytes}.bin`);
  makeFile(file, options.fileMebibytes * 2 ** 20, () => randomFillSync(new Uint8Array(1 << 20)));
  const how = direct(file);
  say(
    `${options.fileMebibytes} MiB on ${filesystem(directory)}, ${how === 'direct' ? 'O_DIRECT' : 'without O_DIRECT: not a disk'}`,
  );
  const sweep = options.smoke ? ['4x1', '64x16'] : SWEEP;
  const given = (way: string) => ['disk', file, way, String(options.seconds), how];
  const contenders = ['adaptive', ...sweep].map((way) =>
    nativeContender(
      way === 'adaptive' ? 'ringwheel' : `depth ${way.replace('x', ', batch ')}`,
      program,
      given(way),
      options,
    ),
  );
  return { rows: [{ name: row, metrics, contenders }], claims: [], summarize };
}

/** Whether the file can be opened with O_DIRECT; what was written of it is on the disk then. */
function direct(file: string): 'direct' | 'cached' {
  const written = openSync(file, 'r+');
  fsyncSync(written);
  closeSync(written);
  try {
    closeSync(openSync(file, constants.O_RDWR | (constants.O_DIRECT ?? 0)));
    return constants.O_DIRECT === undefined ? 'cached' : 'direct';
  } catch {
    return 'cached';
  }
}

/** Issue 4, point 7: against the fixed one with the least p99 of those that keep the throughput. Returns how many claims were missed. */
function summarize({ rows }: Result, judge: boolean): number {
  const of = (contender: string, metric: string) => median(find(rows, contender, metric)?.values ?? []);
  const all = [...new Set(rows.map(({ contender }) => contender))];
  const ours = all.find((name) => name === 'ringwheel');
  const fixed = all.filter((name) => name !== ours);
  if (ours === undefined || fixed.length === 0) return 0;
  const most = Math.max(...fixed.map((name) => of(name, 'throughput')));
  const kept = fixed.filter((name) => of(name, 'throughput') >= KEPT * most);
  const best = kept.reduce((one, other) => (of(other, 'p99') < of(one, 'p99') ? other : one));
  const p99 = of(ours, 'p99') / of(best, 'p99');
  const throughput = of(ours, 'throughput') / of(best, 'throughput');
  const misses = Number(p99 > BELOW) + Number(throughput < KEPT);
  const verdict = (missed: boolean) => (judge ? (missed ? ', missed' : ', kept') : '');
  console.log(
    `best fixed: ${best}. adaptive: p99 × ${p99.toFixed(2)} (≤ ${BELOW}${verdict(p99 > BELOW)}), throughput × ${throughput.toFixed(3)} (≥ ${KEPT}${verdict(throughput < KEPT)})`,
  );
  return judge ? misses : 0;
}
