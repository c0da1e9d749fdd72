// What a program sees of ringwheel/fs beside results: names and lengths of functions as Node's, and its own frame in every stack.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import test from 'ava';
import * as ours from '../../fs';
import { executorOf, fileOf, folder } from '../drivers';
import { node } from './twins';

type Any = (...args: unknown[]) => unknown;
const functions = (holder: object): [string, Any][] =>
  Object.entries(holder).filter((entry): entry is [string, Any] => typeof entry[1] === 'function');
const ring = Object.fromEntries(functions(ours));

/** The methods of a handle, Node's inherited ones too. */
function methodsOf(handle: object): Map<string, Any> {
  const found = new Map<string, Any>();
  for (let at = handle; at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const name of Object.getOwnPropertyNames(at)) {
      const { value } = Object.getOwnPropertyDescriptor(at, name) as PropertyDescriptor;
      if (typeof value === 'function' && name !== 'constructor' && !found.has(name)) found.set(name, value);
    }
  }
  return found;
}

test('every function has the name and the length of Node’s, and so has every method of a handle', async (t) => {
  executorOf(t);
  const shape = ({ name, length }: Any) => `${name}/${length}`;
  const theirs = functions(node).filter(([name]) => name in ours);
  t.true(theirs.length >= 30);
  for (const [name, own] of theirs) t.is(shape(ring[name] as Any), shape(own), name);
  const [mine, its] = await Promise.all([ours.open('/dev/null'), node.open('/dev/null')]);
  const methods = methodsOf(mine);
  const nodes = methodsOf(its);
  t.true(nodes.size >= 16);
  for (const [name, own] of nodes) t.is(shape(methods.get(name) as Any), shape(own), name);
  await Promise.all([mine.close(), its.close()]);
});

const here = (name: string): string => join(folder, name);
const missing = here('missing/file');
const file = here('shapes');

/** A call of each function that the system refuses. */
const FAILING: Record<string, unknown[]> = {
  access: [missing],
  appendFile: [missing, 'x'],
  chmod: [missing, 0o600],
  chown: [missing, 0, 0],
  copyFile: [missing, file],
  cp: [missing, file],
  lchown: [missing, 0, 0],
  link: [missing, file],
  lstat: [missing],
  lutimes: [missing, 0, 0],
  mkdir: [missing],
  mkdtemp: [missing],
  open: [missing],
  opendir: [missing],
  readFile: [missing],
  readdir: [missing],
  readlink: [missing],
  realpath: [missing],
  rename: [missing, file],
  rm: [missing],
  rmdir: [missing],
  stat: [missing],
  statfs: [missing],
  symlink: [file, missing],
  truncate: [missing],
  unlink: [missing],
  utimes: [missing, 0, 0],
  writeFile: [missing, 'x'],
};

/** Those that are Node's own functions. */
const NODES = ['glob', 'lchmod', 'mkdtempDisposable', 'watch'];

/** More ways into the same functions, which take other ways through ours. */
const OTHERS: [string, unknown[]][] = [
  ['mkdir', [`${file}/below`, { recursive: true }]],
  ['readdir', [missing, { recursive: true }]],
  ['readdir', [file, { withFileTypes: true }]],
  ['readFile', [folder]],
  ['readFile', [folder, 'utf8']],
  ['readFile', [missing, { signal: new AbortController().signal }]],
  ['readFile', [folder, { signal: new AbortController().signal }]],
  ['writeFile', [folder, 'x']],
  ['writeFile', [missing, new Uint8Array(2 << 20)]],
  ['writeFile', ['/dev/full', 'x']],
  ['writeFile', ['/dev/full', new Uint8Array(2 << 20)]],
  ['writeFile', ['/dev/full', ['x']]],
  ['writeFile', ['/dev/full', 'x', { signal: new AbortController().signal }]],
  ['truncate', [folder, 1]],
  ['rm', [missing, { recursive: true }]],
  ['cp', [folder, `${folder}/below`, { recursive: true }]],
];

/** This file's frame: the function that awaits the call. */
async function theCaller(call: () => unknown): Promise<Error | undefined> {
  try {
    await call();
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

const FRAME = /at (async )?theCaller .*shapes\.spec\.ts/;

test('what require gives has the names of the running Node, and each can be replaced', (t) => {
  const theirs = require('node:fs/promises');
  const required = require('../../dist/fs.js');
  const names = Object.keys(required).filter((name) => name !== 'default');
  t.deepEqual(names.sort(), Object.keys(theirs).sort());
  for (const name of names) {
    const { writable, configurable, enumerable } = Object.getOwnPropertyDescriptor(
      required,
      name,
    ) as PropertyDescriptor;
    t.deepEqual({ writable, configurable, enumerable }, { writable: true, configurable: true, enumerable: true }, name);
  }
});

test('options that only a later Node knows do what they do there', async (t) => {
  const path = fileOf('content');
  const found = [];
  for (const { open, readFile, stat } of [node, ours]) {
    const [first, second] = [new Uint8Array(20), new Uint8Array(20)];
    const handle = await open(path);
    const told = (work: Promise<unknown>) =>
      work.then(
        (value) => (ArrayBuffer.isView(value) ? Buffer.from(value as Uint8Array).toString() : value),
        ({ code }) => code,
      );
    found.push([
      await told(readFile(path, { buffer: first } as never)),
      await told(handle.readFile({ buffer: second } as never)),
      await told(readFile(path, { buffer: 5 } as never)),
      await told(stat(`${path}.none`, { throwIfNoEntry: false } as never)),
      [...first, ...second],
    ]);
    await handle.close();
  }
  t.deepEqual(found[1], found[0]);
});

test('a handle that is printed shows no more than Node’s', async (t) => {
  const printed = [];
  for (const { open } of [node, ours]) {
    const handle = await open(__filename);
    printed.push(inspect(handle, { depth: null }).length);
    await handle.close();
  }
  t.true((printed[1] as number) < 2 * (printed[0] as number), `${printed}`);
});

test('the stack of every function’s error leads to the caller', async (t) => {
  executorOf(t);
  writeFileSync(file, 'content');
  t.deepEqual(
    Object.keys(ring).filter((name) => !(name in FAILING) && !NODES.includes(name)),
    ['default'].filter((name) => name in ring),
  );
  for (const [name, args] of [...Object.entries(FAILING), ...OTHERS]) {
    const error = await theCaller(() => (ring[name] as Any)(...args));
    if (error === undefined) t.fail(`${name} of ${args} did not fail`);
    else t.regex(error.stack ?? '', FRAME, `${name}: ${error.message}`);
  }
});

/** A call of each method that the system refuses, and how its file is opened. */
const O_PATH = 0o10000000;
const REFUSED: [string, string | number, unknown[]][] = [
  ['appendFile', 'r', ['x']],
  ['chmod', O_PATH, [0o600]],
  ['chown', O_PATH, [0, 0]],
  ['datasync', O_PATH, []],
  ['read', 'a', [new Uint8Array(9)]],
  ['read', 'a', [new Uint8Array(9), 0, 9, 1]],
  ['readFile', 'a', []],
  ['readFile', 'a', ['utf8']],
  ['readFile', 'a', [{ signal: new AbortController().signal }]],
  ['readv', 'a', [[new Uint8Array(9)]]],
  ['sync', O_PATH, []],
  ['truncate', 'r', [1]],
  ['utimes', O_PATH, [0, 0]],
  ['write', 'r', ['x']],
  ['write', 'r', [new Uint8Array(9), 0, 9, 1]],
  ['writeFile', 'r', ['x']],
  ['writeFile', 'r', [['x']]],
  ['writeFile', 'r', [new Uint8Array(2 << 20)]],
  ['writev', 'r', [[new Uint8Array(9)]]],
];

/** Streams tell their errors by events; stat and close are refused by no open file. */
const UNREFUSED = [
  'close',
  'createReadStream',
  'createWriteStream',
  'getAsyncId',
  'readLines',
  'readableWebStream',
  'stat',
];

test('the stack of every method’s error leads to the caller', async (t) => {
  executorOf(t);
  const path = fileOf('content');
  const handle = await ours.open(path);
  const known = new Set([...REFUSED.map(([name]) => name), ...UNREFUSED]);
  const own = Object.getOwnPropertyNames(Object.getPrototypeOf(handle)).filter((name) => name !== 'constructor');
  t.deepEqual(
    own.filter((name) => !known.has(name)),
    [],
  );
  await handle.close();
  for (const [name, flags, args] of REFUSED) {
    const opened = await ours.open(path, flags as never);
    const error = await theCaller(() => (opened as unknown as Record<string, Any>)[name]?.(...args));
    if (error === undefined) t.fail(`${name} of ${args} did not fail`);
    else t.regex(error.stack ?? '', FRAME, `${name}: ${error.message}`);
    await opened.close();
  }
});
