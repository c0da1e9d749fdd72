// Channels between threads, through the public API: order, backpressure, ends, deaths, wakes; and memory that somebody spoils.
import { Worker } from 'node:worker_threads';
import test from 'ava';
import { Channel, type ChannelPort, Executor, RingwheelError } from '../../index';
import { ended, executorOf, script } from '../drivers';
import { root } from '../support/command';

const WORKER = `
const { parentPort, workerData } = require('node:worker_threads');
const { Channel, Executor } = require(${JSON.stringify(`${root}/dist/index.js`)});
const port = Channel.open(workerData.port);
`;

/** A worker with the other end of a channel. */
function worker(body: string, port: ChannelPort<unknown>, more: object = {}): Worker {
  const thread = new Worker(`${WORKER}(async () => { ${body} })()`, { eval: true, workerData: { port, ...more } });
  exits.set(thread, exitOf(thread));
  return thread;
}

const exitOf = (thread: Worker) => new Promise<number>((resolve) => thread.once('exit', resolve));
/** Listened for from the start: a thread may be gone before its last message is read here. */
const exits = new WeakMap<Worker, Promise<number>>();
const exited = (thread: Worker) => exits.get(thread) ?? exitOf(thread);
const ECHO = 'for await (const message of port) await port.send(message);';

test.before((t) => {
  executorOf(t as never);
});

test('values come back as they were sent, and the end of one side ends the other', async (t) => {
  const [here, there] = Channel.pair();
  const thread = worker(ECHO, there);
  const values = [
    1,
    'two',
    { three: [3, undefined, null] },
    new Map([[4n, new Date(5)]]),
    undefined,
    Buffer.from('six'),
  ];
  for (const value of values) {
    await here.send(value);
    t.deepEqual(await here.receive(), value);
  }
  t.throws(() => here.trySend(() => {}), { message: /could not be cloned/ });
  here.close();
  t.is(await exited(thread), 0, 'its loop has ended, and nothing keeps it');
  await t.throwsAsync(here.send(1), { code: 'ERR_RINGWHEEL_CLOSED' });
  await t.throwsAsync(here.receive(), { code: 'ERR_RINGWHEEL_CLOSED' });
});

test('numbers and bytes keep their order through a small ring, with backpressure both ways', async (t) => {
  for (const kind of ['numbers', 'bytes'] as const) {
    const [here, there] = Channel.pair<number | Uint8Array>({ kind, capacity: 256 });
    const thread = worker(ECHO, there as ChannelPort<unknown>);
    const make = (index: number) =>
      kind === 'numbers' ? index / 3 : Uint8Array.from({ length: index % 200 }, (_, at) => (at * index) & 0xff);
    const count = 3000;
    const sending = (async () => {
      for (let index = 0; index < count; index++) await here.send(make(index));
    })();
    let index = 0;
    for await (const message of here) {
      t.deepEqual(message, make(index));
      if (++index === count) break;
    }
    await sending;
    here.close();
    t.is(await exited(thread), 0);
  }
});

test('what does not fit is refused, and a full ring says so', async (t) => {
  const [bytes] = Channel.pair<Uint8Array>({ kind: 'bytes', capacity: 64 });
  const error = t.throws(() => bytes.trySend(new Uint8Array(57)), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
  t.regex(error?.message ?? '', /57 bytes .* 64/);
  t.true(bytes.trySend(new Uint8Array(24)));
  t.true(bytes.trySend(new Uint8Array(24)));
  t.false(bytes.trySend(new Uint8Array(0)));
  t.throws(() => bytes.trySend('text' as never), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
  const [numbers] = Channel.pair<number>({ kind: 'numbers', capacity: 64 });
  for (let index = 0; index < 64; index++) t.true(numbers.trySend(index));
  t.false(numbers.trySend(64));
  t.throws(() => numbers.trySend('1' as never), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
  for (const options of [{ capacity: 63 }, { capacity: 96 }, { kind: 'text' }, { size: 1 }]) {
    t.throws(() => Channel.pair(options as never), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
  }
  for (const port of [
    undefined,
    {},
    { memory: new SharedArrayBuffer(64), side: 0 },
    { memory: bytes.memory, side: 2 },
  ]) {
    t.throws(() => Channel.open(port as never), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
  }
  // @ts-expect-error Its constructor is private.
  t.throws(() => new Channel(), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
});

test('both ends may be on one thread, and an end has one owner', async (t) => {
  const [one, two] = Channel.pair<string>();
  t.is(two.tryReceive(), undefined);
  const receiving = two.receive();
  const next = two.receive();
  await one.send('a');
  await one.send('b');
  t.deepEqual([await receiving, await next], ['a', 'b'], 'in the order of asking');
  const again = Channel.open<string>(two);
  await t.throwsAsync(again.receive(), { code: 'ERR_RINGWHEEL_CHANNEL' });
  again.close();
  one.trySend('c');
  one.close();
  one.close();
  t.is(await two.receive(), 'c', 'what was sent before the end');
  t.deepEqual(await two[Symbol.asyncIterator]().next(), { value: undefined, done: true });
  t.throws(() => two.tryReceive(), { code: 'ERR_RINGWHEEL_CLOSED', instanceOf: RingwheelError });
});

test('waiting ends by a signal, by a close, and takes nothing along', async (t) => {
  const [one, two] = Channel.pair<number>({ kind: 'numbers', capacity: 64 });
  const abort = new AbortController();
  const given = two.receive({ signal: abort.signal });
  const kept = two.receive();
  abort.abort(new Error('enough'));
  await t.throwsAsync(given, { message: 'enough' });
  await t.throwsAsync(two.receive({ signal: abort.signal }), { message: 'enough' });
  await one.send(1);
  t.is(await kept, 1);
  for (let index = 0; index < 64; index++) one.trySend(index);
  const full = new AbortController();
  const sends = [one.send(100, { signal: full.signal }), one.send(101)];
  full.abort(new Error('full'));
  await t.throwsAsync(sends[0], { message: 'full' });
  for (let index = 0; index < 64; index++) t.is(await two.receive(), index);
  await sends[1];
  t.is(await two.receive(), 101);
  const waiting = two.receive();
  two.close();
  await t.throwsAsync(waiting, { code: 'ERR_RINGWHEEL_CLOSED' });
  await t.throwsAsync(one.send(1), { code: 'ERR_RINGWHEEL_CLOSED' });
});

test('a thread that ends without a word ends the channel', async (t) => {
  for (const way of ['terminate', 'return', 'exit']) {
    const [here, there] = Channel.pair<string>();
    const body = `await port.send('ready'); ${way === 'terminate' ? 'await port.receive();' : ''} ${way === 'exit' ? 'process.exit(0);' : ''}`;
    const thread = worker(body, there as ChannelPort<unknown>);
    t.is(await here.receive(), 'ready');
    const waiting = here.receive();
    if (way === 'terminate') await thread.terminate();
    await t.throwsAsync(waiting, { code: 'ERR_RINGWHEEL_CLOSED' }, way);
    await t.throwsAsync(here.send('anyone?'), { code: 'ERR_RINGWHEEL_CLOSED' }, way);
  }
});

test('a thread that ends before it used its port is seen when that is closed for it', async (t) => {
  const [here, there] = Channel.pair<string>();
  const waiting = here.receive();
  const thread = new Worker('', { eval: true, workerData: { there } });
  await exited(thread);
  there.close();
  await t.throwsAsync(waiting, { code: 'ERR_RINGWHEEL_CLOSED' });
});

test('a receiver that waits before the other thread is there is woken, too', async (t) => {
  const [here, there] = Channel.pair<string>();
  const waiting = here.receive();
  await new Promise((resolve) => setTimeout(resolve, 20));
  const thread = worker(`port.trySend('late'); port.close();`, there as ChannelPort<unknown>);
  t.is(await waiting, 'late');
  await exited(thread);
});

test('spoilt memory is an error and never a crash', async (t) => {
  let state = 7;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state;
  };
  let corrupt = 0;
  for (let round = 0; round < 400; round++) {
    const kind = (['bytes', 'values', 'numbers'] as const)[round % 3];
    const [one, two] = Channel.pair<unknown>({ kind, capacity: 1024 });
    const message = (index: number) => (kind === 'numbers' ? index : Buffer.alloc(index % 60, index));
    for (let index = 0; index < 8; index++) one.trySend(message(index));
    two.tryReceive();
    const words = new Uint32Array(two.memory);
    // Anything but the head of the memory, which only `open` reads.
    for (let write = 0; write < 1 + (round % 40); write++) {
      const at = 32 + (random() % (words.length - 32));
      words[at] = round % 2 === 0 ? random() : random() % 64;
    }
    for (const port of [one, two]) {
      try {
        for (let index = 0; index < 50; index++) {
          port.tryReceive();
          port.trySend(message(index));
        }
      } catch (error) {
        const { code } = error as RingwheelError;
        t.true(code === 'ERR_RINGWHEEL_CHANNEL' || code === 'ERR_RINGWHEEL_CLOSED', String(error));
        if (code === 'ERR_RINGWHEEL_CHANNEL') corrupt++;
      }
      port.close();
    }
  }
  t.true(corrupt > 20, `${corrupt} were seen`);
});

test('closing the executor ends the ports that wait, and a port of a closed executor says so', async (t) => {
  const result = await script(`
    const { Channel } = ringwheel;
    const executor = Executor.current();
    const [one, two] = Channel.pair();
    const waiting = settled(one.receive());
    await two.send(1);
    assert.equal((await waiting).value, 1);
    const more = settled(one.receive());
    const [idle] = Channel.pair();
    idle.trySend(1);
    await executor.close();
    assert.equal((await more).error.code, 'ERR_RINGWHEEL_CLOSED');
    assert.equal((await settled(idle.receive())).error.code, 'ERR_RINGWHEEL_CLOSED');
    assert.equal((await settled(two.send(2))).error.code, 'ERR_RINGWHEEL_CLOSED');`);
  ended(t, result);
});

test('a wait keeps the process, unref lets it go', async (t) => {
  const kept = await script(`
    const { Channel } = ringwheel;
    const [here, there] = Channel.pair();
    const worker = new Worker(
      \`const { Channel } = require(\${JSON.stringify(require.resolve(${JSON.stringify(root)} + '/dist/index.js'))});
       const port = Channel.open(require('node:worker_threads').workerData);
       setTimeout(() => { port.trySend('x'); port.close(); }, 50);\`, { eval: true, workerData: there });
    worker.unref();
    assert.equal(await here.receive(), 'x');
    console.log('received');`);
  ended(t, kept);
  t.regex(kept.stdout, /received/);
  const freed = await script(`
    const [here] = ringwheel.Channel.pair();
    here.unref().receive().then(() => {}, () => {});
    setTimeout(() => console.log('the end'), 5);`);
  ended(t, freed);
  t.regex(freed.stdout, /the end/);
});

test('many workers at once, each with a channel, ended at any moment', async (t) => {
  const rounds = Array.from({ length: 16 }, async (_, index) => {
    const [here, there] = Channel.pair<number>({ kind: 'numbers', capacity: 64 });
    const thread = worker(ECHO, there as ChannelPort<unknown>);
    let received = 0;
    const all = (async () => {
      for (let number = 0; ; number++) {
        await here.send(number);
        if ((await here.receive()) !== number) throw new Error('out of order');
        received++;
      }
    })();
    all.catch(() => {});
    while (received === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await new Promise((resolve) => setTimeout(resolve, index * 3));
    await thread.terminate();
    await t.throwsAsync(all, { code: 'ERR_RINGWHEEL_CLOSED' });
    return received;
  });
  const received = await Promise.all(rounds);
  t.true(received.some((count) => count > 0));
  t.true(Executor.current().stats().callbacks > 0);
});

test('a listener gets every message in order, whatever it throws, until the end', async (t) => {
  for (const kind of ['numbers', 'values'] as const) {
    const [here, there] = Channel.pair<number>({ kind, capacity: kind === 'numbers' ? 64 : 1024 });
    const thread = worker(
      'port.listen((message) => port.trySend(message) || port.send(message));',
      there as ChannelPort<unknown>,
    );
    const gone = exited(thread);
    const count = 5000;
    const got: number[] = [];
    const done = new Promise<void>((resolve) => {
      here.listen((message) => {
        got.push(message);
        if (got.length === count) resolve();
      });
    });
    t.throws(() => here.listen(() => {}), { code: 'ERR_RINGWHEEL_INVALID_OPTION' }, 'one only');
    for (let index = 0; index < count; index++) await here.send(index);
    await done;
    t.deepEqual(
      got,
      Array.from({ length: count }, (_, index) => index),
    );
    here.close();
    t.is(await gone, 0, 'its end has come, and nothing keeps it');
  }
});

test('listening in one thread: what was there before, who waits first, both ends', async (t) => {
  const [one, two] = Channel.pair<number>({ kind: 'numbers', capacity: 64 });
  const got: number[] = [];
  const ends: unknown[] = [];
  one.trySend(1);
  two.listen(
    (message) => {
      got.push(message);
      if (message === 4) two.trySend(message * 2);
    },
    (error) => ends.push(error),
  );
  t.deepEqual(got, [], 'not before the call returns');
  while (got.length < 1) await new Promise((resolve) => setImmediate(resolve));
  const first = two.receive();
  for (const message of [2, 3, 4]) one.trySend(message);
  t.is(await first, 2, 'who waits comes first');
  t.is(await one.receive(), 8);
  t.deepEqual(got, [1, 3, 4]);
  one.trySend(5);
  one.close();
  while (ends.length === 0) await new Promise((resolve) => setImmediate(resolve));
  t.deepEqual(got, [1, 3, 4, 5], 'what was sent before the end');
  t.deepEqual(ends, [undefined]);
  t.is(await new Promise((resolve) => two.listen(() => {}, resolve)), undefined, 'another one hears of the end, too');
  two.close();
  t.throws(() => two.listen(() => {}), { code: 'ERR_RINGWHEEL_CLOSED' });

  const [three, four] = Channel.pair<number>({ kind: 'numbers', capacity: 64 });
  const own = new Promise((resolve) => four.listen(() => four.close(), resolve));
  three.trySend(1);
  three.trySend(2);
  t.is(await own, undefined, 'closing in the listener ends it');
  for (const wrong of [undefined, 5]) {
    t.throws(() => three.listen(wrong as never), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
    if (wrong !== undefined)
      t.throws(() => three.listen(() => {}, wrong as never), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
  }
  three.close();
});

test('what a listener throws goes to uncaughtException, and it keeps the thread only while it is ref’d', async (t) => {
  const result = await script(`
    const { Channel } = ringwheel;
    const thrown = [], got = [];
    process.on('uncaughtException', (error) => thrown.push(error.message));
    const [one, two] = Channel.pair({ kind: 'numbers', capacity: 2048 });
    await new Promise((resolve) => {
      two.listen((message) => {
        got.push(message);
        if (message % 500 === 0) throw new Error('thrown ' + message);
        if (message === 1999) resolve();
      });
      for (let index = 0; index < 2000; index++) assert(one.trySend(index));
    });
    await sleep(1);
    assert.equal(got.length, 2000);
    assert.deepEqual(thrown, [0, 500, 1000, 1500].map((index) => 'thrown ' + index));
    two.unref();
  `);
  ended(t, result);
});

test('threads that look for messages before they sleep, and ones that do not, lose none', async (t) => {
  for (const spinUs of [0, 1000]) {
    const result = await script(`
      const { Channel } = ringwheel;
      const echo = \`const { Channel, Executor } = require(\${JSON.stringify(require.resolve(${JSON.stringify(root)}))});
        const { workerData } = require('node:worker_threads');
        Executor.start({ spinUs: ${spinUs} });
        const port = Channel.open(workerData);
        port.listen((message) => port.trySend(message));\`;
      Executor.start({ spinUs: ${spinUs} });
      const [here, there] = Channel.pair({ kind: 'numbers' });
      const worker = new Worker(echo, { eval: true, workerData: there });
      for (let index = 0; index < 300; index++) {
        here.trySend(index);
        assert.equal(await here.receive(), index);
        if (index % 100 === 0) await sleep(5);
      }
      here.close();
      await new Promise((resolve) => worker.once('exit', resolve));
      for (const wrong of [-1, 1001, '5']) {
        await Executor.current().close();
        assert.throws(() => Executor.start({ spinUs: wrong }), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
      }
    `);
    ended(t, result);
  }
});
