// Arguments of file.allocate and file.advise: how a file lies on its device, and how it will be used.

import { ourError, systemError } from './errors.js';
import { abortSignal, checked, type Rule, shown, truth } from './validate.js';

/** Options of {@link File.allocate}. */
export interface AllocateOptions {
  /** The file's length stays as it is, also where the range ends behind it. Default false. */
  keepSize?: boolean;
  /** Takes the range's blocks away: it reads as zeros, and the length stays as it is, whatever `keepSize` says. Default false. */
  punchHole?: boolean;
  /** Ends it early: the promise rejects with the signal's reason at once. What the file system has begun it does to its end. */
  signal?: AbortSignal;
}

const ALLOCATE_RULES: Record<string, Rule> = { keepSize: truth, punchHole: truth, signal: abortSignal };
/** FALLOC_FL_KEEP_SIZE and FALLOC_FL_PUNCH_HOLE, which has to have the first one with it. */
const KEEP_SIZE = 1;
const PUNCH_HOLE = 2;

/** How a range of a file will be used: see posix_fadvise(2). */
export type Advice = 'normal' | 'random' | 'sequential' | 'willneed' | 'dontneed' | 'noreuse';

/** By the numbers of CALL's block. */
const ADVICE: readonly Advice[] = ['normal', 'random', 'sequential', 'willneed', 'dontneed', 'noreuse'];

/** Checks the arguments. Returns the mode of fallocate(2). @internal */
export function allocation(
  position: number,
  length: number,
  options: AllocateOptions | undefined,
): { mode: number; signal: AbortSignal | undefined } {
  const { keepSize = false, punchHole = false, signal } = checked('file.allocate', options, ALLOCATE_RULES);
  checkWhole('allocate', 'position', position, 0);
  checkWhole('allocate', 'length', length, 1);
  return { mode: punchHole ? PUNCH_HOLE | KEEP_SIZE : keepSize ? KEEP_SIZE : 0, signal };
}

/** Checks the arguments. Returns the advice's number. @internal */
export function adviceNumber(kind: Advice, position: number, length: number): number {
  const number = ADVICE.indexOf(kind);
  if (number === -1) {
    const kinds = ADVICE.map((name) => `'${name}'`).join(', ');
    throw ourError('ERR_RINGWHEEL_INVALID_OPTION', `file.advise: kind must be one of ${kinds}; got ${shown(kind)}`);
  }
  checkWhole('advise', 'position', position, 0);
  checkWhole('advise', 'length', length, 0);
  return number;
}

function checkWhole(method: string, name: string, value: unknown, least: number): void {
  if (Number.isSafeInteger(value) && (value as number) >= least) return;
  const range = `a whole number from ${least} to ${Number.MAX_SAFE_INTEGER}`;
  throw ourError('ERR_RINGWHEEL_INVALID_OPTION', `file.${method}: ${name} must be ${range}; got ${shown(value)}`);
}

/** Throws what the system said. @internal */
export async function told(call: Promise<number>, syscall: string, path: string): Promise<void> {
  const result = await call;
  if (result < 0) throw systemError(result, syscall, path);
}
