// `bench reads`: 4 KiB random reads from the page cache, 100 in flight and one at a time, through every way JavaScript has.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { build } from 'hdr-histogram-js';
import { builtPackage } from '../harness/built';
import { type BenchOptions, passes } from '../harness/options';
import { npmPeer, type PeerProgram } from '../harness/peers';
import { report, whenEnding } from '../harness/processes';
import { say } from '../harness/progress';
import type { Claim, Metric, Result } from '../harness/result';
import type { Contender, Row, Sample } from '../harness/rounds';
import { filesystem, makeFile, residentBytes, warm, workspace } from '../harness/workspace';
import type { Benchmark } from '../main';

const metrics: Metric[] = [
  { name: 'reads', unit: '/s', better: 'higher' },
  { name: 'CPU', unit: 'µs/read', better: 'lower' },
  { name: 'p50', unit: 'µs', better: 'lower', ratio: false },
  { name: 'p99', unit: 'µs', better: 'lower', ratio: false },
];

/** A way to read, and how its process is set up. */
interface Way {
  name: string;
  mode: 'ringwheel' | 'promises' | 'callback' | 'sync';
  program?: PeerProgram;
  before?: string[];
  environment?: Record<string, string>;
  executor?: object;
  /** Some need the other core too: a kernel submission thread, a thread pool that is to show its best. */
  unpinned?: boolean;
}

/** What the worker reports. */
interface Found {
  operations: number;
  elapsed: number;
  cpu: number;
  foreign: number;
  storage: number;
  driver?: string;
}

const blockBytes = 4096;

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
    metrics,
    contenders: ways.map((way) => contender(way, { file, depth, ringwheel, scratch }, options)),
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
  for (const [name, before] of [
    ['bun', []],
    ['deno', ['run', '-A', '--no-config', '--no-lock']],
  ] as const) {
    const label = `${name} fs.promises`;
    const program = passes(label, options.only) ? await npmPeer(name, options, leftOut) : undefined;
    if (program !== undefined) ways.push({ name: label, mode: 'promises', program, before: [...before] });
  }
  return ways;
}

function contender(
  way: Way,
  given: { file: string; depth: number; ringwheel: string; scratch: string },
  options: BenchOptions,
): Contender {
  const once = async (samples: string | undefined): Promise<Found> => {
    const { file, depth, ringwheel } = given;
    const { mode, executor } = way;
    const seconds = options.seconds;
    const found = await report<Found>(
      {
        command: way.program?.command ?? process.execPath,
        arguments: [
          ...(way.before ?? []),
          path.join(__dirname, 'worker.mjs'),
          JSON.stringify({
            mode,
            file,
            seconds,
            depth,
            warmSeconds: Math.min(0.3, seconds),
            samples,
            ringwheel,
            executor,
          }),
        ],
        environment: { ...way.program?.environment, ...way.environment },
        core: way.unpinned ? undefined : options.core,
      },
      (seconds * 3 + 30) * 1000,
    );
    // A runtime may page in some of its own program. More than a little is that only if the file is still in the cache, whole.
    const little = 2 ** 20 + 0.01 * found.operations * blockBytes;
    if (found.storage > little && (residentBytes(file) ?? 0) < options.fileMebibytes * 2 ** 20) {
      throw new Error(`${found.storage} bytes came from storage: the page cache did not hold the file`);
    }
    if (found.operations === 0) throw new Error('not one read landed in the measured time');
    return found;
  };
  return {
    name: way.name,
    async sample(): Promise<Sample> {
      const throughput = await once(undefined);
      const samples = path.join(given.scratch, 'latency.f64');
      const latency = await once(samples);
      const sample: Sample = {
        foreign: Math.max(throughput.foreign, latency.foreign),
        values: {
          reads: throughput.operations / throughput.elapsed,
          CPU: (throughput.cpu * 1e6) / throughput.operations,
          ...quantiles(samples),
        },
      };
      if (throughput.driver !== undefined) sample.driver = throughput.driver;
      return sample;
    },
  };
}

/** p50 and p99 in microseconds of the millisecond samples in a file. */
function quantiles(file: string): { p50: number; p99: number } {
  const bytes = readFileSync(file);
  const values = new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  const histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: 60_000_000_000,
    numberOfSignificantValueDigits: 3,
  });
  for (const value of values) histogram.recordValue(Math.max(1, Math.round(value * 1e6)));
  rmSync(file);
  return { p50: histogram.getValueAtPercentile(50) / 1000, p99: histogram.getValueAtPercentile(99) / 1000 };
}

/** Makes the file of blocks, unless it is there. */
export async function makeBlocks(file: string, bytes: number): Promise<void> {
  const { fillBlock } = await import('./blocks.mjs');
  if (!existsSync(file)) say(`making ${bytes / 2 ** 20} MiB of data …`);
  const perPiece = 1024;
  const words = new Uint32Array((perPiece * blockBytes) / 4);
  makeFile(file, bytes, (at) => {
    const first = at / blockBytes;
    for (let block = 0; block < perPiece; block++)
      fillBlock(words.subarray(block * 1024, (block + 1) * 1024), first + block);
    return new Uint8Array(words.buffer);
  });
}
