// The prepack step of a platform's package, run by npm in its folder: brings the licence texts that its `license` field names.
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

for (const name of ['LICENSE-MIT', 'LICENSE-APACHE']) {
  copyFileSync(fileURLToPath(new URL(`../../${name}`, import.meta.url)), join(process.cwd(), name));
}
