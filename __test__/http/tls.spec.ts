// HTTPS: handshakes, names, records of every size, what is no TLS, ends, and certificates that are replaced while serving.
import { generateKeyPairSync } from 'node:crypto';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import { FileServer, type FileServerOptions } from '../../index';
import { main, Running } from '../support/command';
import { bytesOf, Client, serverOf, siteOf } from '../support/http';
import { fixture, LOCALHOST, pair } from '../support/secure';

const OTHER = pair('other.test');
const CA = [LOCALHOST, OTHER].map(({ cert }) => readFileSync(cert));

async function shake(t: ExecutionContext, port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', servername: 'localhost', ca: CA, port, ...options });
  t.teardown(() => socket.destroy());
  await new Promise<void>((settle, reject) => socket.once('secureConnect', settle).once('error', reject));
  return socket;
}

const secure = (t: ExecutionContext, root: string, options: Partial<FileServerOptions> = {}) =>
  serverOf(t, root, { tls: LOCALHOST, ...options });

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`${version}: small and large files, ranges, pipelining and HEAD, byte for byte`, async (t) => {
    const files = {
      a: 'hello',
      16384: bytesOf(16_384),
      65000: bytesOf(65_000),
      65537: bytesOf(65_537),
      large: bytesOf(5 << 20),
    };
    const server = await secure(t, siteOf(t, Object.fromEntries(Object.entries(files))));
    t.true(server.url.startsWith('https://127.0.0.1:'));
    const socket = await shake(t, server.port, {
      minVersion: version,
      maxVersion: version,
      ALPNProtocols: ['h2', 'http/1.1'],
    });
    t.is(socket.getProtocol(), version);
    t.is(socket.alpnProtocol, 'http/1.1');
    const client = Client.over(socket);
    for (const [name, content] of Object.entries(files)) {
      t.true((await client.get(`/${name}`)).body.equals(Buffer.from(content)), name);
      t.is((await client.ask('HEAD', `/${name}`)).status, 200);
    }
    const range = await client.get('/large', 'Range: bytes=1000000-3000000');
    t.is(range.status, 206);
    t.true(range.body.equals(files.large.subarray(1_000_000, 3_000_001)));
    client.send('GET /a HTTP/1.1\r\nHost: t\r\n\r\n'.repeat(50));
    for (let nth = 0; nth < 50; nth++) t.is((await client.reply()).body.toString(), 'hello');
    t.is(server.stats().cut, 0);
  });
}

test('a request in records of one byte each is a request', async (t) => {
  const server = await secure(t, siteOf(t, { a: 'hello' }));
  const socket = await shake(t, server.port);
  socket.setNoDelay(true);
  const client = Client.over(socket);
  for (const byte of Buffer.from('GET /a HTTP/1.1\r\nHost: t\r\n\r\n')) client.send(Uint8Array.of(byte));
  t.is((await client.reply()).body.toString(), 'hello');
});

test('the certificate is the one for the name, else the first', async (t) => {
  const server = await secure(t, siteOf(t, { a: 'hello' }), { tls: [LOCALHOST, OTHER] });
  const subject = async (servername: string) => {
    const socket = await shake(t, server.port, { servername, checkServerIdentity: () => undefined });
    return socket.getPeerCertificate().subject.CN;
  };
  t.is(await subject('localhost'), 'localhost');
  t.is(await subject('other.test'), 'other.test');
  t.is(await subject('a.wild.test'), 'other.test');
  t.is(await subject('nobody.test'), 'localhost');
  t.is(await subject(''), 'localhost');
});

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`${version}: a session is resumed by its ticket, on whichever core`, async (t) => {
    const server = await secure(t, siteOf(t, { a: 'hello' }), { cores: 2 });
    const options: ConnectionOptions = { minVersion: version, maxVersion: version };
    const first = await shake(t, server.port, options);
    // With TLS 1.2 it came with the handshake, with TLS 1.3 it follows.
    const ticket =
      version === 'TLSv1.2' ? first.getSession() : new Promise<Buffer>((settle) => first.once('session', settle));
    t.is((await Client.over(first).get('/a')).status, 200);
    const session = await ticket;
    for (let nth = 0; nth < 6; nth++) {
      const again = await shake(t, server.port, { ...options, session });
      t.true(again.isSessionReused());
      t.is((await Client.over(again).get('/a')).status, 200);
    }
  });
}

/** A record: a content type, version 3.1, a length, and as many bytes. */
const record = (type: number, ...payload: number[]): Buffer =>
  Buffer.from([type, 3, 1, payload.length >> 8, payload.length & 255, ...payload]);

/** That nothing ends because it took too long. */
const PATIENT = { limits: { headerTimeoutMs: 600_000, idleTimeoutMs: 600_000 } };

test('HTTP on the port gets a 400', async (t) => {
  const server = await secure(t, siteOf(t, { a: 'hello' }), PATIENT);
  t.is((await (await Client.connect(t, server.port)).get('/a')).status, 400);
  t.is((await Client.over(await shake(t, server.port)).get('/a')).status, 200, 'and goes on serving');
});

test('what is no TLS is closed at once, with the alert that RFC 8446 has for it', async (t) => {
  const server = await secure(t, siteOf(t, { a: 'hello' }), PATIENT);
  const zeros = (count: number): number[] => Array(count).fill(0);
  const [unexpected, decode] = ['1503030002020a', '15030300020232'];
  const cases: [string, Buffer, string][] = [
    ['no content type', Buffer.from([0, 1, 2, 3, 4, 5, 6, 7]), decode],
    ['no version', Buffer.from([22, 9, 9, 0, 1, 0]), decode],
    ['a record without bytes', record(22), decode],
    ['a record of more than 2^14 + 2048 bytes', Buffer.from([22, 3, 1, 255, 255, 1, 0]), decode],
    ['a ClientHello that ends too soon', record(22, 1, 0, 0, 1, 0), decode],
    ['letters that are no request', Buffer.from('get / http'), decode],
    ['application data first', record(23, 1, 1), unexpected],
    ['a change of ciphers first', record(20, 1), unexpected],
    // No alert answers an alert, and rustls has none for what it will not keep: a handshake message that says, or is, more than 64 KiB.
    ['an alert first', record(21, 2, 40), ''],
    ['a message that says 460551 bytes', record(22, 7, 7, 7, 7, 7), ''],
    [
      'a message of 65535 bytes and its head',
      Buffer.concat([record(22, 1, 0, 255, 255, ...zeros(16380)), ...Array(4).fill(record(22, ...zeros(16384)))]),
      '',
    ],
  ];
  for (const [name, garbage, alert] of cases) {
    const rest = await (await Client.connect(t, server.port)).send(garbage).rest();
    t.is(rest.toString('hex'), alert, name);
  }
  t.is(server.stats().cut, cases.length);
  await t.throwsAsync(
    shake(t, server.port, { maxVersion: 'TLSv1.1', minVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' }),
    { message: /alert handshake failure/ },
  );
  await t.throwsAsync(shake(t, server.port, { ALPNProtocols: ['h2'] }), { message: /no application protocol/ });
  t.is((await Client.over(await shake(t, server.port)).get('/a')).status, 200, 'and goes on serving');
});

test('a client that says it is done, and keeps the connection open, is answered and closed', async (t) => {
  const server = await secure(t, siteOf(t, { a: 'hello' }), PATIENT);
  const { socket: raw } = await Client.connect(t, server.port);
  // Its end is a close_notify, and no FIN.
  const between = new Duplex({
    read: () => {},
    write: (chunk, _, done) => raw.write(chunk, () => done()),
    final: (done) => done(),
  });
  raw.on('data', (chunk) => between.push(chunk)).on('end', () => between.push(null));
  const socket = await shake(t, server.port, { socket: between });
  const client = Client.over(socket);
  socket.end('GET /a HTTP/1.1\r\nHost: t\r\n\r\n');
  t.regex((await client.rest()).toString(), /^HTTP\/1.1 200 OK\r\n[\s\S]*hello$/);
  t.is(server.stats().cut, 0);
});

test('a header of the PROXY protocol comes before the handshake', async (t) => {
  const server = await secure(t, siteOf(t, { a: 'hello' }), { ...PATIENT, proxyProtocol: true });
  const proxy = await Client.connect(t, server.port);
  proxy.send('PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n');
  t.is((await Client.over(await shake(t, server.port, { socket: proxy.socket })).get('/a')).status, 200);
});

test('a hundred handshakes that are random bytes end, and nobody else notices', async (t) => {
  const server = await secure(t, siteOf(t, { a: 'hello' }));
  const good = Client.over(await shake(t, server.port));
  let seed = 12345;
  const random = (): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return seed >> 16;
  };
  for (let round = 0; round < 100; round++) {
    const bytes = Buffer.from(Array.from({ length: 1 + (random() % 400) }, () => random() & 255));
    // Half of them begin like a handshake.
    if (round % 2 === 0) Buffer.from([22, 3, random() % 5, 0, random() & 255]).copy(bytes);
    const client = await Client.connect(t, server.port);
    client.send(bytes).socket.end();
    await client.rest();
    if (round % 10 === 0) t.is((await good.get('/a')).status, 200);
  }
});

test('a handshake that trickles or is silent has the time of a head', async (t) => {
  const server = await secure(t, siteOf(t, { a: 'hello' }), { limits: { headerTimeoutMs: 200 } });
  const silent = await Client.connect(t, server.port);
  const slow = await Client.connect(t, server.port);
  const trickle = setInterval(() => slow.socket.writable && slow.send(Uint8Array.of(22)), 50);
  t.teardown(() => clearInterval(trickle));
  t.is((await silent.rest()).length, 0);
  await slow.rest();
  t.pass();
});

test('the end is told with close_notify, so that nobody takes a cut for it', async (t) => {
  const server = await secure(t, siteOf(t, { a: 'hello', large: bytesOf(300_000) }));
  for (const path of ['/a', '/large', '/none']) {
    const socket = await shake(t, server.port);
    const client = Client.over(socket);
    client.send(`GET ${path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n`);
    // Node's `end` event comes of close_notify; a bare FIN would be an error or a silent close.
    const ended = new Promise((settle, reject) => socket.once('end', settle).once('error', reject));
    await client.rest();
    await ended;
  }
  const socket = await shake(t, server.port);
  t.is((await Client.over(socket).get('/a')).status, 200);
  socket.end();
  await new Promise((settle) => socket.once('close', settle));
  t.is(server.stats().cut, 0);
});

test('certificates are replaced while serving; a broken pair changes nothing', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'ringwheel-tls-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const tls = { cert: join(directory, 'cert.pem'), key: join(directory, 'key.pem') };
  const use = ({ cert, key }: typeof tls) => {
    copyFileSync(cert, tls.cert);
    copyFileSync(key, tls.key);
  };
  use(LOCALHOST);
  const server = await serverOf(t, siteOf(t, { a: 'hello' }), { tls });
  const subject = async () => {
    const socket = await shake(t, server.port, { checkServerIdentity: () => undefined });
    return socket.getPeerCertificate().subject.CN;
  };
  const open = Client.over(await shake(t, server.port));
  t.is(await subject(), 'localhost');
  use(OTHER);
  t.is(await subject(), 'localhost', 'not before it is told');
  await server.reload();
  t.is(await subject(), 'other.test');
  copyFileSync(LOCALHOST.key, tls.key);
  await t.throwsAsync(server.reload(), { code: 'ERR_RINGWHEEL_SERVER', message: /is not the key of the certificate/ });
  writeFileSync(tls.cert, '');
  await t.throwsAsync(server.reload(), { code: 'ERR_RINGWHEEL_SERVER', message: /holds no certificate/ });
  t.is(await subject(), 'other.test');
  t.is((await open.get('/a')).status, 200, 'a connection of the first certificate goes on');
  await server.close({ deadlineMs: 0 });
  await t.throwsAsync(server.reload(), { code: 'ERR_RINGWHEEL_CLOSED' });
});

test('what is wrong with a certificate or a key is said with what helps', async (t) => {
  const root = siteOf(t, { a: 'hello' });
  const start = (tls: Required<FileServerOptions>['tls']) => FileServer.start({ root, port: 0, tls });
  const server = { code: 'ERR_RINGWHEEL_SERVER' };
  await t.throwsAsync(start({ ...LOCALHOST, key: OTHER.key }), {
    ...server,
    message: /is not the key of the certificate/,
  });
  await t.throwsAsync(start({ ...LOCALHOST, key: fixture('encrypted.key.pem') }), {
    ...server,
    message: /is encrypted; write it without/,
  });
  await t.throwsAsync(start({ cert: LOCALHOST.key, key: LOCALHOST.cert }), {
    ...server,
    message: /are cert and key exchanged/,
  });
  await t.throwsAsync(start({ ...LOCALHOST, key: LOCALHOST.cert }), {
    ...server,
    message: /are cert and key exchanged/,
  });
  await t.throwsAsync(start({ ...LOCALHOST, cert: join(root, 'a') }), {
    ...server,
    message: /holds no certificate in PEM/,
  });
  await t.throwsAsync(start({ ...LOCALHOST, cert: join(root, 'none') }), {
    ...server,
    message: /none" cannot be read: .*; check the path/,
  });
  await t.throwsAsync(start({ ...LOCALHOST, cert: '/dev/zero' }), {
    ...server,
    message: /"\/dev\/zero" cannot be read: it is no regular file/,
  });
  const long = join(root, 'long.pem');
  writeFileSync(long, '');
  truncateSync(long, 1_048_577);
  await t.throwsAsync(start({ ...LOCALHOST, cert: long }), { ...server, message: /more than 1048576 bytes; name/ });
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'secp256k1' });
  const unknown = join(root, 'secp256k1.pem');
  writeFileSync(unknown, privateKey.export({ format: 'pem', type: 'pkcs8' }));
  await t.throwsAsync(start({ ...LOCALHOST, key: unknown }), { ...server, message: /cannot be used .*P-256 or P-384/ });
  const invalid = { code: 'ERR_RINGWHEEL_INVALID_OPTION' };
  await t.throwsAsync(start({ cert: LOCALHOST.cert } as never), { ...invalid, message: /tls\.key must be/ });
  await t.throwsAsync(start(true as never), invalid);
});

test('ringwheel serve speaks HTTPS, and reads its certificates again on SIGHUP', async (t) => {
  const root = siteOf(t, { a: 'hello' });
  const directory = mkdtempSync(join(tmpdir(), 'ringwheel-tls-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const [cert, key] = [join(directory, 'c.pem'), join(directory, 'k.pem')];
  copyFileSync(LOCALHOST.cert, cert);
  copyFileSync(LOCALHOST.key, key);
  const config = join(directory, 'server.json');
  writeFileSync(config, JSON.stringify({ root, port: 0, cores: 1, tls: { cert: 'c.pem', key: 'k.pem' } }));
  // Of a configuration, paths are relative to its file.
  const running = new Running(process.execPath, [main, 'serve', '--json', '--config', config]);
  const { url } = JSON.parse(await running.line());
  const status = await new Promise((settle, reject) => {
    request(`${url}/a`, { ca: CA, servername: 'localhost' }, (response) => settle(response.resume().statusCode))
      .on('error', reject)
      .end();
  });
  t.is(status, 200);
  const said = (what: RegExp) =>
    new Promise<void>((settle) => {
      running.child.stderr?.on('data', (chunk) => what.test(String(chunk)) && settle());
    });
  let news = said(/read again/);
  running.child.kill('SIGHUP');
  await news;
  writeFileSync(key, 'nothing');
  news = said(/nothing has changed: .*holds no private key/);
  running.child.kill('SIGHUP');
  await news;
  running.child.kill('SIGTERM');
  t.is((await running.ended).code, 0);
});

test('ringwheel serve says what becomes of certificates that change', async (t) => {
  const root = siteOf(t, { a: 'hello' });
  const [cert, key] = [join(root, 'c.pem'), join(root, 'k.pem')];
  copyFileSync(LOCALHOST.cert, cert);
  copyFileSync(LOCALHOST.key, key);
  const tls = ['--tls-cert', cert, '--tls-key', key, '--tls-reload', '50'];
  const args = [main, 'serve', root, '--no-config', '--json', '--log', 'json', '--port', '0', '--cores', '1', ...tls];
  const running = new Running(process.execPath, args);
  let text = '';
  running.child.stderr?.on('data', (chunk) => {
    text += chunk;
  });
  await running.line();
  for (const [change, level, says] of [
    [() => copyFileSync(OTHER.cert, cert), 50, /^changed certificates cannot be used, and those before stay in use: /],
    [() => copyFileSync(OTHER.key, key), 30, /^changed certificates were read again, and are in use$/],
  ] as const) {
    text = '';
    change();
    while (!text.includes('\n')) await new Promise((settle) => setTimeout(settle, 20));
    const line = JSON.parse(text.split('\n')[0] as string);
    t.is(line.level, level);
    t.regex(line.msg, says);
  }
  running.child.kill('SIGTERM');
  t.is((await running.ended).code, 0);
});

test('the flags of certificates come in pairs, and are relative to the current directory', async (t) => {
  const root = siteOf(t, { a: 'hello' });
  const args = ['serve', '--check', '--json', '--no-config', root, '--tls-cert', 'localhost.cert.pem'];
  const run = (...more: string[]) =>
    new Running(process.execPath, [main, ...args, ...more], { cwd: fixture('') }).ended;
  const checked = await run('--tls-key', 'localhost.key.pem');
  t.deepEqual(JSON.parse(checked.stdout).tls, [LOCALHOST]);
  const alone = await run();
  t.is(alone.code, 2);
  t.regex(alone.stderr, /each --tls-cert needs its --tls-key/);
});
