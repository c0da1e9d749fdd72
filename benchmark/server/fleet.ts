// The servers that run: each in a process of its own on the server's core, started for the rows of one way and ended before the next.
import type { ChildProcess } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import type { BenchOptions } from '../harness/options';
import { start, stop, tail } from '../harness/processes';
import type { LeftOut } from '../harness/result';
import { get, type Target } from './asks';
import { Absent, type Server, servers } from './contenders';
import type { Way } from './plans';
import type { Site } from './site';

/** A server that runs. */
export interface Running extends Target {
  name: string;
  child: ChildProcess;
  sendsLess: boolean;
  driver?: string;
}

/** What all servers of a run have in common. */
export interface Common {
  ringwheel: string;
  site: Site;
  scratch: string;
  core: number;
  tls: { cert: string; key: string };
  options: BenchOptions;
  leftOut: LeftOut[];
}

/** Whom a smoke starts: ours, and one peer if it is there, so that what peers have is tried too. */
const inSmoke = (name: string): boolean => name.startsWith('ringwheel') || name === 'nginx' || name === 'node http';

/** How long a server may take until it answers: some read 100,000 files first. */
const patienceMs = 60_000;

/** Starts and ends servers. */
export class Fleet {
  readonly #running = new Map<string, Running>();
  readonly #tried = new Set<string>();
  #way: Way | undefined;

  constructor(readonly common: Common) {
    // One of ours runs as nobody, who has to get to the files. A directory that was named is left as it is.
    const ours = common.options.directory === undefined;
    if (ours && process.getuid?.() === 0) chmodSync(path.dirname(common.scratch), 0o755);
  }

  /** Has those servers run in that way that can; those who cannot are named in `leftOut`, once. */
  async use(way: Way, names: readonly string[]): Promise<void> {
    if (this.#way !== way) await this.end();
    this.#way = way;
    for (const server of servers) {
      const { name } = server;
      if (!names.includes(name) || this.#tried.has(name)) continue;
      this.#tried.add(name);
      if (this.common.options.smoke && !inSmoke(name)) continue;
      try {
        this.#running.set(name, await this.#start(server, way));
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        const absent = error instanceof Absent;
        if (!absent || !this.common.options.smoke)
          this.common.leftOut.push({ contender: name, reason, ...(absent && { absent }) });
      }
    }
  }

  /** A server, if it runs. */
  get(name: string): Running | undefined {
    return this.#running.get(name);
  }

  /** Ends all. */
  async end(): Promise<void> {
    await Promise.all([...this.#running.values()].map(({ child }) => stop(child)));
    this.#running.clear();
    this.#tried.clear();
  }

  async #start(server: Server, way: Way): Promise<Running> {
    const { common } = this;
    const scratch = path.join(common.scratch, `${server.name.replaceAll(/\W+/g, '-')}-${way}`);
    mkdirSync(scratch, { recursive: true });
    const tls = way === 'tls' ? { tls: common.tls } : {};
    const place = { root: common.site.root, scratch, port: await freePort(), ...tls };
    const how = await server.start(place, { ringwheel: common.ringwheel, way, options: common.options });
    const child = start({ ...how, core: common.core });
    const target = { port: place.port, ...(tls.tls && { certificate: readFileSync(tls.tls.cert) }) };
    try {
      const said = await ready(child, target);
      return { name: server.name, child, sendsLess: server.sendsLess === true, ...target, ...said };
    } catch (error) {
      await stop(child);
      throw error;
    }
  }
}

/** Waits until a server answers anything at all; returns what it said of itself. */
async function ready(child: ChildProcess, target: Target): Promise<{ driver?: string }> {
  const said = { stdout: '', stderr: '' };
  let failed: Error | undefined;
  child.once('error', (error) => {
    failed = error;
  });
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream]?.setEncoding('utf8').on('data', (text: string) => {
      said[stream] = (said[stream] + text).slice(-4000);
    });
  }
  const told = (): { driver?: string } =>
    JSON.parse(said.stdout.split('\n').find((line) => line.startsWith('{')) ?? '{}');
  const until = performance.now() + patienceMs;
  for (;;) {
    try {
      await get(target, '/is-it-there', {});
      const { driver } = told();
      return driver === undefined ? {} : { driver };
    } catch (error) {
      if (performance.now() > until || child.exitCode !== null || child.signalCode !== null || failed) {
        throw new Error(`it does not answer: ${failed?.message ?? String(error)} ${tail(said.stderr)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** A port nobody listens on now. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
