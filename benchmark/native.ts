// `bench native`: what an executor does, row by row, beside the runtimes of Rust and the bare ring: the proof of the executor.
import { closeSync, constants, openSync } from 'node:fs';
import path from 'node:path';
import { buildNative, buildPeers, nativeContender } from './harness/native';
import { type BenchOptions, passes } from './harness/options';
import type { Claim, Metric, Result } from './harness/result';
import type { Contender, Row } from './harness/rounds';
import { summarize } from './harness/summary';
import { residentBytes, warm, workspace } from './harness/workspace';
import type { Benchmark } from './main';
import { echoContender } from './native-echo';
import { makeBlocks } from './reads/contender';

const runtimes = ['monoio', 'glommio', 'compio', 'tokio', 'tokio-uring'] as const;

/** Programs by contender. The bare ring has several where it can do the work in more than one way. */
interface Programs {
  ours: string;
  bare: string;
  load: string;
  peers: ReadonlyMap<string, string>;
}

/** A row: what the programs are asked for, and what the bare ring is asked for under which names. */
interface Plan {
  row: string;
  metrics: Metric[];
  given: readonly string[];
  bare: Readonly<Record<string, string>> | string;
  /** It runs two threads, which pin themselves. */
  unpinned?: true;
}

const value = (name: string, unit: string, better: Metric['better'], ratio?: false): Metric => ({
  name,
  unit,
  better,
  ...(ratio === undefined ? {} : { ratio }),
});

const readMetrics = (first: 'reads' | 'CPU'): Metric[] => {
  const both = [value('reads', '/s', 'higher'), value('CPU', 'µs/read', 'lower')];
  return [
    ...(first === 'reads' ? both : both.reverse()),
    value('p50', 'µs', 'lower', false),
    value('p99', 'µs', 'lower'),
  ];
};

const each = (name: string, unit: string, ...more: Metric[]): Metric[] => [
  value(name, unit, 'lower'),
  value('p99', unit, 'lower'),
  ...more,
  value('CPU', unit, 'lower', false),
];

const noTasks = 'it has no tasks';
const noTimers =
  'a timeout of the ring for each timer costs 1.3 µs, and 19 ms to cancel beside 200,000: nobody does that';

/** What is measured, without the echo. */
function plans(options: BenchOptions, file: string | undefined, directFile: string | undefined): Plan[] {
  const { smoke } = options;
  const many = (full: number): string => String(smoke ? Math.max(20, Math.round(full / 50)) : full);
  const seconds = String(options.seconds);
  const reads = (row: string, depth: number, how: 'cached' | 'direct', from: string | undefined): Plan[] =>
    from === undefined
      ? []
      : [
          {
            row,
            metrics: readMetrics(how === 'cached' ? 'reads' : 'CPU'),
            given: ['reads', from, String(depth), seconds, how],
            bare: { 'bare ring': 'reads' },
          },
        ];
  const count = many(Math.round(1_000_000 * options.seconds));
  return [
    ...reads(rows.reads100, 100, 'cached', file),
    ...reads('reads, depth 32', 32, 'cached', file),
    ...reads('reads, depth 1', 1, 'cached', file),
    ...reads(rows.direct, 100, 'direct', directFile),
    { row: 'spawn and join', metrics: each('spawn and join', 'ns'), given: ['spawn', count], bare: noTasks },
    { row: 'yield', metrics: each('yield', 'ns'), given: ['yield', count], bare: noTasks },
    { row: 'local wake', metrics: each('wake', 'ns'), given: ['wake', count], bare: noTasks },
    {
      row: 'timers: insert',
      metrics: [value('insert', 'ns', 'lower'), value('insert p99', 'ns', 'lower')],
      given: ['timers', many(100_000)],
      bare: noTimers,
    },
    {
      row: 'timers: cancel',
      metrics: [value('cancel', 'ns', 'lower'), value('cancel p99', 'ns', 'lower')],
      given: ['timers', many(100_000)],
      bare: noTimers,
    },
    {
      row: 'timers: 100,000 sleeps',
      metrics: [value('CPU', 'ns/sleep', 'lower'), value('late p99', 'µs', 'lower')],
      given: ['sleeps', many(100_000)],
      bare: noTimers,
    },
    {
      row: 'wake of another thread',
      metrics: each('one way p50', 'µs'),
      given: ['cross', many(20_000), String(options.core), String(options.otherCore)],
      bare: { 'bare ring, MSG_RING': 'cross', 'thread park and unpark': 'cross-park' },
      unpinned: true,
    },
    {
      row: 'create, run and drop',
      metrics: each(
        'life',
        'µs',
        value('descriptors', 'left of 1000', 'lower', false),
        value('mappings', 'left of 1000', 'lower', false),
        value('resident', 'KiB grown of 1000', 'lower', false),
      ),
      given: ['lives', many(1000)],
      bare: { 'bare ring': 'lives' },
    },
  ];
}

const rows = { reads100: 'reads, depth 100', direct: 'reads, O_DIRECT, depth 100' } as const;

/** Issue 4, point 9: what is not in every row. */
const claims: Claim[] = [
  { row: rows.reads100, metric: 'reads', against: 'monoio', relation: '>=', limit: 1.15 },
  { row: rows.direct, metric: 'CPU', against: 'monoio', relation: '<=', limit: 0.8 },
];

const echoSizes = [64, 1024, 16_384] as const;

/** Builds everybody, makes the file, and names the rows. */
export async function native(options: BenchOptions, leftOut: Result['leftOut']): Promise<Benchmark> {
  const directory = await buildNative('ours', ['ours', 'bare', 'load'], options);
  const natives = runtimes.map((name) => ({ name, program: `peer-${name}`, what: '' }));
  const programs: Programs = {
    ours: path.join(directory, 'ours'),
    bare: path.join(directory, 'bare'),
    load: path.join(directory, 'load-echo'),
    peers: await buildPeers(natives, options, leftOut),
  };
  if (!options.smoke) leftOut.push({ contender: 'Seastar', reason: seastar });
  const data = workspace(options);
  const file = path.join(data, `blocks-${options.fileMebibytes}.bin`);
  const bytes = options.fileMebibytes * 2 ** 20;
  await makeBlocks(file, bytes);
  warm(file);
  const direct = takesDirect(file);
  if (!direct)
    leftOut.push({
      contender: `${rows.direct}: everybody`,
      reason: `${data} does not take O_DIRECT; name another place with --dir`,
    });
  const cached = (contender: Contender): Contender => ({
    name: contender.name,
    async sample() {
      if ((residentBytes(file) ?? bytes) < bytes) warm(file);
      return contender.sample();
    },
  });
  const made = plans(options, file, direct ? file : undefined).map((plan): Row => {
    const contenders = everybody(plan, programs, options, leftOut);
    return {
      name: plan.row,
      metrics: plan.metrics,
      contenders: plan.given.at(-1) === 'cached' ? contenders.map(cached) : contenders,
    };
  });
  return { rows: [...made.slice(0, 4), ...echoRows(programs, options), ...made.slice(4)], claims, summarize };
}

/** Tried with its sources of August 2026 on Debian 12. */
const seastar =
  'no program here measures it: its library wants Boost 1.79 and two dozen system packages, configures with GCC 12 as C++20 only, ' +
  'and had compiled 18 of 102 objects after ten minutes';

/** All who take part in a row. Who cannot is named, where it would otherwise be chosen. */
function everybody(plan: Plan, programs: Programs, options: BenchOptions, leftOut: Result['leftOut']): Contender[] {
  const pin = { core: plan.unpinned ? undefined : options.core };
  const found = [nativeContender('ringwheel', programs.ours, plan.given, pin)];
  for (const name of runtimes) {
    const command = programs.peers.get(`peer-${name}`);
    if (command !== undefined) found.push(nativeContender(name, command, plan.given, pin));
  }
  if (typeof plan.bare === 'string') {
    if (!options.smoke && passes('bare ring', options.only) && passes(plan.row, options.rows)) {
      leftOut.push({ contender: `${plan.row}: bare ring`, reason: plan.bare });
    }
    return found;
  }
  for (const [name, what] of Object.entries(plan.bare)) {
    found.push(nativeContender(name, programs.bare, [what, ...plan.given.slice(1)], pin));
  }
  return found;
}

function echoRows(programs: Programs, options: BenchOptions): Row[] {
  const metrics: Metric[] = [
    { ...value('messages', '/s', 'higher'), bimodal: true },
    { ...value('CPU', 'µs/message', 'lower'), bimodal: true },
    value('p50', 'µs', 'lower', false),
    { ...value('p99', 'µs', 'lower'), bimodal: true },
  ];
  return echoSizes.map((bytes) => {
    const server = (name: string, command: string, what: string): Contender =>
      echoContender({ name, command, what, load: programs.load, bytes, connections: options.smoke ? 4 : 100 }, options);
    const contenders = [server('ringwheel', programs.ours, 'echo')];
    for (const name of runtimes) {
      const command = programs.peers.get(`peer-${name}`);
      if (command !== undefined) contenders.push(server(name, command, 'echo'));
    }
    contenders.push(server('bare ring', programs.bare, 'echo'));
    contenders.push(server('bare ring, multishot', programs.bare, 'echo-multishot'));
    return { name: `echo, ${bytes} bytes`, metrics, contenders };
  });
}

/** Whether the file system opens a file past its cache. */
function takesDirect(file: string): boolean {
  if (process.platform !== 'linux') return false;
  try {
    closeSync(openSync(file, constants.O_RDONLY | constants.O_DIRECT));
    return true;
  } catch {
    return false;
  }
}
