// One sample of one server: the load runs, and what the server used meanwhile is measured.
import { ForeignCpu, treeCpu } from '../harness/cpu';
import { peakMemory, treeMemory } from '../harness/memory';
import type { BenchOptions } from '../harness/options';
import type { Sample } from '../harness/rounds';
import type { Ask } from './asks';
import type { Running } from './fleet';
import type { Generator, Load } from './load';
import type { Plan } from './plans';

/** A server that is ready for a row. */
export interface Prepared {
  plan: Plan;
  running: Running;
  asks: readonly Ask[];
  /** Names and values of the fields of an answer, as they came. */
  headers: readonly string[];
  generator: Generator;
}

/** What was used while a load ran. */
interface Used {
  found: Load;
  /** Seconds. */
  cpu: number;
  foreign: number;
}

const MiB = 2 ** 20;

/** As fast as it can. */
export async function sample(one: Prepared, options: BenchOptions): Promise<Sample> {
  const root = one.running.child.pid ?? 0;
  const before = treeMemory(root);
  const { found, cpu, foreign } = await used(one, secondsOf(one, options));
  const after = treeMemory(root);
  const requests = whole(one, found);
  if (requests === 0) throw new Error('nothing was answered');
  return withDriver(one, {
    foreign,
    values: {
      CPU: (cpu * 1e6) / requests,
      requests: requests / found.seconds,
      p50: found.p50,
      p99: found.p99,
      busy: (cpu / found.seconds) * 100,
      memory: after / MiB,
      growth: (after - before) / MiB,
    },
  });
}

/** A thousand clients who take their time: what they cost, and the most memory there was meanwhile. */
export async function sampleSlow(one: Prepared, options: BenchOptions): Promise<Sample> {
  const root = one.running.child.pid ?? 0;
  const { done, peak } = await peakMemory(root, used(one, secondsOf(one, options)));
  const { found, cpu, foreign } = done;
  if (found.bytes === 0) throw new Error('nobody got anything');
  return withDriver(one, {
    foreign,
    values: {
      CPU: (cpu * 1e6) / (found.bytes / MiB),
      served: found.bytes / MiB / found.seconds,
      busy: (cpu / found.seconds) * 100,
      memory: peak / MiB,
    },
  });
}

/** Cold files are asked for once each, however long that takes. */
function secondsOf({ plan }: Prepared, { seconds }: BenchOptions): number {
  return plan.cold ? 60 : seconds * (plan.longer ?? 1);
}

async function used({ running, generator }: Prepared, seconds: number): Promise<Used> {
  const root = running.child.pid ?? 0;
  const before = treeCpu(root);
  const others = new ForeignCpu();
  const found = await generator(seconds);
  const cpu = treeCpu(root) - before;
  const foreign = others.foreign(cpu);
  if (running.child.exitCode !== null || running.child.signalCode !== null)
    throw new Error('the server ended during the load');
  if (found.errors > 0) throw new Error(`${found.errors} requests failed`);
  return { found, cpu, foreign };
}

/**
 * How many requests were answered. Of one file the bytes are checked, too, and where few large answers come in a sample, those that were
 * under way at its end count in part.
 */
function whole({ plan, asks, headers }: Prepared, { requests, bytes }: Load): number {
  const [only, second] = asks;
  const length = only?.length ?? 0;
  if (length === 0 || second !== undefined) return requests;
  const each = length + headBytes(headers);
  // What was under way when the load ended is in the bytes and not in the requests. wrk prints its bytes with three digits: "2.75GB".
  const [least, most] = [requests * length * 0.995, (requests + plan.connections) * (each + 300) * 1.02];
  if (!(bytes >= least && bytes <= most))
    throw new Error(`${requests} requests brought ${bytes} bytes, of a file of ${length} with a head`);
  return length >= 16 * MiB ? bytes / each : requests;
}

/** Bytes of an answer's head: status line, fields, empty line. */
export function headBytes(headers: readonly string[]): number {
  const status = 'HTTP/1.1 200 OK\r\n'.length;
  return headers.reduce((sum, text) => sum + Buffer.byteLength(text) + 2, status + 2);
}

function withDriver({ running: { driver } }: Prepared, found: Sample): Sample {
  return driver === undefined ? found : { ...found, driver };
}
