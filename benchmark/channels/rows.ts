// `bench channels`: messages between two threads of JavaScript, beside MessageChannel.
import path from 'node:path';
import { builtPackage } from '../harness/built';
import { nativeContender } from '../harness/native';
import type { BenchOptions } from '../harness/options';
import type { Claim, Metric } from '../harness/result';
import type { Row } from '../harness/rounds';
import type { Benchmark } from '../main';

const metrics: Metric[] = [
  { name: 'round trip', unit: 'µs/message', better: 'lower' },
  { name: 'CPU', unit: 'µs/message', better: 'lower' },
];

const alone = 'numbers, one on the way';
const many = 'numbers, 100 on the way';

/** Issue 4, point 6. */
const claims: Claim[] = [
  { row: alone, metric: 'round trip', against: 'MessageChannel', relation: '<=', limit: 0.8 },
  { row: many, metric: 'round trip', against: 'MessageChannel', relation: '<=', limit: 0.2 },
];

/** Names the rows. Nothing is pinned: the two threads need two cores. */
export async function channels(options: BenchOptions): Promise<Benchmark> {
  const ringwheel = await builtPackage(options);
  const row = (name: string, kind: 'numbers' | 'bytes', depth: number): Row => ({
    name,
    metrics,
    contenders: ['ringwheel', 'for await', 'MessageChannel'].map((mode) => {
      const given = { mode, kind, bytes: 1024, depth, seconds: options.seconds, ringwheel };
      const script = [path.join(__dirname, 'worker.mjs'), JSON.stringify(given)];
      return nativeContender(mode, process.execPath, script, { core: undefined });
    }),
  });
  const calls = (name: string, depth: number): Row => ({
    name,
    metrics,
    contenders: ['ringwheel', 'postMessage'].map((mode) => {
      const script = [
        path.join(__dirname, 'calls.mjs'),
        JSON.stringify({ mode, depth, seconds: options.seconds, ringwheel }),
      ];
      return nativeContender(mode, process.execPath, script, { core: undefined });
    }),
  });
  return {
    rows: [
      row(alone, 'numbers', 1),
      row(many, 'numbers', 100),
      row('1 KiB, one on the way', 'bytes', 1),
      row('1 KiB, 100 on the way', 'bytes', 100),
      calls('pool.run, one at a time', 1),
      calls('pool.run, 100 at a time', 100),
    ],
    claims,
  };
}
