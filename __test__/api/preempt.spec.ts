// Soft preemption: the word is seen by loops that are optimized, slices end at their time, and a yield starts a new one.
import test from 'ava';
import { ended, script } from '../drivers';

const SPIN = `
  const executor = Executor.current();
  // Optimized after a few rounds; a load that were hoisted out of it would never end.
  const spin = (most) => { let count = 0; while (!executor.needPreempt() && count < most) count++; return count; };
`;

for (const copies of ['0', '1']) {
  test(`an optimized loop sees its time end, hundreds of times, copies ${copies}`, async (t) => {
    const result = await script(
      `${SPIN}
      const queue = new TaskQueue();
      await queue.spawn(async () => {
        for (let round = 0; round < 400; round++) {
          const begun = performance.now();
          const count = spin(3e8);
          const took = performance.now() - begun;
          assert(count < 3e8, 'round ' + round + ' saw nothing in ' + took + ' ms');
          assert(executor.needPreempt(), 'the word stays raised until the task yields');
          assert(executor.yieldIfNeeded() instanceof Promise);
          await queue.yield();
        }
      });
      assert(queue.stats().slices >= 400);`,
      [],
      { RINGWHEEL_COPIES: copies },
    );
    ended(t, result);
  });
}

test('a task whose looks become rare is told all the same, by the word', async (t) => {
  const result = await script(`${SPIN}
    const burn = (ms) => { const end = performance.now() + ms; while (performance.now() < end); };
    const queue = new TaskQueue();
    for (let round = 0; round < 10; round++) {
      const slow = await queue.spawn(() => {
        const end = performance.now() + 0.1;
        while (performance.now() < end) executor.needPreempt();
        spin(2000); // Ten thousand looks in no time: by them alone the clock would not be read for seconds.
        let count = 0;
        while (!executor.needPreempt() && count < 1000) { burn(0.2); count++; }
        return count;
      });
      assert(slow < 200, 'after ' + slow + ' looks of 0.2 ms');
    }`);
  ended(t, result);
});

test('with time left there is nothing to await, and code outside of queues has a millisecond', async (t) => {
  const result = await script(`${SPIN}
    await new Promise(setImmediate);
    const begun = performance.now(); // Before the first question, with which the millisecond begins.
    assert.strictEqual(executor.yieldIfNeeded(), undefined);
    assert(spin(3e8) < 3e8);
    assert(performance.now() - begun >= 0.9, 'a millisecond from the first question on');
    await executor.yieldIfNeeded();
    let fresh = false;
    for (let round = 0; round < 1000 && !fresh; round++) { fresh = !executor.needPreempt(); await executor.yieldIfNeeded(); }
    assert(fresh, 'a new slice has time left');
    const end = performance.now() + 45_000;
    for (let yields = 0; yields < 20; ) {
      const wait = executor.yieldIfNeeded();
      if (wait !== undefined) { yields++; await wait; }
      assert(performance.now() < end, 'only ' + yields + ' yields');
    }`);
  ended(t, result);
});

test('after close it says that time is over, and yields reject', async (t) => {
  const result = await script(`${SPIN}
    executor.needPreempt();
    await executor.close();
    assert.strictEqual(executor.needPreempt(), true);
    assert.strictEqual((await settled(executor.yieldIfNeeded())).error.code, 'ERR_RINGWHEEL_CLOSED');
    const never = Executor.start();
    await never.close();
    assert.strictEqual(never.needPreempt(), true);`);
  ended(t, result);
});
