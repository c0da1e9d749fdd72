// `ringwheel/fs`: node:fs/promises, name for name.
import { all } from './lib/fs/all.js';
import type { Glob, MkdtempDisposable } from './lib/fs/later.js';

/** Node's own, from Node 22 on; undefined before. */
export const glob: Glob = all.glob;

/** Node's own, from Node 24 on; undefined before. */
export const mkdtempDisposable: MkdtempDisposable = all.mkdtempDisposable;

// Plain properties, as those of Node's module: a test may put others in their place. `export *` leaves alone what is there; by itself it would make
// getters. What this Node does not have is not there.
for (const [name, value] of Object.entries(all)) Reflect.set(module.exports, name, value);
for (const name of ['glob', 'mkdtempDisposable'] as const) {
  if (all[name] === undefined) Reflect.deleteProperty(module.exports, name);
}

export type {
  CreateReadStreamOptions,
  CreateWriteStreamOptions,
  FileChangeInfo,
  FileHandle,
  FileReadOptions,
  FileReadResult,
  FlagAndOpenMode,
} from 'node:fs/promises';
export * from './lib/fs/api.js';
export type { Glob, MkdtempDisposable } from './lib/fs/later.js';
// biome-ignore lint/style/noDefaultExport: node:fs/promises has one, and this stands in its place.
export { all as default };
