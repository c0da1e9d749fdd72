// The body of an answer that is a stream: pulled as the client takes it, and cancelled when nobody wants it any more.
import type { Exchange, RouteDesk } from './route-desk.js';

type Read = Awaited<ReturnType<ReadableStreamDefaultReader<Uint8Array>['read']>>;

/** Sends an answer whose body is a stream. One that ends with its first piece goes as one whole. @internal */
export async function sendStream(
  desk: RouteDesk,
  exchange: Exchange,
  status: number,
  fields: string,
  body: ReadableStream<Uint8Array>,
): Promise<void> {
  const reader = body.getReader();
  // A stream may have nothing to say for hours: it is not asked again before it is cancelled.
  exchange.onGone = () => {
    cancel(reader).catch((error) => desk.fail(exchange, error));
  };
  try {
    await sendAll(desk, exchange, status, fields, reader);
  } catch (error) {
    reader.cancel(error).catch(() => {}); // A stream that failed by itself says the same again.
    throw error;
  }
}

async function sendAll(
  desk: RouteDesk,
  exchange: Exchange,
  status: number,
  fields: string,
  reader: ReadableStreamDefaultReader<Uint8Array>,
): Promise<void> {
  if (exchange.number === 0) return cancel(reader);
  if (status === 204 || status === 205 || status === 304) {
    desk.answers.add(exchange.number, status, fields, null, 'whole');
    desk.release(exchange);
    return cancel(reader);
  }
  const promised = lengthOf(fields);
  const first = await reader.read();
  let second: Read | undefined;
  let next: Promise<Read> | undefined;
  if (!first.done) {
    next = reader.read();
    next.then(
      (read) => {
        second = read;
      },
      () => {}, // Comes to light below.
    );
    // What is there already comes in the microtasks of this turn.
    await new Promise<void>((settle) => process.nextTick(settle));
  }
  const opening = first.done ? null : bytesOf(first.value);
  if ((exchange.number as number) === 0) return cancel(reader);
  if (first.done || second?.done === true) {
    desk.answers.add(exchange.number, status, fields, opening, 'whole');
    desk.release(exchange);
    return;
  }
  desk.answers.add(exchange.number, status, fields, opening, promised ?? 'open');
  desk.answers.flush();
  if (exchange.request.method === 'HEAD') {
    desk.native.finish(exchange.number);
    desk.release(exchange);
    return cancel(reader);
  }
  for (let read = await next; read !== undefined && !read.done; read = await reader.read()) {
    const bytes = bytesOf(read.value);
    if (exchange.number === 0) return cancel(reader);
    if (!desk.native.send(exchange.number, bytes)) await room(exchange);
    if ((exchange.number as number) === 0) return cancel(reader);
  }
  if (exchange.number !== 0) {
    desk.native.finish(exchange.number);
    desk.release(exchange);
  }
}

function room(exchange: Exchange): Promise<void> {
  return new Promise((settle) => {
    exchange.onRoom = settle;
  });
}

async function cancel(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  await reader.cancel(new DOMException('nobody wants the body', 'AbortError'));
}

function bytesOf(chunk: unknown): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk;
  throw new TypeError(`the body of a Response is a stream of Uint8Arrays; it had a chunk of type ${typeof chunk}`);
}

/** The Content-Length that a handler gives with its stream. */
function lengthOf(fields: string): number | undefined {
  const length = /(?:^|\0)content-length\0(\d{1,15})\0/.exec(fields)?.[1];
  return length === undefined ? undefined : Number(length);
}
