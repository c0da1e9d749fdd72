// `ringwheel doctor`: names the driver and what would help, for people and for programs.
import test from 'ava';
import { ringwheel } from '../support/command';

test('--json has the driver, features, limits and findings', async (t) => {
  const { code, stdout, stderr } = await ringwheel(['doctor', '--json']);
  t.is(code, 0, stderr);
  const { driver, features, limits, findings } = JSON.parse(stdout);
  t.true(driver === 'uring' || driver === 'poll');
  t.true(Array.isArray(features));
  t.is(typeof limits, 'object');
  for (const finding of findings) {
    t.is(typeof finding.problem, 'string');
    t.true(finding.remedy.length > 0);
  }
});

test('the text names the same driver', async (t) => {
  const { driver } = JSON.parse((await ringwheel(['doctor', '--json'])).stdout);
  const { code, stdout } = await ringwheel(['doctor']);
  t.is(code, 0);
  t.regex(stdout, new RegExp(`^driver +${driver}$`, 'm'));
});

test('RINGWHEEL_DRIVER=poll is obeyed and named as the reason', async (t) => {
  const env = { ...process.env, RINGWHEEL_DRIVER: 'poll' };
  const { driver, findings } = JSON.parse((await ringwheel(['doctor', '--json'], { env })).stdout);
  t.is(driver, 'poll');
  t.true(findings.some(({ problem }: { problem: string }) => problem.includes('RINGWHEEL_DRIVER')));
});
