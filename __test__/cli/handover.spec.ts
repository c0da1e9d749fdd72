// SIGUSR2: a successor on the same sockets, without a request that fails; and what happens when it does not start.
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { startSuccessor } from '../../lib/cli/successor';
import { main, Running } from '../support/command';
import { Client, siteOf } from '../support/http';

/** What a server says of itself on its line of JSON. */
interface Facts {
  readonly pid: number;
  readonly port: number;
  readonly url: string;
  readonly admin: string;
}

/** A `ringwheel serve --json` and those that follow it: they share its output. */
class Dynasty {
  readonly running: Running;
  readonly founded: Promise<void>;
  #facts: Facts[] = [];
  #said = '';

  constructor(t: ExecutionContext, args: readonly string[], options: object = {}) {
    const command = [main, 'serve', '--json', '--log', 'json', ...args];
    this.running = new Running(process.execPath, command, options, 280);
    let printed = '';
    this.running.child.stdout?.on('data', (chunk: Buffer) => {
      printed += chunk;
      this.#facts = printed
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line));
    });
    this.running.child.stderr?.on('data', (chunk: Buffer) => {
      this.#said += chunk;
    });
    this.founded = this.running.line().then(() => {});
    t.teardown(() => {
      for (const { pid } of this.#facts) if (lives(pid)) process.kill(pid, 'SIGKILL');
    });
  }

  get facts(): readonly Facts[] {
    return this.#facts;
  }

  get newest(): Facts {
    return this.#facts.at(-1) as Facts;
  }

  /** Messages that were logged so far. */
  get messages(): string[] {
    return this.#said
      .split('\n')
      .slice(0, -1)
      .filter((line) => line.startsWith('{')) // What is wrong with a command line is said to a person.
      .map((line) => JSON.parse(line).msg);
  }

  async says(what: RegExp): Promise<void> {
    await until(() => this.messages.some((message) => what.test(message)));
  }

  /** Hands over once, and waits for the successor. */
  async handOver(): Promise<Facts> {
    const before = this.#facts.length;
    process.kill(this.newest.pid, 'SIGUSR2');
    await until(() => this.#facts.length > before);
    return this.newest;
  }

  /** Ends the newest one: everybody's output ends with it. */
  async end(): Promise<void> {
    process.kill(this.newest.pid, 'SIGTERM');
    await this.running.ended;
  }
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Gives up with the test. */
async function until(is: () => boolean): Promise<void> {
  while (!is()) await sleep(20);
}

/** Requests one after the other until told to stop; what went wrong, and how many did not. */
async function load(port: number, agent: Agent, stop: { now: boolean }): Promise<{ good: number; bad: string[] }> {
  const bad: string[] = [];
  let good = 0;
  while (!stop.now) {
    await new Promise<void>((settle) => {
      const failed = (error: Error) => {
        bad.push(error.message);
        settle();
      };
      const request = get({ port, host: '127.0.0.1', path: '/a', agent }, (response) => {
        let body = '';
        response.on('data', (chunk) => {
          body += chunk;
        });
        response.on('error', failed).on('end', () => {
          if (response.statusCode === 200 && body === 'hello') good += 1;
          else bad.push(`${response.statusCode} ${body}`);
          settle();
        });
      });
      request.on('error', failed);
    });
  }
  agent.destroy();
  return { good, bad };
}

test.serial('ten handovers under load fail no request, kept connections and new ones alike', async (t) => {
  const dynasty = new Dynasty(t, [siteOf(t, { a: 'hello' }), '--port', '0', '--cores', '2', '--drain', '60000']);
  await dynasty.founded;
  const { port } = dynasty.newest;
  const stop = { now: false };
  const agents = [true, true, false, false].map((keepAlive) => new Agent({ keepAlive, maxSockets: 1 }));
  const loads = agents.map((agent) => load(port, agent, stop));
  for (let round = 0; round < 10; round++) t.is((await dynasty.handOver()).port, port);
  stop.now = true;
  for (const { good, bad } of await Promise.all(loads)) {
    t.deepEqual(bad, []);
    t.true(good > 10);
  }
  const pids = dynasty.facts.map(({ pid }) => pid);
  t.is(new Set(pids).size, 11);
  // Nobody has a connection any more, so those before end of themselves, well before their deadline.
  await until(() => pids.slice(0, -1).every((pid) => !lives(pid)));
  t.true(lives(dynasty.newest.pid));
  await dynasty.end();
  await until(() => !lives(dynasty.newest.pid));
});

test.serial('an idle connection has its next request answered, and is told that it was the last', async (t) => {
  const dynasty = new Dynasty(t, [siteOf(t, { a: 'hello' }), '--port', '0', '--cores', '1', '--drain', '60000']);
  await dynasty.founded;
  const old = dynasty.newest.pid;
  const idle = await Client.connect(t, dynasty.newest.port);
  t.is((await idle.get('/a')).headers.get('connection'), undefined);
  const silent = await Client.connect(t, dynasty.newest.port);
  await dynasty.handOver();
  await dynasty.says(/serves from now on/);
  t.true(lives(old));
  // The line comes as the drain begins.
  let reply = await idle.get('/a');
  while (reply.headers.get('connection') !== 'close') {
    t.is(reply.status, 200);
    reply = await idle.get('/a');
  }
  t.is(reply.status, 200);
  const { status, headers } = await silent.get('/a');
  t.deepEqual([status, headers.get('connection')], [200, 'close']);
  for (const client of [idle, silent]) t.is((await client.rest()).length, 0);
  await until(() => !lives(old));
  await dynasty.end();
});

test.serial('a signal ends the one that drains for its successor, too', async (t) => {
  const dynasty = new Dynasty(t, [siteOf(t, { a: 'hello' }), '--port', '0', '--cores', '1', '--drain', '3600000']);
  await dynasty.founded;
  const old = dynasty.newest.pid;
  const idle = await Client.connect(t, dynasty.newest.port);
  t.is((await idle.get('/a')).status, 200);
  await dynasty.handOver();
  await dynasty.says(/serves from now on/);
  process.kill(old, 'SIGTERM');
  t.is((await idle.rest()).length, 0);
  await until(() => !lives(old));
  await dynasty.end();
});

test.serial('a successor that does not start leaves the one before serving, and the next may', async (t) => {
  const root = siteOf(t, { a: 'hello' });
  const config = join(root, 'ringwheel.config.json');
  const write = (options: object) => writeFileSync(config, JSON.stringify({ cores: 1, ...options }));
  write({ port: 0 });
  const dynasty = new Dynasty(t, ['--config', config]);
  await dynasty.founded;
  const { pid, url } = dynasty.newest;
  write({ port: 'none' });
  process.kill(pid, 'SIGUSR2');
  await dynasty.says(/successor failed, and this process goes on serving: it ended with code 2 before it served/);
  t.true(lives(pid));
  t.is((await fetch(`${url}/a`)).status, 200);
  // Elsewhere: sockets of its own, and those of the one before are closed.
  write({ port: 0, host: '127.0.0.2' });
  const next = await dynasty.handOver();
  t.not(next.url, url);
  t.is((await fetch(`${next.url}/a`)).status, 200);
  await until(() => !lives(pid));
  await t.throwsAsync(fetch(`${url}/a`), undefined, 'nobody is there any more');
  await dynasty.end();
});

test.serial('while a successor starts another is refused, and SIGTERM ends both', async (t) => {
  const root = siteOf(t, { a: 'hello' });
  const config = join(root, 'ringwheel.config.mjs');
  const started = join(root, 'started');
  writeFileSync(
    config,
    `import { existsSync, writeFileSync } from 'node:fs';
    export default async () => {
      if (existsSync(${JSON.stringify(join(root, 'wait'))})) {
        writeFileSync(${JSON.stringify(started)}, String(process.pid));
        await new Promise((settle) => setTimeout(settle, 3_600_000));
      }
      return { port: 0, cores: 1 };
    };`,
  );
  const dynasty = new Dynasty(t, ['--config', config]);
  await dynasty.founded;
  const { pid, url } = dynasty.newest;
  writeFileSync(join(root, 'wait'), '');
  process.kill(pid, 'SIGUSR2');
  await until(() => existsSync(started) && readFileSync(started, 'utf8') !== '');
  const successor = Number(readFileSync(started, 'utf8'));
  process.kill(pid, 'SIGUSR2');
  await dynasty.says(/a successor is starting already/);
  t.is((await fetch(`${url}/a`)).status, 200);
  process.kill(pid, 'SIGTERM');
  t.is((await dynasty.running.ended).code, 0);
  t.false(lives(successor));
});

test('a successor that neither serves nor ends is killed', async (t) => {
  const nobody = { fds: [], adminFd: undefined };
  const { signal } = new AbortController();
  const directory = mkdtempSync(join(tmpdir(), 'ringwheel-successor-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'pid');
  const hangs = `require('node:fs').writeFileSync(${JSON.stringify(file)}, String(process.pid)); setInterval(() => {}, 1000)`;
  const starting = startSuccessor(
    nobody,
    { root: '.' },
    { signal, command: [process.execPath, '-e', hangs], readyMs: 5000 },
  );
  await t.throwsAsync(starting, { message: 'it did not serve within 5 seconds and was killed' });
  if (existsSync(file)) await until(() => !lives(Number(readFileSync(file, 'utf8'))));
  const missing = startSuccessor(nobody, { root: '.' }, { signal, command: [join(directory, 'none')] });
  await t.throwsAsync(missing, { code: 'ENOENT' });
});

test.serial('a Unix socket and the admin listener are handed over, and the last one removes the path', async (t) => {
  const root = siteOf(t, { a: 'hello' });
  const path = join(root, 'http.sock');
  const dynasty = new Dynasty(t, [root, '--unix', path, '--cores', '2', '--admin', '0', '--drain', '60000']);
  await dynasty.founded;
  const { pid, admin } = dynasty.newest;
  const next = await dynasty.handOver();
  t.is(next.admin, admin);
  await until(() => !lives(pid));
  t.is((await (await Client.connect(t, path)).get('/a', 'Connection: close')).status, 200);
  t.is((await fetch(`${admin}/readyz`)).status, 200);
  await dynasty.handOver();
  await until(() => !lives(next.pid));
  t.is((await fetch(`${admin}/readyz`)).status, 200);
  t.is((await (await Client.connect(t, path)).get('/a', 'Connection: close')).status, 200);
  await dynasty.end();
  t.false(existsSync(path));
});

test.serial('a successor that fails when it has the Unix socket leaves its path to the one before', async (t) => {
  const root = siteOf(t, { a: 'hello' });
  const path = join(root, 'http.sock');
  const config = join(root, 'ringwheel.config.json');
  const write = (admin: number) =>
    writeFileSync(config, JSON.stringify({ cores: 1, unix: path, admin: { port: admin } }));
  write(0);
  const dynasty = new Dynasty(t, ['--config', config]);
  await dynasty.founded;
  const { pid } = dynasty.newest;
  const taken = createServer().listen(0, '127.0.0.1');
  t.teardown(() => taken.close());
  await once(taken, 'listening');
  write((taken.address() as AddressInfo).port);
  process.kill(pid, 'SIGUSR2');
  await dynasty.says(/successor failed, and this process goes on serving/);
  t.is((await (await Client.connect(t, path)).get('/a', 'Connection: close')).status, 200);
  write(0);
  await dynasty.handOver();
  await until(() => !lives(pid));
  t.is((await (await Client.connect(t, path)).get('/a', 'Connection: close')).status, 200);
  await dynasty.end();
  t.false(existsSync(path));
});

test.serial('a successor whose predecessor is killed before it serves, serves', async (t) => {
  const root = siteOf(t, { a: 'hello' });
  const config = join(root, 'ringwheel.config.mjs');
  const [wait, started] = [join(root, 'wait'), join(root, 'started')];
  writeFileSync(
    config,
    `import { existsSync, writeFileSync } from 'node:fs';
    export default async () => {
      if (existsSync(${JSON.stringify(wait)})) writeFileSync(${JSON.stringify(started)}, '');
      while (existsSync(${JSON.stringify(wait)})) await new Promise((settle) => setTimeout(settle, 20));
      return { port: 0, cores: 1 };
    };`,
  );
  const dynasty = new Dynasty(t, ['--config', config]);
  await dynasty.founded;
  const { pid, url } = dynasty.newest;
  writeFileSync(wait, '');
  process.kill(pid, 'SIGUSR2');
  await until(() => existsSync(started));
  process.kill(pid, 'SIGKILL');
  await until(() => !lives(pid));
  rmSync(wait);
  await until(() => dynasty.newest.pid !== pid);
  await sleep(100); // What it says to the one that is gone must not end it.
  t.is((await fetch(`${url}/a`)).status, 200);
  await dynasty.end();
});
