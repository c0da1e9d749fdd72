// Adaptive submission from JavaScript: what waits, who goes first, by which shares, and that nothing is lost on the way.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Executor, File, TaskQueue } from '../../index';

const directory = mkdtempSync(join(tmpdir(), 'ringwheel-adaptive-'));
test.after.always(() => rmSync(directory, { recursive: true, force: true }));

const PIECE = 4096;
const PIECES = 256;
const data = join(directory, 'pieces');
writeFileSync(
  data,
  Buffer.alloc(
    PIECE * PIECES,
    Uint8Array.from({ length: PIECES }, (_, index) => index),
  ),
);

/** Properties of a disk that is busy with one read of 4 KiB: beyond four of them, the least depth there is, all wait. */
const slow = join(directory, 'slow.json');
const SLOW = {
  version: 1,
  read: { iops: 1e6, bytesPerSecond: 1e9 },
  write: { iops: 1e6, bytesPerSecond: 1e9 },
  saturationDepth: 1,
  latencyGoalUs: 100,
};
writeFileSync(slow, JSON.stringify(SLOW));

async function on(work: (executor: Executor) => Promise<void>, properties = slow): Promise<void> {
  const adaptive = properties === '' ? true : { properties };
  const executor = Executor.start({ adaptive, memory: 8 * 2 ** 20 });
  try {
    await work(executor);
  } finally {
    await executor.close();
  }
}

test.serial('off by default; on, it is in stats()', async (t) => {
  const plain = Executor.start();
  t.is(plain.stats().adaptive, undefined);
  await plain.close();
  await on(async (executor) => {
    const { adaptive } = executor.stats();
    t.is(adaptive?.depthBytes, 1 << 20);
    t.deepEqual([adaptive?.waiting, adaptive?.granted, adaptive?.inFlightBytes], [0, 0, 0]);
  }, '');
});

test.serial('the properties decide what an operation costs and how deep it begins', async (t) => {
  const fast = join(directory, 'fast.json');
  writeFileSync(fast, JSON.stringify({ ...SLOW, read: { iops: 1e5, bytesPerSecond: 1e9 }, saturationDepth: 32 }));
  await on(async (executor) => {
    t.is(executor.stats().adaptive?.depthBytes, 32 * (4096 + 10_000));
  }, fast);
});

test.serial('what cannot be an option, or no properties, has a typed error, and a start after it works', async (t) => {
  for (const adaptive of [1, 'yes', { propertys: slow }, { properties: '' }, { properties: 7 }, []]) {
    t.throws(() => Executor.start({ adaptive: adaptive as never }), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
  }
  const file = join(directory, 'bad.json');
  for (const [content, message] of [
    [
      '{',
      /^the properties file ".*bad\.json" is of no use: it is not JSON: .*`ringwheel calibrate` writes a good one$/,
    ],
    ['{}', /its version is missing; this release reads 1/],
    [JSON.stringify({ ...SLOW, version: 2 }), /its version is 2; this release reads 1/],
    [JSON.stringify({ ...SLOW, saturationDepth: 0 }), /saturationDepth is 0; it must be a number in 1\.\.=65536/],
    [JSON.stringify({ ...SLOW, read: { iops: 'many' } }), /read\.iops is "many"; it must be/],
    [' '.repeat(2 ** 20 + 1), /1048577 bytes are more than 1048576/],
  ] as [string, RegExp][]) {
    writeFileSync(file, content);
    t.throws(() => Executor.start({ adaptive: { properties: file } }), { code: 'ERR_RINGWHEEL_PROPERTIES', message });
  }
  for (const properties of [join(directory, 'none.json'), directory]) {
    t.throws(() => Executor.start({ adaptive: { properties } }), {
      code: 'ERR_RINGWHEEL_PROPERTIES',
      message: /cannot be read/,
    });
  }
  await on(async () => {});
});

test.serial('what exceeds the depth waits, and every read and write is right', async (t) => {
  await on(async (executor) => {
    await using file = await File.open(data);
    await using copy = await File.open(join(directory, 'copy'), 'w+');
    let most = 0;
    const lanes = Array.from({ length: 200 }, async (_, lane) => {
      const lease = executor.lease(PIECE);
      for (let index = lane; index < PIECES; index += 50) {
        t.is(await file.readAt(lease, index * PIECE), PIECE);
        const bytes = Buffer.from(lease.bytes);
        t.deepEqual([bytes[0], bytes[4095]], [0, 255]);
        t.is(await copy.writeAt(lease, index * PIECE), PIECE);
        most = Math.max(most, executor.stats().adaptive?.inFlightBytes ?? 0);
      }
      lease.release();
    });
    t.true((executor.stats().adaptive?.waiting ?? 0) >= 0);
    await Promise.all(lanes);
    const { adaptive } = executor.stats();
    t.is(adaptive?.waiting, 0);
    t.is(adaptive?.inFlightBytes, 0);
    t.true((adaptive?.waited ?? 0) > 100, `${adaptive?.waited} waited`);
    // The depth may be exceeded by one operation, and be half as much again while that is tried.
    t.true(most > 0 && most <= 1.5 * (adaptive?.depthBytes ?? 0) + 2 * PIECE, `${most}`);
    t.is((await copy.stat()).size, PIECE * PIECES);
  });
});

test.serial('a latency class goes before what waits already', async (t) => {
  await on(async (executor) => {
    await using file = await File.open(data);
    await using background = new TaskQueue({ name: 'background' });
    await using urgent = new TaskQueue({ name: 'urgent', latency: { maxMs: 1 } });
    let settled = 0;
    let reads: Promise<number>[] = [];
    await background.spawn(() => {
      reads = Array.from({ length: 1000 }, (_, index) => file.readAt(executor.lease(PIECE), (index % PIECES) * PIECE));
    });
    for (const read of reads) void read.then(() => settled++);
    const rank = await urgent.spawn(async () => {
      await file.readAt(executor.lease(PIECE), 0);
      return settled;
    });
    t.true(rank < 900, `it settled after ${rank} of the 1000 that were there before`);
    await Promise.all(reads);
    t.is(settled, 1000);
  });
});

test.serial('two queues that always want get their shares, also after these change', async (t) => {
  await on(async (executor) => {
    await using file = await File.open(data);
    await using one = new TaskQueue({ shares: 100 });
    await using other = new TaskQueue({ shares: 300 });
    let counts = [0, 0];
    let target = Number.POSITIVE_INFINITY;
    let reached = () => {};
    let stop = false;
    const lane = (which: 0 | 1) => async () => {
      const lease = executor.lease(PIECE);
      while (!stop) {
        await file.readAt(lease, Math.floor(Math.random() * PIECES) * PIECE);
        counts[which]++;
        if (counts[0] + counts[1] === target) reached();
      }
      lease.release();
    };
    const lanes = Array.from({ length: 200 }, (_, index) =>
      index % 2 === 0 ? one.spawn(lane(0)) : other.spawn(lane(1)),
    );
    const next = (reads: number) =>
      new Promise<void>((resolve) => {
        [counts, target, reached] = [[0, 0], reads, resolve];
      });
    const ratio = async () => {
      await next(1000); // Until all of them wait for the disk.
      await next(4000);
      return counts[1] / counts[0];
    };
    const first = await ratio();
    t.true(first > 2.5 && first < 3.5, `1 : ${first}`);
    other.shares = 100;
    const second = await ratio();
    t.true(second > 0.8 && second < 1.25, `1 : ${second}`);
    stop = true;
    await Promise.all(lanes);
  });
});

test.serial('a read that waits can be cancelled: its memory is back at once, the others go on', async (t) => {
  await on(async (executor) => {
    await using file = await File.open(data);
    const { leases: before } = executor.stats();
    const leases = Array.from({ length: 100 }, () => executor.lease(PIECE));
    const stop = new AbortController();
    const reads = leases.map((lease, index) =>
      index % 2 === 0
        ? file.readAt(lease, index * PIECE)
        : file.read(lease, { position: index * PIECE, signal: stop.signal }),
    );
    const reason = new Error('enough');
    stop.abort(reason);
    const ends = await Promise.allSettled(reads);
    const lost = ends.filter(({ status }, index) => index % 2 === 0 && status === 'rejected');
    t.deepEqual(lost, []);
    const cancelled = ends.filter((end) => end.status === 'rejected');
    t.true(cancelled.length > 0 && cancelled.length <= 50, `${cancelled.length} were cancelled`);
    for (const end of cancelled) t.is((end as PromiseRejectedResult).reason, reason);
    for (const lease of leases) lease.release();
    const { adaptive, leases: left } = executor.stats();
    t.deepEqual([adaptive?.waiting, adaptive?.inFlightBytes, left], [0, 0, before]);
  });
});

const blocks = Array.from({ length: PIECES }, (_, index) => ({ position: index * PIECE, length: PIECE }));
const apart = { mergeBytes: 0, concurrency: 1000 };

test.serial('each part of a batch asks for its share, and a batch is right and whole', async (t) => {
  await on(async (executor) => {
    await using file = await File.open(data);
    const before = executor.stats().adaptive;
    const lanes = Array.from({ length: 4 }, async () => {
      using batch = await file.readMany(blocks, apart); // What exceeds the memory of batches waits for one to be released.
      for (const [index, view] of [...batch].entries())
        t.deepEqual([view.length, view[0], view[4095]], [PIECE, 0, 255], `${index}`);
    });
    await Promise.all(lanes);
    const { adaptive } = executor.stats();
    t.is((adaptive?.granted ?? 0) - (before?.granted ?? 0), 4 * PIECES);
    t.true((adaptive?.waited ?? 0) >= PIECES, `${adaptive?.waited} of ${4 * PIECES} waited`);
    t.deepEqual([adaptive?.waiting, adaptive?.inFlightBytes], [0, 0]);
  });
});

test.serial('a batch has no more of its parts waiting than may run together', async (t) => {
  await on(async (executor) => {
    await using file = await File.open(data);
    const reading = file.readMany(blocks, { mergeBytes: 0, concurrency: 1 });
    (await reading).release();
    t.is(executor.stats().adaptive?.waited, 0);
  });
});

test.serial('a latency class goes before the parts of a batch that were there before', async (t) => {
  await on(async (executor) => {
    await using file = await File.open(data);
    await using background = new TaskQueue({ name: 'background' });
    await using urgent = new TaskQueue({ name: 'urgent', latency: { maxMs: 1 } });
    let settled = 0;
    let readings: Promise<void>[] = [];
    await background.spawn(() => {
      readings = Array.from({ length: 6 }, async () => {
        (await file.readMany(blocks, apart)).release();
        settled++;
      });
    });
    const rank = await urgent.spawn(async () => {
      await file.readAt(executor.lease(PIECE), 0);
      return settled;
    });
    t.true(rank < 6, 'it settled before the last of the batches that were there before');
    await Promise.all(readings);
  });
});

test.serial(
  'a batch whose parts wait can be cancelled, at each moment: its memory is back, others go on',
  async (t) => {
    await on(async (executor) => {
      await using file = await File.open(data);
      const reason = new Error('enough');
      let cancelled = 0;
      for (let round = 0; round < 60; round++) {
        const stop = new AbortController();
        const some = blocks.slice(0, 64);
        const ends = [
          file.readMany(some, { ...apart, signal: stop.signal }),
          file.readMany(some, apart),
          file.readMany(some, { ...apart, signal: stop.signal, concurrency: 1 + (round % 9) }),
        ];
        if (round % 3 === 0) stop.abort(reason);
        else if (round % 3 === 1) setImmediate(() => stop.abort(reason));
        else queueMicrotask(() => stop.abort(reason));
        const [one, other, third] = await Promise.allSettled(ends);
        t.is(other?.status, 'fulfilled');
        for (const end of [one, other, third]) {
          if (end?.status === 'fulfilled') end.value.release();
          else t.is(end?.reason, reason);
          cancelled += Number(end?.status === 'rejected');
        }
        const { adaptive, pending } = executor.stats();
        t.deepEqual([adaptive?.waiting, adaptive?.inFlightBytes, pending], [0, 0, 0], `round ${round}`);
      }
      t.true(cancelled >= 20, `${cancelled} were cancelled`);
    });
  },
);

test.serial('close awaits the parts of a batch that wait', async (t) => {
  const executor = Executor.start({ adaptive: { properties: slow }, memory: 8 * 2 ** 20 });
  const file = await File.open(data);
  const some = blocks.slice(0, 100);
  const reading = Promise.allSettled([file.readMany(some, apart), file.readMany(some, apart)]);
  const [ends] = await Promise.all([reading, executor.close()]);
  t.deepEqual(
    ends.map((end) => end.status),
    ['fulfilled', 'fulfilled'],
  );
});

test.serial('close awaits what waits', async (t) => {
  const executor = Executor.start({ adaptive: { properties: slow }, memory: 8 * 2 ** 20 });
  const file = await File.open(data);
  const reads = Array.from({ length: 500 }, (_, index) => file.readAt(executor.lease(PIECE), (index % PIECES) * PIECE));
  const [ends] = await Promise.all([Promise.allSettled(reads), executor.close()]);
  t.true(ends.every((end) => end.status === 'fulfilled' && end.value === PIECE));
});
