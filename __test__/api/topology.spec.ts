// topology() and ExecutorOptions.cpu on this machine; recorded machines are in crates/executor/tests/topology.rs.
import { availableParallelism } from 'node:os';
import test from 'ava';
import { topology } from '../../index';
import { ended, script } from '../drivers';

test('the parts of the machine fit together', (t) => {
  const { cpus, cores, packages, nodes, caches, usable, parallelism, limits } = topology();
  t.true(usable.length >= 1 && parallelism >= 1 && parallelism <= usable.length);
  t.true(usable.length >= availableParallelism() || parallelism === availableParallelism());
  for (const cpu of cpus) {
    t.true(cores[cpu.core]?.cpus.includes(cpu.number));
    t.is(cores[cpu.core]?.package, cpu.package);
    t.true(packages[cpu.package]?.cpus.includes(cpu.number));
    for (const cache of cpu.caches) t.true(caches[cache]?.cpus.includes(cpu.number));
    if (cpu.node !== undefined) t.true(nodes.find(({ number }) => number === cpu.node)?.cpus.includes(cpu.number));
  }
  if (limits.affinity !== undefined) for (const cpu of usable) t.true(limits.affinity.includes(cpu));
});

const MASK = `
  const mask = () => /^Cpus_allowed_list:\\s*(\\S+)/m.exec(require('node:fs').readFileSync('/proc/thread-self/status', 'utf8'))[1];
  const { usable } = ringwheel.topology();
`;

test('cpu pins the thread that starts an executor, and narrows no other', async (t) => {
  const result = await script(`${MASK}
    const last = usable.at(-1);
    Executor.start({ cpu: last });
    assert.equal(mask(), String(last));
    await sleep(1);
    assert.deepEqual(ringwheel.topology().usable, usable, 'the process may use what it could before');
    await Executor.current().close();
    assert.equal(mask(), String(last), 'it stays');
    Executor.start({ cpu: usable }); // and can be changed
    assert.equal(mask().includes(String(usable[0])), true);`);
  ended(t, result);
});

test('a CPU that cannot be had is refused, and no executor is started', async (t) => {
  const result = await script(`
    for (const [cpu, code, words] of [
      [4000, 'PLACEMENT', 'CPU 4000 is not there'],
      [[], 'PLACEMENT', 'set without a CPU'],
      [-1, 'INVALID_OPTION', 'cpu must be a whole number'],
      [[0, 'x'], 'INVALID_OPTION', 'cpu'],
    ]) {
      assert.throws(() => Executor.start({ cpu }), (error) => {
        assert.equal(error.code, 'ERR_RINGWHEEL_' + code, error.message);
        assert.ok(error.message.includes(words), error.message);
        return true;
      });
    }
    assert.ok(Executor.start());`);
  ended(t, result);
});
