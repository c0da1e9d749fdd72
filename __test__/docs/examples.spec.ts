// Every example in README, the guides and the doc comments compiles and runs as it stands, against the built package.
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Running, root } from '../support/command';

interface Example {
  /** `README.md:31` */
  readonly where: string;
  readonly source: string;
}

/** The fenced ts and js blocks of a file; in a doc comment each line begins with ` * `. */
function examplesOf(path: string): Example[] {
  const text = readFileSync(join(root, path), 'utf8');
  return [...text.matchAll(/^( *\* )?```(?:ts|js)\n(.*?)^(?: *\* )?```$/gms)].map((match) => {
    const line = text.slice(0, match.index).split('\n').length;
    const body = match[2] ?? '';
    const source = match[1] === undefined ? body : body.replace(/^ *\* ?/gm, '');
    return { where: `${path}:${line}`, source };
  });
}

const under = (directory: string, ending: string) =>
  readdirSync(join(root, directory))
    .filter((name) => name.endsWith(ending))
    .map((name) => join(directory, name));

const examples = [
  'README.md',
  ...under('docs/guides', '.md'),
  ...under('lib/api', '.ts'),
  ...under('lib/fs', '.ts'),
].flatMap(examplesOf);

/** A directory in which `ringwheel` is installed, with the files that the examples name. */
const place = mkdtempSync(join(tmpdir(), 'ringwheel-examples-'));

test.before(() => {
  mkdirSync(join(place, 'node_modules'));
  symlinkSync(root, join(place, 'node_modules/ringwheel'));
  symlinkSync(join(root, 'node_modules/prom-client'), join(place, 'node_modules/prom-client'));
  mkdirSync(join(place, 'public'));
  writeFileSync(join(place, 'public/index.html'), '<p>example</p>');
  cpSync(join(root, 'examples'), join(place, 'examples'), { recursive: true });
  writeFileSync(join(place, 'package.json'), '{ "private": true }');
  writeFileSync(join(place, 'notes.txt'), 'notes');
  writeFileSync(join(place, 'data.bin'), Buffer.alloc(256 * 1024, 1));
  examples.forEach(({ source }, index) => {
    // `export {}` makes a module of an example without imports, so that it may await.
    writeFileSync(join(place, `example-${index}.mts`), `${source}\nexport {};\n`);
  });
});

test.after.always(() => rmSync(place, { recursive: true, force: true }));

test('there are examples', (t) => {
  t.true(examples.length >= 8, `${examples.length} found`);
});

test('all examples have the right types', async (t) => {
  const args = [
    join(root, 'node_modules/typescript/bin/tsc'),
    ...['--noEmit', '--strict', '--skipLibCheck', '--target', 'es2022', '--module', 'node20'],
    ...['--lib', 'es2022,esnext.disposable', '--typeRoots', join(root, 'node_modules/@types'), '--types', 'node'],
    ...examples.map((_, index) => `example-${index}.mts`),
  ];
  // The compiler takes seconds, and minutes where all the machine is busy.
  const { code, stdout } = await new Running(process.execPath, args, { cwd: place }, 240).ended;
  const named = stdout.replace(/example-(\d+)\.mts/g, (name, index) => `${examples[Number(index)]?.where ?? name}`);
  t.is(code, 0, named);
});

examples.forEach(({ where }, index) => {
  test(`the example at ${where} runs`, async (t) => {
    const tsx = join(root, 'node_modules/tsx/dist/esm/index.mjs');
    const running = new Running(process.execPath, ['--import', tsx, `example-${index}.mts`], { cwd: place }, 120);
    const { code, signal, stderr } = await running.ended;
    t.is(code ?? signal, 0, stderr);
  });
});
