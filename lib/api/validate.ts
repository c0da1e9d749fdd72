// Checks an options object once: unknown keys (naming the nearest known one), kinds and ranges.
import { isSignal } from './abort.js';
import { ourError } from './errors.js';

/** Says what is wrong with a value, as the end of "NAME must be …", or undefined when it is fine. @internal */
export type Rule = (value: unknown) => string | undefined;

/** A whole number in `minimum..=maximum`. @internal */
export function whole(minimum: number, maximum: number): Rule {
  return (value) =>
    Number.isSafeInteger(value) && (value as number) >= minimum && (value as number) <= maximum
      ? undefined
      : `a whole number in ${minimum}..=${maximum}`;
}

/** A power of two in `minimum..=maximum`. @internal */
export function powerOfTwo(minimum: number, maximum: number): Rule {
  const range = whole(minimum, maximum);
  return (value) =>
    range(value) === undefined && Number.isInteger(Math.log2(value as number))
      ? undefined
      : `a power of two in ${minimum}..=${maximum}`;
}

/** A multiple of `step` in `minimum..=maximum`. @internal */
export function multipleOf(step: number, minimum: number, maximum: number): Rule {
  const range = whole(minimum, maximum);
  return (value) =>
    range(value) === undefined && (value as number) % step === 0
      ? undefined
      : `a multiple of ${step} in ${minimum}..=${maximum}`;
}

/** One of a closed list of strings. @internal */
export function oneOf(...allowed: readonly string[]): Rule {
  const list = allowed.map((name) => `"${name}"`).join(', ');
  return (value) => (allowed.includes(value as string) ? undefined : `one of ${list}`);
}

/** True or false. @internal */
export const truth: Rule = (value) => (typeof value === 'boolean' ? undefined : 'true or false');

/** A string that is not empty and has no NUL. @internal */
export const text: Rule = (value) =>
  typeof value === 'string' && value !== '' && !value.includes('\0')
    ? undefined
    : 'a string, not empty and without NUL';

/** An AbortSignal: a true one, not an object that only looks like it and would fail when it is listened to. @internal */
export const abortSignal: Rule = (value) => (isSignal(value) ? undefined : 'an AbortSignal');

/** Either rule holds. @internal */
export function either(one: Rule, other: Rule): Rule {
  return (value) => {
    const first = one(value);
    if (first === undefined) return undefined;
    const second = other(value);
    return second === undefined ? undefined : `${first}, or ${second}`;
  };
}

/** `false`, for an option that can be switched off. @internal */
export const off: Rule = (value) => (value === false ? undefined : 'false');

/** An object with the keys of `rules`. @internal */
export function shape(rules: Record<string, Rule>): Rule {
  return (value) => {
    if (typeof value !== 'object' || value === null || isSignal(value))
      return `an object with ${Object.keys(rules).join(', ')}`;
    for (const [key, inner] of Object.entries(value)) {
      const rule = Object.hasOwn(rules, key) ? rules[key] : undefined;
      if (rule === undefined) return `an object without the unknown key "${key}"${nearest(key, Object.keys(rules))}`;
      if (inner === undefined) continue;
      const wrong = rule(inner);
      if (wrong !== undefined) return `an object whose ${key} is ${wrong}; got ${shown(inner)}`;
    }
    return undefined;
  };
}

/** How a value is shown in a message: short, and never with a getter run. @internal */
export function shown(value: unknown): string {
  if (typeof value === 'string') return value.length > 40 ? `"${value.slice(0, 40)}…"` : `"${value}"`;
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'symbol') return 'a symbol';
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}

/**
 * Checks `options` against `rules` and returns a copy, or `{}` for undefined. An undefined value counts as left out. Every
 * value is read once, so that what was checked is what is used, whatever getters say; inherited options count.
 * Throws ERR_RINGWHEEL_INVALID_OPTION that names the value, the allowed range and, for a typo, the nearest known key. @internal
 */
export function checked<T extends object>(where: string, options: T | undefined, rules: Record<string, Rule>): T {
  const known: Record<string, unknown> = {};
  if (options === undefined) return known as T;
  if (typeof options !== 'object' || options === null) {
    throw ourError(
      'ERR_RINGWHEEL_INVALID_OPTION',
      `${where}: options must be an object; got ${shown(options)}`,
      checked,
    );
  }
  for (const key of Object.keys(options)) {
    if (Object.hasOwn(rules, key)) continue;
    const names = Object.keys(rules);
    throw ourError(
      'ERR_RINGWHEEL_INVALID_OPTION',
      `${where}: unknown option "${key}"${nearest(key, names)}. Known options: ${names.join(', ')}`,
      checked,
    );
  }
  for (const [key, rule] of Object.entries(rules)) {
    const value = ownCopy((options as Record<string, unknown>)[key]);
    if (value === undefined) continue;
    const wrong = rule(value);
    if (wrong !== undefined) {
      throw ourError('ERR_RINGWHEEL_INVALID_OPTION', `${where}: ${key} must be ${wrong}; got ${shown(value)}`, checked);
    }
    known[key] = value;
  }
  return known as T;
}

/** A list or a group of options as it is now. */
function ownCopy(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || isSignal(value)) return value;
  return Array.isArray(value) ? [...value] : { ...value };
}

function nearest(key: string, known: readonly string[]): string {
  let best = '';
  let bestDistance = 4; // Farther than three edits is no typo.
  for (const name of known) {
    const distance = editDistance(key.toLowerCase(), name.toLowerCase());
    if (distance < bestDistance) {
      best = name;
      bestDistance = distance;
    }
  }
  return best === '' ? '' : ` (did you mean "${best}"?)`;
}

function editDistance(one: string, other: string): number {
  if (Math.abs(one.length - other.length) > 4) return 5;
  let previous = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let row = 1; row <= one.length; row++) {
    const current = [row];
    for (let column = 1; column <= other.length; column++) {
      const change = one[row - 1] === other[column - 1] ? 0 : 1;
      current[column] = Math.min(
        (previous[column] as number) + 1,
        (current[column - 1] as number) + 1,
        (previous[column - 1] as number) + change,
      );
    }
    previous = current;
  }
  return previous[other.length] as number;
}
