// The executor's close while something waits that nothing will serve any more: every promise still settles.
import { join } from 'node:path';
import test from 'ava';
import { ended, folder, script } from '../drivers';
import { root } from '../support/command';

test('who waits for memory that leases hold hears of the close', async (t) => {
  const result = await script(`
    const executor = Executor.start({ memory: 65536 });
    const { execSync } = require('node:child_process');
    const fifo = __filename + '.fifo';
    execSync('mkfifo ' + fifo);
    const pipe = await File.open(fifo, 'r+');
    for (let bytes = 65536; bytes >= 4096; bytes /= 2) {
      for (;;) try { executor.lease(bytes); } catch { break; }
    }
    const first = settled(pipe.read(new Uint8Array(10)));
    const second = settled(pipe.read(new Uint8Array(10)));
    await sleep(20);
    await executor.close();
    assert.ok((await first).error);
    assert.ok((await second).error);`);
  ended(t, result);
});

test('a transfer of many ranges is awaited whole', async (t) => {
  const result = await script(`
    const fs = require('node:fs');
    const bytes = Buffer.alloc(8 << 20, 'ringwheel');
    fs.writeFileSync(__filename + '.bin', bytes);
    const file = await File.open(__filename + '.bin');
    const target = new Uint8Array(bytes.length);
    const reading = file.readAt(target, 0);
    await Executor.current().close();
    assert.strictEqual(await reading, bytes.length);
    assert.ok(bytes.equals(target));`);
  ended(t, result);
});

test('what takes several calls hears of a close between any two of them', async (t) => {
  const result = await script(`
    const fs = require('node:fs');
    const { writeFile, readdir } = require(${JSON.stringify(join(root, 'dist/fs.js'))});
    const directory = fs.mkdtempSync(${JSON.stringify(join(folder, 'closed-'))});
    const path = directory + '/file';
    const data = new Uint8Array(4 << 20).fill(7);
    for (const way of ['writeFile', 'writeFileAtomic', 'readdir']) {
      for (let turns = 0; turns < 6; turns++) {
        fs.writeFileSync(path, 'old');
        const executor = Executor.current();
        const work = { writeFile, writeFileAtomic: ringwheel.writeFileAtomic, readdir: () => readdir(directory, { recursive: true }) }[way];
        const done = settled(work(path, data));
        for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
        await executor.close();
        const { error } = await done;
        if (error !== undefined) assert.strictEqual(error.code, 'ERR_RINGWHEEL_CLOSED', way + ' ' + turns + ': ' + error.stack);
        if (way === 'writeFileAtomic') assert([3, data.length].includes(fs.statSync(path).size));
        assert.deepStrictEqual(fs.readdirSync(directory), ['file']);
      }
    }`);
  ended(t, result);
});
