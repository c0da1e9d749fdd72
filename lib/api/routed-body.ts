// The body of a routed request: taken from the native side a window at a time, when somebody reads, as bytes or as a stream.
import { Readable } from 'node:stream';
import type { NativeRoutes } from '../wire/binding.js';
import { ourError } from './errors.js';

/** A body that arrives while it is read: the client is held up when nobody reads. @internal */
export class RoutedBody {
  readonly #native: NativeRoutes;
  #number: number;
  #stream: ReadableStream<Uint8Array> | undefined;
  #taken = false;
  /** Who waits for bytes. */
  #tell: (() => void) | undefined;
  /** Why it could not be read to its end. */
  failure: Error | undefined;
  /** All of it was read; what comes after the number is gone is no cut. */
  #ended = false;

  /** See {@link RoutedBody.release}. */
  #refused: number | undefined = 0;

  constructor(native: NativeRoutes, number: number) {
    this.#native = native;
    this.#number = number;
  }

  /** Somebody has it, or a part of it. */
  get used(): boolean {
    // Of a stream that was cloned it is the own branch that counts.
    return this.#taken || (this.#stream !== undefined && isDisturbed(this.#stream));
  }

  /** The same stream every time. */
  get stream(): ReadableStream<Uint8Array> {
    this.#stream ??= this.#made();
    return this.#stream;
  }

  #made(): ReadableStream<Uint8Array> {
    const pull = async (controller: { enqueue(chunk: Uint8Array): void; close(): void }): Promise<void> => {
      const bytes = await this.#read();
      if (bytes === undefined) controller.close();
      else controller.enqueue(bytes);
    };
    const cancel = (): void => this.spurn();
    return new ReadableStream<Uint8Array>({ pull, cancel }, { highWaterMark: 0 });
  }

  /** Two streams of the same bytes; the first is this one's from now on. */
  tee(): ReadableStream<Uint8Array> {
    const [own, other] = this.stream.tee();
    this.#stream = own;
    return other;
  }

  /** All of it. */
  async whole(): Promise<Uint8Array> {
    if (this.used || this.#stream?.locked === true)
      throw new TypeError('Body is unusable: it has been read, or is being read');
    const pieces: Uint8Array[] = [];
    if (this.#stream === undefined) {
      this.#taken = true;
      for (let bytes = await this.#read(); bytes !== undefined; bytes = await this.#read()) pieces.push(bytes);
    } else {
      for await (const bytes of this.#stream) pieces.push(bytes);
    }
    return pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces);
  }

  async #read(): Promise<Uint8Array | undefined> {
    while (!this.#ended) {
      const piece = this.#number === 0 ? 1 : this.#native.read(this.#number);
      if (piece === 1) {
        this.failure = this.#cut();
        throw this.failure;
      }
      if (piece === 0) this.#ended = true;
      else if (piece !== null) return piece;
      else {
        await new Promise<void>((settle) => {
          this.#tell = settle;
        });
      }
    }
    return undefined;
  }

  /** Why there is no more of it. */
  #cut(): Error {
    if (this.#refused === 413) {
      const message = 'the body of the request is longer than limits.routeBodyBytes: the client has got 413';
      return ourError('ERR_RINGWHEEL_TOO_LARGE', message);
    }
    if (this.#refused === 408 || this.#refused === 503) {
      const limit = this.#refused === 408 ? 'sendTimeoutMs' : 'routeTimeoutMs';
      const message = `the body of the request did not come within limits.${limit}: the client has got ${this.#refused}`;
      return ourError('ERR_RINGWHEEL_TIMEOUT', message);
    }
    const gone = this.#refused === 400 ? 'the client sent what is no body' : 'the client is gone';
    const why = this.#refused === undefined ? 'the request was answered before it was read' : gone;
    return ourError('ERR_RINGWHEEL_CLOSED', `the body of the request ended early: ${why}`);
  }

  /** Something has come, or nothing more will. */
  wake(): void {
    this.#tell?.();
    this.#tell = undefined;
  }

  /** The number means nothing any more: `refused` is the status that the client has got in place of an answer, 0 when it has gone. */
  release(refused?: number): void {
    this.#number = 0;
    this.#refused = refused;
    this.wake();
  }

  /** Nobody will read what is left. */
  spurn(): void {
    if (this.#number !== 0 && !this.#ended) this.#native.spurn(this.#number);
    this.#ended = true;
  }
}

/** Whether somebody has read from it, or cancelled it: Node knows of the Web's streams too, its types do not. */
function isDisturbed(stream: ReadableStream): boolean {
  return Readable.isDisturbed(stream as unknown as Readable);
}
