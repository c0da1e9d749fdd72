// A process of its own for unprivileged.spec.ts: gives up root, runs each case with Node's function and with ours in twin directories, and compares.
//
// Arguments: what the cases' directories are named after. Prints how many calls ended in which way, as JSON; exit code 1 when any two differ.
import { rmSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { Executor } from '../../index';
import { folder } from '../drivers';
import { node, outcome, replaced, ring } from './twins';
import { CASES, NOBODY } from './unprivileged-cases';

async function main(place: string): Promise<void> {
  rmSync(folder, { recursive: true }); // Nobody could not.
  process.setgroups?.([]);
  process.setgid?.(NOBODY);
  process.setuid?.(NOBODY);
  const { driver } = Executor.current();
  const ends: Record<string, number> = {};
  const different: unknown[] = [];
  for (const [index, { name, changes, call }] of CASES.entries()) {
    const results: unknown[] = [];
    for (const [fs, twin] of [
      [node, 'twin-node'],
      [ring, 'twin-ring'],
    ] as const) {
      const result = await outcome(() =>
        call(fs, (inside) => `${place}/${changes ? index : 'shared'}/${twin}/${inside}`),
      );
      results.push(replaced(result, twin, 'twin'));
    }
    const [wanted, found] = results as { error?: { properties: [string, unknown][] } }[];
    if (!isDeepStrictEqual(found, wanted)) different.push({ name, wanted, found });
    const code = wanted?.error === undefined ? 'ok' : new Map(wanted.error.properties).get('code');
    ends[String(code)] = (ends[String(code)] ?? 0) + 1;
  }
  if (different.length > 0) {
    const some = different.slice(0, 40).map((one) => JSON.stringify(one));
    process.stderr.write(`${different.length} of ${CASES.length} differ:\n${some.join('\n')}\n`);
    process.exitCode = 1;
  }
  process.stdout.write(`${JSON.stringify({ driver, ends })}\n`);
}

void main(process.argv[2] as string);
