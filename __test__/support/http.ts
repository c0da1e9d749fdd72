// A site on disk, a FileServer over it, and a client that sends raw bytes and reads what comes.
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { FileServer, type FileServerOptions } from '../../index';

const HOUR_MS = 3_600_000;

/** What clients may take unless a test is about that: on a busy machine one that sends byte by byte is over the default. */
const PATIENCE_MS = 90_000;

/** A server that says nothing for so long fails its test, which else would wait for ever. */
const SILENCE_MS = 120_000;

/** A directory of files an hour old (so that their tags are strong), removed when the test ends. */
export function siteOf(t: ExecutionContext, files: Readonly<Record<string, string | Uint8Array>>): string {
  const root = mkdtempSync(join(tmpdir(), 'ringwheel-http-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  for (const [path, content] of Object.entries(files)) place(root, path, content);
  return root;
}

/** Writes one file of a site. */
export function place(root: string, path: string, content: string | Uint8Array): void {
  const file = join(root, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  const then = new Date(Date.now() - HOUR_MS);
  utimesSync(file, then, then);
}

/** A server over a site, on a free port, closed when the test ends. */
export async function serverOf(
  t: ExecutionContext,
  root: string,
  options: Partial<FileServerOptions> = {},
): Promise<FileServer> {
  const place = options.unix === undefined && options.fd === undefined ? { port: 0 } : {};
  const limits = { headerTimeoutMs: PATIENCE_MS, sendTimeoutMs: PATIENCE_MS, ...options.limits };
  const server = await FileServer.start({ root, ...place, cores: 1, ...options, limits });
  t.teardown(() => server.close({ deadlineMs: 0 }));
  return server;
}

/** Bytes that differ everywhere, so that a shifted body shows. */
export function bytesOf(length: number): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, index) => (index * 31 + Math.floor(index / 251) * 7) & 255));
}

/** A response as it came. */
export interface Reply {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** One connection. */
export class Client {
  readonly socket: Socket;
  #received = Buffer.alloc(0);
  #ended = false;
  #wake = (): void => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    const end = (): void => {
      this.#ended = true;
      this.#wake();
    };
    socket.on('end', end).on('error', end).on('close', end);
  }

  /** To a port of this machine, or to a Unix socket. */
  static async connect(t: ExecutionContext, place: number | string): Promise<Client> {
    const where = typeof place === 'string' ? { path: place } : { port: place, host: '127.0.0.1' };
    // Half open: a client that has said everything may still read.
    const socket = connect({ ...where, allowHalfOpen: true });
    t.teardown(() => socket.destroy());
    await new Promise<void>((settle, reject) => socket.once('connect', settle).once('error', reject));
    return new Client(socket);
  }

  /** Over a connection that is there already. */
  static over(socket: Socket): Client {
    return new Client(socket);
  }

  send(text: string | Uint8Array): this {
    this.socket.write(text);
    return this;
  }

  /** A GET of HTTP/1.1 with more header lines. */
  get(path: string, ...lines: string[]): Promise<Reply> {
    return this.ask('GET', path, ...lines);
  }

  ask(method: string, path: string, ...lines: string[]): Promise<Reply> {
    this.send([`${method} ${path} HTTP/1.1`, 'Host: test', ...lines, '', ''].join('\r\n'));
    return this.reply(method !== 'HEAD');
  }

  /** The next response. */
  async reply(hasBody = true): Promise<Reply> {
    const head = (
      await this.#until(() => {
        const end = this.#received.indexOf('\r\n\r\n');
        return end < 0 ? undefined : end + 4;
      })
    ).toString('latin1');
    const [first = '', ...lines] = head.trimEnd().split('\r\n');
    const headers = new Map(
      lines.map((line) => [line.split(': ', 1)[0]?.toLowerCase() ?? '', line.replace(/^.*?: /, '')]),
    );
    const status = Number(first.split(' ')[1]);
    const length = hasBody && status !== 304 && status !== 204 ? Number(headers.get('content-length')) : 0;
    const body = await this.#until(() => (this.#received.length >= length ? length : undefined));
    return { status, headers, body };
  }

  /** Everything until the server closes. */
  async rest(): Promise<Buffer> {
    while (!this.#ended) await this.#news();
    return this.#received;
  }

  async #until(ready: () => number | undefined): Promise<Buffer> {
    for (;;) {
      const length = ready();
      if (length !== undefined) {
        const piece = this.#received.subarray(0, length);
        this.#received = this.#received.subarray(length);
        return piece;
      }
      if (this.#ended) throw new Error(`closed with ${JSON.stringify(this.#shown())}`);
      await this.#news();
    }
  }

  #shown(): string {
    return this.#received.toString('latin1').slice(0, 300);
  }

  #news(): Promise<void> {
    return new Promise((settle, reject) => {
      const silence = new Error(`nothing for ${SILENCE_MS} ms, after ${JSON.stringify(this.#shown())}`);
      const timer = setTimeout(reject, SILENCE_MS, silence);
      this.#wake = () => {
        clearTimeout(timer);
        settle();
      };
    });
  }
}

/** The body of a path, else where it redirects to, else its status. */
export async function seen(client: Client, path: string) {
  const { status, headers, body } = await client.get(path);
  return status === 200 ? body.toString() : status === 301 ? `-> ${headers.get('location')}` : status;
}
