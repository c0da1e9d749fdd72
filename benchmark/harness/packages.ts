// Peers that are packages of Node or crates: installed below benchmark/.peers, from a lockfile or in a pinned version.
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { BenchOptions } from './options';
import { fetchTimeoutMs, peersDirectory } from './peers';
import { has, run, tail } from './processes';
import { say } from './progress';

const buildTimeoutMs = 3_600_000;

/**
 * The directory whose node_modules have what the package.json and package-lock.json in `manifest` name. Throws when they are neither
 * installed nor to be had.
 */
export async function npmModules(name: string, manifest: string, options: BenchOptions): Promise<string> {
  const directory = path.join(peersDirectory, name);
  const locked = (where: string): string => readFileSync(path.join(where, 'package-lock.json'), 'utf8');
  // npm writes this file last.
  const whole = existsSync(path.join(directory, 'node_modules', '.package-lock.json'));
  if (whole && locked(directory) === locked(manifest)) return directory;
  if (options.offline) throw new Error('not installed, and --offline fetches nothing');
  say(`installing ${name} into benchmark/.peers …`);
  mkdirSync(directory, { recursive: true });
  for (const file of ['package.json', 'package-lock.json'])
    copyFileSync(path.join(manifest, file), path.join(directory, file));
  const flags = ['--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error'];
  const { code, stderr } = await run({ command: 'npm', arguments: ['ci', ...flags], directory }, fetchTimeoutMs);
  if (code !== 0) throw new Error(tail(stderr));
  return directory;
}

/** A program that cargo builds, once, which takes minutes. Throws when it is neither installed nor to be had. */
export async function cargoProgram(
  name: string,
  version: string,
  flags: readonly string[],
  options: BenchOptions,
): Promise<string> {
  if (has(name)) return name;
  const directory = path.join(peersDirectory, name);
  const program = path.join(directory, 'bin', name);
  if (existsSync(program)) return program;
  if (options.offline) throw new Error('not installed, and --offline fetches nothing');
  say(`building ${name} ${version} into benchmark/.peers, once; this takes some minutes …`);
  const target = path.join(directory, 'target');
  const given = ['install', name, '--version', version, '--locked', '--root', directory, '--target-dir', target];
  const { code, stderr } = await run({ command: 'cargo', arguments: [...given, '--quiet', ...flags] }, buildTimeoutMs);
  if (code !== 0) throw new Error(tail(stderr));
  rmSync(target, { recursive: true, force: true });
  return program;
}
