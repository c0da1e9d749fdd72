// Writes the table of options into docs/guides/configuration.md: `tsx scripts/schema/reference.ts`. A spec says when it is not current.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CONFIG_RULES } from '../../lib/api/config';
import { groupSchema, type Schema } from '../../lib/api/validate';
import { commands } from '../../lib/cli/program';
import { root } from '../test/command';
import { described } from './described';

/** The page. */
export const page = join(root, 'docs/guides/configuration.md');
const [BEGIN, END] = ['<!-- options: made by scripts/schema/reference.ts -->', '<!-- end of options -->'];

/** Flags whose options have another name. */
const RENAMED: Readonly<Record<string, string>> = {
  header: 'headers',
  limit: 'limits',
  mount: 'mounts',
  cpus: 'cores',
  corsHeaders: 'cors',
  corsExposed: 'cors',
  corsCredentials: 'cors',
  corsMaxAge: 'cors',
  basicAuthRealm: 'basicAuth',
  accessLogFormat: 'accessLog',
  accessLogBuffer: 'accessLog',
  unixMode: 'unix',
  drain: 'drainMs',
  tlsCert: 'tls',
  tlsKey: 'tls',
  tlsReload: 'tlsReloadMs',
};

/** The page with a table that is true now. */
export function current(text: string): string {
  const [before, rest] = [text.slice(0, text.indexOf(BEGIN)), text.slice(text.indexOf(END))];
  if (!text.includes(BEGIN) || !text.includes(END)) throw new Error(`${page} has lost the marks of its table`);
  const schema = described(groupSchema(CONFIG_RULES), 'lib/api/config.ts', 'ServeConfig');
  const rows = Object.entries(schema.properties as Record<string, Schema>)
    .filter(([name]) => name !== '$schema')
    .flatMap(([name, member]) => rowsOf(name, member, flags()));
  return [`${before}${BEGIN}`, '', '| option | value | flag | |', '| --- | --- | --- | --- |', ...rows, '', rest].join(
    '\n',
  );
}

function flags(): Map<string, string[]> {
  const serve = commands({}).commands.find((each) => each.name() === 'serve');
  const found = new Map([['root', ['[directory...]']]]);
  for (const option of serve?.options ?? []) {
    const name = RENAMED[option.attributeName()] ?? option.attributeName();
    const long = option.long ?? '';
    found.set(name, [
      ...(found.get(name) ?? []),
      option.negate ? long : option.flags.replace(/^-\w, /, '').replace(' [=', '[='),
    ]);
  }
  return found;
}

function rowsOf(name: string, schema: Schema, flags: Map<string, string[]>, group = ''): string[] {
  const flag = (flags.get(name) ?? []).map((each) => `\`${each}\``).join(', ');
  const text = String(schema.description).replaceAll('|', '\\|');
  const row = `| \`${group}${name}\` | ${kind(schema)} | ${group === '' ? flag : ''} | ${text} |`;
  const inner = Object.entries((schema.properties ?? {}) as Record<string, Schema>);
  return [row, ...inner.flatMap(([key, member]) => rowsOf(key, member, new Map(), `${group}${name}.`))];
}

/** A value's kind in a word or two. */
function kind(schema: Schema): string {
  if (schema.anyOf !== undefined) return [...new Set((schema.anyOf as Schema[]).map(kind))].join(' or ');
  if (schema.enum !== undefined) return (schema.enum as string[]).map((each) => `\`${each}\``).join(', ');
  if (schema.const !== undefined) return `${schema.const}`;
  if (schema.type === 'array') return `list of ${kind(schema.items as Schema)}s`;
  if (schema.type === 'object') return schema.properties === undefined ? 'map' : 'group';
  return schema.type === 'integer' ? 'number' : schema.type === 'boolean' ? 'true or false' : String(schema.type);
}

if (require.main === module) writeFileSync(page, current(readFileSync(page, 'utf8')));
