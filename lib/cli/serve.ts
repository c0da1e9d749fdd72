// `ringwheel serve`: starts a FileServer, says where and with what it runs, reads its configuration again on SIGHUP, starts its successor on
// SIGUSR2, and drains on the first SIGINT or SIGTERM, or when the successor serves.
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { ServeConfig } from '../api/config.js';
import type { FileServer } from '../api/file-server.js';
import { DRAIN_MS, type FileServerOptions } from '../api/server-options.js';
import { SETTLED } from '../api/server-reload.js';
import { version } from '../api/version.js';
import { tellOfLostLines } from './access-log.js';
import { tellOfCertificates } from './certificates.js';
import { shownConfig } from './check.js';
import { type Loaded, loadConfig, merged } from './config.js';
import { explain, Failure, type Given, report } from './failure.js';
import { flagged, type ServeOptions } from './flags.js';
import { Log, type LogShape } from './log.js';
import { missingPages } from './pages.js';
import { ServiceManager } from './service-manager.js';
import { Signals } from './signals.js';
import { Succession } from './succession.js';
import { Inheritance } from './successor.js';

/** Cutting connections takes a turn of each core; no longer than this is waited for it. */
const CUT_MS = 1000;

/** What a command line and its configuration file ask for. */
interface Plan {
  readonly options: FileServerOptions;
  readonly drainMs: number;
  readonly log: LogShape | undefined;
  readonly loaded: Loaded | undefined;
  readonly flags: ServeConfig;
}

/**
 * Serves until a signal comes.
 * @param directories what was named on the command line, if something was
 * @param preset the directory that is served when neither the command line nor a configuration names one
 * @returns when the server has drained
 * @throws Failure with a remedy when the server cannot start
 */
export async function serve(directories: readonly string[], options: ServeOptions, preset = '.'): Promise<void> {
  // The current directory may be another one, or none, when the configuration is read again.
  const flags = flagged(directories, options);
  const read = () => planned(flags, options.config, preset);
  const inheritance = Inheritance.take();
  let plan = await read();
  let server: FileServer;
  let signals: Signals;
  try {
    // Here and not at the top: `--help` has to work where the native addon is missing.
    const { FileServer: Server } = await import('../api/file-server.js');
    if (options.check) {
      const { drainMs, log } = plan;
      const effective = { ...(await Server.check(plan.options)), drainMs, ...(log && { log }) };
      for (const sentence of await missingPages(effective)) report(new Failure(sentence));
      process.stdout.write(
        options.json ? `${JSON.stringify(effective, null, 2)}\n` : shownConfig(effective, plan.loaded, flags),
      );
      return;
    }
    const handed = inheritance?.fitting(plan.options) ?? { sockets: [], admin: undefined };
    // Before anything can be asked of the server: whoever has its first answer may end it, and that is a drain, too.
    signals = new Signals();
    const started = await Promise.race([Server.succeed(plan.options, handed), signals.second]);
    if (typeof started === 'number') process.exit(started);
    server = started;
    inheritance?.settle(handed);
  } catch (error) {
    throw explained(error, plan);
  }
  const log = new Log(plan.log);
  const manager = new ServiceManager(log);
  const succession = new Succession(() => ({ server, options: plan.options }), log);
  tellOfCertificates(log);
  signals.serving({
    reload: async () => {
      manager.reloading();
      plan = await reload(server, plan, read, log);
      manager.ready(server.url);
    },
    succeed: () => succession.begin(),
  });
  const facts = factsOf(server, rootOf(plan), plan.loaded?.file);
  if (options.json) process.stdout.write(`${JSON.stringify(facts)}\n`);
  else if (log.shape === 'pretty') process.stdout.write(banner(facts));
  else log.info(`serving ${facts.root} at ${facts.url}`, facts);
  // To whom it follows that one tells it: this process is not the main one yet.
  if (inheritance === undefined) manager.ready(server.url);
  if (plan.options.accessLog) tellOfLostLines(server, log);
  const successor = await Promise.race([signals.first, succession.serves]);
  succession.abandon();
  let drained: Promise<void>;
  if (successor === undefined) {
    manager.stopping();
    if (process.stderr.isTTY) process.stderr.write('\n'); // Behind ^C.
    log.info('finishing what is being sent; once more stops at once');
    drained = server.close({ deadlineMs: plan.drainMs });
  } else {
    const { pid, takesSockets: handedOver } = successor;
    manager.succeeded(pid);
    log.info(`process ${pid} serves from now on; this one finishes what is being sent`, { successor: pid });
    server.closeAdmin(); // Which would say that it drains, on a port that the successor may have by now.
    drained = server.close({ deadlineMs: plan.drainMs, idleMs: plan.drainMs, handedOver });
    void signals.first.then(() => server.close({ deadlineMs: plan.drainMs }));
  }
  const exitCode = await Promise.race([drained, signals.second]);
  if (exitCode === undefined) {
    if (signals.hungUp) signals.end();
    return;
  }
  // Cut what is left: the drain runs on a thread, which an exit alone would wait for.
  const cut = await Promise.race([server.close({ deadlineMs: 0 }).then(() => true), sleep(CUT_MS, false)]);
  if (!cut) process.kill(process.pid, 'SIGKILL');
  process.exit(exitCode);
}

async function planned(flags: ServeConfig, config: string | false | undefined, preset: string): Promise<Plan> {
  const loaded = await loadConfig(config);
  const asked = merged(loaded?.config ?? { root: resolve(preset) }, flags);
  const { drainMs = DRAIN_MS, log, placement, $schema: _, root = '.', ...others } = asked;
  const cores = placement === undefined ? others.cores : await placed(placement, others.cores);
  const options = { ...others, root, ...(cores === undefined ? {} : { cores }) };
  return { options, drainMs, log, loaded, flags };
}

/** Reads the configuration again, has the server follow it, and says what came of it. Returns the plan that is in force. */
async function reload(server: FileServer, plan: Plan, read: () => Promise<Plan>, log: Log): Promise<Plan> {
  // Whatever becomes of the rest: who has moved the log away waits for it.
  await server.reopenAccessLog().catch((error: Error) => {
    log.error(`the access log was not opened again: ${explained(error, plan).message}`, error);
  });
  try {
    const next = await read();
    await server.reload(next.options);
    const kept = SETTLED.filter((key) => next.options[key] === undefined && plan.options[key] !== undefined);
    const options = { ...next.options, ...Object.fromEntries(kept.map((key) => [key, plan.options[key]])) };
    const keys = new Set([...Object.keys(plan.options), ...Object.keys(options)]) as Set<keyof FileServerOptions>;
    const changed = [...keys].filter((key) => !isDeepStrictEqual(plan.options[key], options[key]));
    const what = changed.length === 0 ? '' : `; changed: ${changed.join(', ')}`;
    log.info(`the configuration was read again${what}`, { changed });
    return { ...next, options };
  } catch (error) {
    log.error(`nothing has changed: ${explained(error, plan).message}`, error);
    return plan;
  }
}

function rootOf({ options: { root } }: Plan): string {
  return typeof root === 'string' ? root : (root[0] ?? '.');
}

function explained(error: unknown, plan: Plan): Failure {
  const { host = '127.0.0.1', port = 8080 } = plan.options;
  const given: Given = { flags: Object.keys(plan.flags), file: plan.loaded?.file };
  return explain(error, { directory: rootOf(plan), host, port }, given);
}

/** The CPUs that a placement gives, one for each core. */
async function placed(placement: 'max-spread' | 'max-pack', cores: FileServerOptions['cores']): Promise<number[]> {
  if (typeof cores === 'object') throw new Failure('placement and a list of CPUs are both given: take one away', 2);
  const { seatsOf } = await import('../api/placement.js');
  try {
    return seatsOf('serve', placement, cores).flatMap(({ cpus }) => cpus ?? []);
  } catch (error) {
    throw new Failure((error as Error).message, 2);
  }
}

function factsOf(server: FileServer, root: string, config: string | undefined) {
  const { url, adminUrl: admin, port, unix, driver, cores, features } = server;
  return { url, port, unix, admin, root, config, driver, cores, features, version: version(), pid: process.pid };
}

function banner({ url, admin, root, config, driver, cores, features }: ReturnType<typeof factsOf>): string {
  return [
    `ringwheel ${version()} serves ${root}`,
    '',
    `  url       ${url}`,
    ...(admin === undefined ? [] : [`  admin     ${admin}`]),
    `  driver    ${driver}`,
    `  cores     ${cores}`,
    `  features  ${features.join(', ') || 'none'}`,
    ...(config === undefined ? [] : [`  config    ${config}`]),
    '',
    'Ctrl-C stops.',
    '',
  ].join('\n');
}
