// Node's open flags, as strings or numbers, and paths as the bytes that openat(2) takes.
import { constants } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isUint8Array } from 'node:util/types';
import { copyOf } from '../ring/bytes.js';
import { ourError } from './errors.js';
import { shown } from './validate.js';

const { O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_SYNC, O_TRUNC, O_WRONLY } = constants;

const FLAGS: Record<string, number> = {
  r: O_RDONLY,
  rs: O_RDONLY | O_SYNC,
  'r+': O_RDWR,
  'rs+': O_RDWR | O_SYNC,
  w: O_TRUNC | O_CREAT | O_WRONLY,
  wx: O_TRUNC | O_CREAT | O_WRONLY | O_EXCL,
  'w+': O_TRUNC | O_CREAT | O_RDWR,
  'wx+': O_TRUNC | O_CREAT | O_RDWR | O_EXCL,
  a: O_APPEND | O_CREAT | O_WRONLY,
  ax: O_APPEND | O_CREAT | O_WRONLY | O_EXCL,
  as: O_APPEND | O_CREAT | O_WRONLY | O_SYNC,
  'a+': O_APPEND | O_CREAT | O_RDWR,
  'ax+': O_APPEND | O_CREAT | O_RDWR | O_EXCL,
  'as+': O_APPEND | O_CREAT | O_RDWR | O_SYNC,
};

/** The number of a flags argument. @internal */
export function openFlags(flags: string | number | undefined, where: string): number {
  if (flags === undefined) return O_RDONLY;
  if (typeof flags === 'number' && Number.isInteger(flags) && flags >= 0 && flags <= 0x7fffffff) return flags;
  const known = typeof flags === 'string' && Object.hasOwn(FLAGS, flags) ? FLAGS[flags] : undefined;
  if (known !== undefined) return known;
  const names = Object.keys(FLAGS).join(', ');
  throw ourError(
    'ERR_RINGWHEEL_INVALID_OPTION',
    `${where}: flags must be one of ${names}, or O_… bits; got ${shown(flags)}`,
  );
}

/** A path argument as text for messages and as bytes for the kernel. @internal */
export function pathOf(path: string | URL | Uint8Array, where: string): { text: string; bytes: Uint8Array } {
  let bytes: Uint8Array | undefined;
  if (typeof path === 'string') bytes = Buffer.from(path);
  else if (path instanceof URL) bytes = Buffer.from(urlPath(path, where));
  else if (isUint8Array(path)) bytes = copyOf(path); // Ours: the caller may change theirs.
  if (bytes === undefined || bytes.length === 0 || bytes.includes(0)) {
    const wanted = 'a string, a file: URL or a Uint8Array, not empty and without NUL';
    throw ourError('ERR_RINGWHEEL_INVALID_OPTION', `${where}: path must be ${wanted}; got ${shown(path)}`);
  }
  return { text: typeof path === 'string' ? path : Buffer.from(bytes).toString(), bytes };
}

function urlPath(url: URL, where: string): string {
  try {
    return fileURLToPath(url);
  } catch (cause) {
    throw ourError(
      'ERR_RINGWHEEL_INVALID_OPTION',
      `${where}: the URL must be a file: URL; ${(cause as Error).message}`,
    );
  }
}
