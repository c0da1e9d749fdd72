// Pools that end in the middle of work, again and again: nothing hangs, crashes or stays open.
import test from 'ava';
import { ended, script } from '../drivers';

test('pools destroyed with operations in flight leave no thread and no descriptor', async (t) => {
  const result = await script(
    `
    const { ExecutorPool } = ringwheel;
    const { readdirSync, writeFileSync } = require('node:fs');
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
    const held = () => readdirSync('/proc/self/fd').length + readdirSync('/proc/self/task').length;
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
