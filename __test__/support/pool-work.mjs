// What the members of the pools in pool.spec.ts run.
import { readFileSync } from 'node:fs';
import { Executor, ExecutorPool, File, Mesh, sleep } from '../../dist/index.mjs';

export const square = (x) => x * x;
export const member = () => ExecutorPool.member;
export const driver = () => Executor.current().driver;

/** The CPUs that this very thread may run on. */
export const mask = () => /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync('/proc/thread-self/status', 'utf8'))?.[1];

export async function firstBytes(path, count) {
  const file = await File.open(path);
  const target = new Uint8Array(count);
  await file.readAt(target, 0);
  await file.close();
  return target;
}

let calls = 0;
export const count = () => ++calls;
export const after = async (ms, value) => {
  await sleep(ms);
  return value;
};
export const hang = () => new Promise(() => setInterval(() => {}, 1000));
export const spin = () => {
  for (;;);
};
export const exit = (code) => process.exit(code);
export const crash = () => {
  setImmediate(() => {
    throw new RangeError('from a callback');
  });
  return new Promise(() => {});
};

class Refusal extends TypeError {
  code = 'E_REFUSED';
  detail = 42;
}
export const refuse = () => {
  throw new Refusal('not today', { cause: new RangeError('the reason') });
};
export const missing = (path) => File.open(path);
export const closed = async () => {
  const file = await File.open('/dev/null');
  await file.close();
  await file.readAt(new Uint8Array(1), 0);
};
export const abort = () => AbortSignal.abort().throwIfAborted();
export const several = () => Promise.any([Promise.reject(new RangeError('one')), Promise.reject('two')]);
export const throwText = () => Promise.reject('only text');
export const throwLoop = () => {
  const error = new Error('round');
  error.cause = error;
  throw error;
};
export const throwTrap = () => {
  throw Object.defineProperty(new Error('trap'), 'message', {
    get() {
      throw new Error('sprung');
    },
  });
};

export const throwFunction = () => Promise.reject(() => 1);
export const giveFunction = () => () => 1;
export const length = (bytes) => bytes.byteLength;
export const give = (bytes) => ExecutorPool.transfer(new Uint8Array(bytes).fill(7));
export const answer = (port) => port.postMessage('over the port');
export const notFunction = 5;

/** Works until a signal ends it; `aborted` then says with what reason. */
const reasons = [];
export const until = async (signal, other) => {
  if (!(signal instanceof AbortSignal) || other instanceof AbortSignal) throw new TypeError('the first is a signal');
  await sleep(60_000, { signal }).catch((reason) => reasons.push(reason));
  throw reasons.at(-1);
};
export const aborted = () => reasons.splice(0);

/** Sends to everybody, `rounds` times, and says what came from whom. */
export const meet = async (name, rounds) => {
  const mesh = await Mesh.join({ name });
  const sending = (async () => {
    for (let round = 0; round < rounds; round++) {
      for (const peer of mesh.consumers) await mesh.send(peer, mesh.id * 1000 + round);
    }
  })();
  const got = {};
  for (let left = mesh.producers.length * rounds; left > 0; left--) {
    const { from, message } = await mesh.receive();
    got[from] ??= [];
    got[from].push(message);
  }
  await sending;
  return { id: mesh.id, peers: mesh.peers, consumers: mesh.consumers, producers: mesh.producers, got };
};
/** Sends everything back until the end. */
export const reflect = async (name) => {
  const mesh = await Mesh.join({ name });
  let count = 0;
  for await (const { from, message } of mesh) {
    count++;
    await mesh.send(from, message);
  }
  return count;
};
