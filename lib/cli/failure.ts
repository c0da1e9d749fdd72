// What the command line says when something fails: one line, `ringwheel: what is wrong: what helps`.

import { quoted } from '../api/errors.js';

/** A failure whose text is already written for a person; `exitCode` 2 means that the command line itself was wrong. */
export class Failure extends Error {
  readonly exitCode: number;

  constructor(text: string, exitCode = 1) {
    super(text);
    this.exitCode = exitCode;
  }
}

/** What an error of the system means to someone who wanted to serve `directory` at `host` and `port`. */
export interface Place {
  readonly directory: string;
  readonly host: string;
  readonly port: number;
}

const REMEDIES: Readonly<Record<string, (place: Place) => string>> = {
  EADDRINUSE: ({ host, port }) =>
    `port ${port} on ${host} is in use: stop the program that has it, or choose another with --port N (0 picks a free one)`,
  EADDRNOTAVAIL: ({ host }) => `no network interface here has the address ${host}: try --host 127.0.0.1 or 0.0.0.0`,
  EACCES: ({ directory }) =>
    `no permission to read the directory ${quoted(directory)}: change its mode, or run as its owner`,
  EPERM: ({ directory }) =>
    `not permitted to read the directory ${quoted(directory)}: change its mode, or run as its owner`,
  ENOENT: ({ directory }) => `there is no directory ${quoted(directory)}: check the path, or create it`,
  ENOTDIR: ({ directory }) => `${quoted(directory)} is not a directory: name the directory that holds the file`,
  EMFILE: () => 'too many open files: raise the limit with `ulimit -n 65536`, or use fewer --cores',
  ENFILE: () => 'the system has too many open files: close programs, or raise fs.file-max',
  ENOMEM: () => 'not enough memory, or not enough that may be locked: raise `ulimit -l`, or use fewer --cores',
};

/** System calls that are about the address, where EACCES and EPERM mean a privileged port. */
const ADDRESS_CALLS = new Set(['bind', 'listen', 'socket']);

/** Where options were said: the names of those on the command line, and the file of the others. */
export interface Given {
  readonly flags: readonly string[];
  readonly file: string | undefined;
}

/** Turns whatever was thrown into one Failure with a remedy where one is known. */
export function explain(error: unknown, place: Place, given: Given): Failure {
  if (error instanceof Failure) return error;
  if (!(error instanceof Error)) return new Failure(String(error));
  const { code, syscall, path } = error as NodeJS.ErrnoException;
  if (code === 'ERR_RINGWHEEL_INVALID_OPTION') return new Failure(said(error.message, given), 2);
  if ((code === 'EACCES' || code === 'EPERM') && syscall !== undefined && ADDRESS_CALLS.has(syscall)) {
    return new Failure(
      `no permission to listen on port ${(error as { port?: number }).port ?? place.port}: ports below 1024 need privileges, try --port 8080`,
    );
  }
  // An error about some other file is not about the directory, whatever its code.
  const ours = path === undefined || path === place.directory;
  const remedy = code === undefined || !ours ? undefined : REMEDIES[code];
  // The admin listener has an address of its own.
  const { address: host = place.host, port = place.port } = error as { address?: string; port?: number };
  return new Failure(remedy === undefined ? error.message : remedy({ ...place, host, port }));
}

/** What the API says of its options, in the words of whoever said them. */
function said(message: string, { flags, file }: Given): string {
  const option = /^(?:FileServer|server)\.\w+: (\w+)/.exec(message)?.[1];
  const typed = file === undefined || option === undefined || flags.includes(option);
  return typed ? asTyped(message) : message.replace(/^(?:FileServer|server)\.\w+/, file);
}

/** What the API says of its options, with the names that were typed: its `cores` is a list of CPUs only where `--cpus` was given. */
function asTyped(message: string): string {
  return message
    .replace(/^(?:FileServer|server)\.\w+: cores is a list with/, '--cpus names')
    .replace(/^(?:FileServer|server)\.\w+: (index|cache|limit)s?(?:\[\d+\]|\.(\w+))? must/, (_, name, key) =>
      key === undefined ? `--${name} must` : `--${name} ${key} must`,
    )
    .replace(/^(?:FileServer|server)\.\w+: /, '')
    .replace(/^(header|mount|mime|immutable|index)s?(\[\d+\])?(?=[ .[])/, '--$1')
    .replace(/^(max|cache)(Age|Control)(?= )/, (_, one: string, two: string) => `--${one}-${two.toLowerCase()}`)
    .replaceAll('limits.', '--limit ')
    .replaceAll('cache.', '--cache ');
}

/** Prints the failure on stderr. */
export function report(failure: Failure): void {
  process.stderr.write(`ringwheel: ${oneLine(failure.message)}\n`);
}

/** On one line whatever the text has in it, and without what steers a terminal. */
export function oneLine(text: string): string {
  return text
    .trim()
    .replace(/\s*\n\s*/g, ' ')
    .replace(/\p{Cc}/gu, escaped);
}

function escaped(character: string): string {
  return quoted(character).slice(1, -1);
}
