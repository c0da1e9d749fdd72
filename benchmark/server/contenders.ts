// Who is measured, in which rows, and how each is started. To add one, add a server.
import { statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BenchOptions } from '../harness/options';
import { cargoProgram, npmModules } from '../harness/packages';
import { aptPeer, npmPeer } from '../harness/peers';
import type { Start } from '../harness/processes';
import type { LeftOut } from '../harness/result';
import { caddy, h2o, lighttpd, nginx, nginxThreads, type Place, staticWebServer } from './configurations';
import { hello, type Plan, type Way } from './plans';

/** What a start may need beside the place. */
export interface Surroundings {
  /** URL of the built package. */
  ringwheel: string;
  way: Way;
  options: BenchOptions;
}

/** A server that can be measured. */
export interface Server {
  name: string;
  /** The rows it is in: those of its ways, and of these only some. */
  ways: readonly Way[];
  rows?: (plan: Plan) => boolean;
  /** It cannot be made to send all fields that the others send. */
  sendsLess?: true;
  /** Throws `Absent` when it is not to be had. */
  start(place: Place, surroundings: Surroundings): Promise<Start>;
}

/** It is not to be had here, which is no failure. */
export class Absent extends Error {}

const script = (name: string): string => path.join(__dirname, name);

/** Ours, with more options or another environment. */
const ours =
  (more: object = {}, rest: Partial<Start> = {}) =>
  async ({ root, port, tls }: Place, { ringwheel, way }: Surroundings): Promise<Start> => ({
    command: process.execPath,
    arguments: [script('serve-ringwheel.mjs'), JSON.stringify({ ringwheel, way, hello, root, port, tls, ...more })],
    ...rest,
  });

/** The user that `ringwheel, unprivileged` runs as: nobody, everywhere. */
const nobody = 65_534;

async function unprivileged(place: Place, surroundings: Surroundings): Promise<Start> {
  if (process.getuid?.() !== 0) throw new Absent('only root can start it as somebody who does not own the files');
  for (const needed of [place.root, fileURLToPath(surroundings.ringwheel), process.execPath]) mustBeOpen(needed);
  return ours({}, { user: nobody })(place, surroundings);
}

/** Throws when a path, or a directory above it, is closed to others. */
function mustBeOpen(needed: string): void {
  for (let at = needed; ; at = path.dirname(at)) {
    const wanted = statSync(at).isDirectory() ? 0o005 : 0o004;
    if ((statSync(at).mode & wanted) !== wanted) throw new Absent(`${at} is closed to other users`);
    if (at === path.dirname(at)) return;
  }
}

/** What `log` writes, thrown away with the directory. */
async function logging(place: Place, surroundings: Surroundings): Promise<Start> {
  return ours({ accessLog: path.join(place.scratch, 'access.log') })(place, surroundings);
}

const bun =
  (kind: string) =>
  async (place: Place, { options }: Surroundings): Promise<Start> => {
    const { command, environment } = await orAbsent((leftOut) => npmPeer('bun', options, leftOut));
    return { command, environment, arguments: [script('serve-bun.mjs'), JSON.stringify({ ...place, kind, hello })] };
  };

const node =
  (kind: string, packages = false) =>
  async (place: Place, { options }: Surroundings): Promise<Start> => {
    const modules = packages ? await installed(() => npmModules('node', script('peers'), options)) : undefined;
    const given = JSON.stringify({ ...place, kind, modules, hello });
    return { command: process.execPath, arguments: [script('serve-node.mjs'), given] };
  };

const configured =
  (name: string, configuration: (place: Place) => string, flags: readonly string[]) =>
  async (place: Place, { options }: Surroundings): Promise<Start> => {
    const { command, environment } = await orAbsent((leftOut) => aptPeer(name, options, leftOut));
    const file = path.join(place.scratch, `${name}.conf`);
    writeFileSync(file, configuration(place));
    // Caddy keeps its state in HOME, and has as many threads as GOMAXPROCS says.
    const own = { HOME: place.scratch, GOMAXPROCS: '1' };
    return { command, arguments: [...flags, file], environment: { ...environment, ...own } };
  };

async function sws(place: Place, { options }: Surroundings): Promise<Start> {
  const name = 'static-web-server';
  const command = await installed(() => cargoProgram(name, '2.44.1', ['--no-default-features'], options));
  const file = path.join(place.scratch, `${name}.toml`);
  writeFileSync(file, staticWebServer(place));
  return { command, arguments: ['--config-file', file] };
}

async function orAbsent<T>(find: (leftOut: LeftOut[]) => Promise<T | undefined>): Promise<T> {
  const leftOut: LeftOut[] = [];
  const found = await find(leftOut);
  if (found === undefined) throw new Absent(leftOut[0]?.reason ?? 'not installed');
  return found;
}

async function installed<T>(find: () => Promise<T>): Promise<T> {
  try {
    return await find();
  } catch (error) {
    throw new Absent(error instanceof Error ? error.message : String(error));
  }
}

const named =
  (...names: readonly string[]) =>
  ({ name }: Plan): boolean =>
    names.includes(name);
/** Bodies in memory are for what fits there. */
const inMemory = ({ part }: Plan): boolean => part !== 'many' && part !== 'cold';
/** A route for each of 100,000 files takes minutes to set up. */
const inRoutes = ({ part }: Plan): boolean => part !== 'many';
/** What people write in JavaScript is some fifteen times slower: a few rows show it. */
const middleware = named('1 KiB', '100 KiB', '1 MiB', '1000 files', 'range, 16 KiB of 1 MiB', '304, 10 KiB');

/** Everybody, ours first. */
export const servers: readonly Server[] = [
  { name: 'ringwheel', ways: ['files', 'tls', 'route'], start: ours() },
  {
    name: 'ringwheel-poll',
    ways: ['files', 'tls', 'route'],
    start: ours({}, { environment: { RINGWHEEL_DRIVER: 'poll' } }),
  },
  { name: 'ringwheel, RouteResponse', ways: ['route'], start: ours({ own: true }) },
  { name: 'ringwheel, access log', ways: ['files'], rows: named('1 KiB', '1000 files'), start: logging },
  {
    name: 'ringwheel, unprivileged',
    ways: ['files'],
    rows: named('1 KiB', '100 KiB', '1 MiB', 'cold, 512 × 1 MiB'),
    start: unprivileged,
  },
  { name: 'nginx', ways: ['files', 'tls'], start: configured('nginx', nginx, ['-c']) },
  { name: 'nginx aio threads', ways: ['files'], start: configured('nginx', nginxThreads, ['-c']) },
  { name: 'h2o', ways: ['files', 'tls'], start: configured('h2o', h2o, ['-c']) },
  { name: 'lighttpd', ways: ['files'], start: configured('lighttpd', lighttpd, ['-D', '-f']) },
  {
    name: 'caddy',
    ways: ['files', 'tls'],
    start: configured('caddy', caddy, ['run', '--adapter', 'caddyfile', '--config']),
  },
  { name: 'static-web-server', ways: ['files'], start: sws },
  { name: 'bun memory routes', ways: ['files', 'tls'], rows: inMemory, start: bun('memory') },
  { name: 'bun file routes', ways: ['files', 'tls'], rows: inRoutes, start: bun('file') },
  { name: 'bun directory route', ways: ['files'], sendsLess: true, start: bun('directory') },
  { name: 'bun fetch', ways: ['route'], start: bun('fetch') },
  { name: 'node http in memory', ways: ['files', 'tls'], rows: inMemory, start: node('memory') },
  { name: 'node sirv', ways: ['files'], rows: middleware, start: node('sirv', true) },
  { name: 'node send', ways: ['files'], rows: middleware, start: node('send', true) },
  { name: 'node @fastify/static', ways: ['files'], rows: middleware, start: node('fastify', true) },
  { name: 'node http', ways: ['route'], start: node('hello') },
];

/** Whether a server is in a row. */
export function isIn(server: Server, plan: Plan): boolean {
  return server.ways.includes(plan.way) && (server.rows?.(plan) ?? true);
}
