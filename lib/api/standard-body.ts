// The bytes of a standard Response without its stream, where this Node keeps them beside it: to read the stream costs as much as all the rest of a request.
import { Readable } from 'node:stream';

/** What undici keeps of a Response, in the versions that keep it under a symbol: those of Node 20 and 22. */
interface State {
  body?: { stream?: unknown; source?: unknown } | null;
}

const ANSWERED = Symbol('ringwheel: answered');

type Kept = Response & { [ANSWERED]?: true };

/** Where the state of a Response lies; nothing where it is out of reach, or is not what we take it for. */
function placeOfState(): symbol | undefined {
  try {
    const text = new Response('\u00e9');
    const bytes = new Response(new Uint8Array([1, 2]));
    return Object.getOwnPropertySymbols(text).find((symbol) => {
      const found = sourceAt(bytes, symbol);
      return sourceAt(text, symbol) === '\u00e9' && found instanceof Uint8Array && found.join() === '1,2';
    });
  } catch {
    return undefined;
  }
}

function sourceAt(response: Response, place: symbol): string | Uint8Array | undefined {
  const kept = (response as unknown as Record<symbol, State | undefined>)[place]?.body;
  // The same stream: what was put in its place, or read from, is not what the source says.
  if (kept?.stream !== response.body || kept.stream === null) return undefined;
  const { source } = kept;
  return typeof source === 'string' || source instanceof Uint8Array ? source : undefined;
}

let place: symbol | undefined;

/** Looks where this Node keeps the bytes; asked once, since it makes two Responses. @internal */
export function findStandardBodies(): void {
  place ??= placeOfState();
}

/**
 * The body of a Response that was made of text or bytes and that nobody has read; nothing when its stream has to be read. A body is given once, as a stream is read once.
 * @internal
 */
export function takeStandardBody(response: Response): string | Uint8Array | undefined {
  if (place === undefined) return undefined;
  if ((response as Kept)[ANSWERED])
    throw new TypeError('the body of the Response that the handler returned has been read already');
  const source = sourceAt(response, place);
  const { body } = response;
  if (source === undefined || body === null || body.locked || Readable.isDisturbed(body as unknown as Readable))
    return undefined;
  (response as Kept)[ANSWERED] = true;
  return source;
}
