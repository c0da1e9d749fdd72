// Limits of the system that are reached: descriptors and memory. Each is an error with a code, what runs goes on, and with room again
// everything works.
import test from 'ava';
import { ended } from '../drivers';
import { under } from '../support/faults';

/** Runs a script with limits of the shell's `ulimit`; with `fill()` it has all descriptors that are left, until `release()`. */
const limited = (limits: string, body: string) =>
  under(
    `${limits}; exec "$0" "$1"`,
    `
    const held = [];
    const fill = () => { try { for (;;) held.push(fs.openSync('/dev/null')); } catch (error) { assert.strictEqual(error.code, 'EMFILE'); } };
    const release = () => held.splice(0).forEach((fd) => fs.closeSync(fd));
    const code = async (promise) => (await settled(promise)).error?.code;
    ${body}`,
  );

test('with no descriptor left, calls reject, and tasks, timers and open files go on', async (t) => {
  const result = await limited(
    'ulimit -n 128',
    `
    const executor = Executor.current();
    const file = await File.open(__filename);
    const queue = new TaskQueue({ latency: { maxMs: 5 } });
    let rounds = 0, stop = false;
    const witness = queue.spawn(async () => { while (!stop) { rounds++; await sleep(1); await executor.yieldIfNeeded(); } });
    await sleep(5);
    fill();
    for (let round = 0; round < 3; round++) {
      assert.strictEqual(await code(File.open(__filename)), 'EMFILE');
      assert.strictEqual(await code(queue.run(() => File.open(__filename))), 'EMFILE');
      assert.strictEqual(await file.readAt(new Uint8Array(4), 0), 4);
    }
    const { FileServer } = ringwheel;
    assert.match(String(await code(FileServer.start({ root: '.', port: 0 }))), /^(EMFILE|ERR_RINGWHEEL_SERVER)$/);
    const other = new TaskQueue();
    assert.strictEqual(typeof await other.spawn(() => executor.needPreempt()), 'boolean');
    const before = rounds;
    while (rounds < before + 3) await sleep(1);
    release();
    const again = await File.open(__filename);
    await again.close();
    const server = await FileServer.start({ root: '.', port: 0, cores: 1 });
    await server.close();
    stop = true;
    await witness;`,
  );
  ended(t, result);
});

test('an executor that finds no descriptor is an error that says what helps, and starts once there is room', async (t) => {
  const result = await limited(
    'ulimit -n 128',
    `
    fill();
    const { message } = (await settled(Promise.resolve().then(() => Executor.start()))).error;
    assert.match(message, /^the native binary cannot be loaded: EMFILE.*ulimit -n/);
    release();
    ringwheel.doctor(); // the addon is loaded
    fill();
    held.splice(0, 2).forEach((fd) => fs.closeSync(fd));
    assert.throws(() => Executor.start(), (error) => error.code === 'ERR_RINGWHEEL_DRIVER' && /ulimit -n/.test(error.message));
    fill();
    for (const start of [() => Executor.start(), () => Executor.current(), () => new TaskQueue()]) {
      assert.throws(start, (error) => error.code === 'ERR_RINGWHEEL_DRIVER' && /ulimit -n/.test(error.message));
    }
    assert.match((await settled(sleep(1))).error?.message ?? 'nothing', /ulimit -n/);
    release();
    await sleep(1);
    assert.strictEqual(Executor.current().driver, wanted ?? Executor.current().driver);
    assert.throws(() => Executor.start(), { code: 'ERR_RINGWHEEL_EXECUTOR_RUNNING' });`,
  );
  ended(t, result);
});

test('memory that cannot be had is an error: of the arena, and of leases', async (t) => {
  const result = await limited(
    'ulimit -v 4194304',
    `
    const spare = Number(/VmSize:\\s+(\\d+)/.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
    const room = 4194304 * 1024 - spare;
    const hogs = [];
    for (let left = room - 600 * 2 ** 20; left > 0; left -= 2 ** 28) hogs.push(new ArrayBuffer(2 ** 28));
    assert.throws(() => Executor.start({ memory: 2 ** 30 }), (error) => error.code === 'ERR_RINGWHEEL_DRIVER' && /memory/.test(error.message));
    const executor = Executor.start({ memory: 2 ** 20 });
    assert.throws(() => executor.lease(2 ** 21), { code: 'ERR_RINGWHEEL_NO_MEMORY' });
    const leases = [];
    try { for (;;) leases.push(executor.lease(4096)); } catch (error) { assert.strictEqual(error.code, 'ERR_RINGWHEEL_NO_MEMORY'); }
    const file = await File.open(__filename);
    const waits = settled(file.readAt(new Uint8Array(64), 0)); // a copy goes through the arena: it waits, or has room of its own
    await sleep(1);
    for (const lease of leases) lease.release();
    assert.strictEqual((await waits).value, 64);
    const lease = executor.lease(4096);
    assert.strictEqual(await new TaskQueue().run(() => file.readAt(lease, 0)), Math.min(4096, await file.size()));`,
  );
  ended(t, result);
});
