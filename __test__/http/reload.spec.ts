// server.reload and SIGHUP: everything that can change changes, no connection is lost, and what is wrong changes nothing.

import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { FileServer, type FileServerOptions } from '../../index';
import { main, Running } from '../support/command';
import { bytesOf, Client, serverOf, siteOf } from '../support/http';
import { pair, LOCALHOST as TLS } from '../support/secure';

const OTHER = pair('other.test');

/** Asks until it is told to stop: on connections that are kept and on new ones. What is not 200 and whole fails the test. */
function loadOn(t: ExecutionContext, port: number, kept = 3): () => Promise<number> {
  let over = false;
  let asked = 0;
  const client = async (keeps: boolean) => {
    let connection: Client | undefined;
    while (!over) {
      if (connection === undefined || !keeps) connection = await Client.connect(t, port);
      const { status, body, headers } = await connection.get('/a', ...(keeps ? [] : ['Connection: close']));
      if (status !== 200 || !/^site \d$/.test(body.toString())) t.fail(`${status} ${body}`);
      if (keeps && headers.get('connection') === 'close') connection = undefined;
      asked += 1;
    }
  };
  const clients = [...Array(kept).fill(true), false].map(client);
  return async () => {
    over = true;
    await Promise.all(clients);
    return asked;
  };
}

test('a load runs through many reloads, and sees the new site at once', async (t) => {
  const root = siteOf(t, { 'sites/0/a': 'site 0', 'sites/1/a': 'site 1', 'sites/2/a': 'site 2' });
  const current = join(root, 'current');
  symlinkSync('sites/0', current);
  const options: FileServerOptions = { root: current, port: 0, cores: 2 };
  const server = await serverOf(t, current, options);
  const { url } = server;
  const end = loadOn(t, server.port);
  const probe = await Client.connect(t, server.port);
  for (let round = 0; round < 30; round++) {
    symlinkSync(`sites/${round % 3}`, join(root, 'next'));
    renameSync(join(root, 'next'), current);
    // Without options those it has are read again, and a link is followed again.
    await (round % 2 === 0 ? server.reload() : server.reload({ ...options, maxAge: round }));
    const { body, headers } = await probe.get('/a');
    t.is(body.toString(), `site ${round % 3}`);
    if (round % 2 === 1) t.is(headers.get('cache-control'), `public, max-age=${round}`);
  }
  t.true((await end()) > 0);
  t.is(server.url, url);
  const { cut, shed, timeouts, reloads, reloadsFailed } = server.stats();
  t.deepEqual(
    { cut, shed, timeouts, reloads, reloadsFailed },
    { cut: 0, shed: 0, timeouts: 0, reloads: 30, reloadsFailed: 0 },
  );
});

test('after a reload the gauges show the caches that answer, which are empty', async (t) => {
  const root = siteOf(t, { a: 'a', large: bytesOf(100_000) });
  const server = await serverOf(t, root);
  const client = await Client.connect(t, server.port);
  for (const path of ['/a', '/large']) t.is((await client.get(path)).status, 200);
  const gauges = () => {
    const { cacheEntries, cacheBytes, openFiles } = server.stats();
    return [cacheEntries, cacheBytes > 0, openFiles];
  };
  t.deepEqual(gauges(), [1, true, 1]);
  await server.reload();
  t.deepEqual(gauges(), [0, false, 0]);
  t.is((await client.get('/a')).status, 200);
  t.deepEqual(gauges(), [1, true, 0]);
});

test('sites, error pages, headers, limits and TLS come and go', async (t) => {
  const root = siteOf(t, { a: 'a', 'lost.html': 'lost', 'b/a': 'b' });
  const server = await serverOf(t, root);
  const kept = await Client.connect(t, server.port);
  t.is((await kept.get('/none')).body.toString().includes('lost'), false);
  await server.reload({
    root,
    errorPages: { 404: 'lost.html' },
    headers: { '/**': { 'X-Frame-Options': 'DENY' } },
    limits: { uriBytes: 100 },
    sites: [{ hosts: ['b.test'], root: join(root, 'b') }],
  });
  t.is((await kept.get('/none')).body.toString(), 'lost');
  t.is((await kept.get('/a')).headers.get('x-frame-options'), 'DENY');
  kept.send('GET /a HTTP/1.1\r\nHost: b.test\r\n\r\n');
  t.is((await kept.reply()).body.toString(), 'b');
  const long = await Client.connect(t, server.port);
  t.is((await long.get(`/${'x'.repeat(200)}`)).status, 414);
  await server.reload({ root, tls: TLS });
  t.regex(server.url, /^https:/);
  t.is((await kept.get('/a')).headers.has('x-frame-options'), false, 'a connection without TLS goes on without it');
  const status = await new Promise((settle, reject) => {
    request(`${server.url}/a`, { rejectUnauthorized: false }, (response) => settle(response.resume().statusCode))
      .on('error', reject)
      .end();
  });
  t.is(status, 200);
  await server.reload({ root });
  t.is((await fetch(`${server.url}/a`)).status, 200);
  t.is((await kept.get('/a')).status, 200);
});

test('what cannot change is said with its name, what is wrong as by start, and nothing has changed', async (t) => {
  const root = siteOf(t, { a: 'a' });
  const server = await serverOf(t, root, { admin: { port: 0 } });
  const code = 'ERR_RINGWHEEL_INVALID_OPTION';
  const wrong: [Partial<FileServerOptions>, object][] = [
    [
      { port: server.port === 1 ? 2 : 1 },
      { code, message: /^server\.reload: port is 1; allowed: 0, as long as the server runs; start it anew/ },
    ],
    [
      { host: '0.0.0.0', port: 0 },
      { code, message: /^server\.reload: host is "0\.0\.0\.0"/ },
    ],
    [{ unix: join(root, 'socket') }, { code, message: /^server\.reload: (unix|port) is / }],
    [{ fd: 0 }, { code, message: /^server\.reload: (fd|port) is / }],
    [{ cores: 2 }, { code, message: /^server\.reload: cores is 2; allowed: 1, / }],
    [
      { driver: server.driver === 'poll' ? 'uring' : 'poll' },
      { code, message: /^server\.reload: driver is "(uring|poll)"; allowed: "(auto|uring|poll)", / },
    ],
    [{ admin: { port: 1 } }, { code, message: /^server\.reload: admin cannot change/ }],
    [{ root: join(root, 'none') }, { code: 'ENOENT', message: /does not exist; create it/ }],
    [
      { tls: { cert: join(root, 'a'), key: join(root, 'a') } },
      { code: 'ERR_RINGWHEEL_SERVER', message: /no certificate in PEM/ },
    ],
    [{ limits: { uriBytes: 5 } }, { code }],
    [{ colour: 'red' } as never, { code, message: /^server\.reload: unknown option 'colour'/ }],
  ];
  const heard: unknown[] = [];
  const listen = (event: unknown) => {
    const { url, error } = event as { url: string; error?: Error };
    if (url === server.url) heard.push(error?.message);
  };
  subscribe('ringwheel:server:reload', listen);
  t.teardown(() => unsubscribe('ringwheel:server:reload', listen));
  for (const [change, expected] of wrong) {
    await t.throwsAsync(server.reload({ root, maxAge: 7, ...change }), expected, JSON.stringify(change));
    const answer = await fetch(`${server.url}/a`);
    t.is(answer.headers.get('cache-control'), null);
    await answer.text();
  }
  t.is((await fetch(`${server.adminUrl}/readyz`)).status, 200);
  await server.reload({ root, port: server.port, maxAge: 8 });
  t.is((await fetch(`${server.url}/a`)).headers.get('cache-control'), 'public, max-age=8');
  t.is(heard.length, wrong.length + 1);
  t.is(heard.at(-1), undefined);
  const metrics = await (await fetch(`${server.adminUrl}/metrics`)).text();
  t.regex(metrics, /^ringwheel_server_reloads_total\{.*result="success".*\} 1$/m);
  t.regex(metrics, new RegExp(`^ringwheel_server_reloads_total\\{.*result="failure".*\\} ${wrong.length}$`, 'm'));
});

test('reloads that are asked for together come one after the other; a close ends them', async (t) => {
  const root = siteOf(t, { a: 'a', large: bytesOf(16 << 20) });
  const server = await serverOf(t, root);
  const busy = await Client.connect(t, server.port);
  busy.socket.pause();
  busy.send('GET /large HTTP/1.1\r\nHost: a\r\n\r\n');
  await Promise.all(Array.from({ length: 10 }, (_, index) => server.reload({ root, maxAge: index })));
  t.is((await fetch(`${server.url}/a`)).headers.get('cache-control'), 'public, max-age=9');
  const late = Array.from({ length: 3 }, () => server.reload());
  const closing = server.close({ deadlineMs: 30_000 });
  const ends = await Promise.allSettled(late);
  for (const end of ends) {
    if (end.status === 'rejected') t.is(end.reason.code, 'ERR_RINGWHEEL_CLOSED');
  }
  await t.throwsAsync(server.reload(), { code: 'ERR_RINGWHEEL_CLOSED' });
  busy.socket.resume();
  t.true((await busy.reply()).body.equals(bytesOf(16 << 20)));
  await closing;
});

for (const name of ['ringwheel.config.json', 'ringwheel.config.mts']) {
  test(`SIGHUP reads ${name} again, and a wrong one changes nothing`, async (t) => {
    const root = siteOf(t, { a: 'site 1' });
    const config = join(root, name);
    const write = (options: object) => {
      const text = JSON.stringify(options);
      writeFileSync(
        config,
        name.endsWith('json') ? text : `import { value } from './value.mts';\nexport default { ...${text}, ...value };`,
      );
    };
    const value = (text: string) => writeFileSync(join(root, 'value.mts'), `export const value = ${text};`);
    value('{}');
    const place = { port: 0, cores: 1 };
    write(place);
    const running = new Running(process.execPath, [main, 'serve', '--json'], { cwd: root });
    const { port, url } = JSON.parse(await running.line());
    const said = (what: RegExp) =>
      new Promise<void>((settle) => {
        let text = '';
        running.child.stderr?.on('data', (chunk) => {
          text += chunk;
          if (what.test(text)) settle();
        });
      });
    const hup = async (what: RegExp) => {
      const news = said(what);
      running.child.kill('SIGHUP');
      await news;
    };
    const end = loadOn(t, port);
    write({ ...place, maxAge: 5 });
    await hup(/read again.*changed: maxAge/);
    t.is((await fetch(`${url}/a`)).headers.get('cache-control'), 'public, max-age=5');
    if (!name.endsWith('json')) {
      value('{ maxAge: 6 }');
      await hup(/read again.*changed: maxAge/);
      t.is((await fetch(`${url}/a`)).headers.get('cache-control'), 'public, max-age=6');
      value('{}');
    }
    write({ ...place, maxAgee: 7 });
    await hup(/nothing has changed: .*maxAgee/);
    write({ ...place, port: 1, maxAge: 7 });
    await hup(/nothing has changed: .*port is 1/);
    write({ port: 0, maxAge: 7 });
    await hup(/read again.*changed: maxAge/); // What is left out of what cannot change is kept.
    write({ ...place, maxAge: 9 });
    await hup(/read again.*changed: maxAge/);
    t.is((await fetch(`${url}/a`)).headers.get('cache-control'), 'public, max-age=9');
    t.true((await end()) > 0);
    running.child.kill('SIGTERM');
    t.is((await running.ended).code, 0);
  });
}

test('a terminal that goes away ends the server', async (t) => {
  const root = siteOf(t, { a: 'a' });
  // A pseudo terminal whose other end is closed once the server serves.
  const script = `
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
said = b""
while b"Ctrl-C stops." not in said:
    said += os.read(terminal, 4096)
os.close(terminal)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;
  const python = new Running('python3', [
    '-c',
    script,
    process.execPath,
    main,
    'serve',
    root,
    '--no-config',
    '--port',
    '0',
    '--cores',
    '1',
  ]);
  const { stdout, stderr } = await python.ended;
  t.is(stdout.trim(), '-1', `as who does not catch SIGHUP: ${stderr}`);
});

test('changed certificates are noticed', async (t) => {
  const root = siteOf(t, { a: 'a' });
  const [cert, key] = [join(root, 'c.pem'), join(root, 'k.pem')];
  const { copyFileSync } = await import('node:fs');
  copyFileSync(TLS.cert, cert);
  copyFileSync(TLS.key, key);
  const server = await FileServer.start({ root, port: 0, cores: 1, tls: { cert, key }, tlsReloadMs: 20 });
  t.teardown(() => server.close({ deadlineMs: 0 }));
  const until = async (what: string, ready: () => boolean) => {
    for (let tries = 0; tries < 2000 && !ready(); tries++) await new Promise((settle) => setTimeout(settle, 10));
    t.true(ready(), what);
  };
  // First the certificate, then its key: in between the pair does not fit, and the old one stays.
  copyFileSync(OTHER.cert, cert);
  await until('a pair that does not fit is told', () => server.stats().reloadsFailed === 1);
  copyFileSync(OTHER.key, key);
  await until('the new pair is in use', () => server.stats().reloads === 1);
  const subject = await new Promise((settle, reject) => {
    request(`${server.url}/a`, { rejectUnauthorized: false, agent: false }, (response) => {
      settle((response.socket as import('node:tls').TLSSocket).getPeerCertificate().subject.CN);
      response.resume();
    })
      .on('error', reject)
      .end();
  });
  t.is(subject, 'other.test');
});
