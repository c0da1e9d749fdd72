// `ringwheel.config.*`: found, read in every language, checked with the place of what is wrong, under the flags; and `--check`.
import { mkdirSync, mkdtempSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { FileServer } from '../../index';
import { ringwheel, serving } from '../support/command';

/** A directory with these files, and `public/index.html` in it. */
function project(files: Readonly<Record<string, string>>): string {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'ringwheel-config-')));
  mkdirSync(join(directory, 'public'));
  writeFileSync(join(directory, 'public/index.html'), 'public');
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  return directory;
}

async function check(directory: string, ...args: string[]) {
  const ended = await ringwheel(['serve', '--check', '--json', ...args], { cwd: directory });
  return { ...ended, config: ended.code === 0 ? JSON.parse(ended.stdout) : undefined };
}

const SOURCES: Readonly<Record<string, string>> = {
  ts: "import { defineConfig } from 'ringwheel';\nconst port: number = 3111;\nexport default defineConfig({ root: 'public', port });",
  mts: "import { defineConfig } from 'ringwheel';\nconst given = await Promise.resolve({ root: 'public', port: 3111 });\nexport default defineConfig(given);",
  cts: "const port: number = 3111;\nmodule.exports = { root: 'public', port };",
  js: "export default async () => ({ root: 'public', port: 3111 });",
  mjs: "export default () => ({ root: 'public', port: 3111 });",
  cjs: "module.exports = { root: 'public', port: 3111 };",
  json: '\uFEFF{ "$schema": "./x.json", "root": "public", "port": 3111 }',
};

for (const [extension, source] of Object.entries(SOURCES)) {
  test(`ringwheel.config.${extension} is found, and its paths are taken from where it is`, async (t) => {
    const directory = project({ [`ringwheel.config.${extension}`]: source });
    const found = await check(directory);
    t.is(found.config?.port, 3111, found.stderr);
    t.is(found.config?.root, join(directory, 'public'));
    const elsewhere = await check(tmpdir(), '--config', join(directory, `ringwheel.config.${extension}`));
    t.is(elsewhere.config?.root, join(directory, 'public'));
    t.is((await check(directory, '--no-config')).config?.port, 8080);
  });
}

test('a flag goes before the file, of groups and maps key by key', async (t) => {
  const config = {
    root: 'public',
    cacheControl: 'no-store',
    cores: [0],
    drainMs: 1,
    limits: { ranges: 3, connections: 5 },
    headers: { '*.css': { 'X-A': 'file' }, '*.js': { 'X-A': 'file' } },
  };
  const directory = project({ 'ringwheel.config.json': JSON.stringify(config) });
  const flags = [
    '--limit',
    'ranges=4',
    '--header',
    '*.js: X-A: flag',
    '--max-age',
    '7',
    '--drain',
    '2',
    '--cores',
    '1',
  ];
  const { config: found, stderr } = await check(directory, ...flags, '.');
  t.is(found?.root, directory, stderr);
  t.deepEqual([found.limits.ranges, found.limits.connections], [4, 5]);
  t.deepEqual(found.headers, { '*.css': { 'X-A': 'file' }, '*.js': { 'X-A': 'flag' } });
  t.deepEqual([found.maxAge, found.cacheControl, found.drainMs, found.cores], [7, undefined, 2, 1]);
});

test('a flag that says where to listen takes the place of all that the file says of it', async (t) => {
  const file = { root: 'public', port: 3111, host: '::1' };
  const directory = project({ 'ringwheel.config.json': JSON.stringify(file), 'unix.json': '{ "unix": "a.sock" }' });
  const { config: unix, stderr } = await check(directory, '--unix', 'b.sock', '--unix-mode', '660');
  t.deepEqual(
    [unix?.unix, unix?.port, unix?.host],
    [{ path: join(directory, 'b.sock'), mode: 0o660 }, undefined, undefined],
    stderr,
  );
  t.deepEqual((await check(directory, '--config', 'unix.json')).config.unix, { path: join(directory, 'a.sock') });
  const { config: tcp } = await check(directory, '--config', 'unix.json', '--port', '0');
  t.deepEqual([tcp.unix, tcp.port], [undefined, 0]);
  t.is((await check(directory, '--unix', 'b.sock', '--port', '0')).code, 2);
});

test('the file is what the server does', async (t) => {
  const directory = project({
    'ringwheel.config.json': JSON.stringify({ root: 'public', port: 0, cores: 1, headers: { '*': { 'X-A': 'b' } } }),
  });
  const { running, facts } = await serving([], { cwd: directory });
  t.is((facts as { config?: string }).config, 'ringwheel.config.json');
  const answer = await fetch(facts.url);
  t.deepEqual([await answer.text(), answer.headers.get('x-a')], ['public', 'b']);
  running.child.kill('SIGTERM');
  t.is((await running.ended).code, 0);
});

const WRONG: [string, Record<string, string>, string[], RegExp][] = [
  [
    'an unknown option',
    { 'a.json': '{ "prot": 1 }' },
    ['a.json'],
    /^ringwheel: a\.json: unknown option 'prot' \(did you mean 'port'\?\)/,
  ],
  [
    'an option of a site',
    { 'a.json': '{ "sites": [{ "root": "public", "hosts": ["a"], "maxAge": -1 }] }' },
    ['a.json'],
    /a\.json: sites\[0\]\.maxAge must be .*0 to 2147483648; got -1/,
  ],
  [
    'an unknown option of a group',
    { 'a.json': '{ "limits": { "conections": 1 } }' },
    ['a.json'],
    /did you mean 'limits\.connections'/,
  ],
  [
    'what only the server knows',
    { 'a.json': '{ "maxAge": 1, "cacheControl": "x" }' },
    ['a.json'],
    /a\.json: maxAge is given beside/,
  ],
  ['no JSON', { 'a.json': '{ "port": 1,\n  "root": }' }, ['a.json'], /a\.json: no JSON: /],
  ['a list', { 'a.json': '[]' }, ['a.json'], /a\.json: no configuration: it has to be an object/],
  [
    'nothing exported',
    { 'a.mjs': 'export const port = 1;' },
    ['a.mjs'],
    /a\.mjs: (unknown option 'port'|no configuration)/,
  ],
  ['no TypeScript', { 'a.ts': 'export default {a: }' }, ['a.ts'], /a\.ts: .*a\.ts:1:19/],
  ['a file that throws', { 'a.ts': "throw new Error('mine')" }, ['a.ts'], /a\.ts: mine/],
  [
    'a promise that never settles',
    { 'a.ts': 'export default () => new Promise(() => {})' },
    ['a.ts'],
    /a\.ts: a promise in it never settles/,
  ],
  ['no file', {}, ['a.ts'], /there is no configuration 'a\.ts': check --config, or create it/],
  ['a directory', {}, ['public'], /the configuration 'public' cannot be read: it is no regular file/],
  ['a device', {}, ['/dev/null'], /the configuration '\/dev\/null' cannot be read: it is no regular file/],
  [
    'CPUs and a placement',
    { 'a.json': '{ "cores": [0], "placement": "max-pack" }' },
    ['a.json'],
    /placement and a list of CPUs/,
  ],
];

for (const [what, files, [file = ''], says] of WRONG) {
  test(`${what}: one line that names the file, and exit code 2`, async (t) => {
    for (const more of [['--check'], ['--port', '0']]) {
      const { code, stdout, stderr } = await ringwheel(['serve', '--config', file, ...more], { cwd: project(files) });
      t.deepEqual([code, stdout], [2, ''], stderr);
      t.regex(stderr, says);
      t.is(stderr.trimEnd().split('\n').length, 1);
    }
  });
}

test('two files in one directory are an error; a flag names one', async (t) => {
  const directory = project({ 'ringwheel.config.json': '{}', 'ringwheel.config.ts': 'export default { port: 1 }' });
  const { code, stderr } = await check(directory);
  t.is(code, 2);
  t.regex(stderr, /ringwheel\.config\.ts and ringwheel\.config\.json are both here/);
  t.is((await check(directory, '--config', 'ringwheel.config.ts')).config?.port, 1);
});

test('what is wrong is told in the words of who said it', async (t) => {
  const directory = project({ 'ringwheel.config.json': '{ "maxAge": 1 }' });
  const { stderr } = await check(directory, '--limit', 'uriBytes=999', '--limit', 'headerBytes=500');
  t.regex(stderr, /^ringwheel: --limit uriBytes is 999/);
  const missing = project({ 'ringwheel.config.json': '{ "root": "nowhere" }' });
  const { code, stderr: said } = await check(missing);
  t.is(code, 1);
  t.regex(said, /there is no directory '.*nowhere'/);
});

test('--rewrites, --download and --symlinks say what their options say, and answers follow them', async (t) => {
  const directory = project({ 'app.html': 'app', 'elsewhere.txt': 'elsewhere' });
  writeFileSync(join(directory, 'public/app.html'), 'app');
  symlinkSync('../elsewhere.txt', join(directory, 'public/link.txt'));
  const flags = [
    ...['--rewrites', '/app/* /app.html', '--rewrites', '/b /app.html'],
    ...['--download', '*.html', '--download', '/link*=acme-:name', '--symlinks', 'follow'],
  ];
  const { config, stderr } = await check(directory, 'public', ...flags);
  t.deepEqual(config?.rewrites, [
    { from: '/app/*', to: '/app.html' },
    { from: '/b', to: '/app.html' },
  ]);
  t.deepEqual(config?.download, { '*.html': ':name', '/link*': 'acme-:name' }, stderr);
  t.is(config?.symlinks, 'follow');
  const { running, facts } = await serving(['public', '--port', '0', '--cores', '1', ...flags], { cwd: directory });
  const app = await fetch(`${facts.url}/app/some/where`);
  t.deepEqual([await app.text(), app.headers.get('content-disposition')], ['app', 'attachment; filename="app.html"']);
  const link = await fetch(`${facts.url}/link.txt`);
  t.deepEqual(
    [await link.text(), link.headers.get('content-disposition')],
    ['elsewhere', 'attachment; filename="acme-link.txt"'],
  );
  running.child.kill('SIGTERM');
  t.is((await running.ended).code, 0);
  for (const [wrong, message] of [
    [['--rewrites', '/a'], /--rewrites/],
    [['--download', '=a'], /download/],
    [['--symlinks', 'some'], /inside, deny, follow/],
  ] as const) {
    const ended = await check(directory, 'public', ...wrong);
    t.not(ended.code, 0);
    t.regex(ended.stderr, message);
  }
});

test('--check opens no port, says who said what, and writes a configuration that means the same', async (t) => {
  const busy = createServer().listen(0, '127.0.0.1');
  await new Promise((settle) => busy.once('listening', settle));
  const { port } = busy.address() as { port: number };
  const directory = project({ 'ringwheel.config.json': JSON.stringify({ root: 'public', port, etag: false }) });
  const { code, stdout, stderr } = await ringwheel(['serve', '--check', '--gzip'], { cwd: directory });
  busy.close();
  t.is(code, 0, stderr);
  t.regex(stdout, /^Configuration file: ringwheel\.config\.json\n/);
  t.regex(stdout, /\n {2}etag +false +ringwheel\.config\.json\n/);
  t.regex(stdout, /\n {2}gzip +true +command line\n/);
  t.regex(stdout, /\n {2}limits\.ranges +16 +default\n/);
  t.regex(stdout, /\nThe configuration is valid\.\n$/);
  const first = await check(directory, '--gzip');
  writeFileSync(join(directory, 'ringwheel.config.json'), first.stdout);
  t.is((await check(directory)).stdout, first.stdout);
});

test('FileServer.check fills in every default, and its answer means the same', async (t) => {
  const root = join(project({}), 'public');
  const site = {
    root,
    etag: false,
    single: 'index.html',
    ignores: false,
    immutable: 'hashed',
    mounts: { '/m/': root },
  } as const;
  const given = {
    ...site,
    serverHeader: false,
    headers: { '*.css': { 'X-A': 'b', 'Cache-Control': null } },
    sites: [{ ...site, root: [root, root], hosts: ['a.example'] }],
  } as const;
  const full = await FileServer.check(given);
  t.like(full, { ...given, port: 8080, host: '127.0.0.1', limits: { ranges: 16 }, cache: { openFiles: 256 } });
  t.deepEqual(await FileServer.check(full), full);
  t.true(Array.isArray(full.cores) && full.cores.length > 0);
  t.like(full, { drainMs: 10_000, tlsReloadMs: 60_000 });
  const file = { $schema: 'x', root, placement: 'max-spread', cores: 1, drainMs: 7, etag: true } as const;
  const known = await FileServer.check(file);
  t.deepEqual([known.drainMs, known.etag, (known.cores as number[]).length], [7, 'time', 1]);
  t.deepEqual(
    Object.keys(known).filter((key) => ['$schema', 'placement'].includes(key)),
    [],
  );
  await t.throwsAsync(FileServer.check({ root, placement: 'max-pack', cores: [0] }), {
    code: 'ERR_RINGWHEEL_INVALID_OPTION',
    message: /placement and a list of CPUs/,
  });
  const options = { root, port: 70_000 };
  await t.throwsAsync(FileServer.check(options), {
    code: 'ERR_RINGWHEEL_INVALID_OPTION',
    message: /^FileServer\.check: port/,
  });
  const missing = await t.throwsAsync<NodeJS.ErrnoException>(FileServer.check({ root: `${root}/no` }));
  t.deepEqual([missing?.code, missing?.syscall], ['ENOENT', 'open']);
});
