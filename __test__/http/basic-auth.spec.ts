// Names and passwords: what they guard, on every way to it, and what a client may send in their place.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { type BasicAuthOptions, FileServer, type FileServerOptions } from '../../index';
import { ringwheel, serving } from '../support/command';
import { bytesOf, Client, serverOf, siteOf } from '../support/http';
import { secure } from '../support/secure';

/** Of `secret`, cost 5. */
const ANN = '$2y$05$R7kiDLAAWq9E6sCQD2LSCeGnHadUHANsKXsIbeeC2hByUafQM11sq';
/** Of `pä:55 word`. */
const BOB = '$2y$05$JHf98On8.1sCNIxvEK.U7.Z9SM24xSS80NU80BBjxcmIZHpVqHFp6';
const INVALID = 'ERR_RINGWHEEL_INVALID_OPTION';

const basic = (text: string) => `Authorization: Basic ${Buffer.from(text).toString('base64')}`;
const RIGHT = basic('ann:secret');

test('files, ranges, HEAD, conditions, listings and errors are for who knows the password, from the disk and from the cache', async (t) => {
  const large = bytesOf(200_000);
  const root = siteOf(t, { a: 'hello', large, 'sub/x': '', 'dir/index.html': 'index' });
  const server = await serverOf(t, root, {
    basicAuth: { users: { ann: ANN, bob: BOB }, realm: 'Hall' },
    listing: true,
  });
  const client = await Client.connect(t, server.port);
  let tag = '';
  for (const _ of [1, 2, 3]) {
    const none = await client.get('/a');
    t.is(none.status, 401);
    t.is(none.headers.get('www-authenticate'), 'Basic realm="Hall", charset="UTF-8"');
    t.false(none.body.includes('hello'));
    const reply = await client.get('/a', RIGHT);
    t.is(reply.body.toString(), 'hello');
    t.is(reply.headers.get('cache-control'), 'private');
    tag = reply.headers.get('etag') ?? '';
    t.is((await client.get('/a', basic('bob:pä:55 word'))).status, 200);
    for (const fields of [[`If-None-Match: ${tag}`], ['Range: bytes=0-1'], ['Connection: keep-alive']]) {
      for (const path of ['/a', '/large', '/sub/', '/dir', '/dir/', '/missing', '/%61', '//a', '/a?x=1']) {
        t.is((await client.get(path, ...fields)).status, 401, `${fields} ${path}`);
      }
    }
    t.is((await client.ask('HEAD', '/a')).status, 401);
    t.is((await client.ask('HEAD', '/a', RIGHT)).status, 200);
    t.is((await client.get('/a', RIGHT, `If-None-Match: ${tag}`)).status, 304);
    t.is((await client.get('/a', RIGHT, 'Range: bytes=1-2')).body.toString(), 'el');
    t.true((await client.get('/large', RIGHT)).body.equals(large));
    const listing = await client.get('/sub/', RIGHT);
    t.is(listing.status, 200);
    t.is(listing.headers.get('cache-control'), 'private, no-cache');
    t.is((await client.get('/missing', RIGHT)).status, 404);
    t.is((await client.ask('DELETE', '/a')).status, 401);
    client.send('OPTIONS /a HTTP/1.1\r\nHost: t\r\n\r\n');
    t.is((await client.reply()).status, 204);
    const absolute = `GET http://test/a HTTP/1.1\r\nHost: test\r\n\r\n`;
    client.send(absolute);
    t.is((await client.reply()).status, 401);
  }
  // Pipelined, in order, with one whose password nobody has hashed yet between them.
  const request = (path: string, ...fields: string[]) =>
    [`GET ${path} HTTP/1.1`, 'Host: t', ...fields, '', ''].join('\r\n');
  client.send(
    request('/a', RIGHT) +
      request('/a') +
      request('/a', basic('ann:wrong')) +
      request('/large', RIGHT) +
      request('/a', RIGHT),
  );
  const statuses = [];
  for (let nth = 0; nth < 5; nth++) statuses.push((await client.reply()).status);
  t.deepEqual(statuses, [200, 401, 401, 200, 200]);
});

test('what is no name and password is refused like a wrong one', async (t) => {
  const server = await serverOf(t, siteOf(t, { a: 'hello' }), {
    basicAuth: { users: { ann: ANN } },
    limits: { headerBytes: 2 ** 18 },
  });
  const client = await Client.connect(t, server.port);
  for (const fields of [
    [basic('ann:Secret')],
    [basic('ann:secret\0')],
    [basic('ann:')],
    [basic(':secret')],
    [basic('nobody:secret')],
    [basic('ann')],
    [basic('')],
    ['Authorization: Basic'],
    ['Authorization:'],
    ['Authorization: Basic !!!'],
    ['Authorization: Basic YW5uOnNlY3JldA'.slice(0, -1)],
    ['Authorization: Bearer YW5uOnNlY3JldA=='],
    [RIGHT, RIGHT],
    [RIGHT, basic('ann:wrong')],
    [basic(`ann:${'x'.repeat(65_536)}`)],
    [basic(`${'x'.repeat(3000)}:secret`)],
    ['Proxy-Authorization: Basic YW5uOnNlY3JldA=='],
    ['X: y', 'Cookie: Authorization: Basic YW5uOnNlY3JldA=='],
  ]) {
    t.is((await client.get('/a', ...fields)).status, 401, String(fields).slice(0, 80));
  }
  t.is((await client.get('/a', 'aUTHORIZATION: bASIC YW5uOnNlY3JldA')).status, 200);
  t.is(server.stats().statuses['401'], 18);
});

test('parts of a site: the longest directory counts, and no spelling goes around it', async (t) => {
  const root = siteOf(t, {
    a: 'open',
    'admin/index.html': 'admin',
    'admin/x.html': 'x',
    'admin/deep/y': 'y',
    administrators: 'open',
    'app.html': 'page',
  });
  const server = await serverOf(t, root, {
    basicAuth: [
      { paths: ['/admin/'], users: { ann: ANN } },
      { paths: ['/admin/deep/'], users: { bob: BOB }, realm: 'Deep' },
    ],
    extensions: ['html'],
    single: 'app.html',
    redirects: [{ from: '/admin/old', to: '/secret-place' }],
    rewrites: [{ from: '/public/*', to: '/:splat' }],
    maxAge: 60,
  });
  const client = await Client.connect(t, server.port);
  const ask = async (path: string, ...fields: string[]) => (await client.get(path, ...fields)).status;
  for (const _ of [1, 2]) {
    for (const path of ['/a', '/public/a', '/administrators', '/', '/app', '/other']) t.is(await ask(path), 200, path);
    for (const path of [
      '/admin',
      '/admin/',
      '/admin/x',
      '/admin/x.html',
      '/admin/old',
      '/admin/route',
      '/ADMIN/x.html',
      '/%61dmin/x.html',
      '//admin//x.html',
      '/admin/%78.html',
      '/admin/x.html?y',
      '/admin/deep/y',
      '/public/admin/x.html',
      '/public/%61dmin/x.html',
      '/public/Admin',
    ]) {
      t.is(await ask(path), 401, path);
    }
    const dots = await Client.connect(t, server.port);
    t.is((await dots.get('/admin/../admin/x.html')).status, 400);
    t.is(await ask('/admin%2fx.html'), 404);
    for (const path of ['/admin/', '/admin/x', '/admin/x.html', '/public/admin/x.html'])
      t.is(await ask(path, RIGHT), 200, path);
    t.is(await ask('/admin/old', RIGHT), 301);
    t.is(await ask('/admin/deep/y', RIGHT), 401);
    t.is(await ask('/admin/deep/y', basic('bob:pä:55 word')), 200);
    const control = async (path: string, ...fields: string[]) =>
      (await client.get(path, ...fields)).headers.get('cache-control');
    t.is(await control('/a'), 'public, max-age=60');
    t.is(await control('/admin/x', RIGHT), 'private, max-age=60');
  }
});

test('the password of where a path leads: rewrites, the single page, extensions; not of a page for what goes wrong', async (t) => {
  const root = siteOf(t, {
    a: 'open',
    'admin/a': 'guarded file',
    'admin/app.html': 'guarded page',
    'admin/large': bytesOf(200_000),
    'admin/dir/index.html': 'guarded index',
    'deep/x': 'for bob',
    'page.html': 'guarded by its own name',
    'admin/404.html': 'none',
  });
  const options: Partial<FileServerOptions> = {
    basicAuth: [
      { paths: ['/admin/', '/page.html/'], users: { ann: ANN } },
      { paths: ['/deep/'], users: { bob: BOB } },
    ],
    rewrites: [
      { from: '/to-admin/*', to: '/admin/:splat' },
      { from: '/admin/to-deep/:name', to: '/deep/:name' },
      { from: '/to-open/*', to: '/a' },
      { from: '/*', to: '/admin/:splat' },
    ],
    extensions: ['html'],
    errorPages: { 404: 'admin/404.html' },
  };
  const server = await serverOf(t, root, options);
  for (const client of [await Client.connect(t, server.port), await secure(t, root, options)]) {
    const ask = async (path: string, ...fields: string[]) => {
      const { status, body } = await client.get(path, ...fields);
      return status === 200 ? body.toString().slice(0, 30) : status;
    };
    for (const _ of [1, 2, 3]) {
      // A rule for every path asks nothing for files that are there, nor for those of other rules.
      t.is(await ask('/a'), 'open');
      t.is(await ask('/to-open/x'), 'open');
      for (const path of [
        '/to-admin/a',
        '/to-admin/app',
        '/to-admin/dir',
        '/to-admin/none',
        '/app.html',
        '/none',
        '/page',
      ]) {
        t.is(await ask(path), 401, path);
        t.is(await ask(path, basic('ann:wrong')), 401, path);
        t.is(await ask(path, basic('bob:pä:55 word')), 401, path);
      }
      t.is(await ask('/to-admin/large', 'Range: bytes=0-9'), 401);
      t.is((await client.ask('HEAD', '/to-admin/large')).status, 401);
      t.is(await ask('/to-admin/a', RIGHT), 'guarded file');
      t.is(await ask('/to-admin/app', RIGHT), 'guarded page');
      t.is(await ask('/app.html', RIGHT), 'guarded page');
      t.is(await ask('/to-admin/dir', RIGHT), 301);
      t.is(await ask('/to-admin/dir/', RIGHT), 'guarded index');
      t.is(await ask('/page', RIGHT), 'guarded by its own name');
      t.true((await client.get('/to-admin/large', RIGHT)).body.equals(bytesOf(200_000)));
      const none = await client.get('/none', RIGHT);
      t.deepEqual([none.status, none.body.toString()], [404, 'none']);
      const found = await client.get('/to-admin/a', RIGHT);
      t.is(found.headers.get('cache-control'), 'private');
      const tag = `If-None-Match: ${found.headers.get('etag')}`;
      t.deepEqual([await ask('/to-admin/a', tag), await ask('/to-admin/a', tag, RIGHT)], [401, 304]);
      // Both parts are asked, and nobody here is in both.
      for (const fields of [[], [RIGHT], [basic('bob:pä:55 word')]])
        t.is(await ask('/admin/to-deep/x', ...fields), 401);
    }
  }
  const single = await serverOf(t, root, { basicAuth: options.basicAuth ?? [], single: 'admin/app.html' });
  const client = await Client.connect(t, single.port);
  for (const _ of [1, 2]) {
    t.is((await client.get('/route')).status, 401);
    t.is((await client.get('/route', RIGHT)).body.toString(), 'guarded page');
    t.is((await client.get('/a')).body.toString(), 'open');
  }
});

test('each site has its own, and a password of one opens no other', async (t) => {
  const root = siteOf(t, { a: 'hello' });
  const server = await serverOf(t, root, {
    sites: [
      { hosts: ['one.example'], root, basicAuth: { users: { ann: ANN } }, cacheControl: 'public, max-age=5' },
      { hosts: ['two.example'], root, basicAuth: { users: { bob: BOB } } },
    ],
  });
  const client = await Client.connect(t, server.port);
  const ask = async (host: string, ...fields: string[]) => {
    client.send(['GET /a HTTP/1.1', `Host: ${host}`, ...fields, '', ''].join('\r\n'));
    return client.reply();
  };
  for (const _ of [1, 2]) {
    t.is((await ask('none.example')).status, 200);
    t.is((await ask('one.example')).status, 401);
    const mine = await ask('one.example', RIGHT);
    t.is(mine.status, 200);
    t.is(mine.headers.get('cache-control'), 'public, max-age=5');
    t.is((await ask('two.example', RIGHT)).status, 401);
    t.is((await ask('two.example', basic('bob:pä:55 word'))).status, 200);
  }
});

test('a file of htpasswd is read, and read again by reload; a bad one changes nothing', async (t) => {
  const file = join(siteOf(t, {}), 'users');
  writeFileSync(file, `# who may\n\nann:${ANN}\n`);
  const log = join(siteOf(t, {}), 'log');
  const server = await serverOf(t, siteOf(t, { a: 'hello' }), {
    basicAuth: { file, users: { bob: BOB } },
    accessLog: log,
  });
  const client = await Client.connect(t, server.port);
  t.is((await client.get('/a', RIGHT)).status, 200);
  t.is((await client.get('/a', basic('bob:pä:55 word'))).status, 200);
  writeFileSync(file, `ann:${ANN}\nbroken\n`);
  await t.throwsAsync(server.reload(), {
    code: 'ERR_RINGWHEEL_SERVER',
    message: /users" has line 2 that has no colon/,
  });
  t.is((await client.get('/a', RIGHT)).status, 200);
  writeFileSync(file, '');
  await server.reload();
  // Also on a connection that was let in before.
  t.is((await client.get('/a', RIGHT)).status, 401);
  t.is((await client.get('/a', basic('bob:pä:55 word'))).status, 200);
  await server.close();
  t.deepEqual(
    readFileSync(log, 'utf8')
      .trim()
      .split('\n')
      .map((line) => line.split(' ')[2]),
    ['ann', 'bob', 'ann', '-', 'bob'],
  );
});

test('many wrong passwords keep nobody out who is in, and hold no other answer up', async (t) => {
  const server = await serverOf(t, siteOf(t, { a: 'hello', 'in/b': 'b' }), {
    basicAuth: { paths: ['/in/'], users: { ann: ANN } },
  });
  const inside = await Client.connect(t, server.port);
  t.is((await inside.get('/in/b', RIGHT)).status, 200);
  const guesses = await Promise.all(
    Array.from({ length: 150 }, async (_, nth) =>
      (await Client.connect(t, server.port)).get('/in/b', basic(`ann:${nth}`)),
    ),
  );
  t.true(guesses.every(({ status }) => status === 401 || status === 503));
  t.true(guesses.some(({ status }) => status === 401));
  t.is((await inside.get('/in/b', RIGHT)).status, 200);
  t.is((await inside.get('/a')).status, 200);
});

test('the options are checked, and no hash is in an error', async (t) => {
  const root = siteOf(t, { a: '' });
  for (const [basicAuth, message] of [
    [true, /basicAuth must be/],
    [{}, /basicAuth\[0\] is without users; allowed: users, or the file/],
    [
      { users: { ann: 'secret' } },
      /basicAuth\[0\]\.users is an entry "ann" that is not hashed with bcrypt: make it with htpasswd -B/,
    ],
    [{ users: { ann: ANN.slice(0, -1) } }, /is no whole bcrypt hash/],
    [{ users: { ann: ANN.replace('05', '31') } }, /a cost that is not from 04 to 15/],
    [{ users: { 'a:b': ANN } }, /is no name/],
    [{ users: { ann: ANN }, paths: ['admin'] }, /basicAuth\[0\]\.paths is "admin"; allowed: directories such as/],
    [{ users: { ann: ANN }, paths: ['/a/../b/'] }, /paths is/],
    [{ users: { ann: ANN }, paths: [] }, /length of the list/],
    [{ users: { ann: ANN }, realm: 'a"b' }, /basicAuth\[0\]\.realm is/],
    [{ users: { ann: ANN }, realms: 'a' }, /basicAuth\.realms.*did you mean/],
  ] as const) {
    const error = await t.throwsAsync(FileServer.start({ root, port: 0, basicAuth } as unknown as FileServerOptions), {
      code: INVALID,
      message,
    });
    t.false(error?.message.includes('$2y$'));
  }
  const missing = { root, basicAuth: { file: '/nowhere/users' } satisfies BasicAuthOptions };
  await t.throwsAsync(FileServer.check(missing), { code: 'ERR_RINGWHEEL_SERVER', message: /cannot be read/ });
  const fifo = join(root, 'fifo');
  execFileSync('mkfifo', [fifo]);
  await t.throwsAsync(FileServer.check({ root, basicAuth: { file: fifo } }), { message: /it is no regular file/ });
  const twice = join(root, 'twice');
  writeFileSync(twice, `ann:${ANN}\nann:${ANN}\n`);
  await t.throwsAsync(FileServer.check({ root, basicAuth: { file: twice } }), {
    message: /line 2 that names somebody/,
  });
  const known = await FileServer.check({ root, basicAuth: { users: { ann: ANN } } });
  t.deepEqual(known.basicAuth, [{ paths: ['/'], realm: 'Restricted', users: { ann: ANN } }]);
});

test('ringwheel serve asks for the passwords of a file', async (t) => {
  const root = siteOf(t, { a: 'hello' });
  const file = join(siteOf(t, {}), 'users');
  writeFileSync(file, `ann:${ANN}\n`);
  const args = ['--no-config', root, '--port', '0', '--cores', '1', '--basic-auth', file];
  const { running, facts } = await serving(args);
  t.is((await fetch(`${facts.url}/a`)).status, 401);
  const authorization = RIGHT.slice('Authorization: '.length);
  t.is(await (await fetch(`${facts.url}/a`, { headers: { authorization } })).text(), 'hello');
  running.child.kill('SIGTERM');
  t.is((await running.ended).code, 0);
  const checked = await ringwheel(['serve', '--check', '--json', ...args]);
  t.deepEqual(JSON.parse(checked.stdout).basicAuth, [{ paths: ['/'], realm: 'Restricted', users: {}, file }]);
});
