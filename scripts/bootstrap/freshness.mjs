// Tells whether a build's inputs changed since it was made, by a digest of their contents. Plain Node, nothing installed.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root } from './checkout.mjs';

/** Not mtimes: a `git checkout` renews them all, and a build that is up to date should not take minutes again. */
export class Freshness {
  #stamp;
  #digest;
  #output;

  /**
   * @param {string} name names the stamp, one a kind of build
   * @param {string[]} inputs files and directories, relative to the checkout
   * @param {string} output the file that the build makes
   * @param {string} setting what else decides the result, such as a profile
   */
  constructor(name, inputs, output, setting) {
    this.#stamp = join(root, 'target', `ringwheel-${name}.stamp`);
    this.#output = join(root, output);
    const hash = createHash('sha256').update(`${setting} ${process.platform} ${process.arch}`);
    for (const input of inputs) addTo(hash, join(root, input));
    this.#digest = hash.digest('hex');
  }

  isFresh() {
    return existsSync(this.#output) && existsSync(this.#stamp) && readFileSync(this.#stamp, 'utf8') === this.#digest;
  }

  /** Call it when the build has succeeded, never before. */
  remember() {
    mkdirSync(dirname(this.#stamp), { recursive: true });
    writeFileSync(this.#stamp, this.#digest);
  }
}

/**
 * @param {import('node:crypto').Hash} hash
 * @param {string} path
 */
function addTo(hash, path) {
  if (!existsSync(path)) return;
  if (statSync(path).isDirectory()) {
    for (const name of readdirSync(path).sort()) addTo(hash, join(path, name));
  } else {
    hash.update(`${path}\0`).update(readFileSync(path));
  }
}
