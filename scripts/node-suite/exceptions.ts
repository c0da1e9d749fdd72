// The tests of Node's that may fail with `ringwheel/fs`, each with its reason. It is to be as short as possible: a difference that a program
// could notice is mended or stands in docs/guides/from-node-fs.md.

const INSIDE = 'patches the FileHandle that Node uses inside of readFile, writeFile and truncate; ours use none';

/** By name of the file. */
export const exceptions: ReadonlyMap<string, string> = new Map([
  ['test-fs-promises-file-handle-aggregate-errors.js', INSIDE],
  ['test-fs-promises-file-handle-close-errors.js', INSIDE],
  ['test-fs-promises-file-handle-op-errors.js', INSIDE],
  [
    'test-worker-message-port-transfer-filehandle.js',
    'wants what arrives to be of the same class: it is of the one that ours extends',
  ],
  ['test-fs-promises-readfile.js', "replaces fstat of Node's internal binding"],
  [
    'test-async-wrap-getasyncid.js',
    'beforeExit comes twice when its listener collects garbage after a handle was opened; cause not found',
  ],
]);
