// The channels of node:diagnostics_channel that ringwheel publishes to. Without a subscriber an event costs one load: its message is
// not made. Nothing is published for a read or a write: `executor.latencies()` and `stats()` tell of those.
import { type Channel, channel } from 'node:diagnostics_channel';

/** Messages by the name of their channel. */
export interface RingwheelEvents {
  /** An executor has started on this thread. */
  'ringwheel:executor:start': ExecutorStartEvent;
  /** This thread's executor is closed. */
  'ringwheel:executor:close': ExecutorCloseEvent;
  /** A file was opened. */
  'ringwheel:file:open': FileOpenEvent;
  /** A file was closed, by its `close()` or as it was collected. Files that the executor's own end closes have no event of theirs. */
  'ringwheel:file:close': FileCloseEvent;
  /** A file server answers. */
  'ringwheel:server:start': ServerStartEvent;
  /** A file server was told to change its options or to read its certificates again, or has found these changed. */
  'ringwheel:server:reload': ServerReloadEvent;
  /** A file server has drained. */
  'ringwheel:server:close': ServerCloseEvent;
  /** A route's handler failed: its client got a 500, or its connection was cut. */
  'ringwheel:route:error': RouteErrorEvent;
  /** The thread did not come back to its event loop. */
  'ringwheel:stall': StallReport;
}

/** The message of `ringwheel:executor:start`. */
export interface ExecutorStartEvent {
  /** Which backend runs its operations. */
  driver: 'uring' | 'poll';
  /** What was given up on the way. */
  notes: readonly string[];
}

/** The message of `ringwheel:executor:close`. */
export interface ExecutorCloseEvent {
  /** Why, when it broke. */
  error?: Error;
}

/** The message of `ringwheel:file:open`. */
export interface FileOpenEvent {
  /** As it was given. */
  path: string;
  /** Its descriptor. */
  fd: number;
}

/** The message of `ringwheel:file:close`. */
export interface FileCloseEvent {
  /** As it was given to open. */
  path: string;
  /** True when it was collected without `close()`. */
  forgotten: boolean;
}

/** The message of `ringwheel:server:start`. */
export interface ServerStartEvent {
  /** Where it answers. */
  url: string;
  /** Which backend serves. */
  driver: string;
  /** Threads that serve. */
  cores: number;
}

/** The message of `ringwheel:server:reload`. */
export interface ServerReloadEvent {
  /** Where it answers. */
  url: string;
  /** What was read again: all of it, or changed certificates alone. */
  what: 'options' | 'certificates';
  /** Why nothing has changed. */
  error?: Error;
}

/** The message of `ringwheel:server:close`. */
export interface ServerCloseEvent {
  /** Where it answered. */
  url: string;
}

/** The message of `ringwheel:route:error`. */
export interface RouteErrorEvent {
  /** What the handler threw, or why its answer is none. */
  error: unknown;
  /** The request's method. */
  method: string;
  /** The request's URL. */
  url: string;
}

/** A stall of a JavaScript thread, told when it is over. */
export interface StallReport {
  /** How long the thread did not come back to its event loop, milliseconds; its beginning is known to a fifth of the threshold. */
  durationMs: number;
  /** The name of the task queue whose slice took at least half of it; `default` when none did. */
  queue: string;
  /** Native functions that were running when it was found, innermost first. Empty unless `stall` was given as an option. */
  nativeStack: readonly string[];
  /** The JavaScript functions that were running most of the time, innermost first. Empty without `stall.profile`. */
  stack: readonly string[];
  /** Stalls since the last report that were not reported: there are at most five a minute. */
  suppressed: number;
}

type Channels = { [Name in keyof RingwheelEvents]: Channel<unknown, RingwheelEvents[Name]> };

/** @internal */
export const events: Channels = {
  'ringwheel:executor:start': channel('ringwheel:executor:start'),
  'ringwheel:executor:close': channel('ringwheel:executor:close'),
  'ringwheel:file:open': channel('ringwheel:file:open'),
  'ringwheel:file:close': channel('ringwheel:file:close'),
  'ringwheel:server:start': channel('ringwheel:server:start'),
  'ringwheel:server:reload': channel('ringwheel:server:reload'),
  'ringwheel:server:close': channel('ringwheel:server:close'),
  'ringwheel:route:error': channel('ringwheel:route:error'),
  'ringwheel:stall': channel('ringwheel:stall'),
} as Channels;
