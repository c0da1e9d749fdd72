// `ringwheel serve`: starts a FileServer, says where and with what it runs, and drains it on the first signal.
import { resolve } from 'node:path';
import type { FileServer } from '../api/file-server.js';
import { explain } from './failure.js';
import { version } from './version.js';

/** The options of `ringwheel serve` as commander hands them over. */
export interface ServeOptions {
  readonly port: number;
  readonly host: string;
  readonly cores?: number;
  readonly drain: number;
  readonly json: boolean;
}

/** Exit codes of a process that a signal ended, as shells count them. */
const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * Serves until a signal comes.
 * @returns when the server has drained
 * @throws Failure with a remedy when the server cannot start
 */
export async function serve(directory: string, options: ServeOptions): Promise<void> {
  const place = { directory: resolve(directory), host: options.host, port: options.port };
  let server: FileServer;
  try {
    // Here and not at the top: `--help` has to work where the native addon is missing.
    const api = await import('../api/file-server.js');
    server = await api.FileServer.start({
      root: place.directory,
      host: place.host,
      port: place.port,
      ...(options.cores === undefined ? {} : { cores: options.cores }),
    });
  } catch (error) {
    throw explain(error, place);
  }
  process.stdout.write(
    options.json ? `${JSON.stringify(facts(server, place.directory))}\n` : banner(server, place.directory),
  );
  await firstSignal();
  process.stderr.write('\nringwheel: finishing what is being sent; once more stops at once\n');
  await server.close({ deadlineMs: options.drain });
}

/** Waits for SIGINT or SIGTERM; the next one after it ends the process at once. */
function firstSignal(): Promise<void> {
  return new Promise((settle) => {
    let seen = false;
    for (const [signal, exitCode] of Object.entries(SIGNALS)) {
      process.on(signal, () => {
        if (seen) process.exit(exitCode);
        seen = true;
        settle();
      });
    }
  });
}

function facts(server: FileServer, root: string) {
  const { url, port, driver, cores, features } = server;
  return { url, port, root, driver, cores, features, version: version() };
}

function banner(server: FileServer, root: string): string {
  const { url, driver, cores, features } = server;
  return [
    `ringwheel ${version()} serves ${root}`,
    '',
    `  url       ${url}`,
    `  driver    ${driver}`,
    `  cores     ${cores}`,
    `  features  ${features.join(', ') || 'none'}`,
    '',
    'Ctrl-C stops.',
    '',
  ].join('\n');
}
