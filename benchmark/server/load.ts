// The load: 64 keep-alive connections from the other core, by wrk where it is to be had, else by our own generator.
import path from 'node:path';
import { buildNative } from '../harness/native';
import type { BenchOptions } from '../harness/options';
import { aptPeer } from '../harness/peers';
import { report, run, tail } from '../harness/processes';
import type { Result } from '../harness/result';
import type { Page } from './site';

/** What a load found. */
export interface Load {
  requests: number;
  seconds: number;
  bytes: number;
  p50: number;
  p99: number;
  /** Requests that failed or were not answered with 200. */
  errors: number;
}

/** Sends requests for one page to one port for a while. */
export type Generator = (port: number, page: Page, seconds: number) => Promise<Load>;

/** Requests in flight: one on each connection. */
export const connections = 64;

/** wrk, or our own. */
export async function loadGenerator(
  options: BenchOptions,
  core: number,
  leftOut: Result['leftOut'],
): Promise<{ name: string; run: Generator }> {
  // wrk counts in whole seconds, which a smoke does not have.
  const wrk = options.smoke ? undefined : await aptPeer('wrk', options, leftOut);
  if (wrk !== undefined) {
    return {
      name: 'wrk',
      run: async (port, page, seconds) => {
        const given = [
          '-t1',
          `-c${connections}`,
          `-d${Math.max(1, Math.round(seconds))}s`,
          '--timeout',
          '10s',
          '--latency',
        ];
        const { code, stdout, stderr } = await run(
          {
            command: wrk.command,
            arguments: [...given, `http://127.0.0.1:${port}${page.url}`],
            environment: wrk.environment,
            core,
          },
          (seconds * 2 + 30) * 1000,
        );
        if (code !== 0) throw new Error(`wrk ended with ${code}: ${tail(stderr) || tail(stdout)}`);
        return readWrk(stdout);
      },
    };
  }
  const directory = await buildNative('ours', ['load'], options);
  return {
    name: 'benchmark/native/load',
    run: (port, page, seconds) =>
      report<Load>(
        {
          command: path.join(directory, 'load'),
          arguments: [`127.0.0.1:${port}`, page.url, String(connections), String(seconds), String(page.bytes)],
          core,
        },
        (seconds * 2 + 30) * 1000,
      ),
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
