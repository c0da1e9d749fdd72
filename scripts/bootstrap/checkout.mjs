// Where the checkout is, and how its scripts speak: one line with the remedy, then a non-zero exit. Plain Node, nothing installed.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The checkout's root directory, with a slash at its end. */
export const root = fileURLToPath(new URL('../../', import.meta.url));

/** @param {string} text */
export function say(text) {
  process.stderr.write(`ringwheel: ${text}\n`);
}

/**
 * Ends the process with one line on stderr.
 * @param {string} text what is wrong and what helps
 * @param {number} [code] the exit code, 1 by default
 * @returns {never}
 */
export function fail(text, code = 1) {
  say(text);
  process.exit(code);
}

/**
 * Compares dotted versions number by number, so that 1.100 is later than 1.94.
 * @param {string} version
 * @param {string} least
 */
export function isAtLeast(version, least) {
  const have = version.split('.').map(Number);
  for (const [index, wanted] of least.split('.').map(Number).entries()) {
    const part = have[index] ?? 0;
    if (part !== wanted) return part > wanted;
  }
  return true;
}

/** Refuses a Node that package.json does not promise to run on: its errors later would be riddles. */
export function requireNode() {
  const { engines } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));
  const least = engines.node.replace('>=', '');
  if (!isAtLeast(process.versions.node, least)) {
    fail(
      `Node.js ${process.versions.node} is too old, ${least} or later is needed: see https://nodejs.org/en/download`,
    );
  }
}
