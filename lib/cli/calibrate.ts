// `ringwheel calibrate`: measures the disk behind a directory, prints what it does, and writes the properties file.
import { statSync, writeFileSync } from 'node:fs';
import { quoted } from '../api/errors.js';
import { Failure } from './failure.js';
import { Progress } from './progress.js';
import type { Properties } from './properties.js';

/** The options of `ringwheel calibrate` as commander hands them over. */
export interface CalibrateOptions {
  readonly output: string;
  /** Mebibytes. */
  readonly size: number;
  readonly seconds: number;
  readonly json: boolean;
}

/** The exit code of a program that Ctrl-C ended. */
const INTERRUPTED = 130;

/** Measures, writes the file, and prints it as a table or as JSON. */
export async function calibrate(directory: string, options: CalibrateOptions): Promise<void> {
  const { LOADS, measure } = await import('./disk.js');
  const { conclude } = await import('./properties.js');
  const stop = new AbortController();
  const interrupt = () => stop.abort();
  // Once: a second Ctrl-C ends the process at once, and the file has no name that could stay.
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  const progress = new Progress(LOADS.length + 1);
  const fileBytes = options.size * 2 ** 20;
  try {
    if (!statSync(directory).isDirectory()) throw Object.assign(new Error(), { code: 'ENOTDIR' });
    const step = (what: string) => progress.step(what);
    const found = await measure({ directory, fileBytes, seconds: options.seconds, signal: stop.signal, step });
    const properties = conclude(found, fileBytes, new Date());
    const json = `${JSON.stringify(properties, undefined, 2)}\n`;
    progress.end();
    write(options.output, json);
    process.stdout.write(options.json ? json : text(properties, options.output, found.bytesWritten));
  } catch (error) {
    progress.end();
    if (stop.signal.aborted) throw new Failure('interrupted: nothing was left behind', INTERRUPTED);
    throw explain(error, directory, options.size);
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
}

function write(output: string, json: string): void {
  try {
    writeFileSync(output, json);
  } catch (error) {
    const message = (error as Error).message;
    throw new Failure(
      `the properties could not be written to ${quoted(output)} (${message}): name another with --output`,
    );
  }
}

/** What an error of the system means to someone who wanted a disk measured. */
export function explain(error: unknown, directory: string, mebibytes: number): Failure {
  if (error instanceof Failure) return error;
  const { code = '', message = String(error) } = error as NodeJS.ErrnoException;
  const where = quoted(directory);
  switch (code) {
    case 'ENOENT':
      return new Failure(`there is no directory ${where}, or no file can be made in it: name one that can be written`);
    case 'ENOTDIR':
      return new Failure(`${where} is not a directory: name the directory whose disk is to be measured`);
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new Failure(`no permission to make a file in ${where}: name a directory that can be written`);
    case 'ENOSPC':
    case 'EDQUOT':
    case 'EFBIG':
      return new Failure(`the ${mebibytes} MiB to measure with do not fit into ${where}: free some, or lower --size`);
    default:
      return new Failure(message);
  }
}

function text(properties: Properties, output: string, bytesWritten: number): string {
  const { points, read, write, saturationDepth, latencyGoalUs, direct, driver, notes } = properties;
  const lines = ['operation                      depth      op/s      MB/s   mean µs    p50 µs    p99 µs'];
  for (const { pattern, operation, blockBytes, depth, ...found } of points) {
    const what = `${pattern} ${operation}s of ${blockBytes / 1024} KiB`;
    const numbers = [found.iops, found.bytesPerSecond / 1e6, found.meanUs, found.p50Us, found.p99Us];
    lines.push(
      `${what.padEnd(30)}${String(depth).padStart(6)}${numbers.map((each) => each.toFixed(0).padStart(10)).join('')}`,
    );
  }
  const rate = ({ iops, bytesPerSecond }: { iops: number; bytesPerSecond: number }) =>
    `${iops.toFixed(0)} op/s, ${(bytesPerSecond / 1e6).toFixed(0)} MB/s`;
  lines.push(
    '',
    `reads            ${rate(read)}`,
    `writes           ${rate(write)}`,
    `saturation       at depth ${saturationDepth}`,
    `latency goal     ${latencyGoalUs} µs`,
    `driver           ${driver}${direct ? ', O_DIRECT' : ''}`,
    `written          ${Math.round(bytesWritten / 2 ** 20)} MiB in all; nothing is left of it`,
    `properties       ${output}`,
    ...notes.map((note) => `note: ${note}`),
  );
  return `${lines.join('\n')}\n`;
}
