// A throw in every place where a program's function may throw, in the default queue, in others, in a latency class and while the executor
// closes: it is its own caller's error, or uncaughtException's where there is no caller; all other tasks go on.
import test from 'ava';
import { ended, script } from '../drivers';

const PLACES = `
  const { Channel, ExecutorPool, Timer, interval, timeout } = ringwheel;
  const uncaught = [];
  process.on('uncaughtException', (error) => uncaught.push(error.message));
  const module = 'data:text/javascript,export const bad = () => { throw new RangeError("job") }; export const add = (a, b) => a + b';
  const fails = async (promise, message) => assert.strictEqual((await settled(promise)).error?.message, message);

  /** Throws everywhere, as work of the queue it is called in; how many throws had no caller. */
  async function everywhere(queue, file, pool) {
    // Tasks: at once, after a wait, after a completion, in a nested run.
    await fails(queue.spawn(() => { throw new Error('at once'); }), 'at once');
    await fails(queue.spawn(async () => { await sleep(1); throw new Error('after a sleep'); }), 'after a sleep');
    await fails(queue.run(async () => { await file.readAt(new Uint8Array(8), 0); throw new Error('after a read'); }), 'after a read');
    await fails(queue.run(() => queue.run(() => { throw new Error('nested'); })), 'nested');

    // Timers: callbacks in one batch, the work of a timeout, the body of a loop over an interval.
    const called = [];
    const three = ['bad', 'good', 'bad'].map((kind) => new Promise((resolve) => {
      new Timer(2, () => { called.push(kind); resolve(); if (kind === 'bad') throw new Error('callback'); });
    }));
    await Promise.all(three);
    assert.deepStrictEqual(called, ['bad', 'good', 'bad']);
    await fails(timeout(1000, () => { throw new Error('work'); }), 'work');
    await fails((async () => { for await (const _ of interval(1)) throw new Error('tick'); })(), 'tick');

    // Channels: a loop over one, a value that throws as it is read, a kind that does not fit; the next message passes.
    const [here, there] = Channel.pair();
    await here.send('one');
    await fails((async () => { for await (const message of there) throw new Error('of ' + message); })(), 'of one');
    await fails(here.send({ get bad() { throw new Error('getter'); } }), 'the message cannot be sent: getter; use plain data');
    here.close();
    const [left, right] = Channel.pair();
    const waiting = settled((async () => { await right.receive(); throw new Error('receiver'); })());
    await left.send(2);
    assert.strictEqual((await waiting).error.message, 'receiver');
    await left.send(3);
    assert.strictEqual(await right.receive(), 3);
    left.close();

    // A pool's job, and an argument that throws as it is cloned.
    await fails(pool.run(0, module, 'bad'), 'job');
    assert.notStrictEqual((await settled(pool.run(0, module, 'add', { get bad() { throw new Error('argument'); } }))).error, undefined);
    assert.strictEqual(await pool.run(0, module, 'add', 2, 3), 5);
    return 2;
  }
`;

test('in the default queue, in others and in a latency class', async (t) => {
  const result = await script(`${PLACES}
    const executor = Executor.current();
    const file = await File.open(__filename);
    const pool = await ExecutorPool.start({ size: 1 });
    const queues = [new TaskQueue({ shares: 7 }), new TaskQueue({ latency: { maxMs: 2 } })];
    let stop = false;
    const witness = async (wait) => { let rounds = 0; while (!stop) { rounds++; await wait(); await file.readAt(new Uint8Array(4), 0); } return rounds; };
    const witnesses = [
      witness(() => sleep(1)),
      ...queues.map((queue) => queue.spawn(() => witness(() => queue.yield()))),
      new TaskQueue().spawn(() => witness(() => sleep(1))),
    ];
    const plain = { spawn: async (task) => task(), run: async (task) => task() };
    let without = await everywhere(plain, file, pool);
    for (const queue of queues) without += await queue.spawn(() => everywhere(queue, file, pool));
    without += (await Promise.all([plain, ...queues].map((queue) => queue.run(() => everywhere(queue, file, pool))))).reduce((a, b) => a + b);
    await sleep(2);
    assert.strictEqual(uncaught.length, without, String(uncaught));
    assert(uncaught.every((message) => message === 'callback'));
    stop = true;
    for (const rounds of await Promise.all(witnesses)) assert(rounds > 1);
    await pool.close();
    for (const queue of queues) await queue.close();
    await executor.close();`);
  ended(t, result);
});

test('while the executor, the queue and the pool close', async (t) => {
  const result = await script(`${PLACES}
    for (let round = 0; round < 5; round++) {
      const executor = Executor.current();
      const file = await File.open(__filename);
      const pool = await ExecutorPool.start({ size: 1 });
      const queues = [new TaskQueue(), new TaskQueue({ latency: { maxMs: 2 } })];
      const [here, there] = Channel.pair();
      const ends = [];
      const late = (promise, then) => ends.push(settled(promise.then(then, then)));
      const bad = () => { throw new Error('late'); };
      for (const queue of [{ spawn: async (task) => task() }, ...queues]) {
        for (let index = 0; index < 5; index++) {
          ends.push(settled(queue.spawn(() => { late(file.readAt(new Uint8Array(64), 0), bad); late(sleep(index), bad); late(sleep(1e6), bad); bad(); })));
          ends.push(settled(queue.spawn(async () => { try { for (;;) { await queues[0].yield(); } } finally { bad(); } })));
        }
        ends.push(settled(queue.spawn(async () => { try { await there.receive(); } finally { bad(); } })));
      }
      for (const ms of [0, 1, 1, 2]) new Timer(ms, bad);
      ends.push(settled(pool.run(0, module, 'bad')));
      const witness = (async () => { let rounds = 0; while (rounds < 20) { rounds++; await new Promise((resolve) => setImmediate(resolve)); } return rounds; })();
      await sleep(round % 2);
      const closing = queues.map((queue) => queue.close());
      await Promise.all([executor.close(), pool.close(), ...closing]);
      assert.strictEqual(await witness, 20);
      for (const { error } of await Promise.all(ends)) assert(error instanceof Error);
      // A closed executor is followed by a good one.
      assert.strictEqual(await new TaskQueue().spawn(async () => { await sleep(1); return round; }), round);
      await Executor.current().close();
    }
    assert(uncaught.every((message) => message === 'late'), String(uncaught));`);
  ended(t, result);
});
