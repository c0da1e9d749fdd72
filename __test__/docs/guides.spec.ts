// Guides name only what there is: options and flags in the tables for those who come from another server, links to pages and to their headings.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'ava';
import { CONFIG_RULES } from '../../lib/api/config';
import { groupSchema, type Schema } from '../../lib/api/validate';
import { commands } from '../../lib/cli/program';
import { root } from '../support/command';

const guides = join(root, 'docs/guides');

/** A schema and all that may stand in its place. */
const alternatives = (schema: Schema): Schema[] => [
  schema,
  ...((schema.anyOf ?? []) as Schema[]).flatMap(alternatives),
];

/** Names of options, those inside of groups as `cache.bytes`. */
function namesOf(schema: Schema, before = ''): string[] {
  const members = alternatives(schema).flatMap((each) =>
    Object.entries((each.properties ?? {}) as Record<string, Schema>),
  );
  return members.flatMap(([name, member]) => [`${before}${name}`, ...namesOf(member, `${before}${name}.`)]);
}

const options = new Set(namesOf(groupSchema(CONFIG_RULES)));
const serve = commands({}).commands.find((each) => each.name() === 'serve');
const flags = new Set(serve?.options.map(({ long }) => long));

/** The code in the second column of the tables below a mark. */
function named(page: string): string[] {
  const [, ...tables] = readFileSync(join(guides, page), 'utf8').split('<!-- options: each name in the second column');
  return tables
    .flatMap((after) => /^\|.*\n\|[ -|]+\n((?:\|.*\n)+)/m.exec(after)?.[1]?.trim().split('\n') ?? [])
    .flatMap((row) => [...(row.split(/(?<!\\)\|/)[2] ?? '').matchAll(/`([^`]+)`/g)].map(([, code = '']) => code));
}

for (const [page, least] of [
  ['from-nginx.md', 45],
  ['from-sirv-and-express-static.md', 30],
] as const) {
  test(`${page} names options and flags that exist`, (t) => {
    const all = named(page);
    t.true(all.length >= least, `${all.length} found`);
    for (const code of all) {
      const name = code.replace(/:.*$/s, '');
      t.true(code.startsWith('--') ? flags.has(code) : options.has(name), `there is no ${code}`);
    }
  });
}

test('the option of a compressed file is found within the alternatives of its rule', (t) => {
  for (const name of ['compress.gzip', 'cache.bytes', 'limits.ranges', 'admin.port']) t.true(options.has(name), name);
  t.false(options.has('compress.zip'));
});

test('commands of the guides and of deploy/ are commands', (t) => {
  const texts = [
    ...['README.md', ...readdirSync(guides).map((name) => join('docs/guides', name))],
    ...readdirSync(join(root, 'deploy/proxies')).map((name) => join('deploy/proxies', name)),
  ];
  let count = 0;
  for (const path of texts) {
    // In a line of its own, or between backquotes; what is left out (…) and what a shell would do are not followed.
    for (const [, inside, alone] of readFileSync(join(root, path), 'utf8').matchAll(
      /`(?:npx )?ringwheel ((?:serve|doctor|topology|calibrate)\b[^`\n…]*)`|^(?:npx )?ringwheel ((?:serve|doctor|topology|calibrate)\b[^#\n…]*)/gm,
    )) {
      const line = (inside ?? alone ?? '').trim();
      const words = [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
      const program = commands({});
      for (const each of program.commands) each.action(() => {});
      if (words.some((word) => /^[A-Z|]+$/.test(word) || word === '|')) continue;
      t.notThrows(() => program.parse(words, { from: 'user' }), `${path}: ${line}`);
      count += 1;
    }
  }
  t.true(count > 20, `${count}`);
});

/** A heading as a link names it: GitHub's way. */
const anchor = (heading: string) =>
  heading
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\- _]/gu, '')
    .replaceAll(' ', '-');

test('links from one page to another lead to files and headings that are there', (t) => {
  const pages = [
    ...['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'SECURITY.md'],
    ...readdirSync(guides).map((name) => join('docs/guides', name)),
  ];
  let links = 0;
  for (const page of pages) {
    const text = readFileSync(join(root, page), 'utf8').replace(/^```.*?^```$/gms, '');
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [path = '', heading] = target.split('#');
      const file = path === '' ? page : join(dirname(page), path);
      t.true(existsSync(join(root, file)), `${page}: ${target}`);
      links += 1;
      if (heading === undefined || !existsSync(join(root, file))) continue;
      const headings = [...readFileSync(join(root, file), 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, one = '']) =>
        anchor(one),
      );
      t.true(headings.includes(heading), `${page}: ${target}; there are ${headings.join(', ')}`);
    }
  }
  t.true(links > 40, `${links}`);
});
