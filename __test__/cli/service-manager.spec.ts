// What `ringwheel serve` tells a service manager, as systemd hears it: over a Unix socket of datagrams, which Python has and Node has not.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { main, Running } from '../support/command';
import { siteOf } from '../support/http';

const LISTENER = `
import socket, sys, json
name = sys.argv[1]
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind("\\0" + name[1:] if name.startswith("@") else name)
print("listening", flush=True)
while True:
    print(json.dumps(listener.recv(65536).decode().split("\\n")), flush=True)
`;

/** A service manager: what it has heard, message by message. */
class Manager {
  readonly #python: Running;
  #printed = '';

  private constructor(t: ExecutionContext, name: string) {
    this.#python = new Running('python3', ['-c', LISTENER, name], {}, 240);
    this.#python.child.stdout?.on('data', (chunk: Buffer) => {
      this.#printed += chunk;
    });
    t.teardown(() => this.#python.child.kill('SIGKILL'));
  }

  static async start(t: ExecutionContext, name: string): Promise<Manager> {
    const manager = new Manager(t, name);
    await manager.#python.line();
    return manager;
  }

  get messages(): string[][] {
    const [, ...lines] = this.#printed.split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line));
  }

  async hears(count: number): Promise<string[]> {
    while (this.messages.length < count) await new Promise((settle) => setTimeout(settle, 20));
    return this.messages[count - 1] as string[];
  }
}

const hasPython = spawnSync('python3', ['--version']).status === 0;
if (!hasPython) console.error('skip: service manager: there is no python3');

for (const kind of ['path', 'abstract'] as const) {
  if (kind === 'abstract' && process.platform !== 'linux') continue;
  (hasPython ? test : test.skip)(
    `start, reload, successor and end are told to a socket of the kind ${kind}`,
    async (t) => {
      const directory = mkdtempSync(join(tmpdir(), 'ringwheel-notify-'));
      t.teardown(() => rmSync(directory, { recursive: true, force: true }));
      const name = kind === 'path' ? join(directory, 'notify') : `@ringwheel-${process.pid}`;
      const manager = await Manager.start(t, name);
      const args = [main, 'serve', siteOf(t, { a: 'a' }), '--json', '--log', 'json', '--port', '0', '--cores', '1'];
      const running = new Running(process.execPath, args, { env: { ...process.env, NOTIFY_SOCKET: name } }, 240);
      const { url } = JSON.parse(await running.line());
      t.deepEqual(await manager.hears(1), ['READY=1', `STATUS=serving at ${url}`]);
      running.child.kill('SIGHUP');
      const [reloading, since] = await manager.hears(2);
      t.is(reloading, 'RELOADING=1');
      const age = process.hrtime.bigint() / 1000n - BigInt(/^MONOTONIC_USEC=(\d+)$/.exec(since ?? '')?.[1] ?? 0);
      t.true(age > 0n && age < 240_000_000n, `${age} µs ago by the same clock`);
      t.is((await manager.hears(3))[0], 'READY=1');
      running.child.kill('SIGUSR2');
      const [main_, ready] = await manager.hears(4);
      const successor = Number(/^MAINPID=(\d+)$/.exec(main_ ?? '')?.[1]);
      t.true(successor > 0 && successor !== running.child.pid);
      t.is(ready, 'READY=1');
      process.kill(successor, 'SIGTERM');
      t.is((await manager.hears(5))[0], 'STOPPING=1');
      const { stdout } = await running.ended;
      t.is(JSON.parse(stdout.trim().split('\n')[1] as string).pid, successor);
      t.is(manager.messages.length, 5);
    },
  );
}

test('a service manager that is not there is said once, and served without', async (t) => {
  const args = [main, 'serve', siteOf(t, { a: 'a' }), '--json', '--log', 'json', '--port', '0', '--cores', '1'];
  const env = { ...process.env, NOTIFY_SOCKET: join(tmpdir(), 'ringwheel-nobody') };
  const running = new Running(process.execPath, args, { env });
  const { url } = JSON.parse(await running.line());
  t.is((await fetch(`${url}/a`)).status, 200);
  running.child.kill('SIGTERM');
  const { code, stderr } = await running.ended;
  t.is(code, 0);
  t.is(stderr.match(/the service manager cannot be told: /g)?.length, 1);
});
