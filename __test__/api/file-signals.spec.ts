// Signals of what a File does beside moving bytes: before it begins, while it runs, afterwards.
import { getEventListeners } from 'node:events';
import fs from 'node:fs';
import test from 'ava';
import { File, type SignalOptions } from '../../index';
import { executorOf, fileOf } from '../drivers';

type Call = (file: File, options?: SignalOptions) => Promise<unknown>;

const CALLS: Record<string, Call> = {
  stat: (file, options) => file.stat(options),
  size: (file, options) => file.size(options),
  sync: (file, options) => file.sync(options),
  datasync: (file, options) => file.datasync(options),
  truncate: (file, options) => file.truncate(2, options),
  advise: (file, options) => file.advise('normal', 0, 0, options),
  allocate: (file, options) => file.allocate(0, 4096, { keepSize: true, ...options }),
};

for (const direct of [false, true]) {
  const how = direct ? 'direct' : 'plain';
  for (const [name, call] of Object.entries(CALLS)) {
    // One after the other: it counts what the executor does.
    test.serial(
      `${name} of a ${how} file: a signal that has aborted begins nothing, one that aborts ends it at once`,
      async (t) => {
        const executor = executorOf(t);
        const path = fileOf('content');
        const file = await File.open(path, 'r+', { direct });
        const reason = new Error('enough');
        const controller = new AbortController();
        const { signal } = controller;
        const { submitted, cancels } = executor.stats();

        await t.throwsAsync(call(file, { signal: AbortSignal.abort(reason) }), { is: reason });
        t.is(executor.stats().submitted, submitted, 'the kernel was not asked');
        t.is(fs.statSync(path).size, 7);

        const calls = Array.from({ length: 20 }, () => call(file, { signal }));
        t.is(getEventListeners(signal, 'abort').length, 1);
        let settled = 0;
        for (const each of calls) each.catch(() => settled++);
        await undefined; // A direct file's length is settled first.
        controller.abort(reason);
        // Microtasks alone: no completion comes between.
        for (let turn = 0; turn < 20; turn++) await undefined;
        t.is(settled, 20, 'at once');
        for (const each of calls) await t.throwsAsync(each, { is: reason });
        t.is(getEventListeners(signal, 'abort').length, 0);

        const later = new AbortController();
        await call(file, { signal: later.signal });
        t.is(getEventListeners(later.signal, 'abort').length, 0, 'the listener leaves with the operation');
        later.abort();

        await file.close();
        // What the loop's own thread does at once has ended before the kernel could be asked to end it.
        if (!['advise', 'stat', 'size'].includes(name))
          t.true(executor.stats().cancels > cancels, 'the kernel was asked to end what had begun');
        t.true([2, 7].includes(fs.statSync(path).size));
      },
    );
  }
}

test.serial('what is no signal, and what is no option, is refused by name', async (t) => {
  executorOf(t);
  await using file = await File.open(fileOf('content'), 'r+');
  const code = 'ERR_RINGWHEEL_INVALID_OPTION';
  for (const [name, call] of Object.entries(CALLS)) {
    await t.throwsAsync(call(file, { signal: {} as never }), {
      code,
      message: new RegExp(`^file\\.${name}: .*signal must be an AbortSignal`),
    });
    await t.throwsAsync(call(file, { signals: undefined } as never), { code, message: /signals/ });
  }
  t.is(await file.size(), 7);
});
