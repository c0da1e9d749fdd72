// `bench reads`: 4 KiB random reads from the page cache, 100 in flight and one at a time, through every way JavaScript has.
import { mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { builtPackage } from '../harness/built';
import type { BenchOptions } from '../harness/options';
import { otherRuntimes } from '../harness/peers';
import { whenEnding } from '../harness/processes';
import { say } from '../harness/progress';
import type { Claim, Result } from '../harness/result';
import type { Row } from '../harness/rounds';
import { filesystem, warm, workspace } from '../harness/workspace';
import type { Benchmark } from '../main';
import { makeBlocks, readContender, readMetrics, type Way } from './contender';

/** Makes the file, finds the peers, and names the rows and what they must show. */
export async function reads(options: BenchOptions, leftOut: Result['leftOut']): Promise<Benchmark> {
  const ringwheel = await builtPackage(options);
  const directory = workspace(options);
  const file = path.join(directory, `blocks-${options.fileMebibytes}.bin`);
  await makeBlocks(file, options.fileMebibytes * 2 ** 20);
  warm(file);
  say(
    `${options.fileMebibytes} MiB on ${filesystem(directory)}, all of it in the page cache; pinned contenders on core ${options.core}`,
  );
  const ways = await findWays(options, leftOut);
  const scratch = mkdtempSync(path.join(directory, 'samples-'));
  whenEnding(() => rmSync(scratch, { recursive: true, force: true }));
  const row = (name: string, depth: number): Row => ({
    name,
    metrics: readMetrics,
    contenders: ways.map((way) => readContender(way, { file, depth, ringwheel, scratch }, options)),
  });
  return { rows: [row(depth100, 100), row(depth1, 1)], claims };
}

const depth100 = 'reads, depth 100';
const depth1 = 'reads, depth 1';

/** Issue 3, point 10. */
const claims: Claim[] = [
  { row: depth100, metric: 'reads', against: 'fs.promises', relation: '>=', limit: 5 },
  { row: depth100, metric: 'reads', against: 'fs.read', relation: '>=', limit: 3.5 },
  { row: depth100, metric: 'reads', against: 'bun fs.promises', relation: '>=', limit: 1.7 },
  { row: depth100, metric: 'reads', against: 'readSync', relation: '>=', limit: 1 },
  { row: depth1, metric: 'reads', against: 'fs.promises', relation: '>=', limit: 5 },
];

async function findWays(options: BenchOptions, leftOut: Result['leftOut']): Promise<Way[]> {
  const pool = (size: string): Record<string, string> => ({ UV_THREADPOOL_SIZE: size });
  const ways: Way[] = [
    { name: 'ringwheel', mode: 'ringwheel', executor: {} },
    {
      name: 'ringwheel-sqpoll',
      mode: 'ringwheel',
      executor: { driver: 'uring', sqpoll: { force: true } },
      unpinned: true,
    },
    { name: 'ringwheel-poll', mode: 'ringwheel', executor: {}, environment: { RINGWHEEL_DRIVER: 'poll' } },
    { name: 'fs.promises', mode: 'promises' },
    { name: 'fs.read', mode: 'callback' },
    { name: 'fs.read, unpinned, pool of 1', mode: 'callback', unpinned: true, environment: pool('1') },
    { name: 'fs.read, unpinned, pool of 4', mode: 'callback', unpinned: true, environment: pool('4') },
    { name: 'readSync', mode: 'sync' },
  ];
  for (const runtime of await otherRuntimes(['bun fs.promises', 'deno fs.promises'], options, leftOut)) {
    ways.push({ name: `${runtime.name} fs.promises`, mode: 'promises', runtime });
  }
  return ways;
}
