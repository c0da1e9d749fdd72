// What `import fs from` gives: the functions as one object, which is what Node's module is.
import * as api from './api.js';

/** The default export: an object with every function and `constants`. @hidden */
export const all: typeof api = { ...api };
