// A successor for `ringwheel serve`: the same command line once more, on the sockets of this process. Both sides are here: what is passed on, and how it is taken.
import { spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import type { FileServer, Handed } from '../api/file-server.js';
import type { FileServerOptions } from '../api/server-options.js';

/** How long a successor may take until it serves. */
const READY_MS = 30_000;
/** What says to a process that it is a successor, and to what. */
const VARIABLE = 'RINGWHEEL_HANDOVER';
/** The first descriptor that is passed on, as sd_listen_fds(3) has it. */
const FIRST = 3;

/** What of the options says where a server listens. */
interface Place {
  readonly listen: Pick<FileServerOptions, 'host' | 'port' | 'unix' | 'fd'>;
  readonly admin: FileServerOptions['admin'];
}

/** What a process tells its successor. */
interface Will extends Place {
  readonly pid: number;
  /** How many; behind them comes that of the admin listener, if there is one. */
  readonly sockets: number;
}

/** What a successor says once it serves. */
interface Answer {
  /** False when it listens elsewhere. */
  readonly takesSockets: boolean;
}

/** A process that serves in place of this one. */
export interface Successor extends Answer {
  readonly pid: number;
}

function placeOf({ host, port, unix, fd, admin }: FileServerOptions): Place {
  // As it comes out of the environment.
  return JSON.parse(JSON.stringify({ listen: { host, port, unix, fd }, admin }));
}

/** Undefined when it is not what a process like this one says. */
function willOf(text: string): Will | undefined {
  try {
    return JSON.parse(text) as Will;
  } catch {
    return undefined;
  }
}

/** What the process before this one has left, seen from its successor. */
export class Inheritance {
  readonly #will: Will;

  private constructor(will: Will) {
    this.#will = will;
  }

  /** Undefined where nobody has started this process as a successor. To be asked once, before the options are looked at. */
  static take(env: NodeJS.ProcessEnv = process.env): Inheritance | undefined {
    const text = env[VARIABLE];
    delete env[VARIABLE];
    if (text === undefined || process.send === undefined) return undefined;
    const will = willOf(text);
    // As with LISTEN_PID: who inherits the environment of one to whom it was said is not meant. One that is gone by now was the parent.
    if (will === undefined || (will.pid !== process.ppid && process.connected)) return undefined;
    if (will.listen.fd !== undefined) env.LISTEN_PID = String(process.pid);
    return new Inheritance(will);
  }

  /** What of it fits to the options: whoever listens elsewhere opens sockets of its own. */
  fitting(options: FileServerOptions): Handed {
    const { listen, admin } = placeOf(options);
    const { sockets } = this.#will;
    const mine = isDeepStrictEqual(listen, this.#will.listen);
    const admins = this.#will.admin !== undefined && isDeepStrictEqual(admin, this.#will.admin);
    return {
      sockets: mine ? Array.from({ length: sockets }, (_, index) => FIRST + index) : [],
      admin: admins ? FIRST + sockets : undefined,
    };
  }

  /** Closes what was passed on and is not used under its number, and tells the process before this one that it may go. */
  settle({ sockets: taken, admin }: Handed): void {
    const { listen, sockets, admin: admins } = this.#will;
    // Those of a service manager are not ours to close, whoever passed them on last.
    const count = listen.fd === undefined ? sockets : 0;
    for (let index = 0; index < count; index++) closeSync(FIRST + index);
    if (admins !== undefined && admin === undefined) closeSync(FIRST + sockets);
    const said: Answer = { takesSockets: taken.length > 0 };
    // Whoever has handed over may be gone by now: then there is nobody to tell, and this process serves all the same.
    process.send?.(said, undefined, undefined, () => {
      if (process.connected) process.disconnect?.();
    });
  }
}

/** How a successor is started. */
export interface SuccessorOptions {
  /** Ends it before it serves. */
  readonly signal: AbortSignal;
  /** The program and its arguments; those of this process by default. */
  readonly command?: readonly [string, ...string[]];
  readonly readyMs?: number;
}

/**
 * Starts a successor of this process.
 * @returns when it serves
 * @throws an Error that says what became of it
 */
export function startSuccessor(
  server: Pick<FileServer, 'fds' | 'adminFd'>,
  options: FileServerOptions,
  {
    signal,
    command = [process.execPath, ...process.execArgv, ...process.argv.slice(1)],
    readyMs = READY_MS,
  }: SuccessorOptions,
): Promise<Successor> {
  const { fds, adminFd } = server;
  const { listen, admin } = placeOf(options);
  const known = adminFd === undefined ? undefined : admin;
  const will: Will = { pid: process.pid, sockets: fds.length, listen, admin: known };
  const [program, ...args] = command;
  const child = spawn(program, args, {
    stdio: ['inherit', 'inherit', 'inherit', ...fds, ...(adminFd === undefined ? [] : [adminFd]), 'ipc'],
    env: { ...process.env, ...inheritedBy(listen.fd, fds.length), [VARIABLE]: JSON.stringify(will) },
  });
  return new Promise((settle, reject) => {
    const give = (up: NodeJS.Signals, why: string) => {
      child.kill(up);
      end(() => reject(new Error(why)));
    };
    const abandon = () => give('SIGTERM', 'it was told to end');
    const timer = setTimeout(
      () => give('SIGKILL', `it did not serve within ${readyMs / 1000} seconds and was killed`),
      readyMs,
    );
    const end = (how: () => void) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abandon);
      child.removeAllListeners().on('error', () => {});
      if (child.connected) child.disconnect();
      child.unref();
      how();
    };
    signal.addEventListener('abort', abandon, { once: true });
    child.once('message', (said) => end(() => settle({ ...(said as Answer), pid: child.pid as number })));
    child.once('error', (error) => end(() => reject(error)));
    child.once('exit', (code, killed) => {
      const how = killed === null ? `with code ${code}` : `by ${killed}`;
      end(() => reject(new Error(`it ended ${how} before it served`)));
    });
  });
}

/** The variables of a service manager, who is this process now. */
function inheritedBy(fd: FileServerOptions['fd'], count: number): NodeJS.ProcessEnv {
  if (fd === undefined) return {};
  const name = typeof fd === 'string' && fd.includes(':') ? fd.slice(fd.indexOf(':') + 1) : undefined;
  const names = name === undefined ? {} : { LISTEN_FDNAMES: Array.from({ length: count }, () => name).join(':') };
  return { LISTEN_FDS: String(count), ...names };
}
