// The end of a process at the wrong moment, and exceptions where they hurt: each in a process of its own.
import test from 'ava';
import { ended, script } from '../drivers';

const BUSY = `
  const file = await File.open(__filename);
  const executor = Executor.current();
  for (let index = 0; index < 50; index++) {
    const lease = executor.lease(4096);
    (async () => { for (;;) await file.readAt(lease, 0); })().catch(() => {});
  }
  sleep(60_000).catch(() => {});
`;

test('process.exit with operations in flight', async (t) => {
  for (const when of [
    'process.exit(3);',
    'setTimeout(() => process.exit(3), 5); await sleep(1000);',
    'await sleep(2); setImmediate(() => process.exit(3)); await sleep(1000);',
    'file.readAt(new Uint8Array(100), 0).then(() => process.exit(3)); await sleep(1000);',
  ]) {
    ended(t, await script(BUSY + when), 3);
  }
});

test('process.exit in an exit handler, and operations begun there', async (t) => {
  const result = await script(`
    const file = await File.open(__filename);
    process.on('exit', () => { file.readAt(new Uint8Array(1), 0); sleep(5); file.close(); process.exitCode = 4; });`);
  ended(t, result, 4);
});

test('operations begun in beforeExit keep the process alive once more', async (t) => {
  const result = await script(`
    let rounds = 0;
    process.on('beforeExit', async () => { if (rounds++ < 3) await sleep(2); });
    process.on('exit', () => console.log(rounds));
    await sleep(1);`);
  ended(t, result);
  t.is(result.stdout, '4\n');
});

test('a listener that collects garbage hears beforeExit once', async (t) => {
  const fs = JSON.stringify(require.resolve('../../dist/fs.js'));
  for (const work of [
    'await sleep(1);',
    'await (await File.open(__filename)).close();',
    `await require(${fs}).stat(__filename);`,
    `await (await require(${fs}).open(__filename)).close();`,
    `await require(${fs}).readFile(process.execPath);`,
  ]) {
    const result = await script(
      `let rounds = 0;
      process.on('beforeExit', () => { rounds++; gc(); });
      process.on('exit', () => console.log(rounds));
      ${work}`,
      ['--expose-gc'],
    );
    ended(t, result);
    t.is(result.stdout, '1\n', work);
  }
});

test('an uncaught exception in a continuation reaches uncaughtException, and the executor lives on', async (t) => {
  const result = await script(`
    const file = await File.open(__filename);
    const seen = [];
    process.on('uncaughtException', (error) => seen.push(error.message));
    for (let index = 0; index < 20; index++) {
      await file.readAt(new Uint8Array(1), 0);
      process.nextTick(() => { throw new Error('tick ' + index); });
      queueMicrotask(() => { throw new Error('task ' + index); });
      await sleep(1);
    }
    assert.strictEqual(seen.length, 40, String(seen));
    assert.strictEqual(await file.readAt(new Uint8Array(5), 0), 5);
    await file.close();`);
  ended(t, result);
});

test('an unhandled rejection ends the process as it ends any other', async (t) => {
  const result = await script(`File.open('/nonexistent'); await sleep(1000);`);
  ended(t, result, 1);
  t.regex(result.stderr, /ENOENT: no such file or directory, open '\/nonexistent'/);
  const handled = await script(`
    let seen;
    process.on('unhandledRejection', (error) => { seen = error; });
    File.open('/nonexistent');
    for (let round = 0; round < 500 && seen === undefined; round++) await sleep(10);
    assert.strictEqual(seen.code, 'ENOENT');
    const late = File.open('/nonexistent');
    await assert.rejects(late);`);
  ended(t, handled);
});

test('a signal ends a process with operations in flight', async (t) => {
  const result = await script(`${BUSY} process.kill(process.pid, 'SIGTERM'); await sleep(1000);`);
  t.is(result.signal, 'SIGTERM');
});

test('a child that is forked while operations run does not disturb them', async (t) => {
  const result = await script(`
    const { execFileSync } = require('node:child_process');
    const file = await File.open(__filename);
    const reads = Array.from({ length: 200 }, () => file.readAt(new Uint8Array(64), 0));
    const output = execFileSync(process.execPath, ['-e', 'console.log(require("fs").readdirSync("/proc/self/fd").length)'], { encoding: 'utf8' });
    assert.deepStrictEqual(new Set(await Promise.all(reads)), new Set([64]));
    assert(Number(output) < 40, 'descriptors are not inherited');
    await file.close();`);
  ended(t, result);
});

test('a blocked event loop delays completions and loses none', async (t) => {
  const result = await script(`
    const file = await File.open(__filename);
    const reads = [];
    for (let index = 0; index < 6000; index++) reads.push(file.readAt(new Uint8Array(8), index % 100));
    const until = Date.now() + 100;
    while (Date.now() < until);
    for (let index = 0; index < 6000; index++) reads.push(sleep(index % 7));
    assert.strictEqual((await Promise.all(reads)).length, 12_000);
    await file.close();`);
  ended(t, result);
});
