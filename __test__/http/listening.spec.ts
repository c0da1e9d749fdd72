// Where a FileServer listens: Unix sockets, and sockets that somebody passed on.
import { existsSync, mkdtempSync, openSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { FileServer } from '../../index';
import { passedOn } from '../../lib/api/inherited';
import { main, Running } from '../support/command';
import { bytesOf, Client, serverOf, siteOf } from '../support/http';

const INVALID = { code: 'ERR_RINGWHEEL_INVALID_OPTION' };

function directoryOf(t: ExecutionContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'ringwheel-unix-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

test('a Unix socket is served like a port, by every core, and its path goes with the server', async (t) => {
  const large = bytesOf(3 << 20);
  const root = siteOf(t, { a: 'hello', large });
  const path = join(directoryOf(t), 'http.sock');
  const server = await FileServer.start({ root, unix: { path, mode: 0o620 }, cores: 2 });
  t.is(server.url, `unix:${path}`);
  t.deepEqual([server.unix, server.host, server.port], [path, '', 0]);
  t.is(statSync(path).mode & 0o777, 0o620);
  const clients = await Promise.all(Array.from({ length: 20 }, () => Client.connect(t, path)));
  for (const client of clients) t.is((await client.get('/a')).body.toString(), 'hello');
  for (const client of clients.slice(0, 3)) t.true((await client.get('/large')).body.equals(large));
  t.is(server.stats().accepted, 20);
  await server.close({ deadlineMs: 1000 });
  t.false(existsSync(path));
});

test('a path is taken from a server that is gone, and from nobody and nothing else', async (t) => {
  const root = siteOf(t, { a: 'hello' });
  const directory = directoryOf(t);
  const unix = join(directory, 'http.sock');
  const running = new Running(process.execPath, [main, 'serve', '--json', root, '--unix', unix]);
  t.like(JSON.parse(await running.line()), { url: `unix:${unix}`, port: 0 });
  const busy = await t.throwsAsync(FileServer.start({ root, unix }), { code: 'EADDRINUSE' });
  t.regex(busy?.message ?? '', /somebody listens on/);
  running.child.kill('SIGKILL');
  await running.ended;
  t.true(existsSync(unix), 'killed, it leaves its path');
  const server = await serverOf(t, root, { unix });
  t.is((await (await Client.connect(t, unix)).get('/a')).status, 200);
  await server.close({ deadlineMs: 0 });
  writeFileSync(unix, 'a file');
  await t.throwsAsync(FileServer.start({ root, unix }), { message: /is no socket; remove it/ });
  const nowhere = join(directory, 'none', 'http.sock');
  await t.throwsAsync(FileServer.start({ root, unix: nowhere }), { code: 'ENOENT', message: /there is no directory/ });
});

/** A socket that listens, to pass on; this process accepts nothing from it once `pass` has returned. */
async function passing<T>(where: number | string, pass: (fd: number) => T | Promise<T>): Promise<T> {
  const server: Server = createServer().listen(where);
  await new Promise((settle) => server.once('listening', settle));
  const passed = await pass((server as unknown as { _handle: { fd: number } })._handle.fd);
  // libuv removes the path of a socket that it closes, whoever else has it.
  if (typeof where === 'string') renameSync(where, `${where}.kept`);
  server.close();
  if (typeof where === 'string') renameSync(`${where}.kept`, where);
  return passed;
}

test("a socket that is passed on by number is served, and is not the server's to close", async (t) => {
  const root = siteOf(t, { a: 'hello' });
  const start = (fd: number, cores: number) => FileServer.start({ root, fd, cores });
  const [one, other] = await passing(0, (fd) => Promise.all([start(fd, 2), start(fd, 1)]));
  t.teardown(() => other.close({ deadlineMs: 0 }));
  t.is(one.port, other.port);
  const ask = async () => (await (await Client.connect(t, one.port)).get('/a')).status;
  for (let nth = 0; nth < 20; nth++) t.is(await ask(), 200);
  t.is(one.stats().requests + other.stats().requests, 20);
  await one.close({ deadlineMs: 0 });
  for (let nth = 0; nth < 20; nth++) t.is(await ask(), 200);
  const file = openSync(join(root, 'a'), 'r');
  await t.throwsAsync(FileServer.start({ root, fd: file }), {
    code: 'ENOTSOCK',
    message: /pass on a socket that listens/,
  });
  await t.throwsAsync(FileServer.start({ root, fd: 999_999 }), { code: 'EBADF' });
});

test('ringwheel serve takes the sockets of a service manager, all or those of a name', async (t) => {
  const root = siteOf(t, { a: 'hello' });
  const path = join(directoryOf(t), 'http.sock');
  for (const [fd, count] of [
    ['systemd', 2],
    ['systemd:web', 1],
  ] as const) {
    // As a service manager does it: LISTEN_PID is the pid of what it executes.
    const start = (tcp: number, unix: number) =>
      new Running(
        'sh',
        ['-c', 'export LISTEN_PID=$$; exec "$0" "$@"', process.execPath, main, 'serve', '--json', root, '--fd', fd],
        {
          stdio: ['ignore', 'pipe', 'pipe', tcp, unix],
          env: { ...process.env, LISTEN_FDS: '2', LISTEN_FDNAMES: 'web:local' },
        },
      );
    const running = await passing(0, (tcp) => passing(path, (unix) => start(tcp, unix)));
    const facts = JSON.parse(await running.line());
    t.is((await fetch(`${facts.url}/a`)).status, 200);
    t.is(facts.unix, count === 2 ? path : undefined);
    if (count === 2) t.is((await (await Client.connect(t, path)).get('/a')).status, 200);
    running.child.kill('SIGTERM');
    t.is((await running.ended).code, 0);
    rmSync(path, { force: true });
  }
});

test('what a service manager says is believed only when it is whole and about this process', (t) => {
  const passed = (env: NodeJS.ProcessEnv) => ({ pid: 7, env });
  const env = { LISTEN_PID: '7', LISTEN_FDS: '3', LISTEN_FDNAMES: 'a:b:a' };
  t.deepEqual(passedOn('here', undefined, passed(env)), [3, 4, 5]);
  t.deepEqual(passedOn('here', 'a', passed(env)), [3, 5]);
  const wrong: [NodeJS.ProcessEnv, RegExp][] = [
    [{}, /not set: start it by a socket unit/],
    [{ ...env, LISTEN_PID: '8' }, /not this process \(7\)/],
    [{ ...env, LISTEN_FDS: '0' }, /from 1 to 1024/],
    [{ ...env, LISTEN_FDS: '-1' }, /from 1 to 1024/],
    [{ ...env, LISTEN_FDS: '99999999' }, /from 1 to 1024/],
  ];
  for (const [wrongly, message] of wrong)
    t.throws(() => passedOn('here', undefined, passed(wrongly)), { ...INVALID, message });
  t.throws(() => passedOn('here', 'c', passed(env)), { ...INVALID, message: /none is named 'c'/ });
});

test('one place to listen on, and each option in its range', async (t) => {
  const root = siteOf(t, { a: 'hello' });
  const wrong = [
    { unix: '/tmp/x', port: 0 },
    { unix: '/tmp/x', fd: 3 },
    { fd: 3, host: '::1' },
    { unix: `/tmp/${'x'.repeat(200)}` },
    { unix: { path: '/tmp/x', mode: 0o1777 } },
    { unix: { mode: 0o600 } },
    { fd: -1 },
    { fd: 'launchd' },
    { fd: [] },
  ];
  for (const options of wrong) {
    await t.throwsAsync(FileServer.start({ root, ...options } as never), INVALID, JSON.stringify(options));
  }
});
