// `npm run node-suite -- DIR [NAME…]`: runs the tests of fs/promises of a checkout of Node with `ringwheel/fs` in its place.

import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, constants, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Progress, say } from '../../lib/cli/progress';
import { exceptions } from './exceptions';
import { endAll, findTests, type NodeTest, runTest, type Verdict } from './tests';

const USAGE = `npm run node-suite -- DIR [NAME…] [--jobs N] [--except NAME=REASON] [--logs DIR]

DIR     a checkout of Node, best of the tag of the Node that runs (${process.version}): tests run in it and write elsewhere
NAME    only tests whose file's name has this in it
--jobs  tests at a time; default: one per core
--except a test that may fail, and why, beside the list in scripts/node-suite/exceptions.ts
--logs  keeps the whole output of each test there

Each test runs twice, each time in a process of its own: first as it stands, so that what Node itself fails on this machine is named and
left out, then with ringwheel/fs for fs/promises. Those that root may not run are run as nobody. RINGWHEEL_DRIVER chooses the driver. Exit code: 0 when no test failed that is not excepted.
`;

/** Who runs what root may not. */
const NOBODY = 65534;

/** A test with what came of it. */
interface Row {
  readonly test: NodeTest;
  readonly word: 'passed' | 'FAILED' | 'excepted' | 'left out';
  readonly why: string;
}

/** A mistake of who called: the usage is the remedy. */
function refuse(message: string): never {
  process.stderr.write(`ringwheel: ${message}\n\n${USAGE}`);
  process.exit(2);
}

function asked() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        jobs: { type: 'string', default: String(availableParallelism()) },
        except: { type: 'string', multiple: true, default: [] },
        logs: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
  } catch (error) {
    return refuse((error as Error).message);
  }
}

/** The version of a checkout, or what is known of it. */
function versionOf(checkout: string): string {
  const header = join(checkout, 'src/node_version.h');
  if (!existsSync(header)) return 'unknown version';
  const text = readFileSync(header, 'utf8');
  const number = (part: string) => new RegExp(`#define NODE_${part}_VERSION (\\d+)`).exec(text)?.[1] ?? '?';
  return `v${number('MAJOR')}.${number('MINOR')}.${number('PATCH')}`;
}

/** Runs `work` on each item, `many` at a time; results in the items' order. */
async function each<Item, Result>(
  items: readonly Item[],
  many: number,
  work: (item: Item, worker: number) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  const worker = async (number: number) => {
    for (let index = next++; index < items.length; index = next++) {
      results[index] = await work(items[index] as Item, number);
    }
  };
  await Promise.all(Array.from({ length: many }, (_, number) => worker(number)));
  return results;
}

async function main(): Promise<void> {
  const { values, positionals } = asked();
  const [given, ...names] = positionals;
  if (values.help) return void process.stdout.write(USAGE);
  if (given === undefined) refuse('which checkout of Node?');
  const checkout = resolve(given);
  const jobs = Number(values.jobs);
  if (!Number.isInteger(jobs) || jobs < 1 || jobs > 64) refuse(`--jobs ${values.jobs}: a number from 1 to 64`);
  if (!existsSync(join(__dirname, '../../dist/fs.js'))) refuse('dist/fs.js is missing: run `npm run build` first');
  const excepted = new Map([...exceptions, ...values.except.map((text) => text.split('=', 2) as [string, string])]);
  const tests = findTests(checkout).filter(
    ({ name }) => names.length === 0 || names.some((part) => name.includes(part)),
  );
  if (tests.length === 0) refuse(`no test of fs/promises in ${join(checkout, 'test')}`);

  say(`${tests.length} tests of Node ${versionOf(checkout)} with Node ${process.version}`);
  const scratch = mkdtempSync(join(tmpdir(), 'ringwheel-node-suite-'));
  chmodSync(scratch, 0o755);
  process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      endAll();
      process.exit(128 + constants.signals[signal]);
    });
  }
  const progress = new Progress(tests.length);
  const run = async (test: NodeTest, worker: number): Promise<Row> => {
    progress.step(test.name);
    let user: number | undefined;
    const attempt = async (swapped: boolean) => {
      const place = join(scratch, String(worker));
      mkdirSync(place);
      if (user !== undefined) chownSync(place, user, user);
      const verdict = await runTest(test, {
        swapped,
        scratch: place,
        checkout,
        ...(user === undefined ? {} : { user }),
      });
      rmSync(place, { recursive: true, force: true });
      if (values.logs !== undefined) keep(values.logs, `${test.name}.${swapped ? 'ringwheel' : 'node'}`, verdict);
      return verdict;
    };
    let own = await attempt(false);
    if (own.word === 'skipped' && /\broot\b/.test(own.why) && process.getuid?.() === 0) {
      user = NOBODY;
      own = await attempt(false);
    }
    if (own.word !== 'passed') return { test, word: 'left out', why: `${own.word} with Node itself: ${own.why}` };
    const ours = await attempt(true);
    const reason = excepted.get(test.name);
    if (ours.word === 'passed') {
      return {
        test,
        word: 'passed',
        why: reason === undefined ? '' : `and is excepted: take it off the list (${reason})`,
      };
    }
    if (reason !== undefined) return { test, word: 'excepted', why: reason };
    return { test, word: 'FAILED', why: ours.why };
  };
  const rows = [
    ...(await each(
      tests.filter(({ alone }) => !alone),
      jobs,
      run,
    )),
    ...(await each(
      tests.filter(({ alone }) => alone),
      1,
      run,
    )),
  ];
  progress.end();
  report(rows);
}

function keep(logs: string, name: string, { output }: Verdict): void {
  mkdirSync(logs, { recursive: true });
  writeFileSync(join(logs, `${name}.log`), output);
}

function report(rows: readonly Row[]): void {
  const width = Math.max(...rows.map(({ test }) => test.name.length));
  for (const { test, word, why } of rows) {
    const line = `${word.padEnd(8)}  ${test.name.padEnd(width)}  ${why}`;
    process.stdout.write(`${line.trimEnd()}\n`);
  }
  const count = (word: Row['word']) => rows.filter((row) => row.word === word).length;
  const [passed, failed] = [count('passed'), count('FAILED')];
  process.stdout.write(
    `\n${passed} passed, ${failed} failed, ${count('excepted')} excepted, ${count('left out')} left out\n`,
  );
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
}

void main();
