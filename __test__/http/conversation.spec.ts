// Conversations over a raw socket: what FileServer says to well-formed, odd and hostile clients.
import test from 'ava';
import { bytesOf, Client, serverOf, siteOf } from '../support/http';

test('a file, its headers, and the same again from the cache', async (t) => {
  const server = await serverOf(t, siteOf(t, { 'a.txt': 'hello' }), { maxAge: 60 });
  const client = await Client.connect(t, server.port);
  for (let round = 0; round < 3; round++) {
    const reply = await client.get('/a.txt');
    t.is(reply.status, 200);
    t.is(reply.body.toString(), 'hello');
    t.is(reply.headers.get('content-type'), 'text/plain; charset=utf-8');
    t.is(reply.headers.get('cache-control'), 'public, max-age=60');
    t.is(reply.headers.get('x-content-type-options'), 'nosniff');
    t.is(reply.headers.get('accept-ranges'), 'bytes');
    t.is(reply.headers.get('server'), 'ringwheel');
    t.regex(reply.headers.get('etag') ?? '', /^"[0-9a-f]+-[0-9a-f]+"$/);
    t.true(Math.abs(Date.parse(reply.headers.get('date') ?? '') - Date.now()) < 3000);
  }
  const { requests, cacheHits, loads, statuses } = server.stats();
  t.deepEqual({ requests, cacheHits, loads, statuses }, { requests: 3, cacheHits: 2, loads: 1, statuses: { 200: 3 } });
});

test('fetch, the usual client, gets files, redirects and pages', async (t) => {
  const server = await serverOf(t, siteOf(t, { 'index.html': '<p>root', 'dir/index.html': '<p>dir' }));
  t.is(await (await fetch(server.url)).text(), '<p>root');
  const moved = await fetch(`${server.url}/dir?x=1`);
  t.true(moved.redirected);
  t.is(moved.url, `${server.url}/dir/?x=1`);
  t.is(await moved.text(), '<p>dir');
  const missing = await fetch(`${server.url}/missing`);
  t.is(missing.status, 404);
  t.regex(await missing.text(), /<h1>404 Not Found<\/h1>/);
});

test('pipelined requests are answered in order, small, large, refused and partial', async (t) => {
  const large = bytesOf(2_500_000);
  const server = await serverOf(t, siteOf(t, { a: 'aaa', large }));
  const client = await Client.connect(t, server.port);
  const one = (path: string, lines = ''): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n${lines}\r\n`;
  client.send(
    [one('/a'), one('/large'), one('/none'), one('/a', 'Range: bytes=1-1\r\n'), one('/large'), one('/a')].join(''),
  );
  t.is((await client.reply()).body.toString(), 'aaa');
  t.true((await client.reply()).body.equals(large));
  t.is((await client.reply()).status, 404);
  t.is((await client.reply()).body.toString(), 'a');
  t.true((await client.reply()).body.equals(large));
  t.is((await client.reply()).body.toString(), 'aaa');
});

test('a request may come byte by byte', async (t) => {
  const server = await serverOf(t, siteOf(t, { a: 'slow' }));
  const client = await Client.connect(t, server.port);
  client.socket.setNoDelay(true);
  for (const byte of Buffer.from('GET /a HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n')) {
    client.send(Uint8Array.of(byte));
    await new Promise(setImmediate);
  }
  t.is((await client.reply()).body.toString(), 'slow');
});

test('HEAD is GET without the body; other methods are told what is allowed', async (t) => {
  const server = await serverOf(t, siteOf(t, { a: 'aaa' }));
  const client = await Client.connect(t, server.port);
  const head = await client.ask('HEAD', '/a');
  t.is(head.headers.get('content-length'), '3');
  const get = await client.get('/a');
  t.deepEqual([...head.headers.keys()], [...get.headers.keys()]);
  for (const method of ['POST', 'PUT', 'DELETE', 'TRACE']) {
    const reply = await client.ask(method, '/a');
    t.is(reply.status, 405, method);
    t.is(reply.headers.get('allow'), 'GET, HEAD, OPTIONS');
  }
  t.is((await client.ask('OPTIONS', '*')).status, 204);
});

test('the connection stays or ends as version and options say', async (t) => {
  const server = await serverOf(t, siteOf(t, { a: 'a' }));
  for (const [head, connection, stays] of [
    ['GET /a HTTP/1.1\r\nHost: a\r\n\r\n', undefined, true],
    ['GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', 'close', false],
    ['GET /a HTTP/1.0\r\n\r\n', 'close', false],
    ['GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n', 'keep-alive', true],
  ] as const) {
    const client = await Client.connect(t, server.port);
    const reply = await client.send(head).reply();
    t.is(reply.headers.get('connection'), connection, head);
    if (stays) t.is((await client.get('/a')).status, 200);
    else t.is((await client.rest()).length, 0);
  }
});

for (const [name, text, status] of [
  ['no request at all', 'nonsense\r\n\r\n', 400],
  ['no Host', 'GET /a HTTP/1.1\r\n\r\n', 400],
  ['two Hosts', 'GET /a HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n', 400],
  ['bare line feeds', 'GET /a HTTP/1.1\nHost: a\n\n', 400],
  ['a folded header', 'GET /a HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n', 400],
  ['a space before the colon', 'GET /a HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n', 400],
  ['both framings', 'GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n', 400],
  ['two lengths', 'GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n', 400],
  ['an unknown transfer coding', 'GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n', 501],
  ['an unknown expectation', 'GET /a HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n', 417],
  ['HTTP/2 without TLS', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505],
  ['a long target', `GET /${'a'.repeat(9000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 414],
  ['a long head', `GET /a HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(17_000)}\r\n\r\n`, 431],
  ['many headers', `GET /a HTTP/1.1\r\nHost: a\r\n${'X: y\r\n'.repeat(101)}\r\n`, 431],
] as const) {
  test(`${name}: ${status}, a page, and the end`, async (t) => {
    const server = await serverOf(t, siteOf(t, { a: 'a' }));
    const client = await Client.connect(t, server.port);
    t.is((await client.get('/a')).status, 200);
    const reply = await client.send(text).reply();
    t.is(reply.status, status);
    t.is(reply.headers.get('connection'), 'close');
    t.regex(reply.body.toString(), new RegExp(`<h1>${status} `));
    client.socket.end();
    t.is((await client.rest()).length, 0);
    t.is(server.stats().cut, 0);
  });
}

test('a request body is thrown away and the connection goes on', async (t) => {
  const server = await serverOf(t, siteOf(t, { a: 'a' }));
  const client = await Client.connect(t, server.port);
  client.send('GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\n').send(Buffer.alloc(30_000, 'G'));
  t.is((await client.reply()).status, 200);
  client.send('POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nGET ');
  t.is((await client.reply()).status, 405);
  t.is((await client.get('/a')).status, 200);
});
