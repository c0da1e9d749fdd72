// Where the built package is: the benchmarks measure what a user imports, never the TypeScript sources.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { BenchOptions } from './options';
import { run, tail } from './processes';
import { say } from './progress';
import { packageRoot } from './workspace';

const buildTimeoutMs = 1_800_000;

/**
 * Builds the package's release unless it is up to date, and returns the URL of its ESM entry. A smoke, and `--no-build`,
 * take what is there.
 */
export async function builtPackage(options: BenchOptions): Promise<string> {
  if (options.build) {
    say('building the release, unless it is up to date …');
    const script = path.join(packageRoot, 'scripts', 'build.mjs');
    const { code, stdout, stderr } = await run(
      { command: process.execPath, arguments: [script], directory: packageRoot },
      buildTimeoutMs,
    );
    if (code !== 0) throw new Error(`npm run build failed: ${tail(stderr) || tail(stdout)}`);
  }
  const entry = path.join(packageRoot, 'dist', 'index.mjs');
  if (!existsSync(entry)) throw new Error('dist/index.mjs is not there: run `npm run build` first');
  return pathToFileURL(entry).href;
}
