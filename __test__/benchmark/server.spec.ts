// The rows of `bench server`: what is asked for each, who is in it, and that every claim is about a row and contenders that exist.
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { asks } from '../../benchmark/server/asks';
import { claims } from '../../benchmark/server/claims';
import { isIn, servers } from '../../benchmark/server/contenders';
import { type Plan, plans, rowName } from '../../benchmark/server/plans';
import { type Part, Site } from '../../benchmark/server/site';

const plan = (name: string): Plan => {
  const found = plans.find((one) => one.name === name);
  if (found === undefined) throw new Error(`there is no plan ${name}`);
  return found;
};

test('every claim is about a row, and about servers that are in it', (t) => {
  for (const { row, ours = 'ringwheel', against } of claims) {
    const found = plans.find((one) => rowName(one) === row);
    t.truthy(found, row);
    for (const name of [ours, ...(against === undefined || against === 'best' ? [] : [against])]) {
      const server = servers.find((one) => one.name === name);
      t.true(server !== undefined && found !== undefined && isIn(server, found), `${name} in ${row}`);
    }
  }
});

test('every row is ours, too, and names are told apart', (t) => {
  const ours = servers.find(({ name }) => name === 'ringwheel');
  t.true(ours !== undefined && plans.every((one) => isIn(ours, one)));
  t.is(new Set(plans.map(rowName)).size, plans.length);
  t.is(new Set(servers.map(({ name }) => name)).size, servers.length);
  // A name of a filter ends at a comma that no space follows.
  t.deepEqual(
    [...plans, ...servers].filter(({ name }) => /,\S/.test(name)),
    [],
  );
});

test('requests carry what their row is about', (t) => {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'ringwheel-bench-spec-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const parts: Part[] = ['1 KiB', '1 MiB', '10 KiB', 'thousand'];
  const site = new Site(directory, parts, true);
  const all = (name: string) => asks(plan(name), site, { port: 80 }, '"tag"');
  const first = 'GET /1KiB.bin HTTP/1.1\r\nHost: 127.0.0.1:80\r\n';
  t.deepEqual(all('1 KiB'), [{ url: '/1KiB.bin', head: `${first}\r\n`, status: 200, length: 1024 }]);
  t.is(all('close, 1 KiB')[0]?.head, `${first}Connection: close\r\n\r\n`);
  const [range] = all('range, 16 KiB of 1 MiB');
  t.true(range?.head.endsWith('\r\nRange: bytes=524288-540671\r\n\r\n'));
  t.deepEqual([range?.status, range?.length], [206, 16_384]);
  t.is(all('ranges, 3 × 4 KiB of 1 MiB')[0]?.length, null);
  const [conditional] = all('304, 10 KiB');
  t.true(conditional?.head.endsWith('\r\nIf-None-Match: "tag"\r\n\r\n'));
  t.deepEqual([conditional?.status, conditional?.length], [304, 0]);
  const many = all('1000 files');
  t.is(new Set(many.map(({ url }) => url)).size, many.length);
  t.true(many.length > 10);
  for (const { url, bytes } of site.pages('thousand')) t.is(site.read({ url, bytes }).length, bytes);
});
