// Routes: requests that JavaScript answers, over raw connections, beside files.
import test from 'ava';
import { FileServer, RouteResponse } from '../../index';
import { Client, serverOf, siteOf } from '../support/http';
import { LOCALHOST, secured } from '../support/secure';

test('a route answers and files are served beside it', async (t) => {
  const server = await serverOf(t, siteOf(t, { 'a.txt': 'file', 'api/hello': 'shadowed' }));
  let calls = 0;
  server.route('GET /api/hello', async () => {
    calls++;
    return new Response('hello', { headers: { 'x-own': 'yes' } });
  });
  const client = await Client.connect(t, server.port);
  for (let round = 0; round < 3; round++) {
    const reply = await client.get('/api/hello?x=1');
    t.is(reply.status, 200);
    t.is(reply.body.toString(), 'hello');
    t.is(reply.headers.get('x-own'), 'yes');
    t.is(reply.headers.get('content-length'), '5');
    t.is(reply.headers.get('content-type'), 'text/plain;charset=UTF-8');
    t.is(reply.headers.get('x-content-type-options'), 'nosniff');
    t.is(reply.headers.get('server'), 'ringwheel');
    t.is((await client.get('/a.txt')).body.toString(), 'file');
  }
  t.is(calls, 3);
  t.is(server.stats().requests, 6);
  t.is(server.stats().statuses['200'], 6);
});

test('a request is what the client sent', async (t) => {
  const server = await serverOf(t, siteOf(t, {}));
  server.route('/r/:name/*', async (request, { params }) =>
    RouteResponse.json({
      method: request.method,
      url: request.url,
      agent: request.headers.get('user-agent'),
      twice: request.headers.get('x-twice'),
      params,
      is: request instanceof Request,
      text: await request.text(),
      used: request.bodyUsed,
    }),
  );
  const client = await Client.connect(t, server.port);
  const reply = await client.ask('PATCH', '/r/a%20b/c/%64?q=%20', 'User-Agent: me', 'X-Twice: 1', 'X-Twice: 2');
  t.deepEqual(JSON.parse(reply.body.toString()), {
    method: 'PATCH',
    url: 'http://test/r/a%20b/c/%64?q=%20',
    agent: 'me',
    twice: '1, 2',
    params: { name: 'a b', '*': 'c/%64' },
    is: true,
    text: '',
    used: false,
  });
});

test.serial('a client that has said everything and ends its side has all its answers', async (t) => {
  const { error } = console;
  console.error = () => {};
  t.teardown(() => {
    console.error = error;
  });
  const root = siteOf(t, { a: 'file' });
  const line = (path: string) => `GET ${path} HTTP/1.1\r\nHost: t\r\n\r\n`;
  const post = 'POST /text HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nbody';
  for (const [options, connect] of [
    [{}, Client.connect],
    [{ tls: LOCALHOST }, secured],
  ] as const) {
    const server = await serverOf(t, root, options);
    server.route('GET /r', () => new RouteResponse('routed'));
    server.route('GET /none', () => undefined as never);
    server.route('POST /text', async (request) => new RouteResponse(await request.text()));
    const client = await connect(t, server.port);
    client.send(line('/r') + post + line('/none') + line('/a') + line('/r'));
    client.socket.end();
    const answers = (await client.rest()).toString('latin1').split('HTTP/1.1 ').slice(1);
    t.deepEqual(
      answers.map((answer) => answer.slice(0, 3)),
      ['200', '200', '500', '200', '200'],
    );
    for (const answer of answers.slice(0, 4)) t.notRegex(answer, /connection: close/i);
  }
});

test('URLs are those of the URL standard', async (t) => {
  const server = await serverOf(t, siteOf(t, {}));
  server.route('/*', (request) => new RouteResponse(request.url));
  const client = await Client.connect(t, server.port);
  for (const [target, host, url] of [
    ['/', 'test', 'http://test/'],
    ['/a"b', 'Test', 'http://test/a%22b'],
    ['/x', 'test:80', 'http://test/x'],
    ['/x', 'test:081', 'http://test:81/x'],
    // A name that a URL writes otherwise is not that by which a site is chosen, and does not pass for it.
    ['/x', '0x7f.1', `http://127.0.0.1:${server.port}/x`],
    ['/x', 'intern%61l.example', `http://127.0.0.1:${server.port}/x`],
    ['http://intern%61l.example/x', 't', `http://127.0.0.1:${server.port}/x`],
    ['/x', '[0:0::1]', `http://127.0.0.1:${server.port}/x`],
    ['/x', 'xn--a', `http://127.0.0.1:${server.port}/x`],
    ['/x', '127.0.0.1:9', 'http://127.0.0.1:9/x'],
    ['/x', '1.2', `http://127.0.0.1:${server.port}/x`],
    ['/x', 'T.Example', 'http://t.example/x'],
    ['/.x/a.b', 'test', 'http://test/.x/a.b'],
    ['//evil/x', 'test', 'http://test//evil/x'],
    ['http://other/x?y', 'test', 'http://other/x?y'],
    ['/x', '[::1]:8', 'http://[::1]:8/x'],
    ['/x', 'a:65535', 'http://a:65535/x'],
    ['/x', 'a:65536', `http://127.0.0.1:${server.port}/x`],
    ['/x', 'a:b', `http://127.0.0.1:${server.port}/x`],
    ['/x', '%', `http://127.0.0.1:${server.port}/x`],
  ] as const) {
    client.send(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    t.is((await client.reply()).body.toString(), url, `${target} of ${host}`);
  }
});

test('a path means the same to the server, to params and to a URL', async (t) => {
  // Of `secret`, cost 5.
  const ann = '$2y$05$R7kiDLAAWq9E6sCQD2LSCeGnHadUHANsKXsIbeeC2hByUafQM11sq';
  const server = await serverOf(t, siteOf(t, {}), { basicAuth: { paths: ['/admin/'], users: { ann } } });
  server.route('/*', (request, { params }) => RouteResponse.json([new URL(request.url).pathname, params['*']]));
  // A page that refuses may end its connection: each has its own.
  const ask = async (target: string) => {
    const client = await Client.connect(t, server.port);
    client.send(`GET ${target} HTTP/1.1\r\nHost: t\r\n\r\n`);
    const { status, body } = await client.reply();
    return status === 200 ? JSON.parse(body.toString()) : status;
  };
  for (const [target, expected] of [
    ['/x\\..\\admin/s', 404],
    ['/admin\\s', 404],
    ['/\\admin/s', 404],
    ['/x/..\\admin/s', 404],
    ['/x/../admin/s', 400],
    ['/x/%2e%2e/admin/s', 400],
    ['/admin/s', 401],
    ['//admin/s', 401],
    ['http://t/admin/s', 401],
    ['http://t:99999/admin/s', 401],
    ['http://t\\admin/s', 400],
    ['http://u:p@t/zz', 400],
    ['http://t:99999/zz', ['/zz', 'zz']],
    ['HTTP://[::1]:9/z/', ['/z/', 'z']],
    ['http://t', ['/', '']],
    ['/%5cadmin%5Cs', ['/%5cadmin%5Cs', '%5cadmin%5Cs']],
    ['/a%2Fb?admin/../s', ['/a%2Fb', 'a%2Fb']],
  ] as const) {
    t.deepEqual(await ask(target), expected, target);
  }
});

test('methods: GET answers HEAD, others are 405, OPTIONS is the server`s', async (t) => {
  const server = await serverOf(t, siteOf(t, { form: 'a form' }), { cors: true });
  server.route('GET /get', () => new RouteResponse('12345'));
  server.route('GET /standard', () => new Response('12345'));
  server.route('POST,PUT /form', () => new RouteResponse('taken', { status: 201 }));
  server.route('/any', (request) => new RouteResponse(request.method));
  const client = await Client.connect(t, server.port);
  for (const path of ['/get', '/standard']) {
    const head = await client.ask('HEAD', path);
    t.is(head.status, 200);
    t.is(head.headers.get('content-length'), '5', path);
  }
  const refused = await client.ask('DELETE', '/get');
  t.is(refused.status, 405);
  t.is(refused.headers.get('allow'), 'GET, HEAD, OPTIONS');
  t.is((await client.ask('PATCH', '/form')).headers.get('allow'), 'GET, HEAD, OPTIONS, POST, PUT');
  t.is((await client.get('/form')).body.toString(), 'a form');
  t.is((await client.ask('POST', '/form')).status, 201);
  t.is((await client.ask('PURGE', '/any')).body.toString(), 'PURGE');
  // Without a name it is for all that a path is asked to do, not for what asks about the path.
  for (const [method, status] of [
    ['OPTIONS', 204],
    ['TRACE', 405],
  ] as const) {
    const { headers, ...reply } = await client.ask(method, '/any');
    t.deepEqual([reply.status, headers.get('allow')], [status, 'GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE']);
  }
  const preflight = await client.ask('OPTIONS', '/form', 'Origin: http://a', 'Access-Control-Request-Method: PUT');
  t.is(preflight.status, 204);
  t.is(preflight.headers.get('access-control-allow-methods'), 'GET, HEAD, OPTIONS, POST, PUT');
  t.is((await client.ask('POST', '/form')).headers.get('access-control-allow-origin'), '*');
});

test('pipelined requests are answered in their order', async (t) => {
  const server = await serverOf(t, siteOf(t, { 'a.txt': 'file' }));
  let release = (): void => {};
  const gate = new Promise<void>((settle) => {
    release = settle;
  });
  server.route('GET /slow', async () => {
    await gate;
    return new RouteResponse('slow');
  });
  server.route('GET /fast', () => {
    release();
    return new RouteResponse('fast');
  });
  const client = await Client.connect(t, server.port);
  const line = (path: string) => `GET ${path} HTTP/1.1\r\nHost: test\r\n\r\n`;
  client.send(line('/a.txt') + line('/slow') + line('/a.txt') + line('/slow'));
  t.is((await client.reply()).body.toString(), 'file');
  const other = await Client.connect(t, server.port);
  t.is((await other.get('/fast')).body.toString(), 'fast');
  for (const body of ['slow', 'file', 'slow']) t.is((await client.reply()).body.toString(), body);
});

test('what fails is a 500, told on the channel, and the connection goes on', async (t) => {
  const { subscribe, unsubscribe } = await import('node:diagnostics_channel');
  const told: { error: unknown; method: string; url: string }[] = [];
  const listen = (message: unknown): void => {
    told.push(message as (typeof told)[0]);
  };
  subscribe('ringwheel:route:error', listen);
  t.teardown(() => unsubscribe('ringwheel:route:error', listen));
  const server = await serverOf(t, siteOf(t, {}));
  const wrong = new Map<string, () => unknown>([
    [
      '/throws',
      () => {
        throw new Error('thrown');
      },
    ],
    ['/rejects', () => Promise.reject(new Error('rejected'))],
    ['/nothing', () => undefined],
    ['/text', () => 'text'],
    ['/null', () => null],
    ['/error', () => Response.error()],
    [
      '/read',
      async () => {
        const response = new Response('x');
        await response.text();
        return response;
      },
    ],
    [
      '/breaks',
      () => new Response(new ReadableStream({ start: (controller) => controller.error(new Error('broken')) })),
    ],
    ['/chunk', () => new Response(new ReadableStream({ start: (controller) => controller.enqueue('text') }))],
    ['/injects', () => ({ status: 200, headers: [['a', 'b\r\nSet-Cookie: c']], body: null, bodyUsed: false })],
  ]);
  for (const [path, handler] of wrong) server.route(path, handler as () => Response);
  const client = await Client.connect(t, server.port);
  for (const path of wrong.keys()) {
    const reply = await client.get(path);
    t.is(reply.status, 500, path);
    t.false(reply.headers.has('set-cookie'));
  }
  t.deepEqual(
    told.map(({ url }) => new URL(url).pathname),
    [...wrong.keys()],
  );
  t.true(told.every(({ error, method }) => error instanceof Error && method === 'GET'));
});

test('every status that a handler chooses is counted under its number', async (t) => {
  const server = await serverOf(t, siteOf(t, {}));
  server.route('GET /:status', (_, { params }) => new RouteResponse(null, { status: Number(params.status) }));
  const client = await Client.connect(t, server.port);
  const all = ['201', '205', '299', '418', '502', '599'];
  for (const status of [...all, '200', '201']) t.is((await client.get(`/${status}`)).status, Number(status));
  const expected = { ...Object.fromEntries(all.map((status) => [status, 1])), 200: 1, 201: 2 };
  t.deepEqual(server.stats().statuses, expected);
});

test('an answer with a status that has no body is refused as the standard class refuses it', (t) => {
  for (const status of [204, 205, 304]) {
    for (const Class of [Response, RouteResponse]) {
      for (const make of [
        () => Class.json({}, { status }),
        () => Class.json({}, { status, headers: { a: 'b' } }),
        () => new Class('', { status }),
        () => new Class(new Uint8Array(), { status }),
        () => new Class(new ReadableStream(), { status }),
      ]) {
        t.throws(make, { instanceOf: TypeError }, `${status}`);
      }
      t.is(new Class(null, { status }).status, status);
      t.is(new Class(undefined, { status }).status, status);
    }
  }
});

test('fields of the connection are not a handler`s', async (t) => {
  const server = await serverOf(t, siteOf(t, {}), {
    headers: { '/api/**': { 'X-Rule': 'rule', 'x-own': 'rule' } },
    securityHeaders: true,
  });
  const headers = {
    Connection: 'close',
    'Content-Length': '99',
    'Transfer-Encoding': 'chunked',
    'Keep-Alive': 'x',
    'X-Own': 'own',
  };
  server.route('GET /api/a', () => new RouteResponse('12345', { headers }));
  const client = await Client.connect(t, server.port);
  for (let round = 0; round < 2; round++) {
    const reply = await client.get('/api/a');
    t.is(reply.body.toString(), '12345');
    for (const name of ['connection', 'transfer-encoding', 'keep-alive']) t.false(reply.headers.has(name), name);
    t.is(reply.headers.get('x-own'), 'own');
    t.is(reply.headers.get('x-rule'), 'rule');
    t.is(reply.headers.get('x-frame-options'), 'SAMEORIGIN');
  }
});

test('routes are refused that are none', async (t) => {
  const server = await serverOf(t, siteOf(t, {}));
  const handler = () => new RouteResponse();
  server.route('GET /a/:b', handler);
  for (const pattern of ['', 'a', 'get /a', 'GET /a/:c', '/a/*/b', '/:a/:a', 7]) {
    const error = t.throws(() => server.route(pattern as string, handler), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
    t.regex(error?.message ?? '', /^server\.route: /);
  }
  t.throws(() => server.route('/b', 'text' as never), {
    code: 'ERR_RINGWHEEL_INVALID_OPTION',
    message: /must be a function/,
  });
  await server.close({ deadlineMs: 0 });
  t.throws(() => server.route('/b', handler), { code: 'ERR_RINGWHEEL_CLOSED' });
});

test('limits of routes are checked', async (t) => {
  const root = siteOf(t, {});
  for (const limits of [
    { routeBodyBytes: -1 },
    { routeRequests: 0 },
    { routeTimeoutMs: 9 },
    { routeBodyBytes: 2 ** 41 },
  ]) {
    await t.throwsAsync(FileServer.start({ root, port: 0, limits }), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
  }
  const { limits } = await FileServer.check({ root, limits: { routeRequests: 5 } });
  t.like(limits, { routeBodyBytes: 2 ** 20, routeRequests: 5, routeTimeoutMs: 60_000 });
});
