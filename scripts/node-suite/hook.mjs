// Preloaded (`node --import`) into a test that is an ES module when it runs with Node's own: a hook that does nothing, as swap.mjs is one that does.
import { register } from 'node:module';
import { isMainThread } from 'node:worker_threads';

if (isMainThread) register(import.meta.url);

/** @type {import('node:module').ResolveHook} */
export const resolve = (specifier, context, next) => next(specifier, context);
