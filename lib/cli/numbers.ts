// Reads numbers, lists and NAME=NUMBER pairs from the command line, and says what is allowed.
import { InvalidArgumentError } from 'commander';

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

/** Collects the NAME=NUMBER pairs of an option that may be given more than once; which names there are FileServer knows. */
export function namedNumber(text: string, before: Readonly<Record<string, number>> = {}): Record<string, number> {
  const pair = /^(\w+)=(\d+)$/.exec(text);
  if (pair === null) throw new InvalidArgumentError('It has to be NAME=NUMBER.');
  return { ...before, [pair[1] as string]: Number(pair[2]) };
}

/** Collects an option that may be given more than once. One value each time: a list would swallow the directory after it. */
export function repeated(text: string, before: readonly string[] = []): string[] {
  return [...before, text];
}
