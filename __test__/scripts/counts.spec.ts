// The counts of `npm test` are the truth about a run: a failing, empty, cut-off or crashed run can never pass.
import test from 'ava';
import { countCargo, countTap } from '../../scripts/test/counts';
import { judgeCounted } from '../../scripts/test/step';

const cargo = `
running 3 tests
test wheel::fires ... ok
test wheel::needs_root ... ignored, needs root
test wheel::late ... FAILED

test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s

running 1 test
test ring ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
skip: uring::sqpoll: fewer than 4 CPUs
`;

test('libtest: the results of all binaries are added up and ignored tests keep their reason', (t) => {
  t.deepEqual(countCargo(cargo), {
    passed: 2,
    failed: 1,
    skipped: ['wheel::needs_root: needs root', 'uring::sqpoll: fewer than 4 CPUs'],
  });
});

test('libtest: output without a result line cannot be counted', (t) => {
  t.throws(() => countCargo('error: could not compile'), { message: /no `test result:` line/ });
});

const tap = `TAP version 13
ok 1 - api › file › reads
not ok 2 - api › file › writes
  ---
    name: AssertionError
  ...
ok 3 - api › file › needs a kernel # SKIP
1..3
# tests 3
`;

test('TAP: passes, failures and skips are told apart', (t) => {
  t.deepEqual(countTap(tap), { passed: 1, failed: 1, skipped: ['api › file › needs a kernel: no reason given'] });
});

test('TAP: a stream that ends before its plan, or has none, cannot be counted', (t) => {
  t.throws(() => countTap('TAP version 13\nok 1 - a\n'), { message: /no plan/ });
  t.throws(() => countTap('TAP version 13\nok 1 - a\n1..2\n'), { message: /planned 2 tests and has 1/ });
});

test('a run fails when its exit code does, when a test does, and when there was none', (t) => {
  const good = 'TAP version 13\nok 1 - a\n1..1\n';
  t.is(judgeCounted({ ok: true, how: 'exit code 0', output: good }, countTap).failed, 0);
  t.is(judgeCounted({ ok: false, how: 'signal SIGSEGV', output: good }, countTap).failed, 1);
  t.is(judgeCounted({ ok: true, how: 'exit code 0', output: tap }, countTap).failed, 1);
  t.is(judgeCounted({ ok: true, how: 'exit code 0', output: 'TAP version 13\n1..0\n' }, countTap).failed, 1);
  t.is(judgeCounted({ ok: true, how: 'exit code 0', output: '' }, countTap).failed, 1);
});
