// Timer, interval, timeout, deadline, sleepUntil: what they promise, on this process's clock.
import test, { type ExecutionContext } from 'ava';
import {
  deadline,
  interval,
  RingwheelError,
  sleep,
  sleepUntil,
  TaskQueue,
  Timer,
  type TimerOptions,
  timeout,
} from '../../index';
import { ended, executorOf, script } from '../drivers';

const code = 'ERR_RINGWHEEL_INVALID_OPTION';

/** Sets a timer and waits for it. */
function fired(ms: number, options?: TimerOptions): Promise<number> {
  const before = performance.now();
  return new Promise((resolve) => new Timer(ms, () => resolve(performance.now() - before), options));
}

test.serial('a timer is never early and not much late, with fractions too', async (t) => {
  executorOf(t);
  for (const ms of [0, 0.25, 1, 2.5, 10, 33.3]) {
    for (const options of [undefined, { precise: true }]) {
      const took = await fired(ms, options);
      t.true(took >= ms, `${ms}: ${took}`);
      t.true(took < ms + 250, `${ms}: ${took}`);
    }
  }
});

test.serial('of many timers set in one job none is early', async (t) => {
  executorOf(t);
  const tooEarly: string[] = [];
  const all: Promise<void>[] = [];
  for (let index = 0; index < 5000; index++) {
    const ms = index % 50;
    const before = performance.now();
    const check = () => {
      const took = performance.now() - before;
      if (took < ms) tooEarly.push(`${ms}: ${took}`);
    };
    all.push(index % 2 === 0 ? sleep(ms).then(check) : new Promise((resolve) => new Timer(ms, () => resolve(check()))));
    // Time passes between two looks at the clock.
    if (index % 97 === 0) for (const until = performance.now() + 0.5; performance.now() < until; );
  }
  await Promise.all(all);
  t.deepEqual(tooEarly, []);
});

test.serial('timers that a long job sets count from the job, not from when it ends', async (t) => {
  executorOf(t);
  await sleep(1);
  const before = performance.now();
  const each = Array.from({ length: 8 }, () => fired(200));
  while (performance.now() - before < 300);
  for (const took of await Promise.all(each)) t.true(took < 500, String(took));
});

test.serial('timers are called in the order of their times', async (t) => {
  executorOf(t);
  const order: number[] = [];
  await Promise.all(
    [900, 300, 600, 100, 2000, 1500].map(
      (ms) => new Promise<void>((resolve) => new Timer(ms, () => resolve(void order.push(ms)))),
    ),
  );
  t.deepEqual(order, [100, 300, 600, 900, 1500, 2000]);
});

test.serial('a cancelled timer is not called, and cancel says whether it came in time', async (t) => {
  executorOf(t);
  const calls: string[] = [];
  const timer = new Timer(5, () => calls.push('cancelled'));
  t.true(timer.cancel());
  t.false(timer.cancel());
  const other = new Timer(1, () => calls.push('fired'));
  await sleep(20);
  t.false(other.cancel());
  {
    using disposed = new Timer(5, () => calls.push('disposed'));
    t.true(disposed.hasRef());
  }
  await sleep(20);
  t.deepEqual(calls, ['fired']);
});

test.serial('what is due together can still be cancelled: no ghosts, and no later timer instead', async (t) => {
  executorOf(t);
  const calls: string[] = [];
  const timers: Timer[] = [];
  const first = (name: string) => () => {
    calls.push(name);
    for (const timer of timers) timer.cancel();
    // They take the places of the cancelled ones; the stale names must not reach them.
    const fresh = Array.from({ length: 10 }, (_, index) => new Timer(3, () => calls.push(`fresh ${index}`)));
    for (const timer of timers) t.false(timer.cancel());
    t.is(fresh.length, 10);
  };
  const before = performance.now();
  for (let index = 0; index < 10; index++) timers.push(new Timer(2, first(`old ${index}`)));
  while (performance.now() - before < 10); // All ten are due.
  await sleep(40);
  t.deepEqual(
    calls.filter((call) => call.startsWith('old')),
    ['old 0'],
  );
  t.is(calls.length, 11);
});

test.serial('refresh starts anew: later, earlier, after it fired; a cancelled timer stays cancelled', async (t) => {
  executorOf(t);
  const calls: number[] = [];
  let called = () => {};
  const next = () => new Promise<void>((resolve) => (called = resolve));
  const timer = new Timer(250, () => {
    calls.push(performance.now());
    called();
  });
  await sleep(5);
  const refreshed = performance.now();
  timer.refresh();
  await next();
  t.true((calls[0] as number) >= refreshed + 250, 'later');
  timer.refresh(1);
  await next();
  timer.refresh(60_000);
  timer.refresh(2);
  await next();
  t.is(calls.length, 3);
  timer.refresh();
  timer.cancel();
  timer.refresh();
  await sleep(20);
  t.is(calls.length, 3);
});

test.serial('what is due and was not called yet can be moved to a later time', async (t) => {
  executorOf(t);
  const order: [string, number][] = [];
  await new Promise<void>((resolve) => {
    const moved = new Timer(300, () => resolve(void order.push(['moved', performance.now()])));
    new Timer(2, () => {
      order.push(['mover', performance.now()]);
      moved.refresh(20);
    });
    for (const until = performance.now() + 320; performance.now() < until; );
  });
  t.deepEqual(
    order.map(([name]) => name),
    ['mover', 'moved'],
  );
  t.true((order[1]?.[1] as number) >= (order[0]?.[1] as number) + 20);
});

test.serial('a timer may be refreshed by its own callback', async (t) => {
  executorOf(t);
  let calls = 0;
  await new Promise<void>((resolve) => {
    const timer = new Timer(1, () => {
      if (++calls === 5) resolve();
      else timer.refresh();
    });
  });
  t.is(calls, 5);
});

test.serial('timers of 0 ms that set another let everything else have its turn', async (t) => {
  executorOf(t);
  let stop = false;
  let calls = 0;
  const again = () => {
    calls++;
    if (!stop) new Timer(0, again);
  };
  again();
  await new Promise((resolve) => setTimeout(resolve, 20));
  await new Promise((resolve) => setImmediate(resolve));
  stop = true;
  t.true(calls >= 2, String(calls));
});

test.serial('interval: beats without drift, missed ones counted', async (t) => {
  executorOf(t);
  const begun = performance.now();
  const counts: number[] = [];
  for await (const count of interval(10)) {
    counts.push(count);
    const took = performance.now() - begun;
    const beats = counts.reduce((sum, each) => sum + each);
    t.true(took >= beats * 10, `${beats} beats after ${took}`);
    if (counts.length === 2) for (const until = performance.now() + 35; performance.now() < until; );
    if (counts.length === 4) break;
  }
  t.true(
    counts.some((count) => count >= 3),
    String(counts),
  );
});

test.serial('interval: two calls of next get a beat each, and return ends a wait', async (t) => {
  executorOf(t);
  const beats = interval(5);
  const [first, second] = await Promise.all([beats.next(), beats.next()]);
  t.true((first.value as number) >= 1 && (second.value as number) >= 1);
  const third = beats.next();
  const ended = await beats.return?.();
  t.true(ended?.done);
  t.true((await third).done);
  t.true((await beats.next()).done);
});

test.serial('interval: a signal ends it with its reason', async (t) => {
  executorOf(t);
  const reason = new Error('enough');
  const controller = new AbortController();
  let beats = 0;
  const error = await t.throwsAsync(async () => {
    for await (const count of interval(2, { signal: controller.signal })) {
      beats += count;
      if (beats >= 3) controller.abort(reason);
    }
  });
  t.is(error, reason);
  const waiting = new AbortController();
  const next = interval(60_000, { signal: waiting.signal }).next();
  new Timer(2, () => waiting.abort(reason));
  t.is(await t.throwsAsync(next), reason);
});

test.serial('timeout: the work’s result, its error, or ERR_RINGWHEEL_TIMEOUT with an aborted signal', async (t) => {
  executorOf(t);
  t.is(await timeout(1000, async () => 5), 5);
  t.is(await timeout(1000, () => sleep(2).then(() => 'done')), 'done');
  const own = new Error('own');
  t.is(await t.throwsAsync(timeout(1000, () => Promise.reject(own))), own);
  t.is(
    await t.throwsAsync(
      timeout(1000, () => {
        throw own;
      }),
    ),
    own,
  );
  let seen: AbortSignal | undefined;
  const before = performance.now();
  const error = await t.throwsAsync<RingwheelError>(
    timeout(10, (signal) => {
      seen = signal;
      return new Promise(() => {}); // Does not listen.
    }),
    { code: 'ERR_RINGWHEEL_TIMEOUT', message: /longer than 10 ms/ },
  );
  t.true(performance.now() - before >= 10);
  t.true(error instanceof RingwheelError);
  t.true(seen?.aborted);
  t.is(seen?.reason, error);
});

test.serial('timeout: a signal from outside ends it, before and during', async (t) => {
  executorOf(t);
  const reason = new Error('outside');
  await t.throwsAsync(
    timeout(1000, () => t.fail() as never, { signal: AbortSignal.abort(reason) }),
    { is: reason },
  );
  const controller = new AbortController();
  let seen: AbortSignal | undefined;
  const work = timeout(
    60_000,
    (signal) => {
      seen = signal;
      return sleep(60_000, { signal });
    },
    { signal: controller.signal },
  );
  controller.abort(reason);
  t.is(await t.throwsAsync(work), reason);
  t.is(seen?.reason, reason);
});

test.serial('deadline and sleepUntil take a time of performance.now', async (t) => {
  executorOf(t);
  const limit = performance.now() + 20;
  await sleepUntil(limit);
  t.true(performance.now() >= limit);
  await sleepUntil(limit); // It has passed.
  await t.throwsAsync(
    deadline(limit, () => new Promise(() => {})),
    { code: 'ERR_RINGWHEEL_TIMEOUT' },
  );
  t.is(await deadline(performance.now() + 1000, async () => 7), 7);
  const reason = new Error('enough');
  await t.throwsAsync(sleepUntil(performance.now() + 60_000, { signal: AbortSignal.abort(reason) }), { is: reason });
});

test.serial(
  'timers and sleeps of a task queue’s work go on in that queue; what was taken back on the way does not',
  async (t) => {
    executorOf(t);
    const queue = new TaskQueue({ name: 'timers' });
    const resumes = () => queue.stats().resumes;
    const calls: string[] = [];
    await queue.spawn(async () => {
      const before = resumes();
      await sleep(2);
      t.true(resumes() > before, 'the sleep went through the queue');
      const between = resumes();
      await new Promise<void>((resolve) => new Timer(2, resolve));
      t.true(resumes() > between, 'the timer went through the queue');
      // Both are due at once; the first to be called takes the second back, which may be on its way.
      const second = new Timer(300, () => calls.push('second'));
      const moved = new Timer(300, () => calls.push('moved'));
      new Timer(2, () => {
        calls.push('first');
        t.true(second.cancel());
        moved.refresh(30);
      });
      for (const until = performance.now() + 320; performance.now() < until; );
      while (!calls.includes('moved')) await sleep(5);
      t.deepEqual(calls, ['first', 'moved']);
      t.is(await timeout(1000, () => sleep(1).then(() => 5)), 5);
    });
    await queue.close();
  },
);

test('wrong arguments are errors that name the value and the range', async (t) => {
  executorOf(t);
  const noop = () => {};
  for (const ms of [-1, Number.NaN, Number.POSITIVE_INFINITY, '5', null, undefined, 2n, 2 ** 60] as number[]) {
    t.throws(() => new Timer(ms, noop), { code, message: /ms must be a number from 0 to / });
    await t.throwsAsync(
      timeout(ms, async () => 1),
      { code },
    );
    t.throws(() => interval(ms), { code });
  }
  const timer = new Timer(1000, noop);
  t.throws(() => timer.refresh(-1), { code });
  timer.cancel();
  t.throws(() => interval(0), { code, message: /0\.05/ });
  t.throws(() => new Timer(1, undefined as never), { code, message: /callback must be a function/ });
  t.throws(() => new Timer(1, noop, { unref: true } as TimerOptions), { code, message: /unknown option 'unref'/ });
  t.throws(() => new Timer(1, noop, { precise: 1 } as never), { code, message: /precise must be true or false/ });
  await t.throwsAsync(timeout(1, 5 as never), { code, message: /work must be a function/ });
  for (const time of [Number.NaN, 'x', undefined, 2 ** 60] as number[]) {
    await t.throwsAsync(sleepUntil(time), { code, message: /performance\.now/ });
    await t.throwsAsync(
      deadline(time, async () => 1),
      { code },
    );
  }
});

/** Runs a script that must end by itself, within a time that a timer of a minute would not let it. */
async function leaves(t: ExecutionContext, body: string, output: string): Promise<void> {
  const before = Date.now();
  const result = await script(`const { Timer, interval } = ringwheel;\n${body}`);
  ended(t, result);
  t.is(result.stdout, output);
  t.true(Date.now() - before < 30_000);
}

test('a timer keeps the process alive until it fired or was cancelled or unref’d', async (t) => {
  await leaves(t, `new Timer(30, () => console.log('fired'));`, 'fired\n');
  await leaves(t, `new Timer(60_000, () => console.log('fired')).cancel();`, '');
  await leaves(t, `new Timer(60_000, () => console.log('fired')).unref();`, '');
  await leaves(t, `new Timer(60_000, () => console.log('fired'), { ref: false });`, '');
  await leaves(t, `new Timer(30, () => console.log('fired')).unref().ref();`, 'fired\n');
  await leaves(t, `new Timer(30, () => console.log('fired'), { ref: false }); await sleep(100);`, 'fired\n');
  await leaves(t, `const timer = new Timer(1, () => {}); await sleep(20); timer.unref(); timer.refresh(60_000);`, '');
  await leaves(t, `sleep(60_000, { ref: false }); for await (const beat of interval(5)) break;`, '');
});
