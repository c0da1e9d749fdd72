// sleep: a timer of the executor's wheel. No kernel timer of its own, no object but its promise.

import { QUIET, type Settle } from '../ring/pending.js';
import { NO_FILE, NO_HOLD } from '../ring/state.js';
import { OPCODE_SLEEP } from '../wire/layout.generated.js';
import { ourError, rejected } from './errors.js';
import { currentLink } from './executor.js';
import { operate } from './operation.js';
import { SLEEP_RULES, type SleepOptions } from './options.js';
import { checked, shown } from './validate.js';

let grabbed: Settle;
const grab = (resolve: (value: undefined) => void): void => {
  grabbed = resolve as unknown as Settle;
};

/**
 * Waits for at least `ms` milliseconds.
 *
 * The time counts from the end of the current turn of the event loop, with a resolution of 1 ms; it is never shorter. Sleeps
 * end in the order of their deadlines; within one millisecond the order is not promised. Cost: 64 bytes of shared memory,
 * no system call of its own.
 *
 * @param ms - Milliseconds in 0..=2^53 − 1; a fraction is rounded up.
 * @param options - `signal` ends the sleep early, `ref: false` lets the process exit meanwhile.
 * @returns A promise without a value.
 * @throws ERR_RINGWHEEL_INVALID_OPTION when `ms` is not such a number or an option is unknown.
 * @throws ERR_RINGWHEEL_CLOSED when the executor is closed meanwhile.
 * @throws The signal's `reason` when it aborts first.
 * @example
 * ```ts
 * import { sleep } from 'ringwheel';
 * await sleep(10);
 * await sleep(60_000, { signal: AbortSignal.timeout(5) }).catch((error) => console.log(error.name)); // TimeoutError
 * ```
 */
export function sleep(ms: number, options?: SleepOptions): Promise<void> {
  if (!(typeof ms === 'number' && ms >= 0 && ms <= Number.MAX_SAFE_INTEGER)) {
    const message = `sleep: ms must be a number in 0..=${Number.MAX_SAFE_INTEGER}; got ${shown(ms)}`;
    return rejected(ourError('ERR_RINGWHEEL_INVALID_OPTION', message, sleep));
  }
  if (options === undefined) {
    const link = currentLink();
    if (link.ready) {
      const promise = new Promise<void>(grab as never);
      link.begin(OPCODE_SLEEP, grabbed, NO_FILE, NO_HOLD, undefined, 0, ms);
      return promise;
    }
  }
  return slowSleep(ms, options);
}

async function slowSleep(ms: number, options?: SleepOptions): Promise<void> {
  const { signal, ref = true } = checked('sleep', options, SLEEP_RULES);
  await operate(currentLink(), ref ? OPCODE_SLEEP : OPCODE_SLEEP | QUIET, NO_FILE, NO_HOLD, 0, ms, signal);
}
