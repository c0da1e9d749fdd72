// Ranges, conditions, confinement and change: what FileServer makes of the files below its root.
import { renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { bytesOf, Client, place, type Reply, serverOf, siteOf } from '../support/http';

const REVALIDATE_MS = 30;
const later = (): Promise<void> => new Promise((settle) => setTimeout(settle, 2 * REVALIDATE_MS));

for (const [name, size] of [
  ['small', 10_000],
  ['large', 3_000_000],
] as const) {
  test(`ranges of a ${name} file are exact`, async (t) => {
    const bytes = bytesOf(size);
    const server = await serverOf(t, siteOf(t, { 'f.txt': bytes }));
    const client = await Client.connect(t, server.port);
    for (const [range, start, end] of [
      ['0-0', 0, 1],
      ['1-', 1, size],
      ['-1', size - 1, size],
      ['5000-5999', 5000, 6000],
      ['0-999999999999', 0, size],
    ] as const) {
      const reply = await client.get('/f.txt', `Range: bytes=${range}`);
      t.is(reply.status, 206, range);
      t.is(reply.headers.get('content-range'), `bytes ${start}-${end - 1}/${size}`);
      t.true(reply.body.equals(bytes.subarray(start, end)), range);
    }
    const beyond = await client.get('/f.txt', `Range: bytes=${size}-`);
    t.is(beyond.status, 416);
    t.is(beyond.headers.get('content-range'), `bytes */${size}`);
    for (const odd of ['bytes=5-4', 'bytes=x', 'lines=1-2', 'bytes=']) {
      t.is((await client.get('/f.txt', `Range: ${odd}`)).status, 200, odd);
    }
    const many = await client.get('/f.txt', 'Range: bytes=0-9, 100-109, -5');
    const boundary = /^multipart\/byteranges; boundary=(.+)$/.exec(many.headers.get('content-type') ?? '')?.[1];
    const part = (start: number, end: number): Buffer =>
      Buffer.concat([
        Buffer.from(
          `--${boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes ${start}-${end - 1}/${size}\r\n\r\n`,
        ),
        bytes.subarray(start, end),
        Buffer.from('\r\n'),
      ]);
    const expected = [part(0, 10), part(100, 110), part(size - 5, size), Buffer.from(`--${boundary}--\r\n`)];
    t.true(many.body.equals(Buffer.concat(expected)));
    t.true((await client.get('/f.txt')).body.equals(bytes), 'the connection is in step');
  });

  test(`conditions on a ${name} file`, async (t) => {
    const server = await serverOf(t, siteOf(t, { f: bytesOf(size) }));
    const client = await Client.connect(t, server.port);
    const { headers } = await client.get('/f');
    const tag = headers.get('etag');
    const date = headers.get('last-modified');
    const past = 'Sun, 06 Nov 1994 08:49:37 GMT';
    for (const [status, ...lines] of [
      [304, `If-None-Match: ${tag}`],
      [304, `If-None-Match: "x", W/${tag}`],
      [304, 'If-None-Match: *'],
      [200, 'If-None-Match: "x"'],
      [304, `If-Modified-Since: ${date}`],
      [200, `If-Modified-Since: ${past}`],
      [200, 'If-None-Match: "x"', `If-Modified-Since: ${date}`],
      [200, `If-Match: ${tag}`],
      [412, 'If-Match: "x"'],
      [412, `If-Match: W/${tag}`],
      [200, `If-Unmodified-Since: ${date}`],
      [412, `If-Unmodified-Since: ${past}`],
      [206, 'Range: bytes=0-4', `If-Range: ${tag}`],
      [206, 'Range: bytes=0-4', `If-Range: ${date}`],
      [200, 'Range: bytes=0-4', 'If-Range: "x"'],
      [304, 'Range: bytes=0-4', `If-None-Match: ${tag}`],
    ] as const) {
      t.is((await client.get('/f', ...lines)).status, status, lines.join(', '));
    }
  });
}

test('nothing outside the root is served, whatever the path says or a link points to', async (t) => {
  const outside = siteOf(t, { secret: 'SECRET' });
  const root = siteOf(t, { 'dir/file': 'inside' });
  symlinkSync('dir/file', join(root, 'good'));
  symlinkSync(join(outside, 'secret'), join(root, 'absolute'));
  symlinkSync(outside, join(root, 'directory'));
  symlinkSync('../../../../../../../../etc', join(root, 'etc'));
  const server = await serverOf(t, root, { dotfiles: 'allow' });
  const get = async (path: string): Promise<Reply> => (await Client.connect(t, server.port)).get(path);
  t.is((await get('/good')).body.toString(), 'inside');
  const name = outside.split('/').pop();
  for (const path of [
    '/absolute',
    '/directory/secret',
    '/directory',
    '/etc/passwd',
    `/../${name}/secret`,
    `/%2e%2e/${name}/secret`,
    `/..%2f${name}%2fsecret`,
    `/dir/../../${name}/secret`,
    `/.%2e/${name}/secret`,
    `/..\\${name}\\secret`,
    `/%252e%252e/${name}/secret`,
    `/%c0%ae%c0%ae/${name}/secret`,
    '/etc/passwd%00.html',
    '/%00',
    '/%',
    '/%zz',
    `//..//${name}/secret`,
    `http://x/../${name}/secret`,
    `/good/../../${name}/secret`,
    `/..%5c${name}%5csecret`,
  ]) {
    const reply = await get(path);
    t.true([400, 404].includes(reply.status), `${path} gave ${reply.status}`);
    t.false(reply.body.includes('SECRET'), path);
    t.false(reply.body.includes('root:'), path);
  }
});

test('dotfiles are not served unless allowed, also when encoded', async (t) => {
  const root = siteOf(t, { '.env': 'SECRET', '.well-known/security.txt': 'contact' });
  for (const [dotfiles, env, known] of [
    ['deny', 404, 200],
    ['ignore', 404, 404],
    ['allow', 200, 200],
  ] as const) {
    const server = await serverOf(t, root, { dotfiles });
    const client = await Client.connect(t, server.port);
    for (const path of ['/.env', '/%2eenv', '/%2Eenv', '//.env']) t.is((await client.get(path)).status, env, path);
    t.is((await client.get('/.well-known/security.txt')).status, known);
  }
});

test('a redirect to a directory never leaves this host and keeps the query', async (t) => {
  const server = await serverOf(t, siteOf(t, { 'evil.example/index.html': 'x', 'a b/index.html': 'y' }));
  const client = await Client.connect(t, server.port);
  for (const [path, location] of [
    ['//evil.example', '/evil.example/'],
    ['/evil.example?next=//other', '/evil.example/?next=//other'],
    ['/%2fevil.example', undefined],
    ['/\\evil.example', undefined],
    ['/a%20b', '/a%20b/'],
  ] as const) {
    t.is((await client.get(path)).headers.get('location'), location, path);
  }
});

test('changes are seen: in place, by rename, gone, back, a directory', async (t) => {
  const root = siteOf(t, { f: 'one' });
  const server = await serverOf(t, root, { cache: { revalidateMs: REVALIDATE_MS } });
  const client = await Client.connect(t, server.port);
  const text = async (): Promise<string> => (await client.get('/f')).body.toString();
  t.is(await text(), 'one');
  place(root, 'f', 'two'); // The same size, and the times set back.
  await later();
  t.is(await text(), 'two');
  place(root, 'g', 'six');
  renameSync(join(root, 'g'), join(root, 'f'));
  await later();
  t.is(await text(), 'six');
  rmSync(join(root, 'f'));
  await later();
  t.is((await client.get('/f')).status, 404);
  place(root, 'f', bytesOf(100_000));
  await later(); // That it led to nothing is trusted as long as what it led to.
  t.true((await client.get('/f')).body.equals(bytesOf(100_000)));
  rmSync(join(root, 'f'));
  place(root, 'f/index.html', 'dir');
  await later();
  t.is((await client.get('/f')).status, 301);
});

test('a tag is weak while the file is fresh, and the options choose what it is made of', async (t) => {
  const root = siteOf(t, { old: 'x' });
  writeFileSync(join(root, 'new'), 'x');
  const tag = async (path: string, etag?: false | 'time' | 'inode' | 'content'): Promise<string | undefined> => {
    const server = await serverOf(t, root, etag === undefined ? {} : { etag });
    return (await (await Client.connect(t, server.port)).get(path)).headers.get('etag');
  };
  t.regex((await tag('/new')) ?? '', /^W\/"/);
  t.regex((await tag('/old')) ?? '', /^"[0-9a-f]+-[0-9a-f]+"$/);
  t.regex((await tag('/old', 'inode')) ?? '', /^"[0-9a-f]+-[0-9a-f]+-[0-9a-f]+"$/);
  t.is(await tag('/old', 'content'), await tag('/new', 'content'));
  t.is(await tag('/old', false), undefined);
});
