// The peers that are not part of the package: found where they are installed, or fetched on demand into benchmark/.peers, or named and left out.
// A smoke takes those that are installed, and neither fetches nor names the others.
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { type BenchOptions, passes } from './options';
import { has, run, tail } from './processes';
import { say } from './progress';
import type { Result } from './result';
import { packageRoot } from './workspace';

/** Where peers are put that were fetched. */
export const peersDirectory = path.join(packageRoot, 'benchmark', '.peers');
/** Milliseconds that a fetch may take. */
export const fetchTimeoutMs = 300_000;

/** Pinned, so that two runs compare the same thing. */
const npmPeers: Readonly<Record<'bun' | 'deno', { version: string; program: string }>> = {
  bun: { version: '1.4.5', program: 'node_modules/bun/bin/bun.exe' }, // The name is bun's own, on every platform.
  deno: { version: '2.9.6', program: 'node_modules/deno/deno' },
};

/** A program of a peer: what to start, and what its environment needs. */
export interface PeerProgram {
  command: string;
  environment: Record<string, string>;
}

/** What runs a worker's script. */
export interface Runtime {
  name: 'node' | 'bun' | 'deno';
  command: string;
  /** Arguments before the script. */
  before: readonly string[];
}

/** The Node that runs the benchmark. */
export const node: Runtime = { name: 'node', command: process.execPath, before: [] };

/** Bun and Deno, as far as they are to be had and a contender's name begins with theirs and is wanted. */
export async function otherRuntimes(
  contenders: readonly string[],
  options: BenchOptions,
  leftOut: Result['leftOut'],
): Promise<Runtime[]> {
  const found: Runtime[] = [];
  for (const name of ['bun', 'deno'] as const) {
    if (!contenders.some((contender) => contender.startsWith(name) && passes(contender, options.only))) continue;
    const program = await npmPeer(name, options, leftOut);
    const before = name === 'deno' ? ['run', '-A', '--no-config', '--no-lock'] : [];
    if (program !== undefined) found.push({ name, command: program.command, before });
  }
  return found;
}

/** A runtime that npm delivers. `undefined`, and an entry in `leftOut`, when it is neither installed nor to be had. */
export async function npmPeer(
  name: 'bun' | 'deno',
  options: BenchOptions,
  leftOut: Result['leftOut'],
): Promise<PeerProgram | undefined> {
  if (has(name)) return { command: name, environment: {} };
  const { version, program: file } = npmPeers[name];
  const directory = path.join(peersDirectory, name);
  const program = path.join(directory, file);
  if (options.smoke) return undefined;
  if (existsSync(program)) return { command: program, environment: {} };
  return attempt(name, options, leftOut, async () => {
    mkdirSync(directory, { recursive: true });
    const wanted = `${name}@${version}`;
    say(`fetching ${wanted} into benchmark/.peers …`);
    const flags = ['--no-save', '--no-audit', '--no-fund', '--loglevel=error'];
    const { code, stderr } = await run(
      { command: 'npm', arguments: ['install', '--prefix', directory, ...flags, wanted] },
      fetchTimeoutMs,
    );
    if (code !== 0 || !existsSync(program)) throw new Error(tail(stderr) || 'npm delivered no program');
    return { command: program, environment: {} };
  });
}

/**
 * A program that Debian or Ubuntu delivers. It is unpacked below benchmark/.peers and not installed: that needs no root,
 * and no service starts. `undefined`, and an entry in `leftOut`, when it is neither installed nor to be had.
 */
export async function aptPeer(
  name: string,
  options: BenchOptions,
  leftOut: Result['leftOut'],
): Promise<PeerProgram | undefined> {
  if (has(name)) return { command: name, environment: {} };
  const sbin = ['/usr/sbin', '/sbin', '/usr/local/sbin']
    .map((directory) => path.join(directory, name))
    .find(existsSync);
  if (sbin !== undefined) return { command: sbin, environment: {} };
  if (options.smoke) return undefined;
  const unpacked = () => aptProgram(name);
  const found = unpacked();
  if (found !== undefined) return found;
  return attempt(name, options, leftOut, async () => {
    if (!has('apt-get') || !has('dpkg-deb')) throw new Error('not installed, and there is no apt-get to fetch it with');
    say(`fetching ${name} into benchmark/.peers …`);
    const directory = path.join(peersDirectory, 'apt', name);
    const packages = path.join(directory, 'packages');
    mkdirSync(packages, { recursive: true });
    // -s only says what would be installed: the package and those of its dependencies that this machine lacks.
    const plan = await run(
      { command: 'apt-get', arguments: ['install', '-s', '--no-install-recommends', name] },
      fetchTimeoutMs,
    );
    const names = [...plan.stdout.matchAll(/^Inst (\S+)/gm)].map((match) => match[1] ?? '');
    if (plan.code !== 0 || names.length === 0) throw new Error(tail(plan.stderr) || 'apt-get knows no such package');
    const fetched = await run(
      { command: 'apt-get', arguments: ['download', '-q', ...names], directory: packages },
      fetchTimeoutMs,
    );
    if (fetched.code !== 0) throw new Error(tail(fetched.stderr));
    for (const file of readdirSync(packages)) {
      const done = await run(
        { command: 'dpkg-deb', arguments: ['-x', path.join(packages, file), path.join(directory, 'root')] },
        fetchTimeoutMs,
      );
      if (done.code !== 0) throw new Error(tail(done.stderr));
    }
    const program = unpacked();
    if (program === undefined) throw new Error('the packages hold no such program');
    return program;
  });
}

function aptProgram(name: string): PeerProgram | undefined {
  const root = path.join(peersDirectory, 'apt', name, 'root');
  for (const directory of ['usr/bin', 'usr/sbin']) {
    const command = path.join(root, directory, name);
    if (!existsSync(command)) continue;
    const paths = ['usr/lib', 'lib'].flatMap((name) => librariesBelow(path.join(root, name)));
    return {
      command,
      environment: { LD_LIBRARY_PATH: paths.join(':'), RINGWHEEL_BENCH_ROOT: root },
    };
  }
  return undefined;
}

/** The directories of libraries of a root, and those that packages keep for themselves. */
function librariesBelow(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((entry) => entry.includes('-linux-'))
    .map((entry) => path.join(directory, entry))
    .flatMap((architecture) => [
      architecture,
      ...readdirSync(architecture, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => path.join(architecture, name)),
    ]);
}

async function attempt(
  name: string,
  options: BenchOptions,
  leftOut: Result['leftOut'],
  fetch: () => Promise<PeerProgram>,
): Promise<PeerProgram | undefined> {
  try {
    if (options.offline) throw new Error('not installed, and --offline fetches nothing');
    return await fetch();
  } catch (error) {
    leftOut.push({ contender: name, reason: error instanceof Error ? error.message : String(error), absent: true });
    return undefined;
  }
}
