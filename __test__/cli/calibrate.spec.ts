// `ringwheel calibrate`: what it finds and writes, and how it ends where it cannot or may not.
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { explain } from '../../lib/cli/calibrate';
import { LOADS, type Point } from '../../lib/cli/disk';
import { conclude } from '../../lib/cli/properties';
import { main, Running, ringwheel, root } from '../support/command';

/** A directory on the checkout's own disk: the temporary one may be memory. */
const directory = mkdtempSync(join(root, 'target', 'calibrate-'));
test.after.always(() => rmSync(directory, { recursive: true, force: true }));

const small = ['--size', '8', '--seconds', '1'];

for (const driver of ['uring', 'poll']) {
  test(`${driver}: every load is measured, the properties are written, the file is gone`, async (t) => {
    const output = join(directory, `${driver}.json`);
    const env = { ...process.env, RINGWHEEL_DRIVER: driver === 'uring' ? 'auto' : driver };
    const { code, stdout, stderr } = await ringwheel(['calibrate', directory, ...small, '-o', output], { env });
    t.is(code, 0, stderr);
    const found = JSON.parse(readFileSync(output, 'utf8'));
    t.is(found.version, 1);
    t.is(found.fileBytes, 8 * 2 ** 20);
    t.deepEqual(
      found.points.map(({ operation, pattern, blockBytes, depth }: Point) => ({
        operation,
        pattern,
        blockBytes,
        depth,
      })),
      LOADS,
    );
    for (const point of found.points as Point[]) {
      t.true(point.iops > 0 && point.p50Us > 0 && point.p50Us <= point.p99Us, JSON.stringify(point));
      t.true(Math.abs(point.bytesPerSecond - point.iops * point.blockBytes) <= point.blockBytes);
    }
    t.true(LOADS.some(({ depth }) => depth === found.saturationDepth));
    t.regex(stdout, /^random reads of 4 KiB +128 /m);
    t.regex(stdout, new RegExp(`^driver +${found.driver}`, 'm'));
    const written = Number(/^written +(\d+) MiB/m.exec(stdout)?.[1]);
    t.true(written >= 8 && written <= 8 * 4 + 8, `${written} MiB were written`);
    // Executors begin with what was found.
    const script = `const { Executor } = require(${JSON.stringify(root)});
      const executor = Executor.start({ adaptive: { properties: process.argv[1] } });
      console.log(executor.stats().adaptive.depthBytes);
      executor.close();`;
    const started = await new Running(process.execPath, ['-e', script, output], { env }).ended;
    t.is(started.code, 0, started.stderr);
    t.true(Number(started.stdout) >= Math.min(found.saturationDepth * 4096, 64 * 2 ** 20), started.stdout);
    t.deepEqual(
      readdirSync(directory).filter((name) => name.startsWith('.')),
      [],
    );
  });
}

test('--json prints the file', async (t) => {
  const output = join(directory, 'printed.json');
  const { code, stdout, stderr } = await ringwheel(['calibrate', directory, ...small, '--json', '-o', output]);
  t.is(code, 0, stderr);
  t.is(stdout, readFileSync(output, 'utf8'));
});

const memory = '/dev/shm';
const hasMemory = existsSync(memory) && statfsSync(memory).type === 0x01021994;
(hasMemory ? test : test.skip)('a tmpfs is said to be memory, not a disk', async (t) => {
  const output = join(directory, 'memory.json');
  const { code, stdout, stderr } = await ringwheel(['calibrate', memory, ...small, '-o', output]);
  t.is(code, 0, stderr);
  t.regex(stdout, /^note: tmpfs keeps files in memory/m);
  const { direct, notes } = JSON.parse(readFileSync(output, 'utf8'));
  t.false(direct);
  t.is(notes.length, 1);
});

test('Ctrl-C ends it with 130, and leaves neither file', async (t) => {
  const output = join(directory, 'never.json');
  const place = mkdtempSync(join(directory, 'interrupted-'));
  const args = [main, 'calibrate', place, '--size', '8', '--seconds', '600', '-o', output];
  const running = new Running(process.execPath, args);
  await new Promise((settle) => running.child.stderr?.once('data', settle)); // The first step is said.
  running.child.kill('SIGINT');
  const { code, stderr } = await running.ended;
  t.is(code, 130, stderr);
  t.regex(stderr, /ringwheel: interrupted: nothing was left behind\n$/);
  t.false(existsSync(output));
  t.deepEqual(readdirSync(place), []);
});

(existsSync('/proc/self/fd') ? test : test.skip)('killed outright it leaves nothing either', async (t) => {
  const place = mkdtempSync(join(directory, 'killed-'));
  const args = [main, 'calibrate', place, '--size', '8', '--seconds', '600', '-o', join(place, 'x.json')];
  const running = new Running(process.execPath, args);
  while (!descriptors(running.child.pid as number).some((name) => name.startsWith(place))) {
    t.is(running.child.exitCode, null);
    await new Promise((settle) => setTimeout(settle, 10));
  }
  running.child.kill('SIGKILL');
  t.is((await running.ended).signal, 'SIGKILL');
  t.deepEqual(readdirSync(place), []);
});

/** What a process has open. The file shows up here as soon as it has lost its name. */
function descriptors(pid: number): string[] {
  const link = (number: string) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${number}`);
    } catch {
      return '';
    }
  };
  return readdirSync(`/proc/${pid}/fd`)
    .map(link)
    .filter((name) => name.endsWith(' (deleted)'));
}

test('what cannot be is one line with the remedy', async (t) => {
  const output = join(directory, 'refused.json');
  for (const [args, exit, message] of [
    [['/sys'], 1, /^ringwheel: no permission to make a file in '\/sys': name a directory that can be written\n$/m],
    [[join(directory, 'none')], 1, /^ringwheel: there is no directory /m],
    [[join(root, 'package.json')], 1, /^ringwheel: .*package\.json' is not a directory/m],
    [[directory, '--size', String(1 << 20)], 1, /^ringwheel: the file system of .* MiB free.*--size\n$/m],
    [
      [directory, ...small, '-o', join(directory, 'none', 'x.json')],
      1,
      /^ringwheel: the properties could not be written/m,
    ],
    [[directory, '--size', '7'], 2, /^ringwheel: .*whole number from 8 to 1048576/m],
    [[directory, '--depth', '7'], 2, /^ringwheel: unknown option '--depth'/m],
  ] as [string[], number, RegExp][]) {
    const { code, stderr } = await ringwheel(['calibrate', ...args, ...(args.includes('-o') ? [] : ['-o', output])]);
    t.is(code, exit, stderr);
    t.regex(stderr, message);
  }
  t.false(existsSync(output));
});

test('a disk that fills up meanwhile is named as that', (t) => {
  for (const code of ['ENOSPC', 'EDQUOT', 'EFBIG']) {
    const failure = explain(Object.assign(new Error('no'), { code }), '/data', 512);
    t.is(failure.message, "the 512 MiB to measure with do not fit into '/data': free some, or lower --size");
    t.is(failure.exitCode, 1);
  }
});

test('the saturation depth is the least that gets nine tenths, and the goal half as much again as its mean', (t) => {
  const point = (operation: 'read' | 'write', blockBytes: number, depth: number, iops: number): Point => {
    const times = { meanUs: (depth / iops) * 1e6, p50Us: 1, p99Us: 2 };
    return { operation, pattern: 'random', blockBytes, depth, iops, bytesPerSecond: iops * blockBytes, ...times };
  };
  const points = [
    point('read', 4096, 1, 10_000),
    point('read', 4096, 8, 46_000),
    point('read', 4096, 16, 50_000),
    point('read', 1 << 20, 8, 1000),
    point('write', 4096, 4, 20_000),
  ];
  const found = conclude({ points, direct: true, driver: 'uring', bytesWritten: 0, notes: [] }, 1, new Date(0));
  t.deepEqual(found.read, { iops: 50_000, bytesPerSecond: 1000 * 2 ** 20 });
  t.deepEqual(found.write, { iops: 20_000, bytesPerSecond: 20_000 * 4096 });
  t.is(found.saturationDepth, 8);
  t.is(found.latencyGoalUs, Math.round((8 / 46_000) * 1.5e7) / 10);
});
