// Who is not root: the same refusals as Node's, and nothing changed that Node would not change.
import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { ended, executorOf, folder } from '../drivers';
import { Running, root } from '../support/command';
import { replaced, tree } from './twins';
import { CASES, prepare } from './unprivileged-cases';

test('calls without permission end as those of Node, and leave the same', async (t) => {
  const { driver } = executorOf(t);
  if (process.getuid?.() !== 0) {
    process.stderr.write(`skip: ${t.title}: only root can make files of others and become nobody\n`);
    t.pass();
    return;
  }
  const place = join(folder, 'unprivileged');
  chmodSync(folder, 0o755); // Whoever is nobody has to get in.
  mkdirSync(place);
  const twins = (directory: string, ...about: string[]): void => {
    mkdirSync(join(place, directory));
    for (const twin of ['twin-node', 'twin-ring']) {
      mkdirSync(join(place, directory, twin));
      prepare((name) => join(place, directory, twin, name), ...about);
    }
  };
  twins('shared', ...CASES.map(({ about }) => about));
  for (const [index, { changes, about }] of CASES.entries()) if (changes) twins(String(index), about);

  const child = join(__dirname, 'unprivileged-run.ts');
  const run = await new Running(process.execPath, ['--import', 'tsx', child, place], { cwd: root }, 120).ended;
  ended(t, run);
  const { ends, ...others } = JSON.parse(run.stdout) as { driver: string; ends: Record<string, number> };
  t.deepEqual(others, { driver });
  for (const [code, least] of Object.entries({ ok: 200, EACCES: 300, EPERM: 40 })) {
    t.true((ends[code] as number) >= least, `${code}: ${ends[code]} of ${CASES.length}`);
  }
  for (const [index, { name, changes }] of CASES.entries()) {
    if (!changes) continue;
    const [wanted, found] = ['twin-node', 'twin-ring'].map((twin) =>
      replaced(tree(join(place, String(index), twin)), twin, 'twin'),
    );
    t.deepEqual(found, wanted, name);
  }
});
