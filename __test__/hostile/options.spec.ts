// Options that lie: inherited, or with getters, or with a signal that is none or throws. Nothing is used that was not checked,
// and an operation that is refused leaves nothing behind that would disturb others.
import test from 'ava';
import { ended, script } from '../drivers';

test('an inherited signal that is none is refused before the open begins', async (t) => {
  const result = await script(`
    const refused = await settled(File.open(__filename, 'r', Object.create({ signal: 3 })));
    assert.strictEqual(refused.error.code, 'ERR_RINGWHEEL_INVALID_OPTION');
    const fake = await settled(File.open(__filename, 'r', { signal: Object.create(AbortSignal.prototype) }));
    assert.strictEqual(fake.error.code, 'ERR_RINGWHEEL_INVALID_OPTION');
    const mode = await settled(File.open(__filename, 'r', Object.create({ mode: 'x' })));
    assert.strictEqual(mode.error.code, 'ERR_RINGWHEEL_INVALID_OPTION');
    assert.strictEqual(Executor.current().stats().pending, 0);
    const file = await File.open(__filename, 'r', Object.create({ mode: 0o600 }));
    assert.strictEqual(Executor.current().stats().files, 1);
    await file.close();`);
  ended(t, result);
});

test('a getter is asked once', async (t) => {
  const result = await script(`
    const file = await File.open(__filename);
    let asked = 0;
    const lying = { get position() { return asked++ === 0 ? 0 : -7; } };
    assert.strictEqual((await file.read(new Uint8Array(5), lying)), 5);
    assert.strictEqual(asked, 1);
    await file.close();`);
  ended(t, result);
});

test('a signal whose properties throw disturbs nobody', async (t) => {
  const result = await script(`
    const file = await File.open(__filename);
    const controller = new AbortController();
    for (const name of ['aborted', 'reason', 'addEventListener', 'removeEventListener', 'throwIfAborted']) {
      Object.defineProperty(controller.signal, name, { get() { throw new Error('mine'); } });
    }
    const lease = Executor.current().lease(64);
    const all = await Promise.all([
      file.readAt(new Uint8Array(10), 0),
      file.read(new Uint8Array(10), { position: 0, signal: controller.signal }),
      file.read(lease, { position: 0, signal: controller.signal }),
      sleep(1, { signal: controller.signal }),
      file.readAt(new Uint8Array(10), 0),
    ]);
    assert.deepStrictEqual(all, [10, 10, 64, undefined, 10]);
    const reason = new Error('enough');
    const sleeping = settled(sleep(60_000, { signal: controller.signal }));
    controller.abort(reason);
    assert.strictEqual((await sleeping).error, reason);
    await file.close();`);
  ended(t, result);
});

test('an array is as long as it is, whatever it says, and its methods are not called', async (t) => {
  const result = await script(`
    const file = await File.open(__filename + '.out', 'w+');
    for (const says of [2 ** 32 + 4, 1e9, -5, Number.NaN, 0.5, '10', 0]) {
      class Liar extends Uint8Array {
        get length() { return says; }
        set() { throw new Error('mine'); }
        subarray() { throw new Error('mine'); }
      }
      const liar = new Liar(10).fill(7);
      assert.strictEqual(await file.writeAt(liar, 0), 10);
      assert.strictEqual(await file.write(liar, { position: 0 }), 10);
      liar.fill(0);
      assert.strictEqual(await file.readAt(liar, 0), 10);
      assert.ok(liar.every((byte) => byte === 7));
      liar.fill(0);
      assert.strictEqual(await file.read(liar, { position: 0, signal: new AbortController().signal }), 10);
      assert.ok(liar.every((byte) => byte === 7));
      assert.strictEqual(await file.size(), 10);
    }
    assert.throws(() => new Executor({}), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
    await file.close();`);
  ended(t, result);
});
