// The differential harness: the same call on node:fs/promises and on ringwheel/fs, in twin directories, with results, errors and what is
// on the disk afterwards compared.
import { createHash } from 'node:crypto';
import { chmodSync, lstatSync, mkdirSync, promises as nodes, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import * as ours from '../../fs';
import { executorOf, folder } from '../drivers';

/** The functions under test, as both sides have them. */
export type Fs = typeof nodes;

/** Node's, captured before anything could swap it. */
export const node: Fs = { ...nodes };

/** Ours. */
export const ring = ours as unknown as Fs;

/** A time in nanoseconds; one of these days is now, which no two calls share: from Node 22 on an invalid date means that. */
export const timeOf = (ns: bigint): unknown => (ns > 1_700_000_000_000_000_000n ? 'now' : ns);

/** A time before this one was set by somebody. */
const SET_MS = 1.6e12;
/** Of more the assertion would take seconds to walk it. */
const SHOWN_BYTES = 4096;
const sumOf = (bytes: Uint8Array): string => createHash('sha1').update(bytes).digest('hex');
/** What is longer was written far behind the end. */
const LONG_BYTES = 2 ** 26;

let twins = 0;

const identities = new Map<object, string>();

/** A name for an object that no other object has. */
function identity(object: object): string {
  const name = identities.get(object) ?? `${object.constructor.name} ${identities.size}`;
  identities.set(object, name);
  return name;
}

/** Everything that a program can see of an error. */
export function described(error: unknown): unknown {
  if (!(error instanceof Error)) return { thrown: error };
  const { name, message, cause } = error;
  return {
    name,
    message,
    properties: Object.entries(error),
    class: identity(Object.getPrototypeOf(error)),
    ...(cause === undefined ? {} : { cause: described(cause) }),
    ...(error instanceof AggregateError ? { errors: error.errors.map(described) } : {}),
  };
}

/** What a call gave or threw, at once or later. */
export async function outcome(call: () => unknown): Promise<unknown> {
  try {
    return { value: await call() };
  } catch (error) {
    return { error: described(error) };
  }
}

/** The same with another text in all strings and byte strings: the twins' directories have names of their own. */
export function replaced(value: unknown, from: string, to: string, seen = new Map<unknown, unknown>()): unknown {
  if (typeof value === 'string') return value.replaceAll(from, to);
  if (typeof value !== 'object' || value === null || seen.has(value)) return seen.get(value) ?? value;
  if (ArrayBuffer.isView(value) && value.byteLength > SHOWN_BYTES) {
    const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    return { kind: value.constructor, length: value.byteLength, sum: sumOf(bytes) };
  }
  if (Buffer.isBuffer(value)) {
    return value.includes(from) ? Buffer.from(value.toString('latin1').replaceAll(from, to), 'latin1') : value;
  }
  if (Array.isArray(value)) return value.map((item) => replaced(item, from, to, seen));
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer || value instanceof Date) return value;
  const copy = Object.create(Object.getPrototypeOf(value));
  seen.set(value, copy);
  for (const key of Reflect.ownKeys(value)) {
    const descriptor = Object.getOwnPropertyDescriptor(value, key) as PropertyDescriptor;
    if ('value' in descriptor) descriptor.value = replaced(descriptor.value, from, to, seen);
    Object.defineProperty(copy, key, descriptor);
  }
  return copy;
}

/** What is below a directory: names, kinds and permissions, content, targets. */
export function tree(path: string | Buffer): unknown {
  const names = readdirSync(path, { encoding: 'buffer' }).sort(Buffer.compare);
  return names.map((name) => {
    const at = Buffer.concat([Buffer.from(path as string), Buffer.from('/'), name]);
    const { mode, uid, gid, size, nlink, mtimeMs } = lstatSync(at);
    const entry = { name: name.toString('latin1'), mode, uid, gid, nlink, mtimeMs: mtimeMs < SET_MS ? mtimeMs : 'now' };
    // What was forbidden is noted in the mode: now it is looked at, by users who may not everything too.
    const wanted = (mode & 0o170000) === 0o040000 ? 0o700 : 0o400;
    if ((mode & 0o170000) !== 0o120000 && (mode & wanted) !== wanted) chmodSync(at, (mode & 0o7777) | wanted);
    if ((mode & 0o170000) === 0o040000) return { ...entry, below: tree(at) };
    if ((mode & 0o170000) === 0o120000) return { ...entry, target: readlinkSync(at) };
    if ((mode & 0o170000) !== 0o100000) return entry;
    if (size >= LONG_BYTES) return { ...entry, size, content: 'mostly holes' };
    const content = readFileSync(at);
    return { ...entry, size, content: size > SHOWN_BYTES ? sumOf(content) : content };
  });
}

/**
 * Runs `call` with each side in a directory of its own, prepared by `prepare`, and compares. Returns the outcome, which a test looks at when
 * it has to be sure that there was one.
 */
export async function same(
  t: ExecutionContext,
  call: (fs: Fs, at: (name?: string) => string) => unknown,
  prepare: (at: (name?: string) => string) => void = () => {},
  what?: string,
): Promise<{ value?: unknown; error?: { message: string } }> {
  executorOf(t);
  const number = String(twins++).padStart(5, '0');
  const results: unknown[] = [];
  for (const [fs, name] of [
    [node, `node${number}`],
    [ring, `ring${number}`],
  ] as const) {
    const place = join(folder, name);
    mkdirSync(place);
    const at = (inside = ''): string => (inside === '' ? place : join(place, inside));
    prepare(at);
    const result = await outcome(() => call(fs, at));
    results.push(replaced({ result, left: tree(place) }, name, `twin${number}`));
  }
  t.deepEqual(results[1], results[0], what);
  return (results[0] as { result: never }).result;
}

/** The same for calls that change nothing: both in one place, so that inodes and times are equal too. */
export async function sameHere(
  t: ExecutionContext,
  call: (fs: Fs) => unknown,
  what?: string,
): Promise<{ value?: unknown; error?: { message: string } }> {
  executorOf(t);
  const wanted = await outcome(() => call(node));
  t.deepEqual(await outcome(() => call(ring)), wanted, what);
  return wanted as never;
}
