// Installs the locked npm packages when they are missing or older than the lockfile. Plain Node, nothing installed.
import { existsSync, statSync } from 'node:fs';
import { fail, root, say } from './checkout.mjs';
import { run } from './child.mjs';

/** npm writes this file last, so it is as old as the finished installation. */
const installed = `${root}node_modules/.package-lock.json`;

function isInstalled() {
  if (!existsSync(installed) || !existsSync(`${root}node_modules/typescript`)) return false;
  return statSync(installed).mtimeMs >= statSync(`${root}package-lock.json`).mtimeMs;
}

/** Runs `npm ci` if needed; a second call costs three stats. */
export async function install() {
  if (isInstalled()) return;
  say('installing the npm packages …');
  // Under `npm start` the very npm that runs us is named here; elsewhere PATH finds one.
  const npm = process.env.npm_execpath;
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error'];
  const code = npm?.endsWith('.js')
    ? await run(process.execPath, [npm, ...args])
    : await run(process.platform === 'win32' ? 'npm.cmd' : 'npm', args);
  if (code !== 0) fail('`npm ci` failed, see above: check the network and the registry (`npm ping`), then try again');
}
