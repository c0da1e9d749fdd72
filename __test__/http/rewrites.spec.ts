// Names that no file has and another file answers: which goes first, one pass, nothing outside, and what is kept.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { FileServer, type FileServerOptions } from '../../index';
import { bytesOf, Client, place, seen, serverOf, siteOf } from '../support/http';
import { secure } from '../support/secure';

const FILES = {
  'index.html': 'root',
  'app/index.html': 'app',
  'app/main.js': 'js',
  'users/_id.html': 'user',
  'users/7.html': 'seven',
  'v3/index.html': 'v3',
  'v3/docs/index.html': 'v3 docs',
  'v3/a b.txt': 'space',
  'b.txt': 'b',
  'c.txt': 'c',
  '404.html': 'none',
};

const OPTIONS: Partial<FileServerOptions> = {
  rewrites: [
    { from: '/app/*', to: '/app/index.html' },
    { from: '/users/:id', to: '/users/_id.html' },
    { from: '/latest/*', to: '/v3/:splat' },
    { from: '/a.txt', to: '/b.txt' },
    { from: '/b.txt', to: '/c.txt' },
    { from: '/gone/*', to: '/nowhere/:splat' },
    { from: '/one', to: '/two' },
    { from: '/two', to: '/one' },
    { from: '/directory/:name', to: '/v3/docs' },
    { from: '/start/:name', to: '/' },
  ],
  extensions: ['html'],
};

const EXPECTED = {
  '/app/route/deep?x': 'app',
  '/app/main.js': 'js',
  '/app/none.js': 'app',
  '/app': '-> /app/',
  '/start/x': 'root',
  '/start/x/': 'root',
  '/users/1': 'user',
  '/users/1/': 'user',
  '/users/7': 'seven',
  '/users/1/2': 404,
  '/latest': '-> /latest/',
  '/latest/': 'v3',
  '/latest/docs': '-> /latest/docs/',
  '/latest/docs/': 'v3 docs',
  '/latest/a%20b.txt': 'space',
  '/directory/x?q=1': '-> /directory/x/?q=1',
  '/directory/x/': 'v3 docs',
  '/a.txt': 'b',
  '/b.txt': 'b',
  '/gone/x': 404,
  '/one': 404,
  '/.app/x': 404,
  '/latest/.git/config': 404,
  '/latest/%2e%2e%2f%2e%2e/etc/passwd': 404,
  '/latest/%5c..%5cx': 404,
};

test('a file of that name goes first, then the first rule that fits, once, and nothing outside', async (t) => {
  const root = siteOf(t, FILES);
  const server = await serverOf(t, root, OPTIONS);
  const client = await Client.connect(t, server.port);
  const tls = await secure(t, root, OPTIONS);
  for (const _ of [1, 2]) {
    for (const [path, answer] of Object.entries(EXPECTED)) {
      t.is(await seen(client, path), answer, path);
      t.is(await seen(tls, path), answer, `${path} over TLS`);
    }
  }
  const climbing = await Client.connect(t, server.port);
  t.is((await climbing.get('/latest/../index.html')).status, 400);
});

test('what answers is a file like others: HEAD, conditions, ranges, packed, with the fields of its own name', async (t) => {
  const root = siteOf(t, { 'app/index.html': 'app', 'app/index.html.gz': 'packed', 'large.bin': bytesOf(300_000) });
  const server = await serverOf(t, root, {
    rewrites: [
      { from: '/app/*', to: '/app/index.html' },
      { from: '/film', to: '/large.bin' },
    ],
    gzip: true,
    headers: { '/app/index.html': { 'X-Page': 'app' }, '/app/route': { 'X-Page': 'route' } },
  });
  const client = await Client.connect(t, server.port);
  const page = await client.get('/app/route');
  t.deepEqual([page.headers.get('x-page'), page.headers.get('content-type')], ['app', 'text/html; charset=utf-8']);
  t.is((await client.get('/app/other', `If-None-Match: ${page.headers.get('etag')}`)).status, 304);
  const head = await client.ask('HEAD', '/app/route');
  t.deepEqual([head.status, head.headers.get('content-length')], [200, '3']);
  t.is((await client.get('/app/route', 'Accept-Encoding: gzip')).body.toString(), 'packed');
  const piece = await client.get('/film', 'Range: bytes=100000-299999');
  t.true(piece.body.equals(bytesOf(300_000).subarray(100_000)));
  t.is((await client.ask('POST', '/app/route', 'Content-Length: 0')).status, 405);
});

test('the order: redirects, the file, a listing, rewrites, the single page, the error page', async (t) => {
  const root = siteOf(t, { ...FILES, 'listed/x.txt': 'x' });
  mkdirSync(join(root, 'app/listed'));
  const server = await serverOf(t, root, {
    rewrites: [
      { from: '/app/*', to: '/app/index.html' },
      { from: '/moved', to: '/b.txt' },
      { from: '/dead', to: '/nowhere' },
    ],
    redirects: [{ from: '/moved', to: '/c.txt' }],
    listing: true,
    single: true,
    ignores: ['/dead.txt'],
    errorPages: { 404: '404.html' },
  });
  const client = await Client.connect(t, server.port);
  t.is(await seen(client, '/moved'), '-> /c.txt');
  t.regex(String(await seen(client, '/app/listed/')), /<title>/);
  t.is(await seen(client, '/app/x/'), 'app');
  t.is(await seen(client, '/dead'), 'root');
  t.is((await client.get('/dead.txt')).body.toString(), 'none');
});

test('names that clients make up fill no cache; a file that appears goes first; clean names are of the file that was asked for', async (t) => {
  const root = siteOf(t, FILES);
  const server = await serverOf(t, root, { ...OPTIONS, cleanUrls: true, cache: { revalidateMs: 0 } });
  const client = await Client.connect(t, server.port);
  t.is(await seen(client, '/app/0'), 'app');
  const before = server.stats().cacheEntries;
  for (let route = 1; route <= 100; route += 1) t.is(await seen(client, `/app/${route}`), 'app');
  t.is(server.stats().cacheEntries, before);
  t.is(await seen(client, '/app/index.html'), '-> /app/');
  place(root, 'app/0', 'itself');
  t.is(await seen(client, '/app/0'), 'itself');
});

test('mounts and hosts of their own', async (t) => {
  const root = siteOf(t, { x: 'x' });
  const media = siteOf(t, { 'none.png': 'png' });
  const rewrites = [{ from: '/media/:file', to: '/media/none.png' }];
  const server = await serverOf(t, root, {
    mounts: { '/media/': media },
    rewrites,
    sites: [{ hosts: ['own.test'], root, rewrites: [{ from: '/*', to: '/x' }] }],
  });
  const client = await Client.connect(t, server.port);
  for (const _ of [1, 2]) {
    t.is(await seen(client, '/media/a.png'), 'png');
    t.is(await seen(client, '/other'), 404);
    t.is(await seen(client, 'http://own.test/other'), 'x');
    t.is(await seen(client, 'http://own.test/media/a.png'), 'x');
  }
});

test('what is wrong with one is named', async (t) => {
  const root = siteOf(t, {});
  const refused = (rewrites: unknown, message: RegExp) =>
    t.throwsAsync(FileServer.start({ root, port: 0, cores: 1, rewrites } as never), {
      code: 'ERR_RINGWHEEL_INVALID_OPTION',
      message,
    });
  await refused([{ from: '/a' }], /rewrites\[0\]\.to must be/);
  await refused([{ from: '/a', to: '/b', status: 301 }], /unknown option .rewrites\[0\]\.status/);
  await refused([{ from: 'a', to: '/b' }], /rewrites\[0\]\.from is "a"; allowed: a path such as/);
  await refused([{ from: '/a', to: 'https://b.test/' }], /rewrites\[0\]\.to is .*allowed: a path with one first slash/);
  await refused([{ from: '/a', to: '//b.test/' }], /allowed: a path with one first slash/);
  await refused([{ from: '/a', to: '/b?c' }], /without a query/);
  await refused([{ from: '/a', to: '/:b' }], /names of from after colons/);
  const rewrites = [{ from: '/app/*', to: '/app/index.html' }];
  t.deepEqual((await FileServer.check({ root, rewrites })).rewrites, rewrites);
});

test('redirects that lead round over several rules are refused with the way', async (t) => {
  const root = siteOf(t, {});
  const options = (redirects: { from: string; to: string }[]) => ({ root, port: 0, cores: 1, redirects });
  const round = [
    { from: '/ok', to: '/fine' },
    { from: '/a', to: '/b?x' },
    { from: '/b', to: '/c/d' },
    { from: '/c/*', to: '/a' },
  ];
  await t.throwsAsync(FileServer.start(options(round)), {
    code: 'ERR_RINGWHEEL_INVALID_OPTION',
    message: /redirects\[1\] is \/a -> \/b -> \/c\/d -> \/a; allowed: rules from which a client comes to an end/,
  });
  await t.throwsAsync(
    FileServer.start(
      options([
        { from: '/a/*', to: '/b/a/:splat' },
        { from: '/b/*', to: '/a/:splat' },
      ]),
    ),
    { message: /redirects\[0\] is \/a\/x -> \/b\/a\/x -> / },
  );
  const chain = Array.from({ length: 19 }, (_, at) => ({ from: `/${at}`, to: `/${at + 1}` }));
  await t.notThrowsAsync(FileServer.check(options(chain)));
});
