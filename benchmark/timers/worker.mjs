// One contender of the JavaScript rows of `timers`: many sleeps at once, in a process of its own. Reports one line of JSON.
import process from 'node:process';

const { mode, count, ringwheel } = JSON.parse(process.argv[2]);

async function sleepFunction() {
  if (mode === 'ringwheel') return (await import(ringwheel)).sleep;
  return (await import('node:timers/promises')).setTimeout;
}

const sleep = await sleepFunction();
let state = 99;
const delays = Array.from({ length: count }, () => {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return 1 + ((state >>> 0) % 1000);
});
const late = new Float64Array(count);

async function one(index) {
  const delay = delays[index];
  const begun = performance.now();
  await sleep(delay);
  late[index] = performance.now() - begun - delay;
}

await Promise.all(delays.slice(0, 100).map((_, index) => one(index)));
const cpu = process.cpuUsage();
await Promise.all(delays.map((_, index) => one(index)));
const used = process.cpuUsage(cpu);
late.sort();
// Node's own timers may be up to a millisecond early.
if (late[0] < -1) {
  console.error(`a sleep ended ${-late[0]} ms early`);
  process.exit(1);
}
console.log(
  JSON.stringify({
    CPU: (used.user + used.system) / count,
    'late p50': late[Math.floor(count * 0.5)],
    'late p99': late[Math.floor(count * 0.99)],
  }),
);
