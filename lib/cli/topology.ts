// `ringwheel topology`: a picture of packages, nodes, caches, cores and CPUs, what limits this process, and where members would go.
import type { Placement } from '../api/placement.js';
import type { Cache, Topology } from '../api/topology.js';
import { Failure } from './failure.js';

/** The options of `ringwheel topology` as commander hands them over. */
export interface TopologyOptions {
  readonly json: boolean;
  readonly placement?: 'unbound' | 'fenced' | 'max-spread' | 'max-pack';
  readonly size?: number;
  readonly packages?: readonly number[];
  readonly cores?: readonly number[];
  readonly nodes?: readonly number[];
  readonly cpus?: readonly number[];
}

/** Where a member would run. */
interface Seat {
  readonly cpus?: readonly number[];
  readonly node?: number;
}

/** Characters of a line of cores. */
const WIDTH = 96;

/** Prints the machine, as text or as JSON, and with a placement the seats of its members. */
export async function topology(options: TopologyOptions): Promise<void> {
  const api = await import('../api/topology.js');
  const machine = api.topology();
  const seats = await seatsFor(options);
  const members = seats === undefined ? {} : { members: seats };
  const text = options.json ? `${JSON.stringify({ ...machine, ...members }, undefined, 2)}\n` : draw(machine, seats);
  process.stdout.write(text);
}

async function seatsFor(options: TopologyOptions): Promise<readonly Seat[] | undefined> {
  const { placement, size, packages, cores, nodes, cpus } = options;
  const filter = { packages, cores, nodes, cpus };
  const given = Object.entries(filter).filter(([, list]) => list !== undefined);
  if (placement === undefined) {
    const stray = size !== undefined ? 'size' : given[0]?.[0];
    if (stray !== undefined) throw new Failure(`--${stray} needs a --placement, such as --placement max-spread`, 2);
    return undefined;
  }
  if (placement === 'unbound' && given.length > 0) {
    throw new Failure(`--${given[0]?.[0]} does not go with --placement unbound, which leaves members to the kernel`, 2);
  }
  const { seatsOf } = await import('../api/placement.js');
  const wish = given.length === 0 ? placement : ({ kind: placement, ...Object.fromEntries(given) } as Placement);
  try {
    return seatsOf('topology', wish, size);
  } catch (error) {
    throw new Failure((error as Error).message, 2);
  }
}

/** `0-3,8`, as the kernel writes it. */
export function ranges(numbers: readonly number[]): string {
  const parts: [number, number][] = [];
  for (const number of [...numbers].sort((one, other) => one - other)) {
    const last = parts.at(-1);
    if (last !== undefined && number === last[1] + 1) last[1] = number;
    else parts.push([number, number]);
  }
  return parts.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(',') || 'none';
}

function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  let value = count;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value >= 100 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** A part of the picture: a line, and what is inside of it. */
interface Part {
  readonly title: string;
  readonly inside: readonly Part[];
}

/** The picture. Exported for its spec, which draws machines that it does not run on. */
export function draw(machine: Topology, seats: readonly Seat[] | undefined): string {
  const lines: string[] = [];
  for (const part of machine.packages.map((_, index) => packageOf(machine, index, seats))) print(part, '', '', lines);
  lines.push('', legend(machine, seats), '', ...limits(machine));
  if (seats !== undefined) lines.push('', ...table(machine, seats));
  if (machine.notes.length > 0) lines.push('', ...machine.notes.map((note) => `note: ${note}`));
  return `${lines.join('\n')}\n`;
}

function print({ title, inside }: Part, first: string, rest: string, lines: string[]): void {
  lines.push(`${first}${title}`);
  inside.forEach((part, index) => {
    const last = index === inside.length - 1;
    print(part, `${rest}${last ? '└─ ' : '├─ '}`, `${rest}${last ? '   ' : '│  '}`, lines);
  });
}

function packageOf(machine: Topology, index: number, seats: readonly Seat[] | undefined): Part {
  const { kernelId } = machine.packages[index] as { kernelId: number };
  const mine = machine.cpus.filter((cpu) => cpu.package === index).map(({ number }) => number);
  const numbers = [...new Set(machine.cpus.filter((cpu) => cpu.package === index).map((cpu) => cpu.node))];
  const inside = numbers.flatMap((number) => {
    const cpus = mine.filter((cpu) => machine.cpus.find((each) => each.number === cpu)?.node === number);
    if (number === undefined) return cachesOf(machine, cpus, seats);
    const node = machine.nodes.find((each) => each.number === number);
    const memory = node?.memoryBytes === undefined ? '' : `, ${bytes(node.memoryBytes)}`;
    return [{ title: `node ${number}${memory}`, inside: cachesOf(machine, cpus, seats) }];
  });
  const name = kernelId === index ? '' : ` (the kernel calls it ${kernelId})`;
  return { title: `package ${index}${name}`, inside };
}

/** The caches that hold several cores, the largest outside; cores with caches of their own stand side by side. */
function cachesOf(machine: Topology, cpus: readonly number[], seats: readonly Seat[] | undefined, level = 0): Part[] {
  const groups = new Map<number | undefined, number[]>();
  for (const { number, caches } of machine.cpus.filter((cpu) => cpus.includes(cpu.number))) {
    groups.set(caches[level], [...(groups.get(caches[level]) ?? []), number]);
  }
  const parts: Part[] = [];
  const own: number[] = [];
  for (const [index, inside] of groups) {
    const cache = index === undefined ? undefined : machine.caches[index];
    if (cache === undefined || coresIn(machine, inside).length === 1) own.push(...inside);
    else parts.push({ title: cacheTitle(cache), inside: cachesOf(machine, inside, seats, level + 1) });
  }
  return [...coreLines(machine, own, seats, level).map((title) => ({ title, inside: [] })), ...parts];
}

function cacheTitle({ level, bytes: size }: Cache): string {
  return `L${level}${size === 0 ? '' : ` ${bytes(size)}`}`;
}

function coresIn(machine: Topology, cpus: readonly number[]): number[] {
  const found = machine.cpus.filter((cpu) => cpus.includes(cpu.number)).map(({ core }) => core);
  return [...new Set(found)];
}

/** Lines of cores, each at most as wide as a terminal. */
function coreLines(machine: Topology, cpus: readonly number[], seats: readonly Seat[] | undefined, level: number) {
  const lines: string[] = [];
  const kinds = Math.max(...machine.cpus.map(({ kind }) => kind)) > 0;
  for (const index of coresIn(machine, cpus)) {
    const mine = machine.cpus.filter((cpu) => cpu.core === index && cpus.includes(cpu.number));
    const own = mine[0]?.caches[level];
    const cache = own === undefined ? '' : `, ${cacheTitle(machine.caches[own] as Cache)}`;
    const kind = kinds ? `, kind ${mine[0]?.kind}` : '';
    const title = `[core ${index}: ${mine.map(({ number }) => cell(machine, number, seats)).join(' ')}${cache}${kind}]`;
    const last = lines.at(-1);
    if (last !== undefined && last.length + title.length < WIDTH) lines[lines.length - 1] = `${last} ${title}`;
    else lines.push(title);
  }
  return lines;
}

/** A CPU: in parentheses when this process may not use it, with its members after it. */
function cell(machine: Topology, number: number, seats: readonly Seat[] | undefined): string {
  const name = machine.usable.includes(number) ? `${number}` : `(${number})`;
  const single = (seats ?? []).flatMap(({ cpus }, member) =>
    cpus?.length === 1 && cpus[0] === number ? [`#${member}`] : [],
  );
  return `${name}${single.join('')}`;
}

function legend(machine: Topology, seats: readonly Seat[] | undefined): string {
  const words = ['Numbers are CPUs'];
  if (machine.usable.length < machine.cpus.length) words.push('in parentheses those that this process may not use');
  if (seats?.some(({ cpus }) => cpus?.length === 1)) words.push('#N is member N of the pool');
  return `${words.join(', ')}.`;
}

function limits({ usable, parallelism, limits: found, offline }: Topology): string[] {
  const lines = [
    `this process may use CPUs ${ranges(usable)}, ${parallelism} thread${parallelism === 1 ? '' : 's'} at once`,
  ];
  const { affinity, cpuset, quota } = found;
  if (affinity !== undefined) lines.push(`  affinity mask  ${ranges(affinity)}`);
  if (cpuset !== undefined) lines.push(`  cpuset         ${ranges(cpuset.cpus)}  (${cpuset.file})`);
  lines.push(
    quota === undefined ? '  CPU quota      none' : `  CPU quota      ${quota.cpus} CPUs' worth  (${quota.file})`,
  );
  if (offline.length > 0) lines.push(`  offline        ${ranges(offline)}`);
  return lines;
}

function table(machine: Topology, seats: readonly Seat[]): string[] {
  return seats.map(({ cpus, node }, member) => {
    const where =
      cpus === undefined ? 'wherever the kernel puts it' : `CPU${cpus.length > 1 ? 's' : ''} ${ranges(cpus)}`;
    const cpu = cpus?.length === 1 ? machine.cpus.find(({ number }) => number === cpus[0]) : undefined;
    const core = cpu === undefined ? '' : `, core ${cpu.core} of package ${cpu.package}`;
    return `member ${member}  ${where}${core}${node === undefined ? '' : `, memory of node ${node}`}`;
  });
}
