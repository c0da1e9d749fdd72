// A server that its program does not hold on to goes on serving, as one of node:http's does.
import test from 'ava';
import { ended, script } from '../drivers';

test('a server is not collected while it runs', async (t) => {
  const result = await script(
    `
    const start = async () => (await ringwheel.FileServer.start({ root: __dirname, port: 0, cores: 1 })).url;
    const url = await start();
    for (let i = 0; i < 10; i++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      global.gc();
    }
    const response = await fetch(url + '/none');
    assert.strictEqual(response.status, 404);
    process.exit(0);`,
    ['--expose-gc'],
  );
  ended(t, result);
});
