// What one client may have: requests a second, connections, and bytes a second.
import { once } from 'node:events';
import test from 'ava';
import { FileServer, type FileServerOptions } from '../../index';
import { bytesOf, Client, serverOf, siteOf } from '../support/http';

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
