// The load, from the other core: wrk where it is to be had and one file is asked for, else our own generator (benchmark/native/load).
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { buildNative } from '../harness/native';
import type { BenchOptions } from '../harness/options';
import { aptPeer } from '../harness/peers';
import { report, run, tail } from '../harness/processes';
import type { LeftOut } from '../harness/result';
import type { Ask } from './asks';
import type { Plan } from './plans';

/** What a load found. */
export interface Load {
  requests: number;
  seconds: number;
  bytes: number;
  p50: number;
  p99: number;
  /** Requests that failed or were not answered as they should. */
  errors: number;
}

/** What is asked of whom. */
export interface Given {
  plan: Plan;
  port: number;
  asks: readonly Ask[];
  /** PEM file of the certificate, for HTTPS. */
  certificate?: string;
  /** Where its plan is written for our generator. */
  file: string;
}

/** Sends requests for a while, as often as it is called. */
export type Generator = (seconds: number) => Promise<Load>;

/** Both generators. */
export interface Generators {
  /** What the rows of one file are measured with. */
  name: string;
  /** Directory of our native programs. */
  programs: string;
  /** The one that fits what is asked. */
  generator(given: Given): Generator;
}

const timeoutMs = (seconds: number): number => (seconds * 2 + 60) * 1000;

/** Builds ours, and finds wrk. */
export async function loadGenerators(options: BenchOptions, core: number, leftOut: LeftOut[]): Promise<Generators> {
  const programs = await buildNative('ours', ['load'], options);
  // wrk counts in whole seconds, which a smoke does not have.
  const wrk = options.smoke ? undefined : await aptPeer('wrk', options, leftOut);
  const ours = (given: Given): Generator => {
    writeFileSync(given.file, JSON.stringify(planOf(given)));
    const command = path.join(programs, 'load');
    return (seconds) => report<Load>({ command, arguments: [given.file, String(seconds)], core }, timeoutMs(seconds));
  };
  const theirs = ({ plan, port, asks }: Given, { command, environment }: NonNullable<typeof wrk>): Generator => {
    const url = `http://127.0.0.1:${port}${asks[0]?.url ?? '/'}`;
    return async (seconds) => {
      const time = `-d${Math.max(1, Math.round(seconds))}s`;
      const flags = ['-t1', `-c${plan.connections}`, time, '--timeout', '10s', '--latency'];
      const ended = await run({ command, arguments: [...flags, url], environment, core }, timeoutMs(seconds));
      if (ended.code !== 0)
        throw new Error(`wrk ended with ${ended.code}: ${tail(ended.stderr) || tail(ended.stdout)}`);
      return readWrk(ended.stdout);
    };
  };
  return {
    name: wrk === undefined ? 'benchmark/native/load' : 'wrk',
    programs,
    generator: (given) => (wrk !== undefined && wrkCan(given) ? theirs(given, wrk) : ours(given)),
  };
}

/**
 * Plain requests for one file. What it takes for right is any status below 400, and for wrong is a reset that comes after the whole answer, so
 * ours asks for everything else.
 */
function wrkCan({ plan, asks }: Given): boolean {
  const { way, close, ranges, conditional, slow, cold } = plan;
  return way === 'files' && asks.length === 1 && !(close || ranges || conditional || slow || cold);
}

/** As `benchmark/native/load/src/plan.rs` reads it. */
function planOf({ plan, port, asks, certificate }: Given): object {
  return {
    address: `127.0.0.1:${port}`,
    connections: plan.connections,
    close: plan.close === true,
    certificate: certificate ?? null,
    slow: plan.slow ?? null,
    order: plan.cold ? 'once' : 'zipf',
    requests: asks.map(({ head, status, length }) => ({ head, status, length })),
  };
}

const units: Readonly<Record<string, number>> = { us: 1, ms: 1e3, s: 1e6, m: 6e7 };
const sizes: Readonly<Record<string, number>> = { B: 1, KB: 2 ** 10, MB: 2 ** 20, GB: 2 ** 30, TB: 2 ** 40 };

/** What wrk printed, as numbers. Throws when there is no result in it. */
export function readWrk(text: string): Load {
  const total = /(\d+) requests in ([\d.]+)(us|ms|s|m), ([\d.]+)(B|KB|MB|GB|TB) read/.exec(text);
  const percentile = (at: number): number => {
    const found = new RegExp(`\\s${at}%\\s+([\\d.]+)(us|ms|s|m)`).exec(text);
    return Number(found?.[1]) * (units[found?.[2] ?? ''] ?? Number.NaN);
  };
  if (total === null) throw new Error(`wrk said nothing that can be read: ${tail(text)}`);
  const [, requests, time, timeUnit = '', bytes, byteUnit = ''] = total;
  const sockets = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text) ?? [];
  const bad = /Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0;
  return {
    requests: Number(requests),
    seconds: (Number(time) * (units[timeUnit] ?? Number.NaN)) / 1e6,
    bytes: Number(bytes) * (sizes[byteUnit] ?? Number.NaN),
    p50: percentile(50),
    p99: percentile(99),
    errors: sockets.slice(1).reduce((sum, count) => sum + Number(count), 0) + Number(bad),
  };
}
