// An open file as this room uses it: opened, moved and closed through the executor, with Node's errors.
//
// Node's FileHandle is constructed over this: it asks it for the descriptor, counts who uses it, and calls `close` when nobody does.
import { executionAsyncId } from 'node:async_hooks';
import { currentLink } from '../api/executor.js';
import { closeFile, closeForgotten, openFile } from '../api/open-file.js';
import { operate } from '../api/operation.js';
import { moveInRanges, readCopied, writeCopied } from '../api/transfer.js';
import type { Link } from '../ring/link.js';
import { type FileState, NO_HOLD } from '../ring/state.js';
import { OPCODE_READ, OPCODE_WRITE } from '../wire/layout.generated.js';
import { type Path, remade, uvError } from './errors.js';

/** The kernel's own position in the file. */
export const HERE = -1;

/** Closes what a program forgot, and says so in Node's words. */
const forgotten = new FinalizationRegistry<Kernel>(({ link, file, fd, directory }) => {
  if (!closeForgotten(link, file)) return;
  process.emitWarning(`Closing ${directory ? 'directory handle' : `file descriptor ${fd}`} on garbage collection`);
  if (warned || directory) return;
  warned = true;
  process.emitWarning(
    'Closing a FileHandle object on garbage collection is deprecated. Please close FileHandle objects explicitly using ' +
      'FileHandle.prototype.close(). In the future, an error will be thrown if a file descriptor is closed during garbage collection.',
    'DeprecationWarning',
    'DEP0137',
  );
});
let warned = false;

/** See the file's head. */
export class Kernel {
  readonly fd: number;
  // Private, so that a handle that is printed does not show the executor.
  readonly #link: Link;
  readonly #file: FileState;
  /** Whether it is a Dir's. */
  directory = false;
  readonly #asyncId = executionAsyncId();

  constructor(link: Link, file: FileState) {
    this.#link = link;
    this.#file = file;
    this.fd = link.native.fileDescriptor(file.slot, file.generation);
  }

  get link(): Link {
    return this.#link;
  }

  get file(): FileState {
    return this.#file;
  }

  /** From now on the file is closed when `handle` is collected. */
  belongsTo(handle: object): void {
    forgotten.register(handle, this, this);
  }

  /** Reads at a position, or {@link HERE}. Bytes read. */
  async read(target: Uint8Array, position: number): Promise<number> {
    try {
      const { link, file } = this;
      if (position < 0 && file.waits)
        return await moveInRanges(link, OPCODE_READ, file, target, target.length, position);
      return await readCopied(link, file, target, target.length, position);
    } catch (error) {
      throw await remade(error, 'read');
    }
  }

  /** Writes at a position, or {@link HERE}. Bytes written. */
  async write(source: Uint8Array, position: number): Promise<number> {
    try {
      const { link, file } = this;
      if (position < 0 && file.waits)
        return await moveInRanges(link, OPCODE_WRITE, file, source, source.length, position);
      return await writeCopied(link, file, source, source.length, position);
    } catch (error) {
      throw await remade(error, 'write');
    }
  }

  /** Asks for what a system call says of the file; below 0 is its errno. */
  async ask<T>(asked: (link: Link, file: FileState) => Promise<T | number>, syscall: string): Promise<T> {
    const { link, file } = this;
    const result = await asked(link, file);
    if (typeof result === 'number' && result < 0) throw await uvError(result, syscall);
    return result as T;
  }

  /** An operation without memory. */
  async run(opcode: number, operand: number, syscall: string): Promise<void> {
    try {
      await operate(this.link, opcode, this.file, NO_HOLD, 0, operand);
    } catch (error) {
      throw await remade(error, syscall);
    }
  }

  /** Closes the descriptor; operations in flight are awaited first. */
  async close(): Promise<void> {
    if (!this.file.open) return;
    forgotten.unregister(this);
    try {
      await closeFile(this.link, this.file);
    } catch (error) {
      throw await remade(error, 'close');
    }
  }

  /** The same now, without waiting: nothing is in flight. */
  closeNow(): void {
    const { link, file } = this;
    file.open = false;
    forgotten.unregister(this);
    if (link.open) link.native.forget(file.slot, file.generation);
  }

  /** Of the context that opened it. */
  getAsyncId(): number {
    return this.#asyncId;
  }
}

/** Opens a file. */
export async function openKernel(path: Path, flags: number, mode: number, syscall = 'open'): Promise<Kernel> {
  const link = currentLink();
  const bytes = Buffer.from(path as string);
  const text = typeof path === 'string' ? path : bytes.toString();
  try {
    return new Kernel(link, await openFile(link, bytes, text, flags, mode));
  } catch (error) {
    throw await remade(error, syscall, path);
  }
}
