// The scheduler of task queues with a clock of the test's own: shares, latency classes, bounds, to the nanosecond.
import test from 'ava';
import { type Queue, Scheduler } from '../../lib/ring/scheduler';
import {
  QUEUE_CURRENT_WORD,
  QUEUE_READY_WORD,
  QUEUE_TURN_WORD,
  REGION_BYTES,
  SLICE_ELAPSED_DOUBLE,
  SLICE_START_DOUBLE,
} from '../../lib/wire/layout.generated';

/** What Rust does around a slice, with time that passes only as tasks say. */
class Rig {
  readonly memory = new SharedArrayBuffer(REGION_BYTES);
  readonly words = new Uint32Array(this.memory);
  readonly doubles = new Float64Array(this.memory);
  readonly finished: number[][] = [];
  kept = 0;
  now = 1e9;
  #spent = 0;
  readonly scheduler = new Scheduler(
    this.memory,
    {
      finish: (...numbers) => void this.finished.push(numbers),
      keep: () => this.kept++,
      unkeep: () => this.kept--,
      urge: () => {},
      classed: () => {},
      sliced: () => {},
    },
    0.5,
  );

  /** A task that takes `cost` nanoseconds each time it is gone on with, and yields again. */
  task(queue: Queue, cost: () => number): void {
    queue.push(() => {
      this.#spent += cost();
      this.again.push(() => this.task(queue, cost));
    });
  }

  /** What microtasks do as a slice returns. */
  again: (() => void)[] = [];

  slice(): void {
    this.#spent = 1000; // The slice itself.
    this.doubles[SLICE_START_DOUBLE] = this.now;
    this.scheduler.slice();
    for (const yields of this.again.splice(0)) yields();
    this.words[QUEUE_CURRENT_WORD] = 0;
    this.doubles[SLICE_ELAPSED_DOUBLE] = this.#spent;
    this.now += this.#spent;
  }

  run(nanoseconds: number): void {
    const end = this.now + nanoseconds;
    while (this.now < end) this.slice();
    this.scheduler.charge();
  }
}

const constant = (cost: number) => () => cost;

for (const [bursts, shares, tasks] of [
  [[200_000, 200_000], [100, 300], 4],
  [[20_000, 300_000], [100, 300], 4],
  [[900_000, 5_000], [100, 300], 40],
  [[1_000, 1_000_000], [300, 100], 1],
  [[100, 100], [1, 1000], 200],
] as const) {
  test(`bursts of ${bursts.join(' and ')} ns share the time ${shares.join(' to ')}, within 5 %`, (t) => {
    const rig = new Rig();
    const [one, other] = shares.map((each) => rig.scheduler.add('q', each, 0)) as [Queue, Queue];
    for (let index = 0; index < tasks; index++) {
      rig.task(one, constant(bursts[0]));
      rig.task(other, constant(bursts[1]));
    }
    rig.run(5e9);
    const ratio = other.runtime / one.runtime / (shares[1] / shares[0]);
    t.true(Math.abs(ratio - 1) < 0.05, `${ratio}`);
    const [runtime, elapsed] = [one.runtime + other.runtime, rig.now - 1e9];
    t.true(Math.abs(runtime - elapsed) < 1, `everything is charged, once: ${runtime} of ${elapsed}`);
  });
}

test('three queues, one of which changes its shares and one of which leaves', (t) => {
  const rig = new Rig();
  const [a, b, c] = [100, 200, 300].map((shares) => rig.scheduler.add('q', shares, 0)) as [Queue, Queue, Queue];
  let gone = false;
  for (const queue of [a, b]) rig.task(queue, constant(50_000));
  const leaving = () => {
    c.push(() => {
      if (!gone) rig.again.push(leaving);
    });
  };
  leaving();
  rig.task(c, constant(50_000));
  rig.run(6e9);
  t.true(Math.abs(b.runtime / a.runtime - 2) < 0.02);
  gone = true;
  a.shares = 400;
  const before = [a.runtime, b.runtime];
  rig.run(3e9);
  t.true(Math.abs((a.runtime - before[0]) / (b.runtime - before[1]) - 2) < 0.04);
});

test('who slept comes back at the place of the others: what it did not use is not saved up', (t) => {
  const rig = new Rig();
  const [awake, slept] = [rig.scheduler.add('q', 100, 0), rig.scheduler.add('q', 100, 0)];
  rig.task(awake, constant(100_000));
  rig.run(10e9);
  rig.task(slept, constant(100_000));
  const before = awake.runtime;
  rig.run(1e9);
  t.true(Math.abs(awake.runtime - before - 5e8) < 1e6, String(awake.runtime - before));
});

test('a latency class goes first while it uses less than its share, and waits for no more than one slice', (t) => {
  const rig = new Rig();
  const background = rig.scheduler.add('q', 100, 0);
  const urgent = rig.scheduler.add('q', 100, 5);
  for (let index = 0; index < 20; index++) rig.task(background, constant(100_000));
  let worst = 0;
  let begun = 0;
  for (let round = 0; round < 2000; round++) {
    const asked = rig.now;
    urgent.push(() => {
      begun++;
      worst = Math.max(worst, rig.now - asked);
    });
    for (let slice = 0; slice < 4; slice++) rig.slice();
  }
  t.is(begun, 2000);
  t.true(worst <= 110_000, String(worst));
});

test('a latency class that is always busy gets its share and no more', (t) => {
  const rig = new Rig();
  const background = rig.scheduler.add('q', 300, 0);
  const greedy = rig.scheduler.add('q', 100, 1);
  rig.task(background, constant(100_000));
  for (let index = 0; index < 5; index++) rig.task(greedy, constant(100_000));
  rig.run(4e9);
  const ratio = background.runtime / greedy.runtime;
  t.true(Math.abs(ratio / 3 - 1) < 0.05, String(ratio));
});

test('of two latency classes the tighter one goes first', (t) => {
  const rig = new Rig();
  const [loose, tight] = [rig.scheduler.add('q', 100, 50), rig.scheduler.add('q', 100, 1)];
  const seen: string[] = [];
  loose.push(() => seen.push('loose'));
  tight.push(() => seen.push('tight'));
  rig.slice();
  rig.slice();
  t.deepEqual(seen, ['tight', 'loose']);
});

test('a slice resumes sixteen cheap entries, one dear one, and learns which it is', (t) => {
  const rig = new Rig();
  const queue = rig.scheduler.add('q', 100, 0);
  let cost = 100;
  for (let index = 0; index < 100; index++) rig.task(queue, () => cost);
  for (let slice = 0; slice < 100; slice++) rig.slice();
  const most = () => {
    const before = queue.resumes;
    rig.slice();
    return queue.resumes - before;
  };
  t.is(most(), 16);
  cost = 500_000;
  rig.slice();
  t.is(most(), 1, 'after one slice');
});

test('a turn is as long as the option says, or a quarter of the tightest bound', (t) => {
  const rig = new Rig();
  const turn = () => rig.words[QUEUE_TURN_WORD];
  t.is(turn(), 500);
  const loose = rig.scheduler.add('q', 100, 100);
  t.is(turn(), 500);
  const tight = rig.scheduler.add('q', 100, 0.4);
  t.is(turn(), 100);
  rig.scheduler.remove(tight);
  rig.scheduler.remove(loose);
  t.is(turn(), 500);
});

test('the words say whether something is ready and whose slice runs; the process is kept as long', (t) => {
  const rig = new Rig();
  const queue = rig.scheduler.add('q', 100, 0);
  t.deepEqual([rig.words[QUEUE_READY_WORD], rig.kept], [0, 0]);
  let current: Queue | undefined;
  queue.push(() => {
    current = rig.scheduler.current;
  });
  queue.pushCompletion(1, 2, -3, 4);
  t.deepEqual([rig.words[QUEUE_READY_WORD], rig.kept], [1, 1]);
  rig.slice();
  rig.slice();
  t.is(current, queue);
  t.is(rig.scheduler.current, undefined);
  t.deepEqual(rig.finished, [[1, 2, -3, 4]]);
  t.deepEqual([rig.words[QUEUE_READY_WORD], rig.kept, rig.scheduler.idle], [0, 0, true]);
  rig.scheduler.slice();
  t.is(rig.words[QUEUE_CURRENT_WORD], 0, 'a slice with nothing to do is nobody’s');
});

test('the default queue has no name, and what runs in it is nobody’s', (t) => {
  const rig = new Rig();
  let current: unknown = 5;
  let slicing = false;
  rig.scheduler.fallback.push(() => {
    current = rig.scheduler.current;
    slicing = rig.scheduler.slicing;
  });
  rig.slice();
  t.deepEqual([current, slicing], [undefined, true]);
});
