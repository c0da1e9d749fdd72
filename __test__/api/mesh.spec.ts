// Meshes of a pool's members and the thread that started it, and signals among the arguments of its calls.
import { pathToFileURL } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { ExecutorPool, Mesh, type PoolOptions } from '../../index';
import { executorOf } from '../drivers';
import { root } from '../support/command';

const work = pathToFileURL(`${root}/__test__/support/pool-work.mjs`);
const WRONG = { code: 'ERR_RINGWHEEL_INVALID_OPTION' };
const CLOSED = { code: 'ERR_RINGWHEEL_CLOSED' };

interface Met {
  id: number;
  peers: number;
  consumers: number[];
  producers: number[];
  got: Record<number, number[]>;
}

async function start(t: ExecutionContext, options: PoolOptions = {}): Promise<ExecutorPool> {
  const pool = await ExecutorPool.start({ size: 2, ...options });
  t.teardown(() => pool.destroy());
  return pool;
}

test.before((t) => {
  executorOf(t as never);
});

test('in a full mesh everybody sends to everybody, through small rings, in order', async (t) => {
  const pool = await start(t, { size: 3 });
  const rounds = 200;
  const meeting = pool.broadcast<Met>(work, 'meet', 'numbers', rounds);
  const mesh = await Mesh.join<number>(pool, { name: 'numbers', kind: 'numbers', capacity: 64 });
  t.is(mesh.id, 3);
  t.is(mesh.peers, 4);
  const sending = (async () => {
    for (let round = 0; round < rounds; round++) for (const peer of mesh.consumers) await mesh.send(peer, 3000 + round);
  })();
  const got = new Map<number, number[]>();
  for (let left = 3 * rounds; left > 0; left--) {
    const { from, message } = await mesh.receive();
    got.set(from, [...(got.get(from) ?? []), message]);
  }
  await sending;
  const all = (from: number) => Array.from({ length: rounds }, (_, round) => from * 1000 + round);
  for (const from of [0, 1, 2]) t.deepEqual(got.get(from), all(from));
  for (const met of await meeting) {
    const others = [0, 1, 2, 3].filter((peer) => peer !== met.id);
    t.deepEqual([met.consumers, met.producers], [others, others]);
    for (const from of others) t.deepEqual(met.got[from], all(from));
  }
  t.is(mesh.tryReceive(), undefined);
  mesh.close();
});

test('in a partial mesh there are the ways that were asked for, and no others', async (t) => {
  const pool = await start(t, { size: 3 });
  const mesh = await Mesh.join<number>(pool, { producers: [3, 0], consumers: [1, 3], name: 'some' });
  t.deepEqual([mesh.consumers, mesh.producers], [[1], [0]]);
  const error = await t.throwsAsync(mesh.send(0, 1), WRONG);
  t.regex(error?.message ?? '', /no way from 3 to 0; this thread may send to 1/);
  t.throws(() => mesh.trySend(3, 1), WRONG);
  t.true(mesh.trySend(1, 7));
  const [zero, one] = await Promise.all([0, 1].map((member) => pool.run<Met>(member, work, 'meet', 'some', 1)));
  t.deepEqual(zero?.got, {});
  t.deepEqual(one?.got, { 0: [0], 3: [7] });
  t.deepEqual(await mesh.receive(), { from: 0, message: 0 });
  mesh.close();
  // The one that is not in it waits for another.
  const stop = new AbortController();
  const outside = pool.run(2, work, 'meet', 'some', 1);
  await Mesh.join(pool, { producers: [2, 3], consumers: [2, 3], name: 'some' }).then((next) => {
    t.true(next.trySend(2, 1));
  });
  t.deepEqual(((await outside) as Met).got, { 3: [1] });
  stop.abort();
});

test('waiting ends by a signal, by a close, and by the end of all who send', async (t) => {
  const pool = await start(t);
  const mesh = await Mesh.join<string>(pool, { name: 'ends' });
  const reflecting = pool.broadcast<number>(work, 'reflect', 'ends');
  const stop = new AbortController();
  const given = mesh.receive({ signal: stop.signal });
  const kept = mesh.receive();
  stop.abort(new Error('enough'));
  await t.throwsAsync(given, { message: 'enough' });
  await mesh.send(0, 'to zero');
  t.deepEqual(await kept, { from: 0, message: 'to zero' });
  await mesh.send(1, undefined as never);
  t.deepEqual(await mesh.receive(), { from: 1, message: undefined }, 'undefined is a message');
  const waiting = mesh.receive();
  mesh.close();
  mesh.close();
  await t.throwsAsync(waiting, CLOSED);
  await t.throwsAsync(mesh.receive(), CLOSED);
  t.throws(() => mesh.tryReceive(), CLOSED);
  await t.throwsAsync(mesh.send(0, 'late'), CLOSED);
  for await (const _ of mesh) t.fail();
  await pool.destroy();
  await t.throwsAsync(reflecting, CLOSED);
});

test('a member that dies is gone for the others, whether it had joined or not', async (t) => {
  const pool = await start(t, { replace: true });
  const mesh = await Mesh.join<number>(pool, { name: 'deaths' });
  const reflecting = pool.run<number>(0, work, 'reflect', 'deaths');
  reflecting.catch(() => {});
  await mesh.send(0, 1);
  t.deepEqual(await mesh.receive(), { from: 0, message: 1 });
  t.true(mesh.trySend(1, 1), 'it waits for one that has not joined');
  const waiting = mesh.receive();
  await t.throwsAsync(pool.run(0, work, 'exit', 3), { code: 'ERR_RINGWHEEL_MEMBER' });
  await t.throwsAsync(pool.run(1, work, 'exit', 3), { code: 'ERR_RINGWHEEL_MEMBER' });
  await t.throwsAsync(waiting, CLOSED, 'nobody is left who could send');
  await t.throwsAsync(mesh.send(0, 1), CLOSED);
  await t.throwsAsync(mesh.send(1, 1), CLOSED);
  // Those in their place are in the next one.
  const again = pool.run<Met>(1, work, 'meet', 'deaths', 1);
  const next = await Mesh.join<number>(pool, { name: 'deaths', producers: [2], consumers: [1] });
  await next.send(1, 5);
  t.deepEqual((await again).got, { 2: [5] });
});

test('what cannot be joined', async (t) => {
  const pool = await start(t);
  for (const options of [
    { name: '' },
    { kind: 'text' },
    { capacity: 65 },
    { producers: [3] },
    { consumers: 1 },
    { role: 'both' },
  ]) {
    await t.throwsAsync(Mesh.join(pool, options as never), WRONG);
  }
  await t.throwsAsync(Mesh.join(), { ...WRONG, message: /pool must be an ExecutorPool/ });
  await t.throwsAsync(Mesh.join({ name: 'mesh' }), WRONG);
  // @ts-expect-error Its constructor is private.
  t.throws(() => new Mesh(), WRONG);
  await t.throwsAsync(pool.run(0, work, 'exit', 1), { code: 'ERR_RINGWHEEL_MEMBER' });
  await t.throwsAsync(Mesh.join(pool), { code: 'ERR_RINGWHEEL_MEMBER' });
  await pool.close();
  await t.throwsAsync(Mesh.join(pool), CLOSED);
});

test('a signal among the arguments ends a call, and the function hears of it', async (t) => {
  const pool = await start(t, { size: 1 });
  const stop = new AbortController();
  const reason = Object.assign(new RangeError('that is enough'), { code: 'E_ENOUGH' });
  const call = pool.run(0, work, 'until', stop.signal, 1);
  const other = new AbortController();
  const many = pool.broadcast(work, 'until', other.signal);
  await pool.run(0, work, 'square', 1);
  t.is(pool.stats()[0]?.pending, 2);
  stop.abort(reason);
  t.is(await t.throwsAsync(call), reason, 'the very reason, at once');
  other.abort('text');
  t.is(await many.catch((text: unknown) => text), 'text');
  await pool.run(0, work, 'square', 1);
  const [first, second] = await pool.run<[RangeError & { code: string }, string]>(0, work, 'aborted');
  t.deepEqual([first.message, second], ['that is enough', 'text']);
  while (pool.stats()[0]?.pending !== 0) await pool.run(0, work, 'square', 1);

  const before = pool.stats()[0]?.calls;
  await t.throwsAsync(pool.run(0, work, 'until', AbortSignal.abort(reason)), { is: reason });
  t.is(pool.stats()[0]?.calls, before, 'nothing was sent');
  const early = new AbortController();
  const trap = {
    get now() {
      early.abort(reason);
      return 1;
    },
  };
  await t.throwsAsync(pool.run(0, work, 'until', early.signal, trap), { is: reason });
  // One that has ended has nothing to do with its signal any more.
  const late = new AbortController();
  t.is(await pool.run(0, work, 'square', 5, late.signal), 25);
  late.abort();
  t.is(await pool.run(0, work, 'square', 6), 36);
});
