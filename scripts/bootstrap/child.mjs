// Runs a command with our terminal, passes signals on, and tells how it ended. Plain Node, nothing installed.
import { spawn } from 'node:child_process';
import { fail, root } from './checkout.mjs';

/** Exit codes as shells count them: 128 and the signal's number. */
const exitCodes = { SIGINT: 130, SIGTERM: 143 };

/**
 * Runs a command in the checkout and waits for its end. Ends our own process when a signal ended it: nobody wants the
 * next step then.
 * @param {string} command
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {Promise<number>} the exit code
 */
export async function run(command, args, env = process.env) {
  const child = spawn(command, args, { cwd: root, env, stdio: 'inherit' });
  /** @type {keyof typeof exitCodes | undefined} */
  let stoppedBy;
  // A terminal sends Ctrl-C to the whole process group, so the child has it already; SIGTERM comes to us alone.
  const onInterrupt = () => {
    stoppedBy = 'SIGINT';
  };
  const onTerminate = () => {
    stoppedBy = 'SIGTERM';
    child.kill('SIGTERM');
  };
  process.on('SIGINT', onInterrupt);
  process.on('SIGTERM', onTerminate);
  try {
    const code = await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (status, signal) => resolve(status ?? exitCodes[signal ?? ''] ?? 1));
    });
    if (stoppedBy !== undefined) process.exit(exitCodes[stoppedBy]);
    return code;
  } catch (error) {
    return fail(`cannot run ${command}: ${error instanceof Error ? error.message : error}`);
  } finally {
    process.off('SIGINT', onInterrupt);
    process.off('SIGTERM', onTerminate);
  }
}
