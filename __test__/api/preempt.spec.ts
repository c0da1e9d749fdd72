// Soft preemption: the word is seen by loops that are optimized, slices end at their time or when somebody waits, and a yield starts
// a new one.
import { join } from 'node:path';
import test from 'ava';
import { ended, script } from '../drivers';
import { root } from '../support/command';

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
    let longest = 0; // What happens meanwhile may end it earlier.
    for (let round = 0; round < 200 && longest < 0.9; round++) {
      const begun = performance.now(); // Before the first question, with which the millisecond begins.
      executor.yieldIfNeeded();
      assert(spin(3e8) < 3e8);
      longest = Math.max(longest, performance.now() - begun);
      await executor.yieldIfNeeded();
      await new Promise(setImmediate);
    }
    assert(longest >= 0.9, 'a millisecond from the first question on, not ' + longest);
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

/**
 * Slices of 300 ms, and something that another thread does in the middle of one. The slice before it must be told at its end, when nobody
 * waits, so that the queue owes nobody a turn: then the next has to be told by what happens. Whatever else the process does (V8 has
 * threads, too) may come in between and cost a round; one of five is enough.
 */
const rises = (once: string, act: string) => `
  const { execFileSync } = require('node:child_process');
  const { Channel } = ringwheel;
  const executor = Executor.start({ queues: { turnMs: 300 } });
  executor.needPreempt(); // Made by the first question: slices before it have no time of their own.
  const background = new TaskQueue();
  const urgent = new TaskQueue({ latency: { maxMs: 4000 } });
  const gate = new Int32Array(new SharedArrayBuffer(4));
  const [here, there] = Channel.pair({ kind: 'numbers' });
  const fifo = __filename + '.fifo';
  execFileSync('mkfifo', [fifo]);
  const file = await File.open(fifo, require('node:fs').constants.O_RDWR);
  const thread = new Worker(
    \`(async () => {
      const { parentPort, workerData } = require('node:worker_threads');
      const { Channel } = require(workerData.ringwheel);
      const port = Channel.open(workerData.port);
      parentPort.postMessage('ready');
      for (let round = 0; ; round++) {
        Atomics.wait(workerData.gate, 0, round);
        \${${JSON.stringify(act)}}
      }
    })()\`,
    { eval: true, workerData: { gate, fifo, port: there, ringwheel: require.resolve(${JSON.stringify(join(root, 'dist/index.js'))}) } },
  );
  await new Promise((resolve) => thread.once('message', resolve));
  const slice = () => {
    const begun = performance.now();
    while (!executor.needPreempt());
    return performance.now() - begun;
  };
  let happened = 0;
  urgent.spawn(async () => { for (;;) { ${once} happened++; } }).catch(() => {});
  await sleep(20);
  const rounds = await background.spawn(async () => {
    const rounds = [];
    while (rounds.length < 5 && !rounds.some(([whole, short]) => whole >= 299 && short < 250)) {
      const before = happened;
      slice();
      await background.yield();
      const whole = slice();
      await background.yield();
      assert.strictEqual(happened, before);
      Atomics.add(gate, 0, 1);
      Atomics.notify(gate, 0);
      const short = slice();
      rounds.push([whole, short]);
      while (happened === before) await background.yield();
    }
    return rounds;
  });
  console.log(JSON.stringify(rounds));
  assert(rounds.some(([whole, short]) => whole >= 299 && short < 250), 'nothing raised the word: ' + JSON.stringify(rounds));
  require('node:fs').unlinkSync(fifo);
  process.exit(0);`;

const causes: Record<string, [once: string, act: string]> = {
  "a completion of a latency class's read": [
    'assert.strictEqual(await file.read(new Uint8Array(4)), 4);',
    `require('node:fs').writeFileSync(workerData.fifo, 'late');`,
  ],
  'a message of another thread': ['assert.strictEqual(await here.receive(), 7);', 'await port.send(7);'],
  'something for the event loop': [
    "await new Promise((resolve) => thread.once('message', resolve));",
    "parentPort.postMessage('now');",
  ],
};
for (const [cause, [once, act]] of Object.entries(causes)) {
  test(`${cause} raises the word in the middle of a slice`, async (t) => {
    ended(t, await script(rises(once, act)));
  });
}

test('a latency class that a slice makes ready is not kept waiting by it', async (t) => {
  const result = await script(`
    const executor = Executor.start({ queues: { turnMs: 300 } });
    executor.needPreempt();
    const background = new TaskQueue();
    const urgent = new TaskQueue({ latency: { maxMs: 4000 } });
    const slice = () => {
      const begun = performance.now();
      while (!executor.needPreempt());
      return performance.now() - begun;
    };
    const rounds = await background.spawn(async () => {
      const rounds = [];
      while (rounds.length < 5 && !rounds.some((took) => took < 250)) {
        slice();
        await background.yield();
        slice();
        await background.yield();
        let done = false;
        const other = urgent.spawn(() => { done = true; });
        rounds.push(slice());
        assert(executor.needPreempt(), 'it stays raised');
        await background.yield();
        assert(done, 'the latency class went first');
        await other;
      }
      return rounds;
    });
    assert(rounds.some((took) => took < 250), 'it waited for the whole slice: ' + rounds);`);
  ended(t, result);
});
