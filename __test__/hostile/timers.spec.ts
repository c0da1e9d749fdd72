// Timers where things go wrong: callbacks that throw, workers that are terminated, clocks that jump, a process that is stopped,
// an executor that is closed, and garbage in the shared memory.
import { spawnSync } from 'node:child_process';
import test from 'ava';
import { ended, script } from '../drivers';
import { root } from '../support/command';

const NAMES = 'const { Timer, interval, timeout } = ringwheel;';

test('what a callback throws goes to uncaughtException; the others of its batch are called, in order, once', async (t) => {
  const result = await script(`${NAMES}
    assert(wanted === undefined || Executor.current().driver === wanted);
    const thrown = [], called = [], rejected = [];
    process.on('uncaughtException', (error) => thrown.push(error.message));
    process.on('unhandledRejection', (error) => rejected.push(error.message));
    for (let index = 0; index < 10; index++) {
      new Timer(5, () => {
        called.push(index);
        if (index % 3 === 0) throw new Error('thrown ' + index);
        if (index === 4) return Promise.reject(new Error('rejected'));
      });
    }
    const slept = sleep(5);
    const before = performance.now();
    while (performance.now() - before < 20); // All are due in one batch.
    await slept;
    await sleep(10);
    assert.deepStrictEqual(called, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert.deepStrictEqual(thrown, [0, 3, 6, 9].map((index) => 'thrown ' + index));
    assert.deepStrictEqual(rejected, ['rejected']);`);
  ended(t, result);
});

test('without a handler an exception of a callback ends the process, as with setTimeout', async (t) => {
  const result = await script(`${NAMES}
    new Timer(1, () => { throw new Error('nobody catches this'); });
    await sleep(60_000);`);
  ended(t, result, 1);
  t.regex(result.stderr, /nobody catches this/);
});

test('a wall clock that is set, and clocks that a program replaces, move no timer', async (t) => {
  const result = await script(`${NAMES}
    const real = performance.now.bind(performance);
    const before = real();
    const slept = sleep(30), fired = new Promise((resolve) => new Timer(30, resolve));
    const hour = Date.now() + 3_600_000;
    Date.now = () => hour;
    performance.now = () => 1e12;
    await Promise.all([slept, fired]);
    await sleep(5);
    const took = real() - before;
    assert(took >= 35 && took < 5000, String(took));`);
  ended(t, result);
});

test('a process that was stopped calls what became due meanwhile once, in order, and the rest at its time', async (t) => {
  const result = await script(`${NAMES}
    const { spawn } = require('node:child_process');
    const order = [], begun = performance.now();
    const set = (ms) => new Promise((resolve) => new Timer(ms, () => { order.push(ms); resolve(performance.now() - begun); }));
    const all = [900, 1300, 1700, 4000].map(set);
    let beats = [];
    const beating = (async () => { for await (const count of interval(100)) { beats.push(count); if (performance.now() - begun > 3500) break; } })();
    spawn('sh', ['-c', 'sleep 0.1; kill -STOP ' + process.pid + '; sleep 2; kill -CONT ' + process.pid], { stdio: 'ignore' });
    const took = await Promise.all(all);
    await beating;
    assert.deepStrictEqual(order, [900, 1300, 1700, 4000]);
    took.forEach((took, index) => assert(took >= [900, 1300, 1700, 4000][index], String(took)));
    assert(took[2] - took[0] < 500, 'three at once: ' + took);
    assert(Math.max(...beats) >= 5, 'missed beats come as one: ' + beats);
    assert(beats.reduce((sum, count) => sum + count) * 100 <= performance.now() - begun);`);
  ended(t, result);
});

test('a machine that has been up for years, and one that has just begun, have the same timers', async (t) => {
  // A time namespace moves CLOCK_MONOTONIC for its processes, as uptime and suspension do.
  const code = `
    const { sleep, Timer, Executor } = require(${JSON.stringify(`${root}/dist/index.js`)});
    (async () => {
      for (const ms of [1, 5, 300]) {
        const before = performance.now();
        await sleep(ms);
        const took = performance.now() - before;
        if (took < ms || took > ms + 2000) throw new Error(ms + ': ' + took);
      }
      const far = new Timer(60 * 86_400_000, () => { throw new Error('60 days passed'); });
      await sleep(20);
      far.cancel();
      console.log('fine', Executor.current().driver);
    })();`;
  for (const offset of ['0', String(400 * 86_400), String(20 * 365 * 86_400)]) {
    const args = ['--time', '--fork', `--monotonic=${offset}`, process.execPath, '-e', code];
    const { status, stdout, stderr, error } = spawnSync('unshare', args, { encoding: 'utf8', timeout: 60_000 });
    if (error !== undefined || /unshare/.test(stderr)) {
      t.log(`skip: no time namespace here: ${error?.message ?? stderr.trim()}`);
      t.pass();
      return;
    }
    t.is(status, 0, stderr);
    t.regex(stdout, /^fine/);
  }
});

test('sleeps of months and of all time wait, and do not wake the process', async (t) => {
  const result = await script(`${NAMES}
    let fired = 0;
    const all = [2 ** 31, 2 ** 32, 50 * 86_400_000, 2 ** 40, Number.MAX_SAFE_INTEGER].map((ms) => new Timer(ms, () => fired++));
    await sleep(20);
    const turns = Executor.current().stats().turns;
    await sleep(300);
    console.log(Executor.current().stats().turns - turns);
    assert.strictEqual(fired, 0);
    for (const timer of all) assert(timer.cancel());`);
  ended(t, result);
  t.true(Number(result.stdout) <= 16, result.stdout);
});

test('closing the executor rejects sleeps, ends timers, and a later one is another’s', async (t) => {
  const result = await script(`${NAMES}
    let fired = 0;
    const timer = new Timer(50_000, () => fired++), slept = settled(sleep(50_000)), quiet = settled(sleep(50_000, { ref: false }));
    const beats = settled(interval(50_000).next());
    const work = settled(timeout(60_000, () => new Promise(() => {})));
    const closing = Executor.current().close();
    assert.throws(() => new Timer(1, () => {}), { code: 'ERR_RINGWHEEL_CLOSED' });
    assert.strictEqual((await settled(sleep(1))).error.code, 'ERR_RINGWHEEL_CLOSED');
    await closing;
    for (const each of [slept, quiet, beats, work]) assert.strictEqual((await each).error.code, 'ERR_RINGWHEEL_CLOSED');
    assert.strictEqual(timer.cancel(), false);
    const old = new Timer(60_000, () => fired++); // On a new executor.
    assert(wanted === undefined || Executor.current().driver === wanted);
    await sleep(40);
    assert.strictEqual(fired, 0);
    await Executor.current().close();
    assert.throws(() => old.refresh(), { code: 'ERR_RINGWHEEL_CLOSED' });
    assert.strictEqual(old.cancel(), false);
    // On a third executor, which has a timer in the same place: an old one reaches neither it nor anything else.
    const third = new Timer(60_000, () => fired++), gone = new Timer(60_000, () => fired++, { ref: false });
    await Executor.current().close();
    const fourth = [new Timer(30, () => fired += 100), new Timer(30, () => fired += 100)];
    for (const each of [third, gone]) {
      assert.throws(() => each.refresh(), { code: 'ERR_RINGWHEEL_CLOSED' });
      each.ref();
      assert.strictEqual(each.cancel(), false);
    }
    await sleep(60);
    assert.strictEqual(fired, 200);
    assert.strictEqual(fourth[0].cancel(), false);
    old.ref().unref();
    await settled(sleep(1)); // A third executor: what the first two held does not keep it.`);
  ended(t, result);
});

test('a callback may close the executor', async (t) => {
  const result = await script(`${NAMES}
    let after = 0;
    const closed = new Promise((resolve) => new Timer(2, () => resolve(Executor.current().close())));
    for (let index = 0; index < 5; index++) new Timer(2.001, () => after++);
    const before = performance.now();
    while (performance.now() - before < 10);
    await closed;
    assert.strictEqual(after, 0);`);
  ended(t, result);
});

test('workers with timers, terminated at any moment, sixty times', async (t) => {
  const result = await script(
    `${NAMES}
    if (!isMainThread) {
      for (let index = 0; index < 2000; index++) new Timer(Math.random() * 20, function again() { new Timer(Math.random() * 5, again); });
      (async () => { for await (const beat of interval(0.3, { precise: true })); })();
      parentPort.postMessage('busy');
      await sleep(1e6);
    }
    const fs = require('node:fs');
    const one = () => new Promise((resolve, reject) => {
      const worker = new Worker(__filename);
      worker.once('error', reject);
      worker.once('message', () => setTimeout(() => worker.terminate().then(resolve, reject), Math.random() * 8));
    });
    const many = async (count) => { for (let done = 0; done < count; done += 2) await Promise.all([one(), one()]); };
    await many(10);
    const before = fs.readdirSync('/proc/self/fd').length;
    await many(60);
    assert(fs.readdirSync('/proc/self/fd').length <= before + 4, 'descriptors');
    process.exit(0);`,
    [],
    {},
    200,
  );
  ended(t, result);
});

test('a worker ends by itself when only quiet timers are left, and timers of two threads do not meet', async (t) => {
  const result = await script(`${NAMES}
    if (!isMainThread) {
      new Timer(60_000, () => {}, { ref: false });
      await sleep(10);
      parentPort.postMessage('slept');
      return;
    }
    let fired = 0;
    new Timer(5, () => fired++);
    const worker = new Worker(__filename);
    const code = new Promise((resolve) => worker.once('exit', resolve));
    assert.strictEqual(await new Promise((resolve) => worker.once('message', resolve)), 'slept');
    assert.strictEqual(await code, 0);
    assert.strictEqual(fired, 1);`);
  ended(t, result);
});

test('garbage in the alarm word wakes the loop at most, and fires nothing early', async (t) => {
  const result = await script(`${NAMES}
    const { binding } = require(${JSON.stringify(`${root}/dist/lib/wire/binding.js`)});
    const { ALARM_DOUBLE } = require(${JSON.stringify(`${root}/dist/lib/wire/layout.generated.js`)});
    const addon = binding();
    let alarm;
    const start = addon.startExecutor;
    addon.startExecutor = (options, memory, ...callbacks) => {
      alarm = new Float64Array(memory.buffer, ALARM_DOUBLE * 8, 1);
      return start(options, memory, ...callbacks);
    };
    await sleep(1);
    assert(alarm instanceof Float64Array);
    for (const value of [Number.NaN, -1, Infinity, -Infinity, 1e-300, 5e-324, 1e300, 2 ** 53, 1]) {
      const before = performance.now();
      const slept = sleep(15);
      const right = alarm[0];
      alarm[0] = value;
      setTimeout(() => { alarm[0] = right; }, 5);
      await slept;
      assert(performance.now() - before >= 15, String(value));
    }`);
  ended(t, result);
});

test('a callback that closes the executor is the last, in a task queue as outside of one', async (t) => {
  const result = await script(`
    const { Timer } = ringwheel;
    for (const inQueue of [true, false]) {
      const executor = Executor.start();
      let closed, late = 0, called = 0;
      const begin = () => {
        for (let index = 0; index < 40; index++) {
          new Timer(1, () => {
            called++;
            if (closed !== undefined) late++;
            if (index === 3) closed = executor.close();
          });
        }
      };
      if (inQueue) await new TaskQueue().spawn(begin);
      else begin();
      while (closed === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
      await closed;
      await new Promise((resolve) => setTimeout(resolve, 20));
      assert.equal(late, 0);
      assert.ok(called >= 1);
    }
  `);
  ended(t, result);
});
