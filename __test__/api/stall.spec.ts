// Stalls of a JavaScript thread: what is told, of which queue, with what on the stacks, and what is no stall.
import test from 'ava';
import { heaviest } from '../../lib/api/stall';
import { ended, script } from '../drivers';

const HOLD = `
const { TaskQueue } = ringwheel;
const { subscribe } = require('node:diagnostics_channel');
function holdTheThread(ms) { const end = performance.now() + ms; let turns = 0; while (performance.now() < end) turns++; return turns; }
const reports = [];
const warnings = [];
process.on('warning', (warning) => { if (warning.code === 'RINGWHEEL_STALL') warnings.push(warning); });
// Names of native functions come out of the binaries: the first time that may take seconds on a busy machine.
const told = async (count) => { for (let i = 0; i < 4000 && reports.length < count; i++) await sleep(5); };
`;

test('by default a stall is counted and published, without a warning', async (t) => {
  const result = await script(`${HOLD}
    subscribe('ringwheel:stall', (report) => reports.push(report));
    const executor = Executor.current();
    await sleep(1);
    setTimeout(() => holdTheThread(300), 5);
    await told(1);
    const [{ durationMs, queue, nativeStack, stack, suppressed }] = reports;
    assert(durationMs >= 250 && durationMs < 20_000, String(durationMs));
    assert.deepStrictEqual({ queue, nativeStack, stack, suppressed }, { queue: 'default', nativeStack: [], stack: [], suppressed: 0 });
    await new Promise(setImmediate);
    assert.deepStrictEqual(warnings, []);
    const { stalls, longestStallMs } = executor.stats();
    assert(stalls >= 1 && longestStallMs >= durationMs, stalls + ' ' + longestStallMs);`);
  ended(t, result);
});

test('with the option it is warned of, with the native and the JavaScript stack', async (t) => {
  const result = await script(
    `${HOLD}
    // Long enough that the start and the reading of a profile are none on a busy machine: five are told of.
    Executor.start({ stall: { ms: 200, profile: true } });
    subscribe('ringwheel:stall', (report) => reports.push(report));
    await sleep(20);
    // A thread that gets no CPU for a tenth of a second gives no native stack: it is held up to four times.
    let holds = 0;
    const hold = () => { holds++; setTimeout(() => holdTheThread(1200), 1); };
    hold();
    // A busy machine may make other stalls before it. On top is itself, or performance.now that it asks all the time.
    const holding = /^holdTheThread \\(.*\\.cjs:\\d+:\\d+\\)$/m;
    const held = () => reports.filter(({ stack }) => holding.test(stack.slice(0, 3).join('\\n')));
    const mine = () => held().find(({ nativeStack }) => nativeStack.length > 0);
    for (let i = 0; i < 4000 && mine() === undefined; i++) {
      if (held().length === holds && holds < 4) hold();
      await sleep(5);
    }
    assert(mine() !== undefined, JSON.stringify(reports));
    const { stack, nativeStack } = mine();
    assert(stack.length >= 2, 'its callers too: ' + stack);
    assert(nativeStack.length >= 1, 'native frames');
    assert(nativeStack.every((frame) => !frame.includes('stall::signal')), nativeStack.join());
    await new Promise(setImmediate);
    assert.strictEqual(warnings.length, reports.length);
    assert.match(warnings[0].message, /^The event loop was stalled for \\d+ ms, in queue default$/);
    assert(warnings.some(({ detail }) => /^    at holdTheThread /m.test(detail)));
    await Executor.current().close();`,
    ['--no-warnings'],
  );
  ended(t, result);
});

test('the queue whose slice it was is named', async (t) => {
  const result = await script(`${HOLD}
    subscribe('ringwheel:stall', (report) => reports.push(report));
    const background = new TaskQueue({ name: 'background' });
    const other = new TaskQueue({ name: 'other' });
    await other.spawn(() => holdTheThread(5));
    // A busy machine makes shorter stalls beside them.
    const long = () => reports.filter(({ durationMs }) => durationMs >= 250).map(({ queue }) => queue);
    // And one that began before the call, when the machine was held, is named after what ran then: hence several rounds.
    const toldOf = async (queue, stall) => {
      for (let round = 0; round < 10 && long().at(-1) !== queue; round++) {
        const before = long().length;
        await stall();
        for (let i = 0; i < 2000 && long().length === before; i++) await sleep(5);
      }
      assert.strictEqual(long().at(-1), queue, long().join());
    };
    await toldOf('background', () => background.spawn(() => { holdTheThread(400); }));
    await other.spawn(() => holdTheThread(5));
    await toldOf('default', () => sleep(1).then(() => holdTheThread(400)));
    assert(!long().includes('other'), long().join());
    await Executor.current().close();`);
  ended(t, result);
});

test('waiting, short callbacks and a watch that is off are no stalls', async (t) => {
  const result = await script(`${HOLD}
    subscribe('ringwheel:stall', (report) => reports.push(report));
    const executor = Executor.start({ stall: { ms: 100 } });
    // Other programs may hold this machine: one time of ten without a stall shows that these are none.
    const isQuiet = async (work) => {
      for (let round = 0; round < 10; round++) {
        const { stalls } = executor.stats();
        await work();
        if (executor.stats().stalls === stalls) return true;
      }
      return false;
    };
    assert(await isQuiet(() => sleep(350)), 'waiting');
    const callbacks = async () => { for (let i = 0; i < 40; i++) { holdTheThread(5); await new Promise(setImmediate); } };
    assert(await isQuiet(callbacks), 'short callbacks');
    await executor.close();
    const off = Executor.start({ stall: false });
    const before = reports.length;
    await sleep(1);
    holdTheThread(300);
    await sleep(50);
    assert.strictEqual(off.stats().stalls, 0);
    assert.strictEqual(reports.length, before);`);
  ended(t, result);
});

test('more than five in a minute are counted, and one that throws or closes the executor hurts nobody', async (t) => {
  const result = await script(
    `${HOLD}
    const executor = Executor.start({ stall: { ms: 10 } });
    subscribe('ringwheel:stall', (report) => { reports.push(report); throw new Error('mine'); });
    process.on('uncaughtException', ({ message }) => assert.strictEqual(message, 'mine'));
    for (let i = 0; i < 9; i++) { await sleep(15); holdTheThread(60); }
    await told(5);
    await sleep(100);
    assert.strictEqual(reports.length, 5);
    assert(executor.stats().stalls >= 8, String(executor.stats().stalls));
    await executor.close();
    const again = Executor.start({ stall: { ms: 10 } });
    subscribe('ringwheel:stall', () => { again.close(); });
    await sleep(1);
    holdTheThread(60);
    for (let i = 0; i < 4000 && reports.length < 6; i++) await new Promise((resolve) => setTimeout(resolve, 5));
    assert(reports.length >= 6, 'closed while it is told'); // A busy machine may make another.
    await again.close();
    assert.throws(() => again.stats(), { code: 'ERR_RINGWHEEL_CLOSED' });`,
    ['--no-warnings'],
  );
  ended(t, result);
});

test('workers that are terminated while they stall leave nothing behind', async (t) => {
  const result = await script(
    `
    if (!isMainThread) {
      Executor.start({ stall: { ms: 1, profile: workerData % 2 === 0 } });
      await sleep(1);
      parentPort.postMessage('stalls');
      for (;;);
    }
    for (let round = 0; round < 20; round++) {
      const worker = new Worker(__filename, { workerData: round });
      await new Promise((resolve) => worker.once('message', resolve));
      await new Promise((resolve) => setTimeout(resolve, 5));
      await worker.terminate();
    }`,
    ['--no-warnings'],
  );
  ended(t, result);
});

test('the heaviest stack of a profile is the one with most samples in the time asked for', (t) => {
  const frame = (functionName: string, url = '', lineNumber = 0) => ({
    functionName,
    url,
    lineNumber,
    columnNumber: 4,
  });
  const nodes = [
    { id: 1, callFrame: frame('(root)'), children: [2, 4] },
    { id: 2, callFrame: frame('main', 'a.js', 1), children: [3] },
    { id: 3, callFrame: frame('', 'a.js', 9) },
    { id: 4, callFrame: frame('(idle)') },
  ];
  const profile = { nodes, startTime: 1000, samples: [4, 4, 4, 3, 3, 2, 4, 4, 4], timeDeltas: Array(9).fill(10) };
  t.deepEqual(heaviest(profile, 1035, 1065), ['(anonymous) (a.js:10:5)', 'main (a.js:2:5)']);
  t.deepEqual(heaviest(profile, 1000, 1030), ['(idle)']);
  t.deepEqual(heaviest(profile, 5000, 6000), []);
});
