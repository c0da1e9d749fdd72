// Builds the native addon and the JavaScript, each only when its sources changed. Plain Node, nothing installed but by install.mjs.
import { chmodSync, renameSync, rmSync } from 'node:fs';
import { fail, root, say } from './checkout.mjs';
import { run } from './child.mjs';
import { Freshness } from './freshness.mjs';
import { requireRust } from './toolchain.mjs';

/** The name that `napi build --platform` gives the addon here; lib/wire loads the same. */
export function addonName() {
  if (process.platform !== 'linux') {
    return `ringwheel.${process.platform}-${process.arch}${process.platform === 'win32' ? '-msvc' : ''}.node`;
  }
  const header = /** @type {{ header: { glibcVersionRuntime?: string } }} */ (process.report.getReport()).header;
  return `ringwheel.linux-${process.arch}-${header.glibcVersionRuntime === undefined ? 'musl' : 'gnu'}.node`;
}

/** How the addon can be compiled: optimized; optimized and incremental, for people who iterate; not optimized. */
export const profiles = ['release', 'quick', 'dev'];

/** @param {string} profile */
function addonFreshness(profile) {
  return new Freshness('addon', ['Cargo.toml', 'Cargo.lock', 'crates'], addonName(), profile);
}

/** The profile of the addon at hand; undefined when there is none, or its sources have changed since. */
export function builtProfile() {
  return profiles.find((profile) => addonFreshness(profile).isFresh());
}

/**
 * Compiles the Rust side; cargo's own progress is shown.
 * @param {string} profile one of {@link profiles}
 */
export async function buildAddon(profile) {
  const freshness = addonFreshness(profile);
  if (freshness.isFresh()) return;
  const env = requireRust();
  say(`building the native addon, profile ${profile}; the first build takes a few minutes …`);
  const code = await run(
    process.execPath,
    [
      `${root}node_modules/@napi-rs/cli/dist/cli.js`,
      'build',
      ...['--manifest-path', 'crates/node/Cargo.toml', '--platform', '--no-js'],
      // lib/wire states the binding's types itself; napi's own go where nobody reads them.
      ...['--output-dir', 'target/addon', '--dts', 'napi.d.ts'],
      ...(profile === 'dev' ? [] : ['--profile', profile]),
    ],
    env,
  );
  if (code !== 0) fail('the native addon did not compile, see above');
  // A rename is a new inode: overwriting would change code under a process that has the old one loaded. And the old one stays
  // until there is a new one, should the build be broken or broken off.
  renameSync(`${root}target/addon/${addonName()}`, `${root}${addonName()}`);
  freshness.remember();
}

/** Compiles TypeScript to dist/: CommonJS, a thin ES module over it, and types for both. */
export async function buildJavaScript() {
  const inputs = [
    'index.ts',
    'index.mts',
    'metrics.ts',
    'metrics.mts',
    'fs.ts',
    'fs.mts',
    'lib',
    'tsconfig.json',
    'package.json',
    'package-lock.json',
    'scripts/schema',
    'scripts/dashboard',
    'dashboard',
  ];
  const freshness = new Freshness('javascript', inputs, 'dist/index.mjs', '');
  if (freshness.isFresh()) return;
  say('compiling TypeScript …');
  rmSync(`${root}dist`, { recursive: true, force: true });
  const code = await run(process.execPath, [`${root}node_modules/typescript/bin/tsc`, '-p', 'tsconfig.json']);
  if (code !== 0) fail('TypeScript did not compile, see above');
  chmodSync(`${root}dist/lib/cli/main.js`, 0o755);
  for (const made of ['schema', 'dashboard']) {
    const code = await run(process.execPath, ['--import=tsx', `${root}scripts/${made}/main.ts`]);
    if (code !== 0) fail(`scripts/${made} failed, see above`);
  }
  freshness.remember();
}
