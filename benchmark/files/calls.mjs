// What calls of the file system cost beside fs.promises, in one run, in which the two take turns: `npm run build && node benchmark/files/calls.mjs`.
// Rows of `npm run bench -- files` go through the public API; this is below it, call by call. ARCHITECTURE.md has the table.
import fs from 'node:fs';
import fsp from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const require = createRequire(import.meta.url);
const call = require('../../dist/lib/api/call.js');
const { currentLink } = require('../../dist/lib/api/executor.js');

const names = 2000;
const atOnce = 32;
const rounds = 7;

const root = fs.mkdtempSync(join(tmpdir(), 'ringwheel-calls-'));
const link = currentLink();
const bytes = Buffer.alloc(4096, 'x');
const write = { flags: fs.constants.O_WRONLY | fs.constants.O_CREAT | fs.constants.O_TRUNC, mode: 0o666 };
const path = (name) => join(root, name);
const made = ({ size, mode, mtimeNs }) => ({ size, mode, mtimeNs });

/** In this order: each leaves behind what the next needs, and the last nothing. */
const plan = {
  mkdir: [(n) => call.mkdir(link, path(`a${n}`), 0o777), (n) => fsp.mkdir(path(`a${n}`))],
  rmdir: [(n) => call.rmdir(link, path(`a${n}`)), (n) => fsp.rmdir(path(`a${n}`))],
  link: [(n) => call.hardLink(link, path('base'), path(`a${n}`)), (n) => fsp.link(path('base'), path(`a${n}`))],
  rename: [(n) => call.rename(link, path(`a${n}`), path(`b${n}`)), (n) => fsp.rename(path(`a${n}`), path(`b${n}`))],
  unlink: [(n) => call.unlink(link, path(`b${n}`)), (n) => fsp.unlink(path(`b${n}`))],
  symlink: [(n) => call.symlink(link, 'base', path(`a${n}`)), (n) => fsp.symlink('base', path(`a${n}`))],
  readlink: [(n) => call.readlink(link, path(`a${n}`)), (n) => fsp.readlink(path(`a${n}`))],
  realpath: [(n) => call.realpath(link, path(`a${n}`)), (n) => fsp.realpath(path(`a${n}`))],
  'writeFile 4 KiB': [
    (n) => call.writeFile(link, path(`b${n}`), bytes, write),
    (n) => fsp.writeFile(path(`b${n}`), bytes),
  ],
  stat: [(n) => call.stat(link, path(`b${n}`), true, made), (n) => fsp.stat(path(`b${n}`))],
  access: [(n) => call.access(link, path(`b${n}`), 4), (n) => fsp.access(path(`b${n}`), 4)],
  chmod: [(n) => call.chmod(link, path(`b${n}`), 0o600), (n) => fsp.chmod(path(`b${n}`), 0o600)],
  utimes: [(n) => call.utimes(link, path(`b${n}`), 1, 2, true), (n) => fsp.utimes(path(`b${n}`), 1, 2)],
  'readFile 4 KiB': [(n) => call.readFile(link, path(`b${n}`)), (n) => fsp.readFile(path(`b${n}`))],
  truncate: [(n) => call.truncatePath(link, path(`b${n}`), 100), (n) => fsp.truncate(path(`b${n}`), 100)],
  'copyFile 100 B': [
    (n) => call.copyFile(link, path(`b${n}`), path(`c${n}`), 0),
    (n) => fsp.copyFile(path(`b${n}`), path(`c${n}`)),
  ],
  rm: [(n) => call.rm(link, path(`c${n}`), false, false), (n) => fsp.rm(path(`c${n}`))],
  'readdir, 20 names': [
    async () => (await call.readdir(link, path('small'))).texts().names,
    () => fsp.readdir(path('small')),
  ],
};

async function run(operation) {
  let next = 0;
  const lane = async () => {
    while (next < names) {
      const result = await operation(next++);
      if (result < 0) throw new Error(`errno ${result}`);
    }
  };
  const before = process.cpuUsage();
  const start = process.hrtime.bigint();
  await Promise.all(Array.from({ length: atOnce }, lane));
  const { user, system } = process.cpuUsage(before);
  return { us: Number(process.hrtime.bigint() - start) / 1e3 / names, cpu: (user + system) / names };
}

fs.mkdirSync(path('small'));
for (let index = 0; index < 20; index++) fs.writeFileSync(join(path('small'), `${index}`), '');
fs.writeFileSync(path('base'), '');
const samples = Object.fromEntries(Object.keys(plan).map((name) => [name, [[], []]]));
for (let round = 0; round < rounds; round++) {
  for (const way of round % 2 === 0 ? [0, 1] : [1, 0]) {
    for (const [name, ways] of Object.entries(plan)) samples[name][way].push(await run(ways[way]));
    for (let n = 0; n < names; n++) for (const kind of ['a', 'b']) fs.rmSync(path(`${kind}${n}`), { force: true });
  }
}
const middle = (some, what) => some.map((sample) => sample[what]).sort((a, b) => a - b)[some.length >> 1];
console.log('| call | ringwheel: µs (CPU) | fs.promises | times as fast |\n| --- | --- | --- | --- |');
for (const [name, [ours, theirs]] of Object.entries(samples)) {
  const show = (some) => `${middle(some, 'us').toFixed(1)} (${middle(some, 'cpu').toFixed(1)})`;
  const ratios = ours.map((sample, index) => ({ ratio: theirs[index].us / sample.us }));
  console.log(`| ${name} | ${show(ours)} | ${show(theirs)} | ${middle(ratios, 'ratio').toFixed(1)} |`);
}
fs.rmSync(root, { recursive: true });
