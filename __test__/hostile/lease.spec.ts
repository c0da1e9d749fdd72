// Views of a lease that outlive it: after release, after close, in another executor's time (INV-3).
import test from 'ava';
import { ended, script } from '../drivers';

test('a view kept after release cannot reach memory outside the arena, and is empty after close', async (t) => {
  const result = await script(`
    const executor = Executor.current();
    const lease = executor.lease(4096);
    const view = lease.bytes;
    const others = new Uint8Array(view.buffer);
    lease.release();
    view.fill(1); // Its own thread's arena: may be another lease's bytes, never anybody else's memory.
    const file = await File.open(__filename);
    assert((await file.readAt(new Uint8Array(100), 0)) === 100);
    await executor.close();
    assert.strictEqual(view.length, 0);
    assert.strictEqual(others.length, 0);
    assert.strictEqual(view[0], undefined);
    view[0] = 5;
    assert.throws(() => lease.bytes, { code: 'ERR_RINGWHEEL_LEASE' });
    const second = Executor.current();
    const again = second.lease(4096);
    assert.strictEqual(view.length, 0, 'a new executor does not bring it back');
    const stale = await settled(file.readAt(again, 0));
    assert.strictEqual(stale.error.code, 'ERR_RINGWHEEL_CLOSED');
    const open = await File.open(__filename);
    const foreign = await settled(open.readAt(lease, 0));
    assert.strictEqual(foreign.error.code, 'ERR_RINGWHEEL_LEASE');
    await open.close();
    await second.close();`);
  ended(t, result);
});

test('a lease of a closed executor is refused by the next one, even when it was never released', async (t) => {
  const result = await script(`
    const first = Executor.current();
    const lease = first.lease(4096);
    await first.close();
    const file = await File.open(__filename);
    for (const call of [() => file.readAt(lease, 0), () => file.write(lease), () => file.read(lease, { signal: new AbortController().signal })]) {
      const { error } = await settled(call());
      assert.strictEqual(error.code, 'ERR_RINGWHEEL_LEASE');
    }
    lease.release();
    await file.close();`);
  ended(t, result);
});

test('many executors one after the other leave descriptors and memory as they were', async (t) => {
  const result = await script(
    `
    const fs = require('node:fs');
    const descriptors = () => fs.readdirSync('/proc/self/fd').length;
    const mappings = () => fs.readFileSync('/proc/self/maps', 'utf8').split('\\n').length;
    const one = async () => {
      const executor = Executor.start({ memory: 65536 });
      const file = await File.open('/dev/zero');
      const lease = executor.lease(4096);
      await file.readAt(lease, 0);
      await executor.close();
    };
    const measure = async (count) => {
      for (let round = 0; round < count; round++) {
        await one();
        if (round % 25 === 0) globalThis.gc(); // Garbage that waits for its collector is no leak.
      }
      for (let round = 0; round < 4; round++) { globalThis.gc(); await new Promise((resolve) => setTimeout(resolve, 20)); }
      return [descriptors(), mappings(), process.memoryUsage.rss()];
    };
    const before = await measure(1200); // The allocator's own pools grow until then: 60 to 250 MB.
    const after = await measure(500);
    console.log(before.join(' '), '->', after.join(' '));
    assert(after[0] <= before[0] + 2, 'descriptors');
    assert(after[1] <= before[1] + 30, 'mappings');
    assert(after[2] <= before[2] + 40e6, 'memory: 80 KB an executor would be a leak');`,
    ['--expose-gc'],
  );
  t.log(result.stdout.trim());
  ended(t, result);
});
