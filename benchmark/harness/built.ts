// Where the built package is: the benchmarks measure what a user imports, never the TypeScript sources.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { packageRoot } from './workspace';

/** The URL of the built package's ESM entry. Throws with the remedy when it was not built. */
export function requireBuilt(): string {
  const entry = path.join(packageRoot, 'dist', 'index.mjs');
  if (!existsSync(entry))
    throw new Error(`${path.relative(process.cwd(), entry)} is not there: run \`npm run build\` first`);
  return pathToFileURL(entry).href;
}
