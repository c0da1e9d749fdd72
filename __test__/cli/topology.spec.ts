// `ringwheel topology`: this machine for people and programs, and the picture of a machine that no test runs on.
import test from 'ava';
import { topology } from '../../index';
import type { Topology } from '../../lib/api/topology';
import { draw, ranges } from '../../lib/cli/topology';
import { ringwheel, serving } from '../support/command';

test('--json is what topology() gives, with the members of a placement', async (t) => {
  const { code, stdout, stderr } = await ringwheel(['topology', '--json', '--placement', 'max-spread']);
  t.is(code, 0, stderr);
  const { members, ...machine } = JSON.parse(stdout);
  const here = topology();
  t.deepEqual(machine.cpus, here.cpus);
  t.deepEqual(machine.usable, here.usable);
  t.is(members.length, here.parallelism);
  t.is(new Set(members.map(({ cpus }: { cpus: number[] }) => cpus[0])).size, members.length);
});

test('the text has every CPU, what limits the process, and the members', async (t) => {
  const { code, stdout, stderr } = await ringwheel(['topology', '--placement', 'max-pack', '--size', '1']);
  t.is(code, 0, stderr);
  for (const { core } of topology().cpus) t.regex(stdout, new RegExp(`\\[core ${core}: `));
  t.regex(stdout, /this process may use CPUs /);
  t.regex(stdout, /CPU quota/);
  t.regex(stdout, /^member 0 {2}CPU \d+, core \d+ of package 0/m);
});

test('what cannot be is one line with the remedy', async (t) => {
  for (const [args, message] of [
    [['--size', '2'], /^ringwheel: --size needs a --placement, such as --placement max-spread\n$/],
    [['--placement', 'max-spread', '--size', '1024'], /^ringwheel: .*use a size of at most \d+.*\n$/],
    [['--placement', 'unbound', '--nodes', '0'], /^ringwheel: --nodes does not go with --placement unbound.*\n$/],
    [['--placement', 'fenced', '--packages', '77'], /^ringwheel: .*there is no package 77.*\n$/],
    [['--placement', 'wide'], /^ringwheel: .*Allowed choices are unbound.*\n$/],
  ] as [string[], RegExp][]) {
    const { code, stderr } = await ringwheel(['topology', ...args]);
    t.is(code, 2, stderr);
    t.regex(stderr, message);
  }
});

/** Two packages, the second one small, as a kernel would describe them. */
const machine: Topology = {
  cpus: [
    { number: 0, core: 0, package: 0, node: 0, thread: 0, kind: 0, caches: [4, 0] },
    { number: 1, core: 1, package: 0, node: 0, thread: 0, kind: 0, caches: [4, 1] },
    { number: 2, core: 2, package: 1, node: 1, thread: 0, kind: 1, caches: [5] },
    { number: 3, core: 3, package: 1, node: 1, thread: 0, kind: 1, caches: [5] },
    { number: 4, core: 0, package: 0, node: 0, thread: 1, kind: 0, caches: [4, 0] },
  ],
  cores: [
    { package: 0, cpus: [0, 4] },
    { package: 0, cpus: [1] },
    { package: 1, cpus: [2] },
    { package: 1, cpus: [3] },
  ],
  packages: [
    { kernelId: 0, cpus: [0, 1, 4] },
    { kernelId: 36, cpus: [2, 3] },
  ],
  nodes: [
    { number: 0, cpus: [0, 1, 4], memoryBytes: 64 * 2 ** 30, distances: [10, 21] },
    { number: 1, cpus: [2, 3], distances: [21, 10] },
  ],
  caches: [
    { level: 2, kind: 'unified', bytes: 2 ** 20, cpus: [0, 4] },
    { level: 2, kind: 'unified', bytes: 2 ** 20, cpus: [1] },
    { level: 1, kind: 'data', bytes: 0, cpus: [2] },
    { level: 1, kind: 'data', bytes: 0, cpus: [3] },
    { level: 3, kind: 'unified', bytes: 1.5 * 2 ** 25, cpus: [0, 1, 4] },
    { level: 2, kind: 'unified', bytes: 512 * 1024, cpus: [2, 3] },
  ],
  offline: [5, 6, 7],
  usable: [0, 1, 2, 4],
  parallelism: 2,
  limits: {
    affinity: [0, 1, 2, 4],
    cpuset: { cpus: [0, 1, 2, 4], file: '/sys/fs/cgroup/cpuset.cpus.effective' },
    quota: { cpus: 2.5, file: '/sys/fs/cgroup/cpu.max' },
  },
  notes: ['something was hidden'],
};

test('the picture', (t) => {
  const picture = draw(machine, [{ cpus: [0], node: 0 }, { cpus: [0] }, { cpus: [2], node: 1 }, {}]);
  t.is(
    picture,
    `package 0
└─ node 0, 64 GiB
   └─ L3 48 MiB
      └─ [core 0: 0#0#1 4, L2 1 MiB, kind 0] [core 1: 1, L2 1 MiB, kind 0]
package 1 (the kernel calls it 36)
└─ node 1
   └─ L2 512 KiB
      └─ [core 2: 2#2, kind 1] [core 3: (3), kind 1]

Numbers are CPUs, in parentheses those that this process may not use, #N is member N of the pool.

this process may use CPUs 0-2,4, 2 threads at once
  affinity mask  0-2,4
  cpuset         0-2,4  (/sys/fs/cgroup/cpuset.cpus.effective)
  CPU quota      2.5 CPUs' worth  (/sys/fs/cgroup/cpu.max)
  offline        5-7

member 0  CPU 0, core 0 of package 0, memory of node 0
member 1  CPU 0, core 0 of package 0
member 2  CPU 2, core 2 of package 1, memory of node 1
member 3  wherever the kernel puts it

note: something was hidden
`,
  );
});

test('numbers are written as the kernel does', (t) => {
  t.is(ranges([3, 1, 0, 2, 8]), '0-3,8');
  t.is(ranges([]), 'none');
});

test('serve takes a placement, and refuses one that cannot be', async (t) => {
  const { running, facts } = await serving([
    'examples/site',
    '--port',
    '0',
    '--cores',
    '1',
    '--placement',
    'max-spread',
  ]);
  t.is(facts.cores, 1);
  t.is((await fetch(facts.url)).status, 200);
  running.child.kill('SIGTERM');
  t.is((await running.ended).code, 0);
  const all = await serving(['examples/site', '--port', '0', '--placement', 'max-pack']);
  t.is(all.facts.cores, topology().parallelism, 'without --cores one for each CPU');
  all.running.child.kill('SIGTERM');
  await all.running.ended;
  const { code, stderr } = await ringwheel(['serve', '--cores', '1024', '--placement', 'max-spread']);
  t.is(code, 2);
  t.regex(stderr, /1024 members have only .* use a size of at most \d+/);
});
