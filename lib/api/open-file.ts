// The life of an open file, as File and the handles of ringwheel/fs have it: opened, closed or forgotten, each with its event.
import type { Link } from '../ring/link.js';
import { FileState, NO_HOLD } from '../ring/state.js';
import { OPCODE_CLOSE } from '../wire/layout.generated.js';
import { events } from './events.js';
import { openThrough, operate } from './operation.js';

/** Opens a file: `bytes` is what the system gets, `path` what errors and events show. */
export async function openFile(
  link: Link,
  bytes: Uint8Array,
  path: string,
  flags: number,
  mode: number,
  signal?: AbortSignal,
): Promise<FileState> {
  const { slot, generation, waits } = await openThrough(link, bytes, path, flags, mode, signal);
  const opened = events['ringwheel:file:open'];
  if (opened.hasSubscribers) opened.publish({ path, fd: link.native.fileDescriptor(slot, generation) });
  const file = new FileState(slot, generation, path);
  file.waits = waits;
  return file;
}

/** Closes a file once the operations in flight have ended; those that come now find it closed. An executor that ends closes its files itself. */
export async function closeFile(link: Link, file: FileState): Promise<void> {
  file.open = false;
  if (!link.open) return;
  await new Promise<void>((resolve) => file.whenIdle(resolve));
  if (!link.open) return;
  await operate(link, OPCODE_CLOSE, file, NO_HOLD, 0, 0);
  const closed = events['ringwheel:file:close'];
  if (closed.hasSubscribers) closed.publish({ path: file.path, forgotten: false });
}

/** Closes a file whose object was collected, at once. False when there was nothing to close any more. */
export function closeForgotten(link: Link, file: FileState): boolean {
  if (!link.open || !link.native.forget(file.slot, file.generation)) return false;
  link.forgotten++;
  const closed = events['ringwheel:file:close'];
  if (closed.hasSubscribers) closed.publish({ path: file.path, forgotten: true });
  return true;
}
