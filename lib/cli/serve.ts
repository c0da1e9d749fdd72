// `ringwheel serve`: starts a FileServer, says where and with what it runs, and drains it on the first signal.
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FileServer } from '../api/file-server.js';
import type { FileServerOptions } from '../api/server-options.js';
import { explain, Failure, type Place } from './failure.js';
import type { Fields } from './numbers.js';
import { version } from './version.js';

/** The options of `ringwheel serve` as commander hands them over. */
export interface ServeOptions {
  readonly port: number;
  readonly host: string;
  readonly cores?: number;
  readonly cpus?: readonly number[];
  readonly placement?: 'max-spread' | 'max-pack';
  readonly driver?: 'auto' | 'uring' | 'poll';
  readonly index?: readonly string[];
  readonly extensions?: readonly string[];
  readonly single?: true | string;
  readonly ignores?: readonly string[];
  readonly dotfiles?: 'deny' | 'allow' | 'ignore';
  readonly etag?: 'time' | 'inode' | 'content' | 'off';
  readonly maxAge?: number;
  readonly cacheControl?: string;
  readonly immutable?: true | 'hashed';
  readonly header?: Fields;
  readonly mime?: Readonly<Record<string, string>>;
  readonly brotli?: boolean;
  readonly zstd?: boolean;
  readonly gzip?: boolean;
  readonly mount?: Readonly<Record<string, string>>;
  /** True is commander's default of a `--no-` option: the server's own. */
  readonly serverHeader: boolean | string;
  readonly proxyProtocol?: true;
  readonly cache?: Readonly<Record<string, number>>;
  readonly limit?: Readonly<Record<string, number>>;
  readonly drain: number;
  readonly json: boolean;
}

/** Exit codes of a process that a signal ended, as shells count them. */
const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;

/** Cutting connections takes a turn of each core; no longer than this is waited for it. */
const CUT_MS = 1000;

/**
 * Serves until a signal comes.
 * @returns when the server has drained
 * @throws Failure with a remedy when the server cannot start
 */
export async function serve(directory: string, options: ServeOptions): Promise<void> {
  if (directory === '') throw new Failure('the directory is an empty string: name one, or none for the current one', 2);
  const place = { directory: resolve(directory), host: options.host, port: options.port };
  let server: FileServer;
  try {
    // Here and not at the top: `--help` has to work where the native addon is missing.
    const api = await import('../api/file-server.js');
    const cpus = options.cpus ?? (await placed(options));
    server = await api.FileServer.start(serverOptions(place, cpus === undefined ? options : { ...options, cpus }));
  } catch (error) {
    throw explain(error, place);
  }
  // Before a word is said: who reads the banner may send the signal at once, and that one has to drain too.
  const signals = new Signals();
  process.stdout.write(
    options.json ? `${JSON.stringify(facts(server, place.directory))}\n` : banner(server, place.directory),
  );
  await signals.first;
  process.stderr.write('\nringwheel: finishing what is being sent; once more stops at once\n');
  const drained = server.close({ deadlineMs: options.drain });
  const exitCode = await Promise.race([drained, signals.second]);
  if (exitCode === undefined) return;
  // Cut what is left: the drain runs on a thread, which an exit alone would wait for.
  const cut = await Promise.race([server.close({ deadlineMs: 0 }).then(() => true), sleep(CUT_MS, false)]);
  if (!cut) process.kill(process.pid, 'SIGKILL');
  process.exit(exitCode);
}

/** The CPUs that a placement gives, one for each core. */
async function placed({ placement, cores }: ServeOptions): Promise<number[] | undefined> {
  if (placement === undefined) return undefined;
  const { seatsOf } = await import('../api/placement.js');
  try {
    return seatsOf('serve', placement, cores).flatMap(({ cpus }) => cpus ?? []);
  } catch (error) {
    throw new Failure((error as Error).message, 2);
  }
}

/** What was given on the command line; FileServer has the defaults of the rest, and checks all. Most names are the same there. */
function serverOptions(place: Place, options: ServeOptions): FileServerOptions {
  const {
    cores,
    cpus,
    etag,
    serverHeader,
    limit,
    header,
    mount,
    placement: _,
    drain: __,
    json: ___,
    ...same
  } = options;
  const given = {
    ...same,
    cores: cpus ?? cores,
    etag: etag === 'off' ? false : etag,
    serverHeader: serverHeader === true ? undefined : serverHeader,
    limits: limit,
    headers: header,
    mounts: mount,
  };
  const known = Object.entries(given).filter(([, value]) => value !== undefined);
  return { ...Object.fromEntries(known), root: place.directory, host: place.host, port: place.port };
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
