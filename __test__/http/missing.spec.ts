// Names that lead to nothing: what asking again costs, when a file that appears is seen, and what a flood of names does to the others.
import { setTimeout as wait } from 'node:timers/promises';
import test from 'ava';
import { FileServer } from '../../index';
import { Client, place, serverOf, siteOf } from '../support/http';

test('the disk is asked once for a name within the time, and again after it', async (t) => {
  const root = siteOf(t, { 'a.txt': 'a', '404.html': 'none' });
  const cache = { missingMs: 400, revalidateMs: 60_000 };
  const server = await serverOf(t, root, { cache, errorPages: { 404: '404.html' } });
  const client = await Client.connect(t, server.port);
  t.is((await client.get('/none')).status, 404);
  const began = performance.now();
  const { loads } = server.stats();
  for (let time = 0; time < 50; time += 1) {
    const reply = await client.get('/none', 'Accept-Encoding: gzip');
    t.deepEqual([reply.status, reply.body.toString()], [404, 'none']);
  }
  const took = performance.now() - began;
  t.true(
    server.stats().loads - loads <= Math.ceil(took / cache.missingMs),
    `${server.stats().loads} loads, ${took} ms`,
  );
  place(root, 'none', 'here');
  const placed = performance.now();
  while ((await client.get('/none')).status === 404) {
    t.true(performance.now() - placed < 60_000, 'a file that appears is seen');
    await wait(20);
  }
  t.is((await client.get('/none')).body.toString(), 'here');
});

test('left out it is a tenth of a second: a file that was removed and written again is not missed for longer', async (t) => {
  const root = siteOf(t, {});
  const server = await serverOf(t, root);
  const client = await Client.connect(t, server.port);
  for (let time = 0; time < 10; time += 1) {
    t.is((await client.get('/a')).status, 404);
    await wait(101);
  }
  t.is(server.stats().loads, 10);
  place(root, 'a', 'here');
  t.is((await client.get('/a')).body.toString(), 'here');
});

test('it is never trusted longer than what is there, and 0 trusts nothing', async (t) => {
  for (const cache of [
    { missingMs: 86_400_000, revalidateMs: 0 },
    { missingMs: 0, revalidateMs: 86_400_000 },
  ]) {
    const root = siteOf(t, {});
    const server = await serverOf(t, root, { cache });
    const client = await Client.connect(t, server.port);
    t.is((await client.get('/a')).status, 404);
    place(root, 'a', 'here');
    t.is((await client.get('/a')).body.toString(), 'here');
  }
});

test('names of one host are not missed on another, nor is a name for what another lacks', async (t) => {
  const [root, other] = [siteOf(t, { 'a/index.html': 'a' }), siteOf(t, { b: 'b' })];
  const cache = { missingMs: 60_000, revalidateMs: 60_000 };
  const server = await serverOf(t, root, { cache, sites: [{ hosts: ['own.test'], root: other }] });
  const client = await Client.connect(t, server.port);
  for (const _ of [1, 2]) {
    t.is((await client.get('/b')).status, 404);
    t.is((await client.get('http://own.test/b')).body.toString(), 'b');
    t.is((await client.get('http://own.test/a/')).status, 404);
    t.is((await client.get('/a/')).body.toString(), 'a');
    t.is((await client.get('/a')).status, 301);
  }
});

test('a flood of names that nobody has throws no file out of the cache', async (t) => {
  const root = siteOf(t, { 'hot.txt': 'hot' });
  const server = await serverOf(t, root, { cache: { missingMs: 60_000, revalidateMs: 60_000 } });
  const client = await Client.connect(t, server.port);
  t.is((await client.get('/hot.txt')).body.toString(), 'hot');
  const { cacheEntries, cacheBytes, loads } = server.stats();
  const names = 10_000;
  for (let name = 0; name < names; name += 100) {
    const batch = Array.from({ length: 100 }, (_, at) => `GET /${name + at}-none HTTP/1.1\r\nHost: a\r\n\r\n`);
    client.send(batch.join(''));
    for (const _ of batch) t.is((await client.reply()).status, 404);
  }
  t.is((await client.get('/hot.txt')).body.toString(), 'hot');
  const after = server.stats();
  t.deepEqual([after.cacheEntries, after.cacheBytes, after.loads], [cacheEntries, cacheBytes, loads + names]);
});

test('what is wrong is named', async (t) => {
  await t.throwsAsync(FileServer.start({ root: siteOf(t, {}), port: 0, cache: { missingMs: -1 } }), {
    code: 'ERR_RINGWHEEL_INVALID_OPTION',
    message: /cache\.missingMs must be a whole number from 0 to 86400000; got -1/,
  });
});
