// Every spec runs once on each driver: the runner sets RINGWHEEL_DRIVER, and this asserts that it got that one, so that a
// silent fallback fails.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { Executor } from '../index';
import { type Ended, Running, root } from './support/command';

/** This thread's executor, on the driver that the environment asks for. */
export function executorOf(t: ExecutionContext): Executor {
  const executor = Executor.current();
  const wanted = process.env.RINGWHEEL_DRIVER;
  if (wanted === 'uring' || wanted === 'poll') t.is(executor.driver, wanted);
  return executor;
}

/** A directory of the spec's own, gone when the process ends. */
export const folder = mkdtempSync(join(tmpdir(), 'ringwheel-spec-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

let files = 0;

/** A file of the spec's own with these bytes. */
export function fileOf(bytes: Uint8Array | string): string {
  const path = join(folder, `${files++}.bin`);
  writeFileSync(path, bytes);
  return path;
}

/** Bytes that differ at every position of a page and from page to page. */
export function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * 31 + (index >> 8) * 7) & 0xff);
}

const PRELUDE = `
const assert = require('node:assert');
const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads');
const ringwheel = require(${JSON.stringify(join(root, 'dist/index.js'))});
const { Executor, File, Lease, TaskQueue, sleep } = ringwheel;
const wanted = process.env.RINGWHEEL_DRIVER;
const settled = (promise) => promise.then((value) => ({ value }), (error) => ({ error }));
`;

/**
 * Runs a script in a process of its own, with the package's classes, `assert` and `settled` at hand; it may use `await`. The
 * script is a file, so that it can start itself as a worker (`__filename`).
 */
export function script(
  body: string,
  flags: readonly string[] = [],
  env: Record<string, string> = {},
  seconds = 100,
): Promise<Ended> {
  const path = join(folder, `${files++}.cjs`);
  writeFileSync(
    path,
    `${PRELUDE}\n(async () => {\n${body}\n})().catch((error) => { console.error(error); process.exit(70); });\n`,
  );
  return new Running(process.execPath, [...flags, path], { env: { ...process.env, ...env } }, seconds).ended;
}

/** Asserts that a script ended with this code, and shows what it printed when it did not. */
export function ended(t: ExecutionContext, result: Ended, code = 0): void {
  t.is(result.signal, null, result.stderr.slice(-2000));
  t.is(result.code, code, `${result.stdout.slice(-500)}\n${result.stderr.slice(-2000)}`);
}
