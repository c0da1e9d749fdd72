// The packed package in an empty directory, without Rust on PATH: it installs, serves, has types, and says what is missing.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { Running, root } from './support/command';

/** This platform's package: the addon's file name without `ringwheel.` and `.node`. */
const platform = platformName();
const addon = `ringwheel.${platform}.node`;

function platformName(): string {
  if (process.platform !== 'linux')
    return `${process.platform}-${process.arch}${process.platform === 'win32' ? '-msvc' : ''}`;
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
  return `linux-${process.arch}-${header.glibcVersionRuntime === undefined ? 'musl' : 'gnu'}`;
}

/** Where everything happens, and the environment in which only Node and npm are found. */
const place = mkdtempSync(join(tmpdir(), 'ringwheel-package-'));
const app = join(place, 'app');
const env = { PATH: pathWithoutRust(), HOME: place, npm_config_cache: npmCache(), npm_config_update_notifier: 'false' };

function pathWithoutRust(): string {
  const directory = join(place, 'bin');
  mkdirSync(directory);
  for (const name of ['npm', 'npx', 'sh', 'env']) {
    symlinkSync(realpathSync(execFileSync('which', [name], { encoding: 'utf8' }).trim()), join(directory, name));
  }
  symlinkSync(process.execPath, join(directory, 'node'));
  return directory;
}

/** The user's cache spares the registry; its settings (the registry itself, a proxy) have to hold here too. */
function npmCache(): string {
  return execFileSync('npm', ['config', 'get', 'cache'], { encoding: 'utf8', cwd: root }).trim();
}

function npm(args: readonly string[], cwd: string, settings: Record<string, string> = {}): string {
  return execFileSync('npm', args, {
    cwd,
    env: { ...env, ...settings },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** Packs a directory and returns the tarball and the files in it. */
function pack(directory: string): { tarball: string; files: string[] } {
  const [{ filename, files }] = JSON.parse(npm(['pack', '--json', '--pack-destination', place], directory));
  return { tarball: join(place, filename), files: files.map(({ path }: { path: string }) => path) };
}

let packed: { tarball: string; files: string[] };
/** The package of this platform, with its addon. */
let packedBinary: { tarball: string; files: string[] };

test.before('the root and this platform are packed and installed', () => {
  packed = pack(root);
  // As in a checkout: a platform's package takes the licence texts from its root.
  const checkout = join(place, 'checkout');
  for (const name of ['LICENSE-MIT', 'LICENSE-APACHE', 'scripts/pack', 'npm']) {
    cpSync(join(root, name), join(checkout, name), { recursive: true });
  }
  cpSync(join(root, addon), join(checkout, 'npm', platform, addon));
  packedBinary = pack(join(checkout, 'npm', platform));
  mkdirSync(join(app, 'site'), { recursive: true });
  writeFileSync(join(app, 'package.json'), '{ "private": true }');
  writeFileSync(join(app, 'site/index.html'), '<p>from the package</p>');
  const userconfig = execFileSync('npm', ['config', 'get', 'userconfig'], { encoding: 'utf8', cwd: root }).trim();
  npm(['install', '--no-audit', '--no-fund', '--prefer-offline', packed.tarball, packedBinary.tarball], app, {
    npm_config_userconfig: userconfig,
  });
});

test.after.always(() => rmSync(place, { recursive: true, force: true }));

/** Runs a program of the app's with Node, and returns what it printed. */
function node(source: string, name: string): string {
  writeFileSync(join(app, name), source);
  return execFileSync(process.execPath, [name], { cwd: app, env, encoding: 'utf8' });
}

test('there is no Rust where the package runs', (t) => {
  for (const name of ['rustc', 'cargo', 'cc']) {
    t.is((spawnSync(name, ['--version'], { env }).error as NodeJS.ErrnoException | undefined)?.code, 'ENOENT');
  }
});

test('`npx ringwheel serve` serves a file', async (t) => {
  const served = new Running('npx', ['ringwheel', 'serve', 'site', '--port', '0', '--json'], {
    cwd: app,
    env,
    detached: true,
  });
  const { url } = JSON.parse(await served.line());
  const answer = await fetch(`${url}/index.html`);
  t.is(answer.status, 200);
  t.is(await answer.text(), '<p>from the package</p>');
  // The group, as a terminal does it.
  process.kill(-(served.child.pid ?? 0), 'SIGINT');
  await served.ended;
});

test('the installed command drains and exits with 0', async (t) => {
  const command = join(app, 'node_modules/.bin/ringwheel');
  const served = new Running(command, ['serve', 'site', '--port', '0', '--json'], { cwd: app, env });
  await served.line();
  served.child.kill('SIGINT');
  t.is((await served.ended).code, 0);
});

test('import and require give the same classes', (t) => {
  const printed = node(
    `import * as module from 'ringwheel';
     import { createRequire } from 'node:module';
     const common = createRequire(import.meta.url)('ringwheel');
     const names = Object.keys(common).sort();
     // What Node itself adds to a module that re-exports CommonJS.
     const added = ['default', 'module.exports', '__esModule'];
     const own = Object.keys(module).filter((name) => !added.includes(name)).sort();
     const different = names.filter((name) => module[name] !== common[name]);
     console.log(JSON.stringify({ names, own, different }));`,
    'same.mjs',
  );
  const { names, own, different } = JSON.parse(printed);
  t.deepEqual(own, names);
  t.deepEqual(different, []);
  for (const name of ['Executor', 'File', 'FileServer', 'Lease', 'RingwheelError', 'sleep'])
    t.true(names.includes(name), name);
});

test('a file is read through the installed package, from both module systems', (t) => {
  const body = `(async () => {
    const file = await File.open('site/index.html');
    const target = new Uint8Array(64);
    const bytes = await file.readAt(target, 0);
    await file.close();
    console.log(Buffer.from(target.subarray(0, bytes)).toString());
  })();`;
  t.is(node(`import { File } from 'ringwheel'; ${body}`, 'read.mjs').trim(), '<p>from the package</p>');
  t.is(node(`const { File } = require('ringwheel'); ${body}`, 'read.cjs').trim(), '<p>from the package</p>');
});

test('metrics load nothing of prom-client, and are of the one executor, from both module systems', (t) => {
  const body = `
    const registered = [];
    const remove = collectMetrics({ registerMetric: (metric) => registered.push(metric), removeSingleMetric: () => registered.pop() });
    (async () => {
      await sleep(1);
      const turns = await registered.find(({ name }) => name === 'ringwheel_turns_total').get();
      if (!(turns.values[0].value > 0)) throw new Error(JSON.stringify(turns));
      remove();
      const { default: modules } = await import('node:module');
      console.log(registered.length, Object.keys(modules._cache).some((path) => path.includes('prom-client')));
    })();`;
  const wanted = '0 false';
  const imports = `import { collectMetrics } from 'ringwheel/metrics'; import { sleep } from 'ringwheel';`;
  const requires = `const { collectMetrics } = require('ringwheel/metrics'); const { sleep } = require('ringwheel');`;
  t.is(node(imports + body, 'metrics.mjs').trim(), wanted);
  t.is(node(requires + body, 'metrics.cjs').trim(), wanted);
});

test('ringwheel/fs stands in for node:fs/promises, from both module systems', (t) => {
  const body = `(async () => {
    const missing = Object.keys(node).filter((name) => typeof named[name] !== typeof node[name] || fs[name] !== named[name]);
    const handle = await fs.open('site/index.html');
    const text = await handle.readFile('utf8');
    await handle.close();
    console.log(missing.join(), text, await named.readFile('site/index.html', 'utf8') === text);
  })();`;
  const wanted = ' <p>from the package</p> true';
  const imports = `import fs from 'ringwheel/fs'; import * as named from 'ringwheel/fs'; import * as nodes from 'node:fs/promises';
    const { default: _, ...node } = nodes;`;
  const requires = `const named = require('ringwheel/fs'); const fs = named.default; const node = require('node:fs/promises');`;
  t.is(node(imports + body, 'fs.mjs').trimEnd(), wanted);
  t.is(node(requires + body, 'fs.cjs').trimEnd(), wanted);
});

const resolutions: [string, string, string[]][] = [
  ['an ES module under node16', 'types.mts', ['--module', 'node16']],
  ['CommonJS under node16', 'types.cts', ['--module', 'node16']],
  ['an ES module under nodenext', 'types.mts', ['--module', 'nodenext']],
  ['a bundler', 'types.ts', ['--module', 'esnext', '--moduleResolution', 'bundler']],
];

for (const [what, file, options] of resolutions) {
  test(`types resolve for ${what}`, (t) => {
    const source = `import { type ErrorCode, Executor, File, FileServer, RingwheelError, sleep } from 'ringwheel';
      import { collectMetrics, type MetricsRegistry } from 'ringwheel/metrics';
      import fs, { type FileHandle, open, readFile } from 'ringwheel/fs';
      export const text: Promise<string> = readFile('x', 'utf8');
      export const bytes: Promise<Buffer> = fs.readFile('x');
      export const handle: Promise<FileHandle> = open('x');
      // @ts-expect-error there is no such flag
      readFile('x', { flagg: 'r' });
      export const stop = (register: MetricsRegistry): (() => void) => collectMetrics(register, { prefix: 'a_' });
      export async function use(): Promise<number> {
        const lease = Executor.current().lease(4096);
        const file: File = await File.open('x');
        const bytes: number = await file.readAt(lease, 0);
        const server: FileServer = await FileServer.start({ root: '.', port: 0 });
        const url: string = server.url;
        await sleep(1, { signal: AbortSignal.timeout(5) });
        // @ts-expect-error a position is a number
        await file.readAt(lease, '0');
        const code: ErrorCode | undefined = new Error(url) instanceof RingwheelError ? 'ERR_RINGWHEEL_CLOSED' : undefined;
        return bytes + (code === undefined ? 0 : 1);
      }`;
    const directory = join(app, what.replaceAll(' ', '-'));
    mkdirSync(directory);
    writeFileSync(join(directory, file), source);
    tsc(t, directory, [file, ...options]);
  });
}

function tsc(t: ExecutionContext, cwd: string, args: readonly string[]): void {
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  const types = ['--typeRoots', join(root, 'node_modules/@types'), '--types', 'node'];
  const settings = ['--strict', '--noEmit', '--target', 'es2022', '--lib', 'es2022,esnext.disposable', ...types];
  const { status, stdout } = spawnSync(process.execPath, [compiler, ...args, ...settings], { cwd, encoding: 'utf8' });
  t.is(status, 0, stdout);
}

test('no consumer gets the wrong types: attw finds nothing', (t) => {
  const attw = join(root, 'node_modules/@arethetypeswrong/cli/dist/index.js');
  // node10 knows no exports map and no .mjs: it is no target of ours.
  const args = [attw, packed.tarball, '--profile', 'node16', '--no-emoji', '--no-color'];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  t.is(status, 0, stdout + stderr);
});

test('the tarball has the code, its types and its licences, and nothing else', (t) => {
  const allowed =
    /^(dist\/.+\.(js|mjs|d\.ts|d\.mts)|dist\/config\.schema\.json|dist\/dashboard\.html|package\.json|README\.md|CHANGELOG\.md|LICENSE-(MIT|APACHE))$/;
  t.deepEqual(
    packed.files.filter((path) => !allowed.test(path)),
    [],
  );
  for (const path of [
    'dist/index.js',
    'dist/index.mjs',
    'dist/index.d.ts',
    'dist/index.d.mts',
    'dist/lib/cli/main.js',
    'dist/config.schema.json',
    'dist/dashboard.html',
    'LICENSE-MIT',
  ]) {
    t.true(packed.files.includes(path), path);
  }
});

test('the package of a platform has its binary and the texts of its licences, which are those of the root', (t) => {
  t.deepEqual(
    [...packedBinary.files].sort(),
    ['LICENSE-APACHE', 'LICENSE-MIT', 'README.md', 'package.json', addon].sort(),
  );
  const installed = join(app, 'node_modules', `ringwheel-${platform}`);
  for (const name of ['LICENSE-MIT', 'LICENSE-APACHE']) {
    t.is(readFileSync(join(installed, name), 'utf8'), readFileSync(join(root, name), 'utf8'));
  }
});

test('the packages of all platforms have the version of the root, and so has Rust', (t) => {
  const { version, napi } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  t.is(/^version = "(.+)"$/m.exec(readFileSync(join(root, 'Cargo.toml'), 'utf8'))?.[1], version);
  const names = [
    'linux-x64-gnu',
    'linux-x64-musl',
    'linux-arm64-gnu',
    'linux-arm64-musl',
    'darwin-x64',
    'darwin-arm64',
    'win32-x64-msvc',
  ];
  t.is(napi.targets.length, names.length);
  for (const name of names) {
    const own = JSON.parse(readFileSync(join(root, 'npm', name, 'package.json'), 'utf8'));
    t.is(own.name, `ringwheel-${name}`);
    t.is(own.version, version);
    t.is(own.main, `ringwheel.${name}.node`);
    t.deepEqual(own.files, [own.main, 'LICENSE-MIT', 'LICENSE-APACHE']);
    t.is(own.scripts.prepack, 'node ../../scripts/pack/licenses.mjs');
    t.is(own.libc?.[0], name.endsWith('gnu') ? 'glibc' : name.endsWith('musl') ? 'musl' : undefined);
  }
});

test('a missing binary says the platform, its C library and how to build', async (t) => {
  const bare = join(place, 'bare');
  cpSync(app, bare, { recursive: true, verbatimSymlinks: true });
  rmSync(join(bare, 'node_modules', `ringwheel-${platform}`), { recursive: true });
  const command = join(bare, 'node_modules/.bin/ringwheel');
  const failed = await new Running(command, ['serve', 'site', '--port', '0'], { cwd: bare, env }).ended;
  t.is(failed.code, 1);
  t.is(failed.stdout, '');
  t.regex(failed.stderr, /^ringwheel: [^\n]+\n$/);
  t.true(failed.stderr.includes(process.platform), failed.stderr);
  t.true(failed.stderr.includes(process.arch), failed.stderr);
  if (process.platform === 'linux') t.regex(failed.stderr, /glibc|gnu|musl/);
  t.regex(failed.stderr, /build/);
  t.is(
    failed.stderr.split(`ringwheel-${platform}`).length,
    2,
    'the package is named once, with the command that installs it',
  );
  t.notRegex(failed.stderr, /ringwheel: ringwheel/);
  const help = await new Running(command, ['--help'], { cwd: bare, env }).ended;
  t.is(help.code, 0, 'help needs no binary');
});

test('the lockfile names no registry', (t) => {
  t.notRegex(readFileSync(join(root, 'package-lock.json'), 'utf8'), /"resolved"/);
});

test('every path that package.json exports is in the tarball', (t) => {
  const { exports, bin, main, types } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const paths: string[] = [main, types, ...Object.values<string>(bin)];
  const collect = (value: unknown) => {
    if (typeof value === 'string') paths.push(value);
    else for (const inner of Object.values(value as object)) collect(inner);
  };
  collect(exports);
  for (const path of paths) t.true(packed.files.includes(path.replace(/^\.\//, '')), path);
});
