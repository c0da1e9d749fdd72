// Looks now and then whether certificate files have changed, and has them read again. By path and not by inotify(7): a renewal replaces
// files by rename, and Kubernetes the directory above them.
import { stat } from 'node:fs/promises';

/** Looks from its making until it is stopped. @internal */
export class CertificateWatch {
  readonly #files: readonly string[];
  readonly #reload: () => Promise<void>;
  readonly #timer: NodeJS.Timeout;
  #seen: Promise<string>;
  #stopped = false;
  #looking = false;

  /** @param reload has them read; while it fails it is tried again when they change again */
  constructor(files: readonly string[], everyMs: number, reload: () => Promise<void>) {
    this.#files = files;
    this.#reload = reload;
    this.#seen = this.#stamp();
    this.#timer = setInterval(() => void this.#look(), everyMs).unref();
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    const [seen, now] = [await this.#seen, await this.#stamp()];
    if (seen !== now && !this.#stopped) {
      this.#seen = Promise.resolve(now);
      await this.#reload().catch(() => {}); // It is counted and told of, and what was in use stays.
    }
    this.#looking = false;
  }

  /** Changes when a file is replaced or written. */
  async #stamp(): Promise<string> {
    const stamps = this.#files.map((file) =>
      stat(file).then(
        ({ dev, ino, size, mtimeMs, ctimeMs }) => [dev, ino, size, mtimeMs, ctimeMs].join(),
        ({ code }) => code,
      ),
    );
    return (await Promise.all(stamps)).join(' ');
  }
}
