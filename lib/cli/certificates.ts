// Tells who started `ringwheel serve` what became of certificates that have changed.
import { subscribe } from 'node:diagnostics_channel';
import type { ServerReloadEvent } from '../api/events.js';
import type { Log } from './log.js';

/** From now on. What came of a whole reload is told by who asked for it. */
export function tellOfCertificates(log: Log): void {
  subscribe('ringwheel:server:reload', (message) => {
    const { what, error } = message as ServerReloadEvent;
    if (what !== 'certificates') return;
    if (error === undefined) log.info('changed certificates were read again, and are in use');
    else log.error(`changed certificates cannot be used, and those before stay in use: ${error.message}`, error);
  });
}
