// The admin listener: what each path answers, to whom, and for how long.
import { get } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import { Registry } from 'prom-client';
import { FileServer } from '../../index';
import { collectMetrics } from '../../metrics';
import { Client, serverOf, siteOf } from '../support/http';

const started = async (t: Parameters<typeof serverOf>[0]) => {
  const server = await serverOf(t, siteOf(t, { 'a.txt': 'a' }), { admin: { port: 0 } });
  return { server, url: server.adminUrl as string };
};

test('each path answers what it is for, and nothing may be framed, guessed or kept', async (t) => {
  const { server, url } = await started(t);
  const client = await Client.connect(t, server.port);
  for (let round = 0; round < 65; round++) await client.get('/a.txt');
  const seen = async (path: string, init?: RequestInit) => {
    const answer = await fetch(`${url}${path}`, init);
    return {
      status: answer.status,
      type: answer.headers.get('content-type'),
      body: await answer.text(),
      headers: answer.headers,
    };
  };
  for (const path of ['/', '/metrics', '/healthz', '/readyz', '/stats.json', '/stats.json?x=1']) {
    const { status, headers, body } = await seen(path);
    t.is(status, 200, path);
    t.is(headers.get('cache-control'), 'no-store');
    t.is(headers.get('x-content-type-options'), 'nosniff');
    t.regex(headers.get('content-security-policy') ?? '', /^default-src 'none'; .*frame-ancestors 'none'$/);
    const head = await seen(path, { method: 'HEAD' });
    t.deepEqual([head.status, head.body], [200, '']);
    t.true(body.length > 0);
  }
  const metrics = await seen('/metrics');
  t.is(metrics.type, new Registry().contentType);
  t.regex(metrics.body, /^ringwheel_server_requests_total\{address="127\.0\.0\.1:\d+"\} 65$/m);
  t.regex(metrics.body, /^ringwheel_server_answer_seconds_count\{address="[^"]+"\} 2$/m);
  t.regex(metrics.body, /^ringwheel_server_core_requests_total\{address="[^"]+",core="0"\} 65$/m);
  const { stats, state, url: site } = JSON.parse((await seen('/stats.json')).body);
  t.deepEqual([stats.requests, state, site], [65, 'serving', server.url]);
  t.regex(
    (await seen('/')).headers.get('content-security-policy') ?? '',
    /script-src 'sha256-[^']+'; style-src 'sha256-/,
  );
  for (const path of ['/nothing', '/constructor', '/__proto__']) t.is((await seen(path)).status, 404, path);
  const post = await seen('/', { method: 'POST', body: 'x' });
  t.deepEqual([post.status, post.headers.get('allow')], [405, 'GET, HEAD']);
});

test('it is not ready from the call of close on, answers until the drain ends, and is gone then', async (t) => {
  const { server, url } = await started(t);
  const { port } = server;
  const socket = connect(port, '127.0.0.1');
  t.teardown(() => socket.destroy());
  await new Promise((settle) => socket.once('connect', settle));
  socket.write('GET /a.txt HTTP/1.1\r\n'); // A head under way: the drain waits for it.
  await new Promise((settle) => setTimeout(settle, 100));
  t.true(server.ready);
  const closing = server.close({ deadlineMs: 60_000 });
  const [ready, health] = await Promise.all(
    ['/readyz', '/healthz'].map(async (path) => (await fetch(url + path)).status),
  );
  t.false(server.ready);
  t.deepEqual([ready, health], [503, 200]);
  socket.write('Host: a\r\n\r\n');
  await closing;
  await t.throwsAsync(fetch(`${url}/healthz`));
});

test('where it cannot listen the server does not start, and leaves nothing', async (t) => {
  const { server, url } = await started(t);
  const port = Number(new URL(url).port);
  const root = siteOf(t, {});
  const error = await t.throwsAsync<NodeJS.ErrnoException & { port: number }>(
    FileServer.start({ root, port: 0, cores: 1, admin: { port } }),
  );
  t.deepEqual([error?.code, error?.port], ['EADDRINUSE', port]);
  t.is(server.stats().requests, 0);
  await t.throwsAsync(FileServer.start({ root, admin: {} as never }), {
    message: /admin\.port must be a whole number/,
  });
});

test('on loopback it answers to addresses and localhost, not to names that were made to point here', async (t) => {
  const { url } = await started(t);
  const status = (host: string) =>
    new Promise((settle, reject) => {
      get(`${url}/stats.json`, { headers: { host } }, (answer) => {
        answer.resume();
        settle(answer.statusCode);
      }).on('error', reject);
    });
  for (const host of ['127.0.0.1:9', 'localhost', 'LOCALHOST:9000', 'admin.localhost', '[::1]:9000', '10.0.0.5'])
    t.is(await status(host), 200, host);
  for (const host of ['evil.example', 'evil.example:9000', 'localhost.evil.example', '127.0.0.1.evil.example'])
    t.is(await status(host), 421, host);
});

test('a probe without a Host, as HTTP/1.0 lets it be, is answered: no browser sends one', async (t) => {
  const { url } = await started(t);
  const first = (text: string) =>
    new Promise<string>((settle, reject) => {
      const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write(text));
      socket.setEncoding('latin1').on('error', reject);
      socket.once('data', (answer: string) => {
        socket.destroy();
        settle(answer.slice(9, 12));
      });
    });
  t.is(await first('GET /readyz HTTP/1.0\r\n\r\n'), '200');
  t.is(await first('GET /readyz HTTP/1.0\r\nHost: evil.example\r\n\r\n'), '421');
  t.is(await first('GET /readyz HTTP/1.1\r\n\r\n'), '400');
});

test('a client that asks a thousand times in one breath gets a hundred answers of a few scrapes, and is cut off', async (t) => {
  const { server, url } = await started(t);
  let reads = 0;
  const stats = server.stats.bind(server);
  server.stats = () => {
    reads++;
    return stats();
  };
  const client = await Client.connect(t, Number(new URL(url).port));
  client.send('GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(1000));
  const answers = (await client.rest()).toString('latin1');
  t.is(answers.split('HTTP/1.1 200 OK').length - 1, 100);
  t.regex(answers, /\r\nConnection: close\r\n/);
  t.true(reads >= 1 && reads < 20, `${reads}`);
});

test('figures of one scrape are taken once, and a server on a Unix socket is told by its path', async (t) => {
  const unix = join(siteOf(t, {}), 'site.sock');
  const server = await FileServer.start({ root: siteOf(t, { 'a.txt': 'a' }), unix, cores: 1 });
  t.teardown(() => server.close({ deadlineMs: 0 }));
  let reads = 0;
  const stats = server.stats.bind(server);
  server.stats = () => {
    reads++;
    return stats();
  };
  const registry = new Registry();
  collectMetrics(registry, { servers: [server] });
  for (const scrape of [1, 2]) {
    const text = await registry.metrics();
    t.true(text.includes(`ringwheel_server_connections{address="unix:${unix}"} 0`));
    t.is(reads, scrape);
  }
});
