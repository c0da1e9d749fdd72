// All steps of `npm test`, in the order in which they run: cheap ones first, so that a slip is told early.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, run } from './command';
import { countCargo, countTap } from './counts';
import { check, counted, judge, judgeCounted, type Outcome, type Step, skip } from './step';

/** The TAP of ava; concurrency and time limits are in package.json. */
const AVA = ['--import', 'tsx', 'node_modules/ava/entrypoints/cli.mjs', '--tap'];

/** Specs of the tools around the API, which run once; all other specs have to pass on both drivers. */
const TOOL_SPECS = ['benchmark', 'cli', 'docs', 'scripts'];

/** The benchmarks whose smoke has to run. */
const BENCHMARKS = ['reads', 'files', 'server', 'timers', 'spawn', 'native', 'queues', 'channels', 'adaptive'];

const cargo = (name: string, args: readonly string[], more: Parameters<typeof check>[3] = {}) =>
  check(name, 'cargo', args, more);
const node = (name: string, args: readonly string[], more: Parameters<typeof check>[3] = {}) =>
  check(name, process.execPath, args, more);

/** Crates that have loom tests: those that depend on it. */
function loomCrates(): string[] {
  return readdirSync(join(root, 'crates'))
    .map((crate) => ({ crate, manifest: readFileSync(join(root, 'crates', crate, 'Cargo.toml'), 'utf8') }))
    .filter(({ manifest }) => /^loom\b/m.test(manifest))
    .map(({ crate }) => crate);
}

/**
 * Each crate's loom tests: the files tests/loom*.rs, or else the tests with `loom` in their path. No others: under loom's
 * atomics they would panic. A target directory of its own keeps both builds warm.
 */
function loom(crate: string): Step {
  const tests = join(root, 'crates', crate, 'tests');
  const files = existsSync(tests) && readdirSync(tests).some((name) => name.startsWith('loom'));
  const which = files ? ['--test', 'loom*'] : ['--lib', 'loom'];
  const args = ['test', '-p', `ringwheel-${crate}`, '--profile', 'quick', ...which];
  return counted(`loom ${crate}`, countCargo, 'cargo', args, {
    env: { RUSTFLAGS: '--cfg loom', CARGO_TARGET_DIR: 'target/loom' },
  });
}

/** The directories of specs that run on both drivers: all that are not about tools, so that none is forgotten. */
function driverSpecs(): string[] {
  return readdirSync(join(root, '__test__'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== 'support' && !TOOL_SPECS.includes(entry.name))
    .map(({ name }) => name);
}

/** ava passes over a glob that matches nothing; a directory of specs that is empty or gone has to be a failure. */
function globs(directories: readonly string[]): string[] {
  for (const directory of directories) {
    const path = join(root, '__test__', directory);
    const names = existsSync(path) ? readdirSync(path) : [];
    if (!names.some((name) => name.endsWith('.spec.ts'))) throw new Error(`there is no spec in __test__/${directory}`);
  }
  return directories.map((directory) => `__test__/${directory}/**`);
}

/** The specs on one driver. On uring they are skipped, and say so, where the kernel or a sandbox denies it. */
function specs(driver: 'uring' | 'poll'): Step {
  return {
    name: `specs ${driver}`,
    needs: ['build'],
    run: async (log): Promise<Outcome> => {
      if (driver === 'uring') {
        const asked = await run(log, process.execPath, ['dist/lib/cli/main.js', 'doctor', '--json']);
        if (!asked.ok) return judge(asked);
        const found = JSON.parse(asked.output) as { driver: string; findings: { problem: string }[] };
        if (found.driver !== 'uring')
          return skip(`no io_uring here: ${found.findings[0]?.problem ?? 'no reason given'}`);
      }
      const env = { RINGWHEEL_DRIVER: driver };
      return judgeCounted(await run(log, process.execPath, [...AVA, ...globs(driverSpecs())], { env }), countTap);
    },
  };
}

/** Everything, in order. */
export function steps(): Step[] {
  return [
    node('lint TypeScript', [
      'node_modules/@biomejs/biome/bin/biome',
      'ci',
      '--colors=off',
      '--error-on-warnings',
      '.',
    ]),
    cargo('lint format', ['fmt', '--all', '--check']),
    cargo('lint format of benchmarks', ['fmt', '--all', '--check', '--manifest-path', 'benchmark/native/Cargo.toml']),
    cargo('lint tidy', ['run', '-q', '-p', 'ringwheel-xtask', '--', 'tidy']),
    cargo('lint layout', ['run', '-q', '-p', 'ringwheel-xtask', '--', 'layout', '--check']),
    cargo('lint clippy', ['clippy', '--workspace', '--all-targets', '--', '-D', 'warnings']),
    node('types', ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.test.json']),
    node('types of benchmarks', ['node_modules/typescript/bin/tsc', '-p', 'benchmark/tsconfig.json']),
    counted('cargo test', countCargo, 'cargo', ['test', '--workspace', '--no-fail-fast']),
    ...loomCrates().map(loom),
    node('build', ['scripts/build.mjs']),
    specs('uring'),
    specs('poll'),
    {
      name: 'specs tools',
      needs: ['build'],
      run: async (log) => judgeCounted(await run(log, process.execPath, [...AVA, ...globs(TOOL_SPECS)]), countTap),
    },
    counted('specs package', countTap, process.execPath, [...AVA, '__test__/package.spec.ts'], { needs: ['build'] }),
    ...BENCHMARKS.map((name) =>
      node(`bench ${name}`, ['--import', 'tsx', 'benchmark/main.ts', name, '--smoke'], { needs: ['build'] }),
    ),
    node('docs typedoc', ['node_modules/typedoc/bin/typedoc']),
    cargo('docs rustdoc', ['doc', '--workspace', '--no-deps', '--document-private-items'], {
      env: { RUSTDOCFLAGS: '-D warnings' },
    }),
  ];
}
