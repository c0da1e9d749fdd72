// Every option of every function with every kind of value: results, errors and what is on the disk afterwards are Node's.
//
// Runs one in sixteen of the values: RINGWHEEL_OPTIONS_SHARE=1 runs all, and RINGWHEEL_OPTIONS_RUNS=n as many
// random combinations, from RINGWHEEL_FUZZ_SEED on.
import type { EventEmitter } from 'node:events';
import { mkdirSync, readdirSync, rmdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { executorOf, folder } from '../drivers';
import { argumentsOf, each, isHandle, SUBJECTS, type Trial } from './options';
import { plain, Random } from './random';
import { described, type Fs, node, outcome, ring, tree } from './twins';

const SHARE = Number(process.env.RINGWHEEL_OPTIONS_SHARE ?? 16);
/** A run of all takes twenty minutes; what `npm test` runs is over in seconds. */
const LIMIT_MS = SHARE === 1 ? 1_200_000 : 300_000;
const RUNS = Number(process.env.RINGWHEEL_OPTIONS_RUNS ?? 200);
const SEED = Number(process.env.RINGWHEEL_FUZZ_SEED ?? 1);

/** What a call that never ends gives. */
const ENDLESS = 'does not end';
const PATIENCE_MS = 30_000;

type Any = (...args: unknown[]) => unknown;
const place = join(folder, 'options');
const at = (name: string): string => join(place, name);

let left: unknown;
let pristine: unknown;

/** As it was before, where the call before changed nothing. */
function prepare(): void {
  if (left !== undefined && isDeepStrictEqual(left, pristine)) return;
  rmSync(place, { recursive: true, force: true });
  for (const directory of ['dir/sub', 'dir2/sub', 'empty']) mkdirSync(at(directory), { recursive: true });
  writeFileSync(at('file'), 'content of a file\nand a second line\n');
  writeFileSync(at('file2'), 'other', { mode: 0o600 });
  writeFileSync(at('large'), Buffer.alloc(70_000, 'large '));
  for (const file of ['dir/x', 'dir/sub/y', 'dir2/x']) writeFileSync(at(file), file);
  for (const [name, target] of [
    ['link', 'file'],
    ['to-file2', 'file2'],
    ['to-dir', 'dir'],
    ['loop', 'loop'],
    ['dangling', 'none'],
    ['dir/to-x', 'x'],
    ['dir2/to-x', 'x'],
  ] as const) {
    symlinkSync(target, at(name));
  }
  for (const file of ['file', 'file2', 'dir/x']) utimesSync(at(file), 1e9, 1e9);
  pristine = tree(place);
}

/** What a stream or lines gave, and which events it had, in order. */
async function streamed(stream: EventEmitter & Partial<Writable> & AsyncIterable<unknown>): Promise<unknown> {
  const events: unknown[] = [];
  for (const event of ['data', 'line', 'end', 'finish', 'close', 'error']) {
    stream.on(event, (about?: unknown) => events.push([event, about instanceof Error ? described(about) : about]));
  }
  const closed = new Promise((done) => stream.once('close', () => setImmediate(done)));
  stream.write?.('one');
  stream.write?.(Buffer.from('two'));
  stream.end?.('three');
  await closed;
  return events;
}

/** What a program sees of a result; what is open in it is closed. */
async function told(result: unknown, name: string): Promise<unknown> {
  if (isHandle(result)) return [typeof result.fd, await result.close()];
  if (typeof result !== 'object' || result === null) return name === 'mkdtemp' ? String(result).slice(0, -6) : result;
  if (name === 'mkdtemp') return (result as Buffer).subarray(0, -6);
  if (name === 'opendir') {
    const entries: unknown[] = [];
    for await (const entry of result as AsyncIterable<{ name: unknown; isDirectory(): boolean }>) {
      entries.push([String(entry.name), typeof entry.name, entry.isDirectory()]);
    }
    return [entries.sort(), (result as { path: unknown }).path];
  }
  if (name.startsWith('create') || name === 'readLines') return await streamed(result as never);
  return plain(result);
}

/** What a trial gave on one side, and the tree that it left. */
async function outcomeOf(fs: Fs, trial: Trial): Promise<unknown> {
  const { name, flags } = trial.subject;
  prepare();
  left = undefined;
  let handle: FileHandle | undefined;
  try {
    handle = flags === undefined ? undefined : await fs.open(at('file'), flags);
    const on = (handle ?? fs) as unknown as Record<string, Any>;
    const args = argumentsOf(trial, at);
    const work = outcome(async () => told(await on[name]?.(...args), name));
    const result = await Promise.race([work, pause(PATIENCE_MS, ENDLESS, { ref: false })]);
    const after =
      handle === undefined ? undefined : await outcome(() => (handle as FileHandle).stat().then(({ size }) => size));
    if (name === 'mkdtemp') removeMade();
    left = tree(place);
    return { result: withoutLetters(result, name), after, tree: left };
  } finally {
    await outcome(() => handle?.close());
  }
}

/** What mkdtemp made, whose names are chance. */
function removeMade(): void {
  for (const name of readdirSync(place))
    if (/^(new|none|dir|file|loop|link|dangling|to-dir|empty|x?n*)\w{6}$/.test(name)) rmdirSync(at(name));
}

/** The letters that mkdtemp tried are chance. */
function withoutLetters(result: unknown, name: string): unknown {
  if (name !== 'mkdtemp') return result;
  return JSON.stringify(result, (_, value) => (typeof value === 'bigint' ? String(value) : value)).replaceAll(
    /\w{6}(?=['"])/g,
    '******',
  );
}

function shown(trial: Trial): string {
  const { name, flags, base } = trial.subject;
  const args = argumentsOf(trial, (inside) => `/ROOT/${inside}`);
  const text = args.map((value) => {
    if (typeof value === 'bigint' || typeof value === 'symbol' || typeof value === 'function') return String(value);
    try {
      return `${value?.constructor?.name ?? ''} ${JSON.stringify(value, (_, inner) => (typeof inner === 'bigint' || typeof inner === 'function' ? String(inner) : inner))?.slice(0, 100)}`;
    } catch {
      return typeof value;
    }
  });
  return `${flags === undefined ? '' : `handle(${flags}).`}${name}(${text.join(', ')}) of ${base.length}: ${trial.chosen}`;
}

async function compare(t: ExecutionContext, trials: Iterable<Trial>): Promise<void> {
  const { driver } = executorOf(t);
  process.noDeprecation = true;
  const different: unknown[] = [];
  let count = 0;
  for (const trial of trials) {
    count++;
    const wanted = await outcomeOf(node, trial);
    const found = await outcomeOf(ring, trial);
    if ((wanted as { result: unknown }).result === ENDLESS) t.log(`does not end: ${shown(trial)}`);
    if (!isDeepStrictEqual(found, wanted)) different.push({ trial: shown(trial), wanted, found });
    if (different.length === 40) break;
  }
  t.log(`${count} calls on ${driver}`);
  t.deepEqual(different, []);
}

test.serial('every value of every option', async (t) => {
  t.timeout(LIMIT_MS);
  await compare(
    t,
    [...each()].filter((_, index) => index % SHARE === SEED % SHARE),
  );
});

test.serial('combinations of values', async (t) => {
  t.timeout(LIMIT_MS);
  const random = new Random(SEED);
  const trials = Array.from({ length: RUNS }, (): Trial => {
    const subject = random.of(SUBJECTS);
    const axes = Object.entries(subject.axes).filter(() => random.oneIn(2));
    return { subject, chosen: axes.map(([where, values]) => [where, random.below(values.length)]) };
  });
  await compare(t, trials);
});
