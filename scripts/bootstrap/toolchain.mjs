// Finds the Rust toolchain, or says in one line how to get one. Plain Node, nothing installed.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fail, isAtLeast, root } from './checkout.mjs';

/**
 * The environment in which `cargo` is found: rustup's directory is appended, for shells opened before it was installed.
 * @returns {NodeJS.ProcessEnv}
 */
export function requireRust() {
  const home = process.env.CARGO_HOME ?? join(homedir(), '.cargo');
  const env = { ...process.env, PATH: `${process.env.PATH ?? ''}${delimiter}${join(home, 'bin')}` };
  const least = /rust-version = "([^"]+)"/.exec(readFileSync(`${root}Cargo.toml`, 'utf8'))?.[1] ?? '1';
  const rustc = spawnSync('rustc', ['--version'], { env, encoding: 'utf8' });
  const version = /^rustc (\d+\.\d+\.\d+)/.exec(rustc.stdout ?? '')?.[1];
  if (version === undefined || spawnSync('cargo', ['--version'], { env }).status !== 0) {
    fail(
      `no Rust toolchain found, and the native addon has to be compiled: install Rust ${least} or later from https://rustup.rs, then try again`,
    );
  }
  if (!isAtLeast(version, least)) {
    fail(`Rust ${version} is too old, ${least} or later is needed: run \`rustup update stable\`, then try again`);
  }
  if (process.platform === 'linux' && !['cc', 'gcc', 'clang'].some((name) => isThere(name, env))) {
    fail(
      'no C linker found, and Rust needs one: install gcc (Debian and Ubuntu: `apt install build-essential`), then try again',
    );
  }
  return env;
}

/**
 * @param {string} command
 * @param {NodeJS.ProcessEnv} env
 */
function isThere(command, env) {
  return spawnSync(command, ['--version'], { env }).status === 0;
}
