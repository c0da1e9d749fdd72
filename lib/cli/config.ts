// The configuration file of `ringwheel serve`: found, read, checked, and put under what the command line says.
import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { isModuleNamespaceObject } from 'node:util/types';
import { CONFIG_RULES, type ServeConfig } from '../api/config.js';
import { quoted } from '../api/errors.js';
import { saidElsewhere } from '../api/server-options.js';
import { checked, pathsWithin } from '../api/validate.js';
import { Failure } from './failure.js';

/** What a directory may have, one of them. */
const NAMES = ['ts', 'mts', 'cts', 'js', 'mjs', 'cjs', 'json'].map((extension) => `ringwheel.config.${extension}`);

/** A configuration that was read. */
export interface Loaded {
  /** The file, as short as it can be said. */
  readonly file: string;
  readonly config: ServeConfig;
}

/**
 * Reads and checks a configuration.
 * @param named the file; undefined looks into the current directory, false does not look
 * @throws Failure that names the file, the option and what helps
 */
export async function loadConfig(named: string | false | undefined): Promise<Loaded | undefined> {
  const path = named === undefined ? await find() : named === false ? undefined : resolve(named);
  if (path === undefined) return undefined;
  const file = relative('.', path).startsWith('..') ? path : relative('.', path);
  await demandFile(path, file);
  const config = path.endsWith('.json') ? await readJson(path, file) : await run(path, file);
  if (typeof config !== 'object' || config === null || Array.isArray(config)) {
    throw new Failure(
      `${file}: no configuration: it has to be an object${path.endsWith('.json') ? '' : ', or a function that returns one, exported as default'}`,
      2,
    );
  }
  let known: ServeConfig;
  try {
    known = checked<ServeConfig>(file, config, CONFIG_RULES, saidElsewhere);
  } catch (error) {
    throw new Failure((error as Error).message, 2);
  }
  const { root = '.', ...others } = known;
  return { file, config: pathsWithin({ root, ...others }, dirname(path), CONFIG_RULES) };
}

async function find(): Promise<string | undefined> {
  const entries = new Set(await readdir('.').catch(() => []));
  const found = NAMES.filter((name) => entries.has(name));
  if (found.length > 1) {
    throw new Failure(`${found.join(' and ')} are both here: remove one, or name one with --config FILE`, 2);
  }
  return found[0] === undefined ? undefined : resolve(found[0]);
}

/** What is not a file is not waited for: a FIFO without a writer never ends. */
async function demandFile(path: string, file: string): Promise<void> {
  const found = await stat(path).catch((error) => {
    throw unreadable(file, error);
  });
  if (!found.isFile()) throw unreadable(file, new Error('it is no regular file'));
}

async function readJson(path: string, file: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw unreadable(file, error);
  }
  try {
    return JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    throw new Failure(`${file}: no JSON: ${placed((error as Error).message, text)}`, 2);
  }
}

/** Node 20 says at which position something is wrong; a person wants line and column, as later ones say. */
function placed(message: string, text: string): string {
  return message.replace(/ in JSON at position (\d+)(?: \(line.*\))?/, (_, position: string) => {
    const before = text.slice(0, Number(position)).split('\n');
    return ` at line ${before.length} column ${(before.at(-1) as string).length + 1}`;
  });
}

/** TypeScript and JavaScript, by jiti: on every Node, and `ringwheel` is this one, wherever it is installed. */
async function run(path: string, file: string): Promise<unknown> {
  await readFile(path).catch((error) => {
    throw unreadable(file, error);
  });
  const { createJiti } = await import('jiti');
  const package_ = join(__dirname, '../..');
  const jiti = createJiti(path, {
    fsCache: false,
    interopDefault: false,
    alias: { ringwheel: join(package_, 'index.js') },
  });
  const before = new Set(Object.keys(require.cache));
  try {
    return await settled(file, async () => {
      const module = await jiti.import<{ default?: unknown; __esModule?: boolean }>(path);
      const found =
        'default' in module || isModuleNamespaceObject(module) || module.__esModule ? module.default : module;
      return typeof found === 'function' ? await found() : found;
    });
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(`${file}: ${error instanceof Error ? error.message : String(error)}`, 2);
  } finally {
    // What the file is made of is run again when it is read again; packages are not.
    for (const path of Object.keys(require.cache)) {
      const own = !path.startsWith(package_) && !path.includes('/node_modules/');
      if (own && !before.has(path)) delete require.cache[path];
    }
  }
}

/** What `work` gives; a promise that nothing is left to settle would end the process without a word. */
async function settled<T>(file: string, work: () => Promise<T>): Promise<T> {
  let idle = () => {};
  const never = new Promise<never>((_, reject) => {
    idle = () => reject(new Failure(`${file}: a promise in it never settles`, 2));
  });
  process.once('beforeExit', idle);
  try {
    return await Promise.race([work(), never]);
  } finally {
    process.removeListener('beforeExit', idle);
  }
}

function unreadable(file: string, error: unknown): Failure {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT')
    return new Failure(`there is no configuration ${quoted(file)}: check --config, or create it`, 2);
  return new Failure(`the configuration ${quoted(file)} cannot be read: ${message}`, 2);
}

/** Options with keys of their own, of which the command line's go over the file's one by one. */
export const MERGED: ReadonlySet<string> = new Set(['cache', 'limits', 'headers', 'mounts', 'mime']);
/** The file's options with those of the command line over them. */
export function merged(config: ServeConfig, flags: ServeConfig): ServeConfig {
  const result: Record<string, unknown> = { ...config };
  // What cannot be beside a flag gives way to it.
  if (flags.maxAge !== undefined) delete result.cacheControl;
  if (flags.cacheControl !== undefined) delete result.maxAge;
  if (flags.placement !== undefined && Array.isArray(result.cores)) delete result.cores;
  if (Array.isArray(flags.cores)) delete result.placement;
  const tcp = flags.host !== undefined || flags.port !== undefined;
  if (tcp || flags.unix !== undefined || flags.fd !== undefined) {
    for (const key of tcp ? ['unix', 'fd'] : ['host', 'port', 'unix', 'fd']) delete result[key];
  }
  for (const [key, value] of Object.entries(flags)) {
    result[key] = MERGED.has(key) ? { ...(result[key] as object), ...(value as object) } : value;
  }
  return result;
}
