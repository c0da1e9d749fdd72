// The package's version, from the package.json that this file was installed with.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Reads it upwards from here: the depth differs between lib/cli and dist/lib/cli. */
export function version(): string {
  for (let directory = __dirname; ; directory = dirname(directory)) {
    try {
      const { name, version: found } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
      if (name === 'ringwheel') return String(found);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    if (directory === dirname(directory)) return 'unknown';
  }
}
