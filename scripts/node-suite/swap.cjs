// Preloaded (`node --require`) into a test of Node's: `fs/promises`, `node:fs/promises` and `fs.promises` are `ringwheel/fs` for all that the
// test loads with require(), in its worker threads, too. What Node's own modules use stays Node's, as in a program whose import is swapped.
'use strict';
const fs = require('node:fs');
const Module = require('node:module');
const { join } = require('node:path');

const ours = require(join(__dirname, '../../dist/fs.js')).default;
// A test may replace functions of the module (mock.method): it gets an object that lets it, as Node's does.
const swapped = { ...ours };

const load = Module._load;
Module._load = function (request, ...rest) {
  return request === 'fs/promises' || request === 'node:fs/promises' ? swapped : load.call(this, request, ...rest);
};
Object.defineProperty(fs, 'promises', { configurable: true, enumerable: true, get: () => swapped });
Module.syncBuiltinESMExports();
