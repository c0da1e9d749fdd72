// Life of a command, stage 1 of 6: call. Before: lib/api/file.ts. After: lib/ring/command-writer.ts.
//
// readMany: ranges in, one promise out. Ranges that lie near each other become one read; the reads of up to half a MiB become one
// command, whose memory is one range of the arena with a table of them behind the bytes (crates/command/src/ranges.rs). So a range
// costs a few stores here (read-plan.ts), and no closure or promise.
import { constants } from 'node:os';
import { BUFFER_GONE, type Link } from '../ring/link.js';
import { RAW } from '../ring/pending.js';
import type { SlabRequest } from '../ring/slabs.js';
import type { FileState, Hold } from '../ring/state.js';
import { OPCODE_READ, OPCODE_READ_MANY, REJECT_CLOSED } from '../wire/layout.generated.js';
import { isAborted, listen, reasonOf } from './abort.js';
import { ourError } from './errors.js';
import { CANCELLED, wasCancelled } from './operation.js';
import { makeBatch, type ReadBatch } from './read-batch.js';
import { type Chunk, keepPlan, type Plan, type ReadRange, sizeOf, tableOf, takePlan } from './read-plan.js';

/** The limits of one call, all set. @internal */
export interface ReadManyLimits {
  readonly mergeBytes: number;
  readonly amplification: number;
  readonly concurrency: number;
  readonly memory: number;
}

/** @internal */
export const READ_MANY_DEFAULTS: ReadManyLimits = {
  mergeBytes: 262144,
  amplification: 4096,
  concurrency: 128,
  memory: Number.MAX_SAFE_INTEGER,
};

const { EBADF } = constants.errno;
/** Ranges of one batch, at most: its plan has 60 bytes for each. */
const MOST_RANGES = 2 ** 24;

/** Reads ranges of a file; the caller checked the limits and that `ranges` is an array. @internal */
export function readRanges(
  link: Link,
  file: FileState,
  ranges: readonly ReadRange[],
  limits: ReadManyLimits,
  signal: AbortSignal | undefined,
): Promise<ReadBatch> {
  if (file.direct !== undefined && !file.direct.readable) return link.fail(-EBADF, OPCODE_READ, file);
  const count = ranges.length; // Once: an array may be a proxy.
  if (!Number.isInteger(count) || count < 0 || count > MOST_RANGES) {
    const message = `file.readMany: ranges must be from 0 to ${MOST_RANGES}; got ${count}: read them in several batches`;
    throw ourError('ERR_RINGWHEEL_INVALID_OPTION', message);
  }
  const plan = takePlan(count);
  const alignment = file.direct?.alignment ?? 0;
  plan.make(ranges, count, limits.mergeBytes, limits.amplification, alignment);
  const most = Math.min(limits.memory, link.slabs.bytesMax);
  let sizes = plan.chunks.map(sizeOf);
  let bytes = sumOf(sizes);
  if (bytes > most && limits.amplification > 0) {
    // The gaps between ranges are what there is no memory for: they are not worth an error.
    plan.merge(limits.mergeBytes, 0, alignment);
    sizes = plan.chunks.map(sizeOf);
    bytes = sumOf(sizes);
  }
  if (bytes > most) {
    const message =
      `file.readMany: the ranges need ${bytes} bytes of leased memory, and a batch may have ${most}: read them in several ` +
      'batches, or start the executor with a larger `memory` or `readMemory`';
    throw ourError('ERR_RINGWHEEL_NO_MEMORY', message);
  }
  if (isAborted(signal)) return Promise.reject(reasonOf(signal));
  if (sizes.length === 0) return Promise.resolve(makeBatch(link, [], plan));
  return new Promise((resolve, reject) => {
    new Reading(link, file, plan, limits.concurrency, signal, resolve, reject).start(sizes);
  });
}

function sumOf(sizes: readonly number[]): number {
  let sum = 0;
  for (const size of sizes) sum += size;
  return sum;
}

/** One call on its way. */
class Reading {
  #holds: Hold[] = [];
  #left = 0;
  #begun = 0;
  #result = 0;
  #request: SlabRequest | undefined;
  #forget: (() => void) | undefined;
  /** Slot and generation of each command, for a signal. */
  readonly #slots: number[] = [];
  /** Commands with reads that brought less than was asked for: what they brought stands in their tables. */
  readonly #uneven: number[] = [];

  constructor(
    readonly link: Link,
    readonly file: FileState,
    readonly plan: Plan,
    readonly concurrency: number,
    readonly signal: AbortSignal | undefined,
    readonly resolve: (batch: ReadBatch | Promise<never>) => void,
    readonly reject: (reason: unknown) => void,
  ) {}

  start(sizes: readonly number[]): void {
    const { link, file } = this;
    if (this.signal !== undefined) this.#forget = listen(this.signal, () => this.#abort());
    link.enter(file);
    const only = sizes.length === 1 ? link.slabs.take(sizes[0] as number) : undefined;
    if (only !== undefined) {
      this.#begin([only]);
      return;
    }
    const begin = link.backToQueue(() => {
      if (this.#holds.length > 0) this.#begin(this.#holds);
      else this.#end(link.ended || REJECT_CLOSED);
    });
    let now = true;
    this.#request = link.slabs.wait(sizes, (holds) => {
      this.#request = undefined;
      this.#holds = holds ?? [];
      if (!now) begin();
    });
    now = false;
    if (this.#holds.length > 0) {
      this.#request = undefined;
      this.#begin(this.#holds);
    }
  }

  /** All memory is there: begins as many commands as may run together. */
  #begin(holds: Hold[]): void {
    this.#holds = holds;
    this.#left = holds.length;
    if (isAborted(this.signal)) {
      this.#end(CANCELLED);
      return;
    }
    const together = Math.min(holds.length, this.concurrency);
    while (this.#begun < together) this.#beginOne(this.#begun++);
  }

  #beginOne(index: number): void {
    const { link } = this;
    if (link.ended !== 0) this.#ended(index, link.ended);
    else if (link.ready) this.#write(index);
    else link.whenReady(() => (link.ended === 0 ? this.#write(index) : this.#ended(index, link.ended)));
  }

  #write(index: number): void {
    if (isAborted(this.signal)) {
      this.#ended(index, CANCELLED);
      return;
    }
    const { link, plan, file } = this;
    const chunk = plan.chunks[index] as Chunk;
    const hold = this.#holds[index] as Hold;
    const table = tableOf(chunk);
    const concurrency = Math.max(1, Math.floor(this.concurrency / Math.min(this.#holds.length, this.concurrency)));
    const { arenaWords: words, arenaDoubles: doubles } = link;
    plan.writeTable(chunk, words, doubles, (hold.offset + table) >>> 2, concurrency, file.direct?.alignment ?? 1);
    const settle = (result: number): void => this.#ended(index, result);
    const slot = link.begin(OPCODE_READ_MANY | RAW, settle, file, hold, undefined, sizeOf(chunk), table);
    if (this.signal !== undefined) this.#slots.push(slot, link.table.generations[slot]);
  }

  #ended(index: number, result: number): void {
    if (result < 0 && this.#result === 0) this.#result = result;
    if (result > 0) this.#uneven.push(index);
    this.#left--;
    if (this.#begun < this.#holds.length && this.#result === 0) this.#beginOne(this.#begun++);
    // Those that were never begun count as ended.
    else if (this.#left === this.#holds.length - this.#begun) this.#end(this.#result);
  }

  #end(failed: number): void {
    const { link, file, signal } = this;
    this.#forget?.();
    const result = failed < 0 ? failed : this.#readTables();
    const isCancelled = isAborted(signal) && wasCancelled(result);
    if (isCancelled) this.reject(reasonOf(signal));
    else if (result < 0) this.resolve(link.fail(result, OPCODE_READ, file));
    else this.resolve(makeBatch(link, this.#holds, this.plan));
    if (isCancelled || result < 0) {
      for (const hold of this.#holds) link.slabs.give(hold);
      keepPlan(this.plan);
    }
    link.leave(file);
  }

  /** What uneven commands brought. Returns 0, or the result of the first read that failed. */
  #readTables(): number {
    const { link, plan } = this;
    for (const index of this.#uneven) {
      const chunk = plan.chunks[index] as Chunk;
      const word = ((this.#holds[index] as Hold).offset + tableOf(chunk)) >>> 2;
      const result = plan.readTable(chunk, link.arenaResults, word) ?? BUFFER_GONE;
      if (result < 0) return result;
    }
    return 0;
  }

  #abort(): void {
    const { link } = this;
    if (this.#request !== undefined) {
      link.slabs.leave(this.#request);
      this.#request = undefined;
      this.#end(CANCELLED);
      return;
    }
    for (let at = 0; at < this.#slots.length; at += 2)
      link.cancel(this.#slots[at] as number, this.#slots[at + 1] as number);
  }
}
