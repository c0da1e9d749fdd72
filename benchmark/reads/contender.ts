// The contenders of random reads: a process of its own that runs worker.mjs, for `bench reads` and `bench files`.
import { existsSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { build } from 'hdr-histogram-js';
import type { BenchOptions } from '../harness/options';
import { node, type Runtime } from '../harness/peers';
import { report } from '../harness/processes';
import { say } from '../harness/progress';
import type { Metric } from '../harness/result';
import type { Contender, Sample } from '../harness/rounds';
import { makeFile, residentBytes } from '../harness/workspace';

/** What is measured of random reads. */
export const readMetrics: Metric[] = [
  { name: 'reads', unit: '/s', better: 'higher' },
  { name: 'CPU', unit: 'µs/read', better: 'lower' },
  { name: 'p50', unit: 'µs', better: 'lower', ratio: false },
  { name: 'p99', unit: 'µs', better: 'lower', ratio: false },
];

/** A way to read, and how its process is set up. */
export interface Way {
  name: string;
  mode: 'ringwheel' | 'readMany' | 'promises' | 'callback' | 'sync';
  /** Node, when it is not named. */
  runtime?: Runtime;
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

/**
 * Long enough for a compiler to have optimized everything: what is measured is a server that runs, not one that starts. A batch of a hundred
 * reads runs its code a hundredth as often: with 0.3 s it costs a third more than a promise per read, from 2 s on a tenth less.
 */
const warmSeconds = 2;
/** The same in a quick run, and for latencies, of which it matters less. */
const quickWarmSeconds = 1.5;
const latencyWarmSeconds = 0.3;

function warmFor(options: BenchOptions, latencies: boolean): number {
  if (options.smoke) return Math.min(latencyWarmSeconds, options.seconds);
  if (!options.quick) return warmSeconds;
  return latencies ? latencyWarmSeconds : quickWarmSeconds;
}

/** What all ways of a row are given. */
export interface ReadTask {
  file: string;
  depth: number;
  /** Past the page cache: O_DIRECT. */
  direct?: boolean;
  /** The package's entry. */
  ringwheel: string;
  /** A directory for latencies. */
  scratch: string;
}

/** Throughput and CPU are of one run, latencies of a second, so that no clock is read between the reads of the first. */
export function readContender(way: Way, given: ReadTask, options: BenchOptions): Contender {
  const once = async (samples: string | undefined): Promise<Found> => {
    const { file, depth, direct, ringwheel } = given;
    const { mode, executor, runtime = node } = way;
    const seconds = options.seconds;
    const found = await report<Found>(
      {
        command: runtime.command,
        arguments: [
          ...runtime.before,
          path.join(__dirname, 'worker.mjs'),
          JSON.stringify({
            mode,
            file,
            seconds,
            depth,
            direct,
            warmSeconds: warmFor(options, samples !== undefined),
            samples,
            ringwheel,
            executor,
          }),
        ],
        environment: way.environment ?? {},
        core: way.unpinned ? undefined : options.core,
      },
      (seconds * 3 + 30) * 1000,
    );
    // A runtime may page in some of its own program. More than a little is that only if the file is still in the cache, whole.
    const little = 2 ** 20 + 0.01 * found.operations * blockBytes;
    if (!direct && found.storage > little && (residentBytes(file) ?? 0) < options.fileMebibytes * 2 ** 20) {
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
