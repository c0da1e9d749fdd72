// ExecutorPool through the public API: results, errors, death and replacement, closing; from source and from the built package.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { MessageChannel } from 'node:worker_threads';
import test, { type ExecutionContext } from 'ava';
import type { PoolOptions } from '../../index';
import * as source from '../../index';
import { ended, fileOf, folder, pattern, script } from '../drivers';
import { Running, root } from '../support/command';

// From the built package but for one test: a loader for TypeScript takes seconds in each worker.
const { ExecutorPool, RingwheelError, topology } = require(join(root, 'dist/index.js')) as typeof source;

const work = pathToFileURL(join(__dirname, '../support/pool-work.mjs'));
const setupModule = pathToFileURL(join(__dirname, '../support/pool-setup.mjs'));

/** A pool that is gone when its test ends. */
async function start(t: ExecutionContext, options: PoolOptions = {}): Promise<source.ExecutorPool> {
  const pool = await ExecutorPool.start({ size: 2, executor: { memory: 65536, entries: 64 }, ...options });
  t.teardown(() => pool.destroy());
  return pool;
}

async function failure(promise: Promise<unknown>): Promise<Error & Record<string, unknown>> {
  try {
    await promise;
  } catch (error) {
    return error as Error & Record<string, unknown>;
  }
  throw new Error('it did not fail');
}

test('functions run on the member that is named, on an executor of its own', async (t) => {
  const pool = await start(t);
  t.is(pool.size, 2);
  t.is(await pool.run<number>(1, work, 'square', 12), 144);
  t.deepEqual(await pool.broadcast(work, 'member'), [0, 1]);
  t.is(ExecutorPool.member, undefined, 'this thread is no member');
  const wanted = process.env.RINGWHEEL_DRIVER;
  if (wanted !== undefined) t.deepEqual(await pool.broadcast(work, 'driver'), [wanted, wanted]);
  const bytes = pattern(100);
  t.deepEqual(await pool.run(0, work, 'firstBytes', fileOf(bytes), 100), bytes);
  t.is(await pool.run(0, work.href, 'count'), 1);
  t.is(await pool.run(0, work, 'count'), 2, 'a module is imported once');
  t.is(await pool.run(1, work, 'count'), 1, 'and once on each member');
  const sum = await pool.mapReduce(
    work,
    'square',
    (all: number, one: number, member) => all + one * 10 ** member,
    0,
    3,
  );
  t.is(sum, 99);
});

test('members run where the placement says', async (t) => {
  const { usable } = topology();
  const pool = await start(t, { size: usable.length, placement: 'max-spread' });
  const masks = await pool.broadcast<string>(work, 'mask');
  const seats = pool.stats().map(({ cpus }) => `${cpus}`);
  t.deepEqual(masks, seats);
  t.deepEqual([...seats].sort(), usable.map(String).sort());
  const one = usable[0] as number;
  const both = await start(t, { size: undefined as never, placement: { kind: 'fixed', cpus: [one, one] } });
  t.deepEqual(await both.broadcast(work, 'mask'), [`${one}`, `${one}`]);
});

test('a placement that cannot be met is refused with its reason', async (t) => {
  const cases: [PoolOptions, string, RegExp][] = [
    [{ placement: { kind: 'fixed', cpus: [4000] } }, 'PLACEMENT', /CPU 4000 is not there; this process may use /],
    [{ placement: { kind: 'max-pack', nodes: [900] } }, 'PLACEMENT', /there is no NUMA node 900/],
    [{ size: 1024, placement: 'max-spread' }, 'PLACEMENT', /1024 members have only .* use a size of at most/],
    [
      { size: 3, placement: { kind: 'custom', sets: [[0]] } },
      'PLACEMENT',
      /custom lists 1 member, and the pool has a size of 3/,
    ],
    [{ placement: 'max-sprawl' as never }, 'INVALID_OPTION', /placement must be one of 'unbound'/],
    [
      { placement: { kind: 'fixed', cpus: [0], nodes: [0] } as never },
      'INVALID_OPTION',
      /placement.nodes does not go with the kind .fixed/,
    ],
    [{ placement: {} as never }, 'INVALID_OPTION', /placement.kind is missing/],
    [{ size: 0 }, 'INVALID_OPTION', /size must be a whole number from 1 to 1024/],
    [{ setup: './relative.js' }, 'INVALID_OPTION', /setup must be a URL/],
    [{ executor: { cpu: 0 } as never }, 'INVALID_OPTION', /unknown option .executor.cpu/],
    [{ replaces: true } as never, 'INVALID_OPTION', /did you mean .replace/],
  ];
  for (const [options, code, message] of cases) {
    const error = await failure(ExecutorPool.start(options));
    t.is(error.code, `ERR_RINGWHEEL_${code}`, error.message);
    t.regex(error.message, message);
  }
  // @ts-expect-error: there is none.
  t.throws(() => new ExecutorPool(), { message: /no public constructor/ });
});

test('errors keep class name, message, code, stack, cause and properties', async (t) => {
  const pool = await start(t);
  const refused = await failure(pool.run(0, work, 'refuse'));
  t.true(refused instanceof TypeError, 'the nearest built-in class');
  t.deepEqual([refused.name, refused.message, refused.code, refused.detail], ['Refusal', 'not today', 'E_REFUSED', 42]);
  t.regex(refused.stack as string, /pool-work/, 'the frames of over there');
  const cause = refused.cause as Error;
  t.true(cause instanceof RangeError);
  t.is(cause.message, 'the reason');

  const missing = await failure(pool.run(0, work, 'missing', '/no/such/file'));
  t.deepEqual([missing.code, missing.errno, missing.syscall, missing.path], ['ENOENT', -2, 'open', '/no/such/file']);
  const closed = await failure(pool.run(0, work, 'closed'));
  t.true(closed instanceof RingwheelError);
  t.is(closed.code, 'ERR_RINGWHEEL_CLOSED');
  const aborted = await failure(pool.run(0, work, 'abort'));
  t.true(aborted instanceof DOMException);
  t.deepEqual([aborted.name, aborted.code], ['AbortError', 20]);
  const several = (await failure(pool.run(0, work, 'several'))) as unknown as AggregateError;
  t.true(several instanceof AggregateError);
  t.true(several.errors[0] instanceof RangeError);
  t.is(several.errors[1], 'two');
  t.is(await pool.run(0, work, 'throwText').catch((text: unknown) => text), 'only text');
  t.regex((await pool.run(0, work, 'throwFunction').catch(String)) as string, /^\(\) ?=> ?1$/);
  t.is((await failure(pool.run(0, work, 'throwLoop'))).message, 'round');
  t.regex((await failure(pool.run(0, work, 'throwTrap'))).message, /cannot be read/);
  t.is(await pool.run(0, work, 'square', 2), 4, 'the member lives on');
});

test('a module that does not load, an export that is missing', async (t) => {
  const pool = await start(t, { size: 1 });
  const bad = async (module: URL | string, name: string, message: RegExp) => {
    const error = await failure(pool.run(0, module, name));
    t.is(error.code, 'ERR_RINGWHEEL_MODULE', error.message);
    t.regex(error.message, message);
    return error;
  };
  const absent = await bad(pathToFileURL('/no/such/module.mjs'), 'run', /does not load: .*module\.mjs/);
  t.is((absent.cause as Error & { code: string }).code, 'ERR_MODULE_NOT_FOUND');
  await bad('data:text/javascript,throw new Error("while loading")', 'run', /does not load: while loading/);
  await bad('data:text/javascript,export const a = ', 'run', /does not load/);
  await bad(work, 'squrae', /has no export "squrae"; it exports .*square/);
  await bad(work, 'notFunction', /exports "notFunction", which is no function/);
  await bad(work, '__proto__', /has no export "__proto__"/);
  for (const [core, module, name] of [
    [2, work, 'square'],
    [-1, work, 'square'],
    [0.5, work, 'square'],
    ['some', work, 'square'],
    [0, './pool-work.js', 'square'],
    [0, work, ''],
    [0, undefined, 'square'],
  ] as never[][]) {
    const error = await failure(pool.run(core as never, module as never, name as never));
    t.is(error.code, 'ERR_RINGWHEEL_INVALID_OPTION', error.message);
  }
});

test('what cannot be cloned is refused, what can be moved is moved', async (t) => {
  const pool = await start(t);
  const argument = await failure(pool.run(0, work, 'square', () => 1));
  t.is(argument.code, 'ERR_RINGWHEEL_CLONE');
  t.regex(argument.message, /an argument of square cannot be cloned: .*; use plain data/);
  t.is((argument.cause as Error).name, 'DataCloneError');
  const result = await failure(pool.run(0, work, 'giveFunction'));
  t.is(result.code, 'ERR_RINGWHEEL_CLONE');
  t.regex(result.message, /the result of giveFunction cannot be cloned/);

  const copied = new Uint8Array(1000);
  t.is(await pool.run(0, work, 'length', copied), 1000);
  t.is(copied.byteLength, 1000, 'copied');
  const moved = ExecutorPool.transfer(new Uint8Array(1000));
  t.is(await pool.run(0, work, 'length', moved), 1000);
  t.is(moved.byteLength, 0, 'moved');
  t.is((await failure(pool.run(0, work, 'length', moved))).code, 'ERR_RINGWHEEL_CLONE', 'once');
  t.deepEqual(await pool.run(0, work, 'give', 3), new Uint8Array([7, 7, 7]));
  const twice = ExecutorPool.transfer(new Uint8Array(8));
  t.is((await failure(pool.broadcast(work, 'length', twice))).code, 'ERR_RINGWHEEL_CLONE', 'to one member only');
  const { port1, port2 } = new MessageChannel();
  const heard = new Promise((resolve) => port1.once('message', resolve));
  await pool.run(0, work, 'answer', port2);
  t.is(await heard, 'over the port');
  port1.close();
  t.throws(() => ExecutorPool.transfer(5 as never), { code: 'ERR_RINGWHEEL_INVALID_OPTION' } as never);
  t.is(pool.stats()[0]?.pending, 0);
});

test('a member that dies rejects what is pending, and names the cause', async (t) => {
  const pool = await start(t);
  const pending = [pool.run(0, work, 'hang'), pool.run(0, work, 'after', 10_000, 1)];
  const others = pool.run(1, work, 'after', 50, 'from the other');
  const exiting = pool.run(0, work, 'exit', 7);
  for (const error of await Promise.all([...pending, exiting].map(failure))) {
    t.is(error.code, 'ERR_RINGWHEEL_MEMBER');
    t.like(error.cause, { message: 'its thread ended with exit code 7', exitCode: 7 });
    t.is(error.message, 'member 0 of the pool died: its thread ended with exit code 7');
  }
  const later = await failure(pool.run(0, work, 'square', 1));
  t.is(later.code, 'ERR_RINGWHEEL_MEMBER', 'it is not replaced unless asked');
  t.is(await others, 'from the other');
  t.is(await pool.run('any', work, 'square', 3), 9, 'any is one that lives');
  const [dead, alive] = pool.stats();
  t.deepEqual([dead?.phase, dead?.pending, dead?.threadId, alive?.phase], ['ended', 0, -1, 'running']);
  const failed = await failure(pool.broadcast(work, 'square', 2));
  t.is(failed.code, 'ERR_RINGWHEEL_MEMBER');
});

test('it is replaced if asked, on its CPU, with its setup', async (t) => {
  const pool = await start(t, { placement: 'max-spread', size: 1, replace: true, setup: setupModule });
  t.deepEqual(await pool.run(0, setupModule, 'heard'), [{ member: 0, size: 1 }]);
  const { threadId, cpus } = pool.stats()[0] as { threadId: number; cpus: readonly number[] };
  const crashed = await failure(pool.run(0, work, 'crash'));
  t.is(crashed.message, 'member 0 of the pool died: RangeError: from a callback');
  t.true(crashed.cause instanceof RangeError);
  t.is(await pool.run(0, work, 'square', 5), 25, 'a call waits for the new thread');
  t.deepEqual(await pool.run(0, setupModule, 'heard'), [{ member: 0, size: 1 }]);
  t.is(await pool.run(0, work, 'mask'), `${cpus[0]}`);
  const [stats] = pool.stats();
  t.not(stats?.threadId, threadId);
  t.is(stats?.replaced, 1);
  t.regex(stats?.cause?.message ?? '', /from a callback/);
});

test('one that dies at once again and again stays dead', async (t) => {
  const pool = await start(t, { size: 1, replace: true });
  let last = '';
  for (let life = 0; life < 200 && !last.includes('stays dead'); life++) {
    const error = await failure(pool.run(0, work, 'exit', 1));
    last = error.message;
  }
  t.regex(last, /it died 8 times within a second of its start and stays dead/);
  t.is((await failure(pool.run(0, work, 'square', 1))).message, last);
});

test('a member that does not start is the error of start', async (t) => {
  const broken = await failure(start(t, { setup: 'data:text/javascript,throw new RangeError("no disk")' }));
  t.is(broken.code, 'ERR_RINGWHEEL_MEMBER');
  t.regex(
    broken.message,
    /^member \d of the pool did not start: RingwheelError: the module data:.* does not load: no disk$/,
  );
  const setup = 'data:text/javascript,export const setup = () => { throw new TypeError("not ready") }';
  t.regex((await failure(start(t, { setup }))).message, /did not start: TypeError: not ready/);
  const exiting = 'data:text/javascript,process.exit(3)';
  t.regex(
    (await failure(start(t, { setup: exiting, replace: true }))).message,
    /did not start: its thread ended with exit code 3/,
  );
});

test('close waits for calls, or until its deadline; destroy does not wait', async (t) => {
  const closing = await start(t);
  const running = closing.run(0, work, 'after', 30, 'done');
  const closed = closing.close();
  t.is(closing.close(), closed, 'one promise');
  t.is((await failure(closing.run(1, work, 'square', 1))).code, 'ERR_RINGWHEEL_CLOSED');
  await closed;
  t.is(await running, 'done');
  t.deepEqual(
    closing.stats().map(({ phase }) => phase),
    ['ended', 'ended'],
  );

  const late = await start(t);
  const hanging = failure(late.run(0, work, 'hang'));
  await late.close({ deadlineMs: 20 });
  t.is((await hanging).code, 'ERR_RINGWHEEL_CLOSED');

  const destroyed = await start(t);
  const spinning = failure(destroyed.run(0, work, 'spin'));
  const reason = new Error('enough');
  await destroyed.destroy(reason);
  t.is(await spinning, reason as never, 'a loop without an end is ended too');
  await destroyed.close();
  t.is((await failure(destroyed.run('any', work, 'square', 1))).code, 'ERR_RINGWHEEL_CLOSED');
});

test('any takes turns and avoids who is busy', async (t) => {
  const pool = await start(t, { size: 3 });
  const busy = failure(pool.run(1, work, 'hang'));
  const used = new Set<unknown>();
  for (let call = 0; call < 12; call++) used.add(await pool.run('any', work, 'member'));
  t.deepEqual([...used].sort(), [0, 2]);
  await pool.destroy();
  await busy;
});

test('the pool runs from source too', async (t) => {
  const pool = await source.ExecutorPool.start({ size: 1 });
  t.is(await pool.run(0, 'data:text/javascript,export const add = (a, b) => a + b', 'add', 40, 2), 42);
  await pool.close();
});

const BUILT = `
  const work = new URL('data:text/javascript,export const add = (a, b) => a + b; export const never = () => new Promise(() => {})');
`;

test('the built package: require, and a forgotten pool that keeps nothing alive', async (t) => {
  const result = await script(`${BUILT}
    const pool = await ringwheel.ExecutorPool.start({ size: 2, setup: work });
    assert.equal(await pool.run(1, work, 'add', 40, 2), 42);
    const path = require('node:path').join(__dirname, 'work.cjs');
    require('node:fs').writeFileSync(path, 'module.exports = { mul: (a, b) => a * b, [["d", "iv"].join("")]: (a, b) => a / b }');
    const url = require('node:url').pathToFileURL(path);
    assert.equal(await pool.run(0, url, 'mul', 6, 7), 42);
    assert.equal(await pool.run(0, url, 'div', 84, 2), 42);
    console.log('end of main');`);
  ended(t, result);
  t.regex(result.stdout, /end of main/);
});

test('a thread that the system refuses is an error, at the start and for a replacement', async (t) => {
  const result = await script(`${BUILT}
    const { ExecutorPool } = ringwheel;
    const threads = require('node:worker_threads');
    const refuse = class { constructor() { throw Object.assign(new Error('EAGAIN'), { code: 'ERR_WORKER_INIT_FAILED' }); } };
    const start = () => settled(ExecutorPool.start({ size: 2, replace: true }));
    const { value: pool } = await start();
    threads.Worker = refuse;
    const { error } = await start();
    assert.equal(error.code, 'ERR_RINGWHEEL_MEMBER');
    assert.match(error.message, /^member 0 of the pool did not start: Error: EAGAIN$/);
    assert.equal(error.cause.code, 'ERR_WORKER_INIT_FAILED');
    const dying = await settled(pool.run(1, 'data:text/javascript,export const exit = () => process.exit(4)', 'exit'));
    assert.match(dying.error.message, /^member 1 of the pool died: its thread ended with exit code 4$/);
    const next = await settled(pool.run(1, work, 'add', 1, 2));
    assert.match(next.error.message, /did not start: Error: EAGAIN, after member 1 of the pool died: its thread ended with exit code 4$/);
    assert.equal(await pool.run('any', work, 'add', 1, 2), 3);
    await pool.close();`);
  ended(t, result);
});

test('the built package: import', async (t) => {
  const path = join(folder, 'pool.mjs');
  writeFileSync(
    path,
    `
    import assert from 'node:assert';
    import { ExecutorPool } from ${JSON.stringify(pathToFileURL(join(root, 'dist/index.mjs')).href)};
    export const me = () => ExecutorPool.member;
    import { isMainThread } from 'node:worker_threads';
    if (isMainThread) {
      const pool = await ExecutorPool.start({ size: 2 });
      assert.deepEqual(await pool.broadcast(new URL(import.meta.url), 'me'), [0, 1]);
      await pool.close();
    }`,
  );
  ended(t, await new Running(process.execPath, [path]).ended);
});

test('a process that exits in the middle of a call does so', async (t) => {
  const result = await script(`${BUILT}
    const pool = await ringwheel.ExecutorPool.start({ size: 2 });
    pool.run(0, work, 'never').catch(() => {});
    pool.run(1, work, 'never').catch(() => {});
    setTimeout(() => process.exit(9), 20);`);
  ended(t, result, 9);
});
