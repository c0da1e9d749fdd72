// `npm run bench -- reads|files|server|timers|spawn|native|queues|channels|adaptive`: parses the options, runs one benchmark, prints its table, writes its JSON.
import { Command, InvalidArgumentError } from 'commander';
import { adaptive } from './adaptive/rows';
import { channels } from './channels/rows';
import { fileRows, files } from './files/rows';
import { type BenchOptions, nameList } from './harness/options';
import { type Claim, type Result, writeResult } from './harness/result';
import { measure, type Row } from './harness/rounds';
import { printLegend, printResult, printRow } from './harness/table';
import { allowedCpus } from './harness/workspace';
import { native } from './native';
import { queues } from './queues/rows';
import { reads } from './reads/rows';
import { server, names as serverNames } from './server/rows';
import { spawn } from './spawn/rows';
import { timers } from './timers/rows';

/** A benchmark: it makes its data, fetches its peers, and says what is measured and what is promised. */
export interface Benchmark {
  rows: Row[];
  claims: readonly Claim[];
  /** Prints what all rows come to, and what of it was promised unless the run is too small to judge; returns how many were missed. */
  summarize?(result: Result, judge: boolean): number;
  /** Ends what the rows share, for instance servers. */
  end?(): Promise<void>;
}

/** The options as commander parses them. */
interface Given {
  rounds?: number;
  seconds?: number;
  json?: string;
  only?: string[];
  rows?: string[];
  dir?: string;
  size?: number;
  core?: number;
  foreign?: number;
  build: boolean;
  offline?: true;
  check?: true;
  quick?: true;
  smoke?: true;
}

type Prepare = (options: BenchOptions, leftOut: Result['leftOut']) => Promise<Benchmark>;

/** What a benchmark is, and how much of it by default where that is not 5 rounds of 2 seconds. */
interface Kind {
  about: string;
  prepare: Prepare;
  rounds?: number;
  seconds?: number;
  /** What `--rows` and `--only` choose from, for `--help`. */
  names?: { rows: readonly string[]; contenders?: readonly string[] };
}

const benchmarks: Readonly<Record<string, Kind>> = {
  reads: { about: '4 KiB random reads from the page cache, beside Node, Bun and Deno', prepare: reads },
  files: {
    about: 'everything done with files, beside Node, Bun, Deno, fio, monoio, compio and the bare ring',
    prepare: files,
    seconds: 1,
    names: { rows: fileRows },
  },
  server: {
    about: 'static files over HTTP, beside nginx, h2o, lighttpd, Caddy, static-web-server, Bun and Node',
    prepare: server,
    seconds: 1, // Of two hundred contenders in all rows.
    names: serverNames,
  },
  timers: { about: 'timers and sleeps, beside monoio, glommio, compio, tokio and Node', prepare: timers },
  queues: { about: 'task queues and soft preemption in JavaScript, beside a plain event loop', prepare: queues },
  spawn: { about: 'spawning and joining tasks, beside monoio, glommio, compio and tokio', prepare: spawn },
  channels: { about: 'messages between two threads of JavaScript, beside MessageChannel', prepare: channels },
  adaptive: {
    about: 'a latency class beside a saturated disk, with fixed depths and batches and adaptive submission',
    prepare: adaptive,
    rounds: 3, // Of fourteen contenders.
  },
  native: {
    about: 'everything an executor does, beside the runtimes of Rust and the bare ring',
    prepare: native,
    rounds: 7, // Echo is bimodal on loopback: fewer rounds do not find both modes.
    seconds: 1,
  },
};

function number(low: number, high: number, whole: boolean): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!(value >= low && value <= high) || (whole && !Number.isInteger(value))) {
      throw new InvalidArgumentError(`It is ${whole ? 'a whole number' : 'a number'} from ${low} to ${high}.`);
    }
    return value;
  };
}

async function runOne(name: string, kind: Kind, given: Given): Promise<void> {
  const smoke = given.smoke === true;
  const quick = given.quick === true && !smoke;
  const cpus = allowedCpus();
  const core = given.core ?? cpus[1] ?? cpus[0] ?? 0;
  if (!cpus.includes(core))
    throw new Error(`this process may not run on core ${core}: --core is one of ${cpus.join(', ')}`);
  const options: BenchOptions = {
    rounds: given.rounds ?? (smoke ? 1 : quick ? 3 : (kind.rounds ?? 5)),
    seconds: given.seconds ?? (smoke ? 0.1 : quick ? 0.3 : (kind.seconds ?? 2)),
    smoke,
    quick,
    build: !smoke && given.build !== false,
    offline: smoke || given.offline === true,
    only: given.only ?? [],
    rows: given.rows ?? [],
    directory: given.dir,
    fileMebibytes: given.size ?? (smoke ? 4 : 1024),
    core,
    otherCore: cpus.find((cpu) => cpu !== core) ?? core,
    foreignLimit: given.foreign ?? 0.15,
  };
  if (!smoke && options.rounds < 3)
    throw new Error(`--rounds ${options.rounds} says nothing: it is at least 3 without --smoke`);
  const leftOut: Result['leftOut'] = [];
  const benchmark = await kind.prepare(options, leftOut);
  let result: Result;
  try {
    printLegend();
    result = await measure(benchmark.rows, options, leftOut, (found, row) => printRow(found, row, leftOut));
  } finally {
    await benchmark.end?.();
  }
  if (result.rows.length === 0) throw new Error(`nothing was measured: ${JSON.stringify(leftOut)}`);
  // A smoke measures too little to judge a claim.
  const missed = printResult(result, smoke ? [] : benchmark.claims, benchmark.summarize, !smoke);
  if (given.json !== undefined) writeResult(given.json, result);
  const failed = result.leftOut.filter(({ contender, absent }) => !absent && mustRun(contender, result, smoke));
  if (failed.length > 0)
    throw new Error(`bench ${name}: ${failed.map(({ contender }) => contender).join('; ')} failed, see above`);
  if (given.check === true && missed > 0) throw new Error(`bench ${name}: ${missed} claims were missed`);
}

/** Peers may be missing, ours may not; only SQPOLL is no more than the kernel allows. In a smoke nothing may fail that was begun. */
function mustRun(contender: string, { machine }: Result, smoke: boolean): boolean {
  if (contender.endsWith('ringwheel-sqpoll')) return machine.driver.startsWith('uring');
  return smoke || /: ringwheel/.test(contender) || contender.startsWith('ringwheel');
}

function namesText({ names }: Kind): string {
  if (names === undefined) return '';
  const list = (title: string, all: readonly string[]): string => `\n${title}:\n  ${all.join('\n  ')}\n`;
  return list('Rows', names.rows) + (names.contenders === undefined ? '' : list('Contenders', names.contenders));
}

const program = new Command('npm run bench --').description('Measures ringwheel beside its peers, in one run.');
for (const [name, kind] of Object.entries(benchmarks)) {
  program
    .command(name)
    .description(kind.about)
    .addHelpText('after', namesText(kind))
    .option(
      '--rounds <n>',
      `every contender once in each (default ${kind.rounds ?? 5}, at least 3)`,
      number(1, 1000, true),
    )
    .option('--seconds <s>', `length of one sample (default ${kind.seconds ?? 2})`, number(0.05, 600, false))
    .option('--json <file>', 'write { machine, rows } to a file')
    .option(
      '--only <names>',
      'only contenders whose name contains one of these: a,b (a comma and a space is part of a name)',
      nameList,
    )
    .option(
      '--rows <names>',
      'only rows whose name contains one of these, likewise; both may be given several times',
      nameList,
    )
    .option('--quick', '3 rounds of 0.3 s, and noisy samples repeated once only')
    .option('--dir <directory>', 'put the data here and keep it (default: a temporary directory, removed)')
    .option('--size <mebibytes>', 'size of the file that is read (default 1024)', number(1, 1 << 20, true))
    .option('--core <n>', 'the core that pinned contenders run on (default: the second one)', number(0, 4095, true))
    .option(
      '--foreign <cores>',
      'drop and repeat samples while others use more than this (default 0.15)',
      number(0, 4096, false),
    )
    .option('--offline', 'fetch no peer')
    .option('--no-build', 'measure what was built, instead of building the release first')
    .option('--check', 'end with exit code 1 when a claim is missed')
    .option('--smoke', 'tiny parameters, one round, only what is installed; results are verified all the same')
    .action(async (given: Given) => {
      try {
        await runOne(name, kind, given);
      } catch (error) {
        console.error(`bench: ${error instanceof Error ? error.message : error}`);
        process.exitCode = 1;
      }
      // Handles of contenders that had to be killed must not keep the process.
      process.exit();
    });
}
program.parseAsync().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
