// `ringwheel serve`: serves, says with what, drains on the first signal and stops at once on the second.
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Running, ringwheel, root, serving } from '../support/command';

const { builtProfile } = require('../../scripts/bootstrap/build.mjs');

const PAGE = '<!doctype html><title>page</title>';

function site(): string {
  const directory = mkdtempSync(join(tmpdir(), 'ringwheel-site-'));
  writeFileSync(join(directory, 'index.html'), PAGE);
  return directory;
}

/** Asks for a large file and never reads: the answer stays in flight. */
async function stalledDownload(port: number): Promise<() => void> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  await new Promise<void>((settle) => socket.once('connect', settle));
  socket.pause();
  socket.write('GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n');
  await new Promise((settle) => setTimeout(settle, 300));
  return () => socket.destroy();
}

for (const driver of ['auto', 'poll']) {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    test(`driver ${driver}: serves a directory and exits with 0 on ${signal}`, async (t) => {
      const env = { ...process.env, RINGWHEEL_DRIVER: driver };
      const { running, facts } = await serving([site(), '--port', '0', '--cores', '1'], { env });
      t.is(facts.url, `http://127.0.0.1:${facts.port}`);
      t.is(facts.cores, 1);
      if (driver === 'poll') t.is(facts.driver, 'poll');
      const answer = await fetch(`${facts.url}/`);
      t.is(answer.status, 200);
      t.is(await answer.text(), PAGE);
      running.child.kill(signal);
      const { code, stdout, stderr } = await running.ended;
      t.is(code, 0, stderr);
      t.is(stdout.trimEnd().split('\n').length, 1, 'with --json one line and no more');
    });
  }
}

test('the first Ctrl-C lets an answer in flight go on, the second stops at once', async (t) => {
  const directory = site();
  writeFileSync(join(directory, 'large.bin'), Buffer.alloc(64 * 1024 * 1024));
  const { running, facts } = await serving([directory, '--port', '0', '--cores', '1', '--drain', '60000']);
  const leave = await stalledDownload(facts.port);
  running.child.kill('SIGINT');
  const early = await Promise.race([running.ended, new Promise((settle) => setTimeout(settle, 700, 'still there'))]);
  t.is(early, 'still there');
  await t.throwsAsync(fetch(facts.url), undefined, 'a draining server takes no new connections');
  const start = performance.now();
  running.child.kill('SIGINT');
  t.is((await running.ended).code, 130);
  t.true(performance.now() - start < 20_000, 'the drain alone would take a minute');
  leave();
});

test('a signal right behind the first answer drains, too', async (t) => {
  const directory = site();
  const path = join(directory, 'http.sock');
  const command = [join(root, 'dist/lib/cli/main.js'), 'serve', directory, '--no-config', '--json'];
  const running = new Running(process.execPath, [...command, '--unix', path, '--cores', '2']);
  // It serves before it says so.
  const ask = () =>
    new Promise<boolean>((settle) => {
      const socket = connect(path, () => socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n'));
      socket.once('error', () => settle(false));
      socket.once('data', () => {
        running.child.kill('SIGTERM');
        socket.destroy();
        settle(true);
      });
    });
  while (!(await ask())) await new Promise((settle) => setTimeout(settle, 1));
  const { code, signal, stderr } = await running.ended;
  t.deepEqual([code, signal], [0, null], stderr);
});

test('a drain is bounded: --drain ends it although a client never reads', async (t) => {
  const directory = site();
  writeFileSync(join(directory, 'large.bin'), Buffer.alloc(64 * 1024 * 1024));
  const { running, facts } = await serving([directory, '--port', '0', '--cores', '1', '--drain', '200']);
  const leave = await stalledDownload(facts.port);
  running.child.kill('SIGTERM');
  const start = performance.now();
  t.is((await running.ended).code, 0);
  t.true(performance.now() - start < 30_000, 'the client alone would take for ever');
  leave();
});

test('the options of the server reach it', async (t) => {
  const directory = site();
  writeFileSync(join(directory, 'start.txt'), 'start');
  writeFileSync(join(directory, '.hidden'), 'hidden');
  const options = [
    '--index',
    'start.txt',
    '--dotfiles',
    'allow',
    '--max-age',
    '60',
    '--no-server-header',
    '--etag',
    'off',
  ];
  const more = ['--driver', 'poll', '--cpus', '0', '--cache', 'bytes=0', '--limit', 'ranges=0'];
  const { running, facts } = await serving([directory, '--port', '0', ...options, ...more]);
  t.is(facts.driver, 'poll');
  t.is(facts.cores, 1);
  const answer = await fetch(`${facts.url}/`);
  t.is(await answer.text(), 'start');
  t.regex(answer.headers.get('cache-control') ?? '', /max-age=60/);
  t.is(answer.headers.get('server'), null);
  t.is(answer.headers.get('etag'), null);
  t.is(await (await fetch(`${facts.url}/.hidden`)).text(), 'hidden');
  t.is((await fetch(`${facts.url}/start.txt`, { headers: { range: 'bytes=0-1' } })).status, 200);
  running.child.kill('SIGTERM');
  t.is((await running.ended).code, 0);
});

test('extensions, --single and --ignores reach the server', async (t) => {
  const directory = site();
  writeFileSync(join(directory, 'about.htm'), 'about');
  writeFileSync(join(directory, 'app.html'), 'app');
  const options = ['--extensions', 'html, htm', '--single=app.html', '--ignores', '/api/**'];
  const { running, facts } = await serving([directory, '--port', '0', '--cores', '1', ...options]);
  const seen = async (path: string) => {
    const answer = await fetch(`${facts.url}${path}`);
    return answer.status === 200 ? await answer.text() : answer.status;
  };
  t.is(await seen('/about'), 'about');
  t.is(await seen('/users/7'), 'app');
  t.is(await seen('/api/users'), 404);
  running.child.kill('SIGTERM');
  t.is((await running.ended).code, 0);
});

test('a directory behind --single is the directory, and several are looked through in order', async (t) => {
  const [one, other] = [site(), site()];
  writeFileSync(join(one, 'index.html'), 'page');
  writeFileSync(join(other, 'only.txt'), 'only');
  const { running, facts } = await serving(['--single', one, other, '--port', '0', '--cores', '1']);
  const seen = async (path: string) => (await fetch(`${facts.url}${path}`)).text();
  t.deepEqual([await seen('/users/7'), await seen('/only.txt')], ['page', 'only']);
  running.child.kill('SIGTERM');
  t.is((await running.ended).code, 0);
});

test('the details of CORS, passwords and the access log have flags', async (t) => {
  const directory = site();
  writeFileSync(join(directory, 'users'), `ann:$2y$04$${'a'.repeat(53)}\n`);
  const flags = [
    ['--cors', 'https://app.example', '--cors-headers', 'X-A, X-B', '--cors-exposed', 'ETag'],
    ['--cors-credentials', '--cors-max-age', '60'],
    ['--basic-auth', '/admin/=users', '--basic-auth', 'users', '--basic-auth-realm', 'Staff'],
    ['--access-log', '../access.log', '--access-log-buffer', '65536'],
  ].flat();
  const { stdout, stderr } = await ringwheel(['serve', '.', '--check', '--json', ...flags], { cwd: directory });
  t.is(stderr, '');
  const { cors, basicAuth, accessLog } = JSON.parse(stdout);
  t.deepEqual(cors, {
    origins: ['https://app.example'],
    headers: ['X-A', 'X-B'],
    exposed: ['ETag'],
    credentials: true,
    maxAge: 60,
  });
  const file = join(directory, 'users');
  t.like(basicAuth, [
    { paths: ['/admin/'], realm: 'Staff', file },
    { paths: ['/'], realm: 'Staff', file },
  ]);
  t.deepEqual(accessLog, { file: join(directory, '../access.log'), format: 'combined', bufferBytes: 65_536 });
  const without = await ringwheel(['serve', '.', '--check', '--basic-auth-realm', 'x'], { cwd: directory });
  t.deepEqual([without.code, without.stderr], [2, 'ringwheel: --basic-auth-realm needs --basic-auth\n']);
});

test('--check names pages that are not there; a start does not ask', async (t) => {
  const directory = site();
  mkdirSync(join(directory, 'errors'));
  writeFileSync(join(directory, 'errors/404.html'), '');
  writeFileSync(
    join(directory, 'ringwheel.config.json'),
    JSON.stringify({
      mounts: { '/errors/': 'errors' },
      errorPages: { 404: 'errors/404.html', 500: 'errors/500.html' },
      sites: [{ hosts: ['a.example'], root: ['errors', '.'], single: 'app.html' }],
    }),
  );
  const { code, stdout, stderr } = await ringwheel(['serve', '--check'], { cwd: directory });
  const at = (path: string) => `'${join(directory, path)}'`;
  t.deepEqual(stderr.split('\n'), [
    `ringwheel: errorPages[500] is 'errors/500.html', and there is no file ${at('errors/500.html')}`,
    `ringwheel: sites[0].single is 'app.html', and there is no file ${at('errors/app.html')} nor ${at('app.html')}`,
    '',
  ]);
  t.is(code, 0);
  t.true(stdout.endsWith('The configuration is valid.\n'));
});

test('--redirects, with and without a status, --error-pages and --listing reach the server', async (t) => {
  const directory = site();
  writeFileSync(join(directory, 'lost.html'), 'lost');
  const options = [
    '--redirects',
    '/old/* /new/:splat',
    '--redirects',
    '/shop https://shop.example/ 308',
    '--error-pages',
    '404=lost.html',
    '--listing',
  ];
  const { running, facts } = await serving([directory, '--port', '0', '--cores', '1', ...options]);
  const seen = async (path: string) => {
    const { status, headers } = await fetch(`${facts.url}${path}`, { redirect: 'manual' });
    return [status, headers.get('location')];
  };
  t.deepEqual(await seen('/old/a?b'), [301, '/new/a?b']);
  t.deepEqual(await seen('/shop'), [308, 'https://shop.example/']);
  const missing = await fetch(`${facts.url}/none`);
  t.deepEqual([missing.status, await missing.text()], [404, 'lost']);
  mkdirSync(join(directory, 'shelf'));
  t.regex(await (await fetch(`${facts.url}/shelf/`)).text(), /Index of/);
  running.child.kill('SIGTERM');
  t.is((await running.ended).code, 0);
});

test('files are told apart by pattern, and mounts are served', async (t) => {
  const [directory, media] = [site(), site()];
  writeFileSync(join(directory, 'app-5f3a9c1e.js'), 'x');
  writeFileSync(join(media, 'page.mdx'), '# x');
  const headers = ['--header', '*.html: Cache-Control: no-cache', '--header', '/**: X-Frame-Options: DENY'];
  const options = ['--immutable', 'hashed', '--mime', 'mdx=text/markdown', '--mount', `/media/=${media}`];
  const { running, facts } = await serving([directory, '--port', '0', '--cores', '1', ...headers, ...options]);
  const fields = async (path: string) => {
    const { status, headers } = await fetch(`${facts.url}${path}`);
    return [status, ...['cache-control', 'x-frame-options', 'content-type'].map((name) => headers.get(name))];
  };
  t.deepEqual(await fields('/'), [200, 'no-cache', 'DENY', 'text/html; charset=utf-8']);
  const hashed = [200, 'public, max-age=31536000, immutable', 'DENY', 'text/javascript; charset=utf-8'];
  t.deepEqual(await fields('/app-5f3a9c1e.js'), hashed);
  t.deepEqual(await fields('/media/page.mdx'), [200, null, 'DENY', 'text/markdown']);
  running.child.kill('SIGTERM');
  t.is((await running.ended).code, 0);
});

test('behind a proxy that sends PROXY headers it serves what comes after them', async (t) => {
  const directory = site();
  const { running, facts } = await serving([directory, '--port', '0', '--cores', '1', '--proxy-protocol']);
  const socket = connect(facts.port, '127.0.0.1');
  socket.write('PROXY TCP4 192.0.2.1 198.51.100.1 40000 80\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  let received = '';
  for await (const chunk of socket) received += chunk;
  t.regex(received, /^HTTP\/1\.1 200 OK\r\n/);
  running.child.kill('SIGTERM');
  t.is((await running.ended).code, 0);
});

test('--trust-proxy has the client of the log from the proxy', async (t) => {
  const directory = site();
  const log = join(mkdtempSync(join(tmpdir(), 'ringwheel-log-')), 'access.log');
  const args = ['--trust-proxy', '10.0.0.0/8,loopback', '--access-log', log];
  const { running, facts } = await serving([directory, '--port', '0', '--cores', '1', ...args]);
  await fetch(`${facts.url}/`, { headers: { 'x-forwarded-for': '192.0.2.9, 203.0.113.5, 10.0.0.1' } });
  running.child.kill('SIGTERM');
  t.is((await running.ended).code, 0);
  t.regex(readFileSync(log, 'utf8'), /^203\.0\.113\.5 - - /);
});

test('packed files are sent with the flag of their coding', async (t) => {
  const directory = site();
  for (const extension of ['br', 'zst', 'gz']) writeFileSync(join(directory, `index.html.${extension}`), extension);
  for (const [flag, token] of Object.entries({ brotli: 'br', zstd: 'zstd', gzip: 'gzip' })) {
    const { running, facts } = await serving([directory, '--port', '0', '--cores', '1', `--${flag}`]);
    const { headers } = await fetch(`${facts.url}/`, {
      method: 'HEAD',
      headers: { 'accept-encoding': 'gzip, deflate, br, zstd' },
    });
    t.is(headers.get('content-encoding'), token);
    t.is(headers.get('vary'), 'Accept-Encoding');
    running.child.kill('SIGTERM');
    t.is((await running.ended).code, 0);
  }
});

test('--compress compresses on the fly, as it is told', async (t) => {
  const directory = site();
  writeFileSync(join(directory, 'a.css'), 'a { color: red }\n'.repeat(100));
  for (const [flags, token] of [
    [['--compress'], 'br'],
    [['--compress', 'brotli=off', '--compress', 'gzip=9'], 'gzip'],
    [['--compress', 'minBytes=2000'], null],
  ] as const) {
    const { running, facts } = await serving([directory, '--port', '0', '--cores', '1', ...flags]);
    let coding = null;
    // Once, but on a machine that is too busy to compress within five seconds.
    for (let tries = 0; tries < 10 && coding === null; tries += token === null ? 10 : 1) {
      const { headers } = await fetch(`${facts.url}/a.css`, { headers: { 'accept-encoding': 'gzip, br' } });
      coding = headers.get('content-encoding');
    }
    t.is(coding, token);
    running.child.kill('SIGTERM');
    t.is((await running.ended).code, 0);
  }
});

test('what is said of CORS without --cors opens nothing', async (t) => {
  const { code, stdout, stderr } = await ringwheel(['serve', '--check', '--no-config', '--cors-max-age', '60']);
  t.deepEqual([code, stdout], [2, '']);
  t.regex(stderr, /--cors-max-age need --cors/);
});

test('--cors lets everybody in, or those who are named; --security-headers says its own', async (t) => {
  const origin = 'https://a.example';
  for (const [flags, allowed] of [
    [['--cors'], '*'],
    [['--cors', origin, '--cors', 'http://localhost:1'], origin],
    [[], null],
  ] as const) {
    const { running, facts } = await serving([site(), '--port', '0', '--cores', '1', '--security-headers', ...flags]);
    const { headers } = await fetch(facts.url, { headers: { origin } });
    t.is(headers.get('access-control-allow-origin'), allowed);
    t.is(headers.get('x-frame-options'), 'SAMEORIGIN');
    running.child.kill('SIGTERM');
    t.is((await running.ended).code, 0);
  }
});

test('without --json it says url, driver, cores and features', async (t) => {
  const command = [join(root, 'dist/lib/cli/main.js'), 'serve', site(), '--port', '0', '--log', 'pretty'];
  const running = new Running(process.execPath, command);
  await running.line();
  running.child.kill('SIGINT'); // At once: the first word already means that a signal drains.
  const { code, stdout } = await running.ended;
  t.is(code, 0);
  t.regex(stdout, /url +http:\/\/127\.0\.0\.1:\d+\n/);
  t.regex(stdout, /driver +(uring|poll)\n/);
  t.regex(stdout, /cores +\d+\n/);
  t.regex(stdout, /features +\S+/);
});

test('`npm start` serves the sample site, and another directory from where the user stands', async (t) => {
  const start = join(root, 'scripts/start.mjs');
  // With the addon at hand: a release build takes minutes, and would change the addon under the specs that run beside this one.
  const profile = builtProfile();
  if (profile === undefined) {
    t.fail('the addon is missing or older than its sources: npm run build -- --profile quick');
    return;
  }
  const built = { ...process.env, RINGWHEEL_BUILD_PROFILE: profile };
  const sample = new Running(process.execPath, [start, '--port', '0', '--json'], { cwd: root, env: built }, 600);
  const { url } = JSON.parse(await sample.line());
  t.regex(await (await fetch(url)).text(), /ringwheel is running/);
  sample.child.kill('SIGTERM');
  const { code, stderr } = await sample.ended;
  t.is(code, 0, stderr);
  t.notRegex(stderr, /building the native addon/);
  const directory = site();
  const env = { ...built, INIT_CWD: directory };
  const own = new Running(process.execPath, [start, '.', '--port', '0', '--json'], { cwd: root, env }, 600);
  const facts = JSON.parse(await own.line());
  t.is(await (await fetch(facts.url)).text(), PAGE);
  own.child.kill('SIGTERM');
  t.is((await own.ended).code, 0);
});

test('help and version need no native addon and exit with 0', async (t) => {
  const help = await ringwheel(['--help']);
  t.is(help.code, 0);
  t.regex(help.stdout, /Examples:[\s\S]*ringwheel serve/);
  const serve = await ringwheel(['serve', '--help']);
  t.is(serve.code, 0);
  t.regex(serve.stdout, /--port[\s\S]*--host[\s\S]*--cores[\s\S]*SIGTERM, SIGINT[\s\S]*exits with 1 /);
  const version = await ringwheel(['--version']);
  t.is(version.code, 0);
  t.is(version.stdout.trim(), require('../../package.json').version);
});
