// The same module for `import`: a thin face over the CommonJS one, so that both share one instance and one executor per thread.
export * from './index.js';
