// Stalls of this thread: found by a native watchdog, told here once the thread is free again. The JavaScript stack comes from a CPU
// profile that is read after the stall: while it lasts, no JavaScript but the one that stalls can run.
import { Session } from 'node:inspector';
import type { Link } from '../ring/link.js';
import { events, type StallReport } from './events.js';
import type { StallOptions } from './options.js';

/** What counts as a stall when nothing is said. */
const THRESHOLD_MS = 100;
/** Samples of the profile in a threshold. */
const SAMPLES = 20;
/** The profile begins anew after this time, so that it stays small. */
const PROFILE_MS = 30_000;
/** Frames of a JavaScript stack that are told. */
const FRAMES = 20;

interface ProfileNode {
  id: number;
  callFrame: { functionName: string; url: string; lineNumber: number; columnNumber: number };
  children?: number[];
}

interface Profile {
  nodes: ProfileNode[];
  /** Microseconds of the monotonic clock, as process.hrtime. */
  startTime: number;
  samples: number[];
  timeDeltas: number[];
}

/** The stacks of this thread, in a profile that goes on. */
class Sampler {
  readonly #session = new Session();
  readonly #timer: NodeJS.Timeout;

  constructor(thresholdMs: number) {
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.setSamplingInterval', { interval: Math.round((thresholdMs * 1000) / SAMPLES) });
    this.#session.post('Profiler.start');
    this.#timer = setInterval(() => this.#restart(), PROFILE_MS).unref();
  }

  /** What ran in this time for longest, innermost first; both ends in microseconds of process.hrtime. */
  stackOf(from: number, to: number): string[] {
    const profile = this.#restart();
    return profile === undefined ? [] : heaviest(profile, from, to);
  }

  end(): void {
    clearInterval(this.#timer);
    this.#session.disconnect();
  }

  /** The session is of this thread: its answers come during the call. */
  #restart(): Profile | undefined {
    let profile: Profile | undefined;
    this.#session.post('Profiler.stop', (_error, result) => {
      profile = result?.profile as Profile | undefined;
    });
    this.#session.post('Profiler.start');
    return profile;
  }
}

/** The stack that most samples of a time have. @internal */
export function heaviest({ nodes, samples, timeDeltas, startTime }: Profile, from: number, to: number): string[] {
  const counts = new Map<number, number>();
  let time = startTime;
  for (const [index, id] of samples.entries()) {
    time += timeDeltas[index] as number;
    if (time >= from && time <= to) counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  let [best, most] = [0, 0];
  for (const [id, count] of counts) if (count > most) [best, most] = [id, count];
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)));
  const frames: string[] = [];
  for (let id: number | undefined = best; id !== undefined && frames.length < FRAMES; id = parents.get(id)) {
    const frame = byId.get(id)?.callFrame;
    if (frame === undefined || frame.functionName === '(root)') break;
    const name = frame.functionName === '' ? '(anonymous)' : frame.functionName;
    frames.push(frame.url === '' ? name : `${name} (${frame.url}:${frame.lineNumber + 1}:${frame.columnNumber + 1})`);
  }
  return frames;
}

/** The watch over one executor's thread. */
export class StallWatch {
  readonly #link: Link;
  readonly #warns: boolean;
  readonly #sampler: Sampler | undefined;

  /** Without options stalls are counted and published; with them they are warned of too, with stacks. */
  constructor(link: Link, options: StallOptions | undefined) {
    this.#link = link;
    this.#warns = options !== undefined;
    const thresholdMs = options?.ms ?? THRESHOLD_MS;
    // First the profile: its start takes a while, and is not the program's.
    if (options?.profile === true) this.#sampler = new Sampler(thresholdMs);
    link.native.watch(thresholdMs, this.#warns, (text) => this.#tell(text));
  }

  end(): void {
    this.#sampler?.end();
  }

  #tell(text: string): void {
    const now = Number(process.hrtime.bigint());
    const channel = events['ringwheel:stall'];
    if (!this.#warns && !channel.hasSubscribers) return;
    const [duration, ago, suppressed, ...nativeStack] = text.split('\n');
    const ended = now - Number(ago);
    const began = ended - Number(duration);
    const report: StallReport = {
      durationMs: Number(duration) / 1e6,
      queue: this.#link.scheduler.longSliceIn(began, now, Number(duration) / 2)?.name ?? 'default',
      nativeStack,
      stack: this.#sampler?.stackOf(began / 1000, ended / 1000) ?? [],
      suppressed: Number(suppressed),
    };
    channel.publish(report);
    if (this.#warns) warn(report);
  }
}

function warn({ durationMs, queue, nativeStack, stack, suppressed }: StallReport): void {
  const more = suppressed === 0 ? '' : ` (${suppressed} more were not reported)`;
  const lines = [
    ...stack.map((frame) => `    at ${frame}`),
    ...(stack.length === 0 ? nativeStack.map((frame) => `    in ${frame}`) : []),
  ];
  const detail = lines.length === 0 ? {} : { detail: lines.join('\n') };
  process.emitWarning(`The event loop was stalled for ${durationMs.toFixed(0)} ms, in queue ${queue}${more}`, {
    type: 'RingwheelWarning',
    code: 'RINGWHEEL_STALL',
    ...detail,
  });
}
