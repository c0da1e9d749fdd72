// A soak of the file server: random and broken requests, and files that change while they are sent, with every answer looked at.
import { setTimeout as wait } from 'node:timers/promises';
import { FileServer, type FileServerOptions } from '../../index';
import { broken, plain } from './corpus';
import { Random } from './random';
import { ChangingSite, FILES, SECRET } from './site';
import { answersOf, exchange, shown } from './wire';

/** How much of it. */
export interface SoakOptions {
  readonly seed: number;
  /** Requests; what comes first ends it. */
  readonly requests: number;
  readonly seconds: number;
  readonly driver?: 'auto' | 'uring' | 'poll';
  /** Called now and then. */
  readonly progress?: (report: SoakReport) => void;
}

/** What came of it. */
export interface SoakReport {
  requests: number;
  connections: number;
  /** Bodies of changing files that were compared with what the file held. */
  compared: number;
  /** Downloads of a file that became shorter, or other, on the way: cut. */
  cut: number;
  changes: number;
  /** The oldest answer, milliseconds after the file was replaced. */
  stalest: number;
  readonly statuses: Record<number, number>;
}

/** For how long the server trusts what it has seen, and what a machine under load may add to that before it is a failure. */
const REVALIDATE_MS = 50;
const SLACK_MS = 10_000;

/** What a request may get: all else, a 500 or 503 first of all, is undeserved. */
const DESERVED = new Set([200, 204, 206, 301, 304, 308, 400, 404, 405, 408, 412, 413, 414, 416, 417, 431, 501, 505]);

/** Connections at once. */
const AT_ONCE = 12;

/** Runs a soak. Throws for the first answer that is wrong, with its request. */
export async function soak({ seed, requests, seconds, driver = 'auto', progress }: SoakOptions): Promise<SoakReport> {
  const report: SoakReport = { requests: 0, connections: 0, compared: 0, cut: 0, changes: 0, stalest: 0, statuses: {} };
  const site = new ChangingSite(new Random(seed));
  const options: FileServerOptions = {
    root: site.root,
    port: 0,
    cores: 1,
    driver,
    cache: { revalidateMs: REVALIDATE_MS, bytes: 1 << 20, openFiles: 4 },
    limits: { headerTimeoutMs: 30_000 },
    extensions: ['html'],
    gzip: true,
    redirects: [{ from: '/old/*', to: '/docs/:splat', status: 308 }],
    rewrites: [{ from: '/app/*', to: '/app/index.html' }],
    sites: [{ hosts: ['own.test'], root: site.root, cleanUrls: true, listing: true, compress: true }],
  };
  const server = await FileServer.start(options);
  const until = performance.now() + seconds * 1000;
  const isOver = () => report.requests >= requests || performance.now() >= until;
  const run = async (nth: number): Promise<void> => {
    const random = new Random(seed + 1000 * (nth + 1));
    while (!isOver()) {
      report.connections += 1;
      const kind = random.below(4);
      if (kind === 0) await compare(server.port, site, random, report);
      else if (kind === 1) await ask(server.port, broken(random), report);
      else await ask(server.port, Array.from({ length: random.below(30) + 1 }, () => plain(random)).join(''), report);
      progress?.(report);
    }
  };
  const change = async (): Promise<void> => {
    while (!isOver()) {
      site.change();
      report.changes = site.changes;
      await wait(3);
    }
  };
  try {
    await Promise.all([change(), ...Array.from({ length: AT_ONCE }, (_, nth) => run(nth))]);
    const answer = await fetch(`${server.url}/docs/`);
    if (answer.status !== 200) throw new Error(`afterwards /docs/ is ${answer.status}`);
    for (const late = performance.now() + 60_000; server.stats().connections > 1; await wait(20)) {
      if (performance.now() > late) throw new Error(`${server.stats().connections} connections never ended`);
    }
  } finally {
    await server.close({ deadlineMs: 0 });
    site.close();
  }
  return report;
}

/** Requests whose answers are only looked at for what none may be. */
async function ask(port: number, bytes: Buffer | string, report: SoakReport): Promise<void> {
  const came = await exchange(port, bytes);
  if (came.includes(SECRET)) throw new Error(`the secret came out: ${shown(bytes)}`);
  const text = bytes.toString('latin1');
  // Which request of a broken connection an answer is for, nobody can say: that it is one is enough.
  if (typeof bytes !== 'string') {
    for (const [, status] of came.toString('latin1').matchAll(/(?:^|\n)HTTP\/1\.1 (\d{3}) /g))
      count(Number(status), report, text);
    if (came.length > 0 && !came.subarray(0, 9).equals(Buffer.from('HTTP/1.1 ')))
      throw new Error(`no answer: ${shown(came)} to ${shown(text)}`);
    report.requests += 1;
    return;
  }
  const answers = answersOf(came);
  for (const answer of answers) {
    count(answer.status, report, text);
    if (!answer.whole) report.cut += 1;
  }
  report.requests += answers.length;
}

function count(status: number, report: SoakReport, text: string): void {
  report.statuses[status] = (report.statuses[status] ?? 0) + 1;
  if (!DESERVED.has(status)) throw new Error(`an undeserved ${status}: ${shown(text)}`);
}

/** Requests for files that change: each answer is what the file held then, or a moment before. */
async function compare(port: number, site: ChangingSite, random: Random, report: SoakReport): Promise<void> {
  const files = Array.from({ length: random.below(8) + 1 }, () => random.below(FILES));
  const sent = performance.now();
  const text = files.map((file) => `GET /file-${file} HTTP/1.1\r\nHost: a\r\n\r\n`).join('');
  const answers = answersOf(await exchange(port, text));
  const received = performance.now();
  for (const [at, answer] of answers.entries()) {
    report.requests += 1;
    count(answer.status, report, text);
    const file = files[at] as number;
    if (!answer.whole) {
      throw new Error(`/file-${file} is never written in place, and was cut: ${shown(answer.head)}`);
    }
    const age = site.age(file, answer.status === 200 ? answer.body : undefined, sent, received);
    report.compared += 1;
    report.stalest = Math.max(report.stalest, age);
    if (age > REVALIDATE_MS + SLACK_MS) {
      throw new Error(
        `/file-${file} came as it was ${age} ms before, or never was: ${answer.body.length} bytes, ${shown(answer.head)}`,
      );
    }
  }
  if (answers.length !== files.length) throw new Error(`${answers.length} answers to ${files.length} requests`);
}
