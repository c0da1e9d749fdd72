// The options of a file server in the names and shapes of crates/fileserver, and back.
import { ourError } from './errors.js';
import { driverOf } from './executor.js';
import { passedOn } from './inherited.js';
import type { FileServerOptions, SiteOptions } from './server-options.js';

/** The options, whose paths are absolute, as crates/fileserver reads them. What is left out has its default. @internal */
export function nativeOptions(options: FileServerOptions, where: string): string {
  const {
    host,
    port,
    unix,
    fd,
    cores,
    serverHeader,
    proxyProtocol,
    trustProxy,
    tls,
    accessLog,
    cache,
    limits,
    sites,
    admin: _,
    tlsReloadMs: __,
    placement: ___,
    drainMs: ____,
    $schema: _____,
    ...site
  } = options;
  const places = [host ?? port, unix, fd].filter((each) => each !== undefined);
  if (places.length > 1) {
    throw ourError(
      'ERR_RINGWHEEL_INVALID_OPTION',
      `${where}: host and port, unix, and fd are three places to listen on: name one`,
    );
  }
  return JSON.stringify({
    host,
    port,
    unix: typeof unix === 'string' ? { path: unix } : unix,
    fds: fd === undefined ? undefined : descriptors(fd, where),
    cores: typeof cores === 'number' ? { count: cores } : cores && { list: cores },
    server: serverHeader === false ? null : serverHeader,
    proxyProtocol,
    trustProxy,
    tls: tls && [tls].flat(),
    accessLog: accessLog === true ? {} : typeof accessLog === 'string' ? { file: accessLog } : accessLog || undefined,
    cache,
    limits,
    driver: driverOf(options),
    site: nativeSite(site),
    sites: sites?.map(nativeSite),
  });
}

function descriptors(fd: NonNullable<FileServerOptions['fd']>, where: string): readonly number[] {
  if (typeof fd === 'string') return passedOn(where, fd.includes(':') ? fd.slice(fd.indexOf(':') + 1) : undefined);
  const numbers = typeof fd === 'number' ? [fd] : fd;
  if (numbers.length > 0) return numbers;
  throw ourError('ERR_RINGWHEEL_INVALID_OPTION', `${where}: fd is an empty list; name at least one descriptor`);
}

function nativeSite(site: SiteOptions & { driver?: unknown }): object {
  const {
    root,
    mounts,
    single,
    ignores,
    etag,
    immutable,
    headers,
    download,
    compress,
    cors,
    basicAuth,
    driver: _,
    ...others
  } = site;
  return {
    ...others,
    roots: [root].flat(),
    mounts: mounts && Object.entries(mounts).map(([path, each]) => ({ path, root: each })),
    single: single === true ? 'index.html' : single === false ? undefined : single,
    ignores: ignores === false ? null : ignores,
    etag: etag === false ? 'off' : etag === true ? 'time' : etag,
    immutable: immutable === true ? 'all' : immutable || undefined,
    download: download && nativeDownload(download),
    compress: nativeCompress(compress),
    basicAuth: basicAuth && [basicAuth].flat(),
    cors: cors === true ? {} : cors || undefined,
    headers:
      headers && Object.entries(headers).map(([pattern, fields]) => ({ pattern, fields: Object.entries(fields) })),
  };
}

/** The way back of {@link nativeOptions}, of options that have all their defaults. @internal */
export function ourOptions(native: Record<string, unknown>): FileServerOptions {
  const { cores, server, site, sites, host, port, unix, fds, tls, accessLog, ...others } = native;
  const fd = (fds as number[]).length > 0 ? fds : undefined;
  const known = {
    ...(unix === null && fd === undefined ? { host, port } : { unix: withoutNull(unix), fd }),
    tls: (tls as object[]).length > 0 ? tls : undefined,
    accessLog: withoutNull(accessLog) ?? false,
    ...ourSite(site as Record<string, unknown>),
    ...others,
    cores: typeof cores === 'string' ? undefined : Object.values(cores as object)[0],
    serverHeader: server ?? false,
    sites: (sites as Record<string, unknown>[]).map(ourSite),
  };
  return JSON.parse(JSON.stringify(known));
}

/** Rust's `None` is JSON's null; here it is no key. */
function withoutNull(group: unknown): object | undefined {
  return group === null
    ? undefined
    : Object.fromEntries(Object.entries(group as object).filter(([, value]) => value !== null));
}

function ourSite(native: Record<string, unknown>): Record<string, unknown> {
  const {
    hosts,
    roots,
    mounts,
    single,
    ignores,
    etag,
    immutable,
    headers,
    maxAge,
    cacheControl,
    compress,
    cors,
    basicAuth,
    trailingSlash,
    download,
    ...others
  } = native;
  const many = (roots as string[]).length > 1;
  return {
    ...((hosts as string[]).length === 0 ? {} : { hosts }),
    root: many ? roots : (roots as string[])[0],
    mounts: Object.fromEntries((mounts as { path: string; root: string }[]).map(({ path, root }) => [path, root])),
    single: single ?? false,
    ignores: ignores ?? false,
    etag: etag === 'off' ? false : etag,
    immutable: immutable === 'all' ? true : immutable === 'off' ? false : immutable,
    headers: Object.fromEntries(
      (headers as { pattern: string; fields: [string, string | null][] }[]).map(({ pattern, fields }) => [
        pattern,
        Object.fromEntries(fields),
      ]),
    ),
    trailingSlash: trailingSlash ?? undefined,
    download: ourDownload(download as { pattern: string; name: string }[]),
    maxAge: maxAge ?? undefined,
    cacheControl: cacheControl ?? undefined,
    basicAuth: (basicAuth as object[]).map(withoutNull),
    compress: ourCompress(compress as Record<string, unknown> | null),
    cors: cors !== null && { ...(cors as object), maxAge: (cors as { maxAge: number | null }).maxAge ?? undefined },
    ...others,
  };
}

function nativeDownload(download: NonNullable<SiteOptions['download']>): object[] {
  return Array.isArray(download)
    ? download.map((pattern) => ({ pattern }))
    : Object.entries(download).map(([pattern, name]) => ({ pattern, name }));
}

function ourDownload(rules: readonly { pattern: string; name: string }[]): NonNullable<SiteOptions['download']> {
  if (rules.every(({ name }) => name === ':name')) return rules.map(({ pattern }) => pattern);
  return Object.fromEntries(rules.map(({ pattern, name }) => [pattern, name]));
}

function nativeCompress(compress: SiteOptions['compress']): object | undefined {
  if (compress === undefined || typeof compress === 'boolean') return compress ? {} : undefined;
  const orNull = (level: false | number | undefined) => (level === false ? null : level);
  return { ...compress, brotli: orNull(compress.brotli), gzip: orNull(compress.gzip) };
}

function ourCompress(native: Record<string, unknown> | null): object | false {
  return native === null ? false : { ...native, brotli: native.brotli ?? false, gzip: native.gzip ?? false };
}
