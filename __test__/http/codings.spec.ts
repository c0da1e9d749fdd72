// Packed files made ahead: real bytes of Node's zlib come to clients that accept them, and to no others.
import { statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, brotliDecompressSync, gunzipSync, gzipSync } from 'node:zlib';
import test from 'ava';
import { FileServer } from '../../index';
import { Client, place, type Reply, serverOf, siteOf } from '../support/http';

const REVALIDATE_MS = 30;
const text = 'a line that repeats\n'.repeat(2000);

function packedSite(t: Parameters<typeof siteOf>[0]): string {
  const root = siteOf(t, { 'a.txt': text, 'index.html': '<p>', 'plain.txt': 'plain' });
  const times = statSync(join(root, 'a.txt'));
  for (const [name, bytes] of [
    ['a.txt.br', brotliCompressSync(text)],
    ['a.txt.gz', gzipSync(text)],
    ['index.html.gz', gzipSync('<p>')],
  ] as const) {
    place(root, name, bytes);
    utimesSync(join(root, name), times.atime, new Date(times.mtimeMs + 2000));
  }
  return root;
}

function unpacked({ headers, body }: Reply): string {
  const coding = headers.get('content-encoding');
  return (coding === 'br' ? brotliDecompressSync(body) : coding === 'gzip' ? gunzipSync(body) : body).toString();
}

test('who accepts a coding gets it, from the disk and from the cache', async (t) => {
  const server = await serverOf(t, packedSite(t), { brotli: true, gzip: true });
  const client = await Client.connect(t, server.port);
  for (const _ of [1, 2]) {
    for (const [accepts, coding] of [
      [['gzip, deflate, br, zstd'], 'br'],
      [['gzip'], 'gzip'],
      [['br;q=0.5, gzip'], 'gzip'],
      [['gzip;q=0', 'br;q=0', '*'], undefined],
      [['*'], 'br'],
      [['zstd'], undefined],
      [['identity;q=0'], undefined],
      [['identity;q=1, *;q=0'], undefined],
      [[''], undefined],
      [[], undefined],
      [['gzip;q=2, br;q=x'], undefined],
      [['GZIP'], 'gzip'],
      [['deflate', 'gzip'], 'gzip'],
      [[`${'x,'.repeat(3000)}gzip`], 'gzip'],
      [[';;;,,,=q;br'], undefined],
      // Of more than four fields the first four count.
      [['a', 'b', 'c', 'd', 'gzip'], undefined],
    ] as const) {
      const reply = await client.get('/a.txt', ...accepts.map((value) => `Accept-Encoding: ${value}`));
      t.is(reply.status, 200, accepts.join());
      t.is(reply.headers.get('content-encoding'), coding, accepts.join());
      t.is(reply.headers.get('vary'), 'Accept-Encoding');
      t.is(reply.headers.get('content-type'), 'text/plain; charset=utf-8');
      t.is(unpacked(reply), text);
    }
  }
  const index = await client.get('/', 'Accept-Encoding: gzip');
  t.is(index.headers.get('content-encoding'), 'gzip');
  t.is(unpacked(index), '<p>');
  const plain = await client.get('/plain.txt', 'Accept-Encoding: gzip');
  t.is(plain.headers.get('content-encoding'), undefined);
  t.is(plain.headers.get('vary'), 'Accept-Encoding', 'another one may come');
});

test('a packed file is of its own root and its own site', async (t) => {
  const first = siteOf(t, { 'a.txt': 'first' });
  const second = packedSite(t);
  const server = await serverOf(t, first, {
    root: [first, second],
    gzip: true,
    sites: [{ hosts: ['off.example'], root: second }],
  });
  const client = await Client.connect(t, server.port);
  const reply = await client.get('/a.txt', 'Accept-Encoding: gzip');
  t.is(reply.headers.get('content-encoding'), undefined);
  t.is(reply.body.toString(), 'first');
  client.send('GET /a.txt HTTP/1.1\r\nHost: off.example\r\nAccept-Encoding: gzip\r\n\r\n');
  const off = await client.reply();
  t.is(off.headers.get('content-encoding'), undefined);
  t.is(off.headers.get('vary'), undefined);
});

test('a file that is newer than what was packed from it is sent itself', async (t) => {
  const root = packedSite(t);
  const server = await serverOf(t, root, { gzip: true, cache: { revalidateMs: REVALIDATE_MS } });
  const client = await Client.connect(t, server.port);
  t.is((await client.get('/a.txt', 'Accept-Encoding: gzip')).headers.get('content-encoding'), 'gzip');
  place(root, 'a.txt', 'new');
  const now = new Date();
  utimesSync(join(root, 'a.txt'), now, now);
  await new Promise((settle) => setTimeout(settle, 2 * REVALIDATE_MS));
  const reply = await client.get('/a.txt', 'Accept-Encoding: gzip');
  t.is(reply.headers.get('content-encoding'), undefined);
  t.is(reply.body.toString(), 'new');
});

test('the options are true or false', async (t) => {
  for (const name of ['brotli', 'zstd', 'gzip']) {
    await t.throwsAsync(FileServer.start({ root: '.', port: 0, [name]: 'yes' }), {
      code: 'ERR_RINGWHEEL_INVALID_OPTION',
      message: new RegExp(`${name} must be true or false`),
    });
  }
});
