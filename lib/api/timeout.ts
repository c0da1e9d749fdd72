// timeout and deadline: work that is told, by its signal, when its time is over.
import { now } from '../ring/timers.js';
import { isAborted, listen, reasonOf } from './abort.js';
import { ourError } from './errors.js';
import { TIMEOUT_RULES, type TimeoutOptions } from './options.js';
import { checkDelay, checkTime, waitUntil } from './timer.js';
import { checked, shown } from './validate.js';

/**
 * Runs `work` for at most `ms` milliseconds.
 *
 * @param ms - Milliseconds from 0 to 2^53 − 1; fractions count.
 * @param work - Called at once with a signal that aborts when the time is over; hand it on to what can be stopped.
 * @param options - `signal` ends the work early.
 * @returns What `work` returns, if that was first.
 * @throws ERR_RINGWHEEL_TIMEOUT when the time was over first. The promise rejects at that moment, whatever `work` does later;
 * the signal's `reason` is this error.
 * @throws What `work` throws; the `reason` of `options.signal` when it aborts first.
 * @throws ERR_RINGWHEEL_INVALID_OPTION when `ms` is not such a number, `work` no function or an option unknown.
 * @throws ERR_RINGWHEEL_CLOSED while the executor is closing.
 * @example
 * ```ts
 * import { sleep, timeout } from 'ringwheel';
 * await timeout(5, (signal) => sleep(60_000, { signal })).catch((error) => console.log(error.code)); // ERR_RINGWHEEL_TIMEOUT
 * ```
 */
export async function timeout<T>(
  ms: number,
  work: (signal: AbortSignal) => Promise<T>,
  options?: TimeoutOptions,
): Promise<T> {
  checkDelay('timeout', ms);
  return within('timeout', now() + ms, `the work took longer than ${ms} ms`, work, options);
}

/**
 * Runs `work` until a point in time at most; for a time limit that several pieces of work share. Else as {@link timeout}.
 *
 * @param time - Milliseconds as `performance.now()` counts them.
 * @param work - As for {@link timeout}.
 * @param options - As for {@link timeout}.
 * @returns What `work` returns, if that was first.
 * @throws As {@link timeout}.
 * @example
 * ```ts
 * import { deadline, sleep } from 'ringwheel';
 * const limit = performance.now() + 60_000;
 * await deadline(limit, (signal) => sleep(1, { signal }));
 * await deadline(limit, (signal) => sleep(1, { signal })); // Both within the same minute.
 * ```
 */
export async function deadline<T>(
  time: number,
  work: (signal: AbortSignal) => Promise<T>,
  options?: TimeoutOptions,
): Promise<T> {
  checkTime('deadline', time);
  return within('deadline', time, 'the deadline passed before the work was done', work, options);
}

function within<T>(
  where: string,
  until: number,
  message: string,
  work: (signal: AbortSignal) => Promise<T>,
  options: TimeoutOptions | undefined,
): Promise<T> {
  if (typeof work !== 'function') {
    throw ourError('ERR_RINGWHEEL_INVALID_OPTION', `${where}: work must be a function; got ${shown(work)}`, within);
  }
  const { signal } = checked(where, options, TIMEOUT_RULES);
  if (isAborted(signal)) return Promise.reject(reasonOf(signal));
  return new Promise((resolve, reject) => {
    const controller = new AbortController();
    const end = (reason: unknown) => {
      reject(reason);
      controller.abort(reason);
    };
    const over = (error: unknown) => {
      forget?.();
      end(error);
    };
    const timedOut = () => over(ourError('ERR_RINGWHEEL_TIMEOUT', `${where}: ${message}`));
    const cancel = waitUntil(where, until, {}, timedOut, over);
    const forget = listen(signal, () => {
      cancel();
      end(reasonOf(signal));
    });
    const done = () => {
      cancel();
      forget?.();
    };
    try {
      Promise.resolve(work(controller.signal)).then(
        (value) => {
          done();
          resolve(value);
        },
        (error) => {
          done();
          reject(error);
        },
      );
    } catch (error) {
      done();
      reject(error);
    }
  });
}
