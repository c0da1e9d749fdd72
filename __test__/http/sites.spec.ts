// Several roots, mounts and hosts, and header fields by pattern: which file answers, and what is said of it.
import { join } from 'node:path';
import test from 'ava';
import { FileServer } from '../../index';
import { Client, serverOf, siteOf } from '../support/http';

const code = 'ERR_RINGWHEEL_INVALID_OPTION';

test('roots are tried in order, and what is below a mount is looked for there alone', async (t) => {
  const first = siteOf(t, { 'a.txt': 'first', 'media/hidden.txt': 'root', 'docs/index.html': 'docs' });
  const second = siteOf(t, { 'a.txt': 'second', 'b.txt': 'second', 'docs/more.txt': 'more' });
  const media = siteOf(t, { 'song.ogg': 'la', 'index.html': 'all songs' });
  const deep = siteOf(t, { 'x.txt': 'deep' });
  const server = await serverOf(t, first, {
    root: [first, second],
    mounts: { '/media/': media, '/media/deep/': deep },
  });
  const client = await Client.connect(t, server.port);
  const seen = async (path: string) => {
    const reply = await client.get(path);
    return reply.status === 200 ? reply.body.toString() : reply.status;
  };
  t.is(await seen('/a.txt'), 'first');
  t.is(await seen('/b.txt'), 'second');
  t.is(await seen('/docs/'), 'docs');
  t.is(await seen('/docs/more.txt'), 'more');
  t.is(await seen('/media/song.ogg'), 'la');
  t.is(await seen('/media/'), 'all songs');
  t.is(await seen('/media/deep/x.txt'), 'deep');
  t.is(await seen('/media/hidden.txt'), 404);
  const redirect = await client.get('/media');
  t.is(redirect.status, 301);
  t.is(redirect.headers.get('location'), '/media/');
  t.is(await seen('/media/../a.txt'), 400);
});

test('fields of patterns come with 200, 206 and 304, and the last one wins', async (t) => {
  const files = {
    'index.html': '<p>',
    'assets/app-5f3a9c1e.js': 'x',
    'a.css': 'p {}',
    'page.mdx': '# x',
    'logo.svg': '<svg/>',
  };
  const server = await serverOf(t, siteOf(t, files), {
    maxAge: 60,
    immutable: 'hashed',
    mime: { mdx: 'text/markdown; charset=utf-8' },
    headers: {
      '**': { 'X-Frame-Options': 'DENY', 'X-All': 'yes' },
      '*.html': { 'Cache-Control': 'no-cache', 'x-all': null },
      '/assets/**': { 'Access-Control-Allow-Origin': '*' },
      '*.svg': { 'Content-Type': 'text/plain', 'Cache-Control': null },
    },
  });
  const client = await Client.connect(t, server.port);
  const fields = async (path: string, ...lines: string[]) => {
    const { status, headers } = await client.get(path, ...lines);
    const names = ['cache-control', 'x-frame-options', 'x-all', 'access-control-allow-origin', 'content-type'];
    return [status, ...names.map((name) => headers.get(name))];
  };
  const html = 'text/html; charset=utf-8';
  t.deepEqual(await fields('/'), [200, 'no-cache', 'DENY', undefined, undefined, html]);
  // Once more: the second answer is the one that was made ready.
  t.deepEqual(await fields('/'), [200, 'no-cache', 'DENY', undefined, undefined, html]);
  const hashed = ['public, max-age=31536000, immutable', 'DENY', 'yes', '*', 'text/javascript; charset=utf-8'];
  t.deepEqual(await fields('/assets/app-5f3a9c1e.js'), [200, ...hashed]);
  t.deepEqual(await fields('/assets/app-5f3a9c1e.js', 'Range: bytes=0-0'), [206, ...hashed]);
  t.deepEqual(await fields('/assets/app-5f3a9c1e.js', 'If-None-Match: *'), [304, ...hashed.slice(0, 4), undefined]);
  t.deepEqual((await fields('/a.css')).slice(0, 2), [200, 'public, max-age=60']);
  t.is((await fields('/page.mdx')).at(-1), 'text/markdown; charset=utf-8');
  t.deepEqual(await fields('/logo.svg'), [200, undefined, 'DENY', 'yes', undefined, 'text/plain']);
});

test('a host has its own site, by its name, its domain, or the one for all', async (t) => {
  const [every, one, some] = [
    siteOf(t, { f: 'every' }),
    siteOf(t, { f: 'one', '.env': 'secret' }),
    siteOf(t, { f: 'some' }),
  ];
  const server = await serverOf(t, every, {
    sites: [
      { hosts: ['one.example', '[::1]'], root: one, dotfiles: 'allow', maxAge: 5 },
      { hosts: ['*.example'], root: some },
    ],
  });
  const client = await Client.connect(t, server.port);
  const seen = async (host: string, target = '/f') => {
    client.send(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    const { status, body } = await client.reply();
    return status === 200 ? body.toString() : status;
  };
  // Twice each: the second is answered from the cache, whose keys must tell the sites apart.
  for (const _ of [1, 2]) {
    t.is(await seen('localhost'), 'every');
    t.is(await seen('one.example'), 'one');
    t.is(await seen('ONE.Example:8080'), 'one');
    t.is(await seen('one.example.'), 'one', 'the same name, with its root');
    t.is(await seen('two.example.:80'), 'some');
    t.is(await seen('[::1]:1'), 'one');
    t.is(await seen('two.example'), 'some');
    t.is(await seen('example'), 'every');
    t.is(await seen('localhost', 'http://one.example/f'), 'one', 'absolute form stands above Host');
    t.is(await seen('one.example', '/.env'), 'secret');
    t.is(await seen('two.example', '/.env'), 404);
    t.is(await seen('two.example', '/1/f'), 404, 'the mark of a site in the cache is no path');
  }
});

test('what is wrong with a site is named', async (t) => {
  const root = siteOf(t, {});
  const refused = (options: object, message: RegExp) =>
    t.throwsAsync(FileServer.start({ root, port: 0, cores: 1, ...options }), { code, message });
  await refused({ root: [] }, /root \(length of the list\) is 0; allowed: 1 to 16/);
  await refused({ mounts: { media: root } }, /mounts is "media"; allowed: paths such as "\/media\/"/);
  await refused({ headers: { '[': { a: 'b' } } }, /headers\[0\]\.pattern is "\["; allowed: a glob/);
  await refused({ headers: { '*': { 'Content-Length': '1' } } }, /this one is the server's own/);
  await refused({ headers: { '*': { a: 'b\r\nc: d' } } }, /printable/);
  await refused({ headers: { '*': { a: 1 } } }, /headers\['\*'\]\['a'\] must be/);
  await refused({ immutable: true }, /immutable is given for all files, and no age/);
  await refused({ maxAge: 1, cacheControl: 'no-store' }, /maxAge is given beside a whole Cache-Control/);
  await refused({ sites: [{ root }] }, /sites\[0\]\.hosts must be/);
  await refused(
    { sites: [{ root, hosts: ['a'], rot: 1 }] },
    /unknown option 'sites\[0\]\.rot' \(did you mean 'sites\[0\]\.root'\?\)/,
  );
  await refused(
    { sites: [{ root, hosts: ['a'], port: 1 }] },
    /unknown option 'sites\[0\]\.port' \(of the whole server: it stands beside `sites`\)/,
  );
  await refused({ tlsCert: 'a' }, /unknown option 'tlsCert' \(here it is tls: \{ cert, key \}\)/);
  await refused({ setHeaders: () => {} }, /unknown option 'setHeaders' \(here it is headers, by pattern\)/);
  await refused({ headers: { '*': { Server: 'a' } } }, /this one is said by the option serverHeader/);
  await refused({ sites: [{ root, hosts: ['a'], index: ['/'] }] }, /sites\[0\]\.index is "\/"/);
  await refused(
    {
      sites: [
        { root, hosts: ['a'] },
        { root, hosts: ['A'] },
      ],
    },
    /sites\[1\]\.hosts is "A" again/,
  );
  const path = join(root, 'none');
  await t.throwsAsync(FileServer.start({ root: [root, path], port: 0 }), {
    code: 'ENOENT',
    message: /create it or name another/,
  });
});
