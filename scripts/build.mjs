// `npm run build [-- --profile quick|dev]`: installs, then builds the addon and dist/. Plain Node: it runs on a fresh clone.
import { parseArgs } from 'node:util';
import { buildAddon, buildJavaScript, profiles } from './bootstrap/build.mjs';
import { fail, requireNode, say } from './bootstrap/checkout.mjs';
import { install } from './bootstrap/install.mjs';

function profile() {
  try {
    return parseArgs({ options: { profile: { type: 'string', default: 'release' } } }).values.profile;
  } catch (error) {
    return fail(
      `${error instanceof Error ? error.message : error}; usage: npm run build [-- --profile ${profiles.join('|')}]`,
      2,
    );
  }
}

requireNode();
const chosen = profile();
if (!profiles.includes(chosen)) fail(`unknown profile ${chosen}: use ${profiles.join(', ')}`, 2);
await install();
await buildAddon(chosen);
await buildJavaScript();
say('built.');
