// `ringwheel serve`: starts a FileServer, says where and with what it runs, reads its configuration again on SIGHUP, and drains on the first SIGINT or SIGTERM.
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { ServeConfig } from '../api/config.js';
import type { FileServer } from '../api/file-server.js';
import { DRAIN_MS, type FileServerOptions } from '../api/server-options.js';
import { SETTLED } from '../api/server-reload.js';
import { version } from '../api/version.js';
import { tellOfLostLines } from './access-log.js';
import { shownConfig } from './check.js';
import { type Loaded, loadConfig, merged } from './config.js';
import { explain, Failure, type Given, report } from './failure.js';
import { flagged, type ServeOptions } from './flags.js';
import { missingPages } from './pages.js';
import { Signals } from './signals.js';

/** Cutting connections takes a turn of each core; no longer than this is waited for it. */
const CUT_MS = 1000;

/** What a command line and its configuration file ask for. */
interface Plan {
  readonly options: FileServerOptions;
  readonly drainMs: number;
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
  let plan = await read();
  let server: FileServer;
  try {
    // Here and not at the top: `--help` has to work where the native addon is missing.
    const { FileServer: Server } = await import('../api/file-server.js');
    if (options.check) {
      const effective = { ...(await Server.check(plan.options)), drainMs: plan.drainMs };
      for (const sentence of await missingPages(effective)) report(new Failure(sentence));
      process.stdout.write(
        options.json ? `${JSON.stringify(effective, null, 2)}\n` : shownConfig(effective, plan.loaded, flags),
      );
      return;
    }
    server = await Server.start(plan.options);
  } catch (error) {
    throw explained(error, plan);
  }
  // Before a word is said: who reads the banner may send the signal at once, and that one has to drain too.
  const signals = new Signals(async () => {
    plan = await reload(server, plan, read);
  });
  const facts = factsOf(server, rootOf(plan), plan.loaded?.file);
  process.stdout.write(options.json ? `${JSON.stringify(facts)}\n` : banner(facts));
  if (plan.options.accessLog) tellOfLostLines(server);
  await signals.first;
  process.stderr.write('\nringwheel: finishing what is being sent; once more stops at once\n');
  const drained = server.close({ deadlineMs: plan.drainMs });
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
  const { drainMs = DRAIN_MS, placement, $schema: _, root = '.', ...others } = asked;
  const cores = placement === undefined ? others.cores : await placed(placement, others.cores);
  const options = { ...others, root, ...(cores === undefined ? {} : { cores }) };
  return { options, drainMs, loaded, flags };
}

/** Reads the configuration again, has the server follow it, and says what came of it. Returns the plan that is in force. */
async function reload(server: FileServer, plan: Plan, read: () => Promise<Plan>): Promise<Plan> {
  try {
    const next = await read();
    const gone = SETTLED.find((key) => plan.options[key] !== undefined && next.options[key] === undefined);
    if (gone !== undefined) {
      throw new Failure(`${gone} is not there any more, but cannot change while serving: put it back, or start anew`);
    }
    await server.reload(next.options);
    const keys = new Set([...Object.keys(plan.options), ...Object.keys(next.options)]) as Set<keyof FileServerOptions>;
    const changed = [...keys].filter((key) => !isDeepStrictEqual(plan.options[key], next.options[key]));
    const what = changed.length === 0 ? '' : `; changed: ${changed.join(', ')}`;
    process.stderr.write(`ringwheel: the configuration was read again${what}\n`);
    return next;
  } catch (error) {
    report(new Failure(`nothing has changed: ${explained(error, plan).message}`));
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
  return { url, port, unix, admin, root, config, driver, cores, features, version: version() };
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
