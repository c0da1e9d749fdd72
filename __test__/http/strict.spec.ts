// RFC 9110 and 9112, rule by rule, over a raw socket: what is answered, in which order, and that nothing of a body or behind a refused request is
// ever taken for a request. Each line of the corpus is followed by a request that would show it.
import test from 'ava';
import type { FileServer } from '../../index';
import { Client, serverOf, siteOf } from '../support/http';

/** What an attacker would like to have answered. */
const NEXT = 'GET /next HTTP/1.1\r\nHost: test\r\n\r\n';
const SITE = { a: 'aaaa', next: 'next', 'dir/index.html': 'dir' };

/** A request of HTTP/1.1 with a Host and these lines. */
const get = (...lines: string[]): string => ['GET /a HTTP/1.1', 'Host: test', ...lines, '', ''].join('\r\n');

/** Rule, bytes that are sent before NEXT, and the statuses of all answers until the server closes. */
type Line = readonly [rule: string, bytes: string, ...statuses: number[]];

const GOES_ON = [200, 200] as const;

const FRAMING: readonly Line[] = [
  ['a length: that many bytes are no request', `${get(`Content-Length: ${NEXT.length}`)}${NEXT}`, ...GOES_ON],
  ['no bytes', get('Content-Length: 0'), ...GOES_ON],
  ['leading zeros are digits', `${get('Content-Length: 0004')}GET `, ...GOES_ON],
  ['the same length twice', `${get('Content-Length: 4', 'Content-Length: 4')}GET `, 400],
  ['two lengths', `${get('Content-Length: 4', 'Content-Length: 5')}GET `, 400],
  ['a list of lengths', `${get('Content-Length: 4, 4')}GET `, 400],
  ['a sign', `${get('Content-Length: +4')}GET `, 400],
  ['a negative length', get('Content-Length: -4'), 400],
  ['hexadecimal', get('Content-Length: 0x4'), 400],
  ['an exponent', get('Content-Length: 1e1'), 400],
  ['a blank within', get('Content-Length: 4 4'), 400],
  ['no digits', get('Content-Length:'), 400],
  ['quotes', get('Content-Length: "4"'), 400],
  ['beyond 64 bits', get('Content-Length: 18446744073709551616'), 400],
  ['digits of another script', get('Content-Length: \u0664'), 400],
  ['length and chunks', `${get('Content-Length: 4', 'Transfer-Encoding: chunked')}0\r\n\r\n`, 400],
  ['chunks and length', `${get('Transfer-Encoding: chunked', 'Content-Length: 4')}0\r\n\r\n`, 400],
  ['chunks: answered, and nothing behind them is read', `${get('Transfer-Encoding: chunked')}0\r\n\r\n`, 200],
  [
    'chunks with extensions and trailers',
    `${get('Transfer-Encoding: chunked')}1;x="\r\n\r\n"\r\nA\r\n0\r\nX: y\r\n\r\n`,
    200,
  ],
  ['a size that is none', `${get('Transfer-Encoding: chunked')}-1\r\n\r\n`, 200],
  ['chunked twice', get('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'), 400],
  ['chunked in a list', get('Transfer-Encoding: chunked, chunked'), 501],
  ['chunked not last', get('Transfer-Encoding: chunked, gzip'), 501],
  ['another coding first', get('Transfer-Encoding: gzip, chunked'), 501],
  ['identity', get('Transfer-Encoding: identity'), 501],
  ['nearly chunked', get('Transfer-Encoding: xchunked'), 501],
  ['quoted', get('Transfer-Encoding: "chunked"'), 501],
  ['with a parameter', get('Transfer-Encoding: chunked;q=1'), 501],
  ['with a vertical tab', get('Transfer-Encoding: \x0bchunked'), 400],
  ['empty', get('Transfer-Encoding:'), 501],
  ['a tab before it is white space', `${get('Transfer-Encoding:\tchunked')}0\r\n\r\n`, 200],
  ['in capitals', `${get('TRANSFER-ENCODING: CHUNKED')}0\r\n\r\n`, 200],
  ['HTTP/1.0 has no chunks', 'GET /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400],
  ['a blank before the colon', get('Transfer-Encoding : chunked'), 400],
  ['a body that is too long is not read', `${get('Content-Length: 70000')}GET `, 200],
  ['who waits for 100 sends no body', get('Content-Length: 4', 'Expect: 100-continue'), 200],
  ['an unknown expectation', get('Expect: 200-ok'), 417],
];

const SYNTAX: readonly Line[] = [
  ['an empty line before is skipped', `\r\n${get()}`, ...GOES_ON],
  ['white space around a value', get('X: \t y \t'), ...GOES_ON],
  ['obs-text in a value', get('X: \x80\xff'), ...GOES_ON],
  ['a folded line', get('X: a', ' b'), 400],
  ['a folded first line', 'GET /a HTTP/1.1\r\n Host: test\r\n\r\n', 400],
  ['a fold of tabs', get('X: a', '\tb'), 400],
  ['a bare CR in a value', get('X: a\rY: b'), 400],
  ['a bare LF after a field', 'GET /a HTTP/1.1\r\nHost: test\nX: y\r\n\r\n', 400],
  ['a bare LF after the request line', 'GET /a HTTP/1.1\nHost: test\r\n\r\n', 400],
  ['bare LFs everywhere', 'GET /a HTTP/1.1\nHost: test\n\n', 400],
  ['CR CR LF', 'GET /a HTTP/1.1\r\nHost: test\r\r\n\r\n', 400],
  ['NUL in a value', get('X: a\0b'), 400],
  ['DEL in a value', get('X: a\x7fb'), 400],
  ['NUL in a name', get('X\0: a'), 400],
  ['a blank in a name', get('X y: a'), 400],
  ['brackets in a name', get('X(y): a'), 400],
  ['no name', get(': a'), 400],
  ['no colon', get('X'), 400],
  ['bytes above 127 in a name', get('X\xe9: a'), 400],
  ['two blanks', 'GET  /a HTTP/1.1\r\nHost: test\r\n\r\n', 400],
  ['a tab for a blank', 'GET\t/a HTTP/1.1\r\nHost: test\r\n\r\n', 400],
  ['a blank behind the version', 'GET /a HTTP/1.1 \r\nHost: test\r\n\r\n', 400],
  ['a blank in the target', 'GET /a b HTTP/1.1\r\nHost: test\r\n\r\n', 400],
  ['HTTP/0.9', 'GET /a\r\n\r\n', 400],
  ['a lower-case version', 'GET /a http/1.1\r\nHost: test\r\n\r\n', 400],
  ['HTTP/11.1', 'GET /a HTTP/11.1\r\nHost: test\r\n\r\n', 400],
  ['HTTP/2.0', 'GET /a HTTP/2.0\r\nHost: test\r\n\r\n', 505],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505],
  ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n', 400],
  ['a target that is too long', `GET /${'a'.repeat(8192)} HTTP/1.1\r\nHost: test\r\n\r\n`, 414],
  ['a head that is too long', get(`X: ${'a'.repeat(16_384)}`), 431],
  ['too many fields', get(...Array.from({ length: 100 }, (_, index) => `X${index}: y`)), 431],
];

const TARGETS: readonly Line[] = [
  ['no Host', 'GET /a HTTP/1.1\r\n\r\n', 400],
  ['two Hosts', get('Host: test'), 400],
  ['a list of Hosts', 'GET /a HTTP/1.1\r\nHost: a, b\r\n\r\n', 400],
  ['a Host with a user', 'GET /a HTTP/1.1\r\nHost: u@test\r\n\r\n', 400],
  ['a Host with a path', 'GET /a HTTP/1.1\r\nHost: test/a\r\n\r\n', 400],
  ['an empty Host', 'GET /a HTTP/1.1\r\nHost:\r\n\r\n', ...GOES_ON],
  ['HTTP/1.0 needs none, and ends', 'GET /a HTTP/1.0\r\n\r\n', 200],
  ['HTTP/1.0 that goes on', 'GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n', ...GOES_ON],
  ['absolute-form', 'GET http://other:8080/a?b HTTP/1.1\r\nHost: test\r\n\r\n', ...GOES_ON],
  ['absolute-form without a path', 'GET http://other HTTP/1.1\r\nHost: test\r\n\r\n', 404, 200],
  ['a target without a slash', 'GET a HTTP/1.1\r\nHost: test\r\n\r\n', 400],
  ['a star with GET', 'GET * HTTP/1.1\r\nHost: test\r\n\r\n', 400],
  ['OPTIONS *', 'OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n', 204, 200],
  ['OPTIONS of a file', 'OPTIONS /a HTTP/1.1\r\nHost: test\r\n\r\n', 204, 200],
  ['CONNECT', 'CONNECT test:80 HTTP/1.1\r\nHost: test:80\r\n\r\n', 405, 200],
  ['TRACE', 'TRACE /a HTTP/1.1\r\nHost: test\r\n\r\n', 405, 200],
  ['PATCH', 'PATCH /a HTTP/1.1\r\nHost: test\r\n\r\n', 405, 200],
  ['a method nobody knows', 'BREW /a HTTP/1.1\r\nHost: test\r\n\r\n', 501],
  ['methods are in capitals', 'get /a HTTP/1.1\r\nHost: test\r\n\r\n', 501],
  ['half an escape', 'GET /%4 HTTP/1.1\r\nHost: test\r\n\r\n', 400],
  ['an escape that is none', 'GET /%zz HTTP/1.1\r\nHost: test\r\n\r\n', 400],
  ['an escaped NUL', 'GET /a%00 HTTP/1.1\r\nHost: test\r\n\r\n', 400],
  ['an escape in the query is not looked at', 'GET /a?%zz HTTP/1.1\r\nHost: test\r\n\r\n', ...GOES_ON],
  ['a directory without its slash', 'GET /dir HTTP/1.1\r\nHost: test\r\n\r\n', 301, 200],
  ['Connection: close', get('Connection: close'), 200],
  ['close among others', get('Connection: keep-alive, close, x'), 200],
];

/** The statuses of all answers in what came; throws when it is anything else. */
function statusesOf(all: Buffer): number[] {
  const found: number[] = [];
  let rest = all;
  while (rest.length > 0) {
    const end = rest.indexOf('\r\n\r\n');
    const head = rest.subarray(0, end).toString('latin1');
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1]);
    if (end < 0 || Number.isNaN(status)) throw new Error(`no answer: ${rest.toString('latin1').slice(0, 200)}`);
    const length = status === 204 ? 0 : Number(/^content-length: (\d+)$/im.exec(head)?.[1]);
    rest = rest.subarray(end + 4 + length);
    found.push(status);
  }
  return found;
}

async function converse(t: Parameters<typeof Client.connect>[0], server: FileServer, bytes: string): Promise<number[]> {
  const client = await Client.connect(t, server.port);
  client.send(Buffer.from(bytes + NEXT, 'latin1'));
  client.socket.end();
  return statusesOf(await client.rest());
}

for (const [name, corpus] of Object.entries({ FRAMING, SYNTAX, TARGETS })) {
  test(`${name.toLowerCase()}: each request has its answers, and nothing that is no request has one`, async (t) => {
    const server = await serverOf(t, siteOf(t, SITE));
    for (const [rule, bytes, ...statuses] of corpus) {
      t.deepEqual(await converse(t, server, bytes), statuses, rule);
    }
    t.is(server.stats().statuses[500] ?? 0, 0);
  });

  test(`${name.toLowerCase()}: the same byte by byte`, async (t) => {
    const server = await serverOf(t, siteOf(t, SITE));
    // Who asked for the end and sends more may lose the answer to a reset (RFC 9112 section 9.6): those lines are left out.
    const lines = corpus.filter(([, text, ...statuses]) => text.length < 200 && String(statuses) !== '200');
    for (const [rule, bytes, ...statuses] of lines) {
      const client = await Client.connect(t, server.port);
      client.socket.setNoDelay(true);
      for (const byte of Buffer.from(bytes + NEXT, 'latin1')) client.send(Uint8Array.of(byte));
      client.socket.end();
      t.deepEqual(statusesOf(await client.rest()), statuses, rule);
    }
  });
}
