// The properties file: what `ringwheel calibrate` writes and `adaptive: { properties }` reads (crates/executor/src/io/properties.rs).
import { type Found, type Point, SMALL } from './disk.js';

/** Version of the file's shape; Rust refuses another. */
export const VERSION = 1;

/** The file. */
export interface Properties {
  readonly version: typeof VERSION;
  /** When, as ISO 8601. */
  readonly measured: string;
  /** Whether the page cache was left out. */
  readonly direct: boolean;
  readonly driver: string;
  readonly fileBytes: number;
  /** What the disk does at its best: operations of 4 KiB a second, and bytes a second. */
  readonly read: Rate;
  readonly write: Rate;
  /** The least depth of 4 KiB reads that gets at least nine tenths of the most. */
  readonly saturationDepth: number;
  /** Half as much again as a read takes at that depth, microseconds: what takes longer waits for others. */
  readonly latencyGoalUs: number;
  readonly notes: readonly string[];
  readonly points: readonly Point[];
}

interface Rate {
  readonly iops: number;
  readonly bytesPerSecond: number;
}

/** The part of the most operations a second that counts as saturated. */
const SATURATED = 0.9;

/** Draws the conclusions. */
export function conclude(found: Found, fileBytes: number, measured: Date): Properties {
  const { points, direct, driver, notes } = found;
  const rate = (operation: Point['operation']): Rate => {
    const those = points.filter((point) => point.operation === operation);
    const small = those.filter(({ blockBytes }) => blockBytes === SMALL);
    return {
      iops: Math.max(...small.map(({ iops }) => iops)),
      bytesPerSecond: Math.max(...those.map(({ bytesPerSecond }) => bytesPerSecond)),
    };
  };
  const read = rate('read');
  const reads = points.filter(({ operation, blockBytes }) => operation === 'read' && blockBytes === SMALL);
  const knee = reads.find(({ iops }) => iops >= SATURATED * read.iops);
  return {
    version: VERSION,
    measured: measured.toISOString(),
    direct,
    driver,
    fileBytes,
    read,
    write: rate('write'),
    saturationDepth: knee?.depth ?? 1,
    latencyGoalUs: Math.round((knee?.meanUs ?? 0) * 15) / 10,
    notes,
    points,
  };
}
