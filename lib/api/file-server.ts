// class FileServer: starts the native server, keeps the process alive for it, and drains it.
import {
  binding,
  type NativeAnswerLatency,
  type NativeCoreStats,
  type NativeFileServer,
  type NativeServerStats,
} from '../wire/binding.js';
import { reachableAt } from './address.js';
import type { Admin } from './admin.js';
import { ourError, systemError } from './errors.js';
import { events } from './events.js';
import type { LatencyBucket } from './latency.js';
import { nativeOptions, ourOptions } from './native-options.js';
import {
  ADMIN_HOST,
  DRAIN_MS,
  type FileServerOptions,
  SERVER_RULES,
  type ServerAdminOptions,
} from './server-options.js';
import { checked, pathsWithin, whole } from './validate.js';

/** Options of {@link FileServer.close}. */
export interface ServerCloseOptions {
  /** Milliseconds for responses that are being sent, from 0 to 86400000; what is left then is cut. Default 10000. */
  deadlineMs?: number;
}

/** Counters of a server since its start, over all cores, but where "now" is said. */
export interface ServerStats extends NativeServerStats {
  /** How long answers took, from the arrival of a request to its last byte in the kernel's hands. */
  latency: AnswerLatency;
  /** Each core's share. */
  cores: CoreStats[];
}

/** How long answers took, of one request in 64. */
export interface AnswerLatency extends NativeAnswerLatency {
  /** The histogram as Prometheus has it: from 1 µs to 10 s in steps of 1, 2 and 5, how many took no longer. `samples` counts the longer ones too. */
  buckets: LatencyBucket[];
}

/** What one core of a server has done. */
export interface CoreStats extends NativeCoreStats {}

const KEY = Symbol('server');

/** Servers that run. A server that its program has let go of goes on, as one of node:http's does, and is not collected. */
const serving = new Set<FileServer>();

/** Servers that drain: one listener for all, however many they are. */
const draining = new Set<NativeFileServer>();

function cutAll(): void {
  for (const native of draining) native.hurry(0);
}

/**
 * A static file server on native threads, one a core: HTTP/1.1 without JavaScript per request.
 *
 * It keeps the process alive until it is closed. It needs no executor, and works on Bun and Deno too.
 *
 * @example
 * ```ts
 * import { FileServer } from 'ringwheel';
 * const server = await FileServer.start({ root: 'examples/site', port: 0, cores: 1 });
 * const response = await fetch(server.url);
 * console.log(response.status); // 200
 * await server.close({ deadlineMs: 1000 });
 * ```
 */
export class FileServer implements AsyncDisposable {
  readonly #native: NativeFileServer;
  readonly #secure: boolean;
  readonly #alive: NodeJS.Timeout;
  #stats: ServerStats;
  #closing: Promise<void> | undefined;
  #admin: Admin | undefined;

  private constructor(key: typeof KEY, native: NativeFileServer, secure: boolean) {
    if (key !== KEY) {
      const message = 'FileServer has no public constructor: use FileServer.start(options)';
      throw ourError('ERR_RINGWHEEL_INVALID_OPTION', message, FileServer);
    }
    this.#native = native;
    this.#secure = secure;
    this.#stats = native.stats() as ServerStats;
    // The threads are not this loop's: a timer that never matters keeps it alive, as a listening socket would.
    this.#alive = setInterval(() => {}, 2 ** 31 - 1);
    serving.add(this);
  }

  /**
   * Starts a server.
   *
   * @param options - See {@link FileServerOptions}; `root` is required.
   * @returns The server, once every core listens.
   * @throws ERR_RINGWHEEL_INVALID_OPTION when an option is unknown or out of range.
   * @throws A system error: `listen` EADDRINUSE, EACCES, EADDRNOTAVAIL, of a Unix socket ENOENT too, of a descriptor EBADF, ENOTSOCK; `open` ENOENT, ENOTDIR, EACCES of the root.
   * @throws ERR_RINGWHEEL_SERVER when the host has no address, a certificate or key cannot be used, or a core does not start; the message says what helps.
   */
  static async start(options: FileServerOptions): Promise<FileServer> {
    const known = complete('FileServer.start', options);
    const given = nativeOptions(known, 'FileServer.start');
    try {
      const server = new FileServer(KEY, await binding().startFileServer(given), [known.tls ?? []].flat().length > 0);
      if (known.admin !== undefined) await server.#tell(known.admin);
      const started = events['ringwheel:server:start'];
      if (started.hasSubscribers) started.publish({ url: server.url, driver: server.driver, cores: server.cores });
      return server;
    } catch (error) {
      throw startError(error, known, 'FileServer.start');
    }
  }

  /**
   * Checks options as {@link FileServer.start} does, directories, CPUs and the host included, but opens no port and starts nothing.
   *
   * @param options - See {@link FileServerOptions}; `root` is required.
   * @returns The options as a server would have them: a new object with every default filled in, paths absolute, `cores` a list of
   * CPUs (or, under a quota, a number) when all would be taken. It can be given to {@link FileServer.start}, and written as JSON.
   * @throws The same as {@link FileServer.start}, but for what only listening shows.
   *
   * @example
   * ```ts
   * import { FileServer } from 'ringwheel';
   * const { limits, dotfiles } = await FileServer.check({ root: 'examples/site' });
   * console.log(limits?.connections, dotfiles); // 100000 deny
   * ```
   */
  static async check(options: FileServerOptions): Promise<FileServerOptions> {
    const known = complete('FileServer.check', options);
    const given = nativeOptions(known, 'FileServer.check');
    try {
      const admin = known.admin && { admin: { host: ADMIN_HOST, ...known.admin } };
      return { ...ourOptions(JSON.parse(await binding().checkFileServer(given))), ...admin };
    } catch (error) {
      throw startError(error, known, 'FileServer.check');
    }
  }

  async #tell(options: ServerAdminOptions): Promise<void> {
    try {
      // Here and not at the top: node:http is slow to load, and few ask for it.
      const { Admin } = await import('./admin.js');
      this.#admin = await Admin.start(this, options);
    } catch (error) {
      await this.close({ deadlineMs: 0 });
      throw error;
    }
  }

  /** Where the admin listener answers, when there is one. */
  get adminUrl(): string | undefined {
    return this.#admin?.url;
  }

  /** Whether it takes requests: false from the call of {@link FileServer.close} on. */
  get ready(): boolean {
    return this.#closing === undefined;
  }

  /**
   * Where it answers, such as `http://127.0.0.1:8080`, or `https://…` with `tls`; for `0.0.0.0` and `::` the loopback address stands there. `unix:/run/site.sock` when
   * it listens on a Unix socket; the first of several.
   */
  get url(): string {
    const { host, port, unix } = this.#native;
    if (host === '') return `unix:${unix}`;
    return `${this.#secure ? 'https' : 'http'}://${reachableAt(host, port)}`;
  }

  /** The port it listens on: the system's choice when 0 was asked for. 0 when it listens on Unix sockets only. */
  get port(): number {
    return this.#native.port;
  }

  /** The IP address it listens on; empty when it listens on Unix sockets only. */
  get host(): string {
    return this.#native.host;
  }

  /** The path of the Unix socket it listens on, if any: the first of several. */
  get unix(): string | undefined {
    return this.#native.unix ?? undefined;
  }

  /** Threads that serve. */
  get cores(): number {
    return this.#native.cores;
  }

  /** Which backend serves. */
  get driver(): 'uring' | 'poll' {
    return this.#native.driver as 'uring' | 'poll';
  }

  /** The kernel features in use, as short names. */
  get features(): readonly string[] {
    return this.#native.features;
  }

  /** Why io_uring was not chosen, or what was given up on the way: one sentence each. */
  get notes(): readonly string[] {
    return this.#native.notes;
  }

  /** Counters; a plain object. From close on: as they were when it began, then as they ended. */
  stats(): ServerStats {
    this.#stats = this.#native.stats() ?? this.#stats;
    return this.#stats;
  }

  /**
   * Reads the certificates and keys of `tls` again, for the handshakes to come; connections that are open go on. Without `tls` it does nothing.
   *
   * @returns When they are in use.
   * @throws ERR_RINGWHEEL_SERVER when a file cannot be used; the message says which and why, and those that were in use stay in use. ERR_RINGWHEEL_CLOSED after close.
   */
  async reload(): Promise<void> {
    if (this.#closing !== undefined) throw ourError('ERR_RINGWHEEL_CLOSED', 'server.reload: the server is closed');
    try {
      await this.#native.reload();
    } catch (error) {
      throw startError(error, {} as FileServerOptions, 'server.reload');
    }
  }

  /**
   * Stops accepting, closes idle connections, lets responses finish, and cuts what is left after the deadline. Every call
   * returns the same promise; a later call with a nearer deadline shortens the first.
   *
   * @throws ERR_RINGWHEEL_INVALID_OPTION when the deadline is out of range.
   */
  close(options?: ServerCloseOptions): Promise<void> {
    let deadlineMs = DRAIN_MS;
    try {
      ({ deadlineMs = DRAIN_MS } = checked('server.close', options, { deadlineMs: whole(0, 86_400_000) }));
    } catch (error) {
      return Promise.reject(error);
    }
    if (this.#closing === undefined) this.#closing = this.#close(deadlineMs);
    else if (options?.deadlineMs !== undefined) this.#native.hurry(deadlineMs);
    return this.#closing;
  }

  /** The same as {@link FileServer.close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(deadlineMs: number): Promise<void> {
    this.#stats = this.stats();
    // The drain waits on libuv's pool, which an ending process waits for in turn: process.exit() cuts it short.
    if (draining.size === 0) process.on('exit', cutAll);
    draining.add(this.#native);
    try {
      this.#stats = await this.#native.close(deadlineMs);
    } finally {
      draining.delete(this.#native);
      this.#admin?.close();
      if (draining.size === 0) process.removeListener('exit', cutAll);
      clearInterval(this.#alive);
      serving.delete(this);
      const closed = events['ringwheel:server:close'];
      if (closed.hasSubscribers) closed.publish({ url: this.url });
    }
  }
}

/** Options that are in their ranges, with absolute paths. */
function complete(where: string, options: FileServerOptions): FileServerOptions {
  const known = checked(where, options, SERVER_RULES);
  if (known.root !== undefined) return pathsWithin(known, '.', SERVER_RULES);
  throw ourError('ERR_RINGWHEEL_INVALID_OPTION', `${where}: root is required: the directory to serve`);
}

/** What crates/node says of a start that failed. */
interface NotStarted {
  code: string;
  errno: number | null;
  path: string | null;
  message: string;
}

/** Where the system said no it is a system error, of Node's shape, with the native side's sentence, which has the remedy. */
function startError(error: unknown, options: FileServerOptions, where: string): unknown {
  if (!(error instanceof Error) || !error.message.startsWith('{')) return error;
  const { code, errno, path, message } = JSON.parse(error.message) as NotStarted;
  const listening = code === 'ERR_RINGWHEEL_LISTEN';
  if (errno !== null && (listening || code === 'ERR_RINGWHEEL_ROOT')) {
    const system = systemError(-errno, listening ? 'listen' : 'open', path ?? undefined);
    system.message = `${system.code}: ${message}`;
    if (listening && options.unix === undefined && options.fd === undefined) {
      Object.assign(system, { address: options.host ?? '127.0.0.1', port: options.port ?? 8080 });
    }
    return system;
  }
  if (code === 'ERR_RINGWHEEL_INVALID_OPTION') return ourError(code, `${where}: ${inOurNames(message)}`);
  return ourError('ERR_RINGWHEEL_SERVER', `${where}: ${message}`);
}

/** What crates/fileserver calls otherwise. */
const OUR_NAMES: Readonly<Record<string, string>> = { server: 'serverHeader', roots: 'root' };

/** The native side speaks of `option limits.uri_bytes`; here it is `limits.uriBytes`. */
function inOurNames(message: string): string {
  return message.replace(/^option ([\w.[\]]+)/, (_, name: string) =>
    name
      .replace(/_([a-z])/g, (__, letter: string) => letter.toUpperCase())
      .replace(/\w+$/, (last) => OUR_NAMES[last] ?? last),
  );
}
