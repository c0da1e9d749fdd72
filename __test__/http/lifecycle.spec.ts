// How a FileServer starts, drains, ends, and deals with clients that are slow or too many.
import { existsSync, readdirSync } from 'node:fs';
import { connect } from 'node:net';
import test from 'ava';
import { FileServer } from '../../index';
import { bytesOf, Client, serverOf, siteOf } from '../support/http';

const refused = (port: number): Promise<boolean> =>
  new Promise((settle) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => settle(false)).once('error', () => settle(true));
    socket.once('connect', () => socket.destroy());
  });

test('it serves on the driver that was asked for', async (t) => {
  const asked = process.env.RINGWHEEL_DRIVER;
  const server = await serverOf(t, siteOf(t, { a: 'a' }));
  if (asked === 'poll' || asked === 'uring') t.is(server.driver, asked);
  else t.true(['poll', 'uring'].includes(server.driver));
  t.true(server.features.length > 0);
});

test('a busy port, a missing root, a file as root and wrong options are one clear error each', async (t) => {
  const root = siteOf(t, { a: 'a' });
  const server = await serverOf(t, root);
  for (const cores of [1, 2]) {
    const busy = await t.throwsAsync(FileServer.start({ root, port: server.port, cores }), { code: 'EADDRINUSE' });
    t.regex(busy?.message ?? '', /in use; stop its owner or choose another port/);
  }
  const missing = await t.throwsAsync(FileServer.start({ root: `${root}/none`, port: 0 }), { code: 'ENOENT' });
  t.regex(missing?.message ?? '', /does not exist; create it/);
  await t.throwsAsync(FileServer.start({ root: `${root}/a`, port: 0 }), { code: 'ENOTDIR' });
  const code = 'ERR_RINGWHEEL_INVALID_OPTION';
  await t.throwsAsync(FileServer.start({ root, port: 70_000 }), { code });
  await t.throwsAsync(FileServer.start({ root, index: ['../x'] }), { code });
  await t.throwsAsync(FileServer.start({ root, serverHeader: 'a\r\nSet-Cookie: b' }), { code });
  await t.throwsAsync(FileServer.start({ root, roots: 1 } as never), { code, message: /unknown option 'roots'/ });
  await t.throwsAsync(FileServer.start({ root, limits: { uriBytes: 5 } }), { code });
  t.is((await fetch(`${server.url}/a`)).status, 200, 'and the first still serves');
});

test('close ends idle connections, lets a response finish, and refuses new ones', async (t) => {
  const large = bytesOf(16 << 20);
  const server = await serverOf(t, siteOf(t, { a: 'a', large }));
  const { port } = server;
  const idle = await Client.connect(t, port);
  t.is((await idle.get('/a')).status, 200);
  const busy = await Client.connect(t, port);
  busy.socket.pause();
  busy.send('GET /large HTTP/1.1\r\nHost: a\r\n\r\n');
  await new Promise((settle) => setTimeout(settle, 100));
  const closing = server.close({ deadlineMs: 30_000 });
  t.is(server.close(), closing, 'every call returns the same promise');
  t.is((await idle.rest()).length, 0);
  t.true(await refused(port));
  while (server.stats().connections > 1) await new Promise((settle) => setTimeout(settle, 10));
  t.is(server.stats().connections, 1, 'counters go on while it drains');
  busy.socket.resume();
  t.true((await busy.reply()).body.equals(large));
  await closing;
  t.is(server.stats().connections, 0);
  t.is(server.stats().cut, 0);
});

for (const [whose, options, close] of [
  ['of the close', {}, { deadlineMs: 200 }],
  ['of the server', { drainMs: 200 }, undefined],
] as const) {
  test(`the deadline ${whose} cuts what does not finish`, async (t) => {
    const server = await serverOf(t, siteOf(t, { large: bytesOf(32 << 20) }), options);
    const busy = await Client.connect(t, server.port);
    busy.socket.pause();
    busy.send('GET /large HTTP/1.1\r\nHost: a\r\n\r\n');
    await new Promise((settle) => setTimeout(settle, 100));
    const start = performance.now();
    await server.close(close);
    const took = performance.now() - start;
    t.true(took >= 195 && took < 9000, `${took} ms; without either it would be 10 s`);
    t.is(server.stats().cut, 1);
  });
}

test('a head that trickles gets 408, silence is closed without a word', async (t) => {
  const limits = { headerTimeoutMs: 2000, idleTimeoutMs: 2500 };
  const server = await serverOf(t, siteOf(t, { a: 'a' }), { limits });
  const [slow, silent, idle] = await Promise.all([1, 2, 3].map(() => Client.connect(t, server.port)));
  t.is((await idle?.get('/a'))?.status, 200);
  slow?.send('GET /a HTTP/1.1\r\n');
  const trickle = setInterval(() => slow?.send('X: y\r\n'), 20);
  t.teardown(() => clearInterval(trickle));
  t.is((await slow?.reply())?.status, 408);
  t.is((await silent?.rest())?.length, 0);
  t.is((await idle?.rest())?.length, 0);
  while (server.stats().timeouts < 3) await new Promise((settle) => setTimeout(settle, 10));
  t.is(server.stats().timeouts, 3);
});

test('more connections than allowed are told to come back', async (t) => {
  const server = await serverOf(t, siteOf(t, { a: 'a' }), { limits: { connections: 2 } });
  const held = [await Client.connect(t, server.port), await Client.connect(t, server.port)];
  for (const client of held) t.is((await client.get('/a')).status, 200);
  const reply = await (await Client.connect(t, server.port)).get('/a');
  t.is(reply.status, 503);
  t.is(reply.headers.get('retry-after'), '1');
  t.is(server.stats().shed, 1);
});

test('thirty servers, one after the other on one port, leave no descriptor behind', async (t) => {
  if (!existsSync('/proc/self/fd')) {
    t.pass('no /proc here');
    return;
  }
  const root = siteOf(t, { a: 'a' });
  const count = (): number => readdirSync('/proc/self/fd').length;
  const first = await FileServer.start({ root, port: 0, cores: 1 });
  const { port } = first;
  await first.close();
  const before = count();
  for (let round = 0; round < 30; round++) {
    await using server = await FileServer.start({ root, port, cores: 1 });
    const client = await Client.connect(t, server.port);
    t.is((await client.get('/a')).status, 200);
    client.socket.destroy();
  }
  // Other tests of this file run at the same time and hold some: a leak would be thirty or more.
  t.true(count() < before + 30, `${before} → ${count()}`);
});
