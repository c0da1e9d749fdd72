// What stat and statfs answer, as objects of Node's classes.
import type { BigIntStats, Stats, StatsFs } from 'node:fs';
import type { StatfsFields, StatView } from '../api/call.js';
import { classes } from './node.js';

/** Numbers, and times in milliseconds. */
export function statsOf({ numbers, at }: StatView): Stats {
  const { Stats } = classes();
  return new Stats(
    numbers[at],
    numbers[at + 1],
    numbers[at + 2],
    numbers[at + 3],
    numbers[at + 4],
    numbers[at + 5],
    numbers[at + 6],
    numbers[at + 7],
    numbers[at + 8],
    numbers[at + 9],
    numbers[at + 10],
    numbers[at + 11],
    numbers[at + 12],
    numbers[at + 13],
  );
}

/** Bigints, and times in nanoseconds. */
export function bigStatsOf(view: StatView): BigIntStats {
  const { BigIntStats } = classes();
  return new BigIntStats(
    BigInt(view.dev),
    BigInt(view.mode),
    BigInt(view.nlink),
    BigInt(view.uid),
    BigInt(view.gid),
    BigInt(view.rdev),
    BigInt(view.blksize),
    view.inoBig,
    view.sizeBig,
    view.blocksBig,
    view.atimeNs,
    view.mtimeNs,
    view.ctimeNs,
    view.birthtimeNs,
  );
}

/** Fields of the answer of statfs; Node 24 has one more. */
const STATFS_FIELDS = 7;

/** Whether Node's class takes what we know. */
export function knowsStatfs(): boolean {
  return classes().StatFs.length === STATFS_FIELDS;
}

/** The answer of statfs, as bigints or numbers. */
export function statfsOf(fields: StatfsFields, big: boolean): StatsFs {
  const { type, bsize, blocks, bfree, bavail, files, ffree } = fields;
  const { StatFs } = classes();
  const values = [type, bsize, blocks, bfree, bavail, files, ffree];
  return new StatFs(...(big ? values : values.map(Number)));
}
