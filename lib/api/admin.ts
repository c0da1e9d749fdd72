// The admin listener of a file server: metrics, health, figures, and the page that shows them. No request of the site comes here, so
// that node:http serves it.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, BlockList, isIP } from 'node:net';
import { join } from 'node:path';
import type { Registry } from 'prom-client';
import { reachableAt } from './address.js';
import type { FileServer } from './file-server.js';
import { ADMIN_HOST, type ServerAdminOptions } from './server-options.js';
import { version } from './version.js';

/** Milliseconds for a request, and for a connection between two; looked at so often. */
const PATIENCE_MS = 10_000;
const PATROL_MS = 1_000;

/** Requests of one connection, which then is closed: whoever does not read must not pile up answers. */
const REQUESTS = 100;

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8);
LOOPBACK.addAddress('::1', 'ipv6');

/** What one path answers. */
type Page = () => Answer | Promise<Answer>;

interface Answer {
  readonly status?: number;
  readonly type: string;
  readonly body: string;
  readonly policy?: string;
}

/** See the file's head. @internal */
export class Admin {
  readonly #http: Server;
  readonly #server: FileServer;
  readonly #startedAt = Date.now();
  readonly #version = version();
  readonly #pages: Readonly<Record<string, Page>> = {
    '/': () => page(),
    '/metrics': () => this.#scrape(),
    '/healthz': () => plain('ok\n'),
    '/readyz': () => (this.#server.ready ? plain('ready\n') : plain('draining\n', 503)),
    '/stats.json': () => ({ type: 'application/json', body: JSON.stringify(this.#figures()) }),
  };
  #registry: Promise<Registry> | undefined;
  #scraped: Promise<Answer> | undefined;

  private constructor(server: FileServer, http: Server) {
    this.#server = server;
    this.#http = http;
    http.on('request', (request, response) => void this.#answer(request, response));
    // The server keeps the process alive, not those who look at it.
    http.unref();
  }

  /** Listens, on a descriptor that was handed over if there is one. Rejects with Node's error when it cannot. */
  static async start(
    server: FileServer,
    { host = ADMIN_HOST, port }: ServerAdminOptions,
    fd: number | undefined,
  ): Promise<Admin> {
    const http = createServer({
      requestTimeout: PATIENCE_MS,
      headersTimeout: PATIENCE_MS,
      keepAliveTimeout: PATIENCE_MS,
      connectionsCheckingInterval: PATROL_MS,
    });
    http.maxConnections = 256;
    http.maxRequestsPerSocket = REQUESTS;
    await new Promise<void>((settle, reject) => {
      http.once('error', reject).listen(fd === undefined ? { host, port } : { fd }, () => settle());
    });
    http.removeAllListeners('error').on('error', () => {}); // Of an accept that failed: the listener is well.
    return new Admin(server, http);
  }

  get url(): string {
    const { address, port } = this.#http.address() as AddressInfo;
    return `http://${reachableAt(address, port)}`;
  }

  /** Its descriptor, as far as Node tells. */
  get fd(): number | undefined {
    const { _handle: handle } = this.#http as unknown as { _handle?: { fd?: number } | null };
    return handle?.fd !== undefined && handle.fd >= 0 ? handle.fd : undefined;
  }

  close(): void {
    this.#http.close();
    this.#http.closeAllConnections();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '').replace(/\?.*$/s, '');
    const found = Object.hasOwn(this.#pages, path) ? this.#pages[path] : undefined;
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    let answer: Answer;
    try {
      if (this.#isRebound(request)) {
        answer = plain('this listener is for this machine: ask for it by address, or as localhost\n', 421);
      } else if (!isRead) {
        response.setHeader('Allow', 'GET, HEAD');
        answer = plain('only GET and HEAD\n', 405);
      } else {
        answer = found === undefined ? plain('nothing here\n', 404) : await found();
      }
    } catch (error) {
      answer = plain(`${error instanceof Error ? error.message : String(error)}\n`, 500);
    }
    const { status = 200, type, body, policy = "default-src 'none'" } = answer;
    response.writeHead(status, {
      'Content-Type': type,
      'Content-Length': Buffer.byteLength(body),
      'Cache-Control': 'no-store',
      'Content-Security-Policy': `${policy}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
      'Cross-Origin-Resource-Policy': 'same-origin',
      'Referrer-Policy': 'no-referrer',
      'X-Content-Type-Options': 'nosniff',
    });
    response.end(request.method === 'HEAD' ? undefined : body);
  }

  /**
   * Whether a name of somebody else's was made to point here: a page of theirs, in a browser on this machine, could read what is for
   * this machine alone (DNS rebinding). Who says no name (HTTP/1.0: probes of load balancers) is no browser.
   */
  #isRebound({ headers: { host } }: IncomingMessage): boolean {
    if (host === undefined) return false;
    const { address, family } = this.#http.address() as AddressInfo;
    if (!LOOPBACK.check(address, family === 'IPv6' ? 'ipv6' : 'ipv4')) return false;
    const name = host.replace(/:\d*$/, '').replace(/^\[|\]$/g, '');
    return isIP(name) === 0 && !/^(.+\.)?localhost\.?$/i.test(name);
  }

  #figures(): object {
    const { url, driver, features, notes, ready } = this.#server;
    const [startedAt, now] = [this.#startedAt, Date.now()];
    const state = ready ? 'serving' : 'draining';
    return { version: this.#version, url, driver, features, notes, state, startedAt, now, stats: this.#server.stats() };
  }

  /** Who asks while the figures are being gathered gets the same ones: many at once cost what one costs. */
  #scrape(): Promise<Answer> {
    this.#scraped ??= this.#metrics().finally(() => {
      this.#scraped = undefined;
    });
    return this.#scraped;
  }

  async #metrics(): Promise<Answer> {
    this.#registry ??= this.#register();
    const registry = await this.#registry;
    return { type: registry.contentType, body: await registry.metrics() };
  }

  async #register(): Promise<Registry> {
    const { Registry: Made } = await import('prom-client');
    const { collectMetrics } = await import('./metrics.js');
    const registry = new Made();
    collectMetrics(registry, { servers: [this.#server] });
    return registry;
  }
}

function plain(body: string, status = 200): Answer {
  return { status, type: 'text/plain; charset=utf-8', body };
}

let made: Answer | undefined;

/** The page, which may run its own script and style, and ask its own server. Read once. */
function page(): Answer {
  if (made === undefined) {
    const body = readPage();
    const hashes = (tag: string) =>
      [...body.matchAll(new RegExp(`<${tag}>(.*?)</${tag}>`, 'gs'))]
        .map(([, text = '']) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`)
        .join(' ');
    const policy = `default-src 'none'; script-src ${hashes('script')}; style-src ${hashes('style')}; img-src data:; connect-src 'self'`;
    made = { type: 'text/html; charset=utf-8', body, policy };
  }
  return made;
}

/** From lib/api it lies in dist, from dist/lib/api two levels up. */
function readPage(): string {
  try {
    return readFileSync(join(__dirname, '../../dashboard.html'), 'utf8');
  } catch {
    return readFileSync(join(__dirname, '../../dist/dashboard.html'), 'utf8');
  }
}
