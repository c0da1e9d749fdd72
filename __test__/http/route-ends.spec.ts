// How routed requests end otherwise: too many, too slow, clients and servers and threads that go, passwords, many sites.
import { once } from 'node:events';
import { inspect } from 'node:util';
import { Worker } from 'node:worker_threads';
import test from 'ava';
import { FileServer, RouteResponse } from '../../index';
import { Client, serverOf, siteOf } from '../support/http';

/** A promise and what settles it. */
function gate(): { wait: Promise<void>; open: () => void } {
  let open = (): void => {};
  const wait = new Promise<void>((settle) => {
    open = settle;
  });
  return { wait, open };
}

test('more requests than may wait are 503, and those that wait are answered', async (t) => {
  const server = await serverOf(t, siteOf(t, {}), { limits: { routeRequests: 3 } });
  const { wait, open } = gate();
  let waiting = 0;
  const three = gate();
  server.route('GET /wait', async () => {
    if (++waiting === 3) three.open();
    await wait;
    return new RouteResponse('waited');
  });
  const clients = await Promise.all([1, 2, 3, 4].map(() => Client.connect(t, server.port)));
  const [last, ...first] = clients as [Client, ...Client[]];
  const replies = first.map((client) => client.get('/wait'));
  await three.wait;
  const refused = await last.get('/wait');
  t.is(refused.status, 503);
  t.is(refused.headers.get('retry-after'), '1');
  open();
  for (const reply of await Promise.all(replies)) t.is(reply.body.toString(), 'waited');
  const again = await Client.connect(t, server.port);
  t.is((await again.get('/wait')).status, 200);
});

test('thousands at once are all answered', async (t) => {
  const server = await serverOf(t, siteOf(t, {}));
  server.route('GET /:number', async (_, { params }) => {
    await new Promise((settle) => setImmediate(settle));
    return new RouteResponse(params.number as string);
  });
  const clients = await Promise.all(Array.from({ length: 100 }, () => Client.connect(t, server.port)));
  const answers = clients.map(async (client, index) => {
    const numbers = Array.from({ length: 100 }, (_, each) => `${index}-${each}`);
    client.send(numbers.map((number) => `GET /${number} HTTP/1.1\r\nHost: test\r\n\r\n`).join(''));
    for (const number of numbers) if ((await client.reply()).body.toString() !== number) return false;
    return true;
  });
  t.true((await Promise.all(answers)).every(Boolean));
  t.is(server.stats().requests, 10_000);
});

test('a handler that does not answer in time is a 503, and its answer later is nobody`s', async (t) => {
  const server = await serverOf(t, siteOf(t, {}), { limits: { routeTimeoutMs: 50 } });
  const { wait, open } = gate();
  const aborted = gate();
  let calls = 0;
  server.route('GET /late', async (request) => {
    calls++;
    request.signal.addEventListener('abort', aborted.open);
    await wait;
    return new RouteResponse('late');
  });
  server.route('GET /now', () => new RouteResponse('now'));
  // On a busy machine the time may be over before the handler is called at all: then nobody calls it any more.
  do t.is((await (await Client.connect(t, server.port)).get('/late')).status, 503);
  while (calls === 0);
  await aborted.wait;
  open();
  const other = await Client.connect(t, server.port);
  // A busy machine may need longer than that for any handler.
  let reply = await other.get('/now');
  while (reply.status === 503) reply = await (await Client.connect(t, server.port)).get('/now');
  t.is(reply.body.toString(), 'now');
});

test.serial('a client that does not send its body is a 408', async (t) => {
  const server = await serverOf(t, siteOf(t, {}), { limits: { sendTimeoutMs: 100 } });
  server.route('POST /text', async (request) => new RouteResponse(await request.text()));
  const client = await Client.connect(t, server.port);
  client.send('POST /text HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nab');
  const { error } = console;
  console.error = () => {};
  t.teardown(() => {
    console.error = error;
  });
  t.regex((await client.rest()).toString('latin1'), /^HTTP\/1\.1 408 /);
});

test('a client that goes aborts the signal and cancels the stream; one that ends its side is answered', async (t) => {
  const server = await serverOf(t, siteOf(t, {}));
  const [begun, aborted, cancelled] = [gate(), gate(), gate()];
  server.route('GET /wait', async (request) => {
    begun.open();
    await once(request.signal, 'abort');
    aborted.open();
    return new RouteResponse('answered all the same');
  });
  server.route('GET /stream', () => {
    const pull = (controller: ReadableStreamDefaultController) => {
      controller.enqueue(new Uint8Array(65_536));
    };
    return new Response(new ReadableStream({ pull, cancel: cancelled.open }));
  });
  const half = await Client.connect(t, server.port);
  half.send('GET /wait HTTP/1.1\r\nHost: test\r\n\r\n');
  await begun.wait;
  half.socket.end();
  await aborted.wait;
  t.regex((await half.rest()).toString('latin1'), /Connection: close\r\n\r\nanswered all the same$/);
  const gone = await Client.connect(t, server.port);
  gone.send('GET /stream HTTP/1.1\r\nHost: test\r\n\r\n');
  await once(gone.socket, 'data');
  gone.socket.destroy();
  await cancelled.wait;
  t.pass();
});

/** A stream that has these pieces and then nothing to say, and why it was cancelled. */
function waiting(pieces: unknown[]): { stream: ReadableStream; cancelled: Promise<unknown> } {
  let cancel = (_reason: unknown): void => {};
  const cancelled = new Promise((settle) => {
    cancel = settle;
  });
  const left = [...pieces];
  const pull = (controller: ReadableStreamDefaultController) => {
    if (left.length === 0) return new Promise<void>(() => {});
    controller.enqueue(left.shift());
    return undefined;
  };
  return { stream: new ReadableStream({ pull, cancel }, { highWaterMark: 0 }), cancelled };
}

for (const [when, pieces] of [
  ['has said nothing yet', []],
  ['waits for its next piece', [Buffer.from('first')]],
] as const) {
  test(`a stream that ${when} is cancelled when its client has gone`, async (t) => {
    const server = await serverOf(t, siteOf(t, {}));
    const { stream, cancelled } = waiting([...pieces]);
    const begun = gate();
    server.route('GET /', () => {
      begun.open();
      return new Response(stream);
    });
    const client = await Client.connect(t, server.port);
    const data = once(client.socket, 'data');
    client.send('GET / HTTP/1.1\r\nHost: t\r\n\r\n');
    await begun.wait;
    if (pieces.length > 0) await data;
    else data.catch(() => {});
    client.socket.resetAndDestroy();
    t.is(((await cancelled) as Error).name, 'AbortError');
  });
}

for (const [what, request] of [
  [
    'has more behind its request than is taken in',
    `GET / HTTP/1.1\r\nHost: t\r\n\r\n${'GET /behind HTTP/1.1\r\n'.repeat(4000)}`,
  ],
  [
    'has sent a body that nobody reads',
    `POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 200000\r\n\r\n${'x'.repeat(150_000)}`,
  ],
] as const) {
  for (const [how, end] of [
    ['resets', (client: Client) => client.socket.resetAndDestroy()],
    ['ends', (client: Client) => client.socket.end()],
  ] as const) {
    test(`a client that ${what} and ${how} is not held for ever`, async (t) => {
      const server = await serverOf(t, siteOf(t, {}), { limits: { sendTimeoutMs: how === 'ends' ? 300 : 60_000 } });
      const { stream, cancelled } = waiting([Buffer.from('first')]);
      const aborted = gate();
      server.route('/', (request) => {
        request.signal.addEventListener('abort', aborted.open);
        return new Response(stream);
      });
      const client = await Client.connect(t, server.port);
      client.send(request);
      await once(client.socket, 'data');
      end(client);
      await aborted.wait;
      t.is(((await cancelled) as Error).name, 'AbortError');
    });
  }
}

test('a client that has ended its side may have gone: its stream goes on as long as it says something', async (t) => {
  const server = await serverOf(t, siteOf(t, {}), { limits: { sendTimeoutMs: 3000 } });
  const { stream, cancelled } = waiting(Array(5).fill(Buffer.from('piece')));
  const ended = gate();
  let pieces = 0;
  const slowly = new TransformStream({
    transform: async (piece, controller) => {
      if (pieces++ > 0) await ended.wait;
      controller.enqueue(piece);
    },
  });
  server.route('GET /', () => new Response(stream.pipeThrough(slowly)));
  const client = await Client.connect(t, server.port);
  client.send('GET / HTTP/1.1\r\nHost: t\r\n\r\n');
  await once(client.socket, 'data');
  client.socket.end();
  setTimeout(ended.open, 1500); // By then the server has looked, and has seen the end.
  t.is(((await cancelled) as Error).name, 'AbortError');
  t.is((await client.rest()).toString('latin1').split('piece').length - 1, 5, 'all that it has said');
  t.is(server.stats().cut, 1);
});

test.serial('nothing that a handler returns or throws reaches the requests beside it', async (t) => {
  const { error } = console;
  const said: unknown[] = [];
  console.error = (...what) => {
    // As the console does it.
    said.push(what.map((each) => (typeof each === 'string' ? each : inspect(each))).join(' '));
  };
  t.teardown(() => {
    console.error = error;
  });
  const server = await serverOf(t, siteOf(t, {}));
  const bytes = new Uint8Array(8);
  structuredClone(bytes, { transfer: [bytes.buffer] });
  const wrong = {
    [inspect.custom]: () => {
      throw new Error('not to be seen');
    },
  };
  // Says that it has more than it has.
  class Liar extends Uint8Array {
    override get byteLength(): number {
      return 100_000;
    }
  }
  server.route('GET /liar', () => new RouteResponse(new Liar([1, 2, 3])));
  server.route('GET /detached', () => new RouteResponse(bytes));
  server.route('GET /throws', () => {
    throw wrong;
  });
  server.route('GET /rejects', () => Promise.reject(wrong));
  // biome-ignore lint/suspicious/noThenProperty: that is what it is about
  server.route('GET /thens', () => Object.assign(Promise.resolve(new RouteResponse('')), { then: 'none' as never }));
  server.route('GET /right', () => new RouteResponse('right'));
  server.route('GET /late', () => {
    const response = new RouteResponse('late');
    const { headers } = response;
    response.clone();
    headers.set('x-late', 'sent');
    return response;
  });
  const paths = ['/detached', '/throws', '/rejects', '/thens', '/right'];
  const replies = await Promise.all(paths.map(async (path) => (await Client.connect(t, server.port)).get(path)));
  t.deepEqual(
    replies.map(({ status }) => status),
    [500, 500, 500, 500, 200],
  );
  const late = await (await Client.connect(t, server.port)).get('/late');
  t.deepEqual([late.headers.get('x-late'), late.body.toString()], ['sent', 'late']);
  t.deepEqual([...(await (await Client.connect(t, server.port)).get('/liar')).body], [1, 2, 3]);
  t.is(said.filter((what) => /error that throws when it is looked at/.test(String(what))).length, 2);
});

test.serial('a client that drops in the middle of its body is no fault of the handler', async (t) => {
  const { error } = console;
  const said: unknown[] = [];
  console.error = (...what) => said.push(what);
  t.teardown(() => {
    console.error = error;
  });
  const server = await serverOf(t, siteOf(t, {}));
  const [begun, over] = [gate(), gate()];
  server.route('POST /', async (request) => {
    begun.open();
    try {
      return new RouteResponse(await request.text());
    } finally {
      // Behind what this promise comes to.
      setImmediate(() => setImmediate(over.open));
    }
  });
  const client = await Client.connect(t, server.port);
  client.send('POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nhalf');
  await begun.wait;
  client.socket.destroy();
  await over.wait;
  t.deepEqual(said, []);
});

test.serial('a stream with a piece that is no bytes is cancelled, and its client told by the cut', async (t) => {
  const { error } = console;
  console.error = () => {};
  t.teardown(() => {
    console.error = error;
  });
  const server = await serverOf(t, siteOf(t, {}));
  const streams = [waiting(['text']), waiting([Buffer.from('first'), 7])];
  streams.forEach(({ stream }, nth) => {
    server.route(`GET /${nth}`, () => new Response(stream));
  });
  const client = await Client.connect(t, server.port);
  t.is((await client.get('/0')).status, 500);
  // Cut, or another 500 where nothing of it had been sent.
  client.send('GET /1 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n');
  t.false((await client.rest()).toString('latin1').endsWith('0\r\n\r\n'));
  for (const { cancelled } of streams) t.regex(((await cancelled) as Error).message, /a stream of Uint8Arrays/);
});

test.serial('an answer that is none leaves the connection as it was', async (t) => {
  const { error } = console;
  console.error = () => {};
  t.teardown(() => {
    console.error = error;
  });
  const server = await serverOf(t, siteOf(t, { a: 'file' }));
  const headers = [['a', 'b\r\nSet-Cookie: c']];
  const wrong = (body: ReadableStream | null) =>
    ({ status: 200, headers, body, bodyUsed: false }) as unknown as Response;
  server.route('POST /wrong', () => wrong(null));
  server.route('GET /wrong', () => wrong(waiting([Buffer.from('first')]).stream));
  // In HTTP/1.0 such a stream would have ended the connection.
  const old = await Client.connect(t, server.port);
  old.send('GET /wrong HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
  const reply = await old.reply();
  t.deepEqual([reply.status, reply.headers.get('connection')], [500, 'keep-alive']);
  t.is((await old.get('/a')).body.toString(), 'file');
  const kept = await Client.connect(t, server.port);
  kept.send('POST /wrong HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello');
  t.is((await kept.reply()).status, 500);
  t.is((await kept.get('/a')).body.toString(), 'file');
});

test('a close waits for handlers until its deadline, and no longer', async (t) => {
  const root = siteOf(t, {});
  const [begun, open] = [gate(), gate()];
  const patient = await serverOf(t, root);
  patient.route('GET /wait', async () => {
    begun.open();
    await open.wait;
    return new RouteResponse('waited');
  });
  const client = await Client.connect(t, patient.port);
  client.send('GET /wait HTTP/1.1\r\nHost: test\r\n\r\n');
  await begun.wait;
  const closed = patient.close({ deadlineMs: 60_000 });
  open.open();
  t.regex((await client.rest()).toString('latin1'), /\r\n\r\nwaited$/);
  await closed;
  const hasty = await serverOf(t, root);
  const never = gate();
  hasty.route('GET /never', () => {
    never.open();
    return new Promise<Response>(() => {});
  });
  const other = await Client.connect(t, hasty.port);
  other.send('GET /never HTTP/1.1\r\nHost: test\r\n\r\n');
  await never.wait;
  await hasty.close({ deadlineMs: 20 });
  t.is((await other.rest()).length, 0);
});

test('a worker that is terminated in the middle of a request takes its server along, and nothing else', async (t) => {
  const root = siteOf(t, {});
  const script = `
    const { parentPort, workerData } = require('node:worker_threads');
    require(workerData.tsx);
    const { FileServer } = require(workerData.index);
    FileServer.start({ root: workerData.root, port: 0, cores: 1 }).then((server) => {
      server.route('GET /never', () => { parentPort.postMessage('called'); return new Promise(() => {}); });
      parentPort.postMessage(server.port);
    });`;
  const workerData = { root, tsx: require.resolve('tsx/cjs'), index: require.resolve('../../index') };
  const worker = new Worker(script, { eval: true, workerData });
  const [port] = await once(worker, 'message');
  const client = await Client.connect(t, port);
  client.send('GET /never HTTP/1.1\r\nHost: test\r\n\r\n');
  await once(worker, 'message');
  await worker.terminate();
  const rest = (await client.rest()).toString('latin1');
  t.true(rest === '' || /^HTTP\/1\.1 50[03] /.test(rest), rest);
});

test('a route in a part with a password is for who has it', async (t) => {
  // Of `secret`, cost 5.
  const ann = '$2y$05$R7kiDLAAWq9E6sCQD2LSCeGnHadUHANsKXsIbeeC2hByUafQM11sq';
  const server = await serverOf(t, siteOf(t, {}), { basicAuth: { paths: ['/admin/'], users: { ann } } });
  let calls = 0;
  server.route('/admin/*', () => {
    calls++;
    return new RouteResponse('secret');
  });
  server.route('/open', () => new RouteResponse('open'));
  const client = await Client.connect(t, server.port);
  for (const path of ['/admin/x', '/admin', '//admin//x', '/%61dmin/x']) {
    t.is((await client.get(path)).status, 401, path);
  }
  t.is((await client.get('/admin%2Fx')).status, 404, 'no route');
  t.is((await client.ask('POST', '/admin/x')).status, 401);
  t.is(calls, 0);
  const right = `Authorization: Basic ${Buffer.from('ann:secret').toString('base64')}`;
  t.is((await client.get('/admin/x', right)).body.toString(), 'secret');
  t.is((await client.get('/open')).body.toString(), 'open');
});

test('a forgotten server with routes goes on, and exits with its process', async (t) => {
  const server = await FileServer.start({ root: siteOf(t, {}), port: 0, cores: 1 });
  t.teardown(() => server.close({ deadlineMs: 0 }));
  server.route('/a', () => new RouteResponse('a'));
  t.is(await (await fetch(`${server.url}/a`)).text(), 'a');
});
