// Names that have moved: patterns, what they capture, which method and status, and that no client chooses where it is sent.
import test from 'ava';
import { FileServer } from '../../index';
import { Client, serverOf, siteOf } from '../support/http';

const code = 'ERR_RINGWHEEL_INVALID_OPTION';

/** Status and Location. */
async function moved(client: Client, path: string, method = 'GET') {
  const { status, headers } = await client.ask(method, path);
  return [status, headers.get('location')];
}

test('names are moved by pattern, whether or not there is a file, and the query is kept', async (t) => {
  const root = siteOf(t, { 'old.html': 'old', 'docs/a.html': 'a', 'index.html': 'index', 'keep.txt': 'keep' });
  const server = await serverOf(t, root, {
    redirects: [
      { from: '/old.html', to: '/new.html' },
      { from: '/docs/*', to: 'https://docs.example/v2/:splat', status: 308 },
      { from: '/:year/:month/:slug', to: '/posts/:slug?from=:year-:month#top', status: 302 },
      { from: '/see', to: '/index.html', status: 303 },
      { from: '/tmp', to: '/index.html', status: 307 },
    ],
  });
  const client = await Client.connect(t, server.port);
  // Twice: a name that has moved must not come to lie in the cache.
  for (const _ of [1, 2]) {
    t.deepEqual(await moved(client, '/old.html'), [301, '/new.html']);
    t.deepEqual(await moved(client, '//old%2ehtml?a=b'), [301, '/new.html?a=b']);
    t.deepEqual(await moved(client, '/docs/a.html'), [308, 'https://docs.example/v2/a.html']);
    t.deepEqual(await moved(client, '/docs'), [308, 'https://docs.example/v2/']);
    t.deepEqual(await moved(client, '/2024/05/a%20b?x=1'), [302, '/posts/a%20b?from=2024-05&x=1#top']);
    t.deepEqual(await moved(client, '/see'), [303, '/index.html']);
    t.deepEqual(await moved(client, '/tmp/'), [307, '/index.html']);
    t.is((await client.get('/keep.txt')).body.toString(), 'keep');
  }
  t.deepEqual(await moved(client, '/tmp', 'HEAD'), [307, '/index.html']);
  t.deepEqual(await moved(client, '/tmp', 'POST'), [307, '/index.html']);
  t.deepEqual(await moved(client, '/keep.txt', 'POST'), [405, undefined]);
  t.deepEqual(await moved(client, '/tmp', 'OPTIONS'), [204, undefined]);
  const page = await client.get('/old.html', 'If-None-Match: *', 'Range: bytes=0-0');
  t.deepEqual([page.status, page.headers.get('content-type')], [301, 'text/html; charset=utf-8']);
});

test('a client never chooses the host, nor ends the line', async (t) => {
  const redirects = [
    { from: '/go/:a/*', to: '/:splat/:a' },
    { from: '/all/*', to: '/:splat' },
    { from: '/q/:a', to: '/?a=:a' },
  ];
  const server = await serverOf(t, siteOf(t, {}), { redirects });
  const client = await Client.connect(t, server.port);
  t.deepEqual(await moved(client, '/go/evil.example/'), [301, '/evil.example']);
  t.deepEqual(await moved(client, '/all//evil.example'), [301, '/evil.example']);
  t.deepEqual(await moved(client, '/all/%0d%0aSet-Cookie:%20a=b'), [301, '/%0D%0ASet-Cookie%3A%20a%3Db']);
  t.deepEqual(await moved(client, '/q/1&b=2'), [301, '/?a=1%26b%3D2']);
  t.is((await client.get('/all/%2f%2fevil.example')).status, 404);
  t.is((await client.get('/all/%5cevil.example')).status, 404);
  const other = await Client.connect(t, server.port);
  t.is((await other.get('/all/../x')).status, 400);
});

test('the page of an application may have moved itself, and answers all the same', async (t) => {
  const root = siteOf(t, { 'index.html': 'app' });
  const server = await serverOf(t, root, { single: true, redirects: [{ from: '/index.html', to: '/' }] });
  const client = await Client.connect(t, server.port);
  for (const _ of [1, 2]) {
    t.is((await client.get('/route')).body.toString(), 'app');
    t.deepEqual(await moved(client, '/index.html'), [301, '/']);
    t.is((await client.get('/')).body.toString(), 'app');
  }
});

test('a host has its own', async (t) => {
  const root = siteOf(t, { f: 'here' });
  const redirects = [{ from: '/*', to: 'https://example.test/:splat' }];
  const server = await serverOf(t, root, { sites: [{ hosts: ['www.example.test'], root, redirects }] });
  const client = await Client.connect(t, server.port);
  client.send('GET /f?q HTTP/1.1\r\nHost: www.example.test:80\r\n\r\n');
  const reply = await client.reply();
  t.deepEqual([reply.status, reply.headers.get('location')], [301, 'https://example.test/f?q']);
  t.is((await client.get('/f')).body.toString(), 'here');
});

test('what is wrong with one is named', async (t) => {
  const root = siteOf(t, {});
  const refused = (redirects: unknown, message: RegExp) =>
    t.throwsAsync(FileServer.start({ root, port: 0, cores: 1, redirects } as never), { code, message });
  await refused([{ from: '/a' }], /redirects\[0\]\.to must be/);
  await refused(
    [{ from: '/a', to: '/b', status: 200 }],
    /redirects\[0\]\.status must be one of 301, 302, 303, 307, 308; got 200/,
  );
  await refused([{ from: 'a', to: '/b' }], /redirects\[0\]\.from is "a"; allowed: a path such as/);
  await refused(
    [{ from: '/a', to: '//evil.example' }],
    /redirects\[0\]\.to is "\/\/evil\.example"; allowed: a path with one first slash/,
  );
  await refused([{ from: '/a', to: '/:b' }], /names of from after colons/);
  await refused([{ from: '/*', to: '/all/:splat' }], /would redirect for ever/);
});
