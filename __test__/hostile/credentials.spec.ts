// setuid after the start: nothing may be opened with the rights of before (libuv's CVE-2024-22017).
import test from 'ava';
import { ended, script } from '../drivers';

const BODY = `
  const fs = require('node:fs');
  fs.writeFileSync(__filename + '.secret', 'x', { mode: 0o600 });
  const before = await File.open(__filename + '.secret');
  process.setgroups([]);
  process.setgid(65534);
  process.setuid(65534);
  const { error } = await settled(File.open(__filename + '.secret'));
  assert.ok(['EACCES', 'ERR_RINGWHEEL_DRIVER'].includes(error?.code), String(error));
  assert.strictEqual(await before.readAt(new Uint8Array(5), 0), 1);
  await before.close();
  await Executor.current().close();
  assert.strictEqual((await settled(File.open(__filename + '.secret'))).error.code, 'EACCES');`;

test('after setuid a file of root is not opened', async (t) => {
  if (process.getuid?.() !== 0) {
    t.pass('skip: setuid: needs root');
    return;
  }
  ended(t, await script(BODY));
});

test('after setuid a submission thread opens nothing either', async (t) => {
  if (process.getuid?.() !== 0 || process.env.RINGWHEEL_DRIVER === 'poll') {
    t.pass('skip: setuid: needs root and uring');
    return;
  }
  const start = `
    try { Executor.start({ driver: 'uring', sqpoll: { force: true } }); } catch (error) {
      assert.strictEqual(error.code, 'ERR_RINGWHEEL_DRIVER'); // No io_uring here.
    }`;
  ended(t, await script(start + BODY));
});
