// One after the other: runs work when its turn has come.

import type { Link } from '../ring/link.js';
import type { Turns } from '../ring/turns.js';
import { isAborted, reasonOf, rejectsEarly } from './abort.js';

/** Runs `work` when its turn has come; a signal ends the wait. @internal */
export async function inTurn<T>(
  link: Link,
  turns: Turns,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const turn = turns.take((then) => link.backToQueue(then));
  try {
    if (turn !== undefined) await waited(turn, signal);
    return await work();
  } finally {
    if (turn === undefined) turns.pass();
    else turn.then(() => turns.pass()); // Which it has: or whoever gave up waiting passes it on when it comes.
  }
}

/** Waits; a signal ends that early. @internal */
export async function waited(ready: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  await (signal === undefined ? ready : rejectsEarly(ready, signal));
  if (isAborted(signal)) throw reasonOf(signal);
}
