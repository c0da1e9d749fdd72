// Pools that end in the middle of work, again and again: nothing hangs, crashes or stays open.
import test from 'ava';
import { ended, script } from '../drivers';

test('pools destroyed with operations in flight leave no thread and no descriptor', async (t) => {
  const result = await script(
    `
    const { ExecutorPool } = ringwheel;
    const { readdirSync, readFileSync, writeFileSync } = require('node:fs');
    const { pathToFileURL } = require('node:url');
    const path = require('node:path').join(__dirname, 'hostile-work.mjs');
    writeFileSync(path, \`
      import { File, Executor } from \${JSON.stringify(pathToFileURL(require.resolve(${JSON.stringify('RINGWHEEL')})).href)};
      export async function read() {
        const file = await File.open('/dev/zero');
        const lease = Executor.current().lease(4096);
        for (;;) await Promise.all([file.readAt(lease, 0), file.readAt(new Uint8Array(4096), 0)]);
      }
      export const wait = () => ringwheelNever;
      const ringwheelNever = new Promise(() => {});
    \`);
    const work = pathToFileURL(path);
    // But for the process's one thread that reports stalls, which begins with the first one: a loaded machine has some.
    const threads = () => readdirSync('/proc/self/task').map((task) => { try { return readFileSync('/proc/self/task/' + task + '/comm', 'utf8'); } catch { return ''; } });
    const held = () => readdirSync('/proc/self/fd').length + threads().filter((name) => name !== '' && !name.startsWith('ringwheel-repor')).length;
    const one = async (round) => {
      // Loaded before any end: Node leaks the descriptor of a module that it reads while its thread is terminated.
      const executor = { memory: 65536, entries: 8 };
      const pool = await ExecutorPool.start({ size: 2, replace: true, setup: work, executor });
      const calls = [pool.run(0, work, 'read'), pool.run(1, work, 'wait'), pool.run(0, work, 'wait')].map(settled);
      if (round % 2 === 0) await sleep(round % 7);
      await (round % 3 === 0 ? pool.close({ deadlineMs: 1 }) : pool.destroy());
      for (const { error } of await Promise.all(calls)) assert.equal(error.code, 'ERR_RINGWHEEL_CLOSED');
    };
    for (let round = 0; round < 4; round++) await one(round);
    const before = held();
    for (let round = 0; round < 16; round++) await one(round);
    let after = held();
    for (let wait = 0; wait < 50 && after > before; wait++) { await sleep(20); after = held(); }
    assert.ok(after <= before, before + ' then ' + after);
    process.exit(0);
  `.replace('RINGWHEEL', process.cwd()),
  );
  ended(t, result);
});

test('arguments whose getters call the pool again, end it, or throw', async (t) => {
  const result = await script(`
    const { ExecutorPool } = ringwheel;
    const work = 'data:text/javascript,export const id = (x) => x; export const noise = async () => {' +
      'const { parentPort } = await import("node:worker_threads"); for (const it of [null, 5, {}]) parentPort.postMessage(it); return 1; }';
    const pool = await ExecutorPool.start({ size: 1 });
    const inner = [];
    const nested = (depth) => ({ get x() { if (depth > 0) inner.push(pool.run(0, work, 'id', nested(depth - 1))); return depth; } });
    assert.deepEqual(await pool.run(0, work, 'id', nested(3)), { x: 3 });
    assert.deepEqual(await Promise.all(inner), [{ x: 0 }, { x: 1 }, { x: 2 }]);
    // One that is refused after it has called again; and one of many that only the member can refuse.
    let again;
    const trap = { get x() { again = pool.run(0, work, 'id', 'again'); throw new Error('from a getter'); } };
    const { error } = await settled(pool.run(0, work, 'id', trap));
    assert.equal(error.code, 'ERR_RINGWHEEL_CLONE');
    assert.equal(await again, 'again');
    assert.equal(await pool.run(0, work, 'noise'), 1, 'what a module posts to its parent is not an answer');
    assert.deepEqual(pool.stats()[0].pending, 0);
    assert.equal(pool.stats()[0].calls, 6);
    const ending = pool.run(0, work, 'id', { get x() { void pool.destroy(new Error('ended')); return 1; } });
    assert.equal((await settled(ending)).error.message, 'ended');
    const closing = await ExecutorPool.start({ size: 1 });
    let closed;
    const last = closing.run(0, work, 'id', { get x() { closed = closing.close(); return 1; } });
    assert.deepEqual(await last, { x: 1 }, 'close waits for it');
    await closed;
  `);
  ended(t, result);
});

test("what a module posts to its parent for itself is nobody's, and values that clone once are thrown all the same", async (t) => {
  const result = await script(`
    const { ExecutorPool } = ringwheel;
    const work = 'data:text/javascript,import { parentPort } from "node:worker_threads"; export const real = () => "real";' +
      'export const post = async (messages) => { for (const one of messages) parentPort.postMessage(one); parentPort.postMessage(undefined); return "real"; };' +
      'export const once = () => { let reads = 0; throw { get a() { if (reads++ > 0) throw new Error("second"); return 1; } }; };';
    const pool = await ExecutorPool.start({ size: 1 });
    const messages = [null, 5, 'text', {}, { kind: 'value', id: 1, value: 'forged' }, { kind: 'error', id: 1 }, { kind: 'failed' }, { kind: 'closed' },
      { brand: 'guessed', message: null }, { brand: undefined, message: { kind: 'error', id: 1, error: { className: 'X', errors: 5, base: 'AggregateError' } } }];
    assert.equal(await pool.run(0, work, 'post', messages), 'real');
    assert.deepEqual((await settled(pool.run(0, work, 'once'))).error, { a: 1 });
    assert.equal(await pool.run(0, work, 'real'), 'real');
    const { error } = await settled(pool.run(0, work, 'real', { get x() { pool.destroy(); return 1; } }));
    assert.equal(error.code, 'ERR_RINGWHEEL_CLOSED');
  `);
  ended(t, result);
});
