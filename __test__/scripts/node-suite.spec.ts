// `npm run node-suite`: what passes, what fails, what is excepted and what Node itself fails, of a checkout with five tests.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { root } from '../support/command';

const SWAPPED = "process.execArgv.some((flag) => flag.endsWith('swap.cjs'))";

function run(tests: Readonly<Record<string, string>>, ...given: string[]) {
  const checkout = mkdtempSync(join(tmpdir(), 'ringwheel-checkout-'));
  mkdirSync(join(checkout, 'test/parallel'), { recursive: true });
  for (const [name, text] of Object.entries(tests)) writeFileSync(join(checkout, 'test/parallel', name), text);
  const script = join(root, 'scripts/node-suite/main.ts');
  return spawnSync(process.execPath, ['--import', 'tsx', script, checkout, ...given], {
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
    'test-fs-promises-c.js': `require('fs/promises'); if (${SWAPPED}) throw new TypeError('told so');`,
    'test-fs-promises-d.js': `require('fs/promises'); if (${SWAPPED}) throw new Error('not told');`,
    'test-fs-promises-e.js': "require('fs/promises'); process.exit(3);",
    'test-http.js': 'process.exit(1);',
  };
  const { status, stdout } = run(tests, '--except', 'test-fs-promises-d=it may');
  t.regex(stdout, /^passed {4}test-fs-promises-a$/m);
  t.regex(stdout, /^passed {4}test-fs-promises-b$/m);
  t.regex(stdout, /^FAILED {4}test-fs-promises-c {2}TypeError: told so \(exit code 1\)$/m);
  t.regex(stdout, /^excepted {2}test-fs-promises-d {2}it may$/m);
  t.regex(stdout, /^left out {2}test-fs-promises-e {2}failed with Node itself: exit code 3$/m);
  t.regex(stdout, /^2 passed, 1 failed, 1 excepted, 1 left out$/m);
  t.is(status, 1);
});

test('nothing to run is no success, and a mistake in the command line has the usage', (t) => {
  const { status, stderr } = run({});
  t.is(status, 2);
  t.regex(stderr, /no test of fs\/promises in .*\n\nnpm run node-suite -- DIR/s);
  t.is(run({}, '--jobs', '0').status, 2);
});
