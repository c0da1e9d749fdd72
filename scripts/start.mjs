// `npm start [-- DIR options]`: installs, builds, then is `ringwheel serve`. Plain Node: it runs on a fresh clone.
import { createRequire } from 'node:module';
import { buildAddon, buildJavaScript } from './bootstrap/build.mjs';
import { requireNode, root } from './bootstrap/checkout.mjs';
import { install } from './bootstrap/install.mjs';

requireNode();
await install();
// Another profile is for specs, which serve with whatever addon is at hand.
await buildAddon(process.env.RINGWHEEL_BUILD_PROFILE ?? 'release');
await buildJavaScript();
// npm moves to the package's root; a DIR is meant from where the user stands.
if (process.env.INIT_CWD !== undefined) process.chdir(process.env.INIT_CWD);
// In this process, not in a child: signals then arrive once, and the exit code is the command's own.
const { main } = createRequire(import.meta.url)(`${root}dist/lib/cli/main.js`);
await main(['serve', ...process.argv.slice(2)], { directory: `${root}examples/site` });
