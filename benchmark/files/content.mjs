// What the workers of `files` read and write: which bytes are where, and who checks them. Node, bun and deno run it as it is.
import fs from 'node:fs';
import { blockBytes, fillBlock, firstWord } from '../reads/blocks.mjs';

const MIB = 2 ** 20;
/** Blocks after which a written file repeats itself: 16 MiB. */
const writtenBlocks = (16 * MIB) / blockBytes;

/** Checks the first word of each block that a piece of the file has whole, and counts the bytes. */
export class Checked {
  bytes = 0;
  blocks = 0;

  /** The next bytes of the file. */
  add(piece) {
    const view = new DataView(piece.buffer, piece.byteOffset, piece.byteLength);
    for (let at = -this.bytes & (blockBytes - 1); at + 4 <= piece.byteLength; at += blockBytes) {
      const block = (this.bytes + at) / blockBytes;
      if (view.getUint32(at, true) !== firstWord(block)) throw new Error(`wrong bytes: block ${block} did not come`);
      this.blocks++;
    }
    this.bytes += piece.byteLength;
  }

  /** Throws unless the whole file came. */
  end(size) {
    // A word that two pieces share is not checked: few are.
    if (this.bytes !== size || this.blocks < (0.9 * size) / blockBytes) {
      throw new Error(`${this.bytes} of ${size} bytes came, with the first words of ${this.blocks} blocks`);
    }
  }
}

let written;

/** The bytes that writers write again and again; made once. */
export function writtenBytes() {
  written ??= makeWritten();
  return written;
}

function makeWritten() {
  const words = new Uint32Array((writtenBlocks * blockBytes) / 4);
  for (let block = 0; block < writtenBlocks; block++)
    fillBlock(words.subarray(block * 1024, (block + 1) * 1024), block);
  return new Uint8Array(words.buffer);
}

/** Chunk after chunk of a file to write: never the same memory twice within 16 MiB, since a writer may hold on to it. */
export function* chunks(size, chunkBytes) {
  const source = writtenBytes();
  for (let at = 0; at < size; at += chunkBytes) {
    const start = at % source.length;
    yield source.subarray(start, start + Math.min(chunkBytes, size - at));
  }
}

/** Throws unless a file has the bytes that `chunks` gave, as far as a sample of blocks tells. */
export function checkWritten(file, size) {
  const descriptor = fs.openSync(file, 'r');
  try {
    if (fs.fstatSync(descriptor).size !== size)
      throw new Error(`wrote ${fs.fstatSync(descriptor).size} bytes of ${size}`);
    const found = new Uint32Array(1024);
    const expected = new Uint32Array(1024);
    const blocks = size / blockBytes;
    const step = Math.max(1, Math.floor(blocks / 500));
    for (let block = 0; block < blocks; block += step) {
      fs.readSync(descriptor, found, 0, blockBytes, block * blockBytes);
      fillBlock(expected, block % writtenBlocks);
      if (found.some((word, at) => word !== expected[at]))
        throw new Error(`wrong bytes: block ${block} was not written`);
    }
  } finally {
    fs.closeSync(descriptor);
  }
}
