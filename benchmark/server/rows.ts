// `bench server`: static files over HTTP/1.1, the server on one core and the load on another, CPU of the server per request.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { builtPackage } from '../harness/built';
import { type BenchOptions, passes } from '../harness/options';
import { tail, whenEnding } from '../harness/processes';
import { say } from '../harness/progress';
import type { LeftOut, Metric } from '../harness/result';
import type { Row } from '../harness/rounds';
import { packageRoot, residentBytes, workspace } from '../harness/workspace';
import type { Benchmark } from '../main';
import { asks, check } from './asks';
import { claims } from './claims';
import { isIn, servers } from './contenders';
import { Fleet, type Running } from './fleet';
import { type Generators, loadGenerators } from './load';
import { type Plan, plans, rowName } from './plans';
import { headBytes, type Prepared, sample, sampleSlow } from './samples';
import { type Part, Site } from './site';

const metrics: readonly Metric[] = [
  { name: 'CPU', unit: 'µs/request', better: 'lower' },
  { name: 'requests', unit: '/s', better: 'higher' },
  { name: 'p50', unit: 'µs', better: 'lower', ratio: false },
  { name: 'p99', unit: 'µs', better: 'lower', ratio: false },
  { name: 'busy', unit: '%', better: 'higher', ratio: false },
  { name: 'memory', unit: 'MiB', better: 'lower', ratio: false },
  { name: 'growth', unit: 'MiB', better: 'lower', ratio: false },
];

const slowMetrics: readonly Metric[] = [
  { name: 'CPU', unit: 'µs/MiB', better: 'lower' },
  { name: 'served', unit: 'MiB/s', better: 'higher', ratio: false },
  { name: 'busy', unit: '%', better: 'lower', ratio: false },
  { name: 'memory', unit: 'MiB at most', better: 'lower' },
];

/** The names for `--help`. */
export const names = { rows: plans.map(rowName), contenders: servers.map(({ name }) => name) };

/** How long a server is asked before it is measured, seconds: what runs JavaScript has to be compiled. */
const warmSeconds = 0.5;

/** Makes the part of the site that is wanted; servers are started, checked and warmed up before the first of their rows. */
export async function server(options: BenchOptions, leftOut: LeftOut[]): Promise<Benchmark> {
  const ringwheel = await builtPackage(options);
  const directory = workspace(options);
  const wanted = plans.filter((plan) => passes(rowName(plan), options.rows));
  say('making the files that are served …');
  const site = new Site(directory, new Set<Part>(wanted.flatMap(({ part }) => part ?? [])), options.smoke);
  const scratch = mkdtempSync(path.join(directory, 'servers-'));
  whenEnding(() => rmSync(scratch, { recursive: true, force: true }));
  // The load has the core that pinned contenders have elsewhere, the server the other one, in every comparison.
  const [core, loadCore] = [options.otherCore, options.core];
  const load = await loadGenerators(options, loadCore, leftOut);
  say(`servers on core ${core}, the load on core ${loadCore}: ${load.name} for plain requests of one file, else ours`);
  const certificates = path.join(packageRoot, '__test__', 'support', 'tls');
  const tls = {
    cert: path.join(certificates, 'localhost.cert.pem'),
    key: path.join(certificates, 'localhost.key.pem'),
  };
  const fleet = new Fleet({ ringwheel, site, scratch, core, tls, options, leftOut });
  const rows = (options.smoke ? plans.map(small) : plans).map((plan) =>
    rowOf(plan, { fleet, load, site, options, leftOut, tls, scratch }),
  );
  return { rows, claims, end: () => fleet.end() };
}

/** A smoke tries the way, not the crowd. */
function small(plan: Plan): Plan {
  return { ...plan, connections: Math.min(plan.connections, 4) };
}

interface Parts {
  fleet: Fleet;
  load: Generators;
  site: Site;
  options: BenchOptions;
  leftOut: LeftOut[];
  tls: { cert: string };
  scratch: string;
}

function rowOf(plan: Plan, parts: Parts): Row {
  const { fleet, options, leftOut } = parts;
  const prepared = new Map<string, Prepared>();
  const contenders = servers
    .filter((server) => isIn(server, plan))
    .map(({ name }) => ({
      name,
      sample: async () => {
        const one = prepared.get(name);
        if (one === undefined) throw new Error('it was not prepared');
        if (plan.cold) dropCache(parts, plan);
        return plan.slow ? sampleSlow(one, options) : sample(one, options);
      },
    }));
  return {
    name: rowName(plan),
    metrics: plan.slow ? slowMetrics : metrics,
    contenders,
    async prepare(names) {
      prepared.clear();
      await fleet.use(plan.way, names);
      const cannot = new Set<string>();
      for (const name of names) {
        const running = fleet.get(name);
        if (running === undefined) {
          cannot.add(name);
          continue;
        }
        try {
          prepared.set(name, await prepareOne(plan, running, parts));
        } catch (error) {
          cannot.add(name);
          const reason = error instanceof Error ? error.message : String(error);
          leftOut.push({ contender: `${rowName(plan)}: ${name}`, reason });
        }
      }
      return cannot;
    },
  };
}

/** Looks at some answers, and lets the server become warm. */
async function prepareOne(plan: Plan, running: Running, parts: Parts): Promise<Prepared> {
  const { site, options, load, scratch, tls } = parts;
  const { etag, headers } = await check(plan, site, running, running.sendsLess);
  if (options.rows.length > 0 && !options.smoke) say(`  ${running.name}: ${headBytes(headers)} bytes of head`);
  const file = path.join(scratch, `${running.name.replaceAll(/\W+/g, '-')}.plan.json`);
  const all = asks(plan, site, running, etag);
  const given = { plan, port: running.port, asks: all, file, ...(running.certificate && { certificate: tls.cert }) };
  const generator = load.generator(given);
  const { errors } = options.smoke || plan.slow ? { errors: 0 } : await generator(warmSeconds);
  if (errors > 0) throw new Error(`${errors} requests failed while it was warmed up`);
  return { plan, running, asks: all, headers, generator };
}

/** Takes the files of a row from the page cache, and looks whether they went. */
function dropCache({ load, site }: Parts, { part }: Plan): void {
  const files = part === undefined ? [] : site.pages(part).map(({ url }) => site.file(url));
  const done = spawnSync(path.join(load.programs, 'drop-cache'), { input: files.join('\n'), encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`the page cache cannot be dropped: ${tail(done.stderr)}`);
  const left = residentBytes(files[0] ?? '') ?? 0;
  if (left > 0)
    throw new Error(`${left} bytes of ${files[0]} stayed in the page cache: is that a file system in memory?`);
}
