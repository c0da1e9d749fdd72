// What one client may have: requests a second, connections, and bytes a second.
import { once } from 'node:events';
import { join } from 'node:path';
import test from 'ava';
import { FileServer, type FileServerOptions, RouteResponse } from '../../index';
import { bytesOf, Client, serverOf, siteOf } from '../support/http';
import { LOCALHOST, secure, secured } from '../support/secure';

const from = (address: string) =>
  `PROXY ${address.includes(':') ? 'TCP6' : 'TCP4'} ${address} ${address.includes(':') ? '::1' : '127.0.0.1'} 40000 80\r\n`;

test('a burst is answered, then 429 with a time; each request counts once, from whichever connection', async (t) => {
  const large = bytesOf(200_000);
  // One an hour, as good as: nothing comes back while the test runs.
  const root = siteOf(t, { a: 'hello', large });
  const server = await serverOf(t, root, {
    proxyProtocol: true,
    limits: { requestsPerClient: 1, burstPerClient: 1000 },
  });
  const one = await Client.connect(t, server.port);
  one.send(from('192.0.2.1'));
  // From the disk (twice looked at), the cache, a file, a 404, pipelined.
  for (const path of ['/a', '/a', '/large', '/missing']) await one.get(path);
  const request = 'GET /a HTTP/1.1\r\nHost: t\r\n\r\n';
  let ok = 0;
  let last: Awaited<ReturnType<Client['reply']>> | undefined;
  const refused = () => server.stats().statuses['429'] ?? 0;
  for (let nth = 0; nth < 20; nth++) {
    one.send(request.repeat(60));
    for (let each = 0; each < 60; each++) {
      last = await one.reply();
      if (last.status === 200) ok += 1;
    }
  }
  t.is(ok + refused(), 1200);
  // 996 are left of the burst; a busy machine gives some back, one a second.
  t.true(ok >= 996 && ok < 1150, String(ok));
  t.is(last?.status, 429);
  t.regex(last?.headers.get('retry-after') ?? '', /^[12]$/);
  const two = await Client.connect(t, server.port);
  two.send(from('192.0.2.2'));
  t.is((await two.get('/large')).body.length, 200_000);
  // Refused on the same connection, with and without a body to skip, and served again in its turn.
  t.is((await one.ask('HEAD', '/a')).status, 429);
  one.send('GET /a HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello');
  t.is((await one.reply()).status, 429);
  for (let attempt = 0; ; attempt++) {
    if ((await one.get('/a')).status === 200 || attempt > 500) break;
    await new Promise((settle) => setTimeout(settle, 50));
    t.true(attempt < 500);
  }
});

test('of IPv6 a /64 is one client', async (t) => {
  const server = await serverOf(t, siteOf(t, { a: '' }), {
    proxyProtocol: true,
    limits: { requestsPerClient: 1, burstPerClient: 1 },
  });
  const ask = async (address: string) => {
    const client = await Client.connect(t, server.port);
    client.send(from(address));
    return (await client.get('/a')).status;
  };
  const statuses = [];
  for (let nth = 0; nth < 20; nth++) statuses.push(await ask(`2001:db8::${nth + 1}`));
  t.true(statuses.includes(429));
  t.is(await ask('2001:db8:0:1::1'), 200);
  t.is(await ask('192.0.2.9'), 200);
});

test('one connection too many is told so and closed; the place is free again with the first that ends', async (t) => {
  const server = await serverOf(t, siteOf(t, { a: 'hello' }), { limits: { connectionsPerClient: 2 } });
  const [first, second] = [await Client.connect(t, server.port), await Client.connect(t, server.port)];
  t.is((await first.get('/a')).status, 200);
  t.is((await second.get('/a')).status, 200);
  const third = await Client.connect(t, server.port);
  t.regex(
    (await third.rest()).toString(),
    /^HTTP\/1\.1 429 Too Many Requests\r\n[\s\S]*Retry-After: 1\r\n[\s\S]*Connection: close\r\n/,
  );
  t.is(server.stats().shed, 1);
  t.is((await first.get('/a')).status, 200);
  first.socket.destroy();
  third.socket.destroy();
  while (server.stats().connections > 1) await new Promise((settle) => setTimeout(settle, 5));
  const fourth = await Client.connect(t, server.port);
  t.is((await fourth.get('/a')).status, 200);
});

test('bytes a second: never faster, whole and in order, from memory, files and in ranges', async (t) => {
  const small = bytesOf(60_000);
  const large = bytesOf(400_000);
  const server = await serverOf(t, siteOf(t, { small, large, a: 'hello' }), {
    limits: { bytesPerSecond: 400_000, bytesAtFullSpeed: 100_000 },
  });
  const client = await Client.connect(t, server.port);
  const start = performance.now();
  t.true((await client.get('/large')).body.equals(large));
  t.true((await client.get('/large', 'Range: bytes=1000-100999')).body.equals(large.subarray(1000, 101_000)));
  for (let nth = 0; nth < 3; nth++) t.true((await client.get('/small')).body.equals(small));
  t.is((await client.get('/a')).body.toString(), 'hello');
  // 680,000 bytes; what goes free: the first 100,000, and the last piece, which is waited for by who comes next.
  const seconds = (performance.now() - start) / 1000;
  t.true(seconds >= (680_000 - 100_000 - 100_000 - 60_000) / 400_000, `${seconds}`);
  // Others are not held up by it.
  const slow = await Client.connect(t, server.port);
  slow.send('GET /large HTTP/1.1\r\nHost: t\r\n\r\n');
  await once(slow.socket, 'data');
  const other = await Client.connect(t, server.port);
  t.is((await other.get('/a')).status, 200);
  // A close does not wait for the pace.
  const ending = performance.now();
  await server.close({ deadlineMs: 0 });
  t.true(performance.now() - ending < 5000);
});

/** How many of a hundred requests, sent at once, are refused. */
async function refusedOf(client: Client): Promise<number> {
  client.send('GET /a HTTP/1.1\r\nHost: t\r\n\r\n'.repeat(100));
  let refused = 0;
  for (let nth = 0; nth < 100; nth++) if ((await client.reply()).status === 429) refused++;
  return refused;
}

for (const proxyProtocol of [false, true]) {
  test(`limits that a reload brings hold for open connections too${proxyProtocol ? ', behind a proxy' : ''}`, async (t) => {
    const root = siteOf(t, { a: 'hello', large: bytesOf(400_000) });
    const options = { root, proxyProtocol };
    const server = await serverOf(t, root, { proxyProtocol });
    const open = async (address: string) => {
      const client = await Client.connect(t, server.port);
      if (proxyProtocol) client.send(from(address));
      t.is((await client.get('/a')).status, 200);
      return client;
    };
    const [one, again, other] = [await open('192.0.2.1'), await open('192.0.2.1'), await open('192.0.2.2')];
    await server.reload({ ...options, limits: { requestsPerClient: 1, burstPerClient: 60 } });
    const first = await refusedOf(one);
    t.true(first > 0 && first <= 40, `${first}`);
    // The same client has nothing left on its other connection; another client, as a proxy tells them apart, has all.
    t.true((await refusedOf(again)) > first);
    if (proxyProtocol) t.true((await refusedOf(other)) <= 40);
    await server.reload({ ...options, limits: { connectionsPerClient: 3 } });
    for (const client of [one, again, other]) t.is((await client.get('/a')).status, 200);
    if (proxyProtocol) t.is((await (await open('192.0.2.1')).get('/a')).status, 200);
    const late = await Client.connect(t, server.port);
    if (proxyProtocol) late.send(from('192.0.2.1'));
    t.regex((await late.rest()).toString('latin1'), /^HTTP\/1\.1 429 /);
    // 400,000 bytes, of which 100,000 and a last piece of as many go free.
    const begun = performance.now();
    await server.reload({ ...options, limits: { bytesPerSecond: 400_000, bytesAtFullSpeed: 100_000 } });
    t.is((await one.get('/large')).body.length, 400_000);
    t.is((await one.get('/a')).status, 200);
    t.true(performance.now() - begun > 500);
    // Half an hour would be left of this one.
    await server.reload({ ...options, limits: { bytesPerSecond: 1024 } });
    t.is((await other.get('/a')).status, 200);
    await server.reload(options);
    t.is((await other.get('/large')).body.length, 400_000);
  });
}

test('a client on a Unix socket has no address, and no limit of its own', async (t) => {
  const unix = join(siteOf(t, {}), 'socket');
  const limits = { requestsPerClient: 1, burstPerClient: 1, connectionsPerClient: 1 };
  await serverOf(t, siteOf(t, { a: 'hello' }), { unix, limits });
  for (const client of [await Client.connect(t, unix), await Client.connect(t, unix)]) t.is(await refusedOf(client), 0);
});

test('over TLS the same: requests, connections, bytes a second', async (t) => {
  const large = bytesOf(400_000);
  const root = siteOf(t, { a: 'hello', large });
  const client = await secure(t, root, { limits: { requestsPerClient: 1, burstPerClient: 60 } });
  const refused = await refusedOf(client);
  t.true(refused > 0 && refused <= 40, `${refused}`);
  const server = await serverOf(t, root, { tls: LOCALHOST, limits: { connectionsPerClient: 1 } });
  const first = await secured(t, server.port);
  t.is((await first.get('/a')).status, 200);
  // No handshake, so no page: the connection ends.
  const second = await Client.connect(t, server.port);
  t.is((await second.rest()).length, 0);
  t.is(server.stats().shed, 1);
  const slow = await secure(t, root, { limits: { bytesPerSecond: 400_000, bytesAtFullSpeed: 100_000 } });
  const begun = performance.now();
  t.true((await slow.get('/large')).body.equals(large));
  t.is((await slow.get('/a')).status, 200);
  t.true(performance.now() - begun > 500);
});

test('a request that waits for the disk or a handler counts once, and what is pipelined behind it counts too', async (t) => {
  const server = await serverOf(t, siteOf(t, { a: 'hello' }), {
    limits: { requestsPerClient: 1, burstPerClient: 600 },
  });
  server.route('GET /route', () => new RouteResponse('routed'));
  const client = await Client.connect(t, server.port);
  const each = ['/route', '/a', '/none'].map((path) => `GET ${path} HTTP/1.1\r\nHost: t\r\n\r\n`).join('');
  client.send(each.repeat(400));
  const statuses = [];
  for (let nth = 0; nth < 1200; nth++) statuses.push((await client.reply()).status);
  // A busy machine gives one back a second; of a kind that did not count there would be three hundred more.
  const first = statuses.indexOf(429);
  t.true(first >= 600 && first < 750, `${first}`);
});

test('the limits are checked', async (t) => {
  const root = siteOf(t, { a: '' });
  for (const [limits, message] of [
    [{ requestsPerClient: -1 }, /limits\.requestsPerClient must be/],
    [{ burstPerClient: 0 }, /limits\.burstPerClient must be/],
    [{ connectionsPerClient: 1.5 }, /limits\.connectionsPerClient must be/],
    [{ bytesPerSecond: 100 }, /limits\.bytesPerSecond is 100; allowed: 1024 to/],
    [{ requestPerClient: 1 }, /did you mean 'limits\.requestsPerClient'/],
  ] as const) {
    await t.throwsAsync(FileServer.check({ root, limits } as unknown as FileServerOptions), {
      code: 'ERR_RINGWHEEL_INVALID_OPTION',
      message,
    });
  }
});
