// `npm test`: runs every step in order, prints each with its time and its skips, and ends with `N passed, N failed, N skipped`.
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { logs } from './command';
import type { Outcome, Step } from './step';
import { steps } from './steps';

/** How much of a failed step's output is shown here; all of it is in its log. */
const LINES_SHOWN = 40;

/** How many lines are shown of the tests that failed in it. */
const FAILURES_SHOWN = 120;

/** Steps whose name begins with one of the words given, all of them when none is given. */
function chosen(): Step[] {
  const { values, positionals } = parseArgs({
    options: { only: { type: 'string', multiple: true, default: [] }, list: { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  const all = steps();
  if (values.list) {
    for (const { name } of all) process.stdout.write(`${name}\n`);
    process.exit(0);
  }
  const words = [...values.only, ...positionals];
  const some = all.filter(({ name }) => words.length === 0 || words.some((word) => name.startsWith(word)));
  for (const word of words) {
    if (all.some(({ name }) => name.startsWith(word))) continue;
    process.stderr.write(`ringwheel: no test step begins with "${word}": \`npm test -- --list\` names them\n`);
    process.exit(2);
  }
  return some;
}

async function outcome(step: Step, log: string, broken: ReadonlySet<string>): Promise<Outcome> {
  const lacking = step.needs?.find((name) => broken.has(name));
  if (lacking !== undefined)
    return { passed: 0, failed: 1, skipped: [], complaint: `not run, since "${lacking}" failed` };
  try {
    return await step.run(log);
  } catch (error) {
    return {
      passed: 0,
      failed: 1,
      skipped: [],
      complaint: error instanceof Error ? (error.stack ?? error.message) : String(error),
    };
  }
}

function print(step: Step, { passed, failed, skipped, complaint }: Outcome, seconds: number, log: string): void {
  const word = failed > 0 ? 'FAILED' : passed > 0 ? 'ok' : 'skipped';
  const counts = failed > 0 ? `${passed} passed, ${failed} failed` : `${passed} passed`;
  process.stdout.write(`${word.padEnd(8)}${step.name.padEnd(28)}${seconds.toFixed(1).padStart(7)} s  ${counts}\n`);
  for (const reason of skipped) process.stdout.write(`          skipped: ${reason}\n`);
  if (failed === 0) return;
  const output = written(log);
  show('what failed', failures(output).slice(0, FAILURES_SHOWN));
  show('its end', output.trimEnd().split('\n').slice(-LINES_SHOWN));
  process.stdout.write(`          ${complaint}; the whole output is in target/test-logs/${log}.log\n`);
}

function show(what: string, lines: readonly string[]): void {
  if (lines.length === 0) return;
  process.stdout.write(`          ${what}:\n`);
  for (const line of lines) process.stdout.write(`          | ${line}\n`);
}

/** The lines of each `not ok` of a TAP stream with the details below it: without them the end of a long run says nothing. */
function failures(output: string): string[] {
  return [...output.matchAll(/^not ok .*\n(?: {2}.*\n)*/gm)].flatMap(([block]) => block.trimEnd().split('\n'));
}

function written(log: string): string {
  try {
    return readFileSync(join(logs, `${log}.log`), 'utf8');
  } catch {
    return 'nothing was run';
  }
}

async function main(): Promise<void> {
  const begin = performance.now();
  const todo = chosen();
  const broken = new Set<string>();
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const step of todo) {
    const log = step.name.replaceAll(' ', '-').toLowerCase();
    rmSync(join(logs, `${log}.log`), { force: true });
    const start = performance.now();
    const result = await outcome(step, log, broken);
    print(step, result, (performance.now() - start) / 1000, log);
    if (result.failed > 0) broken.add(step.name);
    total.passed += result.passed;
    total.failed += result.failed;
    total.skipped += result.skipped.length;
  }
  const minutes = ((performance.now() - begin) / 60_000).toFixed(1);
  process.stdout.write(`\n${todo.length} steps in ${minutes} minutes\n`);
  process.stdout.write(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
  process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;
}

void main();
