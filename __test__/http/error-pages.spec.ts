// Pages of the site's own for what goes wrong: their status stays, and nothing that was asked of the missing file is asked of them.
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import test from 'ava';
import { FileServer } from '../../index';
import { bytesOf, Client, place, serverOf, siteOf } from '../support/http';
import { LOCALHOST } from '../support/secure';

const code = 'ERR_RINGWHEEL_INVALID_OPTION';
const errorPages = { 400: 'errors/bad.html', 404: 'errors/404.html', 405: 'errors/405.txt' };
const files = { 'errors/404.html': 'lost', 'errors/405.txt': 'method', 'errors/bad.html': 'bad', 'a.txt': 'a' };

test('a status has the page of the site, with its media type and its own status', async (t) => {
  const root = siteOf(t, files);
  const server = await serverOf(t, root, {
    errorPages,
    maxAge: 60,
    headers: { '**': { 'X-Frame-Options': 'DENY' }, '*.txt': { 'Cache-Control': 'max-age=5' } },
  });
  const client = await Client.connect(t, server.port);
  // The second and third come from the cache, and stay 404.
  for (const path of ['/none', '/none', '/no/ne?x', '/.env', '/a%2fb', '/errors']) {
    const reply = await client.get(
      path,
      'If-None-Match: *',
      'If-Modified-Since: Thu, 01 Jan 2060 00:00:00 GMT',
      'Range: bytes=0-0',
    );
    const field = (name: string) => reply.headers.get(name);
    if (path === '/errors') {
      t.is(reply.status, 301, 'a directory is no error');
      continue;
    }
    t.deepEqual([reply.status, reply.body.toString()], [404, 'lost'], path);
    t.is(field('content-type'), 'text/html; charset=utf-8');
    t.is(field('cache-control'), 'no-store');
    t.is(field('x-frame-options'), 'DENY');
    t.is(field('x-content-type-options'), 'nosniff');
    for (const name of ['etag', 'last-modified', 'accept-ranges', 'content-range']) t.is(field(name), undefined, name);
  }
  const method = await client.ask('POST', '/a.txt', 'Content-Length: 0');
  t.deepEqual([method.status, method.body.toString()], [405, 'method']);
  t.is(method.headers.get('allow'), 'GET, HEAD, OPTIONS');
  t.is(method.headers.get('cache-control'), 'max-age=5');
  t.is(method.headers.get('content-type'), 'text/plain; charset=utf-8');
  const head = await client.ask('HEAD', '/none');
  t.deepEqual([head.status, head.headers.get('content-length'), head.body.length], [404, '4', 0]);
  // Pipelined: each answer in its place, and the page itself is an ordinary file.
  client.send(
    ['/none', '/a.txt', '/errors/404.html'].map((path) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`).join(''),
  );
  for (const expected of ['404 lost', '200 a', '200 lost']) {
    const { status, body } = await client.reply();
    t.is(`${status} ${body}`, expected);
  }
  const bad = await client.get('/%zz');
  t.deepEqual([bad.status, bad.body.toString(), bad.headers.get('connection')], [400, 'bad', 'close']);
});

test('a page that changes is seen, and one that is missing is the server’s own', async (t) => {
  const root = siteOf(t, { 'errors/404.html/x': 'a directory' });
  const server = await serverOf(t, root, { errorPages, cache: { revalidateMs: 0 } });
  const client = await Client.connect(t, server.port);
  const seen = async () => {
    const { status, body } = await client.get('/none');
    return [status, body.toString().slice(0, 9)];
  };
  t.deepEqual(await seen(), [404, '<!doctype'], 'a directory is no page');
  rmSync(join(root, 'errors/404.html'), { recursive: true });
  place(root, 'errors/404.html', 'new');
  t.deepEqual(await seen(), [404, 'new']);
  place(root, 'errors/404.html', 'newer');
  t.deepEqual(await seen(), [404, 'newer']);
  rmSync(join(root, 'errors'), { recursive: true });
  t.deepEqual(await seen(), [404, '<!doctype']);
  t.is((await client.get('/errors/404.html')).status, 404, 'no loop');
});

test('a page larger than the cache takes is sent whole', async (t) => {
  const large = bytesOf(300_000);
  const root = siteOf(t, { '404.html': large });
  const server = await serverOf(t, root, { errorPages: { 404: '404.html' } });
  const client = await Client.connect(t, server.port);
  for (const _ of [1, 2]) {
    const reply = await client.get('/none');
    t.is(reply.status, 404);
    t.true(reply.body.equals(large));
  }
});

test('packed pages are sent by Accept-Encoding', async (t) => {
  const root = siteOf(t, { '404.html': 'lost', '404.html.gz': 'packed' });
  const server = await serverOf(t, root, { errorPages: { 404: '404.html' }, gzip: true });
  const client = await Client.connect(t, server.port);
  for (const _ of [1, 2]) {
    const plain = await client.get('/none');
    t.deepEqual([plain.status, plain.body.toString(), plain.headers.get('vary')], [404, 'lost', 'Accept-Encoding']);
    const packed = await client.get('/none', 'Accept-Encoding: gzip');
    t.deepEqual(
      [packed.status, packed.body.toString(), packed.headers.get('content-encoding')],
      [404, 'packed', 'gzip'],
    );
  }
});

test('names that clients make up fill no cache, and routes of an application are no errors', async (t) => {
  const root = siteOf(t, { ...files, 'index.html': 'app' });
  const server = await serverOf(t, root, { errorPages, single: true });
  const client = await Client.connect(t, server.port);
  t.is((await client.get('/0.js')).body.toString(), 'lost');
  t.is((await client.get('/0')).body.toString(), 'app');
  const { cacheEntries } = server.stats();
  for (let name = 1; name <= 50; name += 1) t.is((await client.get(`/${name}.js`)).status, 404);
  t.is(server.stats().cacheEntries, cacheEntries);
});

for (const secure of [false, true]) {
  test(`routes have them too: failed, too slow, too many, another method${secure ? ', over TLS' : ''}`, async (t) => {
    const large = bytesOf(300_000);
    const root = siteOf(t, { '500.html': 'oops', '503.html': large, '405.html': 'method', 'a.txt': 'a' });
    const server = await serverOf(t, root, {
      errorPages: { 405: '405.html', 500: '500.html', 503: '503.html' },
      limits: { routeTimeoutMs: 200, routeRequests: 1 },
      ...(secure ? { tls: LOCALHOST } : {}),
    });
    server.route('GET /fails', () => {
      throw new Error('expected');
    });
    server.route('GET /none', () => ({}) as Response);
    server.route('GET /waits', () => new Promise<Response>(() => {}));
    server.route('POST /a.txt', () => new Response('posted'));
    const ignored = () => {};
    subscribe('ringwheel:route:error', ignored);
    t.teardown(() => unsubscribe('ringwheel:route:error', ignored));
    const connected = async () => {
      if (!secure) return Client.connect(t, server.port);
      const socket = connectTls({ port: server.port, host: '127.0.0.1', rejectUnauthorized: false });
      t.teardown(() => socket.destroy());
      return Client.over(socket);
    };
    const client = await connected();
    for (const path of ['/fails', '/none']) {
      const { status, body, headers } = await client.get(path);
      t.deepEqual([status, body.toString(), headers.get('cache-control')], [500, 'oops', 'no-store'], path);
    }
    const head = await client.ask('HEAD', '/fails');
    t.deepEqual([head.status, head.headers.get('content-length'), head.body.length], [500, '4', 0]);
    const method = await client.ask('PUT', '/a.txt');
    t.deepEqual([method.status, method.body.toString()], [405, 'method']);
    t.is(method.headers.get('allow'), 'GET, HEAD, OPTIONS, POST');
    // Pipelined: each in its place.
    client.send(['/a.txt', '/fails', '/a.txt'].map((path) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`).join(''));
    for (const expected of ['200 a', '500 oops', '200 a']) {
      const { status, body } = await client.reply();
      t.is(`${status} ${body}`, expected);
    }
    client.send('GET /waits HTTP/1.1\r\nHost: a\r\n\r\n');
    const slow = await client.reply();
    t.deepEqual([slow.status, slow.headers.get('retry-after')], [503, '1']);
    t.true(slow.body.equals(large));
    t.deepEqual(server.stats().statuses, { 200: 2, 405: 1, 500: 4, 503: 1 });
  });
}

test('what is wrong with them is named', async (t) => {
  const root = siteOf(t, {});
  const refused = (pages: unknown, message: RegExp) =>
    t.throwsAsync(FileServer.start({ root, port: 0, cores: 1, errorPages: pages } as never), { code, message });
  await refused({ 402: 'a.html' }, /a key of errorPages must be one of '400'/);
  await refused({ 404: '../a.html' }, /errorPages\[404\] is "\.\.\/a\.html"; allowed: a file below the root/);
  await refused({ 404: '/a.html' }, /allowed: a file below the root/);
  await refused('404.html', /errorPages must be an object/);
});
