// The arithmetic behind every figure the benchmarks print: medians, paired ratios, order, what wrk says, the shape of the JSON.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { describeMachine } from '../../benchmark/harness/machine';
import { type BenchOptions, nameList, passes } from '../../benchmark/harness/options';
import { writeResult } from '../../benchmark/harness/result';
import { measure, type Row } from '../../benchmark/harness/rounds';
import { geometricMean, median, modes, pairedRatio, shuffled, spread } from '../../benchmark/harness/statistics';
import { readWrk } from '../../benchmark/server/load';

test('the median is the middle value, or the mean of the two in the middle', (t) => {
  t.is(median([3, 1, 2]), 2);
  t.is(median([4, 1, 3, 2]), 2.5);
  t.true(Number.isNaN(median([])));
});

test('spread is the range over the median', (t) => {
  t.is(spread([9, 10, 11]), 0.2);
});

test('a ratio pairs the values of the same round', (t) => {
  // In both rounds ours is half of theirs, though the machine was twice as slow in the second.
  t.deepEqual(pairedRatio([1, 2], [2, 4]), { median: 0.5, low: 0.5, high: 0.5 });
  t.deepEqual(pairedRatio([1, 2, 3], [2, 2]), { median: 0.75, low: 0.5, high: 1 });
  t.is(pairedRatio([1], []), undefined);
});

test('values in two clusters are told apart, and the better one is known', (t) => {
  t.deepEqual(modes([146, 195, 147, 190, 193], 'higher'), { better: 193, worse: 146.5, inBetter: 3 });
  t.deepEqual(modes([5.2, 7.1, 5.3], 'lower'), { better: 5.25, worse: 7.1, inBetter: 2 });
  t.deepEqual(modes([100, 103, 98], 'higher'), { better: 100, worse: undefined, inBetter: 3 });
  t.deepEqual(modes([7], 'lower'), { better: 7, worse: undefined, inBetter: 1 });
});

test('the mean of ratios is geometric: twice and half are one', (t) => {
  t.true(Math.abs(geometricMean([2, 0.5]) - 1) < 1e-12);
  t.true(Number.isNaN(geometricMean([])));
});

test('shuffling loses nothing and makes every order', (t) => {
  const orders = new Set(Array.from({ length: 500 }, () => shuffled(['a', 'b', 'c']).join('')));
  t.deepEqual([...orders].sort(), ['abc', 'acb', 'bac', 'bca', 'cab', 'cba']);
});

test('a filter keeps names that contain one of its parts, and no filter keeps all', (t) => {
  t.true(passes('bun file routes', []));
  t.true(passes('bun file routes', ['nginx', 'bun']));
  t.false(passes('bun file routes', ['nginx']));
});

test('what wrk prints is read with its units', (t) => {
  const load = readWrk(`
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     0.90ms  200.00us  10.00ms   80.00%
  Latency Distribution
     50%  860.00us
     75%    0.95ms
     99%    1.74ms
  128570 requests in 2.00s, 1.29GB read
  Socket errors: connect 0, read 1, write 0, timeout 2
  Non-2xx or 3xx responses: 4
Requests/sec:  64285.00`);
  t.deepEqual(load, { requests: 128_570, seconds: 2, bytes: 1.29 * 2 ** 30, p50: 860, p99: 1740, errors: 7 });
  t.throws(() => readWrk('unable to connect'), { message: /nothing that can be read: unable to connect/ });
});

const options: BenchOptions = {
  rounds: 3,
  seconds: 1,
  smoke: false,
  quick: false,
  build: false,
  offline: true,
  only: [],
  rows: [],
  directory: undefined,
  fileMebibytes: 1,
  core: 0,
  otherCore: 0,
  foreignLimit: 0.1,
};

test('rounds: one value each, noisy samples repeated, a contender that fails left out whole', async (t) => {
  const foreign = [0.5, 0, 0, 0];
  let quiet = 0;
  let broken = 0;
  const rows: Row[] = [
    {
      name: 'row',
      metrics: [{ name: 'CPU', unit: 'µs', better: 'lower' }],
      contenders: [
        { name: 'ringwheel', sample: async () => ({ values: { CPU: quiet }, foreign: foreign[quiet++] ?? 0 }) },
        { name: 'noisy', sample: async () => ({ values: { CPU: 7 }, foreign: 0.2 }) },
        {
          name: 'broken',
          sample: async () => {
            if (broken++ === 1) throw new Error('wrong bytes');
            return { values: { CPU: 1 }, foreign: 0 };
          },
        },
      ],
    },
  ];
  const result = await measure(rows, options, []);
  t.deepEqual(
    result.rows.map(({ contender, values }) => [contender, values]),
    [
      ['ringwheel', [1, 2, 3]],
      ['noisy', [7, 7, 7]],
    ],
  );
  t.is(result.repeated, 1 + 3 * 3);
  t.is(result.noisy, 3);
  t.deepEqual(result.leftOut, [{ contender: 'row: broken', reason: 'wrong bytes' }]);
});

test('a row is told of as soon as it is finished, and a filter that matches nothing is refused', async (t) => {
  const row = (name: string): Row => ({
    name,
    metrics: [{ name: 'CPU', unit: 'µs', better: 'lower' }],
    contenders: [{ name: 'ringwheel', sample: async () => ({ values: { CPU: 1 }, foreign: 0 }) }],
  });
  const rows = [row('reads, cached, 100 at once'), row('reads, direct'), row('writes')];
  const told: string[] = [];
  const given = { ...options, rows: nameList('reads, cached,writes') };
  const result = await measure(rows, given, [], (found) => told.push(...found.map(({ row }) => row)));
  t.deepEqual(told, ['reads, cached, 100 at once', 'writes']);
  t.deepEqual(
    result.rows.map(({ values }) => values),
    [
      [1, 1, 1],
      [1, 1, 1],
    ],
  );
  await t.throwsAsync(measure(rows, { ...options, rows: ['wirtes'] }, []), {
    message: /"wirtes" is in no name.*writes/s,
  });
  await t.throwsAsync(measure(rows, { ...options, only: ['node'] }, []), {
    message: /"node" is in no name.*ringwheel/s,
  });
});

test('names of a filter are separated by a comma without a space', (t) => {
  t.deepEqual(nameList('a,b, c,'), ['a', 'b, c']);
  t.deepEqual(nameList('b', ['a']), ['a', 'b']);
});

test('the JSON has a machine and rows with row, contender, metric, unit, better and values', (t) => {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'ringwheel-bench-spec-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const file = path.join(directory, 'result.json');
  const row = { row: 'r', contender: 'ringwheel', metric: 'CPU', unit: 'µs', better: 'lower' as const };
  writeResult(file, {
    machine: describeMachine(),
    rows: [{ ...row, values: [1, 2, 3], foreign: [0, 0, 0] }],
    repeated: 0,
    noisy: 0,
    leftOut: [],
  });
  const read = JSON.parse(readFileSync(file, 'utf8')) as { machine: { kernel: string }; rows: unknown[] };
  t.deepEqual(read.rows, [{ ...row, values: [1, 2, 3], foreign: [0, 0, 0] }]);
  t.is(read.machine.kernel, `${os.type()} ${os.release()}`);
});
