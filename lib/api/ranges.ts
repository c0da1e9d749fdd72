// Ranges of the arena outside of a user's leases: whoever moves a file chunk by chunk takes them from here, and makes do with less.

import { leaseHold } from '../ring/lease-hold.js';
import type { Link } from '../ring/link.js';
import { Hold } from '../ring/state.js';

/** The smallest range that is asked for when there are none as long as wanted. */
const LEAST = 4096;

/** A range of the arena, after what lies idle was given back to it; undefined when there is none as long. @internal */
export function takeRange(link: Link, bytes: number): Hold | undefined {
  // Detached, where the host cannot prevent it.
  if (link.native.arena.byteLength === 0) return undefined;
  const { native } = link;
  const hold = leaseHold(native, native.arena, bytes, -1);
  if (hold !== undefined) return hold;
  const given = [link.scratch.evict(), link.calls.evict(), link.slabs.evict()];
  return given.includes(true) ? leaseHold(native, native.arena, bytes, -1) : undefined;
}

/** A range of `bytes` or, of what there is, of a half, a quarter, … of them down to `least`. @internal */
export function takeRangeUpTo(link: Link, bytes: number, least = LEAST): Hold | undefined {
  for (let wanted = bytes; ; wanted = Math.max(least, Math.floor(wanted / 2))) {
    const hold = takeRange(link, wanted);
    if (hold !== undefined || wanted <= least) return hold;
  }
}

/** The same range once more, of which only the first bytes are shown or moved. @internal */
export function partOf(hold: Hold, bytes: number): Hold {
  const view = bytes === hold.length ? hold.bytes : hold.bytes.subarray(0, bytes);
  return new Hold(hold.slot, hold.generation, hold.offset, bytes, view, -1);
}
