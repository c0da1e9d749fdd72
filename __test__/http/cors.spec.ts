// CORS and security headers: what each origin is told, on every kind of answer, from the disk and from the cache.
import { gunzipSync } from 'node:zlib';
import test from 'ava';
import { FileServer, RouteResponse } from '../../index';
import { bytesOf, Client, type Reply, serverOf, siteOf } from '../support/http';

const A = 'https://a.example';
const B = 'http://localhost:3000';

const allowed = ({ headers }: Reply) => headers.get('access-control-allow-origin');

test('true lets everybody read every answer, and nothing varies', async (t) => {
  const root = siteOf(t, { 'a.txt': 'a', 'large.bin': bytesOf(100_000), 'dir/index.html': '' });
  const server = await serverOf(t, root, { cors: true });
  const client = await Client.connect(t, server.port);
  for (const origin of [[], [`Origin: ${A}`]]) {
    for (const _ of [1, 2]) {
      const reply = await client.get('/a.txt', ...origin);
      t.is(reply.status, 200);
      t.is(allowed(reply), '*');
      t.is(reply.headers.get('vary'), undefined);
      t.is(reply.headers.get('access-control-expose-headers'), 'Accept-Ranges, Content-Encoding, Content-Range, ETag');
      const tag = reply.headers.get('etag');
      for (const [path, status, ...fields] of [
        ['/large.bin', 200],
        ['/large.bin', 206, 'Range: bytes=0-9'],
        ['/a.txt', 206, 'Range: bytes=0-0'],
        ['/a.txt', 304, `If-None-Match: ${tag}`],
        ['/a.txt', 416, 'Range: bytes=9-'],
        ['/missing', 404],
        ['/dir', 301],
      ] as const) {
        const other = await client.get(path, ...origin, ...fields);
        t.is(other.status, status);
        t.is(allowed(other), '*', `${status} of ${path}`);
      }
    }
  }
});

test('one origin is named to everybody; of several each is told of itself alone', async (t) => {
  const root = siteOf(t, { 'a.txt': 'a' });
  const one = await Client.connect(t, (await serverOf(t, root, { cors: { origins: [A] } })).port);
  for (const fields of [[], [`Origin: ${A}`], [`Origin: ${B}`]]) {
    const reply = await one.get('/a.txt', ...fields);
    t.is(allowed(reply), A);
    t.is(reply.headers.get('vary'), undefined);
  }
  const server = await serverOf(t, root, {
    cors: { origins: [A, B], exposed: [], credentials: true, headers: ['X-A'] },
  });
  const client = await Client.connect(t, server.port);
  for (const _ of [1, 2]) {
    for (const [origin, expected] of [
      [undefined, undefined],
      [A, A],
      [B, B],
      ['https://evil.example', undefined],
      ['https://a.example.evil.example', undefined],
      ['https://A.example', undefined],
      ['null', undefined],
      ['', undefined],
      [`${A}, ${B}`, undefined],
    ]) {
      for (const path of ['/a.txt', '/missing']) {
        const reply = await client.get(path, ...(origin === undefined ? [] : [`Origin: ${origin}`]));
        t.is(allowed(reply), expected, `${origin} ${path}`);
        t.is(reply.headers.get('access-control-allow-credentials'), expected && 'true');
        t.is(reply.headers.get('access-control-expose-headers'), undefined);
        t.is(reply.headers.get('vary'), 'Origin');
      }
    }
    // Two fields are none.
    t.is(allowed(await client.get('/a.txt', `Origin: ${A}`, `Origin: ${A}`)), undefined);
  }
});

test('what a handler says of itself the server does not say again', async (t) => {
  const server = await serverOf(t, siteOf(t, {}), {
    cors: { origins: [A, B], credentials: true, exposed: ['X-A'], headers: ['X-A'] },
  });
  const said = new Map<string, Record<string, string>>([
    ['/nothing', {}],
    ['/exposed', { 'Access-Control-Expose-Headers': 'X-B' }],
    ['/all', { 'Access-Control-Allow-Origin': '*', Vary: 'Accept' }],
    ['/server', { Server: 'own' }],
  ]);
  for (const [path, headers] of said) server.route(`GET ${path}`, () => new RouteResponse('x', { headers }));
  const of = async (path: string, origin: string) => {
    const client = await Client.connect(t, server.port);
    client.send(`GET ${path} HTTP/1.1\r\nHost: t\r\nOrigin: ${origin}\r\nConnection: close\r\n\r\n`);
    const fields = (await client.rest())
      .toString('latin1')
      .split('\r\n')
      .map((line) => line.toLowerCase());
    return fields.filter((line) => /^(access-control|vary|server)/.test(line)).sort();
  };
  const [a, yes, vary] = [
    `access-control-allow-origin: ${A}`,
    'access-control-allow-credentials: true',
    'vary: origin',
  ];
  const exposed = (name: string) => `access-control-expose-headers: ${name}`;
  const ours = 'server: ringwheel';
  t.deepEqual(await of('/nothing', A), [yes, a, exposed('x-a'), ours, vary]);
  t.deepEqual(await of('/nothing', 'https://evil.example'), [ours, vary]);
  t.deepEqual(await of('/exposed', A), [yes, a, exposed('x-b'), ours, vary]);
  // Which origin may read is the handler's word, and credentials that go with another are not added to it.
  t.deepEqual(await of('/all', A), ['access-control-allow-origin: *', ours, 'vary: accept', vary]);
  t.deepEqual(await of('/server', B), [yes, `access-control-allow-origin: ${B}`, exposed('x-a'), 'server: own', vary]);
});

test('a page of the site for what goes wrong is readable like a file', async (t) => {
  const root = siteOf(t, { '404.html': '<p>gone</p>'.repeat(200) });
  const options = { errorPages: { 404: '404.html' }, compress: true, cors: { origins: [A, B] } };
  const client = await Client.connect(t, (await serverOf(t, root, options)).port);
  for (const _ of [1, 2]) {
    for (const fields of [[], ['Accept-Encoding: gzip']]) {
      const reply = await client.get('/missing', `Origin: ${A}`, ...fields);
      t.is(reply.status, 404);
      t.is(allowed(reply), A);
      const body = reply.headers.get('content-encoding') === 'gzip' ? gunzipSync(reply.body) : reply.body;
      t.is(body.toString(), '<p>gone</p>'.repeat(200));
    }
  }
});

test('a preflight learns what is allowed', async (t) => {
  const root = siteOf(t, { 'a.txt': 'a' });
  for (const [cors, headers, maxAge] of [
    [true, '*', undefined],
    [{ origins: [A, B], headers: ['X-A', 'Range'], maxAge: 600 }, 'X-A, Range', '600'],
    [{ headers: [] }, undefined, undefined],
  ] as const) {
    const server = await serverOf(t, root, { cors });
    const client = await Client.connect(t, server.port);
    for (const path of ['/a.txt', '/missing', '*']) {
      client.send(
        `OPTIONS ${path} HTTP/1.1\r\nHost: a\r\nOrigin: ${B}\r\nAccess-Control-Request-Method: GET\r\n` +
          'Access-Control-Request-Headers: x-a\r\n\r\n',
      );
      const reply = await client.reply();
      t.is(reply.status, 204);
      t.is(reply.headers.get('allow'), 'GET, HEAD, OPTIONS');
      t.is(reply.headers.get('access-control-allow-methods'), 'GET, HEAD');
      t.is(reply.headers.get('access-control-allow-headers'), headers);
      t.is(reply.headers.get('access-control-max-age'), maxAge);
      t.is(allowed(reply), typeof cors === 'object' && 'origins' in cors ? B : '*');
    }
  }
});

test('without it nothing is said; each site says its own', async (t) => {
  const root = siteOf(t, { 'a.txt': 'a' });
  const server = await serverOf(t, root, { sites: [{ hosts: ['open.example'], root, cors: true }] });
  const client = await Client.connect(t, server.port);
  t.is(allowed(await client.get('/a.txt', `Origin: ${A}`)), undefined);
  client.send(`GET /a.txt HTTP/1.1\r\nHost: open.example\r\nOrigin: ${A}\r\n\r\n`);
  t.is(allowed(await client.reply()), '*');
  client.send('OPTIONS /a.txt HTTP/1.1\r\nHost: a\r\n\r\n');
  t.is((await client.reply()).headers.get('access-control-allow-methods'), undefined);
});

test('security headers come with every file, and rules change them', async (t) => {
  const server = await serverOf(t, siteOf(t, { 'a.html': 'a', 'embed/a.html': 'a' }), {
    securityHeaders: true,
    headers: { '/embed/**': { 'X-Frame-Options': null, 'Referrer-Policy': 'no-referrer' } },
  });
  const client = await Client.connect(t, server.port);
  for (const _ of [1, 2]) {
    const { headers } = await client.get('/a.html');
    t.is(headers.get('x-frame-options'), 'SAMEORIGIN');
    t.is(headers.get('referrer-policy'), 'strict-origin-when-cross-origin');
    t.is(headers.get('cross-origin-opener-policy'), 'same-origin-allow-popups');
    t.is(headers.get('x-content-type-options'), 'nosniff');
    const embedded = (await client.get('/embed/a.html')).headers;
    t.is(embedded.get('x-frame-options'), undefined);
    t.is(embedded.get('referrer-policy'), 'no-referrer');
  }
});

test('what is said of every path is said with errors and redirects too, but for what is about content', async (t) => {
  const server = await serverOf(t, siteOf(t, { 'a.html': 'a', 'd/index.html': 'd' }), {
    securityHeaders: true,
    cors: { origins: [A, 'https://b.example'] },
    redirects: [{ from: '/old', to: '/a.html' }],
    headers: {
      '/**': { 'Strict-Transport-Security': 'max-age=60', 'Cache-Control': 'max-age=5', 'Content-Language': 'de' },
      '*.html': { 'X-Page': 'yes' },
    },
  });
  server.route('POST /api', () => new Response(''));
  const client = await Client.connect(t, server.port);
  for (const [method, path, status, ...lines] of [
    ['GET', '/none', 404],
    ['GET', '/none.html', 404],
    ['GET', '/d', 301],
    ['GET', '/old', 301, `Origin: ${A}`],
    ['POST', '/a.html', 405],
    ['PUT', '/api', 405],
    ['OPTIONS', '/a.html', 204],
    ['GET', '/a.html', 416, 'Range: bytes=9-'],
    ['GET', '/a.html', 412, 'If-Match: "x"'],
    ['GET', '/%zz', 400],
  ] as const) {
    const reply = await client.ask(method, path, ...lines);
    const fields = ['strict-transport-security', 'x-frame-options', 'cache-control', 'content-language', 'x-page'];
    t.deepEqual(
      [reply.status, ...fields.map((name) => reply.headers.get(name))],
      [status, 'max-age=60', 'SAMEORIGIN', undefined, undefined, undefined],
      `${method} ${path}`,
    );
  }
});

test('the options are checked', async (t) => {
  for (const [given, message] of [
    [{ cors: 'yes' }, /cors must be true or false, or an object/],
    [{ cors: { origins: ['*'] } }, /cors\.origins is "\*"; allowed: origins as browsers send them/],
    [{ cors: { credentials: true } }, /cors\.credentials is true/],
    [{ cors: { maxAge: -1 } }, /cors\.maxAge must be/],
    [{ cors: { origin: [A] } }, /cors\.origin.*origins/],
    [{ cors: true, headers: { '*': { 'Access-Control-Allow-Origin': '*' } } }, /beside cors/],
    [{ securityHeaders: 1 }, /securityHeaders must be true or false/],
  ] as const) {
    const options = { root: '.', port: 0, ...given } as unknown as Parameters<typeof FileServer.start>[0];
    await t.throwsAsync(FileServer.start(options), { code: 'ERR_RINGWHEEL_INVALID_OPTION', message });
  }
});
