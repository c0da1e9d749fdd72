// The signals of `ringwheel serve`: an end, an end at once, a reload, and a successor.
import { isatty } from 'node:tty';

/** Exit codes of a process that a signal ended, as shells count them. */
const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const;

/** What signals ask of a server that serves. */
export interface Asked {
  /** SIGHUP, unless it is of a terminal that is gone. Does not reject. */
  reload(): Promise<void>;
  /** SIGUSR2. */
  succeed(): void;
}

/** Listens from its making, before something serves: SIGHUP and SIGUSR2 wait until {@link Signals.serving}. SIGINT and SIGTERM: the first one asks for a drain, the second one for an end; so does SIGHUP of a terminal that is gone. */
export class Signals {
  readonly first: Promise<void>;
  /** The exit code that belongs to the second signal. */
  readonly second: Promise<number>;
  #hungUp = false;
  #serving: (asked: Asked) => void = () => {};

  constructor() {
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
    const served = new Promise<Asked>((settle) => {
      this.#serving = settle;
    });
    let reloading = Promise.resolve();
    process.on('SIGHUP', () => {
      if (terminal && !isatty(0)) {
        this.#hungUp = true;
        if (count === 0) asked(EXIT_CODES.SIGTERM);
      } else if (count === 0) reloading = reloading.then(async () => (await served).reload());
    });
    if (process.platform === 'win32') return; // Which has no such signal.
    process.on('SIGUSR2', () => {
      if (count === 0) void served.then(({ succeed }) => succeed());
    });
  }

  /** From now on there is something to ask for. */
  serving(asked: Asked): void {
    this.#serving(asked);
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
