// `npm test [-- --only NAME]`: installs, then runs scripts/test/main.ts. Plain Node: it runs on a fresh clone.
import { requireNode, root } from './bootstrap/checkout.mjs';
import { run } from './bootstrap/child.mjs';
import { install } from './bootstrap/install.mjs';
import { requireRust } from './bootstrap/toolchain.mjs';

requireNode();
Object.assign(process.env, requireRust());
await install();
process.exitCode = await run(process.execPath, [
  '--import',
  'tsx',
  `${root}scripts/test/main.ts`,
  ...process.argv.slice(2),
]);
