// What decides whether `npm start` installs and builds again.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import test from 'ava';
import { root } from '../support/command';

const { Freshness } = require('../../scripts/bootstrap/freshness.mjs');
const { isAtLeast } = require('../../scripts/bootstrap/checkout.mjs');

test('a build is fresh until a source, the setting or the output changes', (t) => {
  mkdirSync(join(root, 'target'), { recursive: true });
  const place = mkdtempSync(join(root, 'target', 'freshness-'));
  const source = join(place, 'source.rs');
  const output = join(place, 'output.node');
  const freshness = (setting: string) =>
    new Freshness(basename(place), [relative(root, source)], relative(root, output), setting);
  writeFileSync(source, 'one');
  t.false(freshness('release').isFresh(), 'nothing was built yet');
  writeFileSync(output, 'built');
  freshness('release').remember();
  t.true(freshness('release').isFresh());
  t.false(freshness('quick').isFresh(), 'another profile');
  writeFileSync(source, 'two');
  t.false(freshness('release').isFresh(), 'another source');
  writeFileSync(source, 'one');
  t.true(freshness('release').isFresh(), 'the same again: mtimes do not count');
  rmSync(output);
  t.false(freshness('release').isFresh(), 'no output');
  rmSync(place, { recursive: true });
  rmSync(join(root, 'target', `ringwheel-${basename(place)}.stamp`));
});

test('versions are compared number by number', (t) => {
  t.true(isAtLeast('20.17.0', '20.17'));
  t.true(isAtLeast('1.100.0', '1.94.1'));
  t.true(isAtLeast('1.94.1', '1.94.1'));
  t.false(isAtLeast('1.94.0', '1.94.1'));
  t.false(isAtLeast('18.20.0', '20.17'));
});
