// `bench server`: static files over HTTP/1.1, the server on one core and the load on another, CPU of the server per request.
import { mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { builtPackage } from '../harness/built';
import { ForeignCpu, treeCpu } from '../harness/cpu';
import { type BenchOptions, passes } from '../harness/options';
import { stop, whenEnding } from '../harness/processes';
import { say } from '../harness/progress';
import type { Claim, Metric, Result } from '../harness/result';
import type { Row, Sample } from '../harness/rounds';
import { workspace } from '../harness/workspace';
import type { Benchmark } from '../main';
import { type RunningServer, startServers } from './contenders';
import { connections, type Generator, loadGenerator } from './load';
import { makeSite, type Page } from './site';

const metrics: Metric[] = [
  { name: 'CPU', unit: 'µs/request', better: 'lower' },
  { name: 'requests', unit: '/s', better: 'higher' },
  { name: 'p50', unit: 'µs', better: 'lower', ratio: false },
  { name: 'p99', unit: 'µs', better: 'lower', ratio: false },
];

const rowName = (size: string): string => `server, ${size}`;

/** Issue 3, point 10. */
const claims: Claim[] = [
  { row: rowName('1 KiB'), metric: 'CPU', against: 'nginx', relation: '<=', limit: 0.6 },
  { row: rowName('1 KiB'), metric: 'CPU', against: 'h2o', relation: '<', limit: 1 },
  { row: rowName('1 KiB'), metric: 'CPU', against: 'bun memory routes', relation: '<', limit: 1 },
  { row: rowName('10 KiB'), metric: 'CPU', against: 'nginx', relation: '<=', limit: 0.8 },
  { row: rowName('1 MiB'), metric: 'CPU', against: 'nginx', relation: '<=', limit: 0.65 },
  { row: rowName('1 MiB'), metric: 'requests', against: 'nginx', relation: '>=', limit: 1 },
];

/** Makes the site, starts every server, checks every body, and warms each up. */
export async function server(options: BenchOptions, leftOut: Result['leftOut']): Promise<Benchmark> {
  const ringwheel = await builtPackage(options);
  const directory = workspace(options);
  const site = makeSite(directory);
  const scratch = mkdtempSync(path.join(directory, 'servers-'));
  whenEnding(() => rmSync(scratch, { recursive: true, force: true }));
  // The load has the core that pinned contenders have elsewhere, the server the other one, in every comparison.
  const [serverCore, loadCore] = [options.otherCore, options.core];
  const load = await loadGenerator(options, loadCore, leftOut);
  const servers = await startServers(ringwheel, site, scratch, serverCore, options, leftOut);
  say(
    `servers on core ${serverCore}, ${load.name} on core ${loadCore} with ${connections} keep-alive connections; bodies checked by SHA-256`,
  );
  for (const { name, headers } of servers)
    say(`  ${name}: ${headBytes(headers)} bytes of head: ${headers.filter((_, at) => at % 2 === 0).join(', ')}`);
  for (const { port } of servers) {
    for (const page of site.pages.filter(({ size }) => passes(rowName(size), options.rows)))
      await load.run(port, page, options.smoke ? 0.05 : 1);
  }
  const rows: Row[] = site.pages.map((page) => ({
    name: rowName(page.size),
    metrics,
    contenders: servers.map((running) => ({
      name: running.name,
      sample: () => sample(running, page, load.run, options),
    })),
  }));
  const end = async (): Promise<void> => {
    await Promise.all(servers.map(({ child }) => stop(child)));
  };
  return { rows, claims, end };
}

async function sample(running: RunningServer, page: Page, load: Generator, options: BenchOptions): Promise<Sample> {
  const root = running.child.pid ?? 0;
  const before = treeCpu(root);
  const others = new ForeignCpu();
  const found = await load(running.port, page, options.seconds);
  const cpu = treeCpu(root) - before;
  const foreign = others.foreign(cpu);
  if (running.child.exitCode !== null || running.child.signalCode !== null)
    throw new Error('the server ended during the load');
  if (found.errors > 0) throw new Error(`${found.errors} requests failed`);
  const each = found.bytes / found.requests;
  // What was under way when the load ended is in the bytes and not in the requests.
  const slack = (connections * page.bytes) / found.requests + 0.02 * page.bytes;
  // wrk prints its bytes with three digits: "2.75GB".
  if (!(each >= page.bytes * 0.995 && each <= page.bytes + headBytes(running.headers) * 1.5 + slack)) {
    throw new Error(
      `a request brought ${Math.round(each)} bytes on average: not the ${page.bytes} of the file and a head`,
    );
  }
  const sampled: Sample = {
    foreign,
    values: {
      CPU: (cpu * 1e6) / found.requests,
      requests: found.requests / found.seconds,
      p50: found.p50,
      p99: found.p99,
    },
  };
  if (running.driver !== undefined) sampled.driver = running.driver;
  return sampled;
}

/** Bytes of an answer's head: status line, headers, empty line. */
function headBytes(headers: readonly string[]): number {
  const status = 'HTTP/1.1 200 OK\r\n'.length;
  return headers.reduce((sum, text) => sum + Buffer.byteLength(text) + 2, status + 2);
}
