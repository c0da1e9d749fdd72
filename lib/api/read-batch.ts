// What File.readMany gives: views of the memory that its ranges were read into.
import type { Link } from '../ring/link.js';
import { type Hold, PAGE_LOG2 } from '../ring/state.js';
import { ourError } from './errors.js';
import { keepPlan, type Plan } from './read-plan.js';
import { shown } from './validate.js';

const KEY = Symbol('batch');
const PAGE_MASK = 2 ** PAGE_LOG2 - 1;

/** Makes a batch. @internal */
export let makeBatch: (link: Link, holds: Hold[], plan: Plan) => ReadBatch;

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
  readonly #plan: Plan;
  readonly #length: number;
  #holds: Hold[] | undefined;

  static {
    makeBatch = (link, holds, plan) => new ReadBatch(KEY, link, holds, plan);
  }

  private constructor(key: typeof KEY, link: Link, holds: Hold[], plan: Plan) {
    if (key !== KEY) {
      const message = 'ReadBatch has no public constructor: use file.readMany(ranges)';
      throw ourError('ERR_RINGWHEEL_INVALID_OPTION', message, ReadBatch);
    }
    this.#link = link;
    this.#holds = holds;
    this.#plan = plan;
    this.#length = plan.count;
  }

  /** Ranges: as many as were asked for. */
  get length(): number {
    return this.#length;
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
   * @returns A view of leased memory. Batches that get the same memory one after the other may give out the same object.
   * @throws ERR_RINGWHEEL_INVALID_OPTION when there is no such range.
   * @throws ERR_RINGWHEEL_LEASE after release and after the executor's close.
   * @throws ERR_RINGWHEEL_BUFFER when the buffer of all leases was moved away, where the host cannot prevent that.
   */
  view(index: number): Uint8Array {
    if (!Number.isSafeInteger(index) || index < 0 || index >= this.#length) {
      const range = this.#length === 0 ? 'no range is there' : `a whole number from 0 to ${this.#length - 1}`;
      throw ourError('ERR_RINGWHEEL_INVALID_OPTION', `batch.view: index must be ${range}; got ${shown(index)}`);
    }
    const holds = this.#holds;
    if (holds === undefined || this.#link.ended !== 0) {
      const why = holds === undefined ? 'the batch was released' : 'the executor was closed';
      throw ourError('ERR_RINGWHEEL_LEASE', `batch.view: ${why}; read the ranges again`);
    }
    const plan = this.#plan;
    const length = plan.bytesOf(index);
    if (length === 0) return new Uint8Array(0);
    const hold = holds[plan.chunkOf(index)] as Hold;
    const start = plan.startOf(index);
    const { pages } = hold;
    const page = start >>> PAGE_LOG2;
    if ((start & PAGE_MASK) !== 0 || page >= pages.length) return this.#viewOf(hold, start, length);
    const known = pages[page];
    if (known !== undefined && known.length === length) return known;
    const view = this.#viewOf(hold, start, length);
    pages[page] = view;
    return view;
  }

  /** The views of all ranges, in the order of the array that readMany was given. */
  *[Symbol.iterator](): IterableIterator<Uint8Array> {
    for (let index = 0; index < this.length; index++) yield this.view(index);
  }

  /** Gives the memory back. Safe to call twice. */
  release(): void {
    const holds = this.#holds;
    this.#holds = undefined;
    if (holds === undefined) return;
    if (this.#link.ended === 0) for (const hold of holds) this.#link.slabs.give(hold);
    keepPlan(this.#plan);
  }

  /** The same as {@link ReadBatch.release}, for `using`. */
  [Symbol.dispose](): void {
    this.release();
  }
  #viewOf(hold: Hold, start: number, length: number): Uint8Array {
    const { arena } = this.#link;
    if (arena.byteLength === 0) {
      throw ourError('ERR_RINGWHEEL_BUFFER', 'batch.view: the buffer that all leases are parts of was detached');
    }
    return new Uint8Array(arena, hold.offset + start, length);
  }
}
