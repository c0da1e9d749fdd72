// What a file is, for those who move its bytes: its kind, its length, and what direct I/O asks for.
import { constants } from 'node:fs';
import type { Link } from '../ring/link.js';
import type { FileState } from '../ring/state.js';
import { fstat } from './call.js';
import { systemError } from './errors.js';

const { S_IFBLK, S_IFMT, S_IFREG } = constants;

/** The part of struct stat that they look at. */
export interface Looked {
  /** It has positions: a file or a block device. */
  readonly seeks: boolean;
  readonly device: boolean;
  readonly size: number;
  /** As StatView has it, when it was asked for. */
  readonly alignment: number | undefined;
}

/** fstat(2). Throws its error. */
export async function statOf(link: Link, file: FileState, alignment = false): Promise<Looked> {
  const found = await fstat(
    link,
    file,
    ({ mode, size, alignment }) => {
      const kind = mode & S_IFMT;
      return { seeks: kind === S_IFREG || kind === S_IFBLK, device: kind === S_IFBLK, size, alignment };
    },
    alignment,
  );
  if (typeof found === 'number') throw systemError(found, 'fstat', file.path);
  return found;
}
