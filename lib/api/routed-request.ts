// The Request that a route's handler gets: a head as one string, of which each part is made when it is asked for. The standard class
// costs twenty microseconds to make; this one, a few hundred nanoseconds.
import type { RoutedBody } from './routed-body.js';

/** What requests of one server have in common. @internal */
export interface Origin {
  /** `http` or `https`. */
  readonly scheme: string;
  /** For requests without a host, or with a bad one. */
  readonly host: string;
}

/** Text that is the same before and after a URL is parsed: no dot segments, nothing to encode. */
const PLAIN_TARGET = /^\/(?!\/)(?:[\w\-~!$&'()*+,;=:@%/]|(?<!\/)\.)*(?:\?[\w\-.~!$&()*+,;=:@%/?]*)?$/;
const PLAIN_HOST =
  /^(?!.*xn--)[a-z0-9][a-z0-9.-]*(?::(?:[1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5]))?$/;
/** What a host is that the URL standard would read as a number, and write otherwise. */
const NUMBER_LIKE = /(?:^|\.)(?:\d+|0x[\da-f]*)\.?(?::\d+)?$/;
const IPV4 = /^(?:(?:[1-9]?\d|1\d\d|2[0-4]\d|25[0-5])(?:\.(?!:|$)|(?=:|$))){4}(?::\d+)?$/;

/** A request of the standard's shape. `instanceof Request` is true once {@link adoptStandard} has run. @internal */
export class RoutedRequest {
  readonly #head: string;
  readonly #targetAt: number;
  readonly #target: string;
  readonly #origin: Origin;
  readonly #body: RoutedBody | undefined;
  #url: string | undefined;
  #headers: Headers | undefined;
  #abort: AbortController | undefined;
  #ended = false;

  constructor(head: string, methodLength: number, targetLength: number, origin: Origin, body: RoutedBody | undefined) {
    this.#head = head;
    this.#targetAt = methodLength + 1;
    this.#target = head.slice(methodLength + 1, methodLength + 1 + targetLength);
    this.#origin = origin;
    this.#body = body;
  }

  get method(): string {
    return this.#head.slice(0, this.#targetAt - 1);
  }

  get url(): string {
    this.#url ??= this.#madeUrl();
    return this.#url;
  }

  #madeUrl(): string {
    const { scheme, host: own } = this.#origin;
    // A target in absolute form names its host itself; its scheme is the connection's all the same.
    const absolute = /^https?:\/\/([^/]*)(.*)$/i.exec(this.#target);
    const target = absolute === null ? this.#target : absolute[2] || '/';
    const field = absolute === null ? /\r\nhost:[ \t]*([^\r\n]*)/i.exec(this.#head) : absolute;
    const host = (field?.[1] ?? '').trimEnd() || own;
    const ordinary = PLAIN_HOST.test(host) && (!NUMBER_LIKE.test(host) || IPV4.test(host));
    const port = scheme === 'https' ? ':443' : ':80';
    if (ordinary && PLAIN_TARGET.test(target) && !host.endsWith(port)) return `${scheme}://${host}${target}`;
    try {
      const url = new URL(`${scheme}://${host}${target}`);
      // One that a URL writes otherwise (%61 for a, 0x7f.1) is not the name that a site was chosen by, and must not pass for it.
      if (url.hostname === host.replace(/:\d*$/, '').toLowerCase()) return url.href;
    } catch {
      // Not a host.
    }
    return new URL(`${scheme}://${own}${target}`).href;
  }

  get headers(): Headers {
    this.#headers ??= this.#madeHeaders();
    return this.#headers;
  }

  #madeHeaders(): Headers {
    const headers = new Headers();
    const lines = this.#head.split('\r\n');
    for (let index = 1; index < lines.length; index++) {
      const line = lines[index] as string;
      const colon = line.indexOf(':');
      if (colon > 0) headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
    }
    return headers;
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.#ended) this.#abort.abort();
    }
    return this.#abort.signal;
  }

  /** The client is gone, or has ended its side. */
  end(): void {
    this.#ended = true;
    this.#abort?.abort();
  }

  get body(): ReadableStream<Uint8Array> | null {
    return this.#body?.stream ?? null;
  }

  get bodyUsed(): boolean {
    return this.#body?.used ?? false;
  }

  /** The raw path. */
  get path(): string {
    const target = this.#target.startsWith('/') ? this.#target : this.#target.replace(/^https?:\/\/[^/?]*/i, '');
    const query = target.indexOf('?');
    return query < 0 ? target : target.slice(0, query);
  }

  async #whole(): Promise<Uint8Array> {
    return this.#body === undefined ? new Uint8Array() : await this.#body.whole();
  }

  async text(): Promise<string> {
    return new TextDecoder().decode(await this.#whole());
  }

  async json(): Promise<unknown> {
    return JSON.parse(await this.text());
  }

  async bytes(): Promise<Uint8Array> {
    return new Uint8Array(await this.arrayBuffer());
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    const bytes = await this.#whole();
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
  }

  async blob(): Promise<Blob> {
    return await (await this.#standard()).blob();
  }

  async formData(): Promise<FormData> {
    return (await (await this.#standard()).formData()) as FormData;
  }

  async #standard(): Promise<Response> {
    const type = this.headers.get('content-type');
    return new Response(await this.arrayBuffer(), type === null ? {} : { headers: { 'content-type': type } });
  }

  /** A Request of the standard's own class, for `fetch` and whoever looks inside. */
  clone(): Request {
    if (this.bodyUsed) throw new TypeError('Request.clone: the body has been read');
    const { method, headers, signal } = this;
    const body = this.#body === undefined ? {} : { body: this.#body.tee(), duplex: 'half' as const };
    return new Request(this.url, { method, headers, signal, ...body });
  }

  get duplex(): 'half' {
    return 'half';
  }
  get cache(): 'default' {
    return 'default';
  }
  get credentials(): 'same-origin' {
    return 'same-origin';
  }
  get destination(): '' {
    return '';
  }
  get integrity(): '' {
    return '';
  }
  get keepalive(): false {
    return false;
  }
  get mode(): 'cors' {
    return 'cors';
  }
  get redirect(): 'follow' {
    return 'follow';
  }
  get referrer(): 'about:client' {
    return 'about:client';
  }
  get referrerPolicy(): '' {
    return '';
  }
}

/** Puts our class below the standard's, for `instanceof`; here and not at the top, for the standard's is slow to load. @internal */
export function adoptStandard(): void {
  Object.setPrototypeOf(RoutedRequest.prototype, Request.prototype);
}
