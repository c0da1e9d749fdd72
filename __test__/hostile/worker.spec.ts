// worker_threads: created, used and terminated in the middle of everything, hundreds of times (INV-9).
import test from 'ava';
import { ended, script } from '../drivers';

test('five hundred workers terminated with operations in flight leave descriptors and memory as they were', async (t) => {
  t.timeout(300_000, 'a worker costs 20 ms on an idle machine, ten times that on a busy one');
  const result = await script(
    `
    const fs = require('node:fs');
    if (!isMainThread) {
      const executor = Executor.start({ memory: 262144 });
      assert(wanted === undefined || executor.driver === wanted);
      const file = await File.open(__filename), pipe = await File.open(workerData, 'r+');
      for (let index = 0; index < 2; index++) {
        const lease = executor.lease(4096);
        (async () => { for (;;) await file.readAt(lease, 0); })();
        (async () => { for (;;) await file.readAt(new Uint8Array(4096), 0); })();
        (async () => { for (;;) await sleep(1); })();
        pipe.read(new Uint8Array(16)); // Never ends by itself.
      }
      await sleep(2);
      parentPort.postMessage('busy');
      await sleep(1e6);
    }
    const path = __filename + '.pipe';
    require('node:child_process').execFileSync('mkfifo', [path]);
    const one = () => new Promise((resolve, reject) => {
      const worker = new Worker(__filename, { workerData: path });
      worker.once('error', reject);
      worker.once('message', () => setTimeout(() => worker.terminate().then(resolve, reject), Math.random() * 3));
    });
    const descriptors = () => fs.readdirSync('/proc/self/fd').length;
    // A hundred show a leak as well, where a busy machine has no time for five hundred.
    const late = performance.now() + 150_000;
    const many = async (count) => {
      for (let done = 0; done < count && (done < 100 || performance.now() < late); done += 2) await Promise.all([one(), one()]);
    };
    await many(40);
    const before = [descriptors(), process.memoryUsage.rss()];
    await many(500);
    const after = [descriptors(), process.memoryUsage.rss()];
    console.log(before.join(' '), '->', after.join(' '));
    fs.unlinkSync(path);
    assert(after[0] <= before[0] + 4, 'descriptors');
    assert(after[1] <= before[1] + 64e6, 'memory');
    process.exit(0);`,
    [],
    {},
    280,
  );
  t.log(result.stdout.trim());
  ended(t, result);
});

test('a worker that is terminated before it did anything, and one that returns with work in flight', async (t) => {
  const result = await script(`
    if (!isMainThread) {
      if (workerData === 'returns') {
        const file = await File.open(__filename);
        await file.readAt(new Uint8Array(4), 0);
        sleep(60_000, { ref: false }).catch(() => {});
        return;
      }
      if (workerData === 'exits') { const file = await File.open(__filename); file.readAt(new Uint8Array(4), 0); process.exit(0); }
      if (workerData === 'throws') { await sleep(1); queueMicrotask(() => { throw new Error('boom'); }); await sleep(1000); }
      if (workerData === 'spins') { Executor.current(); sleep(1); parentPort.postMessage('go'); for (;;); }
      Executor.current();
      await sleep(60_000);
    }
    const run = (kind, end) => new Promise((resolve) => { const worker = new Worker(__filename, { workerData: kind }); let error; worker.on('error', (thrown) => { error = thrown; }); worker.on('exit', (code) => resolve({ code, error })); end?.(worker); });
    for (let round = 0; round < 5; round++) {
      assert.strictEqual((await run('returns')).code, 0);
      assert.strictEqual((await run('exits')).code, 0);
      assert.strictEqual((await run('throws')).error.message, 'boom');
      await run('spins', (worker) => worker.once('message', () => worker.terminate()));
      await run('waits', (worker) => worker.terminate());
      await run('waits', (worker) => worker.once('online', () => worker.terminate()));
    }
    await sleep(1);`);
  ended(t, result);
});

test('each thread has an executor of its own, and a closed one ends with its worker', async (t) => {
  const result = await script(`
    if (!isMainThread) {
      const file = await File.open(__filename);
      const lease = Executor.current().lease(64);
      await file.readAt(lease, 0);
      parentPort.postMessage(Buffer.from(lease.bytes).toString());
      await Executor.current().close();
      return;
    }
    const file = await File.open(__filename);
    const lease = Executor.current().lease(64);
    await file.readAt(lease, 0);
    const mine = Buffer.from(lease.bytes).toString();
    const theirs = await Promise.all(Array.from({ length: 8 }, () => new Promise((resolve, reject) => { const worker = new Worker(__filename); worker.once('message', resolve); worker.once('error', reject); })));
    assert.deepStrictEqual(new Set(theirs), new Set([mine]));
    await file.close();`);
  ended(t, result);
});

test('a file server started in a worker ends with it', async (t) => {
  const result = await script(`
    if (!isMainThread) {
      const server = await ringwheel.FileServer.start({ root: __dirname, port: 0, cores: 1 });
      parentPort.postMessage(server.port);
      return;
    }
    const worker = new Worker(__filename);
    const port = await new Promise((resolve, reject) => { worker.once('message', resolve); worker.once('error', reject); });
    const answer = await fetch('http://127.0.0.1:' + port + '/none');
    assert.strictEqual(answer.status, 404);
    await answer.arrayBuffer();
    await worker.terminate();
    await assert.rejects(fetch('http://127.0.0.1:' + port + '/none'));`);
  ended(t, result);
});
