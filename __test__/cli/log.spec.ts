// What `ringwheel serve` says: pino's lines off a terminal, and nothing but a person's lines where these are asked for.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { main, Running, ringwheel } from '../support/command';

function project(): { directory: string; config: string } {
  const directory = mkdtempSync(join(tmpdir(), 'ringwheel-log-'));
  const config = join(directory, 'ringwheel.config.json');
  writeFileSync(config, '{ "port": 0, "cores": 1 }');
  return { directory, config };
}

/** Runs a server until it has started, failed to reload, and ended. */
async function said(args: readonly string[]): Promise<{ stdout: string; stderr: string; pid: number }> {
  const { directory, config } = project();
  const running = new Running(process.execPath, [main, 'serve', ...args], { cwd: directory });
  let text = '';
  const hears = (what: RegExp) =>
    new Promise<void>((settle) => {
      const look = (chunk = '') => {
        text += chunk;
        if (what.test(text)) settle();
      };
      running.child.stderr?.on('data', look);
      running.child.stdout?.on('data', look);
      look();
    });
  await hears(/http:\/\/127/);
  writeFileSync(config, '{ "port": 0, "coers": 1 }');
  const failed = hears(/nothing has changed/);
  running.child.kill('SIGHUP');
  await failed;
  running.child.kill('SIGTERM');
  const { stdout, stderr } = await running.ended;
  return { stdout, stderr, pid: running.child.pid as number };
}

test('off a terminal each line is JSON with the fields of pino', async (t) => {
  const { stdout, stderr, pid } = await said([]);
  t.is(stdout, '', 'standard output is for the access log, and what --json says');
  const lines = stderr
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.deepEqual(
    lines.map(({ level }) => level),
    [30, 50, 30],
  );
  for (const line of lines) {
    t.like(line, { pid, hostname: hostname() });
    t.true(Number.isInteger(line.time) && Math.abs(line.time - Date.now()) < 300_000);
    t.is(typeof line.msg, 'string');
  }
  const [started, failed] = lines;
  t.is(started.msg, `serving ${started.root} at ${started.url}`);
  t.like(started, { cores: 1, config: 'ringwheel.config.json' });
  t.regex(failed.msg, /^nothing has changed: .*coers/);
  t.like(failed.err, { type: 'Failure' });
  t.regex(failed.err.message, /coers/);
  t.regex(failed.err.stack, /at /);
});

test('--log pretty is for a person, also without a terminal', async (t) => {
  const { stdout, stderr } = await said(['--log', 'pretty']);
  t.regex(stdout, /^ringwheel \S+ serves .*\n\n {2}url +http:/);
  const [failed, ended, ...more] = stderr.trimEnd().split('\n');
  t.regex(failed ?? '', /^ringwheel: nothing has changed: .*coers/);
  t.regex(ended ?? '', /^ringwheel: finishing what is being sent/);
  t.deepEqual(more, []);
});

test('a configuration may say which; another word is refused', async (t) => {
  const { directory, config } = project();
  writeFileSync(config, '{ "log": "json" }');
  const good = await ringwheel(['serve', '--check', '--json'], { cwd: directory });
  t.is(JSON.parse(good.stdout).log, 'json', good.stderr);
  writeFileSync(config, '{ "log": "xml" }');
  const { code, stderr } = await ringwheel(['serve', '--check'], { cwd: directory });
  t.is(code, 2);
  t.regex(stderr, /log must be .*pretty.*json/);
});
