// The schema of a configuration says what the rules say, and the guide's table is what the schema and the flags are now.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import Ajv from 'ajv';
import test from 'ava';
import { CONFIG_RULES } from '../../lib/api/config';
import { checked } from '../../lib/api/validate';
import { current, page } from '../../scripts/schema/reference';
import { root } from '../support/command';

const schema = JSON.parse(readFileSync(join(root, 'dist/config.schema.json'), 'utf8'));
const matches = new Ajv({ allErrors: true, strict: true, allowUnionTypes: true }).compile(schema);

/** Values that are right for one option or another, and wrong for most. */
const VALUES = [
  ...[
    true,
    false,
    null,
    0,
    1,
    -1,
    1.5,
    9,
    70_000,
    2 ** 31,
    2 ** 53,
    '',
    'a',
    'a\0b',
    'deny',
    'hashed',
    'uring',
    'time',
    'max-pack',
  ],
  ...[
    [],
    ['a'],
    [''],
    [1],
    [[]],
    Array(17).fill('a'),
    {},
    { a: 'b' },
    { a: {} },
    { a: { b: null } },
    { a: { b: 1 } },
    { ranges: 1 },
  ],
  ...[
    { bytes: -1 },
    [{ root: 'a', hosts: ['b'] }],
    [{ root: 'a' }],
    [{ root: 'a', hosts: ['b'], port: 1 }],
    { '': 'a' },
  ],
];

test('the schema accepts what the rules accept, and nothing else', (t) => {
  let [right, wrong] = [0, 0];
  for (const name of [...Object.keys(CONFIG_RULES), 'prot']) {
    for (const value of VALUES) {
      const config = { [name]: value };
      let allowed = true;
      try {
        checked('test', config, CONFIG_RULES);
      } catch {
        allowed = false;
      }
      t.is(matches(config), allowed, JSON.stringify(config));
      if (allowed) right += 1;
      else wrong += 1;
    }
  }
  t.true(right > 50 && wrong > 500, `${right} right, ${wrong} wrong`);
});

test('the table of options is current: `npx tsx scripts/schema/reference.ts` writes it', (t) => {
  const text = readFileSync(page, 'utf8');
  t.is(current(text), text);
});
