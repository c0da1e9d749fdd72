// The signals of `ringwheel serve`: an end, an end at once, and a reload.
import { isatty } from 'node:tty';

/** Exit codes of a process that a signal ended, as shells count them. */
const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const;

/** Listens from its making. SIGINT and SIGTERM: the first one asks for a drain, the second one for an end; so does SIGHUP of a terminal that is gone. */
export class Signals {
  readonly first: Promise<void>;
  /** The exit code that belongs to the second signal. */
  readonly second: Promise<number>;
  #hungUp = false;

  /** @param reload what SIGHUP asks for otherwise; it does not reject */
  constructor(reload: () => Promise<void>) {
    let onFirst = () => {};
    let onSecond = (_: number) => {};
    this.first = new Promise((settle) => {
      onFirst = settle;
    });
    this.second = new Promise((settle) => {
      onSecond = settle;
    });
    let count = 0;
    const asked = (exitCode: number) => {
      count += 1;
      if (count === 1) onFirst();
      else if (count === 2) onSecond(exitCode);
      // Whoever asks a third time does not want to wait for anything.
      else process.kill(process.pid, 'SIGKILL');
    };
    for (const [signal, exitCode] of Object.entries(EXIT_CODES)) process.on(signal, () => asked(exitCode));
    const terminal = isatty(0);
    let reloading = Promise.resolve();
    process.on('SIGHUP', () => {
      if (terminal && !isatty(0)) {
        this.#hungUp = true;
        if (count === 0) asked(EXIT_CODES.SIGTERM);
      } else if (count === 0) reloading = reloading.then(reload);
    });
  }

  /** The terminal that it was started from is gone. */
  get hungUp(): boolean {
    return this.#hungUp;
  }

  /** Ends as a process that does not catch SIGHUP: an exit would abort, for Node restores the modes of a terminal that is not there. */
  end(): void {
    process.removeAllListeners('SIGHUP');
    process.kill(process.pid, 'SIGHUP');
  }
}
