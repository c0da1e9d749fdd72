// What `ringwheel calibrate` does to a disk: one file, without a name, read and written at several depths and sizes.
import { randomFillSync } from 'node:crypto';
import { constants, statfsSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { Executor } from '../api/executor.js';
import { File } from '../api/file.js';
import type { Lease } from '../api/lease.js';
import { Failure } from './failure.js';

/** What is measured: one kind of operation, so many of them at once. */
export interface Load {
  readonly operation: 'read' | 'write';
  readonly pattern: 'random' | 'sequential';
  readonly blockBytes: number;
  /** Operations in flight. */
  readonly depth: number;
}

/** A load and what the disk made of it. Latencies in microseconds. */
export interface Point extends Load {
  /** Operations a second. */
  readonly iops: number;
  readonly bytesPerSecond: number;
  readonly meanUs: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

/** What a calibration found. */
export interface Found {
  readonly points: readonly Point[];
  /** Whether the page cache was left out (O_DIRECT). */
  readonly direct: boolean;
  readonly driver: string;
  /** Bytes that were written, the making of the file included. */
  readonly bytesWritten: number;
  /** What makes the figures other than a disk's, one sentence each. */
  readonly notes: readonly string[];
}

/** How much a calibration may do. */
export interface Bounds {
  readonly directory: string;
  /** Bytes of the file. */
  readonly fileBytes: number;
  /** Seconds that all loads take together. */
  readonly seconds: number;
  readonly signal: AbortSignal;
  /** Hears of each step before it begins. */
  step(what: string): void;
}

const KIBI = 1024;
const MEBI = KIBI * KIBI;
/** A read or write of this size is counted as one, as disks' makers do. */
export const SMALL = 4 * KIBI;
const LARGE = MEBI;
/** Times its size that the file is written at most. */
const WRITES_MAX = 4;
/** File systems that keep files in memory, by statfs(2)'s number. */
const IN_MEMORY: Readonly<Record<number, string>> = { 16914836: 'tmpfs', 2240043254: 'ramfs' };

/** The loads, in the order in which they run. */
export const LOADS: readonly Load[] = [
  ...[1, 2, 4, 8, 16, 32, 64, 128].map((depth) => load('read', 'random', SMALL, depth)),
  ...[1, 4, 16, 64].map((depth) => load('read', 'random', 64 * KIBI, depth)),
  ...[1, 8].map((depth) => load('read', 'sequential', LARGE, depth)),
  ...[1, 4, 16, 64].map((depth) => load('write', 'random', SMALL, depth)),
  ...[1, 8].map((depth) => load('write', 'sequential', LARGE, depth)),
];

const WRITE_LOADS = LOADS.filter(({ operation }) => operation === 'write').length;

function load(operation: Load['operation'], pattern: Load['pattern'], blockBytes: number, depth: number): Load {
  return { operation, pattern, blockBytes, depth };
}

/** Measures the disk behind a directory. Nothing is left there, whatever ends the process: the file loses its name as soon as it is open. */
export async function measure(bounds: Bounds): Promise<Found> {
  const { directory, fileBytes, signal } = bounds;
  const executor = Executor.start({ memory: 16 * MEBI });
  const notes: string[] = [];
  const inMemory = IN_MEMORY[statfsSync(directory).type];
  if (inMemory !== undefined)
    notes.push(`${inMemory} keeps files in memory: these are figures of memory, not of a disk`);
  try {
    const { file, direct } = await openNameless(directory, inMemory === undefined);
    if (!direct && inMemory === undefined) {
      notes.push('this file system has no O_DIRECT: reads may come from the page cache, and writes may only reach it');
    }
    const written: Written = { bytes: 0 };
    try {
      checkRoom(directory, fileBytes);
      bounds.step('making the file');
      await fill(file, executor, fileBytes, written, signal);
      const points: Point[] = [];
      for (const each of LOADS) {
        bounds.step(`${each.pattern} ${each.operation}s of ${each.blockBytes / KIBI} KiB, depth ${each.depth}`);
        points.push(await run(file, executor, each, bounds, written));
      }
      const { driver } = executor;
      return { points, direct, driver, bytesWritten: written.bytes, notes };
    } finally {
      await file.close();
    }
  } finally {
    await executor.close();
  }
}

interface Written {
  bytes: number;
}

/** Before anything is written: a disk that is filled to the brim harms others. */
function checkRoom(directory: string, fileBytes: number): void {
  const room = statfsSync(directory);
  const free = room.bavail * room.bsize;
  if (free < fileBytes) {
    const mebi = Math.floor(free / MEBI);
    throw new Failure(
      `the file system of ${directory} has ${mebi} MiB free, and the file to measure with takes ${fileBytes / MEBI}: free some, or take a smaller one with --size`,
    );
  }
}

/** A new file that has lost its name already; with O_DIRECT where that is wanted and can be had. */
async function openNameless(directory: string, wanted: boolean): Promise<{ file: File; direct: boolean }> {
  for (const direct of wanted && 'O_DIRECT' in constants ? [true, false] : [false]) {
    const path = join(directory, `.ringwheel-calibrate-${process.pid}-${Date.now().toString(36)}`);
    try {
      const file = await File.open(path, 'wx+', { direct, mode: 0o600 });
      unlinkSync(path);
      return { file, direct };
    } catch (error) {
      // open(2) with O_DIRECT makes the file before it says EINVAL.
      if (!direct || (error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
      unlinkSync(path);
    }
  }
  throw new Failure('the file could not be opened'); // The loop's last turn has returned or thrown.
}

/** Writes the whole file once, with bytes that no disk can make smaller. */
async function fill(file: File, executor: Executor, fileBytes: number, written: Written, signal: AbortSignal) {
  let next = 0;
  const lane = async (lease: Lease) => {
    randomFillSync(lease.bytes);
    for (let at = next; at < fileBytes; at = next) {
      signal.throwIfAborted();
      next += LARGE;
      written.bytes += await whole(file.writeAt(lease, at), LARGE);
    }
  };
  await lanes(executor, 4, LARGE, lane);
  await file.sync();
}

/** One load for its part of the time, a write also for its part of the bytes; of reads the first eighth does not count. */
async function run(
  file: File,
  executor: Executor,
  { operation, pattern, blockBytes, depth }: Load,
  { fileBytes, seconds, signal }: Bounds,
  written: Written,
): Promise<Point> {
  const blocks = Math.floor(fileBytes / blockBytes);
  const span = (seconds * 1000) / LOADS.length;
  const begun = performance.now();
  // Writes come after the file was made, which has warmed up all there is.
  const counts = operation === 'write' ? begun : begun + span / 8;
  const most = operation === 'write' ? written.bytes + ((WRITES_MAX - 1) * fileBytes) / WRITE_LOADS : Infinity;
  const latencies: number[] = [];
  let next = 0;
  let last = counts;
  await lanes(executor, depth, blockBytes, async (lease) => {
    if (operation === 'write') randomFillSync(lease.bytes);
    for (let start = performance.now(); written.bytes < most && (start < begun + span || latencies.length === 0); ) {
      signal.throwIfAborted();
      const block = pattern === 'random' ? Math.floor(Math.random() * blocks) : next++ % blocks;
      const moved =
        operation === 'read' ? file.readAt(lease, block * blockBytes) : file.writeAt(lease, block * blockBytes);
      await whole(moved, blockBytes);
      if (operation === 'write') written.bytes += blockBytes;
      const now = performance.now();
      if (start >= counts) {
        latencies.push((now - start) * 1000);
        last = now;
      }
      start = now;
    }
  });
  if (operation === 'write') await file.sync();
  return { operation, pattern, blockBytes, depth, ...summary(latencies, (last - counts) / 1000, blockBytes) };
}

/** `depth` lanes at once, each with memory of its own. All have ended when this settles, also when one fails. */
async function lanes(executor: Executor, depth: number, bytes: number, lane: (lease: Lease) => Promise<void>) {
  const leases = Array.from({ length: depth }, () => executor.lease(bytes));
  try {
    const ends = await Promise.allSettled(leases.map(lane));
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  } finally {
    for (const lease of leases) lease.release();
  }
}

async function whole(moved: Promise<number>, bytes: number): Promise<number> {
  const count = await moved;
  if (count !== bytes) throw new Failure(`the disk moved ${count} of ${bytes} bytes: is it full?`);
  return count;
}

function summary(latencies: number[], seconds: number, blockBytes: number) {
  latencies.sort((one, other) => one - other);
  const at = (part: number) =>
    round(latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * part))] ?? 0);
  const iops = seconds > 0 ? latencies.length / seconds : 0;
  const meanUs = round(latencies.reduce((sum, each) => sum + each, 0) / Math.max(1, latencies.length));
  return { iops: round(iops), bytesPerSecond: Math.round(iops * blockBytes), meanUs, p50Us: at(0.5), p99Us: at(0.99) };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
