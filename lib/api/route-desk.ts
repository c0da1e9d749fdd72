// JavaScript's end of a server's routes: takes the requests of a turn from the native side, calls their handlers, leaves their answers.
import { binding, type NativeRoutes } from '../wire/binding.js';
import { ourError } from './errors.js';
import { events } from './events.js';
import { paramsOf, type Route, type RouteContext, type RouteHandler, routeOf } from './route.js';
import { RouteAnswers } from './route-answers.js';
import { adoptStandardResponse, answerParts } from './route-response.js';
import { sendStream } from './route-stream.js';
import { RoutedBody } from './routed-body.js';
import { adoptStandard, type Origin, RoutedRequest } from './routed-request.js';

/** What the native side's events are; crates/fileserver/src/route/attendant.rs has the same. */
const REQUEST = 1;
const BODY = 2;
const ROOM = 3;
const ENDED = 4;
const GONE = 5;
const NUMBERS = 8;
const TAKEN_MAX = 128;
/** In the last number of a request: the client spoke HTTPS to a proxy. */
const SECURE = 2 ** 16;
/** The bits of a number that are a place. */
const PLACE = 2 ** 22 - 1;

/** One request until it is answered. @internal */
export class Exchange {
  /** What the native side knows it by; 0 once it does not. */
  number: number;
  readonly request: RoutedRequest;
  readonly body: RoutedBody | undefined;
  /** Called when there is room for more of the answer's body, or nobody wants it any more. */
  onRoom: (() => void) | undefined;
  /** Called when nobody wants the answer any more. */
  onGone: (() => void) | undefined;

  constructor(number: number, request: RoutedRequest, body: RoutedBody | undefined) {
    this.number = number;
    this.request = request;
    this.body = body;
  }
}

/** What `*` and `:name` stand for, once somebody asks. */
class Context implements RouteContext {
  readonly #route: Route;
  readonly #request: RoutedRequest;
  readonly remoteAddress: string | undefined;
  #params: Record<string, string> | undefined;

  constructor(route: Route, request: RoutedRequest, remoteAddress: string | undefined) {
    this.#route = route;
    this.#request = request;
    this.remoteAddress = remoteAddress;
  }

  get params(): Record<string, string> {
    this.#params ??= paramsOf(this.#route, this.#request.path);
    return this.#params;
  }
}

/** The routes of one server. @internal */
export class RouteDesk {
  readonly native: NativeRoutes;
  readonly answers: RouteAnswers;
  readonly #routes: Route[] = [];
  readonly #open: (Exchange | undefined)[] = [];
  readonly #numbers = new Uint32Array(NUMBERS * TAKEN_MAX + 2);
  #origin: Origin = { scheme: 'http', host: 'localhost' };
  #secureOrigin: Origin = { scheme: 'https', host: 'localhost' };

  constructor() {
    this.native = new (binding().NativeRoutes)(() => this.#takeAll());
    this.answers = new RouteAnswers(this.native);
  }

  /** Where requests without a host came to. */
  set origin(origin: Origin) {
    this.#origin = origin;
    this.#secureOrigin = { ...origin, scheme: 'https' };
  }

  /** Adds a route. */
  add(where: string, pattern: string, handler: RouteHandler): void {
    const route = routeOf(pattern, handler, where);
    if (this.#routes.length === 0) {
      adoptStandard();
      adoptStandardResponse();
    }
    let number: number;
    try {
      number = this.native.add(pattern);
    } catch (error) {
      const reason = (error as Error).message.replace(/^ERR_RINGWHEEL_INVALID_OPTION: /, '');
      throw ourError('ERR_RINGWHEEL_INVALID_OPTION', `${where}: ${JSON.stringify(pattern)}: ${reason}`);
    }
    this.#routes[number] = route;
  }

  #takeAll(): void {
    const numbers = this.#numbers;
    for (let more = 1; more !== 0; ) {
      const heads = this.native.take(numbers);
      const count = numbers[numbers.length - 2] as number;
      more = numbers[numbers.length - 1] as number;
      let at = 0;
      for (let entry = 0; entry < count * NUMBERS; entry += NUMBERS) {
        const number = numbers[entry + 1] as number;
        if (numbers[entry] !== REQUEST) {
          this.#heard(numbers[entry] as number, number, numbers[entry + 2] as number);
          continue;
        }
        const head = heads.slice(at, at + (numbers[entry + 3] as number));
        at += head.length;
        const asker = numbers[entry + 7] as number;
        const address = heads.slice(at, at + (asker & (SECURE - 1)));
        at += address.length;
        const body = numbers[entry + 6] === 1 ? new RoutedBody(this.native, number) : undefined;
        const [method, target] = [numbers[entry + 4] as number, numbers[entry + 5] as number];
        const origin = asker >= SECURE ? this.#secureOrigin : this.#origin;
        const request = new RoutedRequest(head, method, target, origin, body);
        const exchange = new Exchange(number, request, body);
        this.#open[number & PLACE] = exchange;
        this.#handle(exchange, this.#routes[numbers[entry + 2] as number] as Route, address || undefined);
      }
    }
  }

  #heard(notice: number, number: number, refused: number): void {
    const exchange = this.#open[number & PLACE];
    if (exchange?.number !== number) return;
    if (notice === BODY) exchange.body?.wake();
    else if (notice === ROOM) exchange.onRoom?.();
    else if (notice === ENDED) exchange.request.end();
    else if (notice === GONE) {
      this.release(exchange, refused);
      exchange.request.end();
      exchange.onRoom?.();
      exchange.onGone?.();
    }
  }

  /** The native side knows the exchange no longer; `refused` as for {@link RoutedBody.release}. */
  release(exchange: Exchange, refused?: number): void {
    this.#open[exchange.number & PLACE] = undefined;
    exchange.number = 0;
    exchange.body?.release(refused);
  }

  #handle(exchange: Exchange, route: Route, remoteAddress: string | undefined): void {
    let answer: unknown;
    try {
      const context = new Context(route, exchange.request, remoteAddress);
      answer = route.handler(exchange.request as unknown as Request, context);
      if (answer instanceof Promise) {
        answer.then(
          (response) => this.#answer(exchange, response),
          (error) => this.fail(exchange, error),
        );
        return;
      }
    } catch (error) {
      this.fail(exchange, error); // Of the handler, or of a `then` that somebody has made his own.
      return;
    }
    this.#answer(exchange, answer);
  }

  #answer(exchange: Exchange, answer: unknown): void {
    try {
      const { status, fields, body } = answerParts(answer);
      if (body !== null && typeof body === 'object' && !(body instanceof Uint8Array)) {
        sendStream(this, exchange, status, fields, body).catch((error) => this.fail(exchange, error));
        return;
      }
      if (exchange.number === 0) return; // Nobody waits for it any more.
      this.answers.add(exchange.number, status, fields, body, 'whole');
    } catch (error) {
      this.fail(exchange, error);
      return;
    }
    this.release(exchange);
  }

  /** There is no answer, or no more of it: 500, or the connection is cut. */
  fail(exchange: Exchange, error: unknown): void {
    const { number, request } = exchange;
    if (number !== 0) {
      this.answers.flush();
      this.native.fail(number);
      this.release(exchange);
    }
    const { method, url } = request;
    const failed = events['ringwheel:route:error'];
    const what = `ringwheel: the handler of ${method} ${url} failed`;
    try {
      // A handler that was told that its client has gone, or sent too much, and says so, has done what it should.
      if (error !== undefined && error === exchange.body?.failure) return;
      if (number === 0 && request.signal.aborted && (error as Error | undefined)?.name === 'AbortError') return;
      if (failed.hasSubscribers) failed.publish({ error, method, url });
      else console.error(`${what}:`, error);
    } catch {
      console.error(`${what} with an error that throws when it is looked at`);
    }
  }
}
