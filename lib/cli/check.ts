// `ringwheel serve --check`: the configuration as the server would have it, and where each part comes from.

import type { ServeConfig } from '../api/config.js';
import type { FileServerOptions } from '../api/server-options.js';
import { type Loaded, MERGED } from './config.js';

/** As lines for a person: option, value, and where it was said. */
export function shownConfig(effective: FileServerOptions, loaded: Loaded | undefined, flags: ServeConfig): string {
  const rows = Object.entries(effective).flatMap(([key, value]): [string, string, string][] => {
    const said = (holder: object | undefined, part?: string) =>
      has(part === undefined ? holder : at(holder, key), part ?? key);
    const from = (part?: string) =>
      said(flags, part) ? 'command line' : said(loaded?.config, part) ? (loaded?.file ?? '') : 'default';
    if (!MERGED.has(key) || Object.keys(value).length === 0) return [[key, JSON.stringify(value), from()]];
    return Object.entries(value).map(([part, inner]) => [`${key}.${part}`, JSON.stringify(inner), from(part)]);
  });
  const [first, second] = [0, 1].map((column) => Math.max(...rows.map((row) => (row[column] as string).length)));
  const line = ([key, value, from]: [string, string, string]) =>
    `  ${key.padEnd(first as number)}  ${value.padEnd(Math.min(second as number, 48))}  ${from}`;
  const head = loaded === undefined ? 'No configuration file.' : `Configuration file: ${loaded.file}`;
  return [head, '', ...rows.map(line), '', 'The configuration is valid.', ''].join('\n');
}

function at(holder: object | undefined, key: string): object | undefined {
  return (holder as Record<string, object> | undefined)?.[key];
}

function has(holder: object | undefined, key: string): boolean {
  return holder !== undefined && Object.hasOwn(holder, key);
}
