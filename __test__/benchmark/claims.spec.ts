// What is said of a claim: held or missed, by the median, against a named peer or the best of all; and who is missing in a row, with the reason.
import test from 'ava';
import { judge } from '../../benchmark/harness/claims';
import { describeMachine } from '../../benchmark/harness/machine';
import type { BenchOptions } from '../../benchmark/harness/options';
import type { Claim, Result, ResultRow } from '../../benchmark/harness/result';
import { measure, type Row } from '../../benchmark/harness/rounds';
import { whyMissing } from '../../benchmark/harness/table';

const row = (contender: string, values: number[]): ResultRow => ({
  row: 'r',
  contender,
  metric: 'CPU',
  unit: 'µs',
  better: 'lower',
  values,
  foreign: values.map(() => 0),
});

const result: Result = {
  machine: describeMachine(),
  rows: [
    row('ringwheel', [5, 6, 5]),
    row('ringwheel-poll', [1, 1, 1]),
    row('nginx', [10, 10, 10]),
    row('bun', [6, 7, 6]),
  ],
  repeated: 0,
  noisy: 0,
  leftOut: [],
};

const claim: Claim = { row: 'r', metric: 'CPU', against: 'nginx', relation: '<=', limit: 0.5 };

test('the median of the rounds decides whether a claim held', (t) => {
  const [held, missed, alone] = judge(result, [
    claim,
    { ...claim, limit: 0.49 },
    { row: 'r', metric: 'CPU', relation: '>=', limit: 5 },
  ]);
  t.is(held?.held, true);
  t.deepEqual(held?.measured, { median: 0.5, low: 0.5, high: 0.6 });
  t.is(missed?.held, false);
  t.is(alone?.held, true);
});

test('the best of the others is not one of ours', (t) => {
  const [verdict] = judge(result, [{ ...claim, against: 'best', relation: '<', limit: 1 }]);
  t.is(verdict?.against, 'bun');
  t.is(verdict?.held, true);
});

test('a claim about somebody who is absent is not judged, one about a row that was not measured is not told', (t) => {
  const found = judge(result, [
    { ...claim, against: 'h2o' },
    { ...claim, row: 'another' },
  ]);
  t.deepEqual(
    found.map(({ held, against }) => [held, against]),
    [[undefined, 'h2o']],
  );
});

test('who cannot do a row is not asked, and the others are measured', async (t) => {
  const prepared: string[] = [];
  const contender = (name: string) => ({ name, sample: async () => ({ values: { CPU: 1 }, foreign: 0 }) });
  const rows: Row[] = [
    {
      name: 'r',
      metrics: [{ name: 'CPU', unit: 'µs', better: 'lower' }],
      contenders: ['ringwheel', 'broken', 'unwanted'].map(contender),
      async prepare(names) {
        prepared.push(...names);
        return new Set(['broken']);
      },
    },
  ];
  const options: Partial<BenchOptions> = { rounds: 2, rows: [], only: ['ringwheel', 'broken'], smoke: true };
  const { rows: found, leftOut } = await measure(rows, options as BenchOptions, []);
  t.deepEqual(prepared, ['ringwheel', 'broken']);
  t.deepEqual(
    found.map(({ contender, values }) => [contender, values]),
    [['ringwheel', [1, 1]]],
  );
  t.deepEqual(leftOut, []);
});

test('why somebody is missing is looked for by row and name, then by name', (t) => {
  const leftOut = [
    { contender: 'caddy', reason: 'not installed', absent: true as const },
    { contender: 'r: h2o', reason: 'wrong bytes' },
  ];
  t.is(whyMissing('r', 'caddy', leftOut), 'absent: not installed');
  t.is(whyMissing('r', 'h2o', leftOut), 'left out: wrong bytes');
  t.is(whyMissing('another', 'h2o', leftOut), '');
});
