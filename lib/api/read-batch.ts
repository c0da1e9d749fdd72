// What File.readMany gives: views of the memory that its ranges were read into.
import type { Link } from '../ring/link.js';
import type { Hold } from '../ring/state.js';
import { ourError } from './errors.js';
import { shown } from './validate.js';

const KEY = Symbol('batch');
/** Numbers of a range: its memory's index, where it starts there, bytes. */
const NUMBERS = 3;

/** Makes a batch. @internal */
export let makeBatch: (link: Link, holds: Hold[], places: Uint32Array) => ReadBatch;

/**
 * The bytes of several ranges of a file, as {@link File.readMany} read them. They lie in leased memory, which is yours until
 * {@link ReadBatch.release}: later calls of readMany wait for it.
 *
 * @example
 * ```ts
 * import { File } from 'ringwheel';
 * await using file = await File.open('data.bin');
 * using batch = await file.readMany([{ position: 0, length: 16 }, { position: 8192, length: 16 }]);
 * for (const view of batch) console.log(view.length, view[0]);
 * ```
 */
export class ReadBatch implements Disposable {
  readonly #link: Link;
  readonly #places: Uint32Array;
  #holds: Hold[] | undefined;

  static {
    makeBatch = (link, holds, places) => new ReadBatch(KEY, link, holds, places);
  }

  private constructor(key: typeof KEY, link: Link, holds: Hold[], places: Uint32Array) {
    if (key !== KEY) {
      const message = 'ReadBatch has no public constructor: use file.readMany(ranges)';
      throw ourError('ERR_RINGWHEEL_INVALID_OPTION', message, ReadBatch);
    }
    this.#link = link;
    this.#holds = holds;
    this.#places = places;
  }

  /** Ranges: as many as were asked for. */
  get length(): number {
    return this.#places.length / NUMBERS;
  }

  /** True once {@link ReadBatch.release} was called. */
  get released(): boolean {
    return this.#holds === undefined;
  }

  /**
   * The bytes of a range: fewer than were asked for when the file ended there, none behind its end. Ranges that overlap share bytes.
   * After release the views that were made show memory that others use by then: do not keep them.
   *
   * @param index - The range's index in the array that readMany was given.
   * @returns A view, a new one each time.
   * @throws ERR_RINGWHEEL_INVALID_OPTION when there is no such range.
   * @throws ERR_RINGWHEEL_LEASE after release and after the executor's close.
   * @throws ERR_RINGWHEEL_BUFFER when the buffer of all leases was moved away, where the host cannot prevent that.
   */
  view(index: number): Uint8Array {
    const places = this.#places;
    const at = index * NUMBERS;
    if (!Number.isSafeInteger(index) || index < 0 || at >= places.length) {
      const range = places.length === 0 ? 'no range is there' : `a whole number from 0 to ${this.length - 1}`;
      throw ourError('ERR_RINGWHEEL_INVALID_OPTION', `batch.view: index must be ${range}; got ${shown(index)}`);
    }
    if (this.#holds === undefined || this.#link.ended !== 0) {
      const why = this.#holds === undefined ? 'the batch was released' : 'the executor was closed';
      throw ourError('ERR_RINGWHEEL_LEASE', `batch.view: ${why}; read the ranges again`);
    }
    const length = places[at + 2] as number;
    if (length === 0) return new Uint8Array(0);
    const { bytes } = this.#holds[places[at] as number] as Hold;
    if (bytes.byteLength === 0) {
      throw ourError('ERR_RINGWHEEL_BUFFER', 'batch.view: the buffer that all leases are parts of was detached');
    }
    return new Uint8Array(bytes.buffer, bytes.byteOffset + (places[at + 1] as number), length);
  }

  /** The views of all ranges, in the order of the array that readMany was given. */
  *[Symbol.iterator](): IterableIterator<Uint8Array> {
    for (let index = 0; index < this.length; index++) yield this.view(index);
  }

  /** Gives the memory back. Safe to call twice. */
  release(): void {
    const holds = this.#holds;
    this.#holds = undefined;
    if (holds !== undefined && this.#link.ended === 0) for (const hold of holds) this.#link.slabs.give(hold);
  }

  /** The same as {@link ReadBatch.release}, for `using`. */
  [Symbol.dispose](): void {
    this.release();
  }
}
