// What a service manager is told: sd_notify(3), where NOTIFY_SOCKET says that one listens.
import { binding } from '../wire/binding.js';

/**
 * Sends assignments such as `READY=1`, in one message.
 *
 * @returns False when nobody asked for them.
 * @throws The reason why they could not be sent.
 * @internal
 */
export function notifyServiceManager(...assignments: readonly string[]): boolean {
  const socket = process.env.NOTIFY_SOCKET;
  if (socket === undefined || socket === '') return false;
  binding().notify(socket, assignments.join('\n'));
  return true;
}
