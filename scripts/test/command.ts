// Runs one command of a test step: its output goes to a log file, its time is bounded, its whole process group ends with it.
import { spawn, spawnSync } from 'node:child_process';
import { createWriteStream, mkdirSync } from 'node:fs';
import { join } from 'node:path';

/** The checkout's root directory. */
export const root = join(__dirname, '../..');

/** Where the output of each step is kept. */
export const logs = join(root, 'target', 'test-logs');

/** How a command ended. */
export interface Ended {
  readonly ok: boolean;
  /** `exit code 1`, `signal SIGSEGV`, `no end after 600 s`. */
  readonly how: string;
  readonly output: string;
}

/** What may differ from the runner's own surroundings. */
export interface Surroundings {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly minutes?: number;
}

/** A command gets this long unless its step says otherwise: ten times what the slowest takes on a quiet machine. */
const MINUTES = 30;

const running = new Set<number>();

/** Kills a process group, which may be gone already. */
function killGroup(leader: number): void {
  try {
    process.kill(-leader, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** The processes of a group that does not end, and what each waits for: the one witness of a hang that leaves a log. */
function shown(leader: number): string {
  const columns = 'pid,ppid,pgid,stat,wchan:24,etimes,args';
  const { stdout } = spawnSync('ps', ['-e', '-ww', '-o', columns], { encoding: 'utf8' });
  const [head = 'no `ps` here', ...lines] = (stdout ?? '').split('\n');
  return [head, ...lines.filter((line) => Number(line.trim().split(/\s+/)[2]) === leader), ''].join('\n');
}

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.on(signal, () => {
    for (const leader of running) killGroup(leader);
    process.exit(code);
  });
}

/** Runs `command` in the checkout; `log` names the file that its output is appended to. */
export function run(
  log: string,
  command: string,
  args: readonly string[],
  { env, minutes = MINUTES }: Surroundings = {},
): Promise<Ended> {
  mkdirSync(logs, { recursive: true });
  const file = createWriteStream(join(logs, `${log}.log`), { flags: 'a' });
  const set = Object.entries(env ?? {}).map(([name, value]) => `${name}=${value ?? ''} `);
  file.write(`$ ${set.join('')}${command} ${args.join(' ')}\n`);
  return new Promise((settle) => {
    // A group of its own, so that a test that hangs cannot leave its children behind.
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    const chunks: Buffer[] = [];
    const keep = (chunk: Buffer) => {
      chunks.push(chunk);
      file.write(chunk);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      if (child.pid === undefined) return;
      keep(Buffer.from(`still running after ${minutes} minutes:\n${shown(child.pid)}`));
      killGroup(child.pid);
    }, minutes * 60_000);
    const end = (ok: boolean, how: string) => {
      if (file.writableEnded) return; // What did not start says so with an error, and then closes as well.
      clearTimeout(timer);
      if (child.pid !== undefined) running.delete(child.pid);
      file.end(`[${how}]\n`, () => settle({ ok, how, output: Buffer.concat(chunks).toString() }));
    };
    if (child.pid !== undefined) running.add(child.pid);
    child.once('error', (error) => end(false, error.message));
    child.once('close', (code, signal) => {
      if (late) end(false, `no end after ${minutes} minutes`);
      else end(code === 0, signal === null ? `exit code ${code}` : `signal ${signal}`);
    });
  });
}
