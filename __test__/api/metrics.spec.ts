// Metrics: what a real registry of prom-client answers to a scrape, parsed, beside what `stats()` and `latencies()` say.
import test from 'ava';
import { AggregatorRegistry, Counter, Registry } from 'prom-client';
import { Executor, File, TaskQueue } from '../../index';
import { collectMetrics } from '../../metrics';
import { executorOf, fileOf, pattern } from '../drivers';
import { serverOf, siteOf } from '../support/http';

interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

interface Scrape {
  types: Map<string, string>;
  samples: Sample[];
  /** The one value of a name and these labels. */
  value(name: string, labels?: Record<string, string>): number | undefined;
}

/** The text format, as strictly as Prometheus reads it: each series once, below the TYPE of its family. */
function parse(text: string): Scrape {
  const types = new Map<string, string>();
  const samples: Sample[] = [];
  const seen = new Set<string>();
  let family = '';
  for (const line of text
    .split('\n')
    .filter((each) => each !== '' && each !== '# EOF' && !each.startsWith('# HELP '))) {
    const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line);
    if (type !== null) {
      family = type[1] as string;
      if (types.has(family)) throw new Error(`${family} comes twice`);
      types.set(family, type[2] as string);
      continue;
    }
    const [, name = '', inner = '', value = ''] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (!name.startsWith(family) || Number.isNaN(Number(value))) throw new Error(`not a sample of ${family}: ${line}`);
    const key = line.slice(0, line.lastIndexOf(' '));
    if (seen.has(key)) throw new Error(`${key} comes twice`);
    seen.add(key);
    const labels = Object.fromEntries(
      [...inner.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, label, text]) => [label, text]),
    );
    samples.push({ name, labels, value: Number(value) });
  }
  const fits = (sample: Sample, labels: Record<string, string>) =>
    Object.entries(labels).every(([label, text]) => sample.labels[label] === text);
  const value = (name: string, labels: Record<string, string> = {}) =>
    samples.find((sample) => sample.name === name && fits(sample, labels))?.value;
  return { types, samples, value };
}

const scrape = async (register: Registry) => parse(await register.metrics());

/** Histograms: rising, ended by +Inf, which is the count. Returns how many there are. */
function histogramsOf({ types, samples, value }: Scrape): number {
  const rows = new Map<string, Sample[]>();
  for (const sample of samples) {
    const family = sample.name.replace(/_bucket$/, '');
    if (family === sample.name || types.get(family) !== 'histogram') continue;
    const { le: _, ...labels } = sample.labels;
    const key = JSON.stringify([family, labels]);
    rows.set(key, [...(rows.get(key) ?? []), sample]);
  }
  for (const [key, buckets] of rows) {
    const [family, labels] = JSON.parse(key) as [string, Record<string, string>];
    const ends = buckets.map(({ labels: { le } }) => (le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le)));
    const counts = buckets.map(({ value: count }) => count);
    const rises = (list: number[]) => list.every((each, index) => index === 0 || each >= (list[index - 1] as number));
    const count = value(`${family}_count`, labels);
    const sum = value(`${family}_sum`, labels);
    if (!rises(ends) || !rises(counts) || counts.at(-1) !== count || ends.at(-1) !== Number.POSITIVE_INFINITY)
      throw new Error(`${key}: ${JSON.stringify(buckets)}`);
    if (sum === undefined || sum < 0 || (count === 0) !== (sum === 0))
      throw new Error(`${key}: sum ${sum} of ${count}`);
  }
  return rows.size;
}

test.serial('an executor, its queues and its operations are scraped', async (t) => {
  const executor = executorOf(t);
  const register = new Registry();
  collectMetrics(register);
  const file = await File.open(fileOf(pattern(4096)));
  const target = new Uint8Array(64);
  for (let index = 0; index < 640; index++) await file.readAt(target, index);
  // Two of one name are one series: their sum.
  await using one = new TaskQueue({ name: 'say "twice"' });
  await using other = new TaskQueue({ name: 'say "twice"' });
  await Promise.all([one, other].map((queue) => queue.spawn(() => {})));
  await new Promise((resolve) => setImmediate(resolve));

  const scraped = await scrape(register);
  const { completed, files, arenaBytes } = executor.stats();
  t.is(scraped.value('ringwheel_operations_completed_total'), completed);
  t.is(scraped.value('ringwheel_files'), files);
  t.is(scraped.value('ringwheel_arena_bytes'), arenaBytes);
  t.is(scraped.value('ringwheel_queues'), 2);
  const { read } = executor.latencies();
  t.is(scraped.value('ringwheel_operation_seconds_count', { operation: 'read' }), read?.samples);
  t.is(scraped.value('ringwheel_operation_seconds_sum', { operation: 'read' }), (read?.sumUs ?? 0) / 1e6);
  const queue = { queue: 'say \\"twice\\"' };
  t.is(scraped.value('ringwheel_queue_slices_total', queue), one.stats().slices + other.stats().slices);
  t.is(scraped.value('ringwheel_queue_wait_seconds_count', queue), 2, 'the first of each is timed');
  t.true((scraped.value('ringwheel_queue_wait_seconds_sum', queue) as number) > 0);
  t.is(scraped.types.get('ringwheel_operation_seconds'), 'histogram');
  t.is(scraped.types.get('ringwheel_operations_in_flight'), 'gauge');
  for (const [name, type] of scraped.types) t.is(type === 'counter', name.endsWith('_total'), name);
  t.true(histogramsOf(scraped) >= 5);
  await file.close();
});

test.serial('what adaptive submission does is scraped where it is on', async (t) => {
  const register = new Registry();
  collectMetrics(register);
  t.is((await scrape(register)).value('ringwheel_disk_granted_total'), undefined, 'it is off');
  await Executor.current().close();
  await using executor = Executor.start({ adaptive: true });
  const file = await File.open(fileOf(pattern(4096)));
  for (let index = 0; index < 10; index++) await file.readAt(new Uint8Array(64), index);
  const scraped = await scrape(register);
  const { adaptive } = executor.stats();
  t.is(scraped.value('ringwheel_disk_granted_total'), 10);
  t.is(scraped.value('ringwheel_disk_depth_bytes'), adaptive?.depthBytes);
  t.is(scraped.value('ringwheel_disk_waiting'), 0);
  await file.close();
});

test.serial('file servers are scraped, each by its address', async (t) => {
  const root = siteOf(t, { 'index.html': 'hello' });
  const servers = [await serverOf(t, root), await serverOf(t, root)];
  const register = new Registry();
  collectMetrics(register, { servers, prefix: 'site:', labels: { host: 'a' } });
  for (const path of ['', 'nothing']) await (await fetch(`${servers[0]?.url}/${path}`)).text();
  await t.notThrowsAsync(async () => {
    // A response is counted as it begins, which the client may see first.
    for (let round = 0; round < 1000 && servers[0]?.stats().requests !== 2; round++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  });
  const scraped = await scrape(register);
  const [first, second] = servers.map(({ port }) => ({ address: `127.0.0.1:${port}`, host: 'a' }));
  t.is(scraped.value('site:server_requests_total', first), 2);
  t.is(scraped.value('site:server_requests_total', second), 0);
  t.is(scraped.value('site:server_responses_total', { ...first, code: '200' }), 1);
  t.is(scraped.value('site:server_responses_total', { ...first, code: '404' }), 1);
  t.true((scraped.value('site:server_sent_bytes_total', first) as number) > 5);
});

test.serial('the label of every value, OpenMetrics, and what a cluster merges', async (t) => {
  executorOf(t);
  const register = new Registry();
  register.setContentType(Registry.OPENMETRICS_CONTENT_TYPE as never);
  collectMetrics(register, { labels: { worker: '1' } });
  const text = await register.metrics();
  t.true(text.endsWith('# EOF\n'));
  t.regex(text, /^# TYPE ringwheel_turns counter\nringwheel_turns_total\{worker="1"\} \d+$/m);
  for (const { name, labels } of parse(text).samples) t.is(labels.worker, '1', name);
  const merged = AggregatorRegistry.aggregate([
    await register.getMetricsAsJSON(),
    await register.getMetricsAsJSON(),
  ] as never);
  const { leases } = Executor.current().stats();
  t.is(parse(await merged.metrics()).value('ringwheel_leases'), 2 * leases);
});

test.serial('a scrape starts no executor and survives one that is closed', async (t) => {
  const executor = executorOf(t);
  const [of, whichever] = [new Registry(), new Registry()];
  collectMetrics(of, { executor });
  collectMetrics(whichever);
  await executor.close();
  t.is((await scrape(of)).value('ringwheel_turns_total'), undefined);
  t.deepEqual((await scrape(whichever)).samples, []);
  const again = Executor.start();
  t.true(((await scrape(whichever)).value('ringwheel_arena_bytes') as number) > 0, 'the next one is found');
  t.is((await scrape(of)).value('ringwheel_turns_total'), undefined);
  await again.close();
});

test.serial('what is registered twice is refused whole, and what is taken out is gone', async (t) => {
  const register = new Registry();
  new Counter({ name: 'ringwheel_queue_ready', help: 'mine', registers: [register] });
  t.throws(() => collectMetrics(register), { message: /ringwheel_queue_ready has already been registered/ });
  t.deepEqual(
    register.getMetricsAsArray().map(({ name }) => name),
    ['ringwheel_queue_ready'],
  );
  const remove = collectMetrics(register, { prefix: 'other_' });
  t.true(register.getMetricsAsArray().length > 20);
  register.resetMetrics();
  remove();
  remove();
  t.is(register.getMetricsAsArray().length, 1);
});

test('wrong arguments are errors that name value, range and remedy', (t) => {
  const code = 'ERR_RINGWHEEL_INVALID_OPTION';
  const register = new Registry();
  const wrong = (options: unknown, message: RegExp) =>
    t.throws(() => collectMetrics(register, options as never), { code, message });
  t.throws(() => collectMetrics(undefined as never), {
    code,
    message: /register must be a Registry of prom-client; got undefined/,
  });
  wrong(5, /options must be an object; got 5/);
  wrong(null, /options must be an object; got null/);
  wrong({ prefiks: 'a' }, /did you mean 'prefix'\?/);
  wrong({ prefix: '1a' }, /prefix must be letters, digits, _ and :, at most 64, no digit first; got '1a'/);
  wrong({ executor: {} }, /executor must be an Executor; got an object/);
  wrong({ servers: [{}] }, /servers must be an array of FileServers; got an array/);
  wrong({ labels: { le: '1' } }, /none of le, /);
  wrong({ labels: { 'a-b': '1' } }, /labels must be/);
  t.deepEqual(register.getMetricsAsArray(), []);
});
