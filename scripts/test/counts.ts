// Counts tests from what the runners themselves printed. A run that cannot be counted is a failure, never a zero that passes.

/** What one run came to. */
export interface Count {
  readonly passed: number;
  readonly failed: number;
  /** One line a skip: the test's name and the reason it gave. */
  readonly skipped: readonly string[];
}

/** Reads the `test result:` lines of libtest, one a test binary, and the reasons of ignored tests. */
export function countCargo(output: string): Count {
  let passed = 0;
  let failed = 0;
  let ignored = 0;
  let binaries = 0;
  for (const [, good, bad, left] of output.matchAll(
    /^test result: (?:ok|FAILED)\. (\d+) passed; (\d+) failed; (\d+) ignored/gm,
  )) {
    passed += Number(good);
    failed += Number(bad);
    ignored += Number(left);
    binaries += 1;
  }
  if (binaries === 0) throw new Error('cargo test printed no `test result:` line');
  const named = [...output.matchAll(/^test (.+) \.\.\. ignored(?:, (.+))?$/gm)].map(
    ([, name, reason]) => `${name}: ${reason ?? 'no reason given'}`,
  );
  // A doc example marked `ignore` is counted as ignored but not always listed.
  while (named.length < ignored) named.push('a doc example marked `ignore`');
  return { passed, failed, skipped: [...named, ...announcedSkips(output)] };
}

/** Reads the test points of a TAP stream and insists that its plan was kept. */
export function countTap(output: string): Count {
  let passed = 0;
  let failed = 0;
  const skipped: string[] = [];
  for (const [, not, name, skip] of output.matchAll(/^(not )?ok \d+(?: - (.*?))?(?: # (?:SKIP|TODO)(.*))?$/gim)) {
    if (skip !== undefined) skipped.push(`${name}:${skip || ' no reason given'}`);
    else if (not === undefined) passed += 1;
    else failed += 1;
  }
  const planned = /^1\.\.(\d+)$/m.exec(output)?.[1];
  if (planned === undefined) throw new Error('the TAP stream has no plan: the runner did not come to its end');
  const points = passed + failed + skipped.length;
  if (points < Number(planned)) throw new Error(`the TAP stream planned ${planned} tests and has ${points}`);
  return { passed, failed, skipped: [...skipped, ...announcedSkips(output)] };
}

/** Tests that find out only while running that they cannot: they print `skip: NAME: REASON` and return. */
function announcedSkips(output: string): string[] {
  return [...output.matchAll(/^(?:# )?skip: (.+)$/gm)].map(([, reason]) => reason ?? '');
}
