// One name for each page: cleanUrls and trailingSlash, what redirects where, and that nothing redirects for ever or elsewhere.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { FileServer, type FileServerOptions } from '../../index';
import { Client, place, seen, serverOf, siteOf } from '../support/http';
import { secure } from '../support/secure';

const FILES = {
  'index.html': 'root',
  'about.html': 'about',
  'docs/index.html': 'docs',
  'docs/guide.html': 'guide',
  'blog.html': 'blog page',
  'blog/index.html': 'blog index',
  both: 'both itself',
  'both.html': 'both page',
  'plain.txt': 'plain',
  'empty/x.txt': 'x',
  'index.html.html': 'odd',
};

const CASES: [Partial<FileServerOptions>, Record<string, string | number>][] = [
  [
    { cleanUrls: true },
    {
      '/': 'root',
      '/index.html': '-> /',
      '/about': 'about',
      '/about.html': '-> /about',
      '/about/': 404,
      '/docs': '-> /docs/',
      '/docs/': 'docs',
      '/docs/index.html': '-> /docs/',
      '/docs/index': 'docs',
      '/docs/guide.html': '-> /docs/guide',
      '/docs/guide': 'guide',
      '/blog': 'blog page',
      '/blog.html': '-> /blog',
      '/blog/': 'blog index',
      '/blog/index.html': '-> /blog/',
      '/both': 'both itself',
      '/both.html': 'both page',
      '/plain.txt': 'plain',
      '/index.html.html': 'odd',
      '/none': 404,
      '/none.html': 404,
      '/empty': '-> /empty/',
      '/empty/': 404,
    },
  ],
  [
    { cleanUrls: true, trailingSlash: true },
    {
      '/': 'root',
      '/index.html': '-> /',
      '/about': '-> /about/',
      '/about/': 'about',
      '/about.html': '-> /about/',
      '/docs': '-> /docs/',
      '/docs/index.html': '-> /docs/',
      '/docs/guide/': 'guide',
      '/docs/guide': '-> /docs/guide/',
      '/blog': 'blog page',
      '/blog.html': 'blog page',
      '/blog/': 'blog index',
      '/both': 'both itself',
      '/plain.txt': 'plain',
      '/plain.txt/': 404,
      '/none': 404,
      '/none/': 404,
    },
  ],
  [
    { cleanUrls: true, trailingSlash: false },
    {
      '/': 'root',
      '/index.html': '-> /',
      '/about': 'about',
      '/about/': '-> /about',
      '/about.html': '-> /about',
      '/docs': 'docs',
      '/docs/': '-> /docs',
      '/docs/index.html': '-> /docs',
      '/docs/guide/': '-> /docs/guide',
      '/blog': 'blog page',
      '/blog/': 'blog index',
      '/blog/index.html': 'blog index',
      '/empty': '-> /empty/',
      '/empty/': 404,
      '/plain.txt/': 404,
    },
  ],
  [
    { trailingSlash: false },
    { '/docs': 'docs', '/docs/': '-> /docs', '/docs/index.html': 'docs', '/about': 404, '/about.html': 'about' },
  ],
  [
    { trailingSlash: true, extensions: ['html'] },
    { '/about': '-> /about/', '/about/': 'about', '/about.html': 'about', '/docs/': 'docs', '/docs': '-> /docs/' },
  ],
  [
    { cleanUrls: true, extensions: ['txt'], index: ['about.html'] },
    { '/plain.txt': '-> /plain', '/plain': 'plain', '/about.html': '-> /', '/': 'about', '/index.html': 'root' },
  ],
];

test('each page has the one name that the options say, and what would lead elsewhere stays', async (t) => {
  const root = siteOf(t, FILES);
  for (const [options, expected] of CASES) {
    const server = await serverOf(t, root, options);
    const client = await Client.connect(t, server.port);
    // Twice: the second is answered from the cache.
    for (const _ of [1, 2]) {
      for (const [path, answer] of Object.entries(expected)) {
        t.is(await seen(client, path), answer, `${path} with ${JSON.stringify(options)}`);
      }
    }
  }
});

test('whatever the options are, a redirect leads to an answer in one step', async (t) => {
  const files = Object.fromEntries(
    [
      'a',
      'a.html',
      'a.htm',
      'b.html',
      'b/index.html',
      'c/c.html',
      'c/index.htm',
      'html',
      '..html',
      '...html',
      'd/.html',
    ].map((path) => [path, path]),
  );
  const root = siteOf(t, files);
  const names = ['', 'a', 'b', 'c', 'c/c', 'd', 'html', 'index', 'c/index', '.', '..', 'd/'];
  const ends = ['', '/', '.html', '.htm', '/index.html', '/index.htm'];
  const all = names.flatMap((name) => ends.map((end) => `/${name}${end}`));
  const paths = all.filter((path) => !/\/\.\.?(\/|$)/.test(path)); // Those are 400, and the end of the connection.
  let [redirected, answered] = [0, 0];
  for (const cleanUrls of [true, false]) {
    for (const trailingSlash of [true, false, undefined]) {
      for (const extensions of [[], ['html'], ['htm', 'html']]) {
        const index = ['index.html', 'index.htm'];
        const options = { cleanUrls, extensions, index, dotfiles: 'allow', cache: { revalidateMs: 0 } } as const;
        const slash = trailingSlash === undefined ? {} : { trailingSlash };
        const server = await serverOf(t, root, { ...options, ...slash });
        const client = await Client.connect(t, server.port);
        for (const path of paths) {
          const first = await client.get(path);
          if (first.status !== 301) {
            answered += Number(first.status === 200);
            continue;
          }
          redirected += 1;
          const location = first.headers.get('location') as string;
          t.regex(location, /^\/($|[^/])/, path);
          t.is(new URL(location, 'http://test').pathname, location, `${path}: a browser would ask for another name`);
          const second = await client.get(location);
          t.not(second.status, 301, `${path} -> ${location} -> ${second.headers.get('location')}`);
        }
        await server.close({ deadlineMs: 0 });
      }
    }
  }
  t.true(redirected > 50 && answered > 100, `${redirected} redirected, ${answered} answered`);
});

test('a redirect keeps the query, names this host, and is the same for HEAD and conditions', async (t) => {
  const root = siteOf(t, { ...FILES, 'evil.example/index.html': 'evil', 'a b.html': 'space' });
  const server = await serverOf(t, root, { cleanUrls: true });
  const client = await Client.connect(t, server.port);
  t.is(await seen(client, '/about.html?a=b&c=%20'), '-> /about?a=b&c=%20');
  t.is(await seen(client, '//evil.example/index.html'), '-> /evil.example/');
  t.is(await seen(client, '//evil.example'), '-> /evil.example/');
  t.is(await seen(client, '/%2fevil.example/index.html'), 404);
  t.is(await seen(client, '/a%20b.html?'), '-> /a%20b?');
  t.is(await seen(client, 'http://elsewhere.example//about.html'), '-> /about');
  const head = await client.ask('HEAD', '/about.html', 'If-None-Match: *', 'Range: bytes=0-0');
  t.deepEqual([head.status, head.headers.get('location')], [301, '/about']);
  t.is((await client.ask('POST', '/about.html', 'Content-Length: 0')).status, 405);
  const page = await client.get('/about');
  t.is((await client.get('/about', `If-None-Match: ${page.headers.get('etag')}`)).status, 304);
  t.is((await client.get('/about', 'Range: bytes=1-2')).body.toString(), 'bo');
  t.is(page.headers.get('content-type'), 'text/html; charset=utf-8');
});

test('a file that appears or goes changes which name is the one', async (t) => {
  const root = siteOf(t, { 'about.html': 'page' });
  const server = await serverOf(t, root, { cleanUrls: true, cache: { revalidateMs: 0 } });
  const client = await Client.connect(t, server.port);
  t.is(await seen(client, '/about.html'), '-> /about');
  t.is(await seen(client, '/about'), 'page');
  place(root, 'about', 'itself');
  t.is(await seen(client, '/about.html'), 'page');
  t.is(await seen(client, '/about'), 'itself');
  rmSync(join(root, 'about'));
  t.is(await seen(client, '/about'), 'page');
  t.is(await seen(client, '/about.html'), '-> /about');
});

test('mounts, several roots, hosts of their own, and the pages that answer where nothing is', async (t) => {
  const root = siteOf(t, { 'index.html': 'root', '404.html': 'none' });
  const second = siteOf(t, { 'about.html': 'second', 'about/index.html': 'never' });
  const media = siteOf(t, { 'index.html': 'media', 'film.html': 'film' });
  const www = siteOf(t, { 'a.html': 'www' });
  const options: Partial<FileServerOptions> = {
    root: [root, second],
    mounts: { '/media/': media },
    cleanUrls: true,
    trailingSlash: false,
    errorPages: { 404: '404.html' },
    single: true,
    ignores: ['none'],
    sites: [{ hosts: ['www.test'], root: www, cleanUrls: true, trailingSlash: true }],
  };
  const server = await serverOf(t, root, options);
  const client = await Client.connect(t, server.port);
  for (const _ of [1, 2]) {
    t.is(await seen(client, '/media'), 'media');
    t.is(await seen(client, '/media/'), '-> /media');
    t.is(await seen(client, '/media/index.html'), '-> /media');
    t.is(await seen(client, '/media/film.html'), '-> /media/film');
    t.is(await seen(client, '/about/'), 'never');
    t.is(await seen(client, '/about.html'), '-> /about');
    t.is(await seen(client, '/route'), 'root', 'the single page is found under its own name');
    const missing = await client.get('/none');
    t.deepEqual([missing.status, missing.body.toString()], [404, 'none']);
    t.is(await seen(client, 'http://www.test/a.html'), '-> /a/');
    t.is(await seen(client, 'http://www.test/a/'), 'www');
  }
});

test('a redirect of the site goes before, and neither sends back what the other sent', async (t) => {
  const root = siteOf(t, FILES);
  const redirects = [
    { from: '/about', to: '/about.html' },
    { from: '/docs', to: '/docs/index.html' },
  ];
  const server = await serverOf(t, root, { cleanUrls: true, redirects });
  const client = await Client.connect(t, server.port);
  t.is(await seen(client, '/about'), '-> /about.html');
  t.is(await seen(client, '/about.html'), 'about');
  t.is(await seen(client, '/docs/'), '-> /docs/index.html');
  t.is(await seen(client, '/docs/index.html'), 'docs');
});

test('a listing keeps its slash, and packed files go with their page', async (t) => {
  const root = siteOf(t, { 'list/x.txt': 'x', 'about.html': 'about', 'about.html.gz': 'packed' });
  const server = await serverOf(t, root, { cleanUrls: true, trailingSlash: false, listing: true, gzip: true });
  const client = await Client.connect(t, server.port);
  t.is(await seen(client, '/list'), '-> /list/');
  t.is((await client.get('/list/')).status, 200);
  const packed = await client.get('/about', 'Accept-Encoding: gzip');
  t.deepEqual([packed.headers.get('content-encoding'), packed.body.toString()], ['gzip', 'packed']);
});

test('over TLS', async (t) => {
  const root = siteOf(t, FILES);
  const client = await secure(t, root, { cleanUrls: true });
  t.is(await seen(client, '/about.html?q'), '-> /about?q');
  t.is(await seen(client, '/about'), 'about');
});

test('what is wrong is named, and what is meant is shown', async (t) => {
  const root = siteOf(t, {});
  const refused = (options: object, message: RegExp) =>
    t.throwsAsync(FileServer.start({ root, port: 0, cores: 1, ...options }), {
      code: 'ERR_RINGWHEEL_INVALID_OPTION',
      message,
    });
  await refused({ cleanUrls: 'yes' }, /cleanUrls must be true or false; got .yes.$/);
  await refused({ trailingSlash: 1 }, /trailingSlash must be true or false; got 1/);
  await refused({ cleanURLs: true }, /did you mean .cleanUrls./);
  const { cleanUrls, trailingSlash } = await FileServer.check({ root, cleanUrls: true });
  t.deepEqual([cleanUrls, trailingSlash], [true, undefined]);
  t.is((await FileServer.check({ root, trailingSlash: false })).trailingSlash, false);
});
