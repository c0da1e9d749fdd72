// Names that no file has: extensions that are tried, and the page of a single-page application.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { FileServer } from '../../index';
import { Client, place, serverOf, siteOf } from '../support/http';

const code = 'ERR_RINGWHEEL_INVALID_OPTION';

/** The body of a path, else where it redirects to, else its status. */
async function seen(client: Client, path: string) {
  const { status, headers, body } = await client.get(path);
  return status === 200 ? body.toString() : status === 301 ? headers.get('location') : status;
}

test('extensions are tried in order, after the name itself and before its directory', async (t) => {
  const files = {
    'about.html': 'about',
    'about.htm': 'other',
    'old.htm': 'old',
    plain: 'plain',
    'plain.html': 'not this',
    'blog.html': 'blog',
    'blog/post.html': 'post',
    'docs/index.html': 'docs',
    '.env.html': 'secret',
  };
  const root = siteOf(t, files);
  const server = await serverOf(t, root, { extensions: ['html', 'htm'], cache: { revalidateMs: 0 } });
  const client = await Client.connect(t, server.port);
  // Twice: the second is answered from the cache.
  for (const _ of [1, 2]) {
    t.is(await seen(client, '/about'), 'about');
    t.is(await seen(client, '/old'), 'old');
    t.is(await seen(client, '/plain'), 'plain');
    t.is(await seen(client, '/blog'), 'blog');
    t.is(await seen(client, '/blog/post'), 'post');
    t.is(await seen(client, '/docs'), '/docs/');
    t.is(await seen(client, '/docs/'), 'docs');
    t.is(await seen(client, '/about/'), 404);
    t.is(await seen(client, '/none'), 404);
    t.is(await seen(client, '/.env'), 404);
    t.is(await seen(client, '/..%2fabout'), 404);
  }
  t.is((await client.get('/about')).headers.get('content-type'), 'text/html; charset=utf-8');
  place(root, 'about', 'the name itself');
  t.is(await seen(client, '/about'), 'the name itself', 'a file that appears is seen at the next look');
  for (const name of ['about', 'about.html']) rmSync(join(root, name));
  t.is(await seen(client, '/about'), 'other');
});

test('without the option no extension is tried, and no page stands in', async (t) => {
  const server = await serverOf(t, siteOf(t, { 'about.html': 'about', 'index.html': 'index' }));
  const client = await Client.connect(t, server.port);
  t.is(await seen(client, '/about'), 404);
});

test('the single page answers for routes, and what else is missing is a 404', async (t) => {
  const root = siteOf(t, { 'index.html': 'app', 'app.js': 'js', 'empty/x.txt': 'x' });
  const server = await serverOf(t, root, {
    single: true,
    ignores: ['/api/**'],
    headers: { '*.html': { 'X-Page': 'yes' } },
  });
  const client = await Client.connect(t, server.port);
  for (const route of ['/users/7', '/users/', '/', '/empty/', '/a%20b', '/users?id=1.js']) {
    t.is(await seen(client, route), 'app', route);
  }
  for (const missing of ['/main.js', '/.well-known/x', '/api/users', '/.git/config']) {
    t.is(await seen(client, missing), 404, missing);
  }
  t.is(await seen(client, '/app.js'), 'js');
  t.is(await seen(client, '/empty'), '/empty/');
  const page = await client.get('/users/7');
  t.is(page.headers.get('content-type'), 'text/html; charset=utf-8');
  t.is(page.headers.get('x-page'), 'yes');
  t.is((await client.get('/users/8', `If-None-Match: ${page.headers.get('etag')}`)).status, 304);
  client.send(
    'HEAD /users/7 HTTP/1.1\r\nHost: a\r\n\r\nPOST /users/7 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n',
  );
  const head = await client.reply(false);
  t.deepEqual([head.status, head.headers.get('content-length')], [200, '3']);
  t.is((await client.reply()).status, 405);
});

test('names that clients make up fill no cache, and a page that is missing is a 404', async (t) => {
  const root = siteOf(t, { 'shell/app.html': 'app' });
  const server = await serverOf(t, root, { single: 'shell/app.html', ignores: false, cache: { revalidateMs: 0 } });
  const client = await Client.connect(t, server.port);
  t.is(await seen(client, '/0'), 'app');
  const before = server.stats();
  for (let route = 1; route <= 100; route += 1) t.is(await seen(client, `/${route}.js`), 'app');
  t.is(server.stats().cacheEntries, before.cacheEntries);
  rmSync(join(root, 'shell/app.html'));
  t.is(await seen(client, '/0'), 404);
  t.is(await seen(client, '/shell/app.html'), 404);
  place(root, 'shell/app.html/x', 'a directory');
  t.is(await seen(client, '/0'), 404);
});

test('a host of its own has its own page', async (t) => {
  const [one, two] = [siteOf(t, { 'index.html': 'one' }), siteOf(t, { 'index.html': 'two' })];
  const server = await serverOf(t, one, { single: true, sites: [{ hosts: ['two.example'], root: two, single: true }] });
  const client = await Client.connect(t, server.port);
  for (const [host, page] of [
    ['a', 'one'],
    ['two.example', 'two'],
  ]) {
    client.send(`GET /route HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    t.is((await client.reply()).body.toString(), page);
  }
});

test('what is wrong with them is named', async (t) => {
  const root = siteOf(t, {});
  const refused = (options: object, message: RegExp) =>
    t.throwsAsync(FileServer.start({ root, port: 0, cores: 1, ...options }), { code, message });
  await refused({ extensions: ['.html'] }, /extensions is "\.html"; allowed: extensions without their dot/);
  await refused({ extensions: 'html' }, /extensions must be/);
  await refused({ single: '/index.html' }, /single is "\/index\.html"; allowed: a file below the root/);
  await refused({ single: true, ignores: ['['] }, /ignores\[0\] is "\["; allowed: a glob/);
  await refused({ ignores: ['/api/**'] }, /ignores is given, and no single/);
});
