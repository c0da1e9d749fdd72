// The page of the admin listener in a real browser: it shows what happens, in light and dark, on a telephone too, asks nobody but its own
// server, and comes back when the server does.
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type Browser, chromium, type Page } from 'playwright-core';
import { FileServer } from '../../index';
import { Client, serverOf, siteOf } from '../support/http';

const executablePath = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
  .flatMap((name) => (process.env.PATH ?? '').split(delimiter).map((directory) => join(directory, name)))
  .find(existsSync);
if (executablePath === undefined) console.error('skip: dashboard in a browser: no chromium or google-chrome in PATH');
const inBrowser = executablePath === undefined ? test.serial.skip : test.serial;

let browser: Browser;
test.before(async () => {
  // Chromium's own sandbox does not run as root, as in containers; the page is ours.
  if (executablePath !== undefined)
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox'], timeout: 120_000 });
});
test.after.always(async () => await browser?.close());

/** What each test's page complained of. */
const complaints = new WeakMap<ExecutionContext, string[]>();

/** A page over the admin listener; whatever it complains of fails the test. */
async function shown(t: ExecutionContext, url: string, options: Parameters<Browser['newPage']>[0] = {}): Promise<Page> {
  const page = await browser.newPage(options);
  page.setDefaultTimeout(60_000);
  t.teardown(() => page.close());
  const complain = (what: string) => complaints.get(t)?.push(what);
  complaints.set(t, []);
  page.on('pageerror', (error) => complain(error.message));
  page.on('console', (message) => {
    // A server that is away is a failed request, which the browser tells of.
    if (message.type() === 'error' && !message.text().includes('ERR_CONNECTION_REFUSED')) complain(message.text());
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith('data:')) complain(`asked for ${request.url()}`);
  });
  await page.goto(url);
  return page;
}

const text = (page: Page, id: string): Promise<string | null> => page.locator(`#${id}`).textContent();

inBrowser('it shows requests, statuses, latencies and cores as they come', async (t) => {
  const server = await serverOf(t, siteOf(t, { 'a.txt': 'a' }), { admin: { port: 0 } });
  const client = await Client.connect(t, server.port);
  const page = await shown(t, server.adminUrl as string);
  await page.locator('#state.serving').waitFor();
  let isOver = false;
  t.teardown(() => {
    isOver = true;
  });
  const work = (async () => {
    for (let round = 0; !isOver; round++) {
      await client.get(round % 8 === 0 ? '/nothing' : '/a.txt');
      if (round % 64 === 0) await new Promise((settle) => setTimeout(settle, 20));
    }
  })();
  await page.locator('#latency .bar').first().waitFor();
  await page.locator('#statuses tr', { hasText: '404' }).waitFor();
  await page.waitForFunction(() => /^[1-9]/.test(document.getElementById('requests')?.textContent ?? ''));
  t.regex((await text(page, 'hits')) ?? '', /%$/);
  t.regex((await text(page, 'p99')) ?? '', /s$/);
  t.is(await page.locator('#cores tr').count(), 1);
  t.true((await page.locator('#cores .meter').count()) === 1);
  t.is(await text(page, 'driver'), server.driver);
  t.true((await page.locator('.chart canvas').count()) === 2);
  isOver = true;
  await work;
  t.deepEqual(complaints.get(t), []);
});

/** The least contrast of a text with what is behind it, as WCAG 2 counts it; runs in the page. */
function leastContrast(): { ratio: number; of: string } {
  const parse = (colour: string) => (colour.match(/[\d.]+/g) ?? []).map(Number);
  const light = ([red = 0, green = 0, blue = 0]: number[]) => {
    const [r = 0, g = 0, b = 0] = [red, green, blue].map((each) => {
      const part = each / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let least = { ratio: 21, of: '' };
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent?.trim());
    if (!own || element.closest('script, style, noscript')) continue;
    let behind: Element | null = element;
    while (behind && parse(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
    const [a, b] = [
      light(parse(getComputedStyle(element).color)),
      light(parse(getComputedStyle(behind ?? document.body).backgroundColor)),
    ];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < least.ratio) least = { ratio, of: `${element.tagName} ${element.textContent}` };
  }
  return least;
}

for (const colorScheme of ['light', 'dark'] as const) {
  for (const width of [1440, 360]) {
    inBrowser(`${colorScheme}, ${width} pixels wide: nothing is cut off, all can be read`, async (t) => {
      const server = await serverOf(t, siteOf(t, { 'a.txt': 'a' }), { admin: { port: 0 } });
      const page = await shown(t, server.adminUrl as string, { colorScheme, viewport: { width, height: 900 } });
      await page.locator('#state.serving').waitFor();
      await page.locator('#ends tr').first().waitFor();
      t.true((await page.evaluate(() => document.documentElement.scrollWidth)) <= width);
      await page.evaluate('globalThis.__name = (named) => named'); // What tsx calls in functions that it compiles.
      const { ratio, of } = await page.evaluate(leastContrast);
      t.true(ratio >= 4.5, `${ratio}: ${of}`);
      const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      t.is(/^rgb\(2/.test(ground), colorScheme === 'light', ground);
      t.deepEqual(complaints.get(t), []);
    });
  }
}

inBrowser('a server that goes away and comes back is found again', async (t) => {
  const root = siteOf(t, { 'a.txt': 'a' });
  const first = await serverOf(t, root, { admin: { port: 0 } });
  const { port } = new URL(first.adminUrl as string);
  const page = await shown(t, first.adminUrl as string);
  await page.locator('#state.serving').waitFor();
  await first.close({ deadlineMs: 0 });
  await page.locator('#state.lost').waitFor();
  t.is(await text(page, 'state-text'), 'cannot be reached: trying again');
  const second = await FileServer.start({ root, port: 0, cores: 1, admin: { port: Number(port) } });
  t.teardown(() => second.close({ deadlineMs: 0 }));
  await page.locator('#state.serving').waitFor();
  await page.waitForFunction((url) => document.getElementById('url')?.textContent === url, second.url);
  t.deepEqual(complaints.get(t), []);
});
