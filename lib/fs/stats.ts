// What a struct statx or statfs says, as objects of Node's classes.
import type { BigIntStats, Stats } from 'node:fs';
import { classes } from './node.js';

const NS_PER_SECOND = 1_000_000_000n;

/** makedev(3) as glibc has it. */
function device(major: number, minor: number): bigint {
  const [high, low] = [BigInt(major), BigInt(minor)];
  return (low & 0xffn) | ((high & 0xfffn) << 8n) | ((low & ~0xffn) << 12n) | ((high & ~0xfffn) << 32n);
}

/** The Stats of a struct statx. */
export function statsOf(statx: DataView): Stats {
  const word = (offset: number): number => statx.getUint32(offset, true);
  const wide = (offset: number): number => Number(statx.getBigUint64(offset, true));
  const ms = (offset: number): number => Number(statx.getBigInt64(offset, true)) * 1e3 + word(offset + 8) / 1e6;
  const { Stats } = classes();
  return new Stats(
    Number(device(word(136), word(140))),
    statx.getUint16(28, true),
    word(16),
    word(20),
    word(24),
    Number(device(word(128), word(132))),
    word(4),
    wide(32),
    wide(40),
    wide(48),
    ms(64),
    ms(112),
    ms(96),
    ms(80),
  );
}

/** The same with every number a bigint, and nanoseconds. */
export function bigStatsOf(statx: DataView): BigIntStats {
  const word = (offset: number): bigint => BigInt(statx.getUint32(offset, true));
  const wide = (offset: number): bigint => statx.getBigUint64(offset, true);
  const ns = (offset: number): bigint => statx.getBigInt64(offset, true) * NS_PER_SECOND + word(offset + 8);
  const { BigIntStats } = classes();
  return new BigIntStats(
    device(Number(word(136)), Number(word(140))),
    BigInt(statx.getUint16(28, true)),
    word(16),
    word(20),
    word(24),
    device(Number(word(128)), Number(word(132))),
    word(4),
    wide(32),
    wide(40),
    wide(48),
    ns(64),
    ns(112),
    ns(96),
    ns(80),
  );
}
