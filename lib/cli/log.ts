// What `ringwheel serve` says while it runs, on standard error: a line for a person on a terminal, elsewhere a line of JSON in pino's shape.
import { hostname } from 'node:os';
import { oneLine } from './failure.js';

/** As pino numbers them. */
const LEVELS = { info: 30, warn: 40, error: 50 } as const;

/** How lines look. */
export type LogShape = 'pretty' | 'json';

/** See the file's head. A failed write is nobody's to notice: main.ts ignores it. */
export class Log {
  readonly shape: LogShape;

  /** @param shape that of the terminal or of no terminal, where none is asked for */
  constructor(shape: LogShape = process.stderr.isTTY ? 'pretty' : 'json') {
    this.shape = shape;
  }

  /** @param facts more fields of the JSON line; a terminal shows the message alone, so it has to say it all */
  info(message: string, facts: object = {}): void {
    this.#write('info', message, facts);
  }

  warn(message: string, facts: object = {}): void {
    this.#write('warn', message, facts);
  }

  /** @param error what was thrown, where something was */
  error(message: string, error?: unknown): void {
    this.#write('error', message, error === undefined ? {} : { err: serialized(error) });
  }

  #write(level: keyof typeof LEVELS, message: string, facts: object): void {
    if (this.shape === 'pretty') {
      process.stderr.write(`ringwheel: ${oneLine(message)}\n`);
      return;
    }
    const { pid } = process;
    const line = { level: LEVELS[level], time: Date.now(), pid, hostname: hostname(), ...facts, msg: message };
    process.stderr.write(`${JSON.stringify(line)}\n`);
  }
}

/** As pino.stdSerializers.err does, without what it makes of causes. */
function serialized(error: unknown): object {
  if (!(error instanceof Error)) return { type: typeof error, message: String(error) };
  const { code } = error as NodeJS.ErrnoException;
  const type = error.constructor.name;
  return { type, message: error.message, stack: error.stack, ...(code === undefined ? {} : { code }) };
}
