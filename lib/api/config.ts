// What a configuration file of `ringwheel serve` may say: the options of FileServer.start and three of the command line.
import { type FileServerOptions, SERVER_RULES } from './server-options.js';
import { oneOf, type Rule, text, whole } from './validate.js';

/**
 * What `ringwheel.config.{ts,js,json}` may say. Paths are taken from the directory that the file is in; flags of the command line go
 * before it.
 */
export interface ServeConfig extends Omit<FileServerOptions, 'root'> {
  /** Where the JSON schema is, for editors; not read. */
  $schema?: string;
  /** The directory to serve, or up to 16 of them. Default: the one that the file is in. */
  root?: string | readonly string[];
  /** Pins each core by topology, as far apart as `cores` of them can be (`max-spread`) or close together. Default: none, as `cores` says. */
  placement?: 'max-spread' | 'max-pack';
  /** Milliseconds that a stop waits for answers being sent, from 0 to 3600000. Default 10000. */
  drainMs?: number;
  /** How the lines look that tell of starts, reloads and ends. Default: for a person (`pretty`) on a terminal, else `json` in pino's shape. */
  log?: 'pretty' | 'json';
}

/** A configuration, or a function that makes one. */
export type ServeConfigSource = ServeConfig | (() => ServeConfig | Promise<ServeConfig>);

/** @internal */
export const CONFIG_RULES: Record<string, Rule> = {
  $schema: text,
  ...SERVER_RULES,
  placement: oneOf('max-spread', 'max-pack'),
  drainMs: whole(0, 3_600_000),
  log: oneOf('pretty', 'json'),
};

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
