// What a test step is, and the two common kinds: a command that has to succeed, and a runner whose tests are counted.
import { type Ended, run, type Surroundings } from './command';
import type { Count } from './counts';

/** One step of `npm test`. */
export interface Step {
  /** Unique; `--only` matches its beginning. */
  readonly name: string;
  /** Steps without which this one would only repeat their failure. */
  readonly needs?: readonly string[];
  /** Does the work. `log` is where its output belongs. */
  readonly run: (log: string) => Promise<Outcome>;
}

/** What a step came to: tests counted, and what to show a person. */
export interface Outcome extends Count {
  /** Why it failed, empty when it did not. */
  readonly complaint: string;
}

/** A step that is one command: it counts as one test. */
export function check(
  name: string,
  command: string,
  args: readonly string[],
  more: Surroundings & Partial<Step> = {},
): Step {
  return {
    name,
    ...(more.needs === undefined ? {} : { needs: more.needs }),
    run: async (log) => judge(await run(log, command, args, more)),
  };
}

/** A step that is a test runner: its tests are counted from its output, and its exit code has to agree. */
export function counted(
  name: string,
  count: (output: string) => Count,
  command: string,
  args: readonly string[],
  more: Surroundings & Partial<Step> = {},
): Step {
  return {
    name,
    ...(more.needs === undefined ? {} : { needs: more.needs }),
    run: async (log) => judgeCounted(await run(log, command, args, more), count),
  };
}

/** One command, one test. */
export function judge(ended: Ended): Outcome {
  return { passed: ended.ok ? 1 : 0, failed: ended.ok ? 0 : 1, skipped: [], complaint: ended.ok ? '' : ended.how };
}

/** Both witnesses have to say the same: the exit code and the count. No test at all is a failure. */
export function judgeCounted(ended: Ended, count: (output: string) => Count): Outcome {
  try {
    const found = count(ended.output);
    if (ended.ok && found.failed === 0 && found.passed > 0) return { ...found, complaint: '' };
    const complaint = found.passed === 0 && found.failed === 0 ? `no test ran, ${ended.how}` : ended.how;
    return { ...found, failed: Math.max(found.failed, 1), complaint };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { passed: 0, failed: 1, skipped: [], complaint: `${why} (${ended.how})` };
  }
}

/** A step that cannot be done here, and says why. */
export function skip(reason: string): Outcome {
  return { passed: 0, failed: 0, skipped: [reason], complaint: '' };
}
