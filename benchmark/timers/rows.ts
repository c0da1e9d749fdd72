// `bench timers`: what a timer costs with many others present, natively and from JavaScript, and the worst pause of a cascade.
import path from 'node:path';
import { builtPackage } from '../harness/built';
import { buildNative, buildPeers, type Native, nativeContender } from '../harness/native';
import { type BenchOptions, passes } from '../harness/options';
import { npmPeer } from '../harness/peers';
import type { Claim, Metric, Result } from '../harness/result';
import type { Contender, Row } from '../harness/rounds';
import type { Benchmark } from '../main';
import { runtimePeers } from '../spawn/rows';

const lower = (name: string, unit: string, ratio?: false): Metric => ({
  name,
  unit,
  better: 'lower',
  ...(ratio === undefined ? {} : { ratio }),
});

const insertAndCancel: Metric[] = [
  lower('insert', 'ns'),
  lower('insert p99', 'ns', false),
  lower('insert max', 'µs', false),
  lower('cancel', 'ns'),
  lower('cancel p99', 'ns', false),
  lower('cancel max', 'µs', false),
];

const alone = 'timers present: the structure alone';
const futures = 'timers present: as futures';

const cancelled = 'callbacks created and cancelled, JavaScript';
const called = 'callbacks created and called, JavaScript';

/** Issue 3, point 3; issue 4, point 4. */
const claims: Claim[] = [
  { row: alone, metric: 'insert p99', relation: '<', limit: 100 },
  { row: alone, metric: 'cancel p99', relation: '<', limit: 100 },
  { row: alone, metric: 'insert', against: 'monoio', relation: '<=', limit: 0.4 },
  { row: alone, metric: 'cancel', against: 'monoio', relation: '<=', limit: 0.4 },
  { row: cancelled, metric: 'in one turn', against: 'setTimeout', relation: '<=', limit: 0.12 },
  { row: cancelled, metric: 'CPU', against: 'setTimeout', relation: '<=', limit: 0.12 },
  { row: cancelled, metric: 'in one turn', against: 'bun setTimeout', relation: '<', limit: 1 },
  { row: cancelled, metric: 'CPU', against: 'bun setTimeout', relation: '<', limit: 1 },
  { row: called, metric: 'CPU', against: 'setTimeout', relation: '<=', limit: 0.5 },
  { row: called, metric: 'late p99', against: 'setTimeout', relation: '<=', limit: 1 },
];

const structures: Native[] = [
  { name: 'wheel crate, cancellable', program: 'peer-structures', what: 'cancellable' },
  { name: 'wheel crate, plain (cannot cancel)', program: 'peer-structures', what: 'plain' },
  { name: 'BTreeMap', program: 'peer-structures', what: 'tree' },
  { name: 'tokio-util DelayQueue', program: 'peer-structures', what: 'delay-queue' },
];

/** Builds ours and the peers, and names the rows. */
export async function timers(options: BenchOptions, leftOut: Result['leftOut']): Promise<Benchmark> {
  const ringwheel = await builtPackage(options);
  const ours = path.join(await buildNative('ours', ['ours'], options), 'ours');
  const peers = await buildPeers([...structures, ...runtimePeers('timers')], options, leftOut);
  const count = options.smoke ? 2_000 : 100_000;
  const native = (name: string, metrics: Metric[], what: string, others: readonly Native[], of = count): Row => ({
    name,
    metrics,
    contenders: [
      nativeContender('ringwheel', ours, [what, String(of)], options),
      ...others.flatMap((other) => {
        const command = peers.get(other.program);
        return command === undefined ? [] : [nativeContender(other.name, command, [other.what, String(of)], options)];
      }),
    ],
  });
  const sleeps: Metric[] = [lower('CPU', 'ns/sleep'), lower('late p99', 'µs')];
  return {
    rows: [
      native(alone, insertAndCancel, 'wheel', [...structures, ...runtimePeers('timers')]),
      native(futures, insertAndCancel, 'timers', runtimePeers('timers')),
      native('sleeps at once, native', sleeps, 'sleeps', runtimePeers('sleeps')),
      native(
        'cascade',
        [lower('worst pause', 'µs'), lower('all ticks', 'ms')],
        'cascade',
        [{ name: 'wheel crate, unbounded tick', program: 'peer-structures', what: 'cascade' }],
        options.smoke ? 20_000 : 1_000_000,
      ),
      {
        name: 'sleeps at once, JavaScript',
        metrics: [lower('CPU', 'µs/sleep'), lower('late p50', 'ms', false), lower('late p99', 'ms')],
        contenders: await scripts(ringwheel, count, options, leftOut),
      },
      {
        name: cancelled,
        metrics: [lower('in one turn', 'ns'), lower('a turn between', 'ns'), lower('CPU', 'ns')],
        contenders: await callbacks(ringwheel, 'cancel', count, options, leftOut),
      },
      {
        name: called,
        metrics: [
          lower('CPU', 'ns'),
          lower('early', '%', false),
          lower('late p50', 'ms', false),
          lower('late p99', 'ms'),
        ],
        contenders: await callbacks(ringwheel, 'fire', count, options, leftOut),
      },
    ],
    claims,
  };
}

/** Timer beside setTimeout, of Node and of Bun. */
async function callbacks(
  ringwheel: string,
  what: 'cancel' | 'fire',
  count: number,
  options: BenchOptions,
  leftOut: Result['leftOut'],
): Promise<Contender[]> {
  return javascript('callbacks.mjs', { what, count, ringwheel }, 'setTimeout', options, leftOut);
}

async function scripts(
  ringwheel: string,
  count: number,
  options: BenchOptions,
  leftOut: Result['leftOut'],
): Promise<Contender[]> {
  return javascript('worker.mjs', { count, ringwheel }, 'timers/promises', options, leftOut);
}

/** One script beside itself: with ringwheel's timers, with those of Node, which `label` names, and with those of Bun. */
async function javascript(
  file: string,
  input: object,
  label: string,
  options: BenchOptions,
  leftOut: Result['leftOut'],
): Promise<Contender[]> {
  const script = (name: string, command: string, mode: string): Contender =>
    nativeContender(name, command, [path.join(__dirname, file), JSON.stringify({ mode, ...input })], options);
  const found = [script('ringwheel', process.execPath, 'ringwheel'), script(label, process.execPath, 'setTimeout')];
  const bunLabel = `bun ${label}`;
  const bun = passes(bunLabel, options.only) ? await npmPeer('bun', options, leftOut) : undefined;
  if (bun !== undefined) found.push(script(bunLabel, bun.command, 'setTimeout'));
  return found;
}
