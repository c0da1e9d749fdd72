// A script that writes noise into the shared memory: rejects, never a crash, a hang or a foreign byte (INV-5).
import test from 'ava';
import { ended, script } from '../drivers';

const START = `
  const { binding } = require(require('node:path').join(require('node:path').dirname(require.resolve(ROOT)), 'lib/wire/binding.js'));
  const addon = binding();
  const start = (array, callback = () => {}) => addon.startExecutor({ driver: wanted ?? 'auto', memory: 65536 }, array, callback, () => {});
`.replace('ROOT', JSON.stringify(`${__dirname}/../../dist/index.js`));

test('memory of the wrong kind or size is refused', async (t) => {
  const result = await script(`${START}
    const bytes = addon.regionBytes();
    for (const wrong of [new Uint8Array(bytes), new Uint8Array(new SharedArrayBuffer(bytes - 8)), new Uint8Array(new SharedArrayBuffer(bytes + 8)),
      new Uint8Array(new SharedArrayBuffer(bytes + 8), 8), new Uint32Array(new SharedArrayBuffer(bytes)), new SharedArrayBuffer(bytes), {}, null, undefined, 'text', 5]) {
      assert.throws(() => start(wrong), /ERR_RINGWHEEL_/);
    }`);
  ended(t, result);
});

test('random commands are rejected or run, each answered at most once', async (t) => {
  const result = await script(`${START}
    const memory = new SharedArrayBuffer(addon.regionBytes());
    const words = new Uint32Array(memory), results = new Int32Array(memory);
    let answers = 0, broken;
    const native = start(new Uint8Array(memory), (what) => {
      broken ??= what;
      while (words[64] !== words[48]) { answers++; words[64] = (words[64] + 1) >>> 0; }
    });
    let seed = 12345;
    const random = () => { seed ^= seed << 13; seed ^= seed >>> 17; seed ^= seed << 5; return seed >>> 0; };
    let tail = 0;
    for (let round = 0; round < 300; round++) {
      for (let index = 0; index < 200; index++) {
        const base = 128 + (tail & 4095) * 16;
        const wild = random() % 4 === 0;
        for (let word = 0; word < 16; word++) words[base + word] = wild ? random() : 0;
        if (!wild) { words[base] = random() % 12; words[base + 1] = random() % 100; for (const word of [2, 3, 4, 5, 6, 7, 8]) words[base + word] = random() % 3; }
        tail = (tail + 1) >>> 0;
      }
      words[16] = tail;
      native.flush();
      await new Promise(setImmediate);
    }
    assert.strictEqual(broken, undefined);
    assert(answers > 1000 && answers <= 60_000, String(answers));
    assert(native.stats().rejects > 1000);
    native.close();`);
  ended(t, result);
});

test('indices that cannot be true end the executor with an error, not the process', async (t) => {
  const result = await script(`${START}
    for (const [word, value] of [[16, 0x7fffffff], [16, 0xffffffff], [64, 0xffffffff], [64, 5000], [32, 77], [48, 99]]) {
      const memory = new SharedArrayBuffer(addon.regionBytes());
      const words = new Uint32Array(memory);
      let told;
      const native = start(new Uint8Array(memory), (what) => { told ??= what; });
      words[word] = value;
      for (let index = 0; index < 20; index++) { try { native.flush(); } catch {} await new Promise(setImmediate); }
      if (word === 16) assert.match(String(told), /corrupt/);
      native.close();
    }`);
  ended(t, result);
});

test('answers that nobody reads wait, and come in order when room is made', async (t) => {
  const result = await script(`${START}
    const memory = new SharedArrayBuffer(addon.regionBytes());
    const words = new Uint32Array(memory);
    const native = start(new Uint8Array(memory));
    let tail = 0;
    const nop = (count) => { for (let index = 0; index < count; index++) { const base = 128 + (tail & 4095) * 16; words[base] = 1; words[base + 1] = tail & 0xffff; words[base + 2] = 1; tail++; } words[16] = tail; native.flush(); };
    for (let round = 0; round < 3; round++) nop(4000);
    assert.strictEqual(words[48], 4096, 'the ring is full');
    let read = 0;
    for (let round = 0; round < 10; round++) {
      while (words[64] !== words[48]) { assert.strictEqual(words[65664 + (words[64] & 4095) * 4], read & 0xffff); read++; words[64] = words[64] + 1; }
      native.flush();
    }
    assert.strictEqual(read, 12_000);
    native.close();`);
  ended(t, result);
});

test('cold calls with nonsense are refused', async (t) => {
  const result = await script(`${START}
    const native = start(new Uint8Array(new SharedArrayBuffer(addon.regionBytes())));
    const big = 0xffffffff;
    assert.strictEqual(native.release(big, big), false);
    assert.strictEqual(native.forget(big, 1), false);
    assert.strictEqual(native.fileDescriptor(big, big), -1);
    assert.strictEqual(native.lease(0), null);
    assert.strictEqual(native.lease(Number.NaN), null);
    assert.strictEqual(native.lease(1e18), null);
    assert.throws(() => native.pull(big, big, big), /LEASE/);
    assert.throws(() => native.open(Buffer.from('a\\0b'), 0, 0, 0, 1), /NUL/);
    assert.throws(() => native.open(Buffer.from('x'), 0, 0, big, 1), /INTERNAL/);
    assert.throws(() => native.open('text', 0, 0, 0, 1));
    const lease = native.lease(100);
    assert.strictEqual(native.release(lease.slot, lease.generation), true);
    assert.strictEqual(native.release(lease.slot, lease.generation), false);
    native.close();
    native.close();
    assert.throws(() => native.lease(100), /CLOSED/);
    assert.throws(() => native.arena, /CLOSED/);
    native.hold();`);
  ended(t, result);
});
