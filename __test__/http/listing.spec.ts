// Directories without an index: what their pages and their JSON show, in which order, and what they never show.
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { FileServer } from '../../index';
import { Client, place, type Reply, serverOf, siteOf } from '../support/http';

const JSON_ONLY = 'Accept: application/json';

interface Listing {
  path: string;
  entries: { name: string; href: string; type: 'file' | 'directory'; size: number; mtime: string | null }[];
  more: number;
}

function listing(reply: Reply): Listing {
  return JSON.parse(reply.body.toString());
}

const names = (reply: Reply) =>
  listing(reply).entries.map(({ name, type }) => (type === 'directory' ? `${name}/` : name));

/** The links of a page but those of its head. */
function links(reply: Reply): string[] {
  const rows = reply.body.toString().split('<tbody>')[1] ?? '';
  return [...rows.matchAll(/href="([^"]*)"/g)].map(([, link = '']) => link);
}

test('a directory without an index shows what it holds, and each link leads there', async (t) => {
  const root = siteOf(t, {
    'with/index.html': 'index',
    'files/b.txt': 'bb',
    'files/A & <i>"\'.txt': 'x',
    'files/größe 1.txt': 'g',
    'files/a:b?c#d%41.txt': 'y',
    'files/sub/deep.txt': 'deep',
  });
  writeFileSync(
    Buffer.concat([Buffer.from(join(root, 'files', 'in')), Buffer.from([0xff, 0x0a]), Buffer.from('valid')]),
    'z',
  );
  const server = await serverOf(t, root, { listing: true });
  const client = await Client.connect(t, server.port);
  const page = await client.get('/files/');
  t.is(page.status, 200);
  const html = page.body.toString();
  t.is(page.headers.get('content-type'), 'text/html; charset=utf-8');
  t.is(page.headers.get('cache-control'), 'no-cache');
  t.is(page.headers.get('vary'), 'Accept');
  t.regex(page.headers.get('content-security-policy') ?? '', /default-src 'none'/);
  t.false(/<script|<i>/.test(html), 'no name is markup');
  t.regex(html, /A &amp; &lt;i&gt;&quot;&#39;\.txt/);
  t.regex(html, /<a href="\.\.\/">\/<\/a> <a href="\.\/">files\/<\/a>/);
  const found = links(page);
  t.is(found.length, 7);
  t.is(found[0], '../');
  for (const link of found.slice(1)) {
    t.regex(link, /^[\w%.~-]+\/?$/, 'a relative link of one segment');
    t.is((await client.get(`/files/${link}`)).status, 200, link);
  }
  t.is((await client.get('/files')).headers.get('location'), '/files/');
  t.is((await client.get('/with/')).body.toString(), 'index');
  t.is((await client.get('/none/')).status, 404);
  t.is((await client.get('/files/b.txt/')).status, 404);
  t.is((await client.ask('POST', '/files/')).status, 405);
});

test('it answers like a file: HEAD, tags, conditions, ranges; and a change is seen', async (t) => {
  const root = siteOf(t, { 'a.txt': 'a' });
  const server = await serverOf(t, root, { listing: true, cache: { revalidateMs: 0 } });
  const client = await Client.connect(t, server.port);
  const page = await client.get('/');
  const head = await client.ask('HEAD', '/');
  t.deepEqual([head.status, head.headers.get('content-length')], [200, String(page.body.length)]);
  const condition = `If-None-Match: ${page.headers.get('etag')}`;
  t.is((await client.get('/', condition)).status, 304);
  const part = await client.get('/', 'Range: bytes=0-14');
  t.deepEqual([part.status, part.body.toString()], [206, '<!doctype html>']);
  place(root, 'b.txt', 'b');
  const changed = await client.get('/', condition);
  t.is(changed.status, 200);
  t.deepEqual(links(changed), ['a.txt', 'b.txt']);
});

test('JSON is for who asks for it, and the query sorts', async (t) => {
  const root = siteOf(t, { 'b.txt': '1', 'a.txt': '333', 'C.txt': '22', 'dir/x': 'x' });
  const server = await serverOf(t, root, { listing: true });
  const client = await Client.connect(t, server.port);
  const reply = await client.get('/', JSON_ONLY);
  t.is(reply.headers.get('content-type'), 'application/json');
  t.is(reply.headers.get('vary'), 'Accept');
  t.deepEqual(names(reply), ['dir/', 'a.txt', 'b.txt', 'C.txt']);
  const { path, more, entries } = listing(reply);
  t.deepEqual([path, more], ['/', 0]);
  t.like(entries[1], { name: 'a.txt', href: 'a.txt', type: 'file', size: 3 });
  t.regex(entries[1]?.mtime ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  for (const [query, order] of [
    ['?order=desc', ['dir/', 'C.txt', 'b.txt', 'a.txt']],
    ['?sort=size', ['dir/', 'b.txt', 'C.txt', 'a.txt']],
    ['?sort=size&order=desc', ['dir/', 'a.txt', 'C.txt', 'b.txt']],
    ['?sort=<script>', ['dir/', 'a.txt', 'b.txt', 'C.txt']],
  ] as const) {
    t.deepEqual(
      names(await client.get(`/${query}${query.includes('<') ? '' : '&format=json'}`, JSON_ONLY)),
      [...order],
      query,
    );
  }
  const browser = 'Accept: text/html,application/xhtml+xml,application/json;q=0.9,*/*;q=0.8';
  t.is((await client.get('/', browser)).headers.get('content-type'), 'text/html; charset=utf-8');
  t.is((await client.get('/?format=html', JSON_ONLY)).headers.get('content-type'), 'text/html; charset=utf-8');
  t.regex(
    (await client.get('/?sort=size')).body.toString(),
    /aria-sort="ascending"><a href="\?sort=size&amp;order=desc"/,
  );
});

test('what no request would get is not shown: dotfiles, links that lead out, other things than files', async (t) => {
  const outside = siteOf(t, { 'secret.txt': 'secret' });
  const root = siteOf(t, { 'dir/in.txt': 'in', 'dir/.env': 'x', 'dir/back\\slash': 'x', 'file.txt': 'x' });
  for (const [target, link] of [
    [join(outside, 'secret.txt'), 'out'],
    ['../../../../../../etc', 'etc'],
    ['../file.txt', 'linked.txt'],
    ['../dir', 'loop'],
    ['nowhere', 'dangling'],
  ] as const) {
    symlinkSync(target, join(root, 'dir', link));
  }
  const server = await serverOf(t, root, { listing: true });
  const client = await Client.connect(t, server.port);
  const reply = await client.get('/dir/', JSON_ONLY);
  t.deepEqual(names(reply), ['loop/', 'in.txt', 'linked.txt']);
  t.is((await client.get('/.git/')).status, 404);
  symlinkSync(outside, join(root, 'elsewhere'));
  t.is((await client.get('/elsewhere/')).status, 404);
  const open = await serverOf(t, root, { listing: true, dotfiles: 'allow' });
  t.deepEqual(names(await (await Client.connect(t, open.port)).get('/dir/', JSON_ONLY)), [
    'loop/',
    '.env',
    'in.txt',
    'linked.txt',
  ]);
});

test('several roots are one, mounts stand in their place, and it goes before the single page', async (t) => {
  const one = siteOf(t, { 'a.txt': '1', 'both.txt': '1', 'media/hidden.txt': 'x' });
  const two = siteOf(t, { 'b.txt': '22', 'both.txt': '22', 'app.html': 'app' });
  const media = siteOf(t, { 'song.ogg': 'la' });
  const server = await serverOf(t, one, {
    root: [one, two],
    mounts: { '/media/': media, '/deep/er/': media },
    listing: true,
    single: 'app.html',
    errorPages: { 404: 'app.html' },
    headers: { '**': { 'X-All': 'yes', 'Cache-Control': 'max-age=5' } },
  });
  const client = await Client.connect(t, server.port);
  const reply = await client.get('/', JSON_ONLY);
  t.deepEqual(names(reply), ['deep/', 'media/', 'a.txt', 'app.html', 'b.txt', 'both.txt']);
  t.is(listing(reply).entries.find(({ name }) => name === 'both.txt')?.size, 1);
  t.deepEqual([reply.headers.get('x-all'), reply.headers.get('cache-control')], ['yes', 'max-age=5']);
  t.deepEqual(names(await client.get('/media/', JSON_ONLY)), ['song.ogg']);
  t.deepEqual(names(await client.get('/deep/', JSON_ONLY)), ['er/']);
  t.deepEqual(names(await client.get('/deep/er/', JSON_ONLY)), ['song.ogg']);
  t.is((await client.get('/route/')).body.toString(), 'app');
});

test('without the option there is none', async (t) => {
  const client = await Client.connect(t, (await serverOf(t, siteOf(t, { 'a/b.txt': 'x' }))).port);
  t.is((await client.get('/a/')).status, 404);
  const root = siteOf(t, {});
  const wrong = FileServer.start({ root, port: 0, cores: 1, listing: 'yes' as never });
  await t.throwsAsync(wrong, { code: 'ERR_RINGWHEEL_INVALID_OPTION', message: /listing must be true or false/ });
});

test('a large directory is cut, asked for by many at once', async (t) => {
  const root = siteOf(t, {});
  mkdirSync(join(root, 'large'));
  for (let number = 0; number < 10_050; number += 1)
    writeFileSync(join(root, 'large', String(number).padStart(6, '0')), '');
  const server = await serverOf(t, root, { listing: true });
  const clients = await Promise.all(Array.from({ length: 8 }, () => Client.connect(t, server.port)));
  const replies = await Promise.all(clients.map((client) => client.get('/large/', JSON_ONLY)));
  for (const reply of replies) {
    const { entries, more } = listing(reply);
    t.deepEqual([entries.length, more, entries[0]?.name, entries.at(-1)?.name], [10_000, 50, '000000', '009999']);
  }
  const [client = await Client.connect(t, server.port)] = clients;
  t.regex((await client.get('/large/')).body.toString(), /0 directories, 10000 files, and 50 more/);
});
