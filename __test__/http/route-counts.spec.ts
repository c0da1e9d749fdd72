// What routed requests cost in native calls, counted and gated: a call to take a turn's requests, a call to leave its answers.
import test from 'ava';
import { RouteResponse } from '../../index';
import { binding } from '../../lib/wire/binding';
import { checkCount } from '../support/gates';
import { Client, serverOf, siteOf } from '../support/http';

const REQUEST = 'GET /hello HTTP/1.1\r\nHost: test\r\n\r\n';
const CLIENTS = 50;

/** Counts every method that the desk calls from now on. */
function counting(): () => number {
  let calls = 0;
  const methods = binding().NativeRoutes.prototype as unknown as Record<string, (...given: unknown[]) => unknown>;
  for (const name of Object.getOwnPropertyNames(methods)) {
    const method = methods[name];
    if (name === 'constructor' || typeof method !== 'function') continue;
    methods[name] = function counted(...given) {
      calls++;
      return method.apply(this, given);
    };
  }
  return () => calls;
}

test('1,000 routed requests, one at a time and 50 at once', async (t) => {
  const calls = counting();
  const server = await serverOf(t, siteOf(t, {}));
  server.route('GET /hello', () => new RouteResponse('Hello, world!\n'));
  t.true(calls() > 0, 'the addon is counted');
  const { driver } = server;
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => Client.connect(t, server.port)));
  const [first] = clients as [Client];
  let before = calls();
  for (let round = 0; round < 1000; round++) {
    first.send(REQUEST);
    t.is((await first.reply()).status, 200);
  }
  checkCount(t, 'api: native calls per 1,000 routed requests, 1 connection', driver, calls() - before);

  before = calls();
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let round = 0; round < 1000 / CLIENTS; round++) {
    for (const client of clients) client.send(REQUEST);
    // JavaScript is busy while the server's core takes them: they are one turn's.
    Atomics.wait(pause, 0, 0, 50);
    for (const client of clients) t.is((await client.reply()).status, 200);
  }
  checkCount(t, 'api: native calls per 1,000 routed requests, 50 at once', driver, calls() - before);
});
