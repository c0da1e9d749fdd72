// Many servers of one process: no warning, nothing left.
import test from 'ava';
import { ended, script } from '../drivers';

test('twenty servers that drain together add no warning', async (t) => {
  const result = await script(`
    const fs = require('node:fs');
    const descriptors = () => fs.readdirSync('/proc/self/fd').length;
    process.on('warning', (warning) => { console.error(warning); process.exit(71); });
    const { FileServer } = ringwheel;
    await (await FileServer.start({ root: __dirname, port: 0, cores: 1 })).close();
    const before = descriptors();
    const servers = await Promise.all(Array.from({ length: 20 }, () => FileServer.start({ root: __dirname, port: 0, cores: 1 })));
    await Promise.all(servers.map((server) => server.close({ deadlineMs: 100 })));
    await sleep(20);
    await Executor.current().close();
    assert.ok(descriptors() <= before + 4);
    assert.strictEqual(process.listenerCount('exit'), 0);`);
  ended(t, result);
});
