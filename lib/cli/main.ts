#!/usr/bin/env node
// The command line: `ringwheel serve | doctor | topology | calibrate`. It sees lib/api and nothing below.
import { CommanderError } from 'commander';
import { Failure, report } from './failure.js';
import { commands, type Defaults } from './program.js';

/**
 * Runs one command line to its end and leaves the exit code in `process.exitCode`.
 * @param args the arguments after `ringwheel`
 * @param defaults what `npm start` means when no directory is named
 */
export async function main(args: readonly string[], defaults: Defaults = {}): Promise<void> {
  // `ringwheel doctor | head -1` closes the pipe early, which is no failure of ours.
  process.stdout.on('error', () => {});
  process.stderr.on('error', () => {}); // A terminal that is gone.
  try {
    await commands(defaults).parseAsync(args, { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) {
      // Help and version end here with 0; a wrong command line was already reported on one line.
      process.exitCode = error.exitCode === 0 ? 0 : 2;
      return;
    }
    const failure =
      error instanceof Failure ? error : new Failure(error instanceof Error ? error.message : String(error));
    report(failure);
    process.exitCode = failure.exitCode;
  }
}

if (require.main === module) void main(process.argv.slice(2));
