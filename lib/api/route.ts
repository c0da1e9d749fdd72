// What a route of a file server is: its handler, its pattern, and what a handler is told beside the request.
import { ourError, quoted } from './errors.js';
import type { RouteResponse } from './route-response.js';

/** What a handler is told beside the request. */
export interface RouteContext {
  /** What stands in the path for `:name`, decoded; what `*` stands for is `params['*']`, not decoded, without its first slash. */
  readonly params: Readonly<Record<string, string>>;
  /**
   * The client's address: as a proxy has it that `trustProxy` names, else as the PROXY header has it, else the other end's; undefined where there is none (a
   * Unix socket).
   */
  readonly remoteAddress: string | undefined;
}

/**
 * Answers a request: with a standard `Response`, a {@link RouteResponse}, or a promise of one. What it throws is a 500 and is told on the
 * channel `ringwheel:route:error`, or on stderr where nobody subscribes.
 */
export type RouteHandler = (
  request: Request,
  context: RouteContext,
) => Response | RouteResponse | Promise<Response | RouteResponse>;

/** A route with its handler. @internal */
export interface Route {
  readonly pattern: string;
  readonly handler: RouteHandler;
  /** Names by the place of their segment. */
  readonly names: readonly (string | undefined)[];
}

/** A route, when both are what they must be; the native side looks at the pattern. @internal */
export function routeOf(pattern: unknown, handler: unknown, where: string): Route {
  if (typeof pattern !== 'string') {
    throw refused(`${where}: pattern must be a string such as "GET /users/:id"; got ${typeof pattern}`);
  }
  if (typeof handler !== 'function') {
    throw refused(`${where}: the handler of ${quoted(pattern)} must be a function; got ${typeof handler}`);
  }
  const segments = segmentsOf(pattern.slice(pattern.indexOf('/')));
  const names = segments.map((segment) => {
    if (segment === '*') return '*';
    return segment.startsWith(':') ? segment.slice(1) : undefined;
  });
  const named = names.filter((name) => name !== undefined);
  if (new Set(named).size < named.length) throw refused(`${where}: ${quoted(pattern)} has a name twice`);
  return { pattern, handler: handler as RouteHandler, names };
}

function refused(sentence: string): Error {
  return ourError('ERR_RINGWHEEL_INVALID_OPTION', sentence);
}

function segmentsOf(path: string): string[] {
  return path.split('/').filter((segment) => segment !== '');
}

/** What the names of a route stand for in a path. @internal */
export function paramsOf(route: Route, path: string): Record<string, string> {
  const params: Record<string, string> = Object.create(null);
  const segments = segmentsOf(path);
  for (const [index, name] of route.names.entries()) {
    if (name === '*') params[name] = segments.slice(index).join('/');
    else if (name !== undefined) params[name] = decoded(segments[index] ?? '');
  }
  return params;
}

/** Escapes that are no UTF-8 become U+FFFD, as in a URL's query. */
function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    const bytes = segment.replace(/%([0-9a-f]{2})/gi, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
    return Buffer.from(bytes, 'latin1').toString('utf8');
  }
}
