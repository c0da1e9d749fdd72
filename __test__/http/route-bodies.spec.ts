// Bodies of routed requests and of their answers: every framing, both ways at once, with backpressure, limits and times.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect as connectTls } from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import { type FileServer, RouteResponse } from '../../index';
import { bytesOf, Client, serverOf, siteOf } from '../support/http';
import { LOCALHOST } from '../support/secure';

function post(path: string, ...lines: string[]): string {
  return [`POST ${path} HTTP/1.1`, 'Host: test', ...lines, '', ''].join('\r\n');
}

/** What a chunked body, all of it, is made of. */
function unchunked(text: Buffer): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; ; ) {
    const end = text.indexOf('\r\n', at);
    const size = Number.parseInt(text.toString('latin1', at, end), 16);
    if (size === 0) return Buffer.concat(pieces);
    pieces.push(text.subarray(end + 2, end + 2 + size));
    at = end + 4 + size;
  }
}

async function echoServer(t: ExecutionContext, options = {}): Promise<FileServer> {
  const server = await serverOf(t, siteOf(t, { 'a.txt': 'file' }), options);
  server.route('POST /text', async (request) => new RouteResponse(`<${await request.text()}>`));
  server.route('POST /echo', (request) => new Response(request.body));
  server.route('POST /ignore', () => new RouteResponse('ignored'));
  return server;
}

test('bodies of each framing are read, and the next request is where they end', async (t) => {
  const server = await echoServer(t);
  const client = await Client.connect(t, server.port);
  const chunked = '3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: x\r\n\r\n';
  const after = 'GET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n';
  client.send(
    `${post('/text', 'Content-Length: 5')}abcde${post('/text', 'Transfer-Encoding: chunked')}${chunked}${after}`,
  );
  t.is((await client.reply()).body.toString(), '<abcde>');
  t.is((await client.reply()).body.toString(), '<abcde>');
  t.is((await client.reply()).body.toString(), 'file');
  // Byte by byte.
  for (const byte of post('/text', 'Transfer-Encoding: chunked') + chunked + after) {
    client.send(byte);
    await new Promise((settle) => setImmediate(settle));
  }
  t.is((await client.reply()).body.toString(), '<abcde>');
  t.is((await client.reply()).body.toString(), 'file');
  client.send(`${post('/ignore', 'Content-Length: 5')}abcde${after}`);
  t.is((await client.reply()).body.toString(), 'ignored');
  t.is((await client.reply()).body.toString(), 'file');
});

test('request bodies have every shape that a Request has', async (t) => {
  const server = await serverOf(t, siteOf(t, {}));
  const shapes: Record<string, (request: Request) => Promise<unknown>> = {
    json: (request) => request.json(),
    bytes: async (request) => [...(await (request as Request & { bytes(): Promise<Uint8Array> }).bytes())],
    buffer: async (request) => (await request.arrayBuffer()).byteLength,
    blob: async (request) => [
      (await request.blob()).size,
      await Promise.resolve()
        .then(() => request.clone())
        .catch((error) => error.name),
    ],
    form: async (request) => Object.fromEntries(await request.formData()),
    clone: async (request) => [await request.clone().text(), await request.text(), request.bodyUsed],
    twice: async (request) => [await request.text(), await request.text().catch((error) => error.name)],
    stream: async (request) => {
      let length = 0;
      for await (const chunk of request.body as ReadableStream<Uint8Array>) length += chunk.byteLength;
      return [length, request.bodyUsed];
    },
    standard: async (request) => await new Request(request.clone()).text(),
  };
  for (const [name, shape] of Object.entries(shapes)) {
    server.route(`POST /${name}`, async (request) => RouteResponse.json(await shape(request)));
  }
  const ask = async (name: string, body: string, type = 'text/plain') => {
    const response = await fetch(`${server.url}/${name}`, { method: 'POST', body, headers: { 'content-type': type } });
    t.is(response.status, 200, name);
    return await response.json();
  };
  t.deepEqual(await ask('json', '{"a":1}'), { a: 1 });
  t.deepEqual(await ask('bytes', 'ab'), [97, 98]);
  t.is(await ask('buffer', 'abc'), 3);
  t.deepEqual(await ask('blob', 'abc'), [3, 'TypeError']);
  t.deepEqual(await ask('form', 'a=1&b=%20', 'application/x-www-form-urlencoded'), { a: '1', b: ' ' });
  t.deepEqual(await ask('clone', 'abc'), ['abc', 'abc', true]);
  t.deepEqual(await ask('twice', 'abc'), ['abc', 'TypeError']);
  t.deepEqual(await ask('stream', 'abc'), [3, true]);
  t.is(await ask('standard', 'abc'), 'abc');
});

for (const secure of [false, true]) {
  test(`megabytes go both ways at once${secure ? ' over TLS' : ''}`, async (t) => {
    const server = await echoServer(t, { limits: { routeBodyBytes: 2 ** 24 }, ...(secure ? { tls: LOCALHOST } : {}) });
    server.route('GET /url', (request) => new RouteResponse(request.url));
    const client = secure
      ? Client.over(
          connectTls({
            port: server.port,
            host: '127.0.0.1',
            ca: readFileSync(LOCALHOST.cert),
            servername: 'localhost',
          }),
        )
      : await Client.connect(t, server.port);
    t.teardown(() => client.socket.destroy());
    const body = bytesOf(8 << 20);
    client.send(post('/echo', `Content-Length: ${body.length}`)).send(body);
    client.send('GET /url HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n');
    const all = await client.rest();
    const start = all.indexOf('\r\n\r\n') + 4;
    t.true(all.toString('latin1', 0, start).includes('\r\nTransfer-Encoding: chunked\r\n'));
    const echoed = unchunked(all.subarray(start));
    const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
    t.is(hash(echoed), hash(body));
    t.true(all.toString('latin1').endsWith(`\r\n\r\n${secure ? 'https' : 'http'}://test/url`));
  });
}

test('a client that sends and does not read is held up, and so is the handler that answers it', async (t) => {
  const server = await echoServer(t, { limits: { routeBodyBytes: 2 ** 30 } });
  let pulled = 0;
  server.route('GET /endless', () => {
    const pull = (controller: ReadableStreamDefaultController) => {
      pulled++;
      controller.enqueue(new Uint8Array(65_536));
    };
    return new Response(new ReadableStream({ pull }));
  });
  const client = await Client.connect(t, server.port);
  client.socket.pause();
  client.send('GET /endless HTTP/1.1\r\nHost: test\r\n\r\n');
  let before = -1;
  while (pulled !== before || pulled === 0) {
    before = pulled;
    await new Promise((settle) => setTimeout(settle, 300));
  }
  t.true(pulled < 500, `${pulled} chunks of 64 KiB were pulled for nobody`);
  client.socket.destroy();
});

test('a body over the limit is 413, whether it says so or not, and the connection ends', async (t) => {
  const server = await echoServer(t, { limits: { routeBodyBytes: 1000 } });
  const whole = await Client.connect(t, server.port);
  whole.send(post('/text', 'Content-Length: 1000') + 'x'.repeat(1000));
  t.is((await whole.reply()).body.length, 1002);
  whole.send(post('/text', 'Content-Length: 1001') + 'x'.repeat(1001) + post('/text', 'Content-Length: 1'));
  const refused = (await whole.rest()).toString('latin1');
  t.regex(refused, /^HTTP\/1\.1 413 Content Too Large\r\n[\s\S]*\r\nConnection: close\r\n/);
  t.is(refused.split('HTTP/1.1').length, 2);
  const chunked = await Client.connect(t, server.port);
  chunked.send(
    `${post('/text', 'Transfer-Encoding: chunked')}${'64\r\n'.concat('x'.repeat(100), '\r\n').repeat(11)}0\r\n\r\n`,
  );
  t.regex((await chunked.rest()).toString('latin1'), /^HTTP\/1\.1 413 /);
});

test('a body that ends early says why, by a code', async (t) => {
  const server = await serverOf(t, siteOf(t, {}), { limits: { routeBodyBytes: 1000, sendTimeoutMs: 1000 } });
  let called = (): void => {};
  let tell: (why: unknown) => void = () => {};
  server.route('POST /read', async (request) => {
    called();
    await request.arrayBuffer().catch((error) => tell([error.code, error.message.replace(/^.*?: /, '')]));
    return new RouteResponse('');
  });
  let late: Request | undefined;
  server.route('POST /late', (request) => {
    late = request;
    return new RouteResponse('');
  });
  /** Why a body ends of which this comes once the handler was called. */
  const told = async (framing: string, then: string | undefined) => {
    const calling = new Promise<void>((settle) => {
      called = settle;
    });
    const telling = new Promise((settle) => {
      tell = settle;
    });
    const client = await Client.connect(t, server.port);
    client.send(post('/read', framing));
    await calling;
    if (then === undefined) client.socket.destroy();
    else client.send(then);
    return telling;
  };
  const chunked = 'Transfer-Encoding: chunked';
  t.deepEqual(await told(chunked, `3e9\r\n${'x'.repeat(1001)}\r\n`), [
    'ERR_RINGWHEEL_TOO_LARGE',
    'the client has got 413',
  ]);
  t.deepEqual(await told(chunked, 'x\r\n'), ['ERR_RINGWHEEL_CLOSED', 'the client sent what is no body']);
  t.deepEqual(await told('Content-Length: 9', undefined), ['ERR_RINGWHEEL_CLOSED', 'the client is gone']);
  t.deepEqual(await told('Content-Length: 9', 'abc'), ['ERR_RINGWHEEL_TIMEOUT', 'the client has got 408']);
  const client = await Client.connect(t, server.port);
  client.send(`${post('/late', 'Content-Length: 3')}abc`);
  await client.reply();
  await t.throwsAsync(late?.text() as Promise<string>, { code: 'ERR_RINGWHEEL_CLOSED', message: /answered before/ });
});

test('a broken chunk is 400, and nothing behind it is a request', async (t) => {
  const server = await echoServer(t);
  for (const body of ['5\nhello\r\n0\r\n\r\n', 'x\r\n', '5\r\nhelloX', '-1\r\n', '0\r\nbad field\r\n\r\n']) {
    const client = await Client.connect(t, server.port);
    client.send(`${post('/text', 'Transfer-Encoding: chunked')}${body}GET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n`);
    const answer = (await client.rest()).toString('latin1');
    t.regex(answer, /^HTTP\/1\.1 400 [\s\S]*\r\nConnection: close\r\n/, JSON.stringify(body));
    t.is(answer.split('HTTP/1.1').length, 2);
  }
  const both = await Client.connect(t, server.port);
  both.send(`${post('/text', 'Content-Length: 5', 'Transfer-Encoding: chunked')}0\r\n\r\n`);
  t.regex((await both.rest()).toString('latin1'), /^HTTP\/1\.1 400 /);
});

test('100 Continue is sent when the handler reads, and not before', async (t) => {
  const server = await echoServer(t);
  const reads = await Client.connect(t, server.port);
  reads.send(post('/text', 'Content-Length: 3', 'Expect: 100-continue'));
  t.is((await reads.reply(false)).status, 100);
  reads.send('abc');
  t.is((await reads.reply()).body.toString(), '<abc>');
  const ignored = await Client.connect(t, server.port);
  ignored.send(post('/ignore', 'Content-Length: 3', 'Expect: 100-continue'));
  const answer = (await ignored.rest()).toString('latin1');
  t.regex(answer, /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\nConnection: close\r\n[\s\S]*ignored$/);
});

test('answers without a body have none, and HTTP/1.0 has no chunks', async (t) => {
  const server = await serverOf(t, siteOf(t, {}));
  server.route('GET /204', () => new Response(null, { status: 204 }));
  server.route('GET /304', () => new RouteResponse(null, { status: 304, headers: { etag: '"a"' } }));
  server.route('GET /stream', () => {
    const chunks = ['one', 'two', 'three'];
    const pull = async (controller: ReadableStreamDefaultController) => {
      await new Promise((settle) => setTimeout(settle, 5));
      const chunk = chunks.shift();
      if (chunk === undefined) controller.close();
      else controller.enqueue(Buffer.from(chunk));
    };
    return new Response(new ReadableStream({ pull }));
  });
  const client = await Client.connect(t, server.port);
  for (const status of [204, 304]) {
    const reply = await client.get(`/${status}`);
    t.is(reply.status, status);
    t.false(reply.headers.has('content-length') || reply.headers.has('transfer-encoding'));
  }
  t.is((await client.ask('HEAD', '/stream')).status, 200);
  client.send('GET /stream HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n');
  const all = await client.rest();
  const framed = all.subarray(all.indexOf('\r\n\r\n') + 4);
  t.is(unchunked(framed).toString(), 'onetwothree');
  t.true(framed.toString('latin1').endsWith('three\r\n0\r\n\r\n'));
  const old = await Client.connect(t, server.port);
  const reply = (await old.send('GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n').rest()).toString('latin1');
  t.regex(reply, /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\nConnection: close\r\n\r\nonetwothree$/);
  t.false(reply.includes('chunked'));
});

test('a promised length is kept, or the connection is cut', async (t) => {
  const server = await serverOf(t, siteOf(t, {}));
  for (const [path, length] of [
    ['/right', 6],
    ['/less', 7],
    ['/more', 5],
  ] as const) {
    server.route(`GET ${path}`, () => {
      const chunks = ['abc', 'def'];
      const pull = async (controller: ReadableStreamDefaultController) => {
        await new Promise((settle) => setTimeout(settle, 5));
        const chunk = chunks.shift();
        if (chunk === undefined) controller.close();
        else controller.enqueue(Buffer.from(chunk));
      };
      return new Response(new ReadableStream({ pull }), { headers: { 'content-length': String(length) } });
    });
  }
  const right = await (await Client.connect(t, server.port)).get('/right');
  t.is(right.body.toString(), 'abcdef');
  for (const path of ['/less', '/more']) {
    const client = await Client.connect(t, server.port);
    const all = await client.send(`GET ${path} HTTP/1.1\r\nHost: test\r\n\r\n`).rest();
    const body = all.subarray(all.indexOf('\r\n\r\n') + 4);
    t.true(body.length < Number(/Content-Length: (\d)/.exec(all.toString('latin1'))?.[1]), path);
  }
});
