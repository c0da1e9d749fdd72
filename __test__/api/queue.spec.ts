// Task queues: what belongs to a queue, in which order, who is charged; their life from constructor to close.
import test from 'ava';
import { Executor, File, sleep, TaskQueue } from '../../index';
import { ended, executorOf, fileOf, pattern, script } from '../drivers';

const immediate = () => new Promise((resolve) => setImmediate(resolve));

/** True when what runs now is a slice of the queue: a run from inside calls its work at once. */
function isIn(queue: TaskQueue): boolean {
  let called = false;
  const promise = queue.run(() => {
    called = true;
  });
  promise.catch(() => {});
  return called;
}

test('a task runs in a slice of its queue, and gives back what it returns or throws', async (t) => {
  executorOf(t);
  await using queue = new TaskQueue({ name: 'work' });
  let begun = false;
  const promise = queue.spawn(() => {
    begun = true;
    return isIn(queue);
  });
  t.false(begun, 'a task starts later');
  t.true(await promise);
  t.is(await queue.spawn(async () => 5), 5);
  await t.throwsAsync(
    queue.spawn(() => {
      throw new Error('at once');
    }),
    { message: 'at once' },
  );
  await t.throwsAsync(
    queue.spawn(async () => {
      await queue.yield();
      throw new Error('later');
    }),
    { message: 'later' },
  );
  t.is(await queue.spawn(() => 6), 6, 'the queue lives on');
  const { name, tasks, ready, slices, resumes, runMs, sliceMaxMs } = queue.stats();
  t.deepEqual([name, tasks, ready], ['work', 0, 0]);
  t.true(slices >= 5 && resumes >= slices && runMs > 0 && sliceMaxMs <= runMs, JSON.stringify(queue.stats()));
});

test('tasks start and go on in the order of their calls', async (t) => {
  await using queue = new TaskQueue();
  const seen: string[] = [];
  await Promise.all(
    ['a', 'b', 'c'].map((name) =>
      queue.spawn(async () => {
        for (let round = 0; round < 3; round++) {
          seen.push(name + round);
          await queue.yield();
        }
      }),
    ),
  );
  t.deepEqual(seen, ['a0', 'b0', 'c0', 'a1', 'b1', 'c1', 'a2', 'b2', 'c2']);
});

test('the executor gives the figures of all its queues', async (t) => {
  await using queue = new TaskQueue({ name: 'named', shares: 7, latency: { maxMs: 3 } });
  await queue.spawn(() => queue.yield());
  const [first, ...others] = Executor.current().queueStats();
  t.is(first?.name, 'default');
  t.deepEqual(
    others.find(({ name }) => name === 'named'),
    queue.stats(),
  );
  t.is(queue.stats().latencyMaxMs, 3);
});

test('many more entries than the ready list has at first keep their order', async (t) => {
  await using queue = new TaskQueue();
  const seen: number[] = [];
  const file = await File.open(fileOf(pattern(4096)));
  await Promise.all(
    Array.from({ length: 3000 }, (_, index) =>
      queue.spawn(async () => {
        if (index % 3 === 0) await file.readAt(new Uint8Array(16), index % 64);
        else await queue.yield();
        seen.push(index);
      }),
    ),
  );
  const yielded = seen.filter((index) => index % 3 !== 0);
  t.is(seen.length, 3000);
  t.deepEqual(
    yielded,
    [...yielded].sort((one, other) => one - other),
  );
  await file.close();
});

test('reads, sleeps, opens and writes that a queue began come back to it; what others settle does not, unless it is run', async (t) => {
  await using queue = new TaskQueue();
  const path = fileOf(pattern(300_000));
  const lease = Executor.current().lease(4096);
  await queue.spawn(async () => {
    const file = await File.open(path, 'r+');
    t.true(isIn(queue), 'open');
    await file.readAt(lease, 0);
    t.true(isIn(queue), 'a read into a lease');
    await file.readAt(new Uint8Array(100), 0);
    t.true(isIn(queue), 'a read into an array');
    await file.readAt(new Uint8Array(300_000), 0);
    t.true(isIn(queue), 'a read in ranges');
    await file.read(lease, { signal: new AbortController().signal });
    t.true(isIn(queue), 'a read with a signal');
    await file.writeAt(new Uint8Array(10), 0);
    t.true(isIn(queue), 'a write');
    await file.stat();
    t.true(isIn(queue), 'stat');
    await t.throwsAsync(File.open('/nonexistent'));
    t.true(isIn(queue), 'a failed open');
    await sleep(2);
    t.true(isIn(queue), 'sleep');
    await queue.yield();
    t.true(isIn(queue), 'yield');
    await immediate();
    t.false(isIn(queue), 'a promise of Node');
    t.is(await queue.run(() => immediate().then(() => 7)), 7);
    t.true(isIn(queue), 'run comes back');
    await t.throwsAsync(
      queue.run(async () => {
        await immediate();
        throw new Error('inside');
      }),
      { message: 'inside' },
    );
    t.true(isIn(queue), 'run comes back from an error too');
    await file.close();
    t.true(isIn(queue), 'close');
  });
  lease.release();
});

test('a hundred operations of two queues and of none, mixed, each come back where they began', async (t) => {
  await using one = new TaskQueue();
  await using other = new TaskQueue({ latency: { maxMs: 5 } });
  const bytes = pattern(65536);
  const file = await File.open(fileOf(bytes));
  const work = async (queue: TaskQueue | undefined, index: number) => {
    const target = new Uint8Array(64);
    for (let round = 0; round < 20; round++) {
      await file.readAt(target, (index * 64 + round) % 60000);
      t.is(target[0], bytes[(index * 64 + round) % 60000]);
      for (const each of [one, other]) if (isIn(each) !== (each === queue)) t.fail(`${index} ${round} is elsewhere`);
    }
  };
  await Promise.all(
    Array.from({ length: 100 }, (_, index) => {
      const queue = [one, other, undefined][index % 3];
      return queue === undefined ? work(undefined, index) : queue.spawn(() => work(queue, index));
    }),
  );
  await file.close();
});

test('shares reach the CPU: who has six times the shares gets much more time', async (t) => {
  // That it is exactly six times is for scheduler.spec.ts, which has a clock of its own: here others use the machine too.
  const result = await script(`
    const executor = Executor.current();
    const burn = (ms) => { const end = performance.now() + ms; while (performance.now() < end); };
    const one = new TaskQueue({ shares: 100 }), other = new TaskQueue({ shares: 600 });
    let stop = false;
    const work = async () => { while (!stop) { burn(0.1); await executor.yieldIfNeeded(); } };
    const tasks = [one, one, other, other].map((queue) => queue.spawn(work));
    // Who was taken off the CPU in a slice is charged for it, and the other catches up: wait for that.
    const ran = () => [one.stats().runMs, other.stats().runMs];
    for (let [less, more] = ran(); less + more < 300 || more < 4 * less; [less, more] = ran()) {
      assert(less + more < 10_000, '1 : ' + more / less);
      await sleep(5);
    }
    stop = true;
    await Promise.all(tasks);`);
  ended(t, result);
});

test('saturated queues leave the loop to others: immediates, timers and completions go on', async (t) => {
  const result = await script(`
    const queues = [new TaskQueue(), new TaskQueue({ latency: { maxMs: 1 } })];
    let stop = false;
    const tasks = queues.flatMap((queue) => Array.from({ length: 20 }, () => queue.spawn(async () => { while (!stop) await queue.yield(); })));
    for (let index = 0; index < 20; index++) {
      await new Promise(setImmediate);
      await new Promise((resolve) => setTimeout(resolve, 1));
      await sleep(1);
    }
    stop = true;
    await Promise.all(tasks);
    assert(queues[0].stats().slices > 20 && queues[1].stats().slices > 20);`);
  ended(t, result);
});

test('close waits for tasks, refuses new ones, and happens once', async (t) => {
  const queue = new TaskQueue({ name: 'ending' });
  let done = false;
  const task = queue.spawn(async () => {
    await sleep(5);
    await queue.yield();
    await queue.run(() => immediate());
    done = true;
  });
  const closing = queue.close();
  t.is(queue.close(), closing);
  await t.throwsAsync(
    queue.spawn(() => 1),
    { code: 'ERR_RINGWHEEL_CLOSED', message: /queue\.spawn: the queue "ending" is closed/ },
  );
  await closing;
  t.true(done);
  await task;
  t.throws(
    () => {
      queue.shares = 5;
    },
    { code: 'ERR_RINGWHEEL_CLOSED', message: /queue\.shares: the queue "ending" is closed/ },
  );
  await t.throwsAsync(queue.yield(), { code: 'ERR_RINGWHEEL_CLOSED' });
  await t.throwsAsync(
    queue.run(() => 1),
    { code: 'ERR_RINGWHEEL_CLOSED' },
  );
  t.is(queue.stats().tasks, 0);
});

test('what a queue began and did not await settles when the queue is gone', async (t) => {
  const queue = new TaskQueue();
  let read: Promise<number> | undefined;
  const file = await File.open(fileOf(pattern(100)));
  await queue.spawn(() => {
    read = file.readAt(new Uint8Array(100), 0);
  });
  await queue.close();
  t.is(await read, 100);
  await file.close();
});

test('wrong options and arguments are errors that name value, range and remedy', async (t) => {
  const wrong: [object, RegExp][] = [
    [{ share: 5 }, /unknown option 'share' \(did you mean 'shares'\?\)/],
    [{ shares: 0 }, /shares must be a whole number from 1 to 1000; got 0/],
    [{ shares: 1.5 }, /shares/],
    [{ shares: 1001 }, /shares/],
    [{ name: '' }, /name must be a string of 1 to 64 characters/],
    [{ name: 'x'.repeat(65) }, /name/],
    [{ name: 7 }, /name/],
    [{ latency: {} }, /latency\.maxMs must be a number from 0\.2 to 10000; got undefined/],
    [{ latency: { maxMs: 0 } }, /latency\.maxMs/],
    [{ latency: { maxMs: Number.NaN } }, /latency\.maxMs/],
    [{ latency: 5 }, /latency must be an object/],
  ];
  for (const [options, message] of wrong) {
    t.throws(() => new TaskQueue(options as never), { code: 'ERR_RINGWHEEL_INVALID_OPTION', message });
  }
  await using queue = new TaskQueue();
  for (const shares of [0, -1, 1.5, Number.NaN, '5', undefined]) {
    t.throws(() => Object.assign(queue, { shares }), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
  }
  t.is(queue.shares, 100);
  await t.throwsAsync(queue.spawn(5 as never), {
    code: 'ERR_RINGWHEEL_INVALID_OPTION',
    message: /task must be a function; got 5/,
  });
  await t.throwsAsync(queue.run(undefined as never), { code: 'ERR_RINGWHEEL_INVALID_OPTION', message: /work must be/ });
});

test('there are 63 queues at most; closed ones make room, and forgotten ones too', async (t) => {
  const result = await script(
    `
    const made = Array.from({ length: 63 }, (_, index) => new TaskQueue({ name: 'q' + index }));
    assert.throws(() => new TaskQueue(), { code: 'ERR_RINGWHEEL_TOO_MANY_QUEUES' });
    assert.strictEqual(Executor.current().stats().queues, 63);
    assert.deepStrictEqual(await Promise.all(made.map((queue, index) => queue.spawn(() => index))), made.map((_, index) => index));
    await made.pop().close();
    await new TaskQueue().spawn(() => 1);
    assert.throws(() => new TaskQueue(), { code: 'ERR_RINGWHEEL_TOO_MANY_QUEUES' });
    made.length = 0;
    for (let round = 0; round < 200 && Executor.current().stats().queues > 0; round++) { gc(); await sleep(5); }
    assert.strictEqual(Executor.current().stats().queues, 0);
    new TaskQueue();`,
    ['--expose-gc'],
  );
  ended(t, result);
});

test('the process lives while a queue has something ready, and ends when it is idle', async (t) => {
  const result = await script(`
    const queue = new TaskQueue();
    let count = 0;
    queue.spawn(async () => { for (; count < 1000; count++) await queue.yield(); });
    process.on('exit', () => console.log(count));`);
  ended(t, result);
  t.is(result.stdout, '1000\n');
  const idle = await script(
    `const queue = new TaskQueue(); await queue.spawn(() => 1); queue.spawn(() => new Promise(() => {}));`,
  );
  ended(t, idle);
});

test('closing the executor ends tasks at their next yield', async (t) => {
  const result = await script(`
    const executor = Executor.current();
    const queue = new TaskQueue();
    const endless = settled(queue.spawn(async () => { for (;;) await queue.yield(); }));
    const foreign = settled(queue.run(() => new Promise((resolve) => setTimeout(resolve, 50, 'late'))));
    const sleeper = settled(queue.spawn(() => sleep(1e6)));
    await sleep(5);
    await executor.close();
    assert.strictEqual((await endless).error.code, 'ERR_RINGWHEEL_CLOSED');
    assert.strictEqual((await sleeper).error.code, 'ERR_RINGWHEEL_CLOSED');
    assert.strictEqual((await foreign).value, 'late');
    assert.strictEqual((await settled(queue.spawn(() => 1))).error.code, 'ERR_RINGWHEEL_CLOSED');
    assert.match((await settled(queue.yield())).error.message, /the executor .* is closed/);
    await queue.close();
    const next = new TaskQueue();
    assert.strictEqual(await next.spawn(() => 2), 2);`);
  ended(t, result);
});

test('who awaits a task of another queue goes on in its own', async (t) => {
  await using one = new TaskQueue({ name: 'one' });
  await using other = new TaskQueue({ name: 'other' });
  await one.spawn(async () => {
    t.true(isIn(one));
    t.true(await other.spawn(async () => isIn(other)));
    t.true(isIn(one) && !isIn(other), 'of another queue');
    await t.throwsAsync(
      other.spawn(() => Promise.reject(new Error('thrown'))),
      { message: 'thrown' },
    );
    t.true(isIn(one) && !isIn(other), 'of one that throws');
    await one.spawn(() => {});
    t.true(isIn(one), 'of its own');
  });
  t.false(isIn(one) || isIn(other), 'of a main program');
  await other.run(() => {});
  t.true(isIn(other), 'run moves');
});
