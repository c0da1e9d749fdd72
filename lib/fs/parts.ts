// What the reads and writes of a handle are given: memory, which part of it, and a place in the file.
import { bytesIfThere } from '../ring/bytes.js';
import { bytesOf, isWhole } from './arguments.js';
import { HERE } from './kernel.js';

/** As many parts as one readv(2) takes. */
const MOST_PARTS = 1024;

/** A position argument: whole numbers from 0 on, else the file's own. Node takes bigints in its own ways. */
export function plainPosition(position: unknown): number {
  return Number.isSafeInteger(position) && (position as number) >= 0 ? (position as number) : HERE;
}

/** The part of a view that an offset and a length say; undefined when they are not plainly valid. */
export function partOf(view: ArrayBufferView, offset: unknown, length: unknown): Uint8Array | undefined {
  const start = offset ?? 0;
  if (!isWhole(start, 0, view.byteLength)) return undefined;
  const left = view.byteLength - start;
  const size = length ?? left;
  return isWhole(size, 1, left) ? bytesOf(view, start, size) : undefined;
}

/** The bytes of all parts of a readv or writev in a row; undefined when Node should look at them. */
export function totalOf(parts: unknown): number | undefined {
  if (!Array.isArray(parts) || parts.length > MOST_PARTS) return undefined;
  let total = 0;
  for (const part of parts) {
    if (!ArrayBuffer.isView(part)) return undefined;
    total += bytesIfThere(part)?.length ?? 0;
  }
  return total === 0 ? undefined : total;
}

/** Whether a value is an object of options. */
export const isOptions = (value: unknown): boolean => typeof value === 'object' && !Array.isArray(value);

/** What Node asks first of what is to be written. */
export const isNothing = (source: unknown): boolean => (source as ArrayBufferView | undefined)?.byteLength === 0;
