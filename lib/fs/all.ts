// What `import fs from` gives: the functions as one object, which is what Node's module is.
import * as api from './api.js';
import type { Later } from './later.js';
import { node } from './node.js';

/** The default export: an object with every function and `constants`; what Node has and we do not know is Node's own. @hidden */
export const all: typeof api & Later = { ...node, ...api } as unknown as typeof api & Later;
