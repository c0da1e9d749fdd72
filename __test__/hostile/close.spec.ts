// The executor's close while something waits that nothing will serve any more: every promise still settles.
import test from 'ava';
import { ended, script } from '../drivers';

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
