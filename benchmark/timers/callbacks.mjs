// One contender of the callback rows of `timers`: Timer or setTimeout, created and cancelled, or created and fired, in a process of
// its own. Reports one line of JSON.
import process from 'node:process';

const { mode, what, count, ringwheel } = JSON.parse(process.argv[2]);

let state = 99;
function random(limit) {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % limit;
}

/** The loops are made anew for each contender of this process, so that no call site has seen another. */
async function contender() {
  if (mode === 'ringwheel') {
    const { Timer } = await import(ringwheel);
    return { create: (ms, callback) => new Timer(ms, callback), cancel: (timer) => timer.cancel() };
  }
  return { create: (ms, callback) => setTimeout(callback, ms), cancel: (timer) => clearTimeout(timer) };
}

const { create, cancel } = await contender();
const turn = () => new Promise((resolve) => setImmediate(resolve));
const cpuMicros = () => {
  const { user, system } = process.cpuUsage();
  return user + system;
};
const median = (values) => values.sort((one, other) => one - other)[values.length >> 1];
const noop = () => {};

/** Many timers that all are cancelled: in the turn that made them, and after a turn between. */
async function createAndCancel() {
  const rounds = 9;
  const warm = 3;
  const delays = Array.from({ length: count }, () => 1 + random(60_000));
  const timers = new Array(count);
  const together = [];
  const apart = [];
  let cpu = 0;
  for (let round = 0; round < rounds; round++) {
    if (round === warm) cpu = cpuMicros();
    const begun = performance.now();
    for (let index = 0; index < count; index++) timers[index] = create(delays[index], noop);
    for (let index = 0; index < count; index++) cancel(timers[index]);
    const took = performance.now() - begun;
    await turn();
    const createBegun = performance.now();
    for (let index = 0; index < count; index++) timers[index] = create(delays[index], noop);
    const createTook = performance.now() - createBegun;
    await turn();
    const cancelBegun = performance.now();
    for (let index = 0; index < count; index++) cancel(timers[index]);
    const cancelTook = performance.now() - cancelBegun;
    await turn();
    if (round < warm) continue;
    together.push((took * 1e6) / count);
    apart.push(((createTook + cancelTook) * 1e6) / count);
  }
  const used = cpuMicros() - cpu;
  return {
    'in one turn': median(together),
    'a turn between': median(apart),
    CPU: (used * 1e3) / (2 * (rounds - warm) * count),
  };
}

/** Many timers that all fire within a second: three times for their CPU time, when that is warm, once more to see how late each is. */
async function createAndFire() {
  const delays = Array.from({ length: count }, () => 1 + random(1000));
  const counted = () =>
    new Promise((resolve) => {
      let left = count;
      const callback = () => {
        if (--left === 0) resolve();
      };
      for (let index = 0; index < count; index++) create(delays[index], callback);
    });
  await counted();
  await counted();
  const used = [];
  for (let round = 0; round < 3; round++) {
    const cpu = cpuMicros();
    await counted();
    used.push(((cpuMicros() - cpu) * 1e3) / count);
  }
  const late = new Float64Array(count);
  await new Promise((resolve) => {
    let left = count;
    for (let index = 0; index < count; index++) {
      const delay = delays[index];
      const begun = performance.now();
      create(delay, () => {
        late[index] = performance.now() - begun - delay;
        if (--left === 0) resolve();
      });
    }
  });
  late.sort();
  const early = late.findIndex((each) => each >= 0);
  // Node's and Bun's own may be up to a millisecond early.
  if (late[0] < (mode === 'ringwheel' ? 0 : -1.01)) {
    console.error(`a timer fired ${-late[0]} ms early`);
    process.exit(1);
  }
  return {
    CPU: median(used),
    early: ((early === -1 ? count : early) * 100) / count,
    'late p50': late[Math.floor(count * 0.5)],
    'late p99': late[Math.floor(count * 0.99)],
  };
}

console.log(JSON.stringify(await (what === 'fire' ? createAndFire() : createAndCancel())));
process.exit(0);
