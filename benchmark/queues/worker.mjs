// One contender of `bench queues` in a process of its own: { mode, seconds, ringwheel, … } in, one line of JSON out.
import { spawn } from 'node:child_process';
import http from 'node:http';
import process from 'node:process';

const { mode, contender, seconds, ringwheel, bursts, clientCore } = JSON.parse(process.argv[2]);
const ours = contender.startsWith('ringwheel');
const { Executor, TaskQueue, sleep } = ours ? await import(ringwheel) : {};
const executor = ours ? Executor.current() : undefined;

const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const immediate = () => new Promise(setImmediate);
const percentile = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
const sorted = (list) => Float64Array.from(list).sort();

function burn(ms) {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

/** Keeps the thread busy with tasks of 0.2 ms: in two queues, or on the event loop. Returns how to end it, and what was done. */
function saturate() {
  let stop = false;
  let done = 0;
  const queues = ours ? [new TaskQueue({ shares: 100 }), new TaskQueue({ shares: 300 })] : [];
  const tasks = Array.from({ length: 8 }, async (_, index) => {
    const queue = queues[index % 2];
    if (ours) await queue.yield();
    while (!stop) {
      burn(0.2);
      done++;
      if (ours) await (executor.yieldIfNeeded() ?? undefined);
      else await immediate();
    }
  });
  const begun = performance.now();
  return async () => {
    stop = true;
    await Promise.all(tasks);
    return (done * 0.2) / (performance.now() - begun);
  };
}

const modes = {
  /** Tasks that do nothing but give each other their turn. */
  async yields() {
    const tasks = contender.endsWith(', one task') ? 1 : 16;
    let stop = false;
    let count = 0;
    const queue = ours ? new TaskQueue() : undefined;
    const task = async () => {
      while (!stop) {
        count++;
        await (ours ? queue.yield() : immediate());
      }
    };
    const running = Array.from({ length: tasks }, task);
    await later(100);
    const [before, cpu] = [count, process.cpuUsage()];
    await later(seconds * 1000);
    const { user, system } = process.cpuUsage(cpu);
    const yields = count - before;
    stop = true;
    await Promise.all(running);
    return { CPU: ((user + system) * 1000) / yields };
  },

  /** How far two CPU-bound queues are from 1 : 3. */
  async shares() {
    let stop = false;
    const queues = [new TaskQueue({ shares: 100 }), new TaskQueue({ shares: 300 })];
    const task = async (ms) => {
      while (!stop) {
        burn(ms);
        await executor.yieldIfNeeded();
      }
    };
    const running = queues.flatMap((queue, index) =>
      Array.from({ length: 4 }, () => queue.spawn(() => task(bursts[index]))),
    );
    await later(100);
    const before = queues.map((queue) => queue.stats().runMs);
    await later(Math.max(seconds, 0.3) * 1000);
    const [one, other] = queues.map((queue, index) => queue.stats().runMs - before[index]);
    stop = true;
    await Promise.all(running);
    return { ratio: other / one, 'off by': Math.abs(other / one / 3 - 1) * 100 };
  },

  /** A plain HTTP server of this thread, asked by four keep-alive clients of another process. */
  async http() {
    const server = http.createServer((_, response) => response.end('ok'));
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const end = contender === 'idle' ? async () => 0 : saturate();
    const given = [process.execPath, '-e', CLIENT, String(server.address().port), String(seconds)];
    if (process.platform === 'linux') given.unshift('taskset', '-c', String(clientCore)); // Not on the server's core.
    const client = spawn(given[0], given.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    client.stdout.on('data', (chunk) => {
      said += chunk;
    });
    await new Promise((resolve) => client.on('close', resolve));
    const work = await end();
    server.close();
    return { ...JSON.parse(said), work: work * 100 };
  },

  /** Every 5 ms something small is due while the thread is saturated. */
  async latency() {
    const end = saturate();
    const queue = ours ? new TaskQueue({ latency: { maxMs: 5 } }) : undefined;
    const late = [];
    const ticks = async () => {
      const until = performance.now() + seconds * 1000;
      while (performance.now() < until) {
        const begun = performance.now();
        await (ours ? sleep(5) : later(5));
        late.push(performance.now() - begun - 5);
        burn(0.05);
      }
    };
    await (ours ? queue.spawn(ticks) : ticks());
    const work = await end();
    const all = sorted(late);
    return { p50: percentile(all, 0.5), p99: percentile(all, 0.99), work: work * 100 };
  },

  /** One look, in a loop that does a little besides. */
  async look() {
    const word = new Int32Array(new SharedArrayBuffer(8));
    const holder = { word: new Uint32Array(1) };
    holder.word = new Uint32Array(1); // Set twice, or it would be a constant.
    const looks = {
      ringwheel: () => executor.needPreempt(),
      'a bare load': () => holder.word[0] !== 0,
      'Atomics.load': () => Atomics.load(word, 0) !== 0,
      'performance.now': () => performance.now() > 1e15,
    };
    const make = (look) =>
      new Function(
        'look',
        `return (n) => { let x = 123456789, hits = 0; for (let i = 0; i < n; i++) { x ^= x << 13; x ^= x >>> 17; x ^= x << 5; ${look === undefined ? '' : 'if (look()) hits++;'} } return x + hits; };`,
      )(look);
    const [plain, looking] = [make(undefined), make(looks[contender])];
    const time = (loop) => {
      const begun = process.hrtime.bigint();
      loop(20_000);
      return Number(process.hrtime.bigint() - begun) / 20_000;
    };
    // In slices of a queue, each shorter than its time: the word is not raised then, as in a task that has time left.
    const found = [[], []];
    const queue = ours ? new TaskQueue() : undefined;
    const round = () => {
      found[0].push(time(plain));
      if (ours) executor.needPreempt();
      found[1].push(time(looking));
    };
    for (let index = 0; index < Math.max(200, seconds * 2000); index++) {
      if (ours) await queue.yield();
      round();
    }
    const [without, withLook] = found.map((list) => percentile(sorted(list), 0.5));
    return { look: withLook - without };
  },

  /** The same work with a look after each chunk and a yield when time is over, and with about as many yields and no look. */
  async cost() {
    const chunk = (x) => {
      for (let i = 0; i < 2000; i++) {
        x ^= x << 13;
        x ^= x >>> 17;
        x ^= x << 5;
      }
      return x;
    };
    const queue = new TaskQueue();
    const looks = contender === 'ringwheel';
    const work = async () => {
      let x = 123456789;
      const chunks = Math.round(300_000 * seconds);
      const cpu = process.cpuUsage();
      for (let index = 0; index < chunks; index++) {
        x = chunk(x);
        if (looks ? executor.needPreempt() : index % 560 === 559) await queue.yield();
      }
      const { user, system } = process.cpuUsage(cpu);
      return { x, CPU: (user + system) / chunks };
    };
    await queue.spawn(work);
    const { CPU } = await queue.spawn(work);
    return { CPU };
  },
};

const CLIENT = `
const http = require('node:http');
const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
const [port, seconds] = process.argv.slice(1).map(Number);
const times = [], end = Date.now() + seconds * 1000;
let live = 4;
const one = () => {
  const begun = performance.now();
  http.get({ port, host: '127.0.0.1', agent }, (response) => {
    response.resume();
    response.on('end', () => {
      times.push(performance.now() - begun);
      if (Date.now() < end) return setTimeout(one, 1);
      if (--live > 0) return;
      times.sort((a, b) => a - b);
      console.log(JSON.stringify({ p50: times[times.length >> 1], p99: times[Math.floor(times.length * 0.99)] }));
      process.exit(0);
    });
  });
};
for (let index = 0; index < 4; index++) one();`;

console.log(JSON.stringify(await modes[mode]()));
process.exit(0);
