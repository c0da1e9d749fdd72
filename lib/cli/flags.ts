// What was typed after `ringwheel serve`, and the same as a configuration says it.
import { resolve } from 'node:path';
import type { ServeConfig } from '../api/config.js';
import type { RedirectOptions, RewriteOptions } from '../api/server-options.js';
import { Failure } from './failure.js';
import type { Fields, Guarded } from './numbers.js';

/** The options of `ringwheel serve` as commander hands them over. */
export interface ServeOptions {
  readonly port?: number;
  readonly host?: string;
  readonly unix?: string;
  readonly unixMode?: number;
  readonly fd?: readonly number[] | 'systemd' | `systemd:${string}`;
  readonly cores?: number;
  readonly cpus?: readonly number[];
  readonly placement?: 'max-spread' | 'max-pack';
  readonly driver?: 'auto' | 'uring' | 'poll';
  readonly index?: readonly string[];
  readonly extensions?: readonly string[];
  readonly cleanUrls?: true;
  readonly trailingSlash?: boolean;
  readonly single?: true | string;
  readonly ignores?: readonly string[];
  readonly redirects?: readonly RedirectOptions[];
  readonly rewrites?: readonly RewriteOptions[];
  readonly errorPages?: Readonly<Record<string, string>>;
  readonly listing?: true;
  readonly dotfiles?: 'deny' | 'allow' | 'ignore';
  readonly symlinks?: 'inside' | 'deny' | 'follow';
  readonly etag?: 'time' | 'inode' | 'content' | 'off';
  readonly maxAge?: number;
  readonly cacheControl?: string;
  readonly immutable?: true | 'hashed';
  readonly header?: Fields;
  readonly download?: Readonly<Record<string, string>>;
  readonly mime?: Readonly<Record<string, string>>;
  readonly brotli?: boolean;
  readonly zstd?: boolean;
  readonly gzip?: boolean;
  readonly compress?: true | Readonly<Record<string, number | false>>;
  readonly cors?: true | { readonly origins: readonly string[] };
  readonly corsHeaders?: readonly string[];
  readonly corsExposed?: readonly string[];
  readonly corsCredentials?: true;
  readonly corsMaxAge?: number;
  readonly securityHeaders?: true;
  readonly mount?: Readonly<Record<string, string>>;
  /** True is commander's default of a `--no-` option: the server's own. */
  readonly serverHeader: boolean | string;
  readonly proxyProtocol?: true;
  readonly trustProxy?: readonly string[];
  readonly tlsCert?: readonly string[];
  readonly tlsKey?: readonly string[];
  readonly basicAuth?: readonly Guarded[];
  readonly basicAuthRealm?: string;
  readonly accessLog?: true | string;
  readonly accessLogFormat?: 'common' | 'combined' | 'json';
  readonly accessLogBuffer?: number;
  readonly tlsReload?: number;
  readonly cache?: Readonly<Record<string, number>>;
  readonly limit?: Readonly<Record<string, number>>;
  readonly admin?: { readonly host?: string; readonly port: number };
  readonly drain?: number;
  readonly log?: 'pretty' | 'json';
  readonly json?: true;
  /** A configuration file; false for none. */
  readonly config?: string | false;
  readonly check?: true;
}

/** The flags that were given, as options; most names are the same there. Which values are allowed FileServer knows. */
export function flagged(directories: readonly string[], options: ServeOptions): ServeConfig {
  if (directories.includes(''))
    throw new Failure('the directory is an empty string: name one, or none for the current one', 2);
  const {
    unix,
    unixMode,
    tlsCert = [],
    tlsKey = [],
    basicAuth,
    basicAuthRealm,
    accessLog,
    accessLogFormat,
    accessLogBuffer,
    cors,
    corsHeaders,
    corsExposed,
    corsCredentials,
    corsMaxAge,
    tlsReload,
    cores,
    cpus,
    etag,
    serverHeader,
    limit,
    header,
    mount,
    drain,
    json: _,
    config: __,
    check: ___,
    ...same
  } = options;
  if (unixMode !== undefined && unix === undefined) throw new Failure('--unix-mode needs --unix', 2);
  if (tlsCert.length !== tlsKey.length) throw new Failure('each --tls-cert needs its --tls-key, in the same order', 2);
  if (basicAuthRealm !== undefined && basicAuth === undefined) {
    throw new Failure('--basic-auth-realm needs --basic-auth', 2);
  }
  const corsDetails = someOf({
    headers: corsHeaders,
    exposed: corsExposed,
    credentials: corsCredentials,
    maxAge: corsMaxAge,
  });
  // By itself it would let everybody in, whoever the configuration file names.
  if (corsDetails !== undefined && cors === undefined) {
    throw new Failure('--cors-headers, --cors-exposed, --cors-credentials and --cors-max-age need --cors', 2);
  }
  const logDetails = someOf({ format: accessLogFormat, bufferBytes: accessLogBuffer });
  const roots = directories.map((directory) => resolve(directory));
  const tls = tlsCert.map((cert, index) => ({ cert, key: tlsKey[index] as string }));
  const given = {
    ...same,
    tls: tls.length > 0 ? tls : undefined,
    basicAuth: basicAuth?.map(({ path, file }) => ({
      ...(path === undefined ? {} : { paths: [path] }),
      ...(basicAuthRealm === undefined ? {} : { realm: basicAuthRealm }),
      file: resolve(file),
    })),
    accessLog:
      logDetails === undefined
        ? accessLog
        : { ...logDetails, ...(typeof accessLog === 'string' ? { file: resolve(accessLog) } : {}) },
    cors: corsDetails === undefined ? cors : { ...(typeof cors === 'object' ? cors : {}), ...corsDetails },
    tlsReloadMs: tlsReload,
    unix: unix !== undefined && unixMode !== undefined ? { path: unix, mode: unixMode } : unix,
    root: roots.length > 1 ? roots : roots[0],
    cores: cpus ?? cores,
    etag: etag === 'off' ? false : etag,
    serverHeader: serverHeader === true ? undefined : serverHeader,
    limits: limit,
    headers: header,
    mounts: mount,
    drainMs: drain,
  };
  return (someOf(given) ?? {}) as ServeConfig;
}

/** What was given of it; undefined when nothing was. */
function someOf(given: object): object | undefined {
  const entries = Object.entries(given).filter(([, value]) => value !== undefined);
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}
