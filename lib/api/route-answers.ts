// The answers of routes on their way to the native side: those of one turn in one call.
import type { NativeRoutes } from '../wire/binding.js';

/** Numbers of an answer, as crates/fileserver has them. */
const NUMBERS = 8;
const ANSWERS_MAX = 256;
const BYTES = 128 * 1024;

/** How many bytes the body has: those that are given, so many, or nobody knows. @internal */
export type BodyLength = 'whole' | 'open' | number;

const byteLength = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), 'byteLength')?.get;

/** Its bytes, whatever a class of the program's says of them: what is not written would be another answer's memory. */
function bytesOf(body: Uint8Array): number {
  return byteLength?.call(body);
}

/** Gathers answers until JavaScript's turn ends. @internal */
export class RouteAnswers {
  readonly #native: NativeRoutes;
  readonly #numbers = new Uint32Array(NUMBERS * ANSWERS_MAX);
  readonly #bytes = Buffer.allocUnsafeSlow(BYTES);
  #count = 0;
  #used = 0;
  #scheduled = false;

  constructor(native: NativeRoutes) {
    this.#native = native;
  }

  /** Leaves an answer: `fields` are names and values, each with a NUL behind it. */
  add(number: number, status: number, fields: string, body: string | Uint8Array | null, length: BodyLength): void {
    // A character of UTF-16 is three bytes of UTF-8 at most.
    const most = fields.length + (typeof body === 'string' ? body.length * 3 : body === null ? 0 : bytesOf(body));
    if (this.#count === ANSWERS_MAX || this.#used + most > BYTES) this.flush();
    let bytes = this.#bytes;
    if (most > BYTES) {
      const own = typeof body === 'string' ? Buffer.from(body) : (body ?? new Uint8Array());
      bytes = Buffer.allocUnsafe(fields.length + bytesOf(own));
      body = own;
    }
    let at = this.#used;
    const fieldBytes = bytes.write(fields, at, 'latin1');
    at += fieldBytes;
    let bodyBytes = 0;
    if (typeof body === 'string') bodyBytes = bytes.write(body, at, 'utf8');
    else if (body !== null) {
      bytes.set(body, at);
      bodyBytes = bytesOf(body);
    }
    const entry = this.#count * NUMBERS;
    const numbers = this.#numbers;
    numbers[entry] = number;
    numbers[entry + 1] = status;
    numbers[entry + 2] = fieldBytes;
    numbers[entry + 3] = bodyBytes;
    numbers[entry + 4] = length === 'whole' ? 0 : length === 'open' ? 2 : 1;
    numbers[entry + 5] = typeof length === 'number' ? Math.floor(length / 2 ** 32) : 0;
    numbers[entry + 6] = typeof length === 'number' ? length % 2 ** 32 : 0;
    this.#count++;
    this.#used = at + bodyBytes;
    if (bytes !== this.#bytes) {
      this.#send(bytes.subarray(0, this.#used));
    } else if (!this.#scheduled) {
      this.#scheduled = true;
      // After the microtasks that run now, which may be those of other handlers.
      process.nextTick(this.#end);
    }
  }

  readonly #end = (): void => {
    this.#scheduled = false;
    this.flush();
  };

  /** Leaves what was gathered now, ahead of what follows it. */
  flush(): void {
    if (this.#count > 0) this.#send(this.#bytes.subarray(0, this.#used));
  }

  #send(bytes: Uint8Array): void {
    const numbers = this.#numbers.subarray(0, this.#count * NUMBERS);
    this.#count = 0;
    this.#used = 0;
    this.#native.answer(numbers, bytes);
  }
}
