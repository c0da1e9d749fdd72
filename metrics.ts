// `ringwheel/metrics`: figures for Prometheus, through a registry of prom-client.
export { collectMetrics, type MetricsOptions, type MetricsRegistry } from './lib/api/metrics.js';
