// Memory of a process tree: what it has made, without the pages of program files, which depend on who else runs the same program.
import { readFileSync } from 'node:fs';
import { tree } from './processes';

/** Resident bytes of a process and all that it started, files left out, in proportion where several share them; 0 where nobody can tell. */
export function treeMemory(root: number): number {
  let kibibytes = 0;
  for (const pid of tree(root)) {
    try {
      const said = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1').matchAll(/^Pss_(?:Anon|Shmem):\s*(\d+) kB/gm);
      for (const [, size] of said) kibibytes += Number(size);
    } catch {
      // It has ended, or it is another user's.
    }
  }
  return kibibytes * 1024;
}

/** Watches the memory of a tree while `work` runs, and returns the most there was, too. */
export async function peakMemory<T>(root: number, work: Promise<T>): Promise<{ done: T; peak: number }> {
  let peak = treeMemory(root);
  const watch = setInterval(() => {
    peak = Math.max(peak, treeMemory(root));
  }, 250);
  try {
    const done = await work;
    return { done, peak: Math.max(peak, treeMemory(root)) };
  } finally {
    clearInterval(watch);
  }
}
