// Requests as attackers, broken programs and chance write them: a corpus of targets and heads, and what is made of them.
import type { Random } from './random';

/** Ways to write a step up, a separator, and what is outside. */
const UPS = [
  '..',
  '%2e%2e',
  '.%2e',
  '%2E.',
  '%252e%252e',
  '%c0%ae%c0%ae',
  '%e0%80%ae%e0%80%ae',
  '%uff0e%uff0e',
  '..;',
  '...',
  '.. ',
  '..%00',
  '..%09',
  '\\..',
  '%5c..',
  '.%00.',
  '%u002e%u002e',
  '..%20',
];
const SLASHES = [
  '/',
  '//',
  '%2f',
  '%2F',
  '\\',
  '%5c',
  '%5C',
  '%252f',
  '%c0%af',
  '%e0%80%af',
  '%u2215',
  '/./',
  ';/',
  '%2f/',
  '/%00/',
];
const OUTSIDE = [
  'secret',
  'secret%00.html',
  'outside/secret',
  'etc/passwd',
  'proc/self/environ',
  'proc/self/root/etc/passwd',
  'dev/zero',
  'secret%20',
  'secret.',
];

/** Names that are there, in spellings of all kinds. */
const INSIDE = [
  '/',
  '/index.html',
  '/file-0',
  '/file-1?x=1',
  '/%66ile-0',
  '//file-0',
  '/./',
  '/docs',
  '/docs/',
  '/docs/index.html',
  '/link',
  '/link-out',
  '/link-up/secret',
  '/swap/secret',
  '/swap/',
  '/absolute',
  '/round',
  '/fifo',
  '/.hidden',
  '/.well-known/x',
  '/file-0/',
  '/none',
  '/none.html',
  '/app/x/y',
  '/old/a',
  '/page',
  '/page.html',
  '/large',
  '/*',
  '/?',
  '/%',
  '/%zz',
  '/file-0#x',
  '*',
  '',
];

const HEADS = [
  'Host: a',
  'Host: ',
  'Host: a\r\nHost: b',
  'Host: a@b',
  'Host: [::1]:80',
  'Host: own.test',
  'Host: \u0000',
  'Range: bytes=0-0',
  'Range: bytes=-1',
  'Range: bytes=5-2',
  'Range: bytes=0-0,2-3,9999999-',
  'Range: bytes=0-18446744073709551616',
  'Range: items=0-1',
  `Range: bytes=${'0-1,'.repeat(200)}2-3`,
  'If-None-Match: *',
  'If-None-Match: "x", W/"y"',
  'If-Match: "x"',
  'If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT',
  'If-Unmodified-Since: x',
  'If-Range: "x"\r\nRange: bytes=0-1',
  'Accept-Encoding: gzip, br;q=0.5, *;q=0',
  'Accept-Encoding: ;;q=',
  'Accept-Encoding: identity;q=0',
  `Accept-Encoding: ${'x,'.repeat(500)}`,
  'Content-Length: 0',
  'Content-Length: 5',
  'Content-Length: -1',
  'Content-Length: 5, 5',
  'Content-Length: 99999999999999999999',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: chunked, identity',
  'Transfer-Encoding: \u000bchunked',
  'Expect: 100-continue',
  'Connection: close',
  'Connection: keep-alive, upgrade',
  'Upgrade: h2c',
  'X: \u0000',
  ' folded: 1',
  'X\r: 1',
  'X : 1',
  ': 1',
  'Origin: null',
  `X: ${'y'.repeat(20_000)}`,
  'Cookie: a=b',
  'Accept: application/json',
  '\u00ff: \u00fe',
];

const METHODS = [
  'GET',
  'GET',
  'GET',
  'GET',
  'HEAD',
  'OPTIONS',
  'POST',
  'PUT',
  'TRACE',
  'CONNECT',
  'get',
  'G\u0000T',
  'PRI',
  '',
];
const VERSIONS = [
  'HTTP/1.1',
  'HTTP/1.1',
  'HTTP/1.1',
  'HTTP/1.0',
  'HTTP/2.0',
  'HTTP/1.9',
  'HTTP/11',
  'http/1.1',
  '',
  'HTTP/1.1 ',
];

/** A path that tries to leave the root. */
export function climbing(random: Random): string {
  const starts = ['/', '/docs/', '/link/', '/%2e/', '/swap/', '/app/', '', '/old/', '//', '/C:'];
  let path = random.of(starts);
  for (let step = random.below(6) + 1; step > 0; step -= 1) path += random.of(UPS) + random.of(SLASHES);
  return path + random.of(OUTSIDE);
}

/** A request that is well formed but for what its target means: many of them go over one connection. */
export function plain(random: Random): string {
  const target = (random.below(3) === 0 ? climbing(random) : random.of(INSIDE)).replace(/[\s#]/g, '%20');
  return `GET ${target.startsWith('/') ? target : `/${target}`} HTTP/1.1\r\nHost: a\r\n\r\n`;
}

/** A request that may be broken anywhere. */
export function broken(random: Random): Buffer {
  const target = random.below(3) === 0 ? climbing(random) : random.of(INSIDE);
  const absolute = random.below(12) === 0 ? 'http://own.test' : '';
  const lines = [`${random.of(METHODS)} ${absolute}${target} ${random.of(VERSIONS)}`];
  if (random.below(8) > 0) lines.push('Host: a');
  for (let field = random.below(4); field > 0; field -= 1) lines.push(random.of(HEADS));
  const end = random.below(12) === 0 ? '\n' : '\r\n';
  let bytes: Buffer<ArrayBuffer> = Buffer.from(`${lines.join(end)}${end}${end}`, 'latin1');
  if (random.below(4) === 0)
    bytes = Buffer.concat([
      bytes,
      Buffer.from(random.of(['0\r\n\r\n', '5\r\nhello\r\n0\r\n\r\n', 'hello', '\r\n\r\n', 'ffffffffffffffffff\r\n'])),
    ]);
  for (let change = random.below(3); change > 0; change -= 1) bytes = mutated(bytes, random);
  return bytes;
}

/** One step of chance: a bit, a byte, a piece twice, a piece gone, or the end. */
function mutated(bytes: Buffer<ArrayBuffer>, random: Random): Buffer<ArrayBuffer> {
  if (bytes.length < 2) return bytes;
  const [at, length] = [random.below(bytes.length), random.below(16) + 1];
  switch (random.below(5)) {
    case 0:
      bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
      return bytes;
    case 1:
      bytes[at] = random.below(256);
      return bytes;
    case 2:
      return Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
    case 3:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
    default:
      return bytes.subarray(0, at + 1);
  }
}
