// Routes beside the rest of the server: the access log, sites, TLS with a password, very many at once, and a process that exits.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import test from 'ava';
import { RouteResponse } from '../../index';
import { script } from '../drivers';
import { main, Running } from '../support/command';
import { Client, serverOf, siteOf } from '../support/http';
import { LOCALHOST, secured } from '../support/secure';

/** Of `secret`, cost 5. */
const ANN = '$2y$05$R7kiDLAAWq9E6sCQD2LSCeGnHadUHANsKXsIbeeC2hByUafQM11sq';
const RIGHT = `Authorization: Basic ${Buffer.from('ann:secret').toString('base64')}`;

/** What the lines of a log in JSON say, once there are so many. */
async function logged(file: string, count: number) {
  for (let attempt = 0; ; attempt++) {
    const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : [];
    if (lines.length >= count || attempt > 1000) return lines.map((line) => JSON.parse(line));
    await wait(20);
  }
}

test('the access log has a line for each routed request: status, bytes of the body, time, user', async (t) => {
  const file = join(siteOf(t, {}), 'access.log');
  const server = await serverOf(t, siteOf(t, { a: 'file' }), {
    accessLog: { file, format: 'json' },
    basicAuth: { paths: ['/admin/'], users: { ann: ANN } },
    limits: { routeBodyBytes: 10 },
  });
  server.route('GET /whole', () => new RouteResponse('hello', { status: 201 }));
  server.route('GET /stream', () => {
    const pieces = ['one', 'two', 'three'];
    const pull = async (controller: ReadableStreamDefaultController) => {
      await wait(50);
      const piece = pieces.shift();
      if (piece === undefined) controller.close();
      else controller.enqueue(Buffer.from(piece));
    };
    return new Response(new ReadableStream({ pull }));
  });
  server.route('GET /empty', () => new RouteResponse(null, { status: 204 }));
  server.route('GET /wrong', () => ({ status: 999, headers: new Headers(), body: null }) as unknown as Response);
  server.route('POST /text', async (request) => new RouteResponse(await request.text()));
  server.route('GET /admin/me', () => new RouteResponse('ann'));
  const { error } = console;
  console.error = () => {};
  t.teardown(() => {
    console.error = error;
  });
  const line = (method: string, path: string, ...fields: string[]) =>
    [`${method} ${path} HTTP/1.1`, 'Host: t', ...fields, '', ''].join('\r\n');
  const client = await Client.connect(t, server.port);
  client.send(
    [
      line('GET', '/whole'),
      line('HEAD', '/whole'),
      line('GET', '/a'),
      line('GET', '/stream', 'User-Agent: spec', 'Referer: http://r/'),
      line('GET', '/empty'),
      line('GET', '/wrong'),
      `${line('POST', '/text', 'Content-Length: 4')}body`,
      line('DELETE', '/whole'),
      line('GET', '/admin/me'),
      line('GET', '/admin/me', RIGHT),
      line('POST', '/text', 'Content-Length: 11'),
    ].join(''),
  );
  await client.rest();
  // One that goes in the middle of a stream.
  let enqueue = (): void => {};
  server.route('GET /cut', () => {
    const start = (controller: ReadableStreamDefaultController) => {
      enqueue = () => controller.enqueue(Buffer.alloc(1000));
      enqueue();
    };
    return new Response(new ReadableStream({ start }));
  });
  const other = await Client.connect(t, server.port);
  other.send(line('GET', '/cut'));
  await new Promise((settle) => other.socket.once('data', settle));
  other.socket.resetAndDestroy();
  const found = await logged(file, 12);
  t.deepEqual(
    found.map(({ request, status, user }) => [request, status, user]),
    [
      ['GET /whole HTTP/1.1', 201, null],
      ['HEAD /whole HTTP/1.1', 201, null],
      ['GET /a HTTP/1.1', 200, null],
      ['GET /stream HTTP/1.1', 200, null],
      ['GET /empty HTTP/1.1', 204, null],
      ['GET /wrong HTTP/1.1', 500, null],
      ['POST /text HTTP/1.1', 200, null],
      ['DELETE /whole HTTP/1.1', 405, null],
      ['GET /admin/me HTTP/1.1', 401, null],
      ['GET /admin/me HTTP/1.1', 200, 'ann'],
      ['POST /text HTTP/1.1', 413, null],
      ['GET /cut HTTP/1.1', 200, null],
    ],
  );
  const bytes = found.map((each) => each.bytes);
  t.deepEqual([bytes[0], bytes[1], bytes[2], bytes[4], bytes[6], bytes[9]], [5, 0, 4, 0, 4, 3]);
  // Chunks with their framing: what went over the connection.
  t.true(bytes[3] >= 11 && bytes[3] <= 40, `${bytes[3]}`);
  t.true(bytes[5] > 0 && bytes[7] > 0 && bytes[11] >= 1000);
  t.true(found[3].durationUs >= 100_000, 'until the last piece');
  t.deepEqual([found[3].userAgent, found[3].referer], ['spec', 'http://r/']);
});

test('routes are on every site, with the fields, the origins and the passwords of each', async (t) => {
  const root = siteOf(t, { a: 'file' });
  const server = await serverOf(t, root, {
    headers: { '/r': { 'X-Site': 'first' } },
    sites: [
      { hosts: ['own.test'], root, headers: { '/r': { 'X-Site': 'own' } }, cors: { origins: ['http://o'] } },
      { hosts: ['guarded.test'], root, basicAuth: { users: { ann: ANN } } },
    ],
  });
  server.route('GET /r', (request) => new RouteResponse(new URL(request.url).hostname));
  const client = await Client.connect(t, server.port);
  const ask = async (host: string, ...fields: string[]) => {
    client.send([`GET /r HTTP/1.1`, `Host: ${host}`, ...fields, '', ''].join('\r\n'));
    const { status, headers, body } = await client.reply();
    return [
      status,
      status === 200 && body.toString(),
      headers.get('x-site'),
      headers.get('access-control-allow-origin'),
    ];
  };
  for (const _ of [1, 2]) {
    t.deepEqual(await ask('t'), [200, 't', 'first', undefined]);
    t.deepEqual(await ask('own.test'), [200, 'own.test', 'own', 'http://o']);
    t.deepEqual(await ask('OWN.test:80'), [200, 'own.test', 'own', 'http://o']);
    t.deepEqual(await ask('guarded.test'), [401, false, undefined, undefined]);
    t.deepEqual(await ask('guarded.test', RIGHT), [200, 'guarded.test', undefined, undefined]);
    // A name that only looks like that of a site does not pass for it in the handler either.
    t.deepEqual(await ask('guard%65d.test'), [200, '127.0.0.1', 'first', undefined]);
  }
});

test('over TLS a password is asked for before a route and before a file, and each request by its own', async (t) => {
  const options = { tls: LOCALHOST, basicAuth: { paths: ['/admin/'], users: { ann: ANN } } };
  const server = await serverOf(t, siteOf(t, { 'admin/file': 'file' }), options);
  server.route('/admin/route', (request) => new RouteResponse(request.url));
  const client = await secured(t, server.port);
  for (const _ of [1, 2]) {
    for (const path of ['/admin/file', '/admin/route', '/ADMIN/route', '/%61dmin/file']) {
      t.is((await client.get(path)).status, 401, path);
    }
    t.is((await client.get('/admin/file', RIGHT)).body.toString(), 'file');
    t.is((await client.get('/admin/route', RIGHT)).body.toString(), 'https://test/admin/route');
  }
  // What was found out about one request's password is not the next one's.
  const line = (path: string, ...fields: string[]) =>
    [`GET ${path} HTTP/1.1`, 'Host: t', ...fields, '', ''].join('\r\n');
  const wrong = `Authorization: Basic ${Buffer.from('ann:wrong').toString('base64')}`;
  client.send(
    ['/admin/route', '/admin/file'].flatMap((path) => [line(path, RIGHT), line(path, wrong), line(path)]).join(''),
  );
  const statuses = [];
  for (let nth = 0; nth < 6; nth++) statuses.push((await client.reply()).status);
  t.deepEqual(statuses, [200, 401, 401, 200, 401, 401]);
});

test('process.exit() in the middle of requests ends the process at once, with its code', async (t) => {
  const result = await script(`
    const { FileServer, RouteResponse } = ringwheel;
    const server = await FileServer.start({ root: __dirname, port: 0, cores: 2 });
    server.route('GET /wait', () => new Promise(() => {}));
    server.route('GET /stream', () => new Response(new ReadableStream({
      pull(controller) { controller.enqueue(new Uint8Array(65536)); },
    })));
    server.route('GET /exit', () => process.exit(42));
    const { connect } = require('node:net');
    for (const path of ['/wait', '/wait', '/stream', '/stream']) {
      connect(server.port, '127.0.0.1').on('error', () => {}).write('GET ' + path + ' HTTP/1.1\\r\\nHost: t\\r\\n\\r\\n');
    }
    while (server.stats().cores.reduce((sum, core) => sum + core.connections, 0) < 4) await sleep(5);
    connect(server.port, '127.0.0.1').on('error', () => {}).write('GET /exit HTTP/1.1\\r\\nHost: t\\r\\n\\r\\n');`);
  t.deepEqual([result.code, result.signal, result.stderr], [42, null, '']);
});

test.serial(
  'thousands of requests wait for their handlers at once in bounded memory, and all are answered',
  async (t) => {
    const count = 5000;
    const running = new Running(process.execPath, [
      '-e',
      `const { FileServer, RouteResponse } = require(${JSON.stringify(join(main, '../../../index.js'))});
    const rss = () => Math.round(process.memoryUsage().rss / 1024);
    FileServer.start({ root: __dirname, port: 0, cores: 1 }).then((server) => {
      const waiting = [];
      const before = rss();
      server.route('GET /:number', (_, { params }) => new Promise((settle) => {
        waiting.push(() => settle(new RouteResponse(params.number)));
        if (waiting.length === ${count}) {
          process.stderr.write('grew ' + (rss() - before) + ' KiB\\n');
          for (const answer of waiting) answer();
        }
      }));
      console.log(server.port);
    });`,
    ]);
    const port = Number(await running.line());
    const clients: Client[] = [];
    while (clients.length < count) {
      clients.push(...(await Promise.all(Array.from({ length: 100 }, () => Client.connect(t, port)))));
    }
    const answers = await Promise.all(
      clients.map(async (client, nth) => (await client.get(`/${nth}`)).body.toString()),
    );
    t.true(answers.every((answer, nth) => answer === `${nth}`));
    running.child.kill('SIGKILL');
    const grew = Number(/grew (\d+) KiB/.exec((await running.ended).stderr)?.[1]);
    // Some 10 KiB each: a connection, a request, a promise.
    t.true(grew / count < 30, `${grew} KiB for ${count}`);
  },
);
