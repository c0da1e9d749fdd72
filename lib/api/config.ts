// What a configuration file of `ringwheel serve` may say: the options of FileServer.start and one of the command line.
import { type FileServerOptions, SERVER_RULES } from './server-options.js';
import { oneOf, type Rule } from './validate.js';

/**
 * What `ringwheel.config.{ts,js,json}` may say. Paths are taken from the directory that the file is in; flags of the command line go
 * before it.
 */
export interface ServeConfig extends Omit<FileServerOptions, 'root'> {
  /** The directory to serve, or up to 16 of them. Default: the one that the file is in. */
  root?: string | readonly string[];
  /** How the lines look that tell of starts, reloads and ends. Default: for a person (`pretty`) on a terminal, else `json` in pino's shape. */
  log?: 'pretty' | 'json';
}

/** A configuration, or a function that makes one. */
export type ServeConfigSource = ServeConfig | (() => ServeConfig | Promise<ServeConfig>);

/** @internal */
export const CONFIG_RULES: Record<string, Rule> = { ...SERVER_RULES, log: oneOf('pretty', 'json') };

/**
 * Does nothing but let an editor know what a configuration file may say.
 *
 * @param config - See {@link ServeConfig}; or a function that returns one, which may be async.
 * @returns The same.
 *
 * @example
 * ```ts
 * // ringwheel.config.ts
 * import { defineConfig } from 'ringwheel';
 * export default defineConfig({ root: 'dist', port: 3000, immutable: 'hashed' });
 * ```
 */
export function defineConfig<T extends ServeConfigSource>(config: T): T {
  return config;
}
