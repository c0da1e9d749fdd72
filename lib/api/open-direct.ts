// Opens a file with O_DIRECT, and learns what it asks of transfers.
import { constants as fs } from 'node:fs';
import { constants as os } from 'node:os';
import { DirectFile } from '../ring/direct-file.js';
import type { Link } from '../ring/link.js';
import type { FileState } from '../ring/state.js';
import { ourError, type SystemError, systemError } from './errors.js';
import { closeFile, openFile } from './open-file.js';
import { statOf } from './stat-of.js';

/** O_DIRECT: its number differs between processors; 0 where the system has no such flag. @internal */
export const DIRECT = (fs as { O_DIRECT?: number }).O_DIRECT ?? 0;

const { O_APPEND, O_RDONLY, O_RDWR, O_WRONLY } = fs;
const O_ACCMODE = O_RDONLY | O_RDWR | O_WRONLY;

/**
 * Where the kernel (before 6.1) or the file system does not say what it asks for: a multiple of what every device that we know of does,
 * most of them 512.
 */
const USUAL = 4096;

/** Opens it. `flags` may have O_DIRECT already. @internal */
export async function openDirectly(
  link: Link,
  bytes: Uint8Array,
  path: string,
  flags: number,
  mode: number,
  signal?: AbortSignal,
): Promise<FileState> {
  if (DIRECT === 0) {
    throw ourError('ERR_RINGWHEEL_INVALID_OPTION', 'File.open: direct must be false here; only Linux has O_DIRECT');
  }
  const access = flags & O_ACCMODE;
  // A part of a block is written by reading all of it; and the end, to which the kernel would append, may lie within a block.
  const asked = (flags & ~O_APPEND & ~O_ACCMODE) | (access === O_WRONLY ? O_RDWR : access) | DIRECT;
  const file = await openFile(link, bytes, path, asked, mode, signal).catch((error) => {
    throw (error as SystemError).code === 'EINVAL' ? refused(path, 'there') : error;
  });
  try {
    const { seeks, device, size, alignment = USUAL } = await statOf(link, file, true);
    if (!seeks) throw refused(path, 'but for files and block devices');
    if (alignment === 0) throw refused(path, 'for this file, says its file system');
    const power = (alignment & (alignment - 1)) === 0 ? alignment : USUAL;
    file.direct = new DirectFile(power, device, access !== O_WRONLY, (flags & O_APPEND) !== 0, size);
    return file;
  } catch (error) {
    await closeFile(link, file);
    throw error;
  }
}

function refused(path: string, where: string): SystemError {
  const error = systemError(-os.errno.EINVAL, 'open', path);
  error.message += `: no direct I/O (O_DIRECT) ${where}; open it without \`direct\``;
  Error.captureStackTrace(error, refused);
  return error;
}
