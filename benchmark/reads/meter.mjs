// What a worker's process used between two moments: time, CPU, storage, and the CPU of everybody else.
// Plain JavaScript over node's modules: node, bun and deno all run it as it is.
import fs from 'node:fs';
import process from 'node:process';

let started;

function proc(name) {
  try {
    return fs.readFileSync(name, 'latin1');
  } catch {
    return '';
  }
}

/** What the process fetched from storage so far: must not grow while the page cache is measured. */
const storageBytes = () => Number(/^read_bytes: (\d+)/m.exec(proc('/proc/self/io'))?.[1] ?? 0);

/** CPU seconds of the whole machine. */
function machineCpu() {
  const [user = 0, nice = 0, system = 0, , , interrupt = 0, soft = 0, steal = 0] = proc('/proc/stat')
    .split('\n', 1)[0]
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return (user + nice + system + interrupt + soft + steal) / 100;
}

/** The measured time begins. */
export function begin() {
  started = { storage: storageBytes(), machine: machineCpu(), cpu: process.cpuUsage(), time: performance.now() };
}

/** The measured time has ended: seconds, CPU seconds, cores that others used, bytes from storage, MiB that were resident at most. */
export function end() {
  const elapsed = (performance.now() - started.time) / 1000;
  const used = process.cpuUsage(started.cpu);
  const cpu = (used.user + used.system) / 1e6;
  const foreign = Math.max(0, (machineCpu() - started.machine - cpu) / elapsed);
  const resident = Number(/^VmHWM:\s+(\d+) kB/m.exec(proc('/proc/self/status'))?.[1] ?? 0) / 1024;
  return { elapsed, cpu, foreign, storage: storageBytes() - started.storage, resident };
}
