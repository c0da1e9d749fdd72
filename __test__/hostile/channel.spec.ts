// Messages that change while they wait, lie about themselves or cannot be sent: each ends for itself, with a code.
import test from 'ava';
import { ended, script } from '../drivers';

test('arrays that are detached or resized while they wait for room hurt nobody else', async (t) => {
  const result = await script(`
    const { Channel } = ringwheel;
    for (const spoil of ['detach', 'grow', 'shrink']) {
      const [one, two] = Channel.pair({ kind: 'bytes', capacity: 64 });
      await one.send(new Uint8Array(50)); // Now it is full.
      const array = new Uint8Array(new ArrayBuffer(8, { maxByteLength: 4096 }));
      const spoilt = settled(one.send(array));
      const next = one.send(Uint8Array.of(9));
      if (spoil === 'detach') structuredClone(array.buffer, { transfer: [array.buffer] });
      else array.buffer.resize(spoil === 'grow' ? 4096 : 1);
      assert.equal((await two.receive()).length, 50);
      assert.equal((await spoilt).error?.code, 'ERR_RINGWHEEL_BUFFER', spoil);
      await next;
      assert.deepEqual([...(await two.receive())], [9], spoil);
      one.close();
      two.close();
    }
  `);
  ended(t, result);
});

test('an array is as long as it is, whatever it says, and what is none is refused', async (t) => {
  const result = await script(`
    const { Channel } = ringwheel;
    const [one, two] = Channel.pair({ kind: 'bytes', capacity: 1024 });
    for (const byteLength of [1, 4000, -100, NaN, { valueOf() { throw new Error('asked'); } }]) {
      const array = Object.defineProperties(new Uint8Array(200).fill(7), { byteLength: { value: byteLength }, length: { value: byteLength } });
      await one.send(array);
      await one.send(Uint8Array.of(1));
      assert.deepEqual(await two.receive(), new Uint8Array(200).fill(7));
      assert.deepEqual(await two.receive(), Uint8Array.of(1));
    }
    for (const not of [new Proxy(new Uint8Array(4), {}), Object.create(Uint8Array.prototype), new DataView(new ArrayBuffer(4)), null]) {
      assert.throws(() => one.trySend(not), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
    }
    const [values] = Channel.pair();
    for (const not of [() => 1, Symbol('x'), { get a() { throw null; } }]) {
      assert.throws(() => values.trySend(not), { code: 'ERR_RINGWHEEL_CLONE' });
      assert.equal((await settled(values.send(not))).error.code, 'ERR_RINGWHEEL_CLONE');
    }
  `);
  ended(t, result);
});

test('what looks like a port, and memory that was written over before its first use', async (t) => {
  const result = await script(`
    const { Channel } = ringwheel;
    for (const memory of [Object.create(SharedArrayBuffer.prototype), new Proxy(new SharedArrayBuffer(4096), {}), new ArrayBuffer(4096)]) {
      assert.throws(() => Channel.open({ memory, side: 0 }), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
    }
    for (const [word, value] of [[1, 2], [1, 99], [2, 1 << 20], [2, -1]]) {
      const [one] = Channel.pair({ kind: 'numbers', capacity: 64 });
      const port = Channel.open(one);
      new Int32Array(one.memory)[word] = value;
      assert.equal((await settled(port.send(1))).error.code, 'ERR_RINGWHEEL_CHANNEL');
      port.close();
    }
  `);
  ended(t, result);
});
