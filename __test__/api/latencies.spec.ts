// Histograms: of operations by kind, and of task queues: from ready to a slice, and how long that is.
import test from 'ava';
import { Executor, File, type LatencySummary, TaskQueue } from '../../index';
import { QueueTimes } from '../../lib/ring/times';
import { executorOf, fileOf, pattern } from '../drivers';

/** Holds the thread. */
function burn(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

/** What every summary promises. */
function isOrdered({ samples, minUs, meanUs, p50Us, p90Us, p99Us, p999Us, maxUs, buckets }: LatencySummary): boolean {
  const rising = [minUs, p50Us, p90Us, p99Us, p999Us, maxUs * 1.01];
  const counts = buckets.map(({ count }) => count);
  return (
    [...rising.entries()].every(([index, value]) => index === 0 || value >= (rising[index - 1] as number)) &&
    meanUs >= minUs &&
    meanUs <= maxUs * 1.01 &&
    [...counts.entries()].every(([index, count]) => index === 0 || count >= (counts[index - 1] as number)) &&
    (counts.at(-1) as number) <= samples
  );
}

test.serial('operations have a histogram by kind, with buckets as Prometheus has them', async (t) => {
  const executor = executorOf(t);
  const file = await File.open(fileOf(pattern(4096)));
  const target = new Uint8Array(64);
  for (let index = 0; index < 640; index++) await file.readAt(target, index);
  await file.close();
  const { read } = executor.latencies();
  t.true(read !== undefined && read.samples >= 640 / 96 && isOrdered(read), JSON.stringify(read));
  const ends = (read as LatencySummary).buckets.map(({ leUs }) => leUs);
  t.deepEqual([ends.length, ends[0], ends[1], ends[2], ends[3], ends.at(-1)], [22, 1, 2, 5, 10, 1e7]);
});

test.serial('a queue waits for the slice of another, and for its own next one', async (t) => {
  executorOf(t);
  await using slow = new TaskQueue({ name: 'slow' });
  await using late = new TaskQueue({ name: 'late' });
  t.is(late.latencies().wait.samples, 0);
  await slow.spawn(async () => {
    const woken = late.spawn(() => {});
    burn(30);
    await woken;
  });
  const { name, wait } = late.latencies();
  t.is(name, 'late');
  t.true(wait.samples === 1 && wait.minUs >= 29_000, `it was ready as the slow slice began: ${JSON.stringify(wait)}`);
  const { slice } = slow.latencies();
  t.true(slice.samples === 1 && slice.minUs >= 29_000 && isOrdered(slice), JSON.stringify(slice));
  t.deepEqual(
    slice.buckets.filter(({ leUs, count }) => leUs < 29_000 && count > 0),
    [],
  );
});

test.serial('what a slice leaves over waits since its end', async (t) => {
  executorOf(t);
  await using queue = new TaskQueue();
  // A slice goes on with 16 at most, and with fewer when they are slow. All are spawned before the first runs.
  const tasks = Array.from({ length: 400 }, () => queue.spawn(() => {}));
  await Promise.all(tasks);
  const { wait } = queue.latencies();
  const { slices } = queue.stats();
  t.true(wait.samples > 1 && wait.samples >= Math.floor(slices / 12), `${wait.samples} of ${slices}`);
});

test.serial('one in eight is timed, and all queues are told of', async (t) => {
  const executor = executorOf(t);
  await using queue = new TaskQueue({ name: 'many' });
  for (let index = 0; index < 800; index++) await queue.spawn(() => {});
  const latencies = executor.queueLatencies();
  t.deepEqual(
    latencies.map(({ name }) => name),
    executor.queueStats().map(({ name }) => name),
  );
  const { wait, slice } = latencies.at(-1) as (typeof latencies)[0];
  const { slices } = queue.stats();
  t.true(wait.samples >= slices / 12 - 1 && wait.samples <= slices / 4 + 1, `${wait.samples} of ${slices}`);
  const running = wait.samples - slice.samples; // We may be in a slice that is timed, and has not ended.
  t.true((running === 0 || running === 1) && isOrdered(wait) && isOrdered(slice));
});

test.serial('they can be read when the executor is closed', async (t) => {
  executorOf(t);
  const queue = new TaskQueue({ name: 'closed' });
  await queue.spawn(() => {});
  await Executor.current().close();
  t.is(queue.latencies().wait.samples, 1);
});

test('more times than are gathered reach the histogram, and none twice', (t) => {
  const { wait } = new QueueTimes();
  for (let index = 1; index <= 200; index++) wait.add(index * 1000);
  for (let round = 0; round < 2; round++) {
    const told = wait.read();
    t.is(told.samples, 200);
    t.true(Math.abs(told.p50Us - 100) <= 2 && Math.abs(told.maxUs - 200) <= 3, JSON.stringify(told));
  }
  wait.add(Number.NaN);
  wait.add(-5);
  wait.add(1e300);
  t.is(wait.read().samples, 203, 'nonsense is counted at the ends');
});
