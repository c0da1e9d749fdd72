// Random reads of 4 KiB: through the page cache, 100 at once and one at a time, and past it, beside fio and native runtimes.
import path from 'node:path';
import { ForeignCpu } from '../harness/cpu';
import { buildNative, buildPeers, nativeContender } from '../harness/native';
import { type BenchOptions, passes } from '../harness/options';
import { aptPeer, type PeerProgram, type Runtime } from '../harness/peers';
import { run, tail } from '../harness/processes';
import type { Claim, Metric, Result } from '../harness/result';
import type { Contender, Row, Sample } from '../harness/rounds';
import { type ReadTask, readContender, readMetrics, type Way } from '../reads/contender';

export const depth100 = 'random reads, page cache, 100 at once';
export const depth1 = 'random reads, page cache, one at a time';
export const direct = 'random reads, O_DIRECT, 100 at once';

/** Their names, for `--help`. */
export const randomRowNames = [depth100, depth1, direct];

/** Issue 5, point 5. */
export const claims: Claim[] = [
  { row: depth100, metric: 'reads', against: 'monoio', relation: '>=', limit: 1 },
  { row: depth100, metric: 'reads', ours: 'ringwheel readMany', against: 'monoio', relation: '>=', limit: 1.2 },
  { row: depth100, metric: 'reads', against: 'fs.promises', relation: '>=', limit: 6 },
  { row: depth100, metric: 'reads', against: 'bun fs.promises', relation: '>=', limit: 2 },
  { row: depth1, metric: 'p50', relation: '<=', limit: 6 },
  { row: direct, metric: 'reads', against: 'fio', relation: '>=', limit: 0.97 },
  { row: direct, metric: 'CPU', against: 'fs.promises', relation: '<=', limit: 0.15 },
];

const directMetrics: Metric[] = readMetrics.map(({ ratio: _, ...metric }) =>
  metric.name === 'p50' ? { ...metric, ratio: false } : metric,
);

const runtimes = ['monoio', 'compio'].map((name) => ({ name, program: `peer-${name}`, what: 'reads' }));

/** What the rows need. */
interface Given {
  file: string;
  ringwheel: string;
  scratch: string;
  /** Whether the file can be read past the page cache. */
  takesDirect: boolean;
  /** Bun and Deno, as far as they are there. */
  others: readonly Runtime[];
}

/** Names the three rows. */
export async function randomRows(given: Given, options: BenchOptions, leftOut: Result['leftOut']): Promise<Row[]> {
  const { others, ...files } = given;
  const programs = await nativePrograms(options, leftOut);
  const row = (name: string, depth: number, direct: boolean, ways: readonly Way[], more: Contender[] = []): Row => {
    const task: ReadTask = { ...files, depth, direct };
    const native = ['reads', given.file, String(depth), String(options.seconds), direct ? 'direct' : 'cached'];
    return {
      name,
      metrics: direct ? directMetrics : readMetrics,
      contenders: [
        ...ways
          .filter(({ name }) => !options.smoke || inSmoke.includes(name))
          .map((way) => readContender(way, task, options)),
        ...more,
        ...programs.map(([name, command]) => nativeContender(name, command, native, options)),
      ],
    };
  };
  const rows = [
    row(depth100, 100, false, [...cachedWays(others), readMany]),
    row(
      depth1,
      1,
      false,
      cachedWays(others).filter(({ name }) => !options.quick || !notQuick.includes(name)),
    ),
  ];
  if (!given.takesDirect) {
    leftOut.push({
      contender: `${direct}: everybody`,
      reason: 'O_DIRECT is refused there; name another place with --dir',
    });
    return rows;
  }
  const fio = await aptPeer('fio', options, leftOut);
  const beside = fio === undefined ? [] : [fioContender(fio, given.file, options)];
  return [...rows, row(direct, 100, true, [...directWays(others), readMany], beside)];
}

/** Contenders in Rust, by their names. A smoke leaves them to that of `bench native`. */
async function nativePrograms(options: BenchOptions, leftOut: Result['leftOut']): Promise<[string, string][]> {
  if (options.smoke || !randomRowNames.some((row) => passes(row, options.rows))) return [];
  const ours = await buildNative('ours', ['ours', 'bare'], options);
  const peers = await buildPeers(runtimes, options, leftOut);
  return [
    ['ringwheel in Rust', path.join(ours, 'ours')],
    ['bare ring', path.join(ours, 'bare')],
    ...runtimes.flatMap(({ name, program }): [string, string][] => {
      const command = peers.get(program);
      return command === undefined ? [] : [[name, command]];
    }),
  ];
}

/** With one read at a time these are as their kin; a quick run leaves them out. */
const notQuick = ['fs.promises, pool of 1', 'fs.read, pool of 1', "fs.read, libuv's io_uring"];

/** One of each mode. */
const inSmoke = ['ringwheel', 'ringwheel readMany', 'fs.promises', 'readSync'];

/** Batches of 100, one after the other; its latencies are those of a batch. */
const readMany: Way = { name: 'ringwheel readMany', mode: 'readMany', executor: {} };

const pool = (size: string): Record<string, string> => ({ UV_THREADPOOL_SIZE: size });
const libuvRing = { UV_USE_IO_URING: '1' };

function cachedWays(others: readonly Runtime[]): Way[] {
  return [
    { name: 'ringwheel', mode: 'ringwheel', executor: {} },
    { name: 'ringwheel, poll driver', mode: 'ringwheel', executor: {}, environment: { RINGWHEEL_DRIVER: 'poll' } },
    { name: 'fs.promises', mode: 'promises' },
    { name: 'fs.promises, pool of 1', mode: 'promises', environment: pool('1') },
    { name: 'fs.read', mode: 'callback' },
    { name: 'fs.read, pool of 1', mode: 'callback', environment: pool('1') },
    { name: "fs.read, libuv's io_uring", mode: 'callback', environment: libuvRing },
    { name: 'fs.read, unpinned, pool of 1', mode: 'callback', unpinned: true, environment: pool('1') },
    { name: 'fs.read, unpinned, pool of 4', mode: 'callback', unpinned: true, environment: pool('4') },
    { name: "fs.read, unpinned, libuv's io_uring", mode: 'callback', unpinned: true, environment: libuvRing },
    { name: 'readSync', mode: 'sync' },
    ...others.map((runtime): Way => ({ name: `${runtime.name} fs.promises`, mode: 'promises', runtime })),
  ];
}

/** The threads of a pool wait for the disk here: more of them are an advantage. */
function directWays(others: readonly Runtime[]): Way[] {
  return [
    { name: 'ringwheel', mode: 'ringwheel', executor: {} },
    { name: 'ringwheel, poll driver', mode: 'ringwheel', executor: {}, environment: { RINGWHEEL_DRIVER: 'poll' } },
    { name: 'fs.promises', mode: 'promises' },
    { name: 'fs.read', mode: 'callback' },
    { name: 'fs.read, pool of 16', mode: 'callback', environment: pool('16') },
    { name: "fs.read, unpinned, libuv's io_uring", mode: 'callback', unpinned: true, environment: libuvRing },
    { name: 'readSync', mode: 'sync' },
    ...others.map((runtime): Way => ({ name: `${runtime.name} fs.promises`, mode: 'promises', runtime })),
  ];
}

/** What `fio --output-format=json` says of one job. */
interface FioJob {
  job_runtime: number;
  usr_cpu: number;
  sys_cpu: number;
  read: { iops: number; total_ios: number; runtime: number; clat_ns?: { percentile?: Record<string, number> } };
}

/** fio with what makes it fastest: io_uring, registered file and buffers. Latencies are of a run of their own, as everybody's. */
function fioContender(fio: PeerProgram, file: string, options: BenchOptions): Contender {
  const { seconds, core } = options;
  const once = async (timed: boolean): Promise<FioJob> => {
    const given = [
      ...[
        'name=files',
        `filename=${file}`,
        'readonly',
        'rw=randread',
        'bs=4k',
        'direct=1',
        'norandommap',
        'randrepeat=0',
      ],
      ...['ioengine=io_uring', 'iodepth=100', 'registerfiles', 'fixedbufs', 'time_based', `runtime=${seconds}s`],
      ...['output-format=json', ...(timed ? [] : ['disable_lat=1', 'disable_clat=1', 'disable_slat=1'])],
    ].map((option) => `--${option}`);
    const { command, environment } = fio;
    const ended = await run({ command, arguments: given, environment, core }, (seconds * 3 + 30) * 1000);
    const start = ended.stdout.indexOf('{');
    if (ended.code !== 0 || start < 0)
      throw new Error(`fio ended with ${ended.code}: ${tail(ended.stderr) || tail(ended.stdout)}`);
    const [job] = (JSON.parse(ended.stdout.slice(start)) as { jobs: FioJob[] }).jobs;
    if (job === undefined || job.read.total_ios === 0) throw new Error('fio read nothing');
    return job;
  };
  return {
    name: 'fio',
    async sample(): Promise<Sample> {
      const others = new ForeignCpu();
      const { read, usr_cpu, sys_cpu, job_runtime } = await once(false);
      const { clat_ns } = (await once(true)).read;
      const microseconds = (part: string): number => (clat_ns?.percentile?.[part] ?? Number.NaN) / 1000;
      return {
        values: {
          reads: read.iops,
          // In percent of its milliseconds.
          CPU: ((usr_cpu + sys_cpu) * job_runtime * 10) / read.total_ios,
          p50: microseconds('50.000000'),
          p99: microseconds('99.000000'),
        },
        foreign: others.foreign(),
      };
    },
  };
}
