// Names the process of a spec after its file, so that a list of processes says which spec hangs.
import { relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';

process.title = `spec ${relative(resolve(__dirname, '..'), fileURLToPath(test.meta.file))}`;
