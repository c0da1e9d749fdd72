// The tests of Node's that may fail with `ringwheel/fs`, each with its reason. It is to be as short as possible: a difference that a program
// could notice is mended or stands in docs/guides/from-node-fs.md.

const INSIDE = 'patches the FileHandle that Node uses inside of readFile, writeFile and truncate; ours use none';
const TRANSFER = 'transfers a handle to another thread, whose executor it does not belong to';

/** By name of the file, without directory and ending. */
export const exceptions: ReadonlyMap<string, string> = new Map([
  ['test-fs-promises-file-handle-aggregate-errors', INSIDE],
  ['test-fs-promises-file-handle-close-errors', INSIDE],
  ['test-fs-promises-file-handle-op-errors', INSIDE],
  ['test-fs-promises-file-handle-read-worker', TRANSFER],
  ['test-worker-message-port-transfer-filehandle', TRANSFER],
  ['test-fs-promises-readfile', "replaces fstat of Node's internal binding"],
  [
    'test-async-wrap-getasyncid',
    'beforeExit comes twice when its listener collects garbage after a handle was opened; cause not found',
  ],
  ['test-esm-dynamic-import-mutating-fs', 'fails with any loader hook, and the swap of imports is one'],
]);
