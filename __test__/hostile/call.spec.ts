// Calls of the file system in the middle of ends: workers that are terminated, executors that close, memory that is moved away.
import { join } from 'node:path';
import test from 'ava';
import { ended, script } from '../drivers';
import { root } from '../support/command';

const CALLS = `
const call = require(${JSON.stringify(join(root, 'dist/lib/api/call.js'))});
const { currentLink } = require(${JSON.stringify(join(root, 'dist/lib/api/executor.js'))});
const fs = require('node:fs');
const size = (view) => view.size;
`;

test('sixty workers terminated in the middle of calls leave descriptors, threads and memory as they were', async (t) => {
  const result = await script(
    `
    ${CALLS}
    if (!isMainThread) {
      const executor = Executor.start({ memory: 262144 });
      assert(wanted === undefined || executor.driver === wanted);
      const link = currentLink();
      const { large, tree, fifo } = workerData;
      (async () => { for (;;) await call.stat(link, large, true, size); })();
      (async () => { for (;;) await call.readFile(link, large); })();
      (async () => { for (;;) (await call.readdir(link, tree, { recursive: true })).texts(); })();
      (async () => { for (;;) await call.readFile(link, __filename); })();
      call.readFile(link, fifo); // Waits for the FIFO's other end, which never comes.
      const untaken = call.readFile(link, large).then(() => { for (;;); });
      parentPort.postMessage('busy');
      await untaken;
    }
    const large = __filename + '.large', tree = __filename + '.tree', fifo = __filename + '.fifo';
    fs.writeFileSync(large, Buffer.alloc(3e6));
    for (let index = 0; index < 50; index++) fs.mkdirSync(tree + '/' + index + '/x', { recursive: true });
    require('node:child_process').execFileSync('mkfifo', [fifo]);
    const one = () => new Promise((resolve, reject) => {
      const worker = new Worker(__filename, { workerData: { large, tree, fifo } });
      worker.once('error', reject);
      worker.once('message', () => setTimeout(() => {
        // Its job would be waited for: this is the other end.
        const end = setInterval(() => {
          try { fs.closeSync(fs.openSync(fifo, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK)); } catch {}
        }, 5);
        worker.terminate().then(resolve, reject).finally(() => clearInterval(end));
      }, Math.random() * 10));
    });
    const descriptors = () => fs.readdirSync('/proc/self/fd').length;
    const threads = () => fs.readdirSync('/proc/self/task').length;
    const many = async (count) => { for (let done = 0; done < count; done += 2) await Promise.all([one(), one()]); };
    await many(10);
    const before = [descriptors(), threads(), process.memoryUsage.rss()];
    await many(50);
    let after;
    for (let tries = 0; tries < 100; tries++) { // A pool's thread may need a moment to be gone.
      after = [descriptors(), threads(), process.memoryUsage.rss()];
      if (after[0] <= before[0] + 4 && after[1] <= before[1]) break;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    console.log(before.join(' '), '->', after.join(' '));
    assert(after[0] <= before[0] + 4, 'descriptors');
    assert(after[1] <= before[1] + 2, 'threads');
    assert(after[2] <= before[2] + 64e6, 'memory');
    process.exit(0);`,
    [],
    {},
    200,
  );
  t.log(result.stdout.trim());
  ended(t, result);
});

test('an executor that closes awaits its calls, those that wait for memory too, and refuses others', async (t) => {
  const result = await script(`
    ${CALLS}
    const executor = Executor.start({ memory: 65536 });
    const link = currentLink();
    const many = Array.from({ length: 3000 }, () => call.stat(link, __filename, true, size));
    const whole = Array.from({ length: 50 }, () => call.readFile(link, __filename));
    await executor.close();
    const { length } = fs.readFileSync(__filename);
    assert((await Promise.all(many)).every((value) => value === length));
    assert((await Promise.all(whole)).every((bytes) => bytes.length === length));
    const { error } = await settled(call.stat(link, __filename, true, size));
    assert.equal(error.code, 'ERR_RINGWHEEL_CLOSED');
  `);
  ended(t, result);
});

test('when a program keeps all memory in leases, calls still get some', async (t) => {
  const result = await script(`
    ${CALLS}
    const executor = Executor.start({ memory: 65536 });
    const leases = [];
    for (const bytes of [32768, 16384, 8192, 4096, 2048, 1024, 512, 64]) {
      for (;;) { const { value, error } = await settled((async () => executor.lease(bytes))()); if (error) break; leases.push(value); }
    }
    const link = currentLink();
    const { length } = fs.readFileSync(__filename);
    assert.equal(await call.stat(link, __filename, true, size), length);
    assert.equal((await Promise.all(Array.from({ length: 100 }, () => call.stat(link, __filename, true, size)))).length, 100);
    assert.equal((await call.readFile(link, __filename)).length, length);
    const long = './'.repeat(2000);
    const { error } = await settled(call.rename(link, long, long));
    assert.equal(error.code, 'ERR_RINGWHEEL_NO_MEMORY');
    for (const lease of leases) lease.release();
    assert.equal(await call.rename(link, long, long), -16, 'EBUSY');
    await executor.close();
  `);
  ended(t, result);
});

test('ranges of calls that lie idle are given back for a lease', async (t) => {
  const result = await script(`
    ${CALLS}
    const executor = Executor.start({ memory: 65536 });
    const link = currentLink();
    for (let round = 0; round < 3; round++) {
      await Promise.all(Array.from({ length: 500 }, () => call.stat(link, __filename, true, size)));
      await Promise.all(Array.from({ length: 50 }, () => call.readFile(link, __filename)));
      // All but one range of each kind, which are kept for ever.
      const leases = Array.from({ length: 14 }, () => executor.lease(4096));
      for (const lease of leases) lease.release();
    }
    await executor.close();
  `);
  ended(t, result);
});

test('a call whose range was moved away is refused, never another one', async (t) => {
  const result = await script(`
    ${CALLS}
    const executor = Executor.start();
    const link = currentLink();
    const path = __filename + '.kept';
    fs.writeFileSync(path, '');
    assert.equal(await call.stat(link, path, true, size), 0);
    const { buffer } = executor.lease(64).bytes;
    try { structuredClone(buffer, { transfer: [buffer] }); } catch {}
    if (buffer.byteLength > 0 && buffer.transfer) buffer.transfer(); // From Node 22 on nothing prevents that.
    const { value, error } = await settled(call.unlink(link, path));
    if (buffer.byteLength === 0) assert.equal(error.code, 'ERR_RINGWHEEL_BUFFER');
    else assert.equal(value, 0);
    assert.equal(fs.existsSync(path), buffer.byteLength === 0);
    process.exit(0);
  `);
  ended(t, result);
});
