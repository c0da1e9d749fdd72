// Many small files: stat, readFile, recursive readdir, every way that node, bun, deno and ringwheel have. Each returns what it used.
import fs from 'node:fs';
import fsp from 'node:fs/promises';
import { begin, end } from '../reads/meter.mjs';
import { Checked } from './content.mjs';

/** Operations at once. */
const lanes = 100;
/** Of the files, so many are asked once before the measured time: the code is hot then. */
const warmPart = 0.1;

/** The files, as rows.ts made them: the first `size` bytes of `blocks.mjs` in each. */
const pathsOf = ({ tree, directories, perDirectory }, count) =>
  Array.from({ length: count }, (_, index) => {
    const directory = Math.floor(index / perDirectory) % directories;
    return `${tree}/d${directory}/f${index % perDirectory}`;
  });

/** Measures an operation over all paths, `lanes` at once. */
const each = (make) => async (given) => {
  const paths = pathsOf(given, given.count);
  const operation = await make(given);
  const all = async (some) => {
    let next = 0;
    const lane = async () => {
      while (next < some.length) await operation(some[next++], given);
    };
    await Promise.all(Array.from({ length: lanes }, lane));
  };
  await all(paths.slice(0, Math.ceil(paths.length * warmPart)));
  begin();
  await all(paths);
  return { ...end(), operations: paths.length };
};

/** The same for a function that blocks: one after the other, without promises between. */
const eachSync = (operation) => (given) => {
  const paths = pathsOf(given, given.count);
  for (const path of paths.slice(0, Math.ceil(paths.length * warmPart))) operation(path, given);
  begin();
  for (const path of paths) operation(path, given);
  return { ...end(), operations: paths.length };
};

/** A callback's function as a promise: what callbacks cost without promises is in `eachCallback`. */
const eachCallback = (begins) => async (given) => {
  const paths = pathsOf(given, given.count);
  const all = (some) =>
    new Promise((resolve, reject) => {
      let next = 0;
      let left = some.length;
      const go = () => {
        if (next < some.length) begins(some[next++], done);
      };
      const done = (error, found) => {
        if (error) return reject(error);
        check(found, given);
        if (--left === 0) resolve();
        else go();
      };
      for (let lane = 0; lane < lanes; lane++) go();
    });
  await all(paths.slice(0, Math.ceil(paths.length * warmPart)));
  begin();
  await all(paths);
  return { ...end(), operations: paths.length };
};

/** A stat tells the size, a read brings the bytes. */
function check(found, { bytes }) {
  if (found instanceof Uint8Array) {
    const checked = new Checked();
    checked.add(found);
    checked.end(bytes);
  } else if (!(found.size >= 0 && found.isFile === true) && !found.isFile())
    throw new Error('a stat of a file says it is none');
}

/** `ringwheel/fs`, beside the entry of the package. */
const ours = (operation) =>
  each(async ({ ringwheel }) => {
    const { default: rfs } = await import(new URL('fs.mjs', ringwheel));
    return async (path, given) => check(await operation(rfs, path), given);
  });

const promised = (operation) => each(() => async (path, given) => check(await operation(path), given));
const blocking = (operation) => eachSync((path, given) => check(operation(path), given));

export const stat = {
  ringwheel: ours((rfs, path) => rfs.stat(path)),
  'fs.promises': promised((path) => fsp.stat(path)),
  'fs.stat': eachCallback((path, done) => fs.stat(path, done)),
  statSync: blocking((path) => fs.statSync(path)),
  'bun fs.promises': promised((path) => fsp.stat(path)),
  'deno fs.promises': promised((path) => fsp.stat(path)),
  'deno stat': promised((path) => Deno.stat(path)),
};

export const readFile = {
  ringwheel: ours((rfs, path) => rfs.readFile(path)),
  'fs.promises': promised((path) => fsp.readFile(path)),
  'fs.readFile': eachCallback((path, done) => fs.readFile(path, done)),
  readFileSync: blocking((path) => fs.readFileSync(path)),
  'bun fs.promises': promised((path) => fsp.readFile(path)),
  'bun bytes': promised((path) => Bun.file(path).bytes()),
  'deno readFile': promised((path) => Deno.readFile(path)),
};

/** Measures a recursive readdir: once to make the code hot, on one directory, then the tree. */
const listing = (list) => async (given) => {
  const { tree, entries } = given;
  await list(`${tree}/d0`, given);
  begin();
  const names = await list(tree, given);
  const used = end();
  if (names.length !== entries || !names.includes('d0') || !names.includes('d0/f0')) {
    throw new Error(`${names.length} entries were found of ${entries}`);
  }
  return { ...used, operations: entries };
};

export const readdir = {
  ringwheel: listing(async (path, { ringwheel }) => {
    const { default: rfs } = await import(new URL('fs.mjs', ringwheel));
    return rfs.readdir(path, { recursive: true });
  }),
  'fs.promises': listing((path) => fsp.readdir(path, { recursive: true })),
  readdirSync: listing((path) => fs.readdirSync(path, { recursive: true })),
  'bun fs.promises': listing((path) => fsp.readdir(path, { recursive: true })),
  'deno fs.promises': listing((path) => fsp.readdir(path, { recursive: true })),
};
