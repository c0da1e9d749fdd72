// Every contender runs in a child process of its own; this file starts them, reads them, and ends every one of them, also on Ctrl-C.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/** What `has` found. */
const found = new Map<string, boolean>();
const alive = new Set<ChildProcess>();
const atEnd: (() => void)[] = [];
let hooked = false;

/** How to start a child. */
export interface Start {
  command: string;
  arguments: readonly string[];
  environment?: Readonly<Record<string, string>>;
  /** The only core it may run on; `undefined` leaves it free. */
  core?: number | undefined;
  directory?: string;
  /** The user and group it runs as, which only root may choose. */
  user?: number;
}

/** What a child said and how it ended. */
export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs `work` when the benchmark ends, however it ends. */
export function whenEnding(work: () => void): void {
  hook();
  atEnd.push(work);
}

/** Whether a command is on the PATH. */
export function has(command: string): boolean {
  const known = found.get(command);
  if (known !== undefined) return known;
  const asked = spawnSync('/bin/sh', ['-c', 'command -v "$0"', command], { stdio: ['ignore', 'pipe', 'ignore'] });
  found.set(command, asked.status === 0);
  return asked.status === 0;
}

/** Starts a child that goes on running, for instance a server. */
export function start({ command, arguments: given, environment, core, directory, user }: Start): ChildProcess {
  hook();
  const pinned = core !== undefined && process.platform === 'linux' && has('taskset');
  const child = spawn(pinned ? 'taskset' : command, pinned ? ['-c', String(core), command, ...given] : [...given], {
    cwd: directory,
    ...(user === undefined ? {} : { uid: user, gid: user }),
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  alive.add(child);
  child.once('exit', () => alive.delete(child));
  child.once('error', () => alive.delete(child));
  return child;
}

/** Runs a child to its end. Rejects when it does not end within `timeoutMs` (it is killed), or cannot be started. */
export function run(given: Start, timeoutMs: number): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = start(given);
    const said = { stdout: '', stderr: '' };
    const timer = setTimeout(() => {
      killTree(child);
      reject(
        new Error(`${given.command} was not done after ${timeoutMs / 1000} s and was killed. ${tail(said.stderr)}`),
      );
    }, timeoutMs);
    for (const stream of ['stdout', 'stderr'] as const) {
      child[stream]?.setEncoding('utf8').on('data', (text: string) => {
        said[stream] = (said[stream] + text).slice(-1_000_000);
      });
    }
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(new Error(`${given.command} could not be started: ${error.message}`));
    });
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve({ code, ...said });
    });
  });
}

/** Runs a child that reports one line of JSON, and returns that. Rejects with what it said on stderr when it failed. */
export async function report<T>(given: Start, timeoutMs: number): Promise<T> {
  const { code, stdout, stderr } = await run(given, timeoutMs);
  const line = stdout
    .split('\n')
    .filter((text) => text.startsWith('{'))
    .at(-1);
  if (code !== 0 || line === undefined) {
    throw new Error(`${given.command} ${given.arguments[0] ?? ''} ended with ${code}: ${tail(stderr) || tail(stdout)}`);
  }
  return JSON.parse(line) as T;
}

/** Asks a running child to end, and kills it and what it started when it has not after two seconds. */
export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const started = tree(child.pid);
  child.kill('SIGTERM');
  const patience = setTimeout(() => kill(started), 2000);
  await ended;
  clearTimeout(patience);
  kill(started);
}

/** The pids of a process and all that it started. */
export function tree(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const entry of process.platform === 'linux' ? readdirSync('/proc') : []) {
    const parent = /^\d+$/.test(entry) ? statistics(Number(entry))?.[1] : undefined;
    if (parent === undefined) continue;
    children.set(Number(parent), [...(children.get(Number(parent)) ?? []), Number(entry)]);
  }
  const found = [root];
  for (const pid of found) found.push(...(children.get(pid) ?? []));
  return found;
}

/** The fields of /proc/PID/stat after the command's name: [0] is the state, [1] the parent, [11] and [12] the CPU time. */
export function statistics(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined; // It has ended.
  }
}

/** The last line or two of what a program said, for an error message. */
export function tail(text: string): string {
  return text.trim().split('\n').slice(-4).join(' | ').slice(-600);
}

function killTree(child: ChildProcess): void {
  if (child.pid !== undefined) kill(tree(child.pid));
}

/** Kills pids that are ours: they are direct children, or were found below one, and are still below this process or orphaned. */
function kill(pids: readonly number[]): void {
  for (const pid of pids) {
    const parent = statistics(pid)?.[1];
    if (parent === undefined) continue;
    const ours = parent === '1' || pids.includes(Number(parent)) || Number(parent) === process.pid;
    try {
      if (ours) process.kill(pid, 'SIGKILL');
    } catch {
      // It ended in between.
    }
  }
}

function hook(): void {
  if (hooked) return;
  hooked = true;
  process.once('exit', () => {
    for (const child of alive) killTree(child);
    for (const work of atEnd) work();
  });
  for (const [signal, number] of [
    ['SIGINT', 2],
    ['SIGTERM', 15],
    ['SIGHUP', 1],
  ] as const) {
    process.once(signal, () => {
      process.stderr.write(`\n${signal}: the contenders are ended, the data is removed.\n`);
      process.exit(128 + number);
    });
  }
}
