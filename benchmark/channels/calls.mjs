// One contender of `channels`' calls, in a process of its own: a function on another thread, called so many times at once. Checks each
// result, and reports one line of JSON.
import process from 'node:process';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';

const SQUARE = 'data:text/javascript,export const square = (x) => x * x';

/** `call(x)` gives the square of x, computed over there; `end` ends the other thread. */
async function contender({ mode, ringwheel }) {
  if (mode === 'ringwheel') {
    const { ExecutorPool } = await import(ringwheel);
    const pool = await ExecutorPool.start({ size: 1 });
    return { call: (x) => pool.run(0, SQUARE, 'square', x), end: () => pool.destroy() };
  }
  // What one writes by hand over postMessage: a number for each call, and a table of those that wait.
  const worker = new Worker(new URL(import.meta.url));
  const waiting = new Map();
  let next = 0;
  worker.on('message', ({ id, value }) => {
    waiting.get(id)(value);
    waiting.delete(id);
  });
  const call = (x) =>
    new Promise((resolve) => {
      waiting.set(++next, resolve);
      worker.postMessage({ id: next, x });
    });
  return { call, end: () => worker.terminate() };
}

async function run(call, depth, milliseconds) {
  const begun = performance.now();
  const end = begun + milliseconds;
  let calls = 0;
  const caller = async (number) => {
    for (let round = 0; performance.now() < end; round++) {
      const x = number + round;
      if ((await call(x)) !== x * x) throw new Error(`the square of ${x} came back wrong`);
      calls++;
    }
  };
  await Promise.all(Array.from({ length: depth }, (_, number) => caller(number)));
  return { calls, took: performance.now() - begun };
}

if (isMainThread) {
  const given = JSON.parse(process.argv[2]);
  const { call, end } = await contender(given);
  await run(call, given.depth, Math.min(300, given.seconds * 500));
  const cpu = process.cpuUsage();
  const { calls, took } = await run(call, given.depth, given.seconds * 1000);
  const { user, system } = process.cpuUsage(cpu);
  console.log(JSON.stringify({ 'round trip': (took * 1000) / calls, CPU: (user + system) / calls }));
  await end();
} else {
  parentPort.on('message', ({ id, x }) => parentPort.postMessage({ id, value: x * x }));
}
