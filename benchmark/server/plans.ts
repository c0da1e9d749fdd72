// The rows: what is asked of every server, over how many connections, and how. To add one, add a plan.
import type { Part } from './site';

/** How the servers have to be started; those of one way stay for all its rows. */
export type Way = 'files' | 'tls' | 'route';

/** One row. */
export interface Plan {
  /** After `server, `. */
  name: string;
  way: Way;
  /** The files that are asked for, the most popular first; none for a route. */
  part?: Part;
  /** 1 for a part of one file; many files are drawn by Zipf's law, cold ones once each. */
  connections: number;
  /** A connection for each request. */
  close?: true;
  /** Pieces of the file that are asked for, as [first, last]. */
  ranges?: readonly (readonly [number, number])[];
  /** With the ETag that the server sent: the answer is 304. */
  conditional?: true;
  /** The clients take `bytes` every `everyMs`. */
  slow?: { bytes: number; everyMs: number };
  /** How many times as long as others a sample is: where answers are few, or what comes before the first must not count. */
  longer?: number;
  /** The files are not in the page cache when they are asked for. */
  cold?: true;
}

/** What a route answers. */
export const hello = 'Hello, world!\n';

const KiB = 1024;
const MiB = 1024 * KiB;

/** All rows, those of one way together. */
export const plans: readonly Plan[] = [
  { name: '1 KiB', way: 'files', part: '1 KiB', connections: 64 },
  { name: '10 KiB', way: 'files', part: '10 KiB', connections: 64 },
  { name: '100 KiB', way: 'files', part: '100 KiB', connections: 64 },
  { name: '1 MiB', way: 'files', part: '1 MiB', connections: 64 },
  { name: '100 MiB', way: 'files', part: '100 MiB', connections: 8, longer: 2 },
  { name: '1000 files', way: 'files', part: 'thousand', connections: 64 },
  { name: '100000 files', way: 'files', part: 'many', connections: 64 },
  { name: 'close, 1 KiB', way: 'files', part: '1 KiB', connections: 64, close: true },
  {
    name: 'range, 16 KiB of 1 MiB',
    way: 'files',
    part: '1 MiB',
    connections: 64,
    ranges: [[512 * KiB, 528 * KiB - 1]],
  },
  {
    name: 'ranges, 3 × 4 KiB of 1 MiB',
    way: 'files',
    part: '1 MiB',
    connections: 64,
    ranges: [
      [0, 4 * KiB - 1],
      [512 * KiB, 516 * KiB - 1],
      [MiB - 4 * KiB, MiB - 1],
    ],
  },
  { name: '304, 10 KiB', way: 'files', part: '10 KiB', connections: 64, conditional: true },
  {
    name: '1000 slow clients, 1 MiB',
    way: 'files',
    part: '1 MiB',
    connections: 1000,
    slow: { bytes: 4 * KiB, everyMs: 50 },
    longer: 2,
  },
  { name: 'cold, 512 × 1 MiB', way: 'files', part: 'cold', connections: 16, cold: true },
  // The 64 handshakes are in the sample, too.
  { name: 'TLS 1.3, 1 KiB', way: 'tls', part: '1 KiB', connections: 64, longer: 2 },
  { name: 'TLS 1.3, 1 MiB', way: 'tls', part: '1 MiB', connections: 64, longer: 2 },
  { name: 'TLS 1.3, close, 1 KiB', way: 'tls', part: '1 KiB', connections: 64, close: true },
  { name: 'route, hello world', way: 'route', connections: 64 },
];

/** A row's name in the table. */
export const rowName = ({ name }: { name: string }): string => `server, ${name}`;
