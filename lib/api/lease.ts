// A range of the executor's memory that a program holds: reads and writes move its bytes without a copy.
import type { Link } from '../ring/link.js';
import { type Hold, RELEASED } from '../ring/state.js';
import { ourError } from './errors.js';

const KEY = Symbol('lease');

/** Makes a lease over a range, which keeps `token` until it is released. @internal */
export let makeLease: (link: Link, hold: Hold, token?: object) => Lease;

/**
 * Memory that the kernel may read and write: a range of the executor's arena. Made by {@link Executor.lease}.
 *
 * A lease is in one hand at a time: yours, or that of the operation it was passed to, until that operation's promise has
 * settled. Passing it to a second operation meanwhile fails with ERR_RINGWHEEL_LEASE. Reading `bytes` while an operation
 * runs shows whatever the kernel has written so far.
 *
 * @example
 * ```ts
 * import { Executor, File } from 'ringwheel';
 * const lease = Executor.current().lease(4096);
 * const file = await File.open('package.json');
 * const length = await file.readAt(lease, 0);
 * console.log(new TextDecoder().decode(lease.bytes.subarray(0, length)));
 * await file.close();
 * lease.release();
 * ```
 */
export class Lease implements Disposable {
  readonly #hold: Hold;
  readonly #link: Link;
  #token: object | undefined;

  static {
    makeLease = (link, hold, token) => new Lease(KEY, link, hold, token);
  }

  private constructor(key: typeof KEY, link: Link, hold: Hold, token: object | undefined) {
    if (key !== KEY)
      throw ourError(
        'ERR_RINGWHEEL_INVALID_OPTION',
        'Lease has no public constructor: use executor.lease(bytes)',
        Lease,
      );
    this.#link = link;
    this.#hold = hold;
    this.#token = token;
  }

  /**
   * The bytes. The same view each time. After {@link Lease.release} and after the executor's close it throws; views kept
   * from before then show memory that a later lease may use, or nothing at all (length 0), never memory of others.
   *
   * @throws ERR_RINGWHEEL_LEASE when the lease was released.
   */
  get bytes(): Uint8Array {
    const hold = this.#hold;
    if (hold.state === RELEASED || hold.releaseLater) {
      throw ourError(
        'ERR_RINGWHEEL_LEASE',
        'lease.bytes: the lease was released; ask the executor for another',
        undefined,
      );
    }
    return hold.bytes;
  }

  /** Bytes of the range: as many as were asked for. */
  get length(): number {
    return this.#hold.length;
  }

  /**
   * Gives the range back. Safe to call twice. While an operation has the lease, the range goes back when that operation
   * ends; its promise still settles.
   */
  release(): void {
    const hold = this.#hold;
    if (this.#token !== undefined) this.#token = undefined;
    if (hold.state === RELEASED || hold.releaseLater) return;
    this.#link.release(hold);
  }

  /** The same as {@link Lease.release}, for `using`. */
  [Symbol.dispose](): void {
    this.release();
  }

  /** The range behind a lease of this link; undefined for anything else. @internal */
  static holdOf(value: object): Hold | undefined {
    return #hold in value ? value.#hold : undefined;
  }

  /** True when the lease belongs to this link. @internal */
  static belongs(value: Lease, link: Link): boolean {
    return value.#link === link;
  }
}
