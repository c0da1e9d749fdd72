// A line over the last five minutes, in the colours of the page.
import uPlot from 'uplot';

const colour = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const POWERS = Array.from({ length: 50 }, (_, power) => 2 ** power);
const DECIMALS = Array.from({ length: 13 }, (_, power) => [1, 2, 5].map((each) => each * 10 ** power)).flat();

/** One chart in an element of the page. */
export class Chart {
  readonly #holder: HTMLElement;
  readonly #format: (value: number) => string;
  readonly #steps: number[];
  #plot: uPlot;
  #data: uPlot.AlignedData = [[], []];

  /** `base` is what lines of the grid are multiples of: 2 for bytes. */
  constructor(holder: HTMLElement, format: (value: number) => string, base: 2 | 10) {
    this.#holder = holder;
    this.#steps = base === 2 ? POWERS : DECIMALS;
    this.#format = format;
    this.#plot = this.#draw();
    new ResizeObserver(() => this.#plot.setSize(this.#size())).observe(holder);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      this.#plot.destroy();
      this.#plot = this.#draw();
    });
  }

  /** Shows these. Times are seconds; null is a gap. */
  show(times: number[], values: (number | null)[]): void {
    this.#data = [times, values];
    this.#plot.setData(this.#data);
  }

  #size(): { width: number; height: number } {
    return { width: this.#holder.clientWidth, height: this.#holder.clientHeight };
  }

  #draw(): uPlot {
    const axis = { stroke: colour('--faint'), grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false } };
    const options: uPlot.Options = {
      ...this.#size(),
      padding: [8, 12, 0, 0],
      cursor: { show: false },
      legend: { show: false },
      scales: {
        x: { range: (_, __, last) => [last - 300, last] },
        y: { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] },
      },
      axes: [
        {
          ...axis,
          values: (_, splits) =>
            splits.map((each) =>
              new Date(each * 1000).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }),
            ),
          space: 80,
          size: 28,
        },
        { ...axis, size: 70, incrs: this.#steps, values: (_, splits) => splits.map((each) => this.#format(each)) },
      ],
      series: [
        {},
        {
          stroke: colour('--accent'),
          fill: colour('--accent-soft'),
          width: 1.5,
          points: { show: false },
          spanGaps: false,
        },
      ],
    };
    return new uPlot(options, this.#data, this.#holder);
  }
}
