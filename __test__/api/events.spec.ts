// What is published on node:diagnostics_channel, and when.
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import test from 'ava';
import { Executor, File, FileServer, type RingwheelEvents } from '../../index';
import { executorOf, fileOf, folder } from '../drivers';

interface Seen {
  name: string;
  // biome-ignore lint/suspicious/noExplicitAny: each channel has its own.
  message: any;
}

/** Collects messages while `work` runs. */
async function published(names: (keyof RingwheelEvents)[], work: () => Promise<void>): Promise<Seen[]> {
  const seen: Seen[] = [];
  const listener = (message: unknown, name: string | symbol) => seen.push({ name: String(name), message });
  for (const name of names) subscribe(name, listener);
  await work();
  for (const name of names) unsubscribe(name, listener);
  return seen;
}

test.serial('an executor tells of its start and its end', async (t) => {
  await executorOf(t).close();
  const seen = await published(['ringwheel:executor:start', 'ringwheel:executor:close'], async () => {
    await Executor.start().close();
  });
  t.deepEqual(
    seen.map(({ name }) => name),
    ['ringwheel:executor:start', 'ringwheel:executor:close'],
  );
  const [{ message }, closed] = seen as [Seen, Seen];
  t.true(message.driver === 'uring' || message.driver === 'poll');
  t.true(Array.isArray(message.notes));
  t.deepEqual(closed.message, {});
});

test.serial('a file tells of its opening and closing, and one that is not opened of nothing', async (t) => {
  const path = fileOf('abc');
  const seen = await published(['ringwheel:file:open', 'ringwheel:file:close'], async () => {
    await t.throwsAsync(File.open(`${path}.none`));
    const file = await File.open(path);
    t.true(file.fd >= 0);
    await file.close();
    await file.close();
  });
  const fd = seen.at(0)?.message.fd;
  t.deepEqual(seen, [
    { name: 'ringwheel:file:open', message: { path, fd } },
    { name: 'ringwheel:file:close', message: { path, forgotten: false } },
  ]);
  t.true(fd >= 0);
});

test.serial('a server tells of its start and its end', async (t) => {
  let url = '';
  const seen = await published(['ringwheel:server:start', 'ringwheel:server:close'], async () => {
    const server = await FileServer.start({ root: folder, port: 0, cores: 1 });
    url = server.url;
    await server.close();
  });
  const driver = seen.at(0)?.message.driver;
  t.deepEqual(seen, [
    { name: 'ringwheel:server:start', message: { url, driver, cores: 1 } },
    { name: 'ringwheel:server:close', message: { url } },
  ]);
});
