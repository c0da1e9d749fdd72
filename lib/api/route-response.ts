// class RouteResponse: a Response that costs a fraction of the standard class, because nothing of it is made before it is asked for.
import { findStandardBodies, takeStandardBody } from './standard-body.js';

/** What the native side needs of an answer. @internal */
export interface AnswerParts {
  status: number;
  /** Names and values, each with a NUL behind it. */
  fields: string;
  body: string | Uint8Array | ReadableStream<Uint8Array> | null;
}

/** What a body is made of. */
type ResponseBody = ConstructorParameters<typeof Response>[0];

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const VALUE = /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/;
const TEXT_TYPE = 'content-type\0text/plain;charset=UTF-8\0';
const JSON_TYPE = 'content-type\0application/json\0';

let parts: (response: RouteResponse) => AnswerParts;

/**
 * A `Response` for the answers of routes: the same constructor, members and static methods, a fraction of the cost. `instanceof Response` is true. The
 * reason phrase is the server's, so `statusText` is kept but not sent.
 *
 * @example
 * ```ts
 * import { FileServer, RouteResponse } from 'ringwheel';
 * const server = await FileServer.start({ root: 'examples/site', port: 0, cores: 1 });
 * server.route('GET /api/:name', (_, { params }) => RouteResponse.json({ hello: params.name }));
 * console.log(await (await fetch(`${server.url}/api/world`)).json()); // { hello: 'world' }
 * await server.close();
 * ```
 */
export class RouteResponse {
  #body: AnswerParts['body'];
  #status: number;
  #statusText: string;
  #fields: string;
  #headers: Headers | undefined;
  /** The standard's own, once something of it was asked for that this class does not have. */
  #standard: Response | undefined;

  /**
   * @param body - As for `Response`. A string is sent as UTF-8.
   * @param init - As for `Response`: `status` from 200 to 599, `headers`.
   * @throws RangeError and TypeError, as the standard's.
   */
  constructor(body?: ResponseBody, init?: ResponseInit) {
    const status = init?.status ?? 200;
    if (!Number.isInteger(status) || status < 200 || status > 599) {
      throw new RangeError(`RouteResponse: status must be a whole number from 200 to 599; got ${String(status)}`);
    }
    this.#status = status;
    this.#statusText = init?.statusText ?? '';
    if (body === undefined || body === null || typeof body === 'string' || body instanceof Uint8Array) {
      this.#body = body ?? null;
      this.#fields = fieldsOf(init?.headers);
      if (typeof body === 'string' && !hasType(this.#fields)) this.#fields += TEXT_TYPE;
    } else {
      // A Blob, a form, a stream: what becomes of it, and which type it has, the standard's class knows.
      this.#standard = new Response(body, init);
      this.#body = null;
      this.#fields = '';
    }
    if (body !== undefined && body !== null) mayHaveBody(status);
  }

  /** An answer whose body is `value` as JSON. */
  static json(value: unknown, init?: ResponseInit): RouteResponse {
    const text = JSON.stringify(value);
    if (text === undefined) throw new TypeError('RouteResponse.json: the value is not JSON');
    if (init?.headers !== undefined) {
      const headers = new Headers(init.headers);
      if (!headers.has('content-type')) headers.set('content-type', 'application/json');
      return new RouteResponse(text, { ...init, headers });
    }
    const response = new RouteResponse(null, init);
    mayHaveBody(response.#status);
    response.#body = text;
    response.#fields = JSON_TYPE;
    return response;
  }

  /** A redirect to an absolute URL, with status 301, 302 (the default), 303, 307 or 308. */
  static redirect(url: string | URL, status = 302): RouteResponse {
    if (![301, 302, 303, 307, 308].includes(status)) {
      throw new RangeError(`RouteResponse.redirect: status must be 301, 302, 303, 307 or 308; got ${String(status)}`);
    }
    return new RouteResponse(null, { status, headers: { location: new URL(url).href } });
  }

  static {
    parts = (response) => {
      const standard = response.#standard;
      const headers = response.#headers;
      // What was asked for first is what a program changes: also when a standard one was made of it since.
      const fields = headers === undefined ? response.#fields : fieldsOf(headers);
      if (standard === undefined) return { status: response.#status, fields, body: response.#body };
      const made = partsOfStandard(standard);
      return headers === undefined ? made : { ...made, fields };
    };
  }

  #made(): Response {
    this.#standard ??= new Response(this.#body as string | null, {
      status: this.#status,
      statusText: this.#statusText,
      headers: this.headers,
    });
    return this.#standard;
  }

  /** The status, from 200 to 599. */
  get status(): number {
    return this.#status;
  }
  /** Whether the status is below 300. */
  get ok(): boolean {
    return this.#status < 300;
  }
  /** As given; it is not sent: HTTP/1.1 clients ignore it, and the server writes the usual one. */
  get statusText(): string {
    return this.#statusText;
  }
  /** Of every answer that a program makes. */
  get type(): 'default' {
    return 'default';
  }
  /** None: it was not fetched. */
  get url(): '' {
    return '';
  }
  /** Never: it was not fetched. */
  get redirected(): false {
    return false;
  }
  /** The fields, made when they are first asked for; what is changed here is sent. */
  get headers(): Headers {
    if (this.#headers === undefined) {
      if (this.#standard !== undefined) return this.#standard.headers;
      this.#headers = new Headers();
      const split = this.#fields.split('\0');
      for (let index = 0; index + 1 < split.length; index += 2) {
        this.#headers.append(split[index] as string, split[index + 1] as string);
      }
    }
    return this.#headers;
  }
  /** The body as a stream, made when it is first asked for; `null` where there is none. */
  get body(): ReadableStream<Uint8Array> | null {
    return this.#made().body as ReadableStream<Uint8Array> | null;
  }
  /** Whether the body has been read. */
  get bodyUsed(): boolean {
    return this.#standard?.bodyUsed ?? false;
  }
  /** Reads the body as UTF-8. Rejects with a TypeError when it was read before, as all that follow do. */
  text(): Promise<string> {
    return this.#made().text();
  }
  /** Reads the body as JSON. Rejects with a SyntaxError when it is none. */
  json(): Promise<unknown> {
    return this.#made().json();
  }
  /** Reads the body into an ArrayBuffer of its own. */
  arrayBuffer(): Promise<ArrayBuffer> {
    return this.#made().arrayBuffer();
  }
  /** Reads the body into an array of its own. */
  async bytes(): Promise<Uint8Array> {
    return new Uint8Array(await this.arrayBuffer());
  }
  /** Reads the body into a Blob of its type. */
  blob(): Promise<Blob> {
    return this.#made().blob() as Promise<Blob>;
  }
  /** Reads the body as a form, by its Content-Type. Rejects with a TypeError when it is none. */
  formData(): Promise<FormData> {
    return this.#made().formData() as Promise<FormData>;
  }
  /** A copy with a body of its own, of the standard class. Throws a TypeError when the body was read. */
  clone(): Response {
    return this.#made().clone();
  }
}

/** What an answer is made of. @internal */
export function answerParts(answer: unknown): AnswerParts {
  if (answer instanceof RouteResponse) return parts(answer);
  const { status, headers, body } = (answer ?? {}) as Partial<Response>;
  if (typeof status !== 'number' || typeof headers !== 'object' || body === undefined) {
    throw new TypeError(`the handler must return a Response; it returned ${answer === null ? 'null' : typeof answer}`);
  }
  return partsOfStandard(answer as Response);
}

function partsOfStandard(response: Response): AnswerParts {
  const { status, headers, body, bodyUsed } = response;
  if (bodyUsed) throw new TypeError('the body of the Response that the handler returned has been read already');
  if (status < 200 || status > 599)
    throw new RangeError(`the handler must answer with a status from 200 to 599; it answered ${status}`);
  const bytes = takeStandardBody(response);
  return { status, fields: fieldsOf(headers), body: bytes ?? (body as ReadableStream<Uint8Array> | null) };
}

function mayHaveBody(status: number): void {
  if (status === 204 || status === 205 || status === 304) {
    throw new TypeError(`RouteResponse: an answer with status ${status} has no body; pass null`);
  }
}

/** Whether a Content-Type is among the fields. */
function hasType(fields: string): boolean {
  return fields !== '' && fields.split('\0').some((name, index) => index % 2 === 0 && name === 'content-type');
}

/** Checked names and values. */
function fieldsOf(headers: ConstructorParameters<typeof Headers>[0]): string {
  if (headers === undefined) return '';
  let fields = '';
  if (Object.getPrototypeOf(headers) === Object.prototype) {
    for (const name in headers as Record<string, string>) {
      const value = (headers as Record<string, string>)[name];
      // What is not plain, or not right, is the standard's to read, or to refuse.
      if (typeof value !== 'string' || !TOKEN.test(name) || !VALUE.test(value)) return fieldsOf(new Headers(headers));
      fields += `${name.toLowerCase()}\0${value}\0`;
    }
    return fields;
  }
  const list = headers instanceof Headers ? headers : new Headers(headers);
  for (const [name, value] of list) fields += `${name}\0${value}\0`;
  return fields;
}

/** Puts our class below the standard's, for `instanceof`. @internal */
export function adoptStandardResponse(): void {
  Object.setPrototypeOf(RouteResponse.prototype, Response.prototype);
  findStandardBodies();
}
