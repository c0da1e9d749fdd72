// Gates of counts: benchmark/counts.json says how much each may be, for Rust (crates/counts) and for specs alike.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { root } from './command';

interface Gate {
  /** What was measured when the gate was set. */
  readonly measured: number;
  /** The most that passes. */
  readonly gate: number;
}

/** A count that fell below this part of what it was, and by at least so much, deserves a lower gate. */
const WORTH_LOWERING = 0.8;
const WORTH_SAYING = 5;

const { counts } = JSON.parse(readFileSync(join(root, 'benchmark/counts.json'), 'utf8')) as {
  counts: Record<string, Record<string, Gate | undefined> | undefined>;
};

/** Fails when a count is above its gate; logs a hint when it is so far below that the gate should follow. */
export function checkCount(t: ExecutionContext, count: string, driver: string, measured: number): void {
  const gate = counts[count]?.[driver];
  if (gate === undefined) {
    t.fail(`benchmark/counts.json has no counts["${count}"].${driver}: this run measured ${measured}; add it`);
    return;
  }
  t.log(`count: ${count}, ${driver}: ${measured} (gate ${gate.gate}, was ${gate.measured})`);
  t.true(gate.measured <= gate.gate, `${count}, ${driver}: the gate is below what was measured`);
  t.true(
    measured <= gate.gate,
    `${count}, ${driver}: ${measured}, the gate in benchmark/counts.json is ${gate.gate} (measured then: ${gate.measured}). ` +
      'Find out what made it dearer; raise the gate only when that is worth it, and say why in the commit',
  );
  if (measured < gate.measured * WORTH_LOWERING && gate.measured - measured >= WORTH_SAYING) {
    t.log(
      `hint: ${count}, ${driver}: ${measured} is well below the ${gate.measured} it was: lower it in benchmark/counts.json`,
    );
  }
}
