// Bytes that a program has given away and that no command carries yet: who closes the file, or the executor, has them written first.
import type { FileState } from './state.js';

/** One who has such bytes, or an error of such bytes that nobody was told. */
export interface Unwritten {
  readonly file: FileState;
  /** Writes what there is; rejects with the error that nobody was told yet. */
  drain(): Promise<void>;
  /** The same where nobody is there to be told: warns. */
  drainUnheard(): void;
}

/** Drains those of a file, each to its end, and throws the first error. */
export async function drainAll(unwritten: Set<Unwritten>, file: FileState): Promise<void> {
  if (unwritten.size === 0) return;
  const theirs = [...unwritten].filter((each) => each.file === file);
  for (const drained of await Promise.allSettled(theirs.map((each) => each.drain()))) {
    if (drained.status === 'rejected') throw drained.reason;
  }
}
