// `npm run node-suite`: what passes, what fails, what is excepted and what Node itself fails, of a checkout with five tests.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import test from 'ava';
import { root } from '../support/command';

const SWAPPED = "process.execArgv.some((flag) => flag.endsWith('swap.cjs'))";

const SUITE = ['--import', 'tsx', join(root, 'scripts/node-suite/main.ts')];

function checkoutOf(tests: Readonly<Record<string, string>>): string {
  const checkout = mkdtempSync(join(tmpdir(), 'ringwheel-checkout-'));
  mkdirSync(join(checkout, 'test/parallel'), { recursive: true });
  chmodSync(checkout, 0o755);
  for (const [name, text] of Object.entries(tests)) writeFileSync(join(checkout, 'test/parallel', name), text);
  return checkout;
}

function run(tests: Readonly<Record<string, string>>, ...given: string[]) {
  return spawnSync(process.execPath, [...SUITE, checkoutOf(tests), ...given], {
    cwd: root,
    encoding: 'utf8',
    timeout: 120_000,
  });
}

test('each test is told with what became of it, and one that fails fails the run', (t) => {
  const tests = {
    'test-fs-promises-a.js': `
      const assert = require('assert');
      for (const name of ['fs/promises', 'node:fs/promises']) assert.strictEqual(require(name), require('fs').promises);
      require('fs').promises.stat(__filename).then(({ size }) => assert(size > 0));
      if (${SWAPPED}) assert(require.cache[${JSON.stringify(join(root, 'dist/fs.js'))}]);`,
    'test-fs-promises-b.mjs': `
      import { access } from 'node:fs/promises';
      import ours from ${JSON.stringify(join(root, 'dist/fs.mjs'))};
      await access('.');
      if (${SWAPPED} !== (access === ours.access)) throw new Error('it is the wrong one');`,
    'test-fs-promises-d.mjs': `
      import 'node:fs/promises';
      import { strictEqual } from 'node:assert';
      import { realpathSync } from 'node:fs';
      strictEqual(process.cwd(), realpathSync(new URL('../..', import.meta.url)));`,
    'test-fs-promises-c.js': `require('fs/promises'); if (${SWAPPED}) throw new TypeError('told so');`,
    'test-fs-promises-d.js': `require('fs/promises'); if (${SWAPPED}) throw new Error('not told');`,
    'test-fs-promises-e.js': "require('fs/promises'); process.exit(3);",
    'test-http.js': 'process.exit(1);',
  };
  const { status, stdout } = run(tests, '--except', 'test-fs-promises-d.js=it may');
  t.regex(stdout, /^passed {4}test-fs-promises-a\.js$/m);
  t.regex(stdout, /^passed {4}test-fs-promises-b\.mjs$/m);
  // Of the same name as one that is excepted, but for the ending.
  t.regex(stdout, /^passed {4}test-fs-promises-d\.mjs$/m);
  t.regex(stdout, /^FAILED {4}test-fs-promises-c\.js {3}TypeError: told so \(exit code 1\)$/m);
  t.regex(stdout, /^excepted {2}test-fs-promises-d\.js {3}it may$/m);
  t.regex(stdout, /^left out {2}test-fs-promises-e\.js {3}failed with Node itself: exit code 3$/m);
  t.regex(stdout, /^3 passed, 1 failed, 1 excepted, 1 left out$/m);
  t.is(status, 1);
});

test('nothing to run is no success, and a mistake in the command line has the usage', (t) => {
  const { status, stderr } = run({});
  t.is(status, 2);
  t.regex(stderr, /no test of fs\/promises in .*\n\nnpm run node-suite -- DIR/s);
  t.is(run({}, '--jobs', '0').status, 2);
});

test('an interrupt ends the tests that run, and leaves nothing behind', async (t) => {
  const checkout = checkoutOf({
    'test-fs-promises-a.js': `
      require('fs/promises');
      require('fs').writeFileSync('started', process.env.NODE_TEST_DIR + ' ' + process.pid);
      setInterval(() => {}, 1000);`,
  });
  const child = spawn(process.execPath, [...SUITE, checkout], { cwd: root, stdio: 'ignore' });
  const exited = once(child, 'exit');
  const note = join(checkout, 'started');
  while (!existsSync(note) || readFileSync(note).length === 0) await pause(20);
  const [scratch = '', pid = ''] = readFileSync(note, 'utf8').split(' ');
  child.kill('SIGINT');
  t.deepEqual(await exited, [130, null]);
  t.false(existsSync(scratch));
  // What was killed may still be a zombie of the one that ended.
  while (isRunning(Number(pid))) await pause(20);
  t.pass();
});

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
