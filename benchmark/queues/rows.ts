// `bench queues`: what a yield costs, whether shares and bounds hold, and what soft preemption costs, beside a plain event loop.
import path from 'node:path';
import { builtPackage } from '../harness/built';
import { nativeContender } from '../harness/native';
import type { BenchOptions } from '../harness/options';
import type { Claim, Metric } from '../harness/result';
import type { Row } from '../harness/rounds';
import type { Benchmark } from '../main';

const lower = (name: string, unit: string): Metric => ({ name, unit, better: 'lower' });

const yields = 'yield';
const serving = 'HTTP server beside saturated queues';
const latency = 'latency class beside saturated queues, every 5 ms';
const look = 'needPreempt';
const cost = 'CPU of work with needPreempt';
const counting = 'ringwheel, a yield every 560 chunks';

/** Pairs of bursts in milliseconds, of the queue with 100 shares and of that with 300. */
const bursts: readonly (readonly [number, number])[] = [
  [0.2, 0.2],
  [0.02, 0.3],
  [0.7, 0.05],
];
const sharesRow = ([one, other]: readonly [number, number]): string => `shares 1 : 3, bursts of ${one} and ${other} ms`;

/** Issue 4, points 1 and 2. */
const claims: Claim[] = [
  { row: yields, metric: 'CPU', against: 'setImmediate, one task', relation: '<=', limit: 0.3 },
  ...bursts.map((pair): Claim => ({ row: sharesRow(pair), metric: 'off by', relation: '<=', limit: 5 })),
  { row: serving, metric: 'p50', relation: '<=', limit: 1 },
  { row: latency, metric: 'p99', relation: '<=', limit: 5 },
  { row: latency, metric: 'p99', against: 'event loop', relation: '<', limit: 1 },
  { row: look, metric: 'look', relation: '<=', limit: 2 },
  { row: cost, metric: 'CPU', against: counting, relation: '<=', limit: 1.01 },
];

/** Names the rows; every contender is the same script in a process of its own. */
export async function queues(options: BenchOptions): Promise<Benchmark> {
  const ringwheel = await builtPackage(options);
  const seconds = options.smoke ? 0.1 : options.seconds;
  const row = (
    name: string,
    mode: string,
    metrics: Metric[],
    contenders: readonly string[],
    bursts?: readonly number[],
  ): Row => ({
    name,
    metrics,
    contenders: contenders.map((contender) => {
      const given = JSON.stringify({ mode, contender, seconds, ringwheel, bursts, clientCore: options.otherCore });
      return nativeContender(contender, process.execPath, [path.join(__dirname, 'worker.mjs'), given], options);
    }),
  });
  const times = [lower('p50', 'ms'), lower('p99', 'ms')];
  const work: Metric = { name: 'work', unit: '% of the time', better: 'higher' };
  return {
    rows: [
      row(yields, 'yields', [lower('CPU', 'ns')], ['ringwheel', 'setImmediate, one task', 'setImmediate']),
      ...bursts.map((pair) => row(sharesRow(pair), 'shares', [lower('off by', '%')], ['ringwheel'], pair)),
      row(serving, 'http', [...times, work], ['ringwheel', 'event loop', 'idle']),
      row(latency, 'latency', [...times, work], ['ringwheel', 'event loop']),
      row(look, 'look', [lower('look', 'ns')], ['ringwheel', 'a bare load', 'Atomics.load', 'performance.now']),
      row(cost, 'cost', [lower('CPU', 'µs')], ['ringwheel', counting]),
    ],
    claims,
  };
}
