// What a server counts beside requests: how long answers take, and what each core does.
import test from 'ava';
import { bytesOf, Client, serverOf, siteOf } from '../support/http';

test('one request in 64 is timed, and each core has its share', async (t) => {
  const server = await serverOf(t, siteOf(t, { 'a.txt': 'a', 'large.bin': bytesOf(300_000) }));
  const client = await Client.connect(t, server.port);
  for (let round = 0; round < 320; round++) {
    const reply = await client.get(round % 64 === 0 ? '/large.bin' : '/a.txt');
    if (reply.status !== 200) t.fail(`${reply.status}`);
  }
  const { latency, cores, requests } = server.stats();
  t.deepEqual([requests, latency.samples, cores.length], [320, 5, 1]);
  t.true(latency.sumUs > 0);
  t.is(latency.buckets.at(-1)?.count, 5, 'none took ten seconds');
  for (const [index, { count }] of latency.buckets.entries()) t.true(count >= (latency.buckets[index - 1]?.count ?? 0));
  const [core] = cores;
  t.deepEqual([core?.requests, core?.connections], [320, 1]);
  t.is(core?.bytes, server.stats().bytes);
});

test('a request that comes in pieces is not timed: its client makes the time', async (t) => {
  const server = await serverOf(t, siteOf(t, { 'a.txt': 'a' }));
  const client = await Client.connect(t, server.port);
  client.send('GET /a.txt HTTP/1.1\r\n');
  await new Promise((settle) => setTimeout(settle, 50));
  client.send('Host: a\r\n\r\n');
  t.is((await client.reply()).status, 200);
  t.deepEqual([server.stats().requests, server.stats().latency.samples], [1, 0]);
});

test('a core says what its thread has used', async (t) => {
  const server = await serverOf(t, siteOf(t, { 'a.txt': 'a' }));
  const client = await Client.connect(t, server.port);
  for (let round = 0; round < 2000; round++) await client.get('/a.txt');
  let core = server.stats().cores[0];
  for (let tries = 0; tries < 200 && (core?.lookedMs ?? 0) === 0; tries++) {
    await new Promise((settle) => setTimeout(settle, 50));
    core = server.stats().cores[0];
  }
  t.true((core?.lookedMs ?? 0) > 0 && (core?.turns ?? 0) > 0 && (core?.tasks ?? 0) > 0);
  if (process.platform === 'linux') t.true((core?.cpuMs ?? 0) > 0);
});
