// `bench spawn`: what a task costs to spawn and join, and to let another run, beside the runtimes of Rust.
import path from 'node:path';
import { buildNative, buildPeers, type Native, nativeContender } from '../harness/native';
import type { BenchOptions } from '../harness/options';
import type { Claim, Metric, Result } from '../harness/result';
import type { Row } from '../harness/rounds';
import type { Benchmark } from '../main';

const runtimes = ['monoio', 'glommio', 'compio', 'tokio'] as const;

/** The runtimes that are compared, for one of the things they all do. */
export function runtimePeers(what: string): Native[] {
  return runtimes.map((name) => ({ name, program: `peer-${name}`, what }));
}

/** Issue 4, point 3. */
const claims: Claim[] = [
  { row: 'spawn and join', metric: 'spawn and join', against: 'monoio', relation: '<=', limit: 0.85 },
];

/** Builds ours and the peers, and names the rows. */
export async function spawn(options: BenchOptions, leftOut: Result['leftOut']): Promise<Benchmark> {
  const ours = path.join(await buildNative('ours', ['ours'], options), 'ours');
  const peers = await buildPeers(runtimePeers('spawn'), options, leftOut);
  const count = String(options.smoke ? 10_000 : Math.round(1_000_000 * options.seconds));
  const row = (name: string, what: string, metrics: Metric[]): Row => ({
    name,
    metrics,
    contenders: [
      nativeContender('ringwheel', ours, [what, count], options),
      ...runtimePeers(what).flatMap(({ name: peer, program }) => {
        const command = peers.get(program);
        return command === undefined ? [] : [nativeContender(peer, command, [what, count], options)];
      }),
    ],
  });
  const cpu: Metric = { name: 'CPU', unit: 'ns', better: 'lower' };
  return {
    rows: [
      row('spawn and join', 'spawn', [{ name: 'spawn and join', unit: 'ns', better: 'lower' }, cpu]),
      row('yield', 'yield', [{ name: 'yield', unit: 'ns', better: 'lower' }, cpu]),
    ],
    claims,
  };
}
