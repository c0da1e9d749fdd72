// Whatever is wrong on the command line: one line on stderr that says what helps, nothing on stdout, and a non-zero exit code.
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type Ended, main, ringwheel } from '../support/command';

function isOneLine(t: ExecutionContext, ended: Ended, code: number, says: RegExp): void {
  t.regex(ended.stderr, /^ringwheel: [^\n]+\n$/);
  t.regex(ended.stderr, says);
  t.is(ended.stdout, '');
  t.is(ended.code, code);
}

const wrongCommandLines: [string, string[], RegExp][] = [
  ['an unknown option', ['serve', '--prot', '1'], /unknown option '--prot'.*--port/],
  ['a port that is no number', ['serve', '--port', 'http'], /'http' is invalid.*0 to 65535/],
  ['a port out of range', ['serve', '--port', '65536'], /'65536' is invalid.*0 to 65535/],
  ['a negative number of cores', ['serve', '--cores', '-1'], /'-1' is invalid.*1 to 1024/],
  ['no cores', ['serve', '--cores', '0'], /'0' is invalid.*1 to 1024/],
  ['a list of CPUs that is none', ['serve', '--cpus', '0-3'], /'0-3' is invalid.*such as 0,2,3/],
  ['cores and CPUs together', ['serve', '--cores', '1', '--cpus', '0'], /--cpus.*cannot be used with.*--cores/],
  ['an unknown policy', ['serve', '--dotfiles', 'show'], /'show' is invalid.*deny, allow, ignore/],
  ['a header without a name', ['serve', '--header', '*.css'], /'\*\.css' is invalid.*PATTERN: NAME: VALUE/],
  ["a header that is the server's", ['serve', '--header', '*: Date: now'], /--header.*other fields/],
  ['a pattern that is none', ['serve', '--header', 'a[: X: y'], /--header.*a glob such as/],
  ['a mount without slashes', ['serve', '--mount', 'media=.'], /--mount is "media"/],
  ['a mount that is no pair', ['serve', '--mount', '/media/'], /'\/media\/' is invalid.*NAME=VALUE/],
  ['immutable without an age', ['serve', '--immutable'], /--immutable is given for all files/],
  ['immutable and what', ['serve', '--immutable', 'no'], /'no' is invalid.*hashed/],
  ['a limit that is no pair', ['serve', '--limit', 'connections'], /'connections' is invalid.*NAME=NUMBER/],
  ['an unknown limit', ['serve', '--port', '0', '--limit', 'conections=5'], /conections.*connections/],
  ['a limit out of its range', ['serve', '--port', '0', '--limit', 'connections=0'], /connections.*1 to 10000000/],
  [
    'limits that contradict each other',
    ['serve', '--limit', 'uriBytes=999', '--limit', 'headerBytes=500'],
    /--limit uriBytes is 999/,
  ],
  ['an option without its value', ['serve', '--port'], /argument missing.*--help/],
  ['an argument too many', ['doctor', 'a'], /too many arguments.*--help/],
  ['an unknown command', ['sevre'], /unknown command 'sevre'.*serve/],
];

for (const [what, args, says] of wrongCommandLines) {
  test(`${what} is told in one line and exits with 2`, async (t) => {
    isOneLine(t, await ringwheel(args), 2, says);
  });
}

function directory(): string {
  return mkdtempSync(join(tmpdir(), 'ringwheel-cli-'));
}

test('a directory that does not exist', async (t) => {
  const missing = join(directory(), 'nowhere');
  isOneLine(t, await ringwheel(['serve', missing, '--port', '0']), 1, /no directory '.*nowhere': check the path/);
});

test('an index takes one name, so that it cannot take the directory too', async (t) => {
  const missing = join(directory(), 'nowhere');
  const args = ['serve', '--index', 'home.html', missing, '--port', '0'];
  isOneLine(t, await ringwheel(args), 1, /no directory '.*nowhere': check the path/);
});

test('a file where a directory is meant', async (t) => {
  const file = join(directory(), 'page.html');
  writeFileSync(file, 'x');
  isOneLine(t, await ringwheel(['serve', file, '--port', '0']), 1, /page\.html' is not a directory/);
});

test('a directory that may not be read', async (t) => {
  const closed = join(directory(), 'closed');
  mkdirSync(closed);
  chmodSync(join(closed, '..'), 0o755);
  chmodSync(closed, 0o000);
  const options = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
  // Root may read everything, so it becomes somebody else; that one has to be able to read the checkout.
  if (spawnSync(process.execPath, ['--check', main], options).status !== 0) {
    t.log('skip: the checkout is not readable for an unprivileged user');
    t.pass();
    return;
  }
  isOneLine(t, await ringwheel(['serve', closed, '--port', '0'], options), 1, /closed': change its mode/);
});

test('a port that is in use', async (t) => {
  const other = createServer();
  await new Promise<void>((settle) => other.listen(0, '127.0.0.1', settle));
  const address = other.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  isOneLine(
    t,
    await ringwheel(['serve', directory(), '--port', `${port}`]),
    1,
    new RegExp(`port ${port} on 127.0.0.1 is in use: .*--port`),
  );
  other.close();
});

test('an address that no interface has', async (t) => {
  isOneLine(
    t,
    await ringwheel(['serve', directory(), '--port', '0', '--host', '192.0.2.1']),
    1,
    /192\.0\.2\.1.*--host/,
  );
});

test('a host that is no address', async (t) => {
  isOneLine(t, await ringwheel(['serve', directory(), '--port', '0', '--host', 'not an address']), 1, /not an address/);
});

test('a driver that does not exist', async (t) => {
  const env = { ...process.env, RINGWHEEL_DRIVER: 'turbo' };
  isOneLine(
    t,
    await ringwheel(['serve', directory(), '--port', '0'], { env }),
    2,
    /(?=.*turbo)(?=.*auto, uring or poll)/,
  );
});

test('what steers a terminal is escaped, in a path and in an argument', async (t) => {
  const place = join(directory(), '\x1b[2J\nnone');
  isOneLine(
    t,
    await ringwheel(['serve', place, '--port', '0']),
    1,
    /no directory '[^']*\\x1B\[2J\\nnone': check the path/,
  );
  isOneLine(t, await ringwheel(['serve', '--port', '\x1b[2J\x07']), 2, /'\\x1B\[2J\\x07' is invalid/);
});
