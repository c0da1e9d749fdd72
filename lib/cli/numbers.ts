// Reads numbers, lists and pairs from the command line, and says what is allowed.
import { InvalidArgumentError } from 'commander';
import type { RedirectOptions, RewriteOptions } from '../api/server-options.js';

/** Reads names with commas between them. */
export function commaList(text: string): string[] {
  return text.split(',').map((name) => name.trim());
}

/** A parser for an option that is a whole number from `least` to `most`. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most) {
      throw new InvalidArgumentError(`It has to be a whole number from ${least} to ${most}.`);
    }
    return value;
  };
}

/** A parser for a list of numbers such as `0,2,3`. */
export function cpuList(text: string): number[] {
  if (!/^\d{1,4}(,\d{1,4})*$/.test(text))
    throw new InvalidArgumentError('It has to be a list of numbers such as 0,2,3.');
  return text.split(',').map(Number);
}

/** Reads `PORT`, `HOST:PORT` or `[IPv6]:PORT`. */
export function listenerAt(text: string): { host?: string; port: number } {
  const match = /^(?:(?:\[([^\]]+)\]|([^:]+)):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) throw new InvalidArgumentError('It has to be PORT or HOST:PORT.');
  const host = match[1] ?? match[2];
  return host === undefined ? { port } : { host, port };
}

/** Collects the NAME=NUMBER pairs of an option that may be given more than once; which names there are FileServer knows. */
export function namedNumber(text: string, before: Readonly<Record<string, number>> = {}): Record<string, number> {
  const pair = /^(\w+)=(\d+)$/.exec(text);
  if (pair === null) throw new InvalidArgumentError('It has to be NAME=NUMBER.');
  return { ...before, [pair[1] as string]: Number(pair[2]) };
}

/** Collects the NAME=NUMBER and NAME=off pairs of an option that may be given more than once, and without a value. */
export function numberOrOff(
  text: string,
  before: true | Readonly<Record<string, number | false>> = true,
): Record<string, number | false> {
  const pair = /^(\w+)=(\d+|off)$/.exec(text);
  if (pair === null)
    throw new InvalidArgumentError('It has to be NAME=NUMBER or NAME=off; a directory goes before it.');
  const value = pair[2] === 'off' ? false : Number(pair[2]);
  return { ...(before === true ? {} : before), [pair[1] as string]: value };
}

/** Collects the origins of an option that means everybody without them. */
export function origins(text: string, before: true | { origins: readonly string[] } = true): { origins: string[] } {
  if (!text.includes('://')) {
    throw new InvalidArgumentError('It has to be an origin such as https://app.example; a directory goes before it.');
  }
  return { origins: [...(before === true ? [] : before.origins), text] };
}

/** Reads the page of `--single`; without one it is the server's own. */
export function page(text: string): true | string {
  return text === '' ? true : text;
}

/** A file of names and passwords, and below which path it is asked for, where that is not all of the site. */
export interface Guarded {
  readonly path?: string;
  readonly file: string;
}

/** Collects FILE and PATH=FILE, where the path has a slash at both ends. */
export function guarded(text: string, before: readonly Guarded[] = []): Guarded[] {
  const [, path, file] = /^(\/(?:[^=]*\/)?)=(.+)$/.exec(text) ?? [];
  return [...before, path === undefined || file === undefined ? { file: text } : { path, file }];
}

/** Collects an option that may be given more than once. One value each time: a list would swallow the directory after it. */
export function repeated(text: string, before: readonly string[] = []): string[] {
  return [...before, text];
}

/** Collects the NAME=VALUE pairs of an option that may be given more than once. */
export function named(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const at = text.indexOf('=');
  if (at < 1 || at === text.length - 1) throw new InvalidArgumentError('It has to be NAME=VALUE.');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

/** Collects `PATTERN` and `PATTERN=NAME`; without a name a file keeps its own. */
export function download(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  return text.includes('=') ? named(text, before) : { ...before, [text]: ':name' };
}

/** Collects `FROM TO` and `FROM TO STATUS`; what they may be FileServer knows. */
export function redirect(text: string, before: readonly RedirectOptions[] = []): RedirectOptions[] {
  const match = /^(\S+)\s+(\S+)(?:\s+(\d{3}))?$/.exec(text.trim());
  if (match === null) throw new InvalidArgumentError("It has to be 'FROM TO' or 'FROM TO STATUS'.");
  const [, from = '', to = '', status] = match;
  const known = status === undefined ? {} : { status: Number(status) as NonNullable<RedirectOptions['status']> };
  return [...before, { from, to, ...known }];
}

/** Collects `FROM TO`. */
export function rewrite(text: string, before: readonly RewriteOptions[] = []): RewriteOptions[] {
  const match = /^(\S+)\s+(\S+)$/.exec(text.trim());
  if (match === null) throw new InvalidArgumentError("It has to be 'FROM TO'.");
  const [, from = '', to = ''] = match;
  return [...before, { from, to }];
}

/** Fields by pattern, as FileServer takes them. */
export type Fields = Readonly<Record<string, Readonly<Record<string, string | null>>>>;

/** Collects `PATTERN: NAME: VALUE`; without a value the field is taken away. */
export function headerField(text: string, before: Fields = {}): Fields {
  const match = /^([^:]+):\s*([^:\s]+)\s*:\s*(.*?)\s*$/.exec(text);
  if (match === null) throw new InvalidArgumentError("It has to be 'PATTERN: NAME: VALUE'.");
  const [, pattern = '', name = '', value = ''] = match;
  const key = pattern.trim();
  return { ...before, [key]: { ...before[key], [name]: value === '' ? null : value } };
}

/** Reads a mode such as 660, as chmod does. */
export function octal(text: string): number {
  if (!/^0?[0-7]{1,3}$/.test(text)) throw new InvalidArgumentError('It has to be a mode such as 660.');
  return Number.parseInt(text, 8);
}

/** Collects descriptors, or takes the name of who passes them on. */
export function descriptor(text: string, before: readonly number[] | string = []): readonly number[] | string {
  if (/^\d{1,9}$/.test(text) && typeof before !== 'string') return [...before, Number(text)];
  if (/^systemd(:[^:]+)?$/.test(text) && before.length === 0) return text;
  throw new InvalidArgumentError('It has to be a number, or systemd, or systemd:NAME.');
}
