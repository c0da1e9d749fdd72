// A user's Uint8Array as it is, whatever a subclass, its species or a property of its own says: its length decides how much is moved, and code of
// the user's must not run while other operations are being settled.
import { isDataView } from 'node:util/types';

const { prototype } = Object.getPrototypeOf(Uint8Array) as { prototype: Uint8Array };
const { set } = prototype;

interface Getters {
  readonly buffer: () => ArrayBuffer;
  readonly byteOffset: () => number;
  readonly byteLength: () => number;
}

const gettersOf = (of: object): Getters => {
  const all = Object.getOwnPropertyDescriptors(of) as Record<string, PropertyDescriptor>;
  const [buffer, byteOffset, byteLength] = ['buffer', 'byteOffset', 'byteLength'].map((name) => all[name]?.get);
  return { buffer, byteOffset, byteLength } as unknown as Getters;
};
const TYPED = gettersOf(prototype);
const VIEW = gettersOf(DataView.prototype);
const { buffer, byteOffset } = TYPED;
const { get: length } = Object.getOwnPropertyDescriptor(prototype, 'length') as { get: () => number };

/** Its bytes; 0 when it is detached or out of bounds. */
export function lengthOf(array: Uint8Array): number {
  return length.call(array);
}

/** All bytes of a view of whatever kind. Throws when it is detached or out of bounds. */
export function bytesOfView(view: ArrayBufferView): Uint8Array {
  const of = isDataView(view) ? VIEW : TYPED;
  return new Uint8Array(of.buffer.call(view), of.byteOffset.call(view), of.byteLength.call(view));
}

/** The same; undefined when it is detached or out of bounds. */
export function bytesIfThere(view: ArrayBufferView): Uint8Array | undefined {
  try {
    return bytesOfView(view);
  } catch {
    return undefined;
  }
}

/** A copy of its bytes. */
export function copyOf(array: Uint8Array): Uint8Array {
  const copy = new Uint8Array(length.call(array));
  set.call(copy, array);
  return copy;
}

/** Copies the first `count` bytes of `source` to `at`. Throws when either has become too short. */
export function copyBytes(target: Uint8Array, at: number, source: Uint8Array, start: number, count: number): void {
  const part = partIfThere(source, start, start + count);
  if (part === undefined) throw new RangeError('the source has become too short');
  set.call(target, part, at);
}

/** The same where the source, too, may have become too short: false when either has. */
export function copied(target: Uint8Array, at: number, source: Uint8Array, start: number, count: number): boolean {
  try {
    copyBytes(target, at, source, start, count);
    return true;
  } catch {
    return false;
  }
}

/** A view of a part of its bytes; an empty one when it has no such bytes any more. */
export function partOfArray(array: Uint8Array, start: number, end: number): Uint8Array {
  return partIfThere(array, start, end) ?? new Uint8Array(0);
}

/** The same; undefined when it has no such bytes any more. */
export function partIfThere(array: Uint8Array, start: number, end: number): Uint8Array | undefined {
  const total = length.call(array);
  if (total < end) return undefined;
  // Not `subarray`, which asks a subclass for the class of the part.
  return start === 0 && end === total
    ? array
    : new Uint8Array(buffer.call(array), byteOffset.call(array) + start, end - start);
}
