// One call of the loop tells of completions, timers and other threads at once: what a callback throws there loses none of it.
import test from 'ava';
import { ended, script } from '../drivers';

test('a timer that throws loses no message, no read, no yield and no other timer of its call', async (t) => {
  const result = await script(
    `
    const { Channel, Timer } = ringwheel;
    assert(wanted === undefined || Executor.current().driver === wanted);
    const thrown = [];
    process.on('uncaughtException', (error) => thrown.push(error.message));
    const pairs = Array.from({ length: 3 }, () => Channel.pair({ kind: 'numbers', capacity: 64 }));
    const go = new Int32Array(new SharedArrayBuffer(8));
    const worker = new Worker(\`
      const { Channel } = require(\${JSON.stringify(require.resolve(${JSON.stringify('RINGWHEEL')}))});
      const { ports, go } = require('node:worker_threads').workerData;
      const mine = ports.map((port) => Channel.open(port));
      for (const port of mine) port.trySend(0); // From now on the other side knows whom to wake.
      for (let round = 1; round <= 5; round++) {
        Atomics.wait(go, 0, round - 1);
        for (const port of mine) port.trySend(round);
        Atomics.store(go, 1, round);
        Atomics.notify(go, 1);
      }\`, { eval: true, workerData: { ports: pairs.map(([, there]) => there), go } });
    const file = await File.open(__filename);
    const queue = new TaskQueue();
    for (const [here] of pairs) assert.equal(await here.receive(), 0);
    for (let round = 1; round <= 5; round++) {
      let fired = 0;
      const received = pairs.map(([here]) => here.receive());
      await sleep(2); // They wait: the loop has told.
      const work = [file.readAt(new Uint8Array(8), 0), sleep(1), queue.spawn(() => round)];
      for (let index = 0; index < 3; index++) new Timer(1, () => { fired++; throw new Error('round ' + round); });
      Atomics.store(go, 0, round);
      Atomics.notify(go, 0);
      Atomics.wait(go, 1, round - 1);
      for (const end = performance.now() + 5; performance.now() < end; ); // All are due when the loop comes round.
      assert.deepEqual(await Promise.all([...received, ...work]), [round, round, round, 8, undefined, round]);
      while (fired < 3) await sleep(1);
      assert.deepEqual(thrown.splice(0), Array(3).fill('round ' + round));
    }
    await new Promise((resolve) => worker.once('exit', resolve));
    await file.close();
    await queue.close();
  `.replace('RINGWHEEL', process.cwd()),
  );
  ended(t, result);
});
