// The page: asks for the figures once a second and shows them, for as long as it is open, whatever becomes of the server meanwhile.
import type { CoreStats, ServerStats } from '../lib/api/file-server';
import { Chart } from './chart';
import { type Answer, History, within } from './figures';
import { bytes, duration, number, percent, time } from './format';

const EVERY_MS = 1000;
/** Samples that latencies are shown of: a minute. */
const WINDOW = 60;

const history = new History();
const requests = new Chart(element('requests-chart'), number, 10);
const sent = new Chart(element('bytes-chart'), bytes, 2);
let hasAnswered = false;

function element(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found;
}

function say(id: string, text: string): void {
  const place = element(id);
  if (place.textContent !== text) place.textContent = text;
}

function make(tag: string, className = '', text = ''): HTMLElement {
  const made = document.createElement(tag);
  if (className !== '') made.className = className;
  made.textContent = text;
  return made;
}

async function ask(): Promise<Answer | undefined> {
  try {
    const answer = await fetch('stats.json', { signal: AbortSignal.timeout(5000), cache: 'no-store' });
    return answer.ok ? ((await answer.json()) as Answer) : undefined;
  } catch {
    return undefined; // Gone, or not there yet: it is asked again.
  }
}

async function look(): Promise<void> {
  const answer = await ask();
  history.add(Date.now() / 1000, answer);
  hasAnswered ||= answer !== undefined;
  showState(answer);
  showCharts();
  if (answer !== undefined) {
    showFacts(answer);
    showTiles(answer.stats);
    showLatency(answer.stats);
    showCounts(answer.stats);
    showCores(answer.stats);
    showCache(answer.stats);
  }
  setTimeout(look, EVERY_MS);
}

function showState(answer: Answer | undefined): void {
  element('state').className = answer === undefined ? 'lost' : answer.state;
  const lost = hasAnswered ? 'cannot be reached: trying again' : 'no answer yet: trying again';
  say('state-text', answer === undefined ? lost : answer.state);
  document.title = `${answer === undefined ? '✕' : number(history.now(({ requests }) => requests))} · ringwheel`;
}

function showFacts({ version, url, driver, startedAt, now, notes }: Answer): void {
  say('version', version);
  say('url', url);
  (element('url') as HTMLAnchorElement).href = url;
  say('driver', driver);
  say('uptime', duration(now - startedAt));
  say('notes', notes.join(' '));
}

function showTiles(stats: ServerStats): void {
  const rate = history.now(({ requests }) => requests);
  const hits = history.now(({ cacheHits }) => cacheHits);
  say('requests', number(rate));
  say('bytes', bytes(history.now((each) => each.bytes)));
  say('connections', number(stats.connections));
  say('hits', percent(rate === null || hits === null || rate === 0 ? null : Math.min(1, hits / rate)));
}

function showCharts(): void {
  requests.show(
    history.times,
    history.rates((stats) => stats.requests),
  );
  sent.show(
    history.times,
    history.rates((stats) => stats.bytes),
  );
}

function showLatency({ latency }: ServerStats): void {
  const samples = history.growth((stats) => stats.latency.samples, WINDOW);
  const steps = latency.buckets.map(({ leUs }, index) => ({
    leUs,
    count: history.growth((stats) => stats.latency.buckets[index]?.count ?? 0, WINDOW),
  }));
  say('p50', time(within(steps, samples, 0.5)));
  say('p99', time(within(steps, samples, 0.99)));
  const single = steps.map(({ leUs, count }, index) => ({ leUs, count: count - (steps[index - 1]?.count ?? 0) }));
  single.push({ leUs: Number.POSITIVE_INFINITY, count: samples - (steps.at(-1)?.count ?? 0) });
  const used = single.map(({ count }) => count > 0);
  const shown = single.slice(Math.max(0, used.indexOf(true)), used.lastIndexOf(true) + 1);
  const most = Math.max(...shown.map(({ count }) => count));
  const rows = shown.flatMap(({ leUs, count }) => {
    const bar = make('div', 'bar');
    bar.style.width = `${(count / most) * 100}%`;
    return [
      make('span', 'upper', leUs === Number.POSITIVE_INFINITY ? time(leUs) : `≤ ${time(leUs)}`),
      bar,
      make('span', 'count', number(count)),
    ];
  });
  element('latency').replaceChildren(
    ...(samples > 0 ? rows : [make('p', '', 'Nothing was timed in the last minute.')]),
  );
}

function showCounts(stats: ServerStats): void {
  const row = (name: string, read: (stats: ServerStats) => number, total: number, isError: boolean) => {
    const line = make('tr', isError ? 'error' : '');
    const head = make('th', '', name);
    head.setAttribute('scope', 'row');
    line.append(head, make('td', 'number', number(history.now(read))), make('td', 'number', number(total)));
    return line;
  };
  const codes = Object.entries(stats.statuses).map(([code, total]) =>
    row(code, (each) => each.statuses[code] ?? 0, total, code >= '500'),
  );
  element('statuses').replaceChildren(...codes);
  const ends: [string, (stats: ServerStats) => number][] = [
    ['a timeout', (each) => each.timeouts],
    ['a cut in mid-answer', (each) => each.cut],
    ['a refusal: no room', (each) => each.shed],
  ];
  element('ends').replaceChildren(...ends.map(([name, read]) => row(name, read, read(stats), false)));
}

function showCores({ cores }: ServerStats): void {
  const rows = cores.map((core, index) => {
    const rate = (read: (core: CoreStats) => number) => history.now((stats) => read(stats.cores[index] ?? core));
    const cells = [
      bytes(rate((each) => each.bytes)),
      number(core.connections),
      number(core.tasks),
      number(core.inFlight),
      ...[rate((each) => each.completed), rate((each) => each.turns), rate((each) => each.enters)].map(number),
      number(core.stalls),
    ];
    const line = make('tr');
    const head = make('th', '', core.cpu === undefined ? `${index}` : `${index} on CPU ${core.cpu}`);
    head.setAttribute('scope', 'row');
    const load = make('td', 'load');
    load.append(meter(loadOf(index)));
    line.append(
      head,
      load,
      make('td', 'number', number(rate((each) => each.requests))),
      ...cells.map((text) => make('td', 'number', text)),
    );
    return line;
  });
  element('cores').replaceChildren(...rows);
}

/** CPU time by time, over the last looks of the core at itself, some seconds of them: it looks about once a second. */
function loadOf(index: number): number {
  const grew = (read: (core: CoreStats) => number) =>
    history.growth((stats) => {
      const core = stats.cores[index];
      return core === undefined ? 0 : read(core);
    }, 4);
  const looked = grew((core) => core.lookedMs);
  return looked > 0 ? Math.min(1, grew((core) => core.cpuMs) / looked) : 0;
}

function meter(share: number): HTMLElement {
  const [whole, track, fill] = [make('div', 'meter'), make('div', 'track'), make('div', 'fill')];
  fill.style.width = `${share * 100}%`;
  track.append(fill);
  whole.append(track, make('span', 'text', percent(share)));
  return whole;
}

function showCache(stats: ServerStats): void {
  const facts: [string, string][] = [
    ['ready-made responses', number(stats.cacheEntries)],
    ['their bytes', bytes(stats.cacheBytes)],
    ['open files', number(stats.openFiles)],
    ['loads per second', number(history.now(({ loads }) => loads))],
    ['loads', number(stats.loads)],
    ['accepted per second', number(history.now(({ accepted }) => accepted))],
    ['stalls', number(stats.stalls)],
    ['the longest', `${number(stats.longestStallMs)} ms`],
  ];
  const rows = facts.map(([name, value]) => {
    const row = make('div');
    row.append(make('dt', '', name), make('dd', '', value));
    return row;
  });
  element('cache').replaceChildren(...rows);
}

void look();
