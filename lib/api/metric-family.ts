// What a registry of prom-client asks of a metric: its name, and its values when it is scraped. Nothing of prom-client is loaded, so
// that the values go into the registry of whatever copy of it the program has.
import type { LatencySummary } from './latency.js';

/** Labels by name. @internal */
export type Labels = Readonly<Record<string, string>>;

/** Gives a value of a counter or a gauge; of the same labels the sum is told, as two queues may have one name. @internal */
export type Add = (value: number, labels?: Labels) => void;

/** Gives a histogram. @internal */
export type AddLatency = (latency: Pick<LatencySummary, 'buckets' | 'sumUs' | 'samples'>, labels: Labels) => void;

interface Value {
  labels: Record<string, string | number>;
  value: number;
  metricName?: string;
}

/** One metric. @internal */
export class Family {
  /** prom-client writes it, for OpenMetrics. */
  name: string;
  readonly #values: () => Value[];

  constructor(
    name: string,
    readonly type: 'counter' | 'gauge' | 'histogram',
    readonly help: string,
    values: () => Value[],
  ) {
    this.name = name;
    this.#values = values;
  }

  /** What it is now. */
  async get(): Promise<object> {
    const { name, type, help } = this;
    return { name, type, help, values: this.#values(), aggregator: 'sum' };
  }

  /** `registry.resetMetrics()` is for tests of programs: these are the counts of somebody else. */
  reset(): void {}
}

/** A counter or a gauge. @internal */
export function numbers(
  name: string,
  type: 'counter' | 'gauge',
  help: string,
  constant: Labels,
  collect: (add: Add) => void,
): Family {
  return new Family(name, type, help, () => {
    const values = new Map<string, Value>();
    collect((value, labels = {}) => {
      const found = of(values, labels, () => ({ labels: { ...constant, ...labels }, value: 0 }));
      found.value += value;
    });
    return [...values.values()];
  });
}

/** A histogram in seconds. @internal */
export function histogram(name: string, help: string, constant: Labels, collect: (add: AddLatency) => void): Family {
  return new Family(name, 'histogram', help, () => {
    const sums = new Map<string, { labels: Labels; buckets: Map<number, number>; sumUs: number; samples: number }>();
    collect((latency, labels) => {
      const sum = of(sums, labels, () => ({
        labels: { ...constant, ...labels },
        buckets: new Map(),
        sumUs: 0,
        samples: 0,
      }));
      for (const { leUs, count } of latency.buckets) sum.buckets.set(leUs, (sum.buckets.get(leUs) ?? 0) + count);
      sum.sumUs += latency.sumUs;
      sum.samples += latency.samples;
    });
    return [...sums.values()].flatMap(({ labels, buckets, sumUs, samples }): Value[] => [
      ...[...buckets].map(([leUs, value]) => ({
        labels: { ...labels, le: leUs / 1e6 },
        value,
        metricName: `${name}_bucket`,
      })),
      { labels: { ...labels, le: '+Inf' }, value: samples, metricName: `${name}_bucket` },
      { labels, value: sumUs / 1e6, metricName: `${name}_sum` },
      { labels, value: samples, metricName: `${name}_count` },
    ]);
  });
}

function of<T>(known: Map<string, T>, labels: Labels, make: () => T): T {
  const key = JSON.stringify(labels);
  const found = known.get(key) ?? make();
  known.set(key, found);
  return found;
}
