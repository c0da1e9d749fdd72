// The PROXY protocol: a header before the first request, in whatever pieces it comes, and nothing without one.
import test from 'ava';
import { FileServer } from '../../index';
import { bytesOf, Client, serverOf, siteOf } from '../support/http';

const LINE = Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.1 40000 80\r\n');
const UNKNOWN = Buffer.from('PROXY UNKNOWN\r\n');
/** Version 2: PROXY, TCP over IPv4, 12 bytes of addresses and one TLV (NOOP, a byte). */
const BINARY = Buffer.from('0d0a0d0a000d0a515549540a21110010c0000201c63364019c40005004000178', 'hex');
/** Version 2: LOCAL, as a health check sends it. */
const LOCAL = Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex');
const REQUEST = 'GET /a HTTP/1.1\r\nHost: test\r\n\r\n';

test('after a header of either version requests are served, as many as come', async (t) => {
  const large = bytesOf(300_000);
  const server = await serverOf(t, siteOf(t, { a: 'hello', large }), { proxyProtocol: true });
  for (const header of [LINE, UNKNOWN, BINARY, LOCAL]) {
    const client = await Client.connect(t, server.port);
    client.send(Buffer.concat([header, Buffer.from(REQUEST + REQUEST)]));
    for (let nth = 0; nth < 2; nth++) {
      const reply = await client.reply();
      t.is(reply.status, 200);
      t.is(reply.body.toString(), 'hello');
    }
    t.true((await client.get('/large')).body.equals(large));
  }
  t.is(server.stats().cut, 0);
});

test('a header that comes byte by byte, and one that comes alone, are taken like any other', async (t) => {
  const server = await serverOf(t, siteOf(t, { a: 'hello' }), { proxyProtocol: true });
  for (const header of [LINE, BINARY]) {
    const client = await Client.connect(t, server.port);
    client.socket.setNoDelay(true);
    for (const byte of header) {
      client.send(Uint8Array.of(byte));
      await new Promise((settle) => setImmediate(settle));
    }
    await new Promise((settle) => setTimeout(settle, 20));
    t.is((await client.get('/a')).body.toString(), 'hello');
  }
});

test('what does not begin with a header is closed without a word, and so is a second header', async (t) => {
  const server = await serverOf(t, siteOf(t, { a: 'hello' }), { proxyProtocol: true });
  const wrong = [
    Buffer.from(REQUEST),
    Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.1 40000 080\r\n'),
    Buffer.from(`PROXY UNKNOWN ${'x'.repeat(200)}\r\n`),
    Buffer.from(BINARY.toString('hex').replace('2111', '2211'), 'hex'), // a command that is none
    Buffer.from(BINARY.toString('hex').replace('2111', '2112'), 'hex'), // datagrams
  ];
  for (const bytes of wrong) {
    const client = await Client.connect(t, server.port);
    t.is((await client.send(bytes).rest()).length, 0, bytes.toString('latin1'));
  }
  const ended = await Client.connect(t, server.port);
  ended.send(LINE.subarray(0, 20)).socket.end();
  t.is((await ended.rest()).length, 0);
  const twice = await Client.connect(t, server.port);
  t.is((await twice.send(Buffer.concat([LINE, LINE])).reply()).status, 400);
  t.is(server.stats().cut, wrong.length, 'a peer that ends by itself is not counted');
});

test('a header that trickles has the time of a head, from the accept', async (t) => {
  const limits = { headerTimeoutMs: 200 };
  const server = await serverOf(t, siteOf(t, { a: 'hello' }), { proxyProtocol: true, limits });
  const client = await Client.connect(t, server.port);
  let sent = 0;
  const trickle = setInterval(() => client.socket.writable && client.send(LINE.subarray(sent, ++sent)), 100);
  t.teardown(() => clearInterval(trickle));
  t.is((await client.rest()).length, 0);
  t.true(sent < LINE.length, 'closed before the header was whole');
});

test('without the option a header is a bad request, and the option is a boolean', async (t) => {
  const root = siteOf(t, { a: 'hello' });
  const server = await serverOf(t, root);
  const client = await Client.connect(t, server.port);
  t.is((await client.send(LINE).reply()).status, 400);
  await t.throwsAsync(FileServer.start({ root, port: 0, proxyProtocol: 1 as never }), {
    code: 'ERR_RINGWHEEL_INVALID_OPTION',
  });
});
