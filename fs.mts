// The same module for `import`: a thin face over the CommonJS one, so that both share one instance and one executor per thread.
import fs from './fs.js';

export * from './fs.js';
// biome-ignore lint/style/noDefaultExport: node:fs/promises has one, and this stands in its place.
export default fs.default;
