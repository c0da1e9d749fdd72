// What crates/fileserver says of options and places that it cannot serve, as errors of the API.
import { ourError, systemError } from './errors.js';
import type { FileServerOptions } from './server-options.js';

/** What crates/node says of a start that failed. */
interface NotStarted {
  code: string;
  errno: number | null;
  path: string | null;
  message: string;
}

/** Where the system said no it is a system error, of Node's shape, with the native side's sentence, which has the remedy. @internal */
export function startError(error: unknown, options: Partial<FileServerOptions>, where: string): unknown {
  if (!(error instanceof Error) || !error.message.startsWith('{')) return error;
  const { code, errno, path, message } = JSON.parse(error.message) as NotStarted;
  const listening = code === 'ERR_RINGWHEEL_LISTEN';
  if (errno !== null && (listening || code === 'ERR_RINGWHEEL_ROOT')) {
    const system = systemError(-errno, listening ? 'listen' : 'open', path ?? undefined);
    system.message = `${system.code}: ${message}`;
    if (listening && options.unix === undefined && options.fd === undefined) {
      Object.assign(system, { address: options.host ?? '127.0.0.1', port: options.port ?? 8080 });
    }
    return system;
  }
  if (code === 'ERR_RINGWHEEL_INVALID_OPTION') return ourError(code, `${where}: ${inOurNames(message)}`);
  if (code === 'ERR_RINGWHEEL_CLOSED') return ourError(code, `${where}: ${message}`);
  return ourError('ERR_RINGWHEEL_SERVER', `${where}: ${message}`);
}

/** What crates/fileserver calls otherwise. */
const OUR_NAMES: Readonly<Record<string, string>> = { server: 'serverHeader', roots: 'root', fds: 'fd' };

/** The native side speaks of `option limits.uri_bytes`; here it is `limits.uriBytes`. */
function inOurNames(message: string): string {
  return message.replace(/^option ([\w.[\]]+)/, (_, name: string) =>
    name
      .replace(/_([a-z])/g, (__, letter: string) => letter.toUpperCase())
      .replace(/\w+$/, (last) => OUR_NAMES[last] ?? last),
  );
}
