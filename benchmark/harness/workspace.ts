// The data: made in a directory of its own, checked to be in the page cache, removed at the end.

import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statfsSync,
  statSync,
  writeSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { BenchOptions } from './options';
import { has, whenEnding } from './processes';
import { say } from './progress';

/** The directory of the package: the benchmarks run what was built there. */
export const packageRoot = path.resolve(__dirname, '../..');

/** The directory of the data: the one the user named, which is kept, or a temporary one that is removed at the end. */
export function workspace(options: BenchOptions): string {
  if (options.directory !== undefined) {
    mkdirSync(options.directory, { recursive: true });
    return path.resolve(options.directory);
  }
  const made = mkdtempSync(path.join(os.tmpdir(), 'ringwheel-bench-'));
  whenEnding(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

/** Makes a file out of pieces, unless one of that size is there from an earlier run. */
export function makeFile(file: string, bytes: number, piece: (at: number) => Uint8Array): void {
  if (existsSync(file) && statSync(file).size === bytes) return;
  const free = statfsSync(path.dirname(file));
  if (free.bavail * free.bsize < bytes * 1.05) {
    throw new Error(
      `${path.dirname(file)} has no room for ${bytes} bytes of data: free some, or name another place with --dir`,
    );
  }
  const descriptor = openSync(file, 'w', 0o644);
  try {
    for (let at = 0; at < bytes; ) {
      const part = piece(at);
      at += writeSync(descriptor, part, 0, Math.min(part.length, bytes - at), at);
    }
  } finally {
    closeSync(descriptor);
  }
}

/** Reads a file whole, so that it is in the page cache, and checks that it stayed there. */
export function warm(file: string): void {
  const descriptor = openSync(file, 'r');
  const part = new Uint8Array(1 << 22);
  try {
    while (readSync(descriptor, part, 0, part.length, null) > 0);
  } finally {
    closeSync(descriptor);
  }
  const resident = residentBytes(file);
  const size = statSync(file).size;
  if (resident === undefined)
    say('fincore is not installed: the page cache is checked by what each sample read from storage only');
  else if (resident < size * 0.999) {
    throw new Error(
      `only ${resident} of ${size} bytes of ${file} stay in the page cache: free memory, or use a smaller --size`,
    );
  }
}

/** How much of a file the page cache holds. `undefined` when nobody can tell. */
export function residentBytes(file: string): number | undefined {
  // tmpfs files live nowhere else, and fincore counts them too.
  if (!has('fincore')) return undefined;
  const said = spawnSync('fincore', ['--bytes', '--noheadings', '--output', 'RES', file], { encoding: 'utf8' });
  const bytes = Number.parseInt(said.stdout.trim(), 10);
  return said.status === 0 && Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** What the filesystem under a path is called, for the machine line. */
export function filesystem(directory: string): string {
  let best = { at: '', kind: '?' };
  try {
    for (const line of readFileSync('/proc/self/mounts', 'utf8').split('\n')) {
      const [, at = '', kind = ''] = line.split(' ');
      const below = at === '/' || directory === at || directory.startsWith(`${at}/`);
      if (at !== '' && below && at.length >= best.at.length) best = { at, kind };
    }
  } catch {
    // Not Linux.
  }
  return best.kind;
}

/** The CPUs this process may run on, in order: in a container they need not start at 0. */
export function allowedCpus(): number[] {
  const all = Array.from({ length: os.availableParallelism() }, (_, cpu) => cpu);
  let status = '';
  try {
    status = readFileSync('/proc/self/status', 'latin1');
  } catch {
    return all;
  }
  const listed = /^Cpus_allowed_list:\s*(\S+)/m.exec(status)?.[1];
  if (listed === undefined) return all;
  return listed.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, offset) => first + offset);
  });
}
