// Clients that trusted proxies name: in the log, in limits and in routes; and nobody believes who is not trusted.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { FileServer, type FileServerOptions, RouteResponse } from '../../index';
import { Client, serverOf, siteOf } from '../support/http';
import { LOCALHOST, secured } from '../support/secure';

const FROM = (address: string) => `X-Forwarded-For: ${address}`;

/** A server with a log, and how to close it and read the clients in that. */
async function logged(t: ExecutionContext, options: Partial<FileServerOptions>) {
  const file = join(siteOf(t, {}), 'access.log');
  const accessLog = { file, format: 'json' as const };
  const server = await serverOf(t, siteOf(t, { a: 'hello' }), { ...options, accessLog });
  const clients = async () => {
    await server.close();
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    return lines.map((line) => {
      const { client, status } = JSON.parse(line);
      return [client, status];
    });
  };
  return { server, file, accessLog, clients };
}

/** What a route says about who asks. */
const whoAsks = (request: Request, { remoteAddress }: { remoteAddress: string | undefined }) =>
  new RouteResponse(`${remoteAddress} ${request.url}`);

test('each request of a trusted proxy has its own client in the log, cached, pipelined, refused or routed', async (t) => {
  const { server, clients } = await logged(t, { trustProxy: ['loopback', '198.51.100.0/24'] });
  server.route('GET /who', whoAsks);
  const proxy = await Client.connect(t, server.port);
  const get = (...fields: string[]) => `${['GET /a HTTP/1.1', 'Host: t', ...fields, '', ''].join('\r\n')}`;
  for (let nth = 0; nth < 2; nth++) t.is((await proxy.get('/a', FROM('192.0.2.1'))).status, 200);
  proxy.send(get(FROM('192.0.2.2')) + get() + get(FROM('203.0.113.66, 192.0.2.3, 198.51.100.7')));
  for (let nth = 0; nth < 3; nth++) t.is((await proxy.reply()).body.toString(), 'hello');
  const etag = (await proxy.get('/a', 'Forwarded: for="[2001:db8::1]:4711";proto=https')).headers.get('etag');
  t.is((await proxy.get('/a', `If-None-Match: ${etag}`, FROM('192.0.2.4'))).status, 304);
  t.is((await proxy.ask('HEAD', '/a', FROM('192.0.2.5'))).status, 200);
  t.is((await proxy.get('/a', 'Range: bytes=1-2', FROM('192.0.2.6'))).body.toString(), 'el');
  t.is((await proxy.get('/none', FROM('192.0.2.7'))).status, 404);
  const who = await proxy.get('/who', FROM('192.0.2.8'), 'X-Forwarded-Proto: https');
  t.is(who.body.toString(), '192.0.2.8 https://test/who');
  t.is((await proxy.get('/who', FROM('what'))).body.toString(), '127.0.0.1 http://test/who');
  proxy.send(`GET /a HTTP/1.1\r\n${FROM('192.0.2.9')}\r\n\r\n`); // Without a Host.
  t.is((await proxy.reply()).status, 400);
  const cut = await Client.connect(t, server.port);
  cut.send(`GET /a\tHTTP/1.1\r\n${FROM('192.0.2.1')}`); // Perhaps 192.0.2.10: a head that does not end says nothing.
  t.is((await cut.reply()).status, 400);
  t.deepEqual(await clients(), [
    ['192.0.2.1', 200],
    ['192.0.2.1', 200],
    ['192.0.2.2', 200],
    ['127.0.0.1', 200],
    ['192.0.2.3', 200],
    ['2001:db8::1', 200],
    ['192.0.2.4', 304],
    ['192.0.2.5', 200],
    ['192.0.2.6', 206],
    ['192.0.2.7', 404],
    ['192.0.2.8', 200],
    ['127.0.0.1', 200],
    ['192.0.2.9', 400],
    ['127.0.0.1', 400],
  ]);
});

test('who is not trusted names nobody, and without the option nobody does', async (t) => {
  for (const trustProxy of [undefined, [], ['10.0.0.0/8', '127.0.0.2', '::1']]) {
    const { server, clients } = await logged(t, {
      ...(trustProxy === undefined ? {} : { trustProxy }),
      limits: { requestsPerClient: 1, burstPerClient: 3 },
    });
    server.route('GET /who', whoAsks);
    const client = await Client.connect(t, server.port);
    const who = await client.get('/who', FROM('192.0.2.1'), 'Forwarded: for=192.0.2.1', 'X-Forwarded-Proto: https');
    t.is(who.body.toString(), '127.0.0.1 http://test/who');
    const statuses = new Set<number>();
    for (let nth = 0; nth < 40; nth++) statuses.add((await client.get('/a', FROM(`192.0.2.${nth}`))).status);
    t.true(statuses.has(429), 'another address in each request is one client all the same');
    t.true((await clients()).every(([address]) => address === '127.0.0.1'));
  }
});

test('requests are counted for the client that is named; connections of the proxy are not one client’s', async (t) => {
  const limits = { requestsPerClient: 1, burstPerClient: 2, connectionsPerClient: 1 };
  const server = await serverOf(t, siteOf(t, { a: 'hello' }), { trustProxy: ['127.0.0.1'], limits });
  const proxies = [];
  for (let nth = 0; nth < 3; nth++) proxies.push(await Client.connect(t, server.port));
  for (let nth = 0; nth < 60; nth++) {
    const proxy = proxies[nth % 3] as Client;
    t.is((await proxy.get('/a', FROM(`198.51.100.${nth}`))).status, 200);
  }
  const statuses = new Set<number>();
  for (let nth = 0; nth < 40; nth++) {
    const proxy = proxies[nth % 3] as Client;
    // What the client puts in front itself makes it no other.
    statuses.add((await proxy.get('/a', FROM(`203.0.113.${nth}, 192.0.2.1`))).status);
  }
  t.true(statuses.has(429));
});

test('behind the PROXY protocol its source is asked, over TLS and with sites too', async (t) => {
  const root = siteOf(t, { a: 'hello' });
  const { server, clients } = await logged(t, {
    proxyProtocol: true,
    trustProxy: ['192.0.2.1', '2001:db8::/32'],
    sites: [{ hosts: ['other.example'], root }],
  });
  server.route('GET /who', whoAsks);
  for (const source of ['192.0.2.1', '192.0.2.2', '::ffff:192.0.2.1', '2001:db8::7']) {
    const [family, own] = source.includes(':') ? ['TCP6', '::1'] : ['TCP4', '198.51.100.1'];
    const client = await Client.connect(t, server.port);
    client.send(`PROXY ${family} ${source} ${own} 40000 80\r\n`);
    client.send(`GET /a HTTP/1.1\r\nHost: other.example\r\n${FROM('203.0.113.9')}\r\n\r\n`);
    t.is((await client.reply()).status, 200);
  }
  t.deepEqual(
    (await clients()).map(([client]) => client),
    ['203.0.113.9', '192.0.2.2', '203.0.113.9', '203.0.113.9'],
  );
  const over = await serverOf(t, root, { tls: LOCALHOST, trustProxy: ['loopback'] });
  over.route('GET /who', whoAsks);
  const client = await secured(t, over.port);
  const who = await client.get('/who', FROM('203.0.113.9'), 'X-Forwarded-Proto: http');
  t.is(who.body.toString(), '203.0.113.9 https://test/who', 'the connection’s own scheme stays');
});

test('a Unix socket is of this machine', async (t) => {
  for (const trustProxy of [['loopback'], ['private']]) {
    const unix = join(siteOf(t, {}), 'socket');
    const { server, clients } = await logged(t, { unix, trustProxy });
    server.route('GET /who', whoAsks);
    const client = await Client.connect(t, unix);
    const isTrusted = trustProxy[0] === 'loopback';
    const named = (await client.get('/who', FROM('203.0.113.9'))).body.toString().split(' ')[0];
    t.is(named, isTrusted ? '203.0.113.9' : 'undefined');
    t.is((await client.get('/who')).body.toString().split(' ')[0], 'undefined');
    t.deepEqual(await clients(), [
      [isTrusted ? '203.0.113.9' : '-', 200],
      ['-', 200],
    ]);
  }
});

test('a reload changes who is trusted, for open connections too', async (t) => {
  const root = siteOf(t, { a: 'hello' });
  const server = await serverOf(t, root);
  server.route('GET /who', whoAsks);
  const client = await Client.connect(t, server.port);
  const named = async () => (await client.get('/who', FROM('203.0.113.9'), 'X-Forwarded-Proto: https')).body.toString();
  t.is(await named(), '127.0.0.1 http://test/who');
  await server.reload({ root, trustProxy: ['loopback'] });
  t.is(await named(), '203.0.113.9 https://test/who');
  await server.reload({ root });
  t.is(await named(), '127.0.0.1 http://test/who');
});

test('what is no address, network or name is refused with what there is', async (t) => {
  const root = siteOf(t, {});
  for (const entry of ['all', '10.0.0.1/8', '10.0.0.0/33', 'localhost', '[::1]', '10.*']) {
    await t.throwsAsync(FileServer.start({ root, port: 0, trustProxy: ['loopback', entry] }), {
      code: 'ERR_RINGWHEEL_INVALID_OPTION',
      message: /trustProxy.*"loopback", "private", an address, or a network/,
    });
  }
  for (const wrong of ['loopback', true, [1], Array.from({ length: 101 }, () => '::1')]) {
    await t.throwsAsync(FileServer.start({ root, port: 0, trustProxy: wrong as never }), {
      code: 'ERR_RINGWHEEL_INVALID_OPTION',
      message: /trustProxy/,
    });
  }
});
