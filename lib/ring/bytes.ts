// A user's Uint8Array as it is, whatever a subclass or a property of its own says: its length decides how much is moved, and its
// methods run while other operations are being settled.
const { prototype } = Object.getPrototypeOf(Uint8Array) as { prototype: Uint8Array };
const { get: length } = Object.getOwnPropertyDescriptor(prototype, 'length') as { get: () => number };
const { set, subarray } = prototype;

/** Its bytes; 0 when it is detached or out of bounds. */
export function lengthOf(array: Uint8Array): number {
  return length.call(array);
}

/** Copies the first `count` bytes of `source` to `at`. Throws when either has become too short. */
export function copyBytes(target: Uint8Array, at: number, source: Uint8Array, start: number, count: number): void {
  const whole = start === 0 && count === length.call(source);
  set.call(target, whole ? source : subarray.call(source, start, start + count), at);
}

/** The same where the source, too, may have become too short: false when either has. */
export function copied(target: Uint8Array, at: number, source: Uint8Array, start: number, count: number): boolean {
  try {
    if (length.call(source) < start + count) return false;
    copyBytes(target, at, source, start, count);
    return true;
  } catch {
    return false;
  }
}

/** A view of a part of its bytes. Throws when it is detached. */
export function partOfArray(array: Uint8Array, start: number, end: number): Uint8Array {
  return subarray.call(array, start, end);
}

/** The same; undefined when it has no such bytes any more. */
export function partIfThere(array: Uint8Array, start: number, end: number): Uint8Array | undefined {
  const total = length.call(array);
  if (total < end) return undefined;
  return start === 0 && end === total ? array : subarray.call(array, start, end);
}
