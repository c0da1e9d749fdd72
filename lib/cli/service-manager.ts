// What systemd is told of a server (sd_notify(3), Type=notify and notify-reload); nothing where nobody asks.
import { notifyServiceManager } from '../api/notify.js';
import type { Log } from './log.js';

/** See the file's head. What cannot be told is said once, and is no reason not to serve. */
export class ServiceManager {
  readonly #log: Log;
  #isDeaf = false;

  constructor(log: Log) {
    this.#log = log;
  }

  ready(url: string): void {
    this.#tell('READY=1', `STATUS=serving at ${url}`);
  }

  /** Until {@link ServiceManager.ready}. */
  reloading(): void {
    // Both clocks are CLOCK_MONOTONIC.
    this.#tell('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`, 'STATUS=reading the configuration');
  }

  stopping(): void {
    this.#tell('STOPPING=1', 'STATUS=finishing what is being sent');
  }

  /** The service is another process from now on, which serves. */
  succeeded(pid: number): void {
    this.#tell(`MAINPID=${pid}`, 'READY=1');
  }

  #tell(...assignments: readonly string[]): void {
    try {
      notifyServiceManager(...assignments);
    } catch (error) {
      if (!this.#isDeaf) this.#log.warn(`the service manager cannot be told: ${(error as Error).message}`);
      this.#isDeaf = true;
    }
  }
}
