// The change from a running `ringwheel serve` to its successor: one attempt at a time, each told of, until one serves.
import type { FileServer } from '../api/file-server.js';
import type { FileServerOptions } from '../api/server-options.js';
import type { Log } from './log.js';
import { type Successor, startSuccessor } from './successor.js';

/** See the file's head. */
export class Succession {
  /** The successor, once it serves. */
  readonly serves: Promise<Successor>;
  readonly #running: () => { server: FileServer; options: FileServerOptions };
  readonly #log: Log;
  readonly #abandon = new AbortController();
  #found: (successor: Successor) => void = () => {};
  #isUnderWay = false;

  /** @param running what is to be handed over, asked when an attempt begins */
  constructor(running: () => { server: FileServer; options: FileServerOptions }, log: Log) {
    this.#running = running;
    this.#log = log;
    this.serves = new Promise((settle) => {
      this.#found = settle;
    });
  }

  /** Starts a successor, unless one starts already. */
  begin(): void {
    if (this.#isUnderWay) {
      this.#log.warn('a successor is starting already');
      return;
    }
    this.#isUnderWay = true;
    this.#log.info('starting a successor');
    void this.#attempt();
  }

  /** Ends an attempt that has not come to its end. */
  abandon(): void {
    this.#abandon.abort();
  }

  async #attempt(): Promise<void> {
    const { server, options } = this.#running();
    try {
      // From here on another attempt would be a second successor.
      this.#found(await startSuccessor(server, options, { signal: this.#abandon.signal }));
    } catch (error) {
      this.#isUnderWay = false;
      if (this.#abandon.signal.aborted) return;
      this.#log.error(`the successor failed, and this process goes on serving: ${(error as Error).message}`, error);
    }
  }
}
