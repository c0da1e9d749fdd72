// Sockets that a service manager passed on: sd_listen_fds(3), read from the environment.
import { ourError, quoted } from './errors.js';

/** The first descriptor that is passed on (SD_LISTEN_FDS_START). */
const FIRST = 3;

/** What the service manager says, and about whom. */
export interface Passed {
  readonly pid: number;
  readonly env: NodeJS.ProcessEnv;
}

/**
 * The descriptors that were passed on to this process, or those of them with a name.
 *
 * @throws ERR_RINGWHEEL_INVALID_OPTION when there are none; the message says why.
 * @internal
 */
export function passedOn(where: string, name: string | undefined, { pid, env }: Passed = process): number[] {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = env;
  if (LISTEN_FDS === undefined || LISTEN_PID === undefined) {
    throw none(where, 'LISTEN_FDS and LISTEN_PID are not set: start it by a socket unit');
  }
  if (LISTEN_PID !== String(pid)) {
    throw none(
      where,
      `LISTEN_PID is ${quoted(LISTEN_PID)}, not this process (${pid}): the unit must start node itself, without a shell or npm`,
    );
  }
  const count = /^\d{1,4}$/.test(LISTEN_FDS) ? Number(LISTEN_FDS) : 0;
  if (count < 1 || count > 1024)
    throw none(where, `LISTEN_FDS is ${quoted(LISTEN_FDS)}; it must be a number from 1 to 1024`);
  const all = Array.from({ length: count }, (_, index) => FIRST + index);
  if (name === undefined) return all;
  const names = (LISTEN_FDNAMES ?? '').split(':');
  const named = all.filter((_, index) => names[index] === name);
  if (named.length > 0) return named;
  throw none(
    where,
    `none is named ${quoted(name)}; LISTEN_FDNAMES is ${quoted(LISTEN_FDNAMES ?? '')}: see FileDescriptorName= of the socket unit`,
  );
}

function none(where: string, why: string): Error {
  return ourError('ERR_RINGWHEEL_INVALID_OPTION', `${where}: fd asks for sockets of a service manager, but ${why}`);
}
