// Compression on the fly: what Node's zlib makes of the answers, what is said of them, and when they follow their file.
import { randomBytes } from 'node:crypto';
import { utimesSync } from 'node:fs';
import { join } from 'node:path';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import test, { type ExecutionContext } from 'ava';
import { FileServer } from '../../index';
import { bytesOf, Client, place, type Reply, serverOf, siteOf } from '../support/http';

const REVALIDATE_MS = 30;
const text = Array.from({ length: 8000 }, (_, line) => `line ${line}, squared ${line * line}\n`).join('');
const BROWSER = 'Accept-Encoding: gzip, deflate, br, zstd';

/** As the server has it. */
const WAIT_MS = 5000;

/**
 * The answer in the coding that is expected. On a machine that is too busy a client may get the file as it is, but never before it has waited.
 */
async function packed(t: ExecutionContext, client: Client, path: string, accepts = BROWSER): Promise<Reply> {
  for (let tries = 0; ; tries += 1) {
    const since = performance.now();
    const reply = await client.get(path, accepts);
    if (reply.headers.has('content-encoding') || tries === 10) return reply;
    t.true(performance.now() - since > WAIT_MS - 100, 'as it is, and at once');
  }
}

function uncompressed({ headers, body }: Reply): string {
  const coding = headers.get('content-encoding');
  return (coding === 'br' ? brotliDecompressSync(body) : coding === 'gzip' ? gunzipSync(body) : body).toString();
}

test('who accepts a coding gets it, of small files and large ones, once for each', async (t) => {
  const root = siteOf(t, { 'small.txt': text.slice(0, 3000), 'large.txt': text, 'dir/index.html': text });
  const server = await serverOf(t, root, { compress: true });
  const client = await Client.connect(t, server.port);
  for (const _ of [1, 2]) {
    for (const [path, content] of Object.entries({
      '/small.txt': text.slice(0, 3000),
      '/large.txt': text,
      '/dir/': text,
    })) {
      for (const [accepts, coding] of [
        ['gzip, deflate, br, zstd', 'br'],
        ['gzip', 'gzip'],
        ['br;q=0.5, gzip', 'gzip'],
        ['br;q=0, *', 'gzip'],
        ['zstd, identity;q=0', undefined],
        ['', undefined],
        [`${'x,'.repeat(3000)}gzip`, 'gzip'],
        ['br;q=', undefined],
      ] as const) {
        const field = `Accept-Encoding: ${accepts}`;
        const reply = await (coding ? packed(t, client, path, field) : client.get(path, field));
        t.is(reply.status, 200);
        t.is(reply.headers.get('content-encoding'), coding, accepts);
        t.is(reply.headers.get('vary'), 'Accept-Encoding');
        t.is(uncompressed(reply), content);
        t.is(reply.headers.get('content-length'), String(reply.body.length));
      }
    }
  }
  const { compressions, compressedBytes } = server.stats();
  t.is(compressions, 6);
  t.true(compressedBytes > 1000 && compressedBytes < 2 * text.length, `${compressedBytes}`);
});

test('each representation has its tag: 304 and ranges are about the bytes that were sent', async (t) => {
  const server = await serverOf(t, siteOf(t, { 'a.txt': text }), { compress: { gzip: false } });
  const client = await Client.connect(t, server.port);
  const brotli = await packed(t, client, '/a.txt');
  const itself = await client.get('/a.txt');
  const [tag, other] = [brotli, itself].map(({ headers }) => headers.get('etag') as string);
  t.not(tag, other);
  t.is((await client.get('/a.txt', BROWSER, `If-None-Match: ${tag}`)).status, 304);
  t.is((await client.get('/a.txt', BROWSER, `If-None-Match: ${other}`)).status, 200);
  t.is((await client.get('/a.txt', `If-None-Match: ${tag}`)).status, 200);
  const part = await client.get('/a.txt', BROWSER, 'Range: bytes=5-9', `If-Range: ${tag}`);
  t.is(part.status, 206);
  t.is(part.headers.get('content-range'), `bytes 5-9/${brotli.body.length}`);
  t.is(part.headers.get('content-encoding'), 'br');
  t.deepEqual(part.body, brotli.body.subarray(5, 10));
  t.is((await client.get('/a.txt', 'Range: bytes=5-9', `If-Range: ${tag}`)).status, 200, 'not a part of another');
  t.is((await client.get('/a.txt', BROWSER, 'Range: bytes=0-1,5-6')).status, 200, 'not several of compressed bytes');
  t.is((await client.get('/a.txt', 'Accept-Encoding: gzip')).headers.get('content-encoding'), undefined, 'it is off');
  // The same bytes from another server: a download continues there.
  const second = await serverOf(t, siteOf(t, { 'a.txt': text }), { compress: true, etag: 'content' });
  const third = await serverOf(t, siteOf(t, { 'a.txt': text }), { compress: true, etag: 'content' });
  const tags = [];
  for (const { port } of [second, third]) {
    tags.push((await packed(t, await Client.connect(t, port), '/a.txt')).headers.get('etag'));
  }
  t.is(tags[0], tags[1]);
});

test('what would not get smaller, and what must stay, is sent as it is', async (t) => {
  const noise = randomBytes(4000);
  const root = siteOf(t, {
    'a.png': text,
    'tiny.txt': 'tiny',
    'noise.txt': noise,
    'raw/a.txt': text,
    'huge.txt': text + text,
  });
  const server = await serverOf(t, root, {
    compress: { maxBytes: text.length },
    headers: { '/raw/**': { 'Cache-Control': 'public, no-transform' } },
  });
  const client = await Client.connect(t, server.port);
  for (const _ of [1, 2]) {
    for (const [path, vary] of Object.entries({
      '/a.png': undefined,
      '/raw/a.txt': undefined,
      '/tiny.txt': 'Accept-Encoding',
      '/noise.txt': 'Accept-Encoding',
      '/huge.txt': 'Accept-Encoding',
    })) {
      const reply = await client.get(path, BROWSER);
      t.is(reply.headers.get('content-encoding'), undefined, path);
      t.is(reply.headers.get('vary'), vary, path);
    }
  }
});

test('a changed file is compressed again, and a packed one beside it goes first', async (t) => {
  const root = siteOf(t, { 'a.txt': text });
  const server = await serverOf(t, root, { compress: true, gzip: true, cache: { revalidateMs: REVALIDATE_MS } });
  const client = await Client.connect(t, server.port);
  t.is(uncompressed(await packed(t, client, '/a.txt')), text);
  t.is(server.stats().compressions, 1);
  place(root, 'a.txt', `changed ${text}`);
  utimesSync(join(root, 'a.txt'), new Date(1e12), new Date(1e12));
  await new Promise((settle) => setTimeout(settle, 2 * REVALIDATE_MS));
  t.is(uncompressed(await packed(t, client, '/a.txt')), `changed ${text}`);
  t.is(server.stats().compressions, 2);
  place(root, 'a.txt.gz', 'packed ahead');
  await new Promise((settle) => setTimeout(settle, 2 * REVALIDATE_MS));
  t.is((await client.get('/a.txt', 'Accept-Encoding: gzip')).body.toString(), 'packed ahead');
});

test('many clients at once, while the server goes on with others', async (t) => {
  const root = siteOf(t, { 'a.txt': text, 'b.bin': bytesOf(1000) });
  const server = await serverOf(t, root, { compress: true });
  const clients = await Promise.all(Array.from({ length: 20 }, () => Client.connect(t, server.port)));
  const replies = await Promise.all(
    clients.map((client, index) => client.get(index % 2 ? '/b.bin' : '/a.txt', BROWSER)),
  );
  for (const [index, reply] of replies.entries()) {
    if (index % 2) t.deepEqual(reply.body, bytesOf(1000));
    else t.is(uncompressed(reply), text);
  }
  t.is(server.stats().compressions, 1);
});

test('the options are checked', async (t) => {
  for (const [compress, message] of [
    ['yes', /compress must be true or false, or an object/],
    [{ brotli: 12 }, /compress\.brotli must be false, or a whole number from 0 to 11/],
    [{ gzip: 0 }, /compress\.gzip must be/],
    [{ level: 3 }, /compress\.level|unknown option/],
    [{ minBytes: 10, maxBytes: 5 }, /compress\.minBytes is 10; allowed: 0 to 5/],
    [{ brotli: false, gzip: false }, /neither brotli nor gzip/],
  ] as const) {
    const options = { root: '.', port: 0, compress } as unknown as Parameters<typeof FileServer.start>[0];
    await t.throwsAsync(FileServer.start(options), { code: 'ERR_RINGWHEEL_INVALID_OPTION', message });
  }
});
