// What stat and statfs answer, as objects of Node's classes.
import type { BigIntStats, Stats, StatsFs } from 'node:fs';
import type { StatfsFields, StatView } from '../api/call.js';
import { classes } from './node.js';

const ms = (seconds: number, nanoseconds: number): number => seconds * 1e3 + nanoseconds / 1e6;
const ns = (seconds: number, nanoseconds: number): bigint => BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds);

/** Numbers, and times in milliseconds. */
export function statsOf(view: StatView): Stats {
  const { Stats } = classes();
  return new Stats(
    view.dev,
    view.mode,
    view.nlink,
    view.uid,
    view.gid,
    view.rdev,
    view.blksize,
    view.ino,
    view.size,
    view.blocks,
    ms(view.atimeSec, view.atimeNsec),
    ms(view.mtimeSec, view.mtimeNsec),
    ms(view.ctimeSec, view.ctimeNsec),
    ms(view.birthtimeSec, view.birthtimeNsec),
  );
}

/** Bigints, and times in nanoseconds. */
export function bigStatsOf(view: StatView): BigIntStats {
  const { BigIntStats } = classes();
  return new BigIntStats(
    view.devBig,
    BigInt(view.mode),
    BigInt(view.nlink),
    BigInt(view.uid),
    BigInt(view.gid),
    view.rdevBig,
    BigInt(view.blksize),
    BigInt.asIntN(64, view.inoBig),
    BigInt.asIntN(64, view.sizeBig),
    BigInt.asIntN(64, view.blocksBig),
    ns(view.atimeSec, view.atimeNsec),
    ns(view.mtimeSec, view.mtimeNsec),
    ns(view.ctimeSec, view.ctimeNsec),
    ns(view.birthtimeSec, view.birthtimeNsec),
  );
}

/** The answer of statfs, as bigints or numbers. */
export function statfsOf(fields: StatfsFields, big: boolean): StatsFs {
  const { type, bsize, blocks, bfree, bavail, files, ffree } = fields;
  const { StatFs } = classes();
  const values = [type, bsize, blocks, bfree, bavail, files, ffree];
  return new StatFs(...(big ? values : values.map(Number)));
}
