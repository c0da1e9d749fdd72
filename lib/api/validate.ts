// Checks an options object once: unknown keys (naming the nearest known one), kinds and ranges.
import { resolve } from 'node:path';
import { isSignal } from './abort.js';
import { ourError, quoted } from './errors.js';

/** What an option's value must be, and the whole sentence when it is not: "NAME must be RANGE; got VALUE". @internal */
export interface Rule {
  /** The end of "NAME must be …". */
  readonly range: string;
  /** What is wrong with the value of the option `name`, or undefined when it is fine. */
  wrong(value: unknown, name: string): string | undefined;
  /** Whether this rule, and no other, is meant for such a value: its sentence is then the one to say. */
  isMeantFor?(value: unknown): boolean;
  /** The same as JSON Schema (draft 7); none for what JSON cannot say. */
  readonly schema?: Schema;
  /** The value with the relative paths in it taken from `directory`; only where there can be one. */
  within?(value: unknown, directory: string): unknown;
}

/** A JSON Schema. @internal */
export type Schema = { readonly [keyword: string]: unknown };

/** A rule of one sentence. @internal */
export function rule(range: string, fits: (value: unknown) => boolean, schema?: Schema): Rule {
  const wrong = (value: unknown, name: string) => (fits(value) ? undefined : mustBe(name, range, value));
  return schema === undefined ? { range, wrong } : { range, wrong, schema };
}

function mustBe(name: string, range: string, value: unknown): string {
  return `${name} must be ${range}; got ${shown(value)}`;
}

function isWhole(value: unknown, minimum: number, maximum: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= minimum && (value as number) <= maximum;
}

/** A whole number from `minimum to maximum`. @internal */
export function whole(minimum: number, maximum: number): Rule {
  return rule(`a whole number from ${minimum} to ${maximum}`, (value) => isWhole(value, minimum, maximum), {
    type: 'integer',
    minimum,
    maximum,
  });
}

/** A number from `minimum to maximum`. @internal */
export function between(minimum: number, maximum: number): Rule {
  return rule(
    `a number from ${minimum} to ${maximum}`,
    (value) => typeof value === 'number' && value >= minimum && value <= maximum,
  );
}

/** A power of two from `minimum to maximum`. @internal */
export function powerOfTwo(minimum: number, maximum: number): Rule {
  return rule(
    `a power of two from ${minimum} to ${maximum}`,
    (value) => isWhole(value, minimum, maximum) && Number.isInteger(Math.log2(value)),
  );
}

/** A multiple of `step` from `minimum to maximum`. @internal */
export function multipleOf(step: number, minimum: number, maximum: number): Rule {
  return rule(
    `a multiple of ${step} from ${minimum} to ${maximum}`,
    (value) => isWhole(value, minimum, maximum) && value % step === 0,
  );
}

/** One of a closed list of strings. @internal */
export function oneOf(...allowed: readonly string[]): Rule {
  const list = allowed.map(quoted).join(', ');
  return rule(`one of ${list}`, (value) => allowed.includes(value as string), { enum: allowed });
}

/** One of a closed list of numbers. @internal */
export function oneOfNumbers(...allowed: readonly number[]): Rule {
  const range = `one of ${allowed.join(', ')}`;
  return rule(range, (value) => allowed.includes(value as number), { enum: allowed });
}

/** True or false. @internal */
export const truth: Rule = rule('true or false', (value) => typeof value === 'boolean', { type: 'boolean' });

/** A string that is not empty and has no NUL. @internal */
export const text: Rule = rule(
  'a string, not empty and without NUL',
  (value) => typeof value === 'string' && value !== '' && !value.includes('\0'),
  { type: 'string', minLength: 1, pattern: '^[^\\u0000]*$' },
);

/** The path of a file or directory. @internal */
export const path: Rule = { ...text, within: (value, directory) => resolve(directory, value as string) };

/** Such a string of at most `longest` characters. @internal */
export function shortText(longest: number): Rule {
  return rule(
    `a string of 1 to ${longest} characters, without NUL`,
    (value) => text.wrong(value, '') === undefined && (value as string).length <= longest,
  );
}

/** An AbortSignal: a true one, not an object that only looks like it and would fail when it is listened to. @internal */
export const abortSignal: Rule = rule('an AbortSignal', isSignal);

/** `false`, for an option that can be switched off. @internal */
export const off: Rule = rule('false', (value) => value === false, { const: false });

/** `null`, for what takes something away. @internal */
export const nothing: Rule = rule('null', (value) => value === null, { type: 'null' });

/** Either rule holds. @internal */
export function either(one: Rule, other: Rule): Rule {
  const range = `${one.range}, or ${other.range}`;
  const both = [one, other];
  return {
    range,
    isMeantFor: (value) => both.some((each) => each.isMeantFor?.(value) === true),
    schema: { anyOf: both.map((each) => each.schema) },
    within: (value, directory) =>
      both.find((each) => each.wrong(value, '') === undefined)?.within?.(value, directory) ?? value,
    wrong(value, name) {
      if (both.some((each) => each.wrong(value, name) === undefined)) return undefined;
      const meant = both.find((each) => each.isMeantFor?.(value));
      return meant === undefined ? mustBe(name, range, value) : meant.wrong(value, name);
    },
  };
}

/** An array of at most `longest` entries, each as `entries` says. @internal */
export function listOf(entries: Rule, longest: number): Rule {
  const range = `an array of at most ${longest} entries`;
  return {
    range,
    isMeantFor: Array.isArray,
    schema: { type: 'array', maxItems: longest, items: entries.schema },
    within: (value, directory) => (value as unknown[]).map((entry) => entries.within?.(entry, directory) ?? entry),
    wrong(value, name) {
      if (!Array.isArray(value)) return mustBe(name, range, value);
      if (value.length > longest) return `${name} must be ${range}; got ${value.length}`;
      for (const [index, entry] of value.entries()) {
        const wrong = entries.wrong(entry, `${name}[${index}]`);
        if (wrong !== undefined) return wrong;
      }
      return undefined;
    },
  };
}

function isGroup(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isSignal(value);
}

/** What is meant by an option that is none here, in other words than a like name; undefined leaves it to that. @internal */
export type Meant = (key: string) => string | undefined;

/** An object with the keys of `rules`, of which those of `required` must be there. @internal */
export function shape(rules: Record<string, Rule>, required: readonly string[] = [], meant?: Meant): Rule {
  const known = Object.keys(rules);
  const range = `an object with ${known.join(', ')}`;
  return {
    range,
    isMeantFor: isGroup,
    schema: groupSchema(rules, required),
    within: (value, directory) => pathsWithin(value as object, directory, rules),
    wrong(value, name) {
      if (!isGroup(value)) return mustBe(name, range, value);
      for (const [key, inner] of Object.entries(value)) {
        if (!Object.hasOwn(rules, key)) return unknownOption(key, known, `${name}.`, meant);
        const wrong = inner === undefined ? undefined : rules[key]?.wrong(inner, `${name}.${key}`);
        if (wrong !== undefined) return wrong;
      }
      const missing = required.find((key) => (value as Record<string, unknown>)[key] === undefined);
      return missing === undefined ? undefined : rules[missing]?.wrong(undefined, `${name}.${missing}`);
    },
  };
}

/** The schema of an object with the keys of `rules`. @internal */
export function groupSchema(rules: Record<string, Rule>, required: readonly string[] = []): Schema {
  const known = Object.entries(rules).flatMap(([key, { schema }]) => (schema === undefined ? [] : [[key, schema]]));
  return {
    type: 'object',
    properties: Object.fromEntries(known),
    ...(required.length === 0 ? {} : { required }),
    additionalProperties: false,
  };
}

/** A copy of checked options with every relative path taken from `directory`. @internal */
export function pathsWithin<T extends object>(options: T, directory: string, rules: Record<string, Rule>): T {
  const entries = Object.entries(options).map(([key, value]) => [
    key,
    value === undefined ? value : (rules[key]?.within?.(value, directory) ?? value),
  ]);
  return Object.fromEntries(entries) as T;
}

/** An object of at most `longest` keys of the program's own, each of `keys`, with a value of `values`. @internal */
export function mapOf(keys: Rule, values: Rule, longest: number): Rule {
  const range = `an object of at most ${longest} keys`;
  return {
    range,
    isMeantFor: isGroup,
    schema: { type: 'object', maxProperties: longest, propertyNames: keys.schema, additionalProperties: values.schema },
    within: (value, directory) =>
      Object.fromEntries(
        Object.entries(value as object).map(([key, inner]) => [key, values.within?.(inner, directory) ?? inner]),
      ),
    wrong(value, name) {
      if (!isGroup(value)) return mustBe(name, range, value);
      const entries = Object.entries(value);
      if (entries.length > longest) return `${name} must be ${range}; got ${entries.length}`;
      for (const [key, inner] of entries) {
        const wrong = keys.wrong(key, `a key of ${name}`) ?? values.wrong(inner, `${name}[${shown(key)}]`);
        if (wrong !== undefined) return wrong;
      }
      return undefined;
    },
  };
}

function unknownOption(key: string, known: readonly string[], group = '', meant?: Meant): string {
  const name = shown(group + key);
  const said = meant?.(key);
  const hint = said === undefined ? nearest(key, known, group) : ` (${said})`;
  return `unknown option ${name}${hint}. Known options: ${known.map((each) => group + each).join(', ')}`;
}

/** How a value is shown in a message: short, and never with a getter run. @internal */
export function shown(value: unknown): string {
  if (typeof value === 'string') return quoted(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'symbol') return 'a symbol';
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}

/**
 * Checks `options` against `rules` and returns a copy, or `{}` for undefined. An undefined value counts as left out. Every
 * value is read once, so that what was checked is what is used, whatever getters say; inherited options count.
 * Throws ERR_RINGWHEEL_INVALID_OPTION that names the value, the allowed range and, for a typo, the nearest known key, or what `meant`
 * makes of it. @internal
 */
export function checked<T extends object>(
  where: string,
  options: T | undefined,
  rules: Record<string, Rule>,
  meant?: Meant,
): T {
  // Of what nobody gave, nothing is inherited either: what a program put on Object.prototype is checked by no rule.
  if (options === undefined) return Object.create(null) as T;
  const known: Record<string, unknown> = {};
  const refuse = (sentence: string) => ourError('ERR_RINGWHEEL_INVALID_OPTION', `${where}: ${sentence}`, checked);
  if (typeof options !== 'object' || options === null) throw refuse(mustBe('options', 'an object', options));
  const names = Object.keys(rules);
  for (const key of Object.keys(options)) {
    if (!Object.hasOwn(rules, key)) throw refuse(unknownOption(key, names, '', meant));
  }
  for (const [key, rule] of Object.entries(rules)) {
    const value = ownCopy((options as Record<string, unknown>)[key]);
    if (value === undefined) continue;
    const wrong = rule.wrong(value, key);
    if (wrong !== undefined) throw refuse(wrong);
    known[key] = value;
  }
  return known as T;
}

/** A list or a group of options as it is now. */
function ownCopy(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || value instanceof URL || isSignal(value)) return value;
  return Array.isArray(value) ? [...value] : { ...value };
}

function nearest(key: string, known: readonly string[], group: string): string {
  let best = '';
  let bestDistance = Math.min(4, Math.ceil((key.length + 1) / 2)); // Farther than three edits, or half of a short word, is no typo.
  for (const name of known) {
    const distance = editDistance(key.toLowerCase(), name.toLowerCase());
    if (distance < bestDistance) {
      best = name;
      bestDistance = distance;
    }
  }
  return best === '' ? '' : ` (did you mean ${quoted(group + best)}?)`;
}

function editDistance(one: string, other: string): number {
  if (Math.abs(one.length - other.length) > 4) return 5;
  let older: number[] = [];
  let previous = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let row = 1; row <= one.length; row++) {
    const current = [row];
    for (let column = 1; column <= other.length; column++) {
      const change = one[row - 1] === other[column - 1] ? 0 : 1;
      // Two letters that changed their places are one mistake.
      const turned = row > 1 && column > 1 && one[row - 1] === other[column - 2] && one[row - 2] === other[column - 1];
      current[column] = Math.min(
        (previous[column] as number) + 1,
        (current[column - 1] as number) + 1,
        (previous[column - 1] as number) + change,
        turned ? (older[column - 2] as number) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    older = previous;
    previous = current;
  }
  return previous[other.length] as number;
}
