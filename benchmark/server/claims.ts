// What is promised of the server, and what is wished for beyond that.
import type { Claim } from '../harness/result';
import { plans, rowName } from './plans';

const row = (name: string): string => rowName({ name });

const cpu = (name: string, against: string, limit: number): Claim => ({
  row: row(name),
  metric: 'CPU',
  against,
  relation: '<=',
  limit,
});

/** The figures that are required. */
const required: readonly Claim[] = [
  cpu('1 KiB', 'nginx', 0.6),
  { ...cpu('1 KiB', 'best', 1), relation: '<' },
  cpu('1 KiB', 'node sirv', 1 / 12),
  { row: row('1 KiB'), metric: 'busy', relation: '>=', limit: 95 },
  cpu('10 KiB', 'nginx', 0.8),
  cpu('100 KiB', 'nginx', 1.05),
  { row: row('100 KiB'), metric: 'p99', against: 'nginx', relation: '<=', limit: 0.2 },
  cpu('1 MiB', 'nginx', 0.62),
  { row: row('1 MiB'), metric: 'requests', against: 'nginx', relation: '>=', limit: 1 },
  cpu('1000 files', 'nginx', 0.7),
  cpu('cold, 512 × 1 MiB', 'nginx aio threads', 0.5),
  { row: row('cold, 512 × 1 MiB'), metric: 'p99', against: 'nginx aio threads', relation: '<=', limit: 1 },
  // Requests per CPU second are the inverse: 1.8 times as many.
  cpu('route, hello world', 'node http', 1 / 1.8),
  cpu('route, hello world', 'bun fetch', 1),
];

/** Flat memory: what one sample adds, MiB, once the server is warm. */
const growthMax = 2;
const flat = plans
  .filter(({ slow, cold, name }) => !slow && !cold && name !== '100000 files')
  .map((plan): Claim => ({ row: rowName(plan), metric: 'growth', relation: '<=', limit: growthMax }));

const goals: readonly Claim[] = [
  cpu('1 KiB', 'nginx', 0.54),
  cpu('10 KiB', 'nginx', 0.72),
  cpu('100 KiB', 'nginx', 0.95),
  cpu('1 MiB', 'nginx', 0.55),
  cpu('1000 files', 'nginx', 0.6),
  cpu('1 MiB', 'bun file routes', 1),
  cpu('100 MiB', 'bun file routes', 1),
];

/** All of them, in the order of the table. */
export const claims: readonly Claim[] = [
  ...required,
  ...flat,
  ...goals.map((claim): Claim => ({ ...claim, goal: true })),
];
