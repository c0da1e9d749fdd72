// The same module for `import`: a thin face over the CommonJS one, so that it sees the executor that `ringwheel` has.
export * from './metrics.js';
