// The access log: a line for each answer, whatever a client sends, and whatever becomes of the file.
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import test from 'ava';
import { FileServer, type FileServerOptions } from '../../index';
import { ringwheel, serving } from '../support/command';
import { bytesOf, Client, serverOf, siteOf } from '../support/http';
import { LOCALHOST } from '../support/secure';

const INVALID = 'ERR_RINGWHEEL_INVALID_OPTION';

/** The lines of a file, once there are so many; empty while it is not there. */
async function lines(file: string, count: number): Promise<string[]> {
  for (let attempt = 0; ; attempt++) {
    const found = existsSync(file) ? readFileSync(file, 'latin1').split('\n').slice(0, -1) : [];
    if (found.length >= count || attempt > 1000) return found;
    await new Promise((settle) => setTimeout(settle, 20));
  }
}

/** What a line of the combined format says. */
function parsed(line: string) {
  const match =
    /^(\S+) - - \[(\d\d\/\w{3}\/\d{4}:\d\d:\d\d:\d\d \+0000)\] "([^"]*)" (\d+) (\d+|-) "([^"]*)" "([^"]*)"$/.exec(line);
  if (match === null) throw new Error(`no line of the combined format: ${line}`);
  const [, client, time, request, status, bytes, referer, agent] = match;
  return { client, time, request, status: Number(status), bytes: bytes === '-' ? 0 : Number(bytes), referer, agent };
}

test('every kind of answer has its line, in order, with the bytes of its body', async (t) => {
  const file = join(siteOf(t, {}), 'access.log');
  const large = bytesOf(300_000);
  const root = siteOf(t, { a: 'hello', large, 'dir/index.html': '' });
  const server = await serverOf(t, root, { accessLog: file });
  const client = await Client.connect(t, server.port);
  const { headers } = await client.get('/a', 'Referer: http://r.example/', 'User-Agent: spec/1');
  await client.get('/a'); // From the cache.
  await client.ask('HEAD', '/a');
  await client.get('/a', `If-None-Match: ${headers.get('etag')}`);
  await client.get('/large');
  await client.get('/large', 'Range: bytes=10-19');
  const parts = await client.get('/large', 'Range: bytes=0-9,100000-199999');
  await client.get('/dir');
  const missing = await client.get('/missing?q=1');
  await client.ask('DELETE', '/a');
  client.send(
    `${'GET /a HTTP/1.1\r\nHost: t\r\n\r\n'.repeat(3)}GET /large HTTP/1.1\r\nHost: t\r\n\r\nGET  / HTTP/1.1\r\n\r\n`,
  );
  const bodies = [];
  for (let nth = 0; nth < 5; nth++) bodies.push((await client.reply()).body.length);
  const found = (await lines(file, 15)).map(parsed);
  const said = (nth: number) => `${found[nth]?.request} ${found[nth]?.status} ${found[nth]?.bytes}`;
  t.deepEqual(
    found.map((_, nth) => said(nth)),
    [
      'GET /a HTTP/1.1 200 5',
      'GET /a HTTP/1.1 200 5',
      'HEAD /a HTTP/1.1 200 0',
      'GET /a HTTP/1.1 304 0',
      'GET /large HTTP/1.1 200 300000',
      'GET /large HTTP/1.1 206 10',
      `GET /large HTTP/1.1 206 ${parts.body.length}`,
      said(7),
      `GET /missing?q=1 HTTP/1.1 404 ${missing.body.length}`,
      said(9),
      ...[5, 5, 5].map((bytes) => `GET /a HTTP/1.1 200 ${bytes}`),
      'GET /large HTTP/1.1 200 300000',
      `GET  / HTTP/1.1 400 ${bodies[4]}`,
    ],
  );
  t.regex(said(7), /^GET \/dir HTTP\/1\.1 301 /);
  t.regex(said(9), /^DELETE \/a HTTP\/1\.1 405 /);
  t.deepEqual([found[0]?.referer, found[0]?.agent, found[1]?.agent], ['http://r.example/', 'spec/1', '-']);
  t.is(found[0]?.client, '127.0.0.1');
  const time = Date.parse((found[0]?.time ?? '').replace(/^(\S+?):/, '$1 ').replaceAll('/', ' '));
  t.true(Math.abs(Date.now() - time) < 120_000, found[0]?.time);
  t.is(statSync(file).mode & 0o777, 0o640 & ~process.umask());
});

test('refusals: what is no request, what comes too slowly, and who finds no room', async (t) => {
  const file = join(siteOf(t, {}), 'access.log');
  const server = await serverOf(t, siteOf(t, { a: '' }), {
    accessLog: { file, format: 'json' },
    limits: { headerTimeoutMs: 3000, headerBytes: 1024, uriBytes: 512, connections: 1 },
  });
  const refused = async (bytes: string | Uint8Array) => {
    const before = server.stats().accepted;
    const client = await Client.connect(t, server.port);
    client.send(bytes);
    await client.rest();
    client.socket.destroy();
    while (server.stats().connections > 0 || server.stats().accepted === before) {
      await new Promise((settle) => setTimeout(settle, 5));
    }
  };
  await refused('GET /a HTTP/1.1\r\nHo');
  await refused(`GET /${'x'.repeat(600)} HTTP/1.1\r\nHost: t\r\n\r\n`);
  await refused(`GET /a HTTP/1.1\r\nHost: t\r\nX: ${'x'.repeat(2000)}\r\n\r\n`);
  await refused(Buffer.from('\x16\x03\x01"\\\n\u2028\r\n\r\n'));
  const first = await Client.connect(t, server.port);
  await first.get('/a');
  const second = await Client.connect(t, server.port);
  const last = await second.rest();
  t.regex(last.toString(), /^HTTP\/1\.1 503 /);
  const found = (await lines(file, 6)).map((line) => JSON.parse(line));
  t.deepEqual(
    found.map(({ status, request }) => [status, request.slice(0, 40)]),
    [
      [408, 'GET /a HTTP/1.1'],
      [414, `GET /${'x'.repeat(35)}`],
      [431, 'GET /a HTTP/1.1'],
      [400, '\\x16\\x03\\x01\\x22\\x5C'],
      [200, 'GET /a HTTP/1.1'],
      [503, ''],
    ],
  );
  t.is(found[5].bytes, last.length - last.indexOf('\r\n\r\n') - 4);
  for (const { client, time, durationUs } of found) {
    t.is(client, '127.0.0.1');
    t.true(Math.abs(Date.now() - Date.parse(time)) < 120_000);
    t.true(durationUs >= 0);
  }
});

test('no request can forge a line, and what is huge is cut', async (t) => {
  const file = join(siteOf(t, {}), 'access.log');
  const server = await serverOf(t, siteOf(t, { a: '' }), {
    accessLog: file,
    limits: { headerBytes: 2 ** 20, uriBytes: 2 ** 19 },
  });
  const client = await Client.connect(t, server.port);
  const forged = '1.2.3.4 - - [x] "GET / HTTP/1.1" 200 1 "-" "-"';
  client.send(
    `GET /%0a"${'y'.repeat(100_000)} HTTP/1.1\r\nHost: t\r\nUser-Agent: \x1b[2J${forged}\t\xff\\\r\nReferer: ${'\xe4'.repeat(50_000)}\r\n\r\n`,
  );
  await client.reply();
  const [line = '', ...others] = await lines(file, 1);
  t.is(others.length, 0);
  const { request, agent, referer } = parsed(line);
  t.is(request, `GET /%0a\\x22${'y'.repeat(8192 - 9)}...`);
  t.regex(agent ?? '', /^\\x1B\[2J1\.2\.3\.4 - - \[x\] \\x22GET \/ HTTP\/1\.1\\x22/);
  // As utf8, two bytes each.
  t.is(referer, `${'\\xC3\\xA4'.repeat(1024)}...`);
});

test('an answer that is cut says how much of it the system took', async (t) => {
  const file = join(siteOf(t, {}), 'access.log');
  const size = 64 << 20;
  const root = siteOf(t, { large: '' });
  execFileSync('truncate', ['-s', String(size), join(root, 'large')]);
  const server = await serverOf(t, root, { accessLog: file });
  const client = await Client.connect(t, server.port);
  const some = new Promise((settle) => client.socket.once('data', settle));
  client.send('GET /large HTTP/1.1\r\nHost: t\r\n\r\n');
  await some;
  client.socket.destroy();
  const [line = ''] = await lines(file, 1);
  const { status, bytes } = parsed(line);
  t.is(status, 200);
  t.true(bytes > 0 && bytes < size, String(bytes));
});

test('behind a proxy it is the client whom the proxy names; over TLS and with sites all is the same', async (t) => {
  const directory = siteOf(t, {});
  const large = bytesOf(200_000);
  const root = siteOf(t, { a: 'hello', large });
  const server = await serverOf(t, root, {
    accessLog: { file: join(directory, 'access.log'), format: 'json' },
    proxyProtocol: true,
    tls: LOCALHOST,
    sites: [{ hosts: ['other.example'], root }],
  });
  const plain = await Client.connect(t, server.port);
  plain.send('PROXY TCP6 2001:db8::7 2001:db8::1 40000 80\r\n');
  const socket = connectTls({ socket: plain.socket, servername: 'localhost', rejectUnauthorized: false });
  t.teardown(() => socket.destroy());
  const client = Client.over(socket);
  await client.get('/a');
  await client.get('/large');
  client.send('GET /a HTTP/1.1\r\nHost: other.example\r\n\r\n'.repeat(2));
  for (let nth = 0; nth < 2; nth++) await client.reply();
  const http = await Client.connect(t, server.port);
  http.send('PROXY TCP4 192.0.2.1 198.51.100.1 40000 80\r\nGET / HTTP/1.1\r\n\r\n');
  await http.rest();
  const found = (await lines(join(directory, 'access.log'), 5)).map((line) => JSON.parse(line));
  t.deepEqual(
    found.map(({ client, host, status, bytes }) => [client, host, status, status === 200 && bytes]),
    [
      ['2001:db8::7', 'test', 200, 5],
      ['2001:db8::7', 'test', 200, 200_000],
      ['2001:db8::7', 'other.example', 200, 5],
      ['2001:db8::7', 'other.example', 200, 5],
      ['192.0.2.1', null, 400, false],
    ],
  );
});

test('reload goes on in a new file, and a close writes all that waits', async (t) => {
  const directory = siteOf(t, {});
  const file = join(directory, 'access.log');
  writeFileSync(file, 'before\n');
  const server = await FileServer.start({ root: siteOf(t, { a: '' }), port: 0, cores: 1, accessLog: { file } });
  const client = await Client.connect(t, server.port);
  await client.get('/a');
  renameSync(file, `${file}.1`);
  await server.reload();
  for (let nth = 0; nth < 1000; nth++) await client.get('/a');
  await server.close();
  t.is(server.stats().accessLogDropped, 0);
  t.is(server.stats().accessLogError, undefined);
  const [old, fresh] = [await lines(`${file}.1`, 0), await lines(file, 0)];
  t.is(old[0], 'before');
  t.is(old.length + fresh.length, 1002);
  t.true(fresh.length >= 1000, String(fresh.length));
  const other = await serverOf(t, siteOf(t, { a: '' }), { accessLog: file });
  rmSync(file);
  mkdirSync(file);
  await t.throwsAsync(other.reload(), { code: 'ERR_RINGWHEEL_SERVER', message: /access log .* cannot be written/ });
});

test('a full disk and a reader that does not read cost lines, which are counted, and nothing else', async (t) => {
  const root = siteOf(t, { a: 'hello' });
  const full = await serverOf(t, root, { accessLog: '/dev/full' });
  const client = await Client.connect(t, full.port);
  for (let nth = 0; nth < 10; nth++) t.is((await client.get('/a')).status, 200);
  while (full.stats().accessLogDropped < 10) await new Promise((settle) => setTimeout(settle, 20));
  t.regex(full.stats().accessLogError ?? '', /[Nn]o space/);

  const fifo = join(siteOf(t, {}), 'fifo');
  execFileSync('mkfifo', [fifo]);
  await t.throwsAsync(FileServer.start({ root, port: 0, cores: 1, accessLog: fifo }), {
    message: /start who reads it first/,
  });
  const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
  const server = await FileServer.start({ root, port: 0, cores: 1, accessLog: { file: fifo, bufferBytes: 65_536 } });
  const many = await Client.connect(t, server.port);
  for (let round = 0; round < 40; round++) {
    many.send(`GET /a HTTP/1.1\r\nHost: t\r\nUser-Agent: ${'x'.repeat(100)}\r\n\r\n`.repeat(100));
    for (let nth = 0; nth < 100; nth++) await many.reply();
  }
  t.true(server.stats().accessLogDropped > 0);
  await server.close();
  let read = 0;
  const bytes = Buffer.alloc(1 << 20);
  for (let count = 1; count > 0; ) {
    count = readSync(reader, bytes);
    read += bytes.subarray(0, count).filter((byte) => byte === 10).length;
  }
  closeSync(reader);
  t.is(read + server.stats().accessLogDropped, 4000);
});

test('what cannot be a log is refused before anything listens', async (t) => {
  const directory = siteOf(t, {});
  const root = siteOf(t, { a: '', 'sub/b': '' });
  symlinkSync(root, join(directory, 'link'));
  const base: FileServerOptions = { root, port: 0, cores: 1 };
  for (const how of ['start', 'check'] as const) {
    for (const [accessLog, code, message] of [
      [directory, 'ERR_RINGWHEEL_SERVER', /name a file in it/],
      [join(directory, 'none/access.log'), 'ERR_RINGWHEEL_SERVER', /create its directory/],
      [join(root, 'access.log'), 'ERR_RINGWHEEL_SERVER', /lies below a directory that is served/],
      [join(directory, 'link/sub/access.log'), 'ERR_RINGWHEEL_SERVER', /lies below a directory that is served/],
      [7, INVALID, /accessLog must be/],
      [{ file: 'x', format: 'apache' }, INVALID, /accessLog\.format must be one of 'common', 'combined', 'json'/],
      [{ bufferBytes: 1 }, INVALID, /accessLog\.bufferBytes must be a whole number from 65536/],
      [{ path: 'x' }, INVALID, /accessLog\.path/],
    ] as const) {
      await t.throwsAsync(FileServer[how]({ ...base, accessLog } as FileServerOptions), { code, message });
    }
  }
  t.false(existsSync(join(root, 'access.log')));
  const file = join(directory, 'access.log');
  const known = await FileServer.check({ ...base, accessLog: file });
  t.deepEqual(known.accessLog, { file, format: 'combined', bufferBytes: 1_048_576 });
  t.is((await FileServer.check(base)).accessLog, false);
  t.false(existsSync(file));
});

test('ringwheel serve logs to standard output, and opens a file again on SIGHUP', async (t) => {
  const root = siteOf(t, { a: 'hello' });
  const args = ['--no-config', root, '--port', '0', '--cores', '1'];
  const { running, facts } = await serving([...args, '--access-log', '--access-log-format', 'common']);
  await fetch(`${facts.url}/a`);
  running.child.kill('SIGTERM');
  const { code, stdout } = await running.ended;
  t.is(code, 0);
  t.regex(stdout.split('\n')[1] ?? '', /^127\.0\.0\.1 - - \[.*\] "GET \/a HTTP\/1\.1" 200 5$/);

  const directory = siteOf(t, {});
  const file = join(directory, 'access.log');
  const second = await serving([...args, '--access-log', file]);
  await fetch(`${second.facts.url}/a`);
  await lines(file, 1);
  renameSync(file, `${file}.1`);
  second.running.child.kill('SIGHUP');
  while (!existsSync(file)) await new Promise((settle) => setTimeout(settle, 20));
  await fetch(`${second.facts.url}/a`);
  t.is((await lines(file, 1)).length, 1);
  // Also where the directory is not there any more, and nothing else changes.
  renameSync(file, `${file}.2`);
  renameSync(root, `${root}.away`);
  const failed = new Promise<string>((settle) =>
    second.running.child.stderr?.once('data', (text) => settle(String(text))),
  );
  second.running.child.kill('SIGHUP');
  t.regex(await failed, /nothing has changed: there is no directory/);
  t.true(existsSync(file));
  renameSync(`${root}.away`, root);
  second.running.child.kill('SIGTERM');
  t.is((await second.running.ended).code, 0);
  const full = await serving([...args, '--access-log', '/dev/full']);
  const told = new Promise<string>((settle) => full.running.child.stderr?.once('data', (text) => settle(String(text))));
  await fetch(`${full.facts.url}/a`);
  t.regex(await told, /"dropped":1,"msg":"1 lines of the access log were not written: No space left/);
  full.running.child.kill('SIGTERM');
  t.is((await full.running.ended).code, 0);
  const checked = await ringwheel(['serve', '--check', '--json', ...args, '--access-log-format', 'json']);
  t.deepEqual(JSON.parse(checked.stdout).accessLog, { format: 'json', bufferBytes: 1_048_576 });
});
