// A range of the arena into this side's hand.
import type { NativeExecutor } from '../wire/binding.js';
import { Hold } from './state.js';

/** Takes a range of `bytes`; undefined when the arena has none as long. */
export function leaseHold(
  native: NativeExecutor,
  arena: ArrayBuffer,
  bytes: number,
  sizeClass: number,
): Hold | undefined {
  const lease = native.lease(bytes);
  if (lease === null) return undefined;
  // Detached, where the host cannot prevent it: then whatever looks into the range fails, and with it the operation.
  const view = arena.byteLength === 0 ? new Uint8Array(0) : new Uint8Array(arena, lease.offset, bytes);
  return new Hold(lease.slot, lease.generation, lease.offset, bytes, view, sizeClass);
}
