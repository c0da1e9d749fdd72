// What reads, sleeps and idling cost, counted and gated: native calls, calls into JavaScript, system calls, turns. Each script
// is a process of its own, so that nothing but the executor uses its event loop.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { ended, fileOf, folder, pattern, script } from '../drivers';
import { root } from '../support/command';
import { checkCount } from '../support/gates';

interface Counts {
  driver: string;
  native: number;
  callbacks: number;
  enters: number;
  turns: number;
  loops: number;
  /** Times that the watchdog of stalls has slept. */
  watch: number;
}

/** Counts every use of the addon's executor: methods and getters alike. */
const COUNTING = `
let native = 0;
const addon = require(${JSON.stringify(join(root, 'dist/lib/wire/binding.js'))}).binding();
const { startExecutor } = addon;
addon.startExecutor = (...given) => {
  const executor = startExecutor(...given);
  return new Proxy(executor, {
    get(target, key) {
      native++;
      const value = target[key];
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
};
const executor = Executor.start();
assert(native > 0, 'the addon is wrapped');
if (wanted !== undefined && wanted !== 'auto') assert.equal(executor.driver, wanted);
const { performance } = require('node:perf_hooks');
const read = () => {
  const before = native;
  const { callbacks, enters, turns } = executor.stats();
  native = before; // Looking does not count.
  const loops = performance.nodeTiming.uvMetricsInfo?.loopCount ?? 0;
  return { native, callbacks, enters, turns, loops, watch: watchdogSleeps() };
};
function watchdogSleeps() {
  const { readFileSync, readdirSync } = require('node:fs');
  const tasks = process.platform === 'linux' ? readdirSync('/proc/self/task') : [];
  const text = (task, name) => readFileSync('/proc/self/task/' + task + '/' + name, 'utf8');
  const watch = tasks.find((task) => text(task, 'comm') === 'ringwheel-watch\\n');
  return watch === undefined ? 0 : Number(/^voluntary_ctxt_switches:\\s+(\\d+)/m.exec(text(watch, 'status'))[1]);
}
async function count(work) {
  const before = read();
  await work();
  const after = read();
  const counts = Object.fromEntries(Object.keys(after).map((key) => [key, after[key] - before[key]]));
  console.log(JSON.stringify({ driver: executor.driver, ...counts }));
}
async function reads(file, leases, each) {
  const worker = async (lease, number) => {
    for (let round = 0; round < each; round++) {
      assert.equal(await file.readAt(lease, ((number * 7 + round) % 64) * 4096), 4096);
    }
  };
  await Promise.all(leases.map(worker));
}
`;

async function counted(t: ExecutionContext, body: string): Promise<Counts> {
  const result = await script(`${COUNTING}\n${body}\nawait executor.close();`);
  ended(t, result);
  return JSON.parse(result.stdout.trim().split('\n').at(-1) as string) as Counts;
}

const pages = fileOf(pattern(64 * 4096));

/** 1,000 reads into leases in the steady state. */
const readingBody = (depth: number): string => `
const file = await File.open(${JSON.stringify(pages)});
const leases = Array.from({ length: ${depth} }, () => executor.lease(4096));
await reads(file, leases, ${1000 / depth});
await count(() => reads(file, leases, ${1000 / depth}));
await file.close();`;

for (const depth of [1, 100]) {
  test.serial(`1,000 reads into leases, ${depth} in flight`, async (t) => {
    const { driver, native, callbacks, enters, turns } = await counted(t, readingBody(depth));
    const of = (what: string) => `api: ${what} per 1,000 readAt, depth ${depth}`;
    checkCount(t, of('native calls'), driver, native);
    checkCount(t, of('calls into JavaScript'), driver, callbacks);
    checkCount(t, of('enters'), driver, enters);
    checkCount(t, of('turns'), driver, turns);
  });
}

for (const [what, work] of [
  ['stat', 'call.stat(link, __filename, true, (view) => view.size)'],
  ['readFile', 'call.readFile(link, __filename)'],
] as const) {
  test.serial(`1,000 times ${what} of a path, 100 in flight`, async (t) => {
    const { driver, native, enters } = await counted(
      t,
      `
const call = require(${JSON.stringify(join(root, 'dist/lib/api/call.js'))});
const link = require(${JSON.stringify(join(root, 'dist/lib/api/executor.js'))}).currentLink();
const round = async () => {
  for (let index = 0; index < 10; index++) assert.notEqual(await ${work}, 0);
};
const all = () => Promise.all(Array.from({ length: 100 }, round));
await all();
await count(all);`,
    );
    checkCount(t, `api: native calls per 1,000 ${what}, 100 at a time`, driver, native);
    checkCount(t, `api: enters per 1,000 ${what}, 100 at a time`, driver, enters);
  });
}

test.serial('1,000 reads into plain arrays, 100 in flight', async (t) => {
  const { driver, native, enters } = await counted(
    t,
    `
const file = await File.open(${JSON.stringify(pages)});
const arrays = Array.from({ length: 100 }, () => new Uint8Array(4096));
await reads(file, arrays, 10);
await count(() => reads(file, arrays, 10));
await file.close();`,
  );
  checkCount(t, 'api: native calls per 1,000 readAt into arrays, depth 100', driver, native);
  checkCount(t, 'api: enters per 1,000 readAt into arrays, depth 100', driver, enters);
});

test.serial('1,000 vectored reads and writes of leases and arrays, 100 in flight', async (t) => {
  for (const [method, flag] of [
    ['readv', 'r'],
    ['writev', 'r+'],
  ] as const) {
    const { driver, native, enters } = await counted(
      t,
      `
const file = await File.open(${JSON.stringify(pages)}, '${flag}');
const lists = Array.from({ length: 100 }, () => [new Uint8Array(100), executor.lease(4096), new Uint32Array(25)]);
const round = () => Promise.all(lists.map(async (list) => {
  for (let index = 0; index < 10; index++) assert.equal(await file.${method}(list, 4096), 4296);
}));
await round();
await count(round);
await file.close();`,
    );
    checkCount(t, `api: native calls per 1,000 ${method}, depth 100`, driver, native);
    // Writes end when the kernel's workers have had their turn, so how many turns share them is not ours to gate.
    if (method === 'readv') checkCount(t, 'api: enters per 1,000 readv, depth 100', driver, enters);
  }
});

test.serial('1,000 sleeps of one deadline', async (t) => {
  const { driver, native, callbacks, enters, turns } = await counted(
    t,
    `
const { sleepUntil } = require(${JSON.stringify(join(root, 'dist/index.js'))});
const sleeps = () => {
  const deadline = performance.now() + 50; // The same for all: a loop of sleep(50) on a busy machine spans some milliseconds.
  return Promise.all(Array.from({ length: 1000 }, () => sleepUntil(deadline)));
};
await sleeps();
await count(sleeps);`,
  );
  const of = (what: string) => `api: ${what} per 1,000 sleeps of one deadline`;
  checkCount(t, of('native calls'), driver, native);
  checkCount(t, of('calls into JavaScript'), driver, callbacks);
  checkCount(t, of('enters'), driver, enters);
  checkCount(t, of('turns'), driver, turns);
});

test.serial('1,000 yields of 16 tasks, and 1,000 questions whether time is over', async (t) => {
  const { driver, native, callbacks, enters } = await counted(
    t,
    `
const { TaskQueue } = require(${JSON.stringify(join(root, 'dist/index.js'))});
const queue = new TaskQueue();
const yields = () => Promise.all(Array.from({ length: 16 }, () => queue.spawn(async () => {
  for (let index = 0; index < 63; index++) await queue.yield();
})));
await yields();
await count(yields);`,
  );
  const of = (what: string) => `api: ${what} per 1,000 yields of 16 tasks`;
  checkCount(t, of('native calls'), driver, native);
  checkCount(t, of('calls into JavaScript with completions'), driver, callbacks);
  checkCount(t, of('enters'), driver, enters);
  const asked = await counted(
    t,
    `
const { TaskQueue } = require(${JSON.stringify(join(root, 'dist/index.js'))});
const queue = new TaskQueue();
// Asked in slices that are much shorter than their time. The first look ever is a call; then slices begin with their timer set.
const ask = () => queue.spawn(() => { for (let index = 0; index < 1000; index++) executor.needPreempt(); });
await ask();
await count(ask);`,
  );
  checkCount(t, 'api: native calls per 1,000 needPreempt in a slice', asked.driver, asked.native);
});

test.serial('1,000 timers, cancelled and called', async (t) => {
  const timers = `
const { Timer } = ringwheel;
const cancelled = async () => { for (let index = 0; index < 1000; index++) new Timer(1000 + index, () => {}).cancel(); };
const called = () => new Promise((resolve) => {
  let left = 1000;
  for (let index = 0; index < 1000; index++) new Timer(5, () => { if (--left === 0) resolve(); });
  for (const until = performance.now() + 10; performance.now() < until; ); // All are due.
});`;
  for (const which of ['cancelled', 'called']) {
    const { driver, native, callbacks, turns } = await counted(
      t,
      `${timers}\nawait ${which}();\nawait count(${which});`,
    );
    const of = (what: string) => `api: ${what} per 1,000 timers ${which}`;
    checkCount(t, of('native calls'), driver, native);
    checkCount(t, of('calls into JavaScript'), driver, callbacks);
    checkCount(t, of('turns'), driver, turns);
  }
});

test.serial('an idle executor with a timer of 1 s sleeps', async (t) => {
  const { driver, turns, loops, watch } = await counted(t, 'await sleep(20);\nawait count(() => sleep(1000));');
  checkCount(t, 'api: turns of one sleep of 1 s', driver, turns);
  checkCount(t, 'api: wake-ups of one sleep of 1 s', driver, loops);
  checkCount(t, "api: the watchdog's wake-ups in one sleep of 1 s", driver, watch);
});

/** System calls of Node's main thread for a number of reads, counted by strace; or why they cannot be. */
function systemCalls(reads: number): number | string {
  const report = join(folder, `strace-${reads}.txt`);
  const code = `
const { Executor, File } = require(${JSON.stringify(join(root, 'dist/index.js'))});
(async () => {
  const executor = Executor.start();
  const file = await File.open(${JSON.stringify(pages)});
  const leases = Array.from({ length: 100 }, () => executor.lease(4096));
  await Promise.all(leases.map(async (lease, number) => {
    for (let round = 0; round < ${reads / 100}; round++) await file.readAt(lease, (number % 64) * 4096);
  }));
  process.exit(0);
})();`;
  // A heap that needs no collection meanwhile, since that would be counted too.
  const args = ['-c', '-U', 'calls,name', '-o', report, process.execPath, '--max-semi-space-size=64', '-e', code];
  const { error, status, stderr } = spawnSync('strace', args, { encoding: 'utf8', timeout: 60_000 });
  if (error !== undefined) return error.message;
  if (status !== 0) return stderr.trim().split('\n').at(-1) ?? `exit code ${status}`;
  const total = /^\s*(\d+)\s+total$/m.exec(readFileSync(report, 'utf8'));
  return total === null ? 'strace printed no total' : Number(total[1]);
}

test.serial('strace sees no more system calls than we count', async (t) => {
  const { driver } = await counted(t, 'await count(() => sleep(0));');
  const few = systemCalls(10_000);
  const many = systemCalls(30_000);
  if (typeof few === 'string' || typeof many === 'string') {
    console.error(`skip: strace: ${typeof few === 'string' ? few : many}`);
    t.pass();
    return;
  }
  const each = Math.round((many - few) / 20);
  checkCount(t, 'api: system calls of the thread per 1,000 readAt, depth 100 (strace)', driver, each);
});

test.serial('1,000 messages of a channel, 100 at a time', async (t) => {
  const { driver, native, callbacks, enters } = await counted(
    t,
    `
// Both ends on this thread, so that how far two threads are apart does not count.
const { Channel } = require(${JSON.stringify(join(root, 'dist/index.js'))});
for (const name of ['wakeExecutor', 'watchExecutor']) {
  const call = addon[name];
  addon[name] = (...given) => {
    native++;
    return call(...given);
  };
}
const [one, two] = Channel.pair({ kind: 'numbers' });
let left = 0, done;
two.listen(() => {
  if (--left === 0) done();
});
const batch = () => new Promise((resolve) => {
  left = 100;
  done = resolve;
  for (let index = 0; index < 100; index++) assert(one.trySend(index));
});
const messages = async () => {
  for (let round = 0; round < 10; round++) {
    await batch();
    await new Promise(setImmediate); // It waits again.
  }
};
await messages();
await count(messages);
one.close();`,
  );
  const of = (what: string) => `channel: ${what} per 1,000 messages, 100 at a time`;
  checkCount(t, of('native calls'), driver, native);
  checkCount(t, of('calls into JavaScript'), driver, callbacks);
  checkCount(t, of('enters'), driver, enters);
});
