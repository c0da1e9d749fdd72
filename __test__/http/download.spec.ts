// Content-Disposition: which files browsers save, and under which name.
import test from 'ava';
import { FileServer, type FileServerOptions } from '../../index';
import { bytesOf, Client, serverOf, siteOf } from '../support/http';
import { secure } from '../support/secure';

const FIELD = 'content-disposition';

async function saved(client: Client, path: string, ...lines: string[]) {
  return (await client.get(path, ...lines)).headers.get(FIELD);
}

test('files of a pattern are saved under their own names, whatever these are', async (t) => {
  const names = ['a.zip', 'a b.zip', 'größe.zip', '100%.zip', 'say "hi".zip', 'line\r\nX-Evil: 1.zip'];
  const root = siteOf(t, { ...Object.fromEntries(names.map((name) => [name, name])), 'a.txt': 'text' });
  const server = await serverOf(t, root, { download: ['*.zip'] });
  const client = await Client.connect(t, server.port);
  const expected = [
    'attachment; filename="a.zip"',
    'attachment; filename="a b.zip"',
    'attachment; filename="gr__e.zip"; filename*=UTF-8\'\'gr%C3%B6%C3%9Fe.zip',
    'attachment; filename="100%.zip"; filename*=UTF-8\'\'100%25.zip',
    'attachment; filename="say \\"hi\\".zip"',
    'attachment; filename="line__X-Evil: 1.zip"; filename*=UTF-8\'\'line%0D%0AX-Evil%3A%201.zip',
  ];
  for (const _ of [1, 2]) {
    for (const [at, name] of names.entries()) {
      const reply = await client.get(`/${encodeURIComponent(name)}`);
      t.is(reply.headers.get(FIELD), expected[at]);
      t.is(reply.headers.get('x-evil'), undefined);
      t.is(reply.body.toString(), name);
    }
    t.is(await saved(client, '/a.txt'), undefined);
    t.is(await saved(client, '/none.zip'), undefined, 'not of an error');
  }
});

test('HEAD, 304, ranges, large, packed and found files say the same; a later pattern and headers go over it', async (t) => {
  const root = siteOf(t, {
    'r/a.csv': 'a,b',
    'r/a.csv.gz': 'packed',
    'r/large.csv': bytesOf(300_000),
    'r/shown.csv': 's',
    'r/index.html': 'index',
    'p.html': 'page',
  });
  const options: Partial<FileServerOptions> = {
    download: { '*.csv': ':name', '/r/*': 'acme-:name', 'p.html': 'page.html' },
    headers: { '/r/shown.csv': { 'Content-Disposition': 'inline' } },
    gzip: true,
    cleanUrls: true,
  };
  for (const client of [
    await Client.connect(t, (await serverOf(t, root, options)).port),
    await secure(t, root, options),
  ]) {
    const own = 'attachment; filename="acme-a.csv"';
    const first = await client.get('/r/a.csv');
    t.is(first.headers.get(FIELD), own);
    t.is((await client.ask('HEAD', '/r/a.csv')).headers.get(FIELD), own);
    const again = await client.get('/r/a.csv', `If-None-Match: ${first.headers.get('etag')}`);
    t.deepEqual([again.status, again.headers.get(FIELD)], [304, own]);
    t.is(await saved(client, '/r/a.csv', 'Range: bytes=0-0'), own);
    t.is(await saved(client, '/r/a.csv', 'Accept-Encoding: gzip'), own, 'of what is unpacked again');
    t.is(await saved(client, '/r/large.csv'), 'attachment; filename="acme-large.csv"');
    t.is(await saved(client, '/r/large.csv', 'Range: bytes=5-200000'), 'attachment; filename="acme-large.csv"');
    t.is(await saved(client, '/r/'), 'attachment; filename="acme-index.html"');
    t.is(await saved(client, '/p'), 'attachment; filename="page.html"');
    t.is(await saved(client, '/r/shown.csv'), 'inline');
  }
});

test('a host has its own, and what is wrong is named', async (t) => {
  const root = siteOf(t, { 'a.zip': 'zip' });
  const server = await serverOf(t, root, { sites: [{ hosts: ['files.test'], root, download: ['*'] }] });
  const client = await Client.connect(t, server.port);
  t.is(await saved(client, '/a.zip'), undefined);
  t.is(await saved(client, 'http://files.test/a.zip'), 'attachment; filename="a.zip"');
  const refused = (download: unknown, message: RegExp) =>
    t.throwsAsync(FileServer.start({ root, port: 0, cores: 1, download } as never), {
      code: 'ERR_RINGWHEEL_INVALID_OPTION',
      message,
    });
  await refused(['['], /download\[0\]\.pattern is "\["; allowed: a glob/);
  await refused({ '*': '../:name' }, /download\[0\]\.name is "\.\.\/:name"; allowed: a file name/);
  await refused({ '*': 'a\nb' }, /download\[0\]\.name is "a\\nb"/);
  await refused('*.zip', /download must be/);
  const { download } = await FileServer.check({ root, download: ['*.zip'] });
  t.deepEqual(download, ['*.zip']);
  t.deepEqual((await FileServer.check({ root, download: { a: 'b' } })).download, { a: 'b' });
});
