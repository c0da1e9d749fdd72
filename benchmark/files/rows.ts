// `bench files`: everything that is done with files, beside Node, Bun, Deno, fio and native runtimes.
import {
  closeSync,
  constants,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { builtPackage } from '../harness/built';
import { type BenchOptions, passes } from '../harness/options';
import { otherRuntimes, type Runtime } from '../harness/peers';
import { whenEnding } from '../harness/processes';
import { say } from '../harness/progress';
import type { Claim, Metric, Result } from '../harness/result';
import type { Row } from '../harness/rounds';
import { filesystem, warm, workspace } from '../harness/workspace';
import type { Benchmark } from '../main';
import { makeBlocks } from '../reads/contender';
import { type Task, taskContender, type Way } from './contender';
import { claims as randomClaims, randomRowNames, randomRows } from './random';

const sequential: Metric[] = [
  { name: 'speed', unit: 'GB/s', better: 'higher' },
  { name: 'CPU', unit: 'ms/GiB', better: 'lower' },
  { name: 'resident', unit: 'MiB at most', better: 'lower', ratio: false },
];
const many: Metric[] = [
  { name: 'rate', unit: '/s', better: 'higher' },
  { name: 'CPU', unit: 'µs each', better: 'lower' },
];

/** A row of tasks that are done once a sample. */
interface Plan {
  row: string;
  metrics: Metric[];
  task: Task;
  ways: readonly (Way | string)[];
}

const poolOf1 = { UV_THREADPOOL_SIZE: '1' };
const libuvRing = { UV_USE_IO_URING: '1' };
const withPools = (name: string, quick: boolean): (Way | string)[] => [
  name,
  { name: `${name}, pool of 1`, way: name, environment: poolOf1 },
  ...(quick ? [] : [{ name: `${name}, libuv's io_uring`, way: name, environment: libuvRing }]),
  { name: `${name}, unpinned`, way: name, unpinned: true },
];

const rowNames = {
  read: 'sequential read',
  write: 'sequential write',
  readWhole: 'whole file read',
  writeWhole: 'whole file written',
  stat: 'stat of 100,000 files',
  readFile: 'readFile of 10,000 files of 4 KiB',
  readdir: 'recursive readdir of 100,000 entries',
} as const;

/** All rows by name, for `--help`. */
export const fileRows: readonly string[] = [...randomRowNames, ...Object.values(rowNames)];

/** Issue 5, point 5. */
const claims: Claim[] = [
  { row: rowNames.read, metric: 'speed', against: 'bun stream', relation: '>=', limit: 1 },
  ...['createReadStream 64 KiB', 'createReadStream 1 MiB'].map(
    (against): Claim => ({ row: rowNames.read, metric: 'speed', against, relation: '>=', limit: 1.5 }),
  ),
  ...['fs.promises', 'fs.readFile', 'readFileSync', 'bun bytes', 'bun fs.promises'].map(
    (against): Claim => ({ row: rowNames.readWhole, metric: 'speed', against, relation: '>=', limit: 1.3 }),
  ),
  { row: rowNames.write, metric: 'speed', against: 'bun writer', relation: '>=', limit: 1 },
  ...['createWriteStream 64 KiB', 'createWriteStream 1 MiB'].map(
    (against): Claim => ({ row: rowNames.write, metric: 'speed', against, relation: '>=', limit: 1.5 }),
  ),
  ...['fs.promises', 'writeFileSync', 'bun write', 'bun fs.promises'].map(
    (against): Claim => ({ row: rowNames.writeWhole, metric: 'speed', against, relation: '>=', limit: 1.3 }),
  ),
  { row: rowNames.stat, metric: 'rate', against: 'fs.promises', relation: '>=', limit: 4 },
  { row: rowNames.readFile, metric: 'rate', against: 'fs.promises', relation: '>=', limit: 3 },
  { row: rowNames.readdir, metric: 'rate', against: 'fs.promises', relation: '>=', limit: 2 },
];

/** Makes the data, finds the peers, and names the rows. */
export async function files(options: BenchOptions, leftOut: Result['leftOut']): Promise<Benchmark> {
  const ringwheel = await builtPackage(options);
  const directory = workspace(options);
  const size = options.fileMebibytes * 2 ** 20;
  const warmSize = Math.min(size, 16 * 2 ** 20);
  const file = path.join(directory, `blocks-${options.fileMebibytes}.bin`);
  const warmFile = path.join(directory, `warm-${warmSize}.bin`);
  await makeBlocks(file, size);
  await makeBlocks(warmFile, warmSize);
  warm(file);
  const takesDirect = direct(file);
  const scratch = mkdtempSync(path.join(directory, 'samples-'));
  whenEnding(() => rmSync(scratch, { recursive: true, force: true }));
  const tree = treeOf(scratch, options.smoke ? 200 : 100_000);
  say(`${options.fileMebibytes} MiB on ${filesystem(directory)}, all of it in the page cache`);
  warnOfMemory(size);
  const given = { ringwheel, file, size, warmFile, warmSize, target: path.join(scratch, 'written') };
  const ofTree = manyPlans(ringwheel, tree, options);
  if (ofTree.some(({ row }) => passes(row, options.rows))) makeTree(tree);
  const plans = [...sequentialPlans(given), ...ofTree];
  const names = plans.flatMap(({ ways }) => ways.map((way) => (typeof way === 'string' ? way : way.name)));
  const others = await otherRuntimes(names, options, leftOut);
  const rows = await randomRows({ file, ringwheel, scratch, takesDirect, others }, options, leftOut);
  for (const plan of plans) rows.push(rowOf(plan, size, others, options));
  return { rows, claims: [...randomClaims, ...claims] };
}

function rowOf(
  { row, metrics, task, ways }: Plan,
  size: number,
  runtimes: readonly Runtime[],
  options: BenchOptions,
): Row {
  const wanted = ways.filter((way) => !options.smoke || typeof way === 'string'); // The others are the same code elsewhere.
  const contenders = wanted.flatMap(
    (way) => taskContender(typeof way === 'string' ? { name: way } : way, task, size, runtimes, options) ?? [],
  );
  return { name: row, metrics, contenders };
}

function sequentialPlans(given: Record<string, unknown>): Plan[] {
  const plan = (row: string, task: string, ways: readonly (Way | string)[]): Plan => ({
    row,
    metrics: sequential,
    task: { suite: 'sequential', task, ...given },
    ways,
  });
  return [
    plan(rowNames.read, 'read', [
      'ringwheel',
      'ringwheel readAt 1 MiB',
      ...['createReadStream 64 KiB', 'createReadStream 1 MiB', 'FileHandle.read 1 MiB', 'readSync 1 MiB'],
      ...['bun stream', 'deno stream'],
    ]),
    touching(
      plan(rowNames.write, 'write', [
        'ringwheel',
        ...['ringwheel writeAt 1 MiB leases', 'ringwheel writeAt 1 MiB'],
        ...['createWriteStream 64 KiB', 'createWriteStream 1 MiB', 'FileHandle.write 1 MiB', 'writeSync 1 MiB'],
        ...['bun writer', 'deno write 1 MiB'],
      ]),
    ),
    touching(
      plan(rowNames.readWhole, 'readWhole', [
        'ringwheel',
        'ringwheel readAll',
        ...['fs.promises', 'fs.readFile', 'readFileSync'],
        ...['bun bytes', 'bun fs.promises', 'deno readFile'],
      ]),
    ),
    touching(
      plan(rowNames.writeWhole, 'writeWhole', [
        'ringwheel',
        ...['fs.promises', 'writeFileSync'],
        ...['bun write', 'bun fs.promises', 'deno writeFile'],
      ]),
    ),
  ];
}

/** As much memory as these take is the guest's own before each sample. */
const touching = (plan: Plan): Plan => ({
  ...plan,
  task: { ...plan.task, touched: Math.ceil(Number(plan.task.size) * 1.1) },
});

/** A tree of directories with the same number of files each. */
interface Tree {
  tree: string;
  directories: number;
  perDirectory: number;
  count: number;
  entries: number;
  bytes: number;
}

function manyPlans(ringwheel: string, tree: Tree, { smoke, quick }: BenchOptions): Plan[] {
  const plan = (row: string, task: string, count: number, ways: readonly (Way | string)[]): Plan => ({
    row,
    metrics: many,
    task: { suite: 'many', task, ringwheel, ...tree, count },
    ways,
  });
  return [
    plan(rowNames.stat, 'stat', tree.count, [
      'ringwheel',
      ...withPools('fs.promises', quick),
      ...withPools('fs.stat', quick),
      ...['statSync', 'bun fs.promises', 'deno fs.promises', 'deno stat'],
    ]),
    plan(rowNames.readFile, 'readFile', smoke ? tree.count : 10_000, [
      'ringwheel',
      ...withPools('fs.promises', quick),
      ...withPools('fs.readFile', quick),
      ...['readFileSync', 'bun fs.promises', 'bun bytes', 'deno readFile'],
    ]),
    plan(rowNames.readdir, 'readdir', tree.count, [
      'ringwheel',
      ...withPools('fs.promises', quick),
      ...['readdirSync', 'bun fs.promises', 'deno fs.promises'],
    ]),
  ];
}

/** Files of 4 KiB, 100 in a directory. */
function treeOf(directory: string, count: number): Tree {
  const perDirectory = Math.min(100, count / 2);
  const directories = count / perDirectory;
  return {
    tree: path.join(directory, 'tree'),
    directories,
    perDirectory,
    count,
    entries: directories + count,
    bytes: 4096,
  };
}

/** Makes them, with the first block of the large file in each. */
function makeTree({ tree, directories, perDirectory, count, bytes }: Tree): void {
  say(`making ${count} files …`);
  mkdirSync(tree);
  const block = new Uint8Array(bytes);
  new DataView(block.buffer).setUint32(0, 0x9e3779b1, true);
  for (let index = 0; index < directories; index++) {
    mkdirSync(path.join(tree, `d${index}`));
    for (let number = 0; number < perDirectory; number++) {
      writeFileSync(path.join(tree, `d${index}`, `f${number}`), block);
    }
  }
}

/** Where memory is short, reading a file whole measures how the kernel finds some, and finds no huge pages. */
function warnOfMemory(size: number): void {
  try {
    const free = Number(/^MemFree:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'latin1'))?.[1]) * 1024;
    if (free >= 3 * size) return;
    const [has, wants] = [free, 3 * size].map((bytes) => Math.round(bytes / 2 ** 20));
    say(
      `only ${has} MiB of memory are free, not ${wants}: whole files are slower for everybody (sysctl vm.drop_caches=3)`,
    );
  } catch {
    // Not Linux.
  }
}

/** Whether the file system opens a file past its cache. What was written of it is on the disk then. */
function direct(file: string): boolean {
  if (process.platform !== 'linux') return false;
  const written = openSync(file, 'r+');
  fsyncSync(written);
  closeSync(written);
  try {
    closeSync(openSync(file, constants.O_RDONLY | constants.O_DIRECT));
    return true;
  } catch {
    return false;
  }
}
