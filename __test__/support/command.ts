// Runs a command of a spec to its end or until it serves, with its output kept and its time bounded.
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { join } from 'node:path';

/** The checkout's root directory. */
export const root = join(__dirname, '../..');

/** The compiled command line; the runner builds it before the specs. */
export const main = join(root, 'dist/lib/cli/main.js');

/** How a command ended. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that runs: what it printed so far, and its end. */
export class Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  #stdout = '';
  #stderr = '';

  constructor(command: string, args: readonly string[], options: SpawnOptions = {}, seconds = 60) {
    this.child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    this.child.stdout?.on('data', (chunk: Buffer) => {
      this.#stdout += chunk;
    });
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr += chunk;
    });
    const timer = setTimeout(() => this.child.kill('SIGKILL'), seconds * 1000);
    this.ended = new Promise((settle, reject) => {
      this.child.once('error', reject);
      this.child.once('close', (code, signal) => {
        clearTimeout(timer);
        settle({ code, signal, stdout: this.#stdout, stderr: this.#stderr });
      });
    });
  }

  /** The first whole line of stdout. Rejects when the command ends before it has printed one. */
  async line(): Promise<string> {
    for (;;) {
      const end = this.#stdout.indexOf('\n');
      if (end >= 0) return this.#stdout.slice(0, end);
      const news = new Promise((settle) => this.child.stdout?.once('data', settle));
      const ended = await Promise.race([news.then(() => undefined), this.ended]);
      if (ended !== undefined && !this.#stdout.includes('\n')) {
        throw new Error(`ended with ${ended.code ?? ended.signal} before it printed a line: ${ended.stderr}`);
      }
    }
  }
}

/** Runs `ringwheel` with these arguments to its end. */
export function ringwheel(args: readonly string[], options: SpawnOptions = {}): Promise<Ended> {
  return new Running(process.execPath, [main, ...args], options).ended;
}

/** Starts `ringwheel serve … --json` and returns what its line says. */
export async function serving(args: readonly string[], options: SpawnOptions = {}) {
  const running = new Running(process.execPath, [main, 'serve', '--json', ...args], options);
  const facts = JSON.parse(await running.line()) as {
    url: string;
    port: number;
    root: string;
    driver: string;
    cores: number;
    features: string[];
    version: string;
  };
  return { running, facts };
}
