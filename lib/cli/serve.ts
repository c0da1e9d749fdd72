// `ringwheel serve`: starts a FileServer, says where and with what it runs, and drains it on the first signal.
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FileServer } from '../api/file-server.js';
import { DRAIN_MS, type FileServerOptions } from '../api/server-options.js';
import { version } from '../api/version.js';
import { tellOfLostLines } from './access-log.js';
import { shownConfig } from './check.js';
import { loadConfig, merged } from './config.js';
import { explain, Failure, type Given, type Place, report } from './failure.js';
import { flagged, type ServeOptions } from './flags.js';

/** Exit codes of a process that a signal ended, as shells count them. */
const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;

/** Cutting connections takes a turn of each core; no longer than this is waited for it. */
const CUT_MS = 1000;

/**
 * Serves until a signal comes.
 * @param directory what was named on the command line, if something was
 * @param preset the directory that is served when neither the command line nor a configuration names one
 * @returns when the server has drained
 * @throws Failure with a remedy when the server cannot start
 */
export async function serve(directory: string | undefined, options: ServeOptions, preset = '.'): Promise<void> {
  const flags = flagged(directory, options);
  const loaded = await loadConfig(options.config);
  const { drainMs, placement, $schema: _, ...config } = merged(loaded?.config ?? { root: resolve(preset) }, flags);
  const { root = '.', host = '127.0.0.1', port = 8080 } = config;
  const place: Place = { directory: typeof root === 'string' ? root : (root[0] ?? '.'), host, port };
  const given: Given = { flags: Object.keys(flags), file: loaded?.file };
  let server: FileServer;
  try {
    // Here and not at the top: `--help` has to work where the native addon is missing.
    const { FileServer: Server } = await import('../api/file-server.js');
    const cores = placement === undefined ? config.cores : await placed(placement, config.cores);
    const known = { ...config, root, ...(cores === undefined ? {} : { cores }) };
    if (options.check) {
      const effective = { ...(await Server.check(known)), drainMs: drainMs ?? DRAIN_MS };
      process.stdout.write(
        options.json ? `${JSON.stringify(effective, null, 2)}\n` : shownConfig(effective, loaded, flags),
      );
      return;
    }
    server = await Server.start(known);
  } catch (error) {
    throw explain(error, place, given);
  }
  // Before a word is said: who reads the banner may send the signal at once, and that one has to drain too.
  const signals = new Signals();
  const facts = factsOf(server, place.directory, loaded?.file);
  process.stdout.write(options.json ? `${JSON.stringify(facts)}\n` : banner(facts));
  if (config.accessLog) tellOfLostLines(server);
  if (config.tls !== undefined || config.accessLog) process.on('SIGHUP', () => reload(server));
  await signals.first;
  process.stderr.write('\nringwheel: finishing what is being sent; once more stops at once\n');
  const drained = server.close({ deadlineMs: drainMs ?? DRAIN_MS });
  const exitCode = await Promise.race([drained, signals.second]);
  if (exitCode === undefined) return;
  // Cut what is left: the drain runs on a thread, which an exit alone would wait for.
  const cut = await Promise.race([server.close({ deadlineMs: 0 }).then(() => true), sleep(CUT_MS, false)]);
  if (!cut) process.kill(process.pid, 'SIGKILL');
  process.exit(exitCode);
}

/** Reads the certificates again, and says what came of it. */
function reload(server: FileServer): void {
  server.reload().then(
    () => process.stderr.write('ringwheel: the certificates were read again, the access log was opened again\n'),
    (error: Error) => report(new Failure(`the certificates stay as they were: ${error.message}`)),
  );
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

/** SIGINT and SIGTERM: the first one asks for a drain, the second one for an end. */
class Signals {
  readonly first: Promise<void>;
  /** The exit code that belongs to the second signal. */
  readonly second: Promise<number>;

  constructor() {
    let onFirst = () => {};
    let onSecond = (_: number) => {};
    this.first = new Promise((settle) => {
      onFirst = settle;
    });
    this.second = new Promise((settle) => {
      onSecond = settle;
    });
    let count = 0;
    for (const [signal, exitCode] of Object.entries(SIGNALS)) {
      process.on(signal, () => {
        count += 1;
        if (count === 1) onFirst();
        else if (count === 2) onSecond(exitCode);
        // Whoever asks a third time does not want to wait for anything.
        else process.kill(process.pid, 'SIGKILL');
      });
    }
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
