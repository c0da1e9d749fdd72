// Functions that not every Node has: Node's own, undefined where it has none.
import type { promises } from 'node:fs';
import { node } from './node.js';

/** The type of Node's `glob` where there is one. */
export type Glob = typeof promises extends Record<'glob', infer Own> ? Own : undefined;
/** The type of Node's `mkdtempDisposable` where there is one. */
export type MkdtempDisposable = typeof promises extends Record<'mkdtempDisposable', infer Own> ? Own : undefined;

/** By their names. */
export interface Later {
  readonly glob: Glob;
  readonly mkdtempDisposable: MkdtempDisposable;
}

/** Those that there are, and undefined. */
export const later: Later = node as unknown as Later;
