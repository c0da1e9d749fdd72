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
import { CertificateWatch } from './certificate-watch.js';
import { ourError } from './errors.js';
import { events, type ServerReloadEvent } from './events.js';
import type { LatencyBucket } from './latency.js';
import { nativeOptions, ourOptions } from './native-options.js';
import { seatsOf } from './placement.js';
import type { RouteHandler } from './route.js';
import { RouteDesk } from './route-desk.js';
import { startError } from './server-error.js';
import {
  ADMIN_HOST,
  DRAIN_MS,
  type FileServerOptions,
  SERVER_RULES,
  type ServerAdminOptions,
  saidElsewhere,
  TLS_RELOAD_MS,
} from './server-options.js';
import { afterReload } from './server-reload.js';
import { checked, pathsWithin, type Rule, truth, whole } from './validate.js';

/** Options of {@link FileServer.close}. */
export interface ServerCloseOptions {
  /** Milliseconds for responses that are being sent, from 0 to 86400000; what is left then is cut. Default: the server's `drainMs`. */
  deadlineMs?: number;
  /**
   * Milliseconds for which a connection between two requests may still send one, from 0 to 86400000: it is answered, with `Connection: close`. Then
   * those that are left are closed. Never longer than `deadlineMs`. Default 500.
   */
  idleMs?: number;
  /**
   * Another process serves on {@link FileServer.fds} from now on: the path of a Unix socket stays. Default false.
   */
  handedOver?: boolean;
}

/** Counters of a server since its start, over all cores, but where "now" is said. */
export interface ServerStats extends NativeServerStats {
  /** How long answers took, from the arrival of a request to its last byte in the kernel's hands. */
  latency: AnswerLatency;
  /** Each core's share. */
  cores: CoreStats[];
  /** Reloads that took effect, those of changed certificates included. */
  reloads: number;
  /** Reloads that failed and changed nothing. */
  reloadsFailed: number;
}

/** How long answers took, of one request in 64. */
export interface AnswerLatency extends NativeAnswerLatency {
  /** The histogram as Prometheus has it: from 1 µs to 10 s in steps of 1, 2 and 5, how many took no longer. `samples` counts the longer ones too. */
  buckets: LatencyBucket[];
}

/** What one core of a server has done. */
export interface CoreStats extends NativeCoreStats {}

const KEY = Symbol('server');

/** Milliseconds for connections between two requests, when a server closes. */
const IDLE_MS = 500;

/** What the process before this one passed on, by number, opened for the same options. @internal */
export interface Handed {
  readonly sockets: readonly number[];
  readonly admin: number | undefined;
}

const CLOSE_RULES: Readonly<Record<keyof ServerCloseOptions, Rule>> = {
  deadlineMs: whole(0, 86_400_000),
  idleMs: whole(0, 86_400_000),
  handedOver: truth,
};

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
  #options: FileServerOptions;
  readonly #alive: NodeJS.Timeout;
  #closing: Promise<void> | undefined;
  /** The last reload that was asked for: they come one after the other. */
  #reloading: Promise<void> = Promise.resolve();
  readonly #reloads = { reloads: 0, reloadsFailed: 0 };
  #watch: CertificateWatch | undefined;
  #admin: Admin | undefined;
  readonly #desk: RouteDesk;

  private constructor(key: typeof KEY, native: NativeFileServer, desk: RouteDesk, options: FileServerOptions) {
    if (key !== KEY) {
      const message = 'FileServer has no public constructor: use FileServer.start(options)';
      throw ourError('ERR_RINGWHEEL_INVALID_OPTION', message, FileServer);
    }
    this.#native = native;
    this.#desk = desk;
    this.#options = options;
    // The threads are not this loop's: a timer that never matters keeps it alive, as a listening socket would.
    this.#alive = setInterval(() => {}, 2 ** 31 - 1);
    serving.add(this);
    this.#look();
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
  static start(options: FileServerOptions): Promise<FileServer> {
    return FileServer.succeed(options, { sockets: [], admin: undefined });
  }

  /** As {@link FileServer.start}, on the sockets of the process before this one. @internal */
  static async succeed(options: FileServerOptions, handed: Handed): Promise<FileServer> {
    const known = complete('FileServer.start', options);
    const given = nativeOptions(known, 'FileServer.start');
    try {
      const desk = new RouteDesk();
      const native = await binding().startFileServer(given, desk.native, handed.sockets);
      const server = new FileServer(KEY, native, desk, known);
      desk.origin = server.#origin;
      if (known.admin !== undefined) await server.#tell(known.admin, handed);
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
      const { admin, tlsReloadMs = TLS_RELOAD_MS, drainMs = DRAIN_MS } = known;
      const here = { tlsReloadMs, drainMs, ...(admin && { admin: { host: ADMIN_HOST, ...admin } }) };
      return { ...ourOptions(JSON.parse(await binding().checkFileServer(given))), ...here };
    } catch (error) {
      throw startError(error, known, 'FileServer.check');
    }
  }

  /**
   * Answers requests in JavaScript: those for a path and methods, whatever their host, ahead of files, redirects and listings. Static paths
   * never come here. The most specific pattern goes first, in whatever order they are added: text before `:name` before `*`.
   *
   * @param pattern - A path such as `/users/:id`, `/api/*` (all below, and `/api`), with methods before it: `GET /users/:id`, `PUT,PATCH /users/:id`. A
   * route of GET answers HEAD too; one without methods answers all but OPTIONS, which the server answers unless a route names it. Escapes are
   * decoded, segment by segment; a slash at the end and doubled ones make no difference.
   * @param handler - See {@link RouteHandler}. It is called on this thread, with a request of the standard's shape: its body streams
   * (at most `limits.routeBodyBytes`), and its `signal` aborts when the client ends. It has `limits.routeTimeoutMs` to answer.
   * @returns This server.
   * @throws ERR_RINGWHEEL_INVALID_OPTION for a pattern that is none, or has a route already. ERR_RINGWHEEL_CLOSED after close.
   *
   * @example
   * ```ts
   * import { FileServer } from 'ringwheel';
   * const server = await FileServer.start({ root: 'examples/site', port: 0, cores: 1 });
   * server.route('POST /echo', async (request) => new Response(await request.text()));
   * const response = await fetch(`${server.url}/echo`, { method: 'POST', body: 'hello' });
   * console.log(await response.text()); // hello
   * await server.close();
   * ```
   */
  route(pattern: string, handler: RouteHandler): this {
    if (this.#closing !== undefined) throw ourError('ERR_RINGWHEEL_CLOSED', 'server.route: the server is closed');
    this.#desk.add('server.route', pattern, handler);
    return this;
  }

  get #origin(): { scheme: string; host: string } {
    const { host, port } = this.#native;
    const secure = isSecure(this.#options);
    const scheme = secure ? 'https' : 'http';
    const usual = port === (secure ? 443 : 80);
    return { scheme, host: host === '' ? 'localhost' : reachableAt(host, port).replace(usual ? /:\d+$/ : /$^/, '') };
  }

  async #tell(options: ServerAdminOptions, { sockets, admin }: Handed): Promise<void> {
    try {
      // Here and not at the top: node:http is slow to load, and few ask for it.
      const { Admin } = await import('./admin.js');
      this.#admin = await Admin.start(this, options, admin);
    } catch (error) {
      // Sockets that were handed over are still those of the server before this one, which goes on.
      await this.close({ deadlineMs: 0, handedOver: sockets.length > 0 });
      throw error;
    }
  }

  /** Where the admin listener answers, when there is one. */
  get adminUrl(): string | undefined {
    return this.#admin?.url;
  }

  /** Ends the admin listener alone. @internal */
  closeAdmin(): void {
    this.#admin?.close();
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
    return `${isSecure(this.#options) ? 'https' : 'http'}://${reachableAt(host, port)}`;
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

  /**
   * The descriptors that it listens on, one for each core that has a socket of its own; none once it closes. A process that is started with them (`stdio` of
   * `child_process.spawn`) can serve on them with the option `fd`, beside this one: then this one can close, and no client notices. See the guide "Reload and restart".
   */
  get fds(): readonly number[] {
    return this.#native.descriptors();
  }

  /** The descriptor of the admin listener, if there is one. @internal */
  get adminFd(): number | undefined {
    return this.#admin?.fd;
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

  /** Counters; a plain object. After close: as they ended. */
  stats(): ServerStats {
    return { ...this.#native.stats(), ...this.#reloads } as ServerStats;
  }

  /**
   * Replaces the options while serving: no connection is closed and no request refused. What they name is read again: directories (a link
   * that points elsewhere by now is followed), certificates, keys; the file of the access log is opened again. Caches begin empty. A request that is being answered ends as it began,
   * and the next one of every connection is answered with what is new.
   *
   * @param options - All that the server shall have from now on, as for {@link FileServer.start}: what is left out has its default, but for
   * what cannot change while it runs (`host`, `port`, `unix`, `fd`, `accessLog`, `cores`, `driver`, `admin`), which is kept. Default: those it has.
   * @returns When every core answers with them. Of several calls each begins when the one before has ended.
   * @throws The same as {@link FileServer.start}, and ERR_RINGWHEEL_INVALID_OPTION when an option differs that cannot change: nothing has changed then.
   * ERR_RINGWHEEL_CLOSED after close.
   *
   * @example
   * ```ts
   * import { FileServer } from 'ringwheel';
   * const server = await FileServer.start({ root: 'examples/site', port: 0, cores: 1 });
   * await server.reload({ root: 'examples/site', headers: { '/**': { 'X-Frame-Options': 'DENY' } } });
   * console.log((await fetch(server.url)).headers.get('x-frame-options')); // DENY
   * await server.close();
   * ```
   */
  reload(options?: FileServerOptions): Promise<void> {
    return this.#queued('options', async () => {
      const known =
        options === undefined
          ? this.#options
          : afterReload(this.#options, complete('server.reload', options), this.port);
      await this.#native.reload(nativeOptions(known, 'server.reload'));
      this.#options = known;
      this.#desk.origin = this.#origin; // Which may speak TLS now, or not any more.
      this.#look();
    });
  }

  /** Opens the file of the access log again, under the same name, whatever becomes of a reload. @internal */
  reopenAccessLog(): Promise<void> {
    return this.#native.reopenAccessLog().catch((thrown) => {
      throw startError(thrown, this.#options, 'server.reload');
    });
  }

  /** One reload behind those before it, counted and told of. */
  #queued(what: ServerReloadEvent['what'], work: () => Promise<void>): Promise<void> {
    const reloading = this.#reloading.then(async () => {
      const closed = () => ourError('ERR_RINGWHEEL_CLOSED', 'server.reload: the server is closed');
      if (this.#closing !== undefined) throw closed();
      try {
        await work();
        this.#reloads.reloads += 1;
        this.#tellOfReload(what);
      } catch (thrown) {
        if (this.#closing !== undefined) throw closed();
        const error = startError(thrown, this.#options, 'server.reload') as Error;
        this.#reloads.reloadsFailed += 1;
        this.#tellOfReload(what, error);
        throw error;
      }
    });
    this.#reloading = reloading.catch(() => {});
    return reloading;
  }

  #tellOfReload(what: ServerReloadEvent['what'], error?: Error): void {
    const reloaded = events['ringwheel:server:reload'];
    if (reloaded.hasSubscribers) reloaded.publish({ url: this.url, what, ...(error && { error }) });
  }

  /** Looks after the certificates in use. */
  #look(): void {
    this.#watch?.stop();
    const { tls, tlsReloadMs = TLS_RELOAD_MS } = this.#options;
    if (!isSecure(this.#options) || tlsReloadMs === 0) return;
    const files = [tls ?? []].flat().flatMap(({ cert, key }) => [cert, key]);
    this.#watch = new CertificateWatch(files, tlsReloadMs, () =>
      this.#queued('certificates', () => this.#native.reloadCertificates()),
    );
  }

  /**
   * Stops accepting, lets responses finish, and cuts what is left after the deadline. Answers say `Connection: close` from now on; connections that are idle
   * are closed after `idleMs`. Every call returns the same promise; a later call with a deadline shortens the first, and closes idle connections at once.
   *
   * @throws ERR_RINGWHEEL_INVALID_OPTION when an option is out of range.
   */
  close(options?: ServerCloseOptions): Promise<void> {
    let known: ServerCloseOptions;
    try {
      known = checked('server.close', options, CLOSE_RULES);
    } catch (error) {
      return Promise.reject(error);
    }
    if (this.#closing === undefined) this.#closing = this.#close(known);
    else if (known.deadlineMs !== undefined) this.#native.hurry(known.deadlineMs);
    return this.#closing;
  }

  /** The same as {@link FileServer.close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close({ deadlineMs: asked, idleMs = IDLE_MS, handedOver = false }: ServerCloseOptions): Promise<void> {
    const deadlineMs = asked ?? this.#options.drainMs ?? DRAIN_MS;
    this.#watch?.stop();
    // The drain waits on libuv's pool, which an ending process waits for in turn: process.exit() cuts it short.
    if (draining.size === 0) process.on('exit', cutAll);
    draining.add(this.#native);
    try {
      await this.#native.close(deadlineMs, Math.min(idleMs, deadlineMs), handedOver);
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

/** Whether options ask for HTTPS. */
function isSecure({ tls }: FileServerOptions): boolean {
  return [tls ?? []].flat().length > 0;
}

/** The CPUs that a placement gives, one for each core. */
function placed(
  where: string,
  placement: NonNullable<FileServerOptions['placement']>,
  cores: FileServerOptions['cores'],
): number[] {
  if (typeof cores === 'object') {
    const message = `${where}: placement and a list of CPUs are both given: take one away`;
    throw ourError('ERR_RINGWHEEL_INVALID_OPTION', message);
  }
  return seatsOf(where, placement, cores).flatMap(({ cpus }) => cpus ?? []);
}

/** Options that are in their ranges, with absolute paths, and the CPUs that `placement` gives. */
function complete(where: string, options: FileServerOptions): FileServerOptions {
  const { placement, ...known } = checked(where, options, SERVER_RULES, saidElsewhere);
  if (known.root === undefined) {
    throw ourError('ERR_RINGWHEEL_INVALID_OPTION', `${where}: root is required: the directory to serve`);
  }
  if (placement !== undefined) known.cores = placed(where, placement, known.cores);
  return pathsWithin(known, '.', SERVER_RULES);
}
