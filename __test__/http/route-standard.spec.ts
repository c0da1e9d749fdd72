// Standard Responses whose bytes are taken without their stream: the same bytes as by it, and only where nobody has touched it.
import test from 'ava';
import { findStandardBodies, takeStandardBody } from '../../lib/api/standard-body';
import { Client, serverOf, siteOf } from '../support/http';

findStandardBodies();
const isKept = Number(process.versions.node.split('.')[0]) <= 22;

test('text and bytes are taken, once', (t) => {
  const made: [Response, string][] = [
    [new Response('gr\u00fc\u00df \ud800'), 'gr\u00fc\u00df \ufffd'],
    [new Response(''), ''],
    [new Response(new Uint8Array([97, 98, 99]).subarray(1)), 'bc'],
    [new Response(new Uint8Array([97]).buffer), 'a'],
    [new Response(new URLSearchParams({ a: '1 2' })), 'a=1+2'],
    [Response.json({ a: 1 }), '{"a":1}'],
    [new Response('ab').clone(), 'ab'],
  ];
  for (const [response, text] of made) {
    const taken = takeStandardBody(response);
    if (!isKept) {
      t.is(taken, undefined);
      continue;
    }
    t.is(Buffer.from(taken as string).toString(), text);
    t.false(response.body?.locked);
    t.throws(() => takeStandardBody(response), { instanceOf: TypeError, message: /read already/ });
  }
});

test('what has to be read as a stream is left to it', async (t) => {
  const disturbed = new Response('a');
  await disturbed.text();
  const locked = new Response('a');
  locked.body?.getReader();
  const replaced = new Response('a');
  Object.defineProperty(replaced, 'body', { value: new Response('other').body });
  const form = new FormData();
  form.set('a', 'b');
  const responses = [
    disturbed,
    locked,
    replaced,
    new Response(null),
    new Response(new Blob(['a'])),
    new Response(form),
    new Response(new Response('a').body),
    { status: 200, headers: new Headers(), body: null } as Response,
  ];
  for (const response of responses) t.is(takeStandardBody(response), undefined);
});

test('a Response answers once, whichever class and body it has', async (t) => {
  const failed: string[] = [];
  const server = await serverOf(t, siteOf(t, {}));
  const { subscribe } = await import('node:diagnostics_channel');
  subscribe('ringwheel:route:error', (message) => {
    failed.push(String((message as { error: unknown }).error));
  });
  const bodies = { text: 'gr\u00fc\u00df', bytes: new Uint8Array([1, 2]), blob: new Blob(['b']) };
  for (const [name, body] of Object.entries(bodies)) {
    const response = new Response(body, { status: 201, headers: { 'X-Own': name } });
    server.route(`GET /${name}`, async () => response);
  }
  const client = await Client.connect(t, server.port);
  for (const [name, body] of Object.entries(bodies)) {
    const first = await client.get(`/${name}`);
    t.is(first.status, 201);
    t.is(first.headers.get('x-own'), name);
    t.deepEqual(first.body, Buffer.from(await new Response(body).arrayBuffer()));
    t.is((await client.get(`/${name}`)).status, 500);
  }
  t.is(failed.length, 3);
});
