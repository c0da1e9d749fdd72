// What is asked of one server in one row: the requests, and a look at some of the answers, body and all, before the load.
import http from 'node:http';
import https from 'node:https';
import { hello, type Plan } from './plans';
import type { Page, Site } from './site';

/** Where a server is asked. */
export interface Target {
  port: number;
  /** The certificate, for HTTPS. */
  certificate?: Buffer;
}

/** One request, and what its answer must be. */
export interface Ask {
  url: string;
  /** The whole head of the request. */
  head: string;
  status: number;
  /** Bytes of the body, where they are known before. */
  length: number | null;
}

/** An answer, whole. */
interface Answer {
  status: number;
  /** Names and values, in turn. */
  headers: string[];
  body: Buffer;
}

/** Every answer of every contender carries these. What differs beyond them is printed. */
const sameHeaders = ['server', 'date', 'content-type', 'content-length', 'last-modified', 'etag', 'accept-ranges'];

/** How many answers of a row are looked at. */
const looks = 20;

/** An answer that will not become right by waiting. */
export class WrongAnswer extends Error {}

/** What a row is answered with. */
const statusOf = ({ conditional, ranges }: Plan): number => (conditional ? 304 : ranges ? 206 : 200);

/** The requests of a row. */
export function asks(plan: Plan, site: Site, target: Target, etag: string | undefined): Ask[] {
  const pages = plan.part === undefined ? [{ url: '/hello', bytes: Buffer.byteLength(hello) }] : site.pages(plan.part);
  const fields = Object.entries(requestFields(plan, etag)).map(([name, value]) => `${name}: ${value}\r\n`);
  const status = statusOf(plan);
  return pages.map(({ url, bytes }) => ({
    url,
    head: `GET ${url} HTTP/1.1\r\nHost: 127.0.0.1:${target.port}\r\n${fields.join('')}\r\n`,
    status,
    length: plan.conditional ? 0 : plan.ranges ? rangeBytes(plan.ranges) : bytes,
  }));
}

/** The fields that a row's requests have beside `Host`. */
export function requestFields(plan: Plan, etag: string | undefined): Record<string, string> {
  return {
    ...(plan.close && { Connection: 'close' }),
    ...(plan.ranges && { Range: `bytes=${plan.ranges.map(([first, last]) => `${first}-${last}`).join(',')}` }),
    ...(plan.conditional && { 'If-None-Match': etag ?? '*' }),
  };
}

/** The length of a single range; multipart/byteranges has a boundary of any length. */
function rangeBytes(ranges: NonNullable<Plan['ranges']>): number | null {
  const [only, second] = ranges;
  return only === undefined || second !== undefined ? null : only[1] - only[0] + 1;
}

/** Looks at some answers of a row, and returns the ETag and the fields of the last one. Throws `WrongAnswer`. */
export async function check(
  plan: Plan,
  site: Site,
  target: Target,
  sendsLess: boolean,
): Promise<{ etag: string | undefined; headers: string[] }> {
  let etag: string | undefined;
  let headers: string[] = [];
  const all = plan.part === undefined ? [] : site.pages(plan.part);
  if (plan.part === undefined)
    headers = (await checkOne(plan, '/hello', Buffer.from(hello), target, undefined)).headers;
  for (const page of some(all)) {
    if (plan.conditional) etag = field((await get(target, page.url, {})).headers, 'etag');
    headers = (await checkOne(plan, page.url, wanted(plan, site, page), target, etag)).headers;
  }
  const missing = sameHeaders.filter((name) => field(headers, name) === undefined);
  if (missing.length > 0 && !sendsLess && plan.part !== undefined && !plan.conditional && !plan.ranges)
    throw new WrongAnswer(`its answer lacks ${missing.join(', ')}: it would send less than the others`);
  return { etag, headers };
}

async function checkOne(
  plan: Plan,
  url: string,
  body: Buffer | readonly Buffer[],
  target: Target,
  etag: string | undefined,
): Promise<Answer> {
  // `Connection` is the agent's.
  const { Connection: _, ...fields } = requestFields(plan, etag);
  const answer = await get(target, url, fields);
  const status = statusOf(plan);
  if (answer.status !== status) throw new WrongAnswer(`${url} gave status ${answer.status} instead of ${status}`);
  const pieces = Buffer.isBuffer(body) ? undefined : body;
  const right = pieces ? pieces.every((piece) => answer.body.includes(piece)) : answer.body.equals(body as Buffer);
  if (!right) throw new WrongAnswer(`${url} gave ${answer.body.length} wrong bytes`);
  return answer;
}

/** The right body; of several ranges, the pieces that it must contain. */
function wanted(plan: Plan, site: Site, page: Page): Buffer | Buffer[] {
  if (plan.conditional) return Buffer.alloc(0);
  const whole = site.read(page);
  const pieces = plan.ranges?.map(([first, last]) => whole.subarray(first, last + 1)) ?? [whole];
  return pieces.length === 1 ? (pieces[0] ?? whole) : pieces;
}

/** The first and the last, and some between. */
function some<T>(things: readonly T[]): T[] {
  const step = Math.max(1, Math.ceil(things.length / looks));
  return things.filter((_, at) => at % step === 0 || at === things.length - 1);
}

function field(headers: readonly string[], name: string): string | undefined {
  const at = headers.findIndex((text, index) => index % 2 === 0 && text.toLowerCase() === name);
  return at < 0 ? undefined : headers[at + 1];
}

/** Asks once. */
export function get(
  { port, certificate }: Target,
  url: string,
  headers: Readonly<Record<string, string>>,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    // Kept alive as under load, or some would say `Connection: close` here and nothing there.
    const settings = { keepAlive: true, maxSockets: 1 };
    const agent = certificate
      ? new https.Agent({ ...settings, ca: certificate, minVersion: 'TLSv1.3' })
      : new http.Agent(settings);
    const given = { host: '127.0.0.1', port, path: url, headers, agent, timeout: 10_000 };
    const request = (certificate ? https : http).get(given, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.once('error', reject);
      response.once('end', () => {
        setImmediate(() => agent.destroy());
        resolve({ status: response.statusCode ?? 0, headers: response.rawHeaders, body: Buffer.concat(parts) });
      });
    });
    request.once('timeout', () => request.destroy(new Error(`${url} was not answered within 10 s`)));
    request.once('error', reject);
  });
}
