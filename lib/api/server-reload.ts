// What a reload of a file server may change, and what it may not.
import { isDeepStrictEqual } from 'node:util';
import { ourError } from './errors.js';
import { ADMIN_HOST, type FileServerOptions } from './server-options.js';

const PLACE = ['host', 'port', 'unix', 'fd'] as const;

/** What stays as it was at the start. @internal */
export const SETTLED = [...PLACE, 'accessLog', 'cores', 'driver', 'admin'] as const;

/**
 * The options of a server after a reload: the new ones, with what is settled by the start where they say nothing of it. What differs there
 * crates/fileserver refuses, but for the admin listener, which it does not know.
 *
 * @internal
 */
export function afterReload(running: FileServerOptions, wanted: FileServerOptions, port: number): FileServerOptions {
  // A port that is left out beside a host is kept, one beside a Unix socket is none.
  const elsewhere = wanted.unix !== undefined || wanted.fd !== undefined;
  const silent = PLACE.every((key) => wanted[key] === undefined);
  const kept = SETTLED.slice(elsewhere ? PLACE.length : 0).filter((key) => silent || (key !== 'unix' && key !== 'fd'));
  const after: Record<string, unknown> = { ...wanted };
  for (const key of kept) after[key] ??= running[key];
  // The port that the system chose is the one that was asked for with 0.
  if (running.port === 0 && after.port === port) after.port = 0;
  if (!isDeepStrictEqual(adminOf(after), adminOf(running))) {
    const had = running.admin === undefined ? 'it has none' : `it has ${JSON.stringify(running.admin)}`;
    throw ourError(
      'ERR_RINGWHEEL_INVALID_OPTION',
      `server.reload: admin cannot change while the server runs, and ${had}; start it anew to change this`,
    );
  }
  return after as unknown as FileServerOptions;
}

function adminOf({ admin }: { admin?: unknown }): object | undefined {
  return admin === undefined ? undefined : { host: ADMIN_HOST, ...(admin as object) };
}
