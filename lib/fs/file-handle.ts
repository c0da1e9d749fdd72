// FileHandle: Node's class, whose operations go through the executor.
//
// It extends Node's own, so that it is one to everything that asks `instanceof` (fs.createReadStream, node:http2, Node's own functions):
// the descriptor, 'close', reference counts, streams, readLines and async-dispose are inherited and call the methods that are overridden
// here. An argument that is not plainly valid goes to the method of Node's, which works on the same descriptor.
import type { Stats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { ReadableStream } from 'node:stream/web';
import { getSystemErrorMap } from 'node:util';
import { isAborted } from '../api/abort.js';
import * as calls from '../api/call.js';
import { bytesIfThere } from '../ring/bytes.js';
import type { Link } from '../ring/link.js';
import type { FileState } from '../ring/state.js';
import { OPCODE_DATASYNC, OPCODE_SYNC, OPCODE_TRUNCATE } from '../wire/layout.generated.js';
import {
  hasOnly,
  isEncoding,
  isWhole,
  NOTHING,
  plainId,
  plainMode,
  plainOptions,
  plainTime,
  WHOLE_OPTIONS,
  wantsBig,
} from './arguments.js';
import { endless, isContent, isTooLarge, reading, readWhole, TOO_LARGE, writeAll } from './content.js';
import { throwAbort } from './errors.js';
import type { Kernel } from './kernel.js';
import { hidden, type NodeFileHandle, nodeFileHandle } from './node.js';
import { isNothing, isOptions, partOf, plainPosition, totalOf } from './parts.js';
import { bigStatsOf, statsOf } from './stats.js';

/** Node's handles give a web stream of ArrayBuffers, and of bytes from 22.15 and 23.8 on. */
const [MAJOR = 0, MINOR = 0] = process.versions.node.split('.').map(Number);
const STREAMS_BYTES = MAJOR >= 24 || (MAJOR === 23 && MINOR >= 8) || (MAJOR === 22 && MINOR >= 15);
/** What a web stream reads at a time. */
const STREAM_BYTES = 65536;

type Method = (...args: unknown[]) => Promise<never>;
type Maker = new (kernel: Kernel) => FileHandle;

const kernels = new WeakMap<object, Kernel>();
let maker: Promise<Maker> | undefined;

/** The kernel of a handle of ours that is open; undefined for everything else. */
export function kernelOf(value: unknown): Kernel | undefined {
  const kernel = typeof value === 'object' && value !== null ? kernels.get(value) : undefined;
  return kernel?.file.open ? kernel : undefined;
}

/** The class; known from the first call on. */
export function handleClass(): Promise<Maker> {
  maker ??= nodeFileHandle().then(define);
  maker.catch(() => {
    maker = undefined; // Out of descriptors, say: the next call may have more luck.
  });
  return maker;
}

/** What is left of Node's class for the compiler: our methods have the signatures of Node's types only outside. */
interface Bare {
  readonly fd: number;
  [hidden: symbol]: () => unknown;
}

// Taken at load: a program may put another in its place.
const { structuredClone } = globalThis;

/** Closes a native handle that was to go to another thread, unless Node has taken it: closing that one would end the process, and only a transfer tells. */
function closeUnlessTaken(handle: InstanceType<NodeFileHandle['Native']>): void {
  try {
    structuredClone(handle, { transfer: [handle as never] }).close();
  } catch {
    // It was taken: whoever has it closes it.
  }
}

function define({ Base, Native, HANDLE }: NodeFileHandle): Maker {
  const REF = hidden(Base.prototype, 'kRef');
  const UNREF = hidden(Base.prototype, 'kUnref');
  const TRANSFER = hidden(Base.prototype, 'messaging_transfer_symbol');
  const TRANSFER_LIST = hidden(Base.prototype, 'messaging_transfer_list_symbol');
  const methods = Base.prototype as unknown as Record<string, Method>;
  const Parent = Base as unknown as new (kernel: Kernel) => Bare;

  /** Node's method of this name, on whatever it was called on: it looks at that, too. */
  const nodes = (handle: object, name: string, ...args: unknown[]): Promise<never> => methods[name].apply(handle, args);

  class FileHandle extends Parent {
    readonly #kernel: Kernel;
    /** The same open file as Node's, while it is being transferred. */
    #leaving: { close(): Promise<void> } | undefined;

    /** Whether it is a handle at all, and open. */
    static isOpen(value: object): boolean {
      return #kernel in value && (value as FileHandle).fd !== -1;
    }

    constructor(kernel: Kernel) {
      super(kernel);
      this.#kernel = kernel;
      kernels.set(this, kernel);
      kernel.belongsTo(this);
    }

    async read(target: unknown, offset?: unknown, length?: unknown, position?: unknown): Promise<unknown> {
      let [buffer, start, size, place] = [target, offset, length, position];
      const isPlain = ArrayBuffer.isView(buffer) || isOptions(buffer ?? NOTHING);
      if (!isPlain || !isOpen(this)) return nodes(this, 'read', target, offset, length, position);
      const asOptions = typeof start === 'object' && start !== null;
      if (!ArrayBuffer.isView(buffer)) {
        const options = (buffer ?? NOTHING) as never;
        ({ buffer = Buffer.alloc(16384), offset: start, length: size, position: place } = options);
      } else if (asOptions) {
        ({ offset: start, length: size, position: place } = start as never);
      }
      const part = ArrayBuffer.isView(buffer) ? partOf(buffer, start, size) : undefined;
      // What else there is Node 20 takes for the file's own, and Node 22 refuses.
      const odd = place !== undefined && place !== null && !isWhole(place, -1, Number.MAX_SAFE_INTEGER);
      if (part === undefined || odd) {
        // Options were looked at, and may answer otherwise the second time.
        const seen = { offset: start, length: size, position: place };
        if (!ArrayBuffer.isView(target)) return nodes(this, 'read', { buffer, ...seen });
        return asOptions ? nodes(this, 'read', target, seen) : nodes(this, 'read', target, offset, length, position);
      }
      this[REF]();
      try {
        const bytesRead = await this.#kernel.read(part, plainPosition(place));
        return { __proto__: null, bytesRead, buffer };
      } finally {
        this[UNREF]();
      }
    }

    async write(source: unknown, offset?: unknown, length?: unknown, position?: unknown): Promise<unknown> {
      let [start, size, place]: unknown[] = [offset, length, position];
      let part: Uint8Array | undefined;
      // Of nothing to write Node does not look at the rest.
      if (!isOpen(this) || isNothing(source)) return nodes(this, 'write', source, offset, length, position);
      let seen: unknown;
      if (typeof source === 'string') {
        place = start;
        // Of hex Node wants to see an even number of digits.
        const encoding = size === undefined || size === null ? 'utf8' : size;
        if (isEncoding(encoding) && encoding.toLowerCase() !== 'hex') part = Buffer.from(source, encoding);
        if (part?.length === 0) part = undefined;
      } else if (ArrayBuffer.isView(source)) {
        // With an offset of null Node looks at nothing behind it.
        if (typeof start === 'object') {
          ({ offset: start, length: size, position: place } = (start ?? NOTHING) as never);
          seen = { offset: start, length: size, position: place };
        }
        part = partOf(source, start, typeof size === 'number' ? size : undefined);
      }
      if (part === undefined || typeof place === 'bigint') {
        return seen === undefined
          ? nodes(this, 'write', source, offset, length, position)
          : nodes(this, 'write', source, seen);
      }
      this[REF]();
      try {
        const bytesWritten = await this.#kernel.write(part, plainPosition(place));
        return { __proto__: null, bytesWritten, buffer: source };
      } finally {
        this[UNREF]();
      }
    }

    async readv(buffers: unknown, position?: unknown): Promise<unknown> {
      const total = totalOf(buffers);
      if (total === undefined || typeof position === 'bigint' || !isOpen(this)) {
        return nodes(this, 'readv', buffers, position);
      }
      this[REF]();
      try {
        const joined = Buffer.allocUnsafeSlow(total);
        const bytesRead = await this.#kernel.read(joined, plainPosition(position));
        let taken = 0;
        for (const part of buffers as ArrayBufferView[]) {
          const bytes = bytesIfThere(part);
          if (bytes === undefined) continue;
          bytes.set(joined.subarray(taken, Math.min(bytesRead, taken + bytes.length)));
          taken += bytes.length;
          if (taken >= bytesRead) break;
        }
        return { __proto__: null, bytesRead, buffers };
      } finally {
        this[UNREF]();
      }
    }

    async writev(buffers: unknown, position?: unknown): Promise<unknown> {
      const total = totalOf(buffers);
      if (total === undefined || typeof position === 'bigint' || !isOpen(this)) {
        return nodes(this, 'writev', buffers, position);
      }
      this[REF]();
      try {
        const joined = Buffer.concat((buffers as ArrayBufferView[]).flatMap((part) => bytesIfThere(part) ?? []));
        const bytesWritten = await this.#kernel.write(joined, plainPosition(position));
        return { __proto__: null, bytesWritten, buffers };
      } finally {
        this[UNREF]();
      }
    }

    async readFile(options?: unknown): Promise<unknown> {
      const plain = plainOptions(options);
      const encoding = plain?.encoding;
      const known = hasOnly(plain, WHOLE_OPTIONS);
      if (plain === undefined || !known || (encoding && !isEncoding(encoding)) || !isOpen(this)) {
        return nodes(this, 'readFile', options);
      }
      this[REF]();
      try {
        const signal = plain.signal as AbortSignal | undefined;
        const { link, file } = this.#kernel;
        if (isAborted(signal)) await throwAbort(signal);
        const content = await readWhole(calls.readRest(link, file, reading(encoding, signal)), signal);
        if (content !== TOO_LARGE) return content;
        const { size } = (await this.stat()) as Stats;
        if (!isTooLarge(size)) throw endless();
        return await nodes(this, 'readFile', options);
      } finally {
        this[UNREF]();
      }
    }

    async writeFile(data: unknown, options?: unknown): Promise<void> {
      const plain = plainOptions(options);
      const encoding = plain?.encoding || 'utf8';
      const flush = plain?.flush;
      const known = hasOnly(plain, WHOLE_OPTIONS);
      const valid = known && isContent(data) && isEncoding(encoding) && typeof (flush ?? false) === 'boolean';
      if (plain === undefined || !valid || !isOpen(this)) return nodes(this, 'writeFile', data, options);
      this[REF]();
      try {
        await writeAll(this.#kernel, data, encoding, plain.signal as AbortSignal | undefined);
      } finally {
        this[UNREF]();
      }
    }

    // Node's is the same function.
    async appendFile(data: unknown, options?: unknown): Promise<void> {
      return this.writeFile(data, options);
    }

    async stat(options?: unknown): Promise<unknown> {
      const big = wantsBig(options);
      if (big === undefined || !isOpen(this)) return nodes(this, 'stat', options);
      this[REF]();
      try {
        return await this.#kernel.ask<unknown>(
          (link, file) => calls.fstat<unknown>(link, file, big ? bigStatsOf : statsOf),
          'fstat',
        );
      } finally {
        this[UNREF]();
      }
    }

    async chmod(mode?: unknown): Promise<void> {
      const bits = plainMode(mode);
      if (bits === undefined || !isOpen(this)) return nodes(this, 'chmod', mode);
      return this.#ask((link, file) => calls.fchmod(link, file, bits), 'fchmod');
    }

    async chown(uid?: unknown, gid?: unknown): Promise<void> {
      const [user, group] = [plainId(uid), plainId(gid)];
      if (user === undefined || group === undefined || !isOpen(this)) return nodes(this, 'chown', uid, gid);
      return this.#ask((link, file) => calls.fchown(link, file, user, group), 'fchown');
    }

    async utimes(atime?: unknown, mtime?: unknown): Promise<void> {
      const [a, m] = [plainTime(atime), plainTime(mtime)];
      if (a === undefined || m === undefined || !isOpen(this)) return nodes(this, 'utimes', atime, mtime);
      return this.#ask((link, file) => calls.futimes(link, file, a, m), 'futime');
    }

    async truncate(length: unknown = 0): Promise<void> {
      if (!Number.isSafeInteger(length) || !isOpen(this)) return nodes(this, 'truncate', length);
      return this.#run(OPCODE_TRUNCATE, Math.max(0, length as number), 'ftruncate');
    }

    async sync(): Promise<void> {
      if (!isOpen(this)) return nodes(this, 'sync');
      return this.#run(OPCODE_SYNC, 0, 'fsync');
    }

    async datasync(): Promise<void> {
      if (!isOpen(this)) return nodes(this, 'datasync');
      return this.#run(OPCODE_DATASYNC, 0, 'fdatasync');
    }

    readableWebStream(options: { type?: unknown } | null = {}): unknown {
      const { type } = options ?? {};
      if (STREAMS_BYTES || type === 'bytes' || (type !== undefined && typeof type !== 'string')) {
        return nodes(this, 'readableWebStream', options);
      }
      const bytes = nodes(this, 'readableWebStream', { ...options, type: 'bytes' }) as unknown as ReadableStream;
      const reader = bytes.getReader({ mode: 'byob' });
      return new ReadableStream({
        async pull(controller) {
          const { done, value } = await reader.read(new Uint8Array(STREAM_BYTES));
          if (done) return controller.close();
          controller.enqueue(value.buffer.slice(value.byteOffset, value.byteOffset + value.byteLength));
        },
        cancel: (reason) => reader.cancel(reason),
      });
    }

    /** What Node asks for before {@link TRANSFER}: a handle of its own for the same open file, which goes to the other thread. */
    [TRANSFER_LIST](): unknown {
      const { link, file } = this.#kernel;
      if (!isOpen(this) || !link.open) return super[TRANSFER_LIST]();
      const descriptor = link.native.duplicate(file.slot, file.generation);
      if (descriptor < 0) {
        const [code] = getSystemErrorMap().get(descriptor) ?? [descriptor];
        throw new DOMException(
          `Cannot transfer FileHandle: no descriptor for the other thread (${code})`,
          'DataCloneError',
        );
      }
      const leaving = new Native(descriptor);
      this.#leaving = leaving;
      // Where the message cannot be sent after all nobody asks for it.
      queueMicrotask(() => {
        if (this.#leaving !== leaving) return;
        this.#leaving = undefined;
        closeUnlessTaken(leaving);
      });
      return [leaving];
    }

    /** A handle is its executor's, and that one its thread's: what arrives is of Node's own class. */
    [TRANSFER](): unknown {
      const leaving = this.#leaving;
      if (leaving === undefined) return super[TRANSFER]();
      this.#leaving = undefined;
      const self = this as unknown as Record<symbol, unknown>;
      self[HANDLE] = leaving;
      try {
        const sent = super[TRANSFER]();
        this.#kernel.closeNow();
        return sent;
      } catch (error) {
        self[HANDLE] = this.#kernel;
        closeUnlessTaken(leaving);
        throw error;
      }
    }

    async #run(opcode: number, operand: number, syscall: string): Promise<void> {
      this[REF]();
      try {
        await this.#kernel.run(opcode, operand, syscall);
      } finally {
        this[UNREF]();
      }
    }

    async #ask(asked: (link: Link, file: FileState) => Promise<number>, syscall: string): Promise<void> {
      this[REF]();
      try {
        await this.#kernel.ask(asked, syscall);
      } finally {
        this[UNREF]();
      }
    }
  }
  const { isOpen } = FileHandle;
  return FileHandle as unknown as Maker;
}
