// `ringwheel/fs`: node:fs/promises, name for name.
export type {
  CreateReadStreamOptions,
  CreateWriteStreamOptions,
  FileChangeInfo,
  FileHandle,
  FileReadOptions,
  FileReadResult,
  FlagAndOpenMode,
} from 'node:fs/promises';
// biome-ignore lint/style/noDefaultExport: node:fs/promises has one, and this stands in its place.
export { all as default } from './lib/fs/all.js';
export * from './lib/fs/api.js';
