// Finds Node's tests of fs/promises in a checkout of Node, and runs one, in a process of its own.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where tests of Node's lie that one process each can run; `sequential` ones need the machine to themselves. */
const DIRECTORIES = ['parallel', 'es-module', 'sequential'];

/** What a test says that uses the module. */
const USES = [/\bfs\/promises\b/, /\b(fs|require\('(node:)?fs'\))\.promises\b/, /\bpromises\b[^;]*'(node:)?fs'/];

/** A test that has not ended by then has failed. */
const SECONDS = 120;

/** One file of Node's tests. */
export interface NodeTest {
  /** Of the file. */
  readonly name: string;
  readonly path: string;
  /** The command line that the file itself asks for in its comment `// Flags:`. */
  readonly flags: readonly string[];
  /** Runs alone. */
  readonly alone: boolean;
}

/** How a test ended, and the first line that says why. */
export interface Verdict {
  readonly word: 'passed' | 'failed' | 'skipped';
  readonly why: string;
  readonly output: string;
}

/** All tests of a checkout that use fs/promises, in the order of their names. */
export function findTests(checkout: string): NodeTest[] {
  return DIRECTORIES.flatMap((directory) => {
    const place = join(checkout, 'test', directory);
    return filesOf(place)
      .filter((file) => /^test-.*\.m?js$/.test(file))
      .map((file) => ({ file, text: readFileSync(join(place, file), 'utf8') }))
      .filter(({ text }) => USES.some((use) => use.test(text)))
      .map(({ file, text }) => ({
        name: file,
        path: join(place, file),
        flags: [...text.matchAll(/^\/\/ Flags: (.*)$/gm)].flatMap((match) => match[1]?.split(/\s+/) ?? []),
        alone: directory === 'sequential',
      }));
  });
}

function filesOf(place: string): string[] {
  try {
    return readdirSync(place).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Leaders of the groups of processes that run. */
const running = new Set<number>();

/** Ends all tests that run, with all that they started. */
export function endAll(): void {
  for (const leader of running) end(leader);
}

/** How a test is run. */
export interface Terms {
  /** With ringwheel/fs; else with Node's own. */
  readonly swapped: boolean;
  /** Where its files lie; no other test that runs has it. */
  readonly scratch: string;
  /** The checkout: tests name files from there. */
  readonly checkout: string;
  /** As which user and group; else as who runs this. */
  readonly user?: number;
}

/** The flags that put ringwheel/fs in the place of fs/promises. A loader hook makes a difference by itself: Node's own side has one too. */
function preloads(test: NodeTest, swapped: boolean): string[] {
  const flags = swapped ? ['--require', join(__dirname, 'swap.cjs')] : [];
  const hook = join(__dirname, swapped ? 'swap.mjs' : 'hook.mjs');
  return test.name.endsWith('.mjs') ? [...flags, '--import', hook] : flags;
}

/** Runs one test. */
export function runTest(test: NodeTest, { swapped, scratch, checkout, user }: Terms): Promise<Verdict> {
  return new Promise((settle) => {
    const child = spawn(process.execPath, [...preloads(test, swapped), ...test.flags, test.path], {
      cwd: checkout,
      // What this process was started with (tsx) is no matter of the test's.
      env: { ...process.env, NODE_OPTIONS: '', NODE_TEST_DIR: scratch, FORCE_COLOR: undefined, NO_COLOR: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      ...(user === undefined ? {} : { uid: user, gid: user }),
    });
    if (child.pid !== undefined) running.add(child.pid);
    const chunks: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      if (child.pid !== undefined) end(child.pid);
    }, SECONDS * 1000);
    child.once('error', (error) => settle({ word: 'failed', why: error.message, output: '' }));
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      if (child.pid !== undefined) running.delete(child.pid);
      settle(verdict(late ? `no end after ${SECONDS} s` : (signal ?? code), Buffer.concat(chunks).toString()));
    });
  });
}

/** Ends a test with all that it started. */
function end(leader: number): void {
  try {
    process.kill(-leader, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function verdict(how: number | string | null, output: string): Verdict {
  const skipped = /^1\.\.0 # Skipped: (.*)$/m.exec(output);
  if (how === 0) return { word: skipped === null ? 'passed' : 'skipped', why: skipped?.[1] ?? '', output };
  const lines = output.split('\n').map((line) => line.trim());
  const told =
    lines.find((line) => /^(\w*Error\b|Mismatched |Error:|\[?not ok)/.test(line)) ?? lines.find((line) => line !== '');
  const ended = typeof how === 'number' ? `exit code ${how}` : String(how);
  return { word: 'failed', why: told === undefined ? ended : `${told} (${ended})`, output };
}
