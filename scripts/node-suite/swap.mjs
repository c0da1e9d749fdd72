// Preloaded (`node --import`) into a test of Node's that is an ES module: its imports of `fs/promises` are imports of `ringwheel/fs`.
import { register } from 'node:module';
import { isMainThread } from 'node:worker_threads';

// This file is also its own hook: the hook runs in a thread of Node's, which must not register it again.
if (isMainThread) register(import.meta.url);

const entry = new URL('../../dist/fs.mjs', import.meta.url).href;

/** @type {import('node:module').ResolveHook} */
export function resolve(specifier, context, next) {
  const asked = specifier === 'fs/promises' || specifier === 'node:fs/promises';
  // The entry itself asks for Node's functions.
  return asked && !context.parentURL?.startsWith(new URL('../../dist/', import.meta.url).href)
    ? { url: entry, format: 'module', shortCircuit: true }
    : next(specifier, context);
}
