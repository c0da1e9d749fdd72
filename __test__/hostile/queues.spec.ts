// Task queues at the wrong moment: exceptions, exits, terminate and close in the middle of a slice; words that a script wrote.
import test from 'ava';
import { ended, script } from '../drivers';

const BUSY = `
  const executor = Executor.current();
  const queues = [new TaskQueue({ shares: 10 }), new TaskQueue({ latency: { maxMs: 2 } })];
  const file = await File.open(__filename);
  for (const queue of queues) for (let index = 0; index < 10; index++) {
    queue.spawn(async () => { for (;;) { await queue.yield(); await executor.yieldIfNeeded(); await file.readAt(new Uint8Array(64), 0); } }).catch(() => {});
  }
`;

test('process.exit in a slice, and around one', async (t) => {
  for (const when of [
    'await queues[0].spawn(() => process.exit(3));',
    'queues[0].spawn(async () => { await queues[1].yield(); process.nextTick(() => process.exit(3)); }); await sleep(1000);',
    'setTimeout(() => process.exit(3), 5); await sleep(1000);',
    'queues[1].spawn(async () => { await file.readAt(new Uint8Array(4), 0); queueMicrotask(() => process.exit(3)); }); await sleep(1000);',
  ]) {
    ended(t, await script(BUSY + when), 3);
  }
});

test('exceptions outside of promises reach uncaughtException, and every queue goes on', async (t) => {
  const result = await script(`
    const seen = [];
    process.on('uncaughtException', (error) => seen.push(error.message));
    const one = new TaskQueue(), other = new TaskQueue();
    let rounds = 0;
    const witness = other.spawn(async () => { while (seen.length < 60) { rounds++; await other.yield(); } });
    for (let index = 0; index < 20; index++) {
      await one.spawn(async () => {
        process.nextTick(() => { throw new Error('tick'); });
        queueMicrotask(() => { throw new Error('microtask'); });
        await one.yield();
        setImmediate(() => { throw new Error('immediate'); });
      });
      await assert.rejects(one.spawn(() => { throw new Error('task'); }), /task/);
    }
    await witness;
    assert.strictEqual(seen.length, 60, String(seen));
    assert(rounds > 20);
    assert.strictEqual(await one.spawn(() => 5), 5);`);
  ended(t, result);
});

test('a rejection that nobody handles is for Node to report', async (t) => {
  const result = await script(`new TaskQueue().spawn(() => { throw new Error('nobody'); }); await sleep(1000);`);
  ended(t, result, 1);
  t.regex(result.stderr, /Error: nobody/);
});

test('an executor that is closed in a slice, with entries of every kind behind it', async (t) => {
  const result = await script(`${BUSY}
    const yields = Array.from({ length: 50 }, () => settled(queues[0].yield()));
    await sleep(2);
    const closing = await queues[1].spawn(() => [executor.close()]);
    await closing[0];
    await Promise.all(yields);
    assert.strictEqual((await settled(queues[0].yield())).error.code, 'ERR_RINGWHEEL_CLOSED');
    for (const queue of queues) await queue.close();
    const next = new TaskQueue();
    assert.strictEqual(await next.spawn(async () => { await sleep(1); return 4; }), 4);`);
  ended(t, result);
});

test('queues closed, made and re-weighted from within their own slices', async (t) => {
  const result = await script(`
    const file = await File.open(__filename);
    let queue = new TaskQueue(), ended = 0;
    for (let round = 0; round < 300; round++) {
      const mine = queue;
      mine.spawn(async () => {
        mine.shares = 1 + (round % 1000);
        file.readAt(new Uint8Array(32), 0).then(() => ended++);
        await mine.yield();
        const closing = mine.close();
        queue = new TaskQueue({ shares: 1 + (round % 7) });
        closing.then(() => ended++);
      });
      while (queue === mine) await sleep(0);
    }
    for (let round = 0; ended < 600 && round < 500; round++) await sleep(1);
    assert.strictEqual(ended, 600);
    assert.strictEqual(Executor.current().stats().queues, 1);`);
  ended(t, result);
});

test('workers terminated in the middle of slices, a hundred times', async (t) => {
  const result = await script(`
    if (!isMainThread) {
      ${BUSY}
      queues[0].spawn(async () => { for (;;) { while (!executor.needPreempt()); await queues[0].yield(); } }).catch(() => {});
      if (workerData === 1) queues[0].spawn(() => { parentPort.postMessage('busy'); for (;;); });
      await sleep(2);
      parentPort.postMessage('busy');
      await sleep(1e6);
    }
    const fs = require('node:fs');
    const one = (data) => new Promise((resolve, reject) => {
      const worker = new Worker(__filename, { workerData: data });
      worker.once('error', reject);
      worker.once('message', () => setTimeout(() => worker.terminate().then(resolve, reject), Math.random() * 3));
    });
    const descriptors = () => fs.readdirSync('/proc/self/fd').length;
    // Forty show a leak as well, where a busy machine has no time for a hundred.
    const late = performance.now() + 60_000;
    const many = async (count) => {
      for (let done = 0; done < count && (done < 40 || performance.now() < late); done += 2) await Promise.all([one(0), one(1)]);
    };
    await many(20);
    const before = descriptors();
    await many(100);
    assert(descriptors() <= before + 4, before + ' ' + descriptors());
    const queue = new TaskQueue();
    assert.strictEqual(await queue.spawn(() => 1), 1);`);
  ended(t, result);
});

test('words that a script writes do no more than waste its own time', async (t) => {
  const result = await script(`
    const { join, dirname } = require('node:path');
    const lib = join(dirname(require.resolve(${JSON.stringify(`${__dirname}/../../dist/index.js`)})), 'lib/wire');
    const addon = require(join(lib, 'binding.js')).binding(), layout = require(join(lib, 'layout.generated.js'));
    const memory = new SharedArrayBuffer(addon.regionBytes()), words = new Uint32Array(memory);
    let slices = 0;
    const native = addon.startExecutor({ driver: wanted ?? 'auto', memory: 65536 }, new Uint8Array(memory), () => {}, () => {
      slices++;
      words[layout.QUEUE_CURRENT_WORD] = slices;
      if (slices % 100 === 0) throw new Error('from a slice');
    });
    process.on('uncaughtException', () => {});
    for (const turn of [0, 0xffffffff, 1]) {
      words[layout.QUEUE_READY_WORD] = 0xffffffff;
      words[layout.QUEUE_TURN_WORD] = turn;
      const before = slices;
      for (let index = 0; index < 3; index++) await new Promise((resolve) => setTimeout(resolve, 5));
      assert(slices > before);
      assert.strictEqual(words[layout.QUEUE_CURRENT_WORD], 0);
    }
    const preempt = native.preemptWord();
    if (preempt !== null) for (const value of [0xffffffff, 0, 1 << 16]) { new Uint32Array(preempt)[0] = value; assert.strictEqual(typeof native.confirmPreempt(), 'boolean'); }
    words[layout.QUEUE_READY_WORD] = 0;
    native.close();
    assert.strictEqual(native.confirmPreempt(), true);
    assert.throws(() => native.preemptWord(), /ERR_RINGWHEEL_CLOSED/);`);
  ended(t, result);
});
