// Shows that long work goes on: one line that is rewritten on a terminal, one line a step elsewhere.

/** Counts steps towards a known end. */
export class Progress {
  readonly #started = performance.now();
  readonly #terminal = process.stderr.isTTY === true;
  #done = 0;
  #spoke = Number.NEGATIVE_INFINITY;

  constructor(readonly total: number) {}

  /** Says what is done next. Off a terminal at most one line in five seconds, so that a log stays readable. */
  step(what: string): void {
    const seconds = (performance.now() - this.#started) / 1000;
    const left =
      this.#done === 0 ? '' : `, about ${Math.ceil((seconds / this.#done) * (this.total - this.#done))} s left`;
    const line = `[${this.#done + 1}/${this.total}${left}] ${what}`;
    this.#done++;
    this.#show(line, seconds);
  }

  /** Says that the last step is done once more. */
  again(what: string): void {
    this.#show(`[${this.#done}/${this.total}] ${what}`, (performance.now() - this.#started) / 1000);
  }

  #show(line: string, seconds: number): void {
    if (this.#terminal) process.stderr.write(`\r\u001b[2K${line.slice(0, (process.stderr.columns ?? 100) - 1)}`);
    else if (seconds - this.#spoke >= 5) {
      this.#spoke = seconds;
      process.stderr.write(`${line}\n`);
    }
  }

  /** Clears the line. */
  end(): void {
    if (this.#terminal) process.stderr.write('\r\u001b[2K');
  }
}

/** One line about work that has no steps. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
