// Makes dist/config.schema.json: the rules of a configuration as JSON Schema, with what the options' own documentation says of each.
//
// `tsx scripts/schema/main.ts`, after tsc; `npm run build` does so. Pages of the documentation come from the same source.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CONFIG_RULES } from '../../lib/api/config';
import { groupSchema } from '../../lib/api/validate';
import { root } from '../test/command';
import { described } from './described';

const schema = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'ringwheel.config.json',
  ...described(groupSchema(CONFIG_RULES), 'lib/api/config.ts', 'ServeConfig'),
};
writeFileSync(join(root, 'dist/config.schema.json'), `${JSON.stringify(schema, null, 1)}\n`);
