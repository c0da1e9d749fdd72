// A member of an ExecutorPool, on its own thread: starts a pinned executor, imports modules, runs their functions.
import { type MessagePort, parentPort } from 'node:worker_threads';
import { ourError } from './errors.js';
import { Executor } from './executor.js';
import { seatCame } from './mesh-seats.js';
import {
  type Boot,
  type Branded,
  boot,
  type FlatError,
  type FromMember,
  flatten,
  restore,
  type ToMember,
  transfersOf,
} from './pool-messages.js';

type Module = Record<string, unknown>;

/** An export, also of a CommonJS module whose names Node could not see, which then are properties of its default. */
function exported(module: Module, name: string): unknown {
  if (Object.hasOwn(module, name)) return module[name];
  const { default: inner } = module;
  const whole = typeof inner === 'object' && inner !== null;
  return whole && Object.hasOwn(inner, name) ? (inner as Module)[name] : undefined;
}

/** Modules that have loaded: asking import() again costs more than a call. */
const modules = new Map<string, Module>();

async function load(href: string): Promise<Module> {
  const known = modules.get(href);
  if (known !== undefined) return known;
  try {
    const module = (await import(href)) as Module;
    modules.set(href, module);
    return module;
  } catch (cause) {
    const { message } = cause as Partial<Error>;
    const error = ourError('ERR_RINGWHEEL_MODULE', `the module ${href} does not load: ${message ?? String(cause)}`);
    error.cause = cause;
    throw error;
  }
}

async function functionOf(href: string, name: string): Promise<(...args: unknown[]) => unknown> {
  const module = await load(href);
  const found = exported(module, name);
  if (typeof found === 'function') return found as (...args: unknown[]) => unknown;
  const names = Object.keys(module).join(', ') || 'nothing';
  const what = found === undefined ? `has no export "${name}"` : `exports "${name}", which is no function`;
  throw ourError('ERR_RINGWHEEL_MODULE', `the module ${href} ${what}; it exports ${names}`);
}

function notCloned(what: string, cause: Error): FlatError {
  const message = `${what} cannot be cloned: ${cause.message.replace(/\.$/, '')}; use plain data, or ExecutorPool.transfer for what can only be moved`;
  return flatten(ourError('ERR_RINGWHEEL_CLONE', message));
}

class Work {
  readonly #port: MessagePort;
  readonly #brand: string;
  /** Messages that came. */
  #came = 0;
  /** By call, and there by argument: what ends the signals that functions were given. */
  readonly #controllers = new Map<number, Map<number, AbortController>>();

  constructor(port: MessagePort, brand: string) {
    this.#port = port;
    this.#brand = brand;
  }

  async start({ executor, setup, member, size }: Boot): Promise<void> {
    try {
      const { driver, notes } = Executor.start(executor);
      if (setup !== undefined) {
        const prepare = exported(await load(setup), 'setup');
        if (typeof prepare === 'function') await prepare({ member, size });
      }
      this.#send({ kind: 'ready', driver, notes });
    } catch (error) {
      this.#send({ kind: 'failed', error: flatten(error) });
      return; // The pool ends this thread.
    }
    this.#port.on('message', (message: ToMember) => {
      this.#came++;
      void this.#read(message);
    });
    this.#port.on('messageerror', (cause: Error) => {
      this.#send({ kind: 'error', nth: ++this.#came, error: notCloned('an argument', cause) });
    });
  }

  async #read(message: ToMember): Promise<void> {
    if (message.kind === 'close') {
      await Executor.current().close();
      this.#send({ kind: 'closed' });
      return;
    }
    if (message.kind === 'mesh') return seatCame(message.seat);
    if (message.kind === 'abort') {
      this.#controllers.get(message.id)?.get(message.index)?.abort(restore(message.reason));
      return;
    }
    const { id, module, name, args, signals } = message;
    let value: unknown;
    const controllers = new Map(signals.map((index) => [index, new AbortController()]));
    if (signals.length > 0) this.#controllers.set(id, controllers);
    try {
      const run = await functionOf(module, name);
      value = await run(...args.map((arg, index) => controllers.get(index)?.signal ?? arg));
    } catch (error) {
      this.#send({ kind: 'error', id, error: flatten(error) });
      return;
    } finally {
      this.#controllers.delete(id);
    }
    try {
      this.#send({ kind: 'value', id, value }, value);
    } catch (cause) {
      this.#send({ kind: 'error', id, error: notCloned(`the result of ${name}`, cause as Error) });
    }
  }

  #send(message: FromMember, value?: unknown): void {
    this.#port.postMessage({ brand: this.#brand, message } satisfies Branded, transfersOf([value]));
  }
}

const given = boot();
if (parentPort !== null && given !== undefined) void new Work(parentPort, given.brand).start(given);
