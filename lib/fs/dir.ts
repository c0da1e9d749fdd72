// opendir: Node's Dir over a directory that is open in the executor. Dir reads through the object it is given, and does all else itself.
import { constants, type Dir, type Dirent, opendirSync } from 'node:fs';
import * as calls from '../api/call.js';
import { plainOptions, plainPath, shownAs } from './arguments.js';
import { uvError } from './errors.js';
import { type Kernel, openKernel } from './kernel.js';
import { classes, node } from './node.js';
import { encoded } from './paths.js';

const { O_DIRECTORY, O_RDONLY } = constants;
/** Node's types leave these out. */
const types = constants as unknown as Record<string, number>;

/** How Node's Dir is answered. */
interface Request {
  oncomplete(error: unknown, result?: unknown): void;
}

/** Dir is ready for the next operation a tick later, before the promises of this one: so it has to be told in a tick, as by libuv. */
function answer(request: Request, error: unknown, result?: unknown): void {
  process.nextTick(() => request.oncomplete(error, result));
}

/** See the file's head. Batches are lists of a name and its type in turn, null at the end. */
class Entries {
  readonly #kernel: Kernel;
  #waiting: unknown[] = [];
  #ended = false;
  /** Entries that were given out, and Node's own reader from the first synchronous read on. */
  #given = 0;
  #sync: Dir | undefined;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  read(encoding: unknown, most: number, request?: Request): unknown {
    if (request === undefined) return this.#readSync(encoding, most);
    this.#read(encoding, most).then(
      (batch) => answer(request, null, batch),
      (error) => answer(request, error),
    );
    return undefined;
  }

  close(request?: Request): void {
    this.#sync?.closeSync();
    this.#sync = undefined;
    if (request === undefined) this.#kernel.closeNow();
    else
      this.#kernel.close().then(
        () => answer(request, null),
        (error) => answer(request, error),
      );
  }

  async #read(encoding: unknown, most: number): Promise<unknown[] | null> {
    if (this.#sync !== undefined) return this.#readSync(encoding, most);
    while (this.#waiting.length === 0 && !this.#ended) {
      const entries = await calls.readEntries(this.#kernel.link, this.#kernel.file);
      if (typeof entries === 'number') throw await uvError(entries, 'readdir');
      this.#ended = entries.count === 0;
      const bytes = encoding && encoding !== 'utf8';
      const { names } = bytes ? entries.bytes() : entries.texts();
      for (let index = 0; index < entries.count; index++) {
        const name = names[index] as string | Buffer;
        this.#waiting.push(bytes ? encoded(name as Buffer, encoding) : name, entries.types[index]);
      }
    }
    if (this.#waiting.length === 0) return null;
    const batch = this.#waiting.splice(0, most * 2);
    this.#given += batch.length / 2;
    return batch;
  }

  /** The system has no synchronous call for us: Node reads the same directory on, from where this was. */
  #readSync(encoding: unknown, most: number): unknown[] | null {
    if (this.#sync === undefined) {
      this.#sync = opendirSync(`/proc/self/fd/${this.#kernel.fd}`, { encoding: encoding as BufferEncoding });
      for (let skipped = 0; skipped < this.#given; skipped++) this.#sync.readSync();
    }
    const batch: unknown[] = [];
    while (batch.length < most * 2) {
      const entry = this.#sync.readSync();
      if (entry === null) break;
      batch.push(entry.name, typeOf(entry));
    }
    return batch.length === 0 ? null : batch;
  }
}

/** The UV_DIRENT number of an entry. */
function typeOf(entry: Dirent): number {
  if (entry.isFile()) return types.UV_DIRENT_FILE;
  if (entry.isDirectory()) return types.UV_DIRENT_DIR;
  if (entry.isSymbolicLink()) return types.UV_DIRENT_LINK;
  if (entry.isFIFO()) return types.UV_DIRENT_FIFO;
  if (entry.isSocket()) return types.UV_DIRENT_SOCKET;
  return entry.isCharacterDevice() ? types.UV_DIRENT_CHAR : types.UV_DIRENT_BLOCK;
}

/** Opens a directory. Node's is made of a function with a callback, which it counts as a parameter. */
export async function opendir(path: unknown, options?: unknown, _callback?: unknown): Promise<Dir> {
  // biome-ignore lint/complexity/noArguments: a rest parameter would hide how many were given, which is what Node goes by.
  const given = arguments as unknown as Parameters<typeof node.opendir>;
  if (given.length < 1 || given.length > 2) return await node.opendir(...given);
  const valid = plainPath(path);
  const plain = plainOptions(options);
  if (valid === undefined || plain === undefined) {
    return await node.opendir(path as never, options as never);
  }
  const kernel = await openKernel(valid, O_RDONLY | O_DIRECTORY, 0, 'opendir');
  kernel.directory = true;
  const { Dir } = classes();
  try {
    const dir = new Dir(new Entries(kernel), shownAs(path, valid), { encoding: 'utf8', ...plain });
    kernel.belongsTo(dir);
    return dir;
  } catch (error) {
    // Of a bufferSize that is none. Thrown where nobody can catch it, Node's ends the process.
    await kernel.close();
    throw error;
  }
}
