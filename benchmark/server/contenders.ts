// Starts the servers, each in a process of its own on the server's core, and checks that each sends the right bytes.
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { createServer } from 'node:net';
import path from 'node:path';
import { type BenchOptions, passes } from '../harness/options';
import { aptPeer, npmPeer, type PeerProgram } from '../harness/peers';
import { type Start, start, stop, tail } from '../harness/processes';
import type { Result } from '../harness/result';
import { h2o, lighttpd, nginx, type Place } from './configurations';
import { type Page, sha256 } from './site';

/** A server that runs. */
export interface RunningServer {
  name: string;
  port: number;
  child: ChildProcess;
  /** Names and values of the headers of its answer, as they came. */
  headers: string[];
  driver?: string;
}

/** How to start one. */
interface Server {
  name: string;
  start(place: Place): Promise<Start | undefined>;
}

/** Every answer of every contender carries these. What differs beyond them is printed. */
const sameHeaders = ['server', 'date', 'content-type', 'content-length', 'last-modified', 'etag', 'accept-ranges'];

function servers(ringwheel: string, options: BenchOptions, leftOut: Result['leftOut']): Server[] {
  const script = (name: string): string => path.join(__dirname, name);
  const ours = (environment: Record<string, string>) => async (place: Place) => ({
    command: process.execPath,
    arguments: [script('serve-ringwheel.mjs'), JSON.stringify({ ringwheel, root: place.root, port: place.port })],
    environment,
  });
  const bun = (kind: string) => async (place: Place) => {
    const program = await npmPeer('bun', options, leftOut);
    return program && withProgram(program, [script('serve-bun.mjs'), JSON.stringify({ ...place, kind })]);
  };
  const configured =
    (name: string, configuration: (place: Place) => string, flags: string[]) => async (place: Place) => {
      const program = await aptPeer(name, options, leftOut);
      const file = path.join(place.scratch, `${name}.conf`);
      writeFileSync(file, configuration(place));
      return program && withProgram(program, [...flags, file]);
    };
  return [
    { name: 'ringwheel', start: ours({}) },
    { name: 'ringwheel-poll', start: ours({ RINGWHEEL_DRIVER: 'poll' }) },
    { name: 'nginx', start: configured('nginx', nginx, ['-c']) },
    { name: 'h2o', start: configured('h2o', h2o, ['-c']) },
    { name: 'lighttpd', start: configured('lighttpd', lighttpd, ['-D', '-f']) },
    { name: 'bun memory routes', start: bun('memory') },
    { name: 'bun file routes', start: bun('file') },
    {
      name: 'node http in memory',
      start: async (place) => ({
        command: process.execPath,
        arguments: [script('serve-node.mjs'), JSON.stringify(place)],
      }),
    },
  ];
}

function withProgram(program: PeerProgram, given: string[]): Start {
  return { command: program.command, arguments: given, environment: program.environment };
}

/** Starts all that can be started and serve every page right; names the others in `leftOut`. */
export async function startServers(
  ringwheel: string,
  site: { root: string; pages: readonly Page[] },
  scratch: string,
  core: number,
  options: BenchOptions,
  leftOut: Result['leftOut'],
): Promise<RunningServer[]> {
  const running: RunningServer[] = [];
  for (const { name, start: prepare } of servers(ringwheel, options, leftOut)) {
    if (!passes(name, options.only)) continue;
    const place = { root: site.root, scratch: path.join(scratch, name.replaceAll(' ', '-')), port: await freePort() };
    mkdirSync(place.scratch, { recursive: true });
    const how = await prepare(place);
    if (how === undefined) continue;
    const child = start({ ...how, core });
    try {
      running.push(await ready(name, place.port, child, site.pages));
    } catch (error) {
      leftOut.push({ contender: name, reason: error instanceof Error ? error.message : String(error) });
      await stop(child);
    }
  }
  return running;
}

/** Waits until the server answers, then checks every page's body by its hash. */
async function ready(name: string, port: number, child: ChildProcess, pages: readonly Page[]): Promise<RunningServer> {
  let said = '';
  let error = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-4000);
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    error = (error + text).slice(-4000);
  });
  const until = performance.now() + 10_000;
  let headers: string[] = [];
  for (const page of pages) {
    for (;;) {
      try {
        const answer = await get(port, page.url);
        if (answer.status !== 200) throw new WrongAnswer(`${page.url} gave status ${answer.status}`);
        if (sha256(answer.body) !== page.sha256)
          throw new WrongAnswer(`${page.url} gave ${answer.body.length} wrong bytes`);
        headers = answer.headers;
        break;
      } catch (failure) {
        const over = performance.now() > until || child.exitCode !== null || failure instanceof WrongAnswer;
        if (over) throw new Error(`${failure instanceof Error ? failure.message : failure} ${tail(error)}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }
  const names = new Set(headers.filter((_, at) => at % 2 === 0).map((header) => header.toLowerCase()));
  const missing = sameHeaders.filter((header) => !names.has(header));
  if (missing.length > 0) throw new Error(`its answer lacks ${missing.join(', ')}: it would send less than the others`);
  const line = said.split('\n').find((text) => text.startsWith('{'));
  const driver = line === undefined ? undefined : (JSON.parse(line) as { driver?: string }).driver;
  return { name, port, child, headers, ...(driver === undefined ? {} : { driver }) };
}

class WrongAnswer extends Error {}

function get(port: number, url: string): Promise<{ status: number; headers: string[]; body: Buffer }> {
  return new Promise((resolve, reject) => {
    // Kept alive as under load, or some would say `Connection: close` here and nothing there.
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const request = http.get({ host: '127.0.0.1', port, path: url, agent, timeout: 5000 }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.once('error', reject);
      response.once('end', () => {
        setImmediate(() => agent.destroy());
        resolve({ status: response.statusCode ?? 0, headers: response.rawHeaders, body: Buffer.concat(parts) });
      });
    });
    request.once('timeout', () => request.destroy(new Error(`${url} was not answered within 5 s`)));
    request.once('error', reject);
  });
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
