// Tells who started `ringwheel serve` that lines of the access log are lost: once, and again each minute while it goes on.
import type { FileServer } from '../api/file-server.js';
import type { Log } from './log.js';

const LOOK_MS = 2000;
const AGAIN_MS = 60_000;

/** Looks at a server's counter until the process ends. */
export function tellOfLostLines(server: FileServer, log: Log): void {
  let known = 0;
  let told = Number.NEGATIVE_INFINITY;
  const look = () => {
    const { accessLogDropped, accessLogError } = server.stats();
    if (accessLogDropped === known || performance.now() - told < AGAIN_MS) return;
    const why = accessLogError ?? 'the writer did not keep up';
    const dropped = accessLogDropped - known;
    log.warn(`${dropped} lines of the access log were not written: ${why}`, { dropped });
    known = accessLogDropped;
    told = performance.now();
  };
  setInterval(look, LOOK_MS).unref();
}
