// benchmark/native builds without a network in `npm test`: it may need no crate that the package itself does not lock.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';

const root = path.resolve(__dirname, '../..');

function locked(file: string): string[] {
  const text = readFileSync(path.join(root, file), 'utf8');
  return [...text.matchAll(/^name = "(.+)"\nversion = "(.+)"\nsource = /gm)].map(
    ([, name, version]) => `${name} ${version}`,
  );
}

test('every crate that benchmark/native locks is locked by the package, in the same version', (t) => {
  const ours = new Set(locked('Cargo.lock'));
  const native = locked('benchmark/native/Cargo.lock');
  t.true(native.length > 10);
  t.deepEqual(
    native.filter((crate) => !ours.has(crate)),
    [],
    'copy Cargo.lock to benchmark/native/ and run `cargo build` there: it drops what it does not need',
  );
});
