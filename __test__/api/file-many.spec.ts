// File.readMany: against node:fs on the same file; merging, short reads, memory limits, aborts at each moment, hostile callers.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import test from 'ava';
import { File, ReadBatch, type ReadRange, TaskQueue } from '../../index';
import { ended, executorOf, fileOf, folder, pattern, script } from '../drivers';

const MIB = 1 << 20;
const invalid = 'ERR_RINGWHEEL_INVALID_OPTION';

/** Compares each view with the file's bytes. */
function same(batch: ReadBatch, ranges: readonly ReadRange[], bytes: Uint8Array): boolean {
  return ranges.every(({ position, length }, index) => {
    const expected = bytes.subarray(Math.min(position, bytes.length), Math.min(position + length, bytes.length));
    return Buffer.compare(batch.view(index), expected) === 0;
  });
}

/** Whole numbers below a bound, the same ones in each run. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

for (const [name, options] of [
  ['defaults', undefined],
  ['no merging', { mergeBytes: 0 }],
  ['everything merged', { mergeBytes: MIB, amplification: MIB }],
  ['one read at a time', { concurrency: 1, mergeBytes: 0 }],
] as const) {
  test.serial(`ranges in any order, overlapping and beyond the end, are what node:fs reads (${name})`, async (t) => {
    executorOf(t);
    const bytes = pattern(500_003);
    await using file = await File.open(fileOf(bytes));
    const pick = random(7);
    for (const count of [1, 2, 3, 40, 300]) {
      const ranges = Array.from({ length: count }, () => ({ position: pick(520_000), length: pick(3) * pick(2000) }));
      using batch = await file.readMany(ranges, options);
      t.is(batch.length, count);
      t.true(same(batch, ranges, bytes), `${count} ranges`);
      t.deepEqual(
        [...batch].map((view) => view.length),
        ranges.map((_, index) => batch.view(index).length),
      );
    }
  });
}

test.serial(
  'a hundred blocks cost one promise, one command and few system calls; steady state has no native call',
  async (t) => {
    const executor = executorOf(t);
    await using file = await File.open(fileOf(pattern(MIB)));
    const pick = random(3);
    const ranges = () => Array.from({ length: 100 }, () => ({ position: pick(256) * 4096, length: 4096 }));
    for (let round = 0; round < 5; round++) (await file.readMany(ranges(), { mergeBytes: 0 })).release();
    const before = executor.stats();
    for (let round = 0; round < 50; round++) (await file.readMany(ranges(), { mergeBytes: 0 })).release();
    const after = executor.stats();
    t.true(after.enters - before.enters <= 20 * 5 + 20, `${after.enters - before.enters} enters for 5000 reads`);
    t.is(after.leases, before.leases);
    t.is(after.readBytes, before.readBytes);
    t.true(after.callbacks - before.callbacks <= 60);
  },
);

test.serial('near ranges become one read, far ones do not', async (t) => {
  const executor = executorOf(t);
  const bytes = pattern(MIB);
  await using file = await File.open(fileOf(bytes));
  const reads = async (ranges: ReadRange[], options?: object) => {
    const before = executor.stats().submitted;
    using batch = await file.readMany(ranges, options);
    t.true(same(batch, ranges, bytes));
    return executor.stats().submitted - before;
  };
  const three = [0, 5000, 10_000].map((position) => ({ position, length: 1000 }));
  t.is(await reads(three), 1, 'gaps of 4000 bytes');
  t.is(await reads(three, { amplification: 3999 }), 3);
  t.is(await reads(three, { amplification: 4000, mergeBytes: 6000 }), 2);
  t.is(await reads(three, { mergeBytes: 0 }), 3);
  t.is(
    await reads([three[1], three[0], three[1]] as ReadRange[], { mergeBytes: 0 }),
    2,
    'a range asked for twice is read once',
  );
});

test.serial('gaps that there is no memory for are not read', async (t) => {
  const executor = executorOf(t);
  const bytes = pattern(3 * MIB);
  await using file = await File.open(fileOf(bytes));
  const ranges = Array.from({ length: 300 }, (_, index) => ({ position: index * 10_000, length: 100 }));
  for (const options of [{ amplification: 16_384 }, { amplification: MIB, mergeBytes: 65_536 }]) {
    const { submitted } = executor.stats();
    using batch = await file.readMany(ranges, options);
    t.true(same(batch, ranges, bytes));
    t.is(executor.stats().submitted - submitted, 300);
  }
  const whole = Array.from({ length: 30 }, (_, index) => ({ position: index * 100_000, length: 100_000 }));
  await t.throwsAsync(async () => file.readMany(whole), { code: 'ERR_RINGWHEEL_NO_MEMORY' });
});

test.serial('views are cut where the file ends', async (t) => {
  executorOf(t);
  const bytes = pattern(10_000);
  await using file = await File.open(fileOf(bytes));
  for (const options of [undefined, { mergeBytes: 0 }]) {
    const ranges = [
      { position: 9000, length: 4096 },
      { position: 10_000, length: 10 },
      { position: 2 ** 45, length: 10 },
      { position: 5, length: 0 },
      { position: 9999, length: 1 },
    ];
    using batch = await file.readMany(ranges, options);
    t.deepEqual(
      [...batch].map((view) => view.length),
      [1000, 0, 0, 0, 1],
    );
    t.true(same(batch, ranges, bytes));
  }
  using empty = await file.readMany([]);
  t.is(empty.length, 0);
});

test.serial('ranges that crowd, that are the same, and one that is far away, are sorted all the same', async (t) => {
  executorOf(t);
  const bytes = pattern(100_000);
  await using file = await File.open(fileOf(bytes));
  const pick = random(11);
  for (const far of [99_990, 2 ** 52]) {
    const ranges = Array.from({ length: 700 }, () => ({ position: pick(900), length: 1 + pick(30) }));
    ranges.splice(300, 0, { position: far, length: 5 });
    for (const options of [undefined, { mergeBytes: 0 }]) {
      using batch = await file.readMany(ranges, options);
      t.true(same(batch, ranges, bytes));
    }
  }
});

test.serial('batches at the same time, one after the other and within each other keep what is theirs', async (t) => {
  executorOf(t);
  const bytes = pattern(MIB);
  await using file = await File.open(fileOf(bytes));
  const pick = random(13);
  const blocks = (count: number, length: number): ReadRange[] =>
    Array.from({ length: count }, () => ({ position: pick(200) * 4096, length }));
  for (let round = 0; round < 20; round++) {
    const asked = [blocks(100, 4096), blocks(1, 4096), blocks(70, 4095), blocks(3, 8192)];
    const batches = await Promise.all(asked.map((ranges) => file.readMany(ranges, { mergeBytes: 0 })));
    for (const [index, batch] of batches.entries()) {
      t.true(same(batch, asked[index] as ReadRange[], bytes), `round ${round}, batch ${index}`);
      t.true(same(batch, asked[index] as ReadRange[], bytes), 'looked at twice');
    }
    for (const batch of batches) batch.release();
  }
  const inner = blocks(90, 4096);
  let within: Promise<ReadBatch> | undefined;
  const outer = blocks(80, 4096).map(({ position, length }, index) => ({
    get position(): number {
      if (index === 40) within ??= file.readMany(inner);
      return position;
    },
    length,
  }));
  using batch = await file.readMany(outer);
  t.true(same(batch, outer, bytes));
  using other = await (within as Promise<ReadBatch>);
  t.true(same(other, inner, bytes));
});

test.serial('what needs several commands, or one long read, is whole', async (t) => {
  executorOf(t);
  const bytes = pattern(3 * MIB);
  await using file = await File.open(fileOf(bytes));
  for (const ranges of [
    Array.from({ length: 1700 }, (_, index) => ({ position: ((index * 7919) % 3000) * 1000, length: 600 })),
    [{ position: 100, length: 1_500_000 }],
    [
      { position: 2_000_000, length: 700_000 },
      { position: 0, length: 700_000 },
      { position: 1_000_001, length: 300 },
    ],
  ]) {
    for (const options of [{ mergeBytes: 0 }, { mergeBytes: 0, concurrency: 1 }]) {
      using batch = await file.readMany(ranges, options);
      t.true(same(batch, ranges, bytes));
    }
  }
});

test.serial('a batch that needs more memory than it may have is refused with the limit', async (t) => {
  const executor = executorOf(t);
  await using file = await File.open(fileOf('x'));
  const { readBytesMax } = executor.stats();
  await t.throwsAsync(file.readMany([{ position: 0, length: readBytesMax }]), {
    code: 'ERR_RINGWHEEL_NO_MEMORY',
    message: new RegExp(`a batch may have ${readBytesMax}`),
  });
  await t.throwsAsync(file.readMany([{ position: 0, length: 10_000 }], { memory: 8192 }), {
    code: 'ERR_RINGWHEEL_NO_MEMORY',
    message: /a batch may have 8192/,
  });
});

test.serial('batches beyond the memory wait in order, and never for each other', async (t) => {
  const executor = executorOf(t);
  const bytes = pattern(MIB);
  await using file = await File.open(fileOf(bytes));
  const ranges = Array.from({ length: 3 }, (_, index) => ({ position: index * 1000, length: 400_000 }));
  const order: number[] = [];
  let waited = 0;
  await Promise.all(
    Array.from({ length: 40 }, async (_, index) => {
      const batch = await file.readMany(ranges, { mergeBytes: 0 });
      order.push(index);
      t.true(same(batch, ranges, bytes));
      const { readBytes, readBytesMax, waiting } = executor.stats();
      t.true(readBytes <= readBytesMax);
      waited = Math.max(waited, waiting);
      if (index % 3 === 0) await new Promise(setImmediate);
      batch.release();
    }),
  );
  t.true(waited > 30, `${waited} waited`);
  t.deepEqual(order, [...order.keys()]);
  t.is(executor.stats().waiting, 0);
});

test.serial('idle memory of batches is given to whoever asks for a lease', async (t) => {
  const executor = executorOf(t);
  await using file = await File.open(fileOf(pattern(MIB)));
  (await file.readMany([{ position: 0, length: 500_000 }])).release();
  t.true(executor.stats().readBytes >= 500_000);
  using lease = executor.lease(3 * MIB);
  t.is(lease.length, 3 * MIB);
  t.is(executor.stats().readBytes, 0);
});

test.serial('after release views are refused', async (t) => {
  executorOf(t);
  await using file = await File.open(fileOf('abc'));
  const batch = await file.readMany([{ position: 0, length: 3 }]);
  t.false(batch.released);
  t.is(Buffer.from(batch.view(0)).toString(), 'abc');
  batch.release();
  batch.release();
  t.true(batch.released);
  t.throws(() => batch.view(0), { code: 'ERR_RINGWHEEL_LEASE', message: /was released/ });
  for (const index of [-1, 1, 0.5, '0', undefined])
    t.throws(() => batch.view(index as number), { code: invalid, message: /from 0 to 0/ });
  t.throws(() => new (ReadBatch as unknown as new () => ReadBatch)(), { code: invalid, message: /file\.readMany/ });
});

test.serial('wrong arguments are named with their range', async (t) => {
  const executor = executorOf(t);
  await using file = await File.open(fileOf('x'));
  const good = { position: 0, length: 1 };
  for (const ranges of [undefined, null, 'x', 5, {}, new Set([good])])
    await t.throwsAsync(file.readMany(ranges as never), { code: invalid, message: /ranges must be an array/ });
  for (const range of [undefined, null, 5, 'x'])
    await t.throwsAsync(file.readMany([good, range as never]), {
      code: invalid,
      message: /ranges\[1\] must be an object/,
    });
  for (const wrong of [-1, 0.5, Number.NaN, 2 ** 53, '1', 1n, undefined]) {
    await t.throwsAsync(file.readMany([{ position: wrong as number, length: 1 }]), {
      code: invalid,
      message: /ranges\[0\]\.position/,
    });
    await t.throwsAsync(file.readMany([{ position: 0, length: wrong as number }]), {
      code: invalid,
      message: /ranges\[0\]\.length/,
    });
  }
  await t.throwsAsync(file.readMany([{ position: Number.MAX_SAFE_INTEGER, length: 1 }]), {
    code: invalid,
    message: /must end at/,
  });
  for (const options of [
    { mergeBytes: -1 },
    { amplification: '1' },
    { concurrency: 0 },
    { memory: 0 },
    { signal: {} },
    { merge: 1 },
  ])
    await t.throwsAsync(file.readMany([good], options as never), { code: invalid });
  await t.throwsAsync(
    async () =>
      file.readMany([
        {
          get position(): number {
            throw new Error('mine');
          },
          length: 1,
        },
      ]),
    { message: 'mine' },
  );
  const before = executor.stats();
  await using directory = await File.open(folder);
  await t.throwsAsync(directory.readMany([good, { position: 9000, length: 1 }]), {
    code: 'EISDIR',
    message: /^EISDIR: .*, read '/,
  });
  const after = executor.stats();
  t.is(after.pending, before.pending);
  const closed = await File.open(folder);
  await closed.close();
  await t.throwsAsync(closed.readMany([good]), { code: 'ERR_RINGWHEEL_CLOSED' });
});

test.serial('ranges that change after the call change nothing', async (t) => {
  executorOf(t);
  const bytes = pattern(100_000);
  await using file = await File.open(fileOf(bytes));
  const ranges = Array.from({ length: 50 }, (_, index) => ({ position: index * 1500, length: 700 }));
  const kept = ranges.map((range) => ({ ...range }));
  const reading = file.readMany(ranges);
  for (const range of ranges) range.position = -5;
  ranges.length = 0;
  using batch = await reading;
  t.true(same(batch, kept, bytes));
});

test.serial('an abort before, while it waits for memory, and while the kernel has it', async (t) => {
  const executor = executorOf(t);
  const reason = new Error('enough');
  const path = `${folder}/many-fifo`;
  (await import('node:child_process')).execFileSync('mkfifo', [path]);
  await using file = await File.open(fileOf(pattern(MIB)));
  const range = { position: 0, length: 1000 };
  const signal = AbortSignal.abort(reason);
  t.is(await t.throwsAsync(file.readMany([range], { signal })), reason);
  const { readBytesMax } = executor.stats();
  const all = { position: 0, length: readBytesMax - 4096 };
  const holder = await file.readMany([all]);
  const controller = new AbortController();
  const waiting = file.readMany([all], { signal: controller.signal });
  const behind = file.readMany([range]);
  await new Promise(setImmediate);
  controller.abort(reason);
  t.is(await t.throwsAsync(waiting), reason);
  holder.release();
  (await behind).release();
  for (let round = 0; round < 200; round++) {
    const late = new AbortController();
    const ranges = Array.from({ length: 60 }, (_, index) => ({ position: index * 9000, length: 2000 }));
    const reading = file.readMany(ranges, { signal: late.signal, concurrency: 1 + (round % 7), mergeBytes: 0 });
    if (round % 3 === 0) late.abort(reason);
    else if (round % 3 === 1) setImmediate(() => late.abort(reason));
    else queueMicrotask(() => late.abort(reason));
    await reading.then(
      (batch) => batch.release(),
      (error) => t.is(error, reason),
    );
  }
  t.is(executor.stats().pending, 0);
  t.is(executor.stats().waiting, 0);
});

test.serial(
  'what has no positions is refused as pread(2) refuses it, with nothing read; /dev/zero has some',
  async (t) => {
    const executor = executorOf(t);
    const path = `${folder}/without-positions`;
    execFileSync('mkfifo', [path]);
    const range = { position: 0, length: 3 };
    await using fifo = await File.open(path, 'r+');
    await fifo.write('abc');
    const files = [fifo, await File.open(`/dev/fd/${fifo.fd}`)];
    if (existsSync('/dev/ptmx')) files.push(await File.open('/dev/ptmx', 'r+'));
    const before = executor.stats();
    for (const file of files) {
      for (const ranges of [[range], [range, { position: 1_000_000, length: 600_000 }], [{ position: 7, length: 1 }]])
        await t.throwsAsync(file.readMany(ranges), { code: 'ESPIPE', message: /^ESPIPE: invalid seek, read '/ });
    }
    const { pending, waiting } = executor.stats();
    t.deepEqual([pending, waiting], [before.pending, before.waiting]);
    const bytes = new Uint8Array(3);
    t.is(await fifo.read(bytes), 3);
    t.is(Buffer.from(bytes).toString(), 'abc');
    for (const file of files.slice(1)) await file.close();

    await using zero = await File.open('/dev/zero');
    const ranges = [{ position: 2 ** 40, length: 700_000 }, range];
    using batch = await zero.readMany(ranges, { mergeBytes: 0 });
    t.deepEqual(
      [...batch].map((view) => view.length),
      [700_000, 3],
    );
    t.true([...batch].every((view) => view.every((byte) => byte === 0)));

    const server = createServer().listen(`${folder}/socket`);
    await once(server, 'listening');
    await t.throwsAsync(File.open(`${folder}/socket`), { code: 'ENXIO' }, 'a socket cannot be opened at all');
    server.close();
  },
);

test.serial('close of the file waits for a batch; close of the executor ends those that wait for memory', async (t) => {
  const result = await script(`
    const executor = Executor.start({ memory: 1 << 20 });
    const fs = require('node:fs');
    fs.writeFileSync(__filename + '.bin', Buffer.alloc(1 << 20, 7));
    const file = await File.open(__filename + '.bin');
    const ranges = Array.from({ length: 100 }, (_, index) => ({ position: index * 4096, length: 4096 }));
    const first = file.readMany(ranges);
    const closing = file.close();
    const batch = await first;
    await closing;
    assert.strictEqual(batch.view(99)[4095], 7);
    const again = await File.open(__filename + '.bin');
    const waiting = settled(again.readMany(ranges));
    const begun = Date.now();
    await executor.close();
    assert.strictEqual((await waiting).error.code, 'ERR_RINGWHEEL_CLOSED');
    assert.throws(() => batch.view(0), { code: 'ERR_RINGWHEEL_LEASE' });
    batch.release();
    assert.ok(Date.now() - begun < 60_000);`);
  ended(t, result);
});

test.serial('where JavaScript cannot see the arena, batches are read all the same', async (t) => {
  const result = await script(
    `
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 31 + (index >> 8)) & 0xff));
    require('node:fs').writeFileSync(__filename + '.bin', bytes);
    const file = await File.open(__filename + '.bin');
    const ranges = Array.from({ length: 80 }, (_, index) => ({ position: (index * 7919 * 31) % 300_000, length: 3000 }));
    for (const mergeBytes of [0, 262144]) {
      const batch = await file.readMany(ranges, { mergeBytes });
      for (const [index, { position, length }] of ranges.entries())
        assert.ok(bytes.subarray(position, position + length).equals(batch.view(index)), String(index));
      batch.release();
    }
    await file.close();`,
    [],
    { RINGWHEEL_COPIES: '1' },
  );
  ended(t, result);
});

test.serial('a worker that is terminated with batches in flight leaves the others in peace', async (t) => {
  const result = await script(`
    if (!isMainThread) {
      const file = await File.open(__filename);
      const ranges = Array.from({ length: 1000 }, (_, index) => ({ position: index, length: 10 }));
      parentPort.postMessage(0);
      for (;;) (await Promise.all([1, 2, 3].map(() => file.readMany(ranges, { mergeBytes: 0 })))).forEach((batch) => batch.release());
    }
    for (let round = 0; round < 5; round++) {
      const worker = new Worker(__filename);
      await new Promise((resolve) => worker.once('message', resolve));
      await sleep(round);
      await worker.terminate();
    }`);
  ended(t, result);
});

test.serial('reads of a batch in a task queue settle in that queue', async (t) => {
  executorOf(t);
  await using file = await File.open(fileOf(pattern(10_000)));
  await using queue = new TaskQueue({ name: 'many' });
  const before = queue.stats().slices;
  await queue.spawn(async () => {
    for (let round = 0; round < 10; round++) (await file.readMany([{ position: round, length: 10 }])).release();
  });
  t.true(queue.stats().slices - before >= 10);
});
