// Builds the native contenders: ours with the package's crates by path, the peers' from their own lockfile.
import path from 'node:path';
import { ForeignCpu } from './cpu';
import { type BenchOptions, passes } from './options';
import { report, run, tail } from './processes';
import { say } from './progress';
import type { Result } from './result';
import type { Contender } from './rounds';
import { packageRoot } from './workspace';

const buildTimeoutMs = 1_200_000;

/**
 * Builds packages of `benchmark/native` (ours; its dependencies are those of the package, so that a smoke needs no network)
 * or of `benchmark/native/peers`, and returns the directory of the programs. A smoke does without link-time optimization.
 */
export async function buildNative(
  which: 'ours' | 'peers',
  packages: readonly string[],
  options: BenchOptions,
): Promise<string> {
  const workspace = path.join(packageRoot, 'benchmark', 'native', which === 'peers' ? 'peers' : '');
  const profile = options.smoke ? 'quick' : 'release';
  say(`building ${path.relative(packageRoot, workspace)}: ${packages.join(', ')} (${profile}) …`);
  const given = ['build', '--profile', profile, '--quiet', ...packages.flatMap((name) => ['-p', name])];
  if (which === 'peers') given.push('--locked');
  if (options.offline) given.push('--offline');
  const built = await run({ command: 'cargo', arguments: given, directory: workspace }, buildTimeoutMs);
  if (built.code !== 0) throw new Error(`cargo could not build ${packages.join(', ')}: ${tail(built.stderr)}`);
  return path.join(workspace, 'target', profile);
}

/** A native contender: which program, and what its first argument is. */
export interface Native {
  /** As in the table. */
  name: string;
  program: string;
  what: string;
}

/** Builds those of the peers that are wanted; names in `leftOut` those that cannot be built. */
export async function buildPeers(
  natives: readonly Native[],
  options: BenchOptions,
  leftOut: Result['leftOut'],
): Promise<Map<string, string>> {
  const programs = new Map<string, string>();
  const wanted = new Set(natives.filter(({ name }) => passes(name, options.only)).map(({ program }) => program));
  if (options.smoke) return programs;
  for (const program of wanted) {
    try {
      programs.set(program, path.join(await buildNative('peers', [program], options), program));
    } catch (error) {
      leftOut.push({ contender: program, reason: error instanceof Error ? error.message : String(error) });
    }
  }
  return programs;
}

/** A contender that runs a program once, pinned to `core`, and takes its line of JSON as the values. */
export function nativeContender(
  name: string,
  command: string,
  given: readonly string[],
  { core }: { core: number | undefined },
): Contender {
  return {
    name,
    async sample() {
      const others = new ForeignCpu();
      const found = await report<{ driver?: string }>({ command, arguments: given, core }, 120_000);
      const { driver, ...values } = found;
      const sample = { values: values as Record<string, number>, foreign: others.foreign() };
      return driver === undefined ? sample : { ...sample, driver };
    },
  };
}
