// Semaphore, RwLock, Gate and Event of one thread: order, ends, signals, task queues.
import test from 'ava';
import { Event, Gate, type Guard, Permit, RwLock, Semaphore, sleep, TaskQueue } from '../../index';
import { executorOf } from '../drivers';

const CLOSED = { code: 'ERR_RINGWHEEL_CLOSED' };
const WRONG = { code: 'ERR_RINGWHEEL_INVALID_OPTION' };
/** Long enough for every promise that can be settled by now. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

test.before((t) => {
  executorOf(t as never);
});

test('permits bound what runs at once, and come back when work throws', async (t) => {
  const semaphore = new Semaphore(3);
  let [inside, most] = [0, 0];
  const work = async (index: number) => {
    most = Math.max(most, ++inside);
    await sleep(index % 3);
    inside--;
    if (index % 5 === 0) throw new Error(`work ${index}`);
    return index;
  };
  const results = await Promise.allSettled(Array.from({ length: 40 }, (_, index) => semaphore.run(() => work(index))));
  t.is(most, 3);
  for (const [index, result] of results.entries()) {
    if (result.status === 'fulfilled') t.is(result.value, index);
    else t.is(result.reason.message, `work ${index}`);
  }
  t.is(results.filter(({ status }) => status === 'rejected').length, 8);
  t.is(semaphore.available, 3);
});

test('first come, first served, also when a later one wants less', async (t) => {
  const semaphore = new Semaphore(2);
  const first = await semaphore.acquire({ permits: 2 });
  const order: string[] = [];
  const note = (name: string) => (permit: Permit) => {
    order.push(name);
    return permit;
  };
  const asked = [semaphore.acquire({ permits: 2 }).then(note('two')), semaphore.acquire().then(note('one'))];
  t.is(semaphore.waiting, 2);
  t.is(semaphore.tryAcquire(), undefined);
  semaphore.add();
  await settle();
  t.deepEqual(order, [], 'one is free, but the first in line wants two');
  t.is(semaphore.tryAcquire(), undefined, 'nobody passes');
  first.release();
  first.release();
  first[Symbol.dispose]();
  const permits = await Promise.all(asked);
  t.deepEqual(order, ['two', 'one']);
  t.deepEqual(
    permits.map(({ count }) => count),
    [2, 1],
  );
  t.is(semaphore.available, 0, 'a permit comes back once');
  for (const permit of permits) permit.release();
  t.is(semaphore.available, 3);
});

test('a signal takes one out of the line, and lets the next one in', async (t) => {
  const semaphore = new Semaphore(2);
  const held = await semaphore.acquire();
  const stop = new AbortController();
  const large = semaphore.acquire({ permits: 2, signal: stop.signal });
  const small = semaphore.acquire();
  await settle();
  t.is(semaphore.waiting, 2);
  stop.abort(new Error('enough'));
  await t.throwsAsync(large, { message: 'enough' });
  (await small).release();
  held.release();
  t.is(semaphore.available, 2, 'nothing is lost');
  await t.throwsAsync(semaphore.acquire({ signal: AbortSignal.abort(new Error('before')) }), { message: 'before' });
  // One that was served is no longer the signal's.
  const late = new AbortController();
  const served = semaphore.acquire({ permits: 2, signal: late.signal });
  late.abort();
  t.is((await served).count, 2);
});

test('closing refuses who waits and who comes; permits that are out stay', async (t) => {
  const semaphore = new Semaphore(1);
  const held = await semaphore.acquire();
  const waiting = [semaphore.acquire(), semaphore.run(() => t.fail())];
  semaphore.close();
  semaphore.close();
  for (const each of waiting) await t.throwsAsync(each, CLOSED);
  await t.throwsAsync(semaphore.acquire(), CLOSED);
  held.release();
  t.is(semaphore.tryAcquire(), undefined);
});

test('arguments that are none', async (t) => {
  for (const permits of [-1, 0.5, Number.NaN, 2 ** 31, '1', undefined]) {
    t.throws(() => new Semaphore(permits as number), WRONG);
  }
  const semaphore = new Semaphore(0);
  for (const permits of [0, -1, 2 ** 31, '1']) {
    t.throws(() => semaphore.tryAcquire(permits as number), WRONG);
    t.throws(() => semaphore.add(permits as number), WRONG);
    await t.throwsAsync(semaphore.acquire({ permits: permits as number }), WRONG);
  }
  semaphore.add(2 ** 31 - 1);
  t.throws(() => semaphore.add(), WRONG, 'more than can be counted');
  for (const options of [{ permit: 1 }, { signal: {} }, 5]) {
    await t.throwsAsync(semaphore.acquire(options as never), WRONG);
    await t.throwsAsync(new RwLock().read(options as never), WRONG);
    await t.throwsAsync(new Event().wait(options as never), WRONG);
  }
  for (const work of [undefined, 'work']) {
    await t.throwsAsync(semaphore.run(work as never), WRONG);
    await t.throwsAsync(new RwLock().runRead(work as never), WRONG);
    await t.throwsAsync(new RwLock().runWrite(work as never), WRONG);
    await t.throwsAsync(new Gate().run(work as never), WRONG);
  }
  t.throws(() => new Permit({} as never, 1), WRONG);
});

test('many read or one writes, in the order of asking', async (t) => {
  const lock = new RwLock();
  let [reading, writing] = [0, 0];
  const order: string[] = [];
  const read = (name: string) =>
    lock.runRead(async () => {
      order.push(name);
      t.is(writing, 0);
      reading++;
      await sleep(1);
      reading--;
    });
  const write = (name: string) =>
    lock.runWrite(async () => {
      order.push(name);
      t.deepEqual([reading, writing], [0, 0]);
      writing++;
      await sleep(1);
      writing--;
    });
  await Promise.all([read('r1'), read('r2'), write('w1'), read('r3'), write('w2'), write('w3'), read('r4')]);
  t.deepEqual(order, ['r1', 'r2', 'w1', 'r3', 'w2', 'w3', 'r4']);

  const one = lock.tryRead() as Guard;
  const two = lock.tryRead() as Guard;
  t.is(lock.tryWrite(), undefined);
  const waiting = lock.write();
  t.is(lock.tryRead(), undefined, 'a writer waits');
  one.release();
  two.release();
  const writer = await waiting;
  t.is(lock.tryRead(), undefined);
  const stop = new AbortController();
  const readers = [lock.read({ signal: stop.signal }), lock.read()];
  stop.abort(new Error('enough'));
  await t.throwsAsync(readers[0] as Promise<Guard>, { message: 'enough' });
  writer.release();
  (await (readers[1] as Promise<Guard>)).release();
  lock.tryWrite()?.release();
  await t.throwsAsync(
    lock.runWrite(() => Promise.reject(new Error('mine'))),
    { message: 'mine' },
  );
  t.truthy(lock.tryWrite(), 'it came back');
});

test('a gate lets in until it is closed, and closing waits for who is inside', async (t) => {
  const gate = new Gate();
  const guard = gate.enter();
  let ended = false;
  const work = gate.run(async () => {
    await sleep(5);
    ended = true;
    return 'result';
  });
  t.is(gate.inside, 2);
  const closing = gate.close();
  t.true(gate.closed);
  t.is(gate.close(), closing);
  t.throws(() => gate.enter(), CLOSED);
  await t.throwsAsync(
    gate.run(() => t.fail()),
    CLOSED,
  );
  let closed = false;
  void closing.then(() => {
    closed = true;
  });
  t.is(await work, 'result');
  await settle();
  t.false(closed, 'one is inside still');
  guard.release();
  guard.release();
  await closing;
  t.true(ended);
  t.is(gate.inside, 0);
  await new Gate().close();
});

test('an event is set once, for all who wait and who come', async (t) => {
  const event = new Event();
  t.false(event.isSet);
  const order: number[] = [];
  const stop = new AbortController();
  const given = event.wait({ signal: stop.signal });
  const waiting = [1, 2, 3].map((number) => event.wait().then(() => order.push(number)));
  stop.abort(new Error('enough'));
  await t.throwsAsync(given, { message: 'enough' });
  event.set();
  event.set();
  t.true(event.isSet);
  await Promise.all(waiting);
  t.deepEqual(order, [1, 2, 3]);
  await event.wait();
});

test('who waited in a task queue goes on in it', async (t) => {
  const queue = new TaskQueue({ name: 'mine' });
  const other = new TaskQueue({ name: 'other' });
  const [semaphore, event] = [new Semaphore(0), new Event()];
  const resumes = () => queue.stats().resumes;
  let step = 0;
  const task = queue.spawn(async () => {
    const before = resumes();
    step = 1;
    await event.wait();
    const between = resumes();
    step = 2;
    (await semaphore.acquire()).release();
    return [between - before, resumes() - between];
  });
  while (step < 1) await settle();
  await other.spawn(() => event.set());
  while (step < 2) await settle();
  semaphore.add();
  t.deepEqual(await task, [1, 1], 'each wait ended in a slice of its own queue');
  await queue.close();
  await other.close();
});
