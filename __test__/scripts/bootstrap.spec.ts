// `npm start` on a machine that lacks something says so in one line and exits with 1.
import { cpSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Running, root } from '../support/command';

/** A checkout whose packages are installed and whose addon is not built. */
function bareCheckout(): string {
  const directory = mkdtempSync(join(tmpdir(), 'ringwheel-bare-'));
  for (const name of ['scripts', 'package.json', 'package-lock.json', 'Cargo.toml']) {
    cpSync(join(root, name), join(directory, name), { recursive: true, preserveTimestamps: true });
  }
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'));
  return directory;
}

/** Executables as a PATH: each is a shell script. */
function path(commands: Readonly<Record<string, string>>): string {
  const directory = mkdtempSync(join(tmpdir(), 'ringwheel-path-'));
  for (const [name, script] of Object.entries(commands)) {
    writeFileSync(join(directory, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }
  return directory;
}

function start(commands: Readonly<Record<string, string>>) {
  const home = mkdtempSync(join(tmpdir(), 'ringwheel-home-'));
  mkdirSync(join(home, '.cargo/bin'), { recursive: true });
  const env = { PATH: path(commands), HOME: home };
  return new Running(process.execPath, [join(bareCheckout(), 'scripts/start.mjs')], { env }).ended;
}

test('no Rust toolchain', async (t) => {
  const { code, stderr, stdout } = await start({});
  t.is(code, 1);
  t.regex(stderr, /^ringwheel: no Rust toolchain found[^\n]*https:\/\/rustup\.rs[^\n]*\n$/);
  t.is(stdout, '');
});

test('a Rust that is too old', async (t) => {
  const { code, stderr } = await start({ rustc: 'echo rustc 1.70.0', cargo: 'echo cargo 1.70.0' });
  t.is(code, 1);
  t.regex(stderr, /^ringwheel: Rust 1\.70\.0 is too old[^\n]*rustup update stable[^\n]*\n$/);
});

test('no C linker', async (t) => {
  const { code, stderr } = await start({ rustc: 'echo rustc 1.99.0', cargo: 'echo cargo 1.99.0' });
  t.is(code, 1);
  t.regex(stderr, /^ringwheel: no C linker found[^\n]*gcc[^\n]*\n$/);
});
