// The files that are served: pseudo-random bytes of four sizes, with the hash that every body must have.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, utimesSync } from 'node:fs';
import path from 'node:path';
import { makeFile, warm } from '../harness/workspace';

/** One served file. */
export interface Page {
  /** As in the row's name. */
  size: string;
  /** Path of the URL. */
  url: string;
  bytes: number;
  sha256: string;
}

const sizes = { '1 KiB': 1024, '10 KiB': 10 * 1024, '100 KiB': 100 * 1024, '1 MiB': 1024 * 1024 } as const;

const published = new Date('2025-01-01T00:00:00Z');

/** Makes the site below `directory`. */
export function makeSite(directory: string): { root: string; pages: Page[] } {
  const root = path.join(directory, 'site');
  mkdirSync(root, { recursive: true });
  const pages = Object.entries(sizes).map(([size, bytes]) => {
    const name = `${size.replace(' ', '')}.bin`;
    const file = path.join(root, name);
    let word = bytes;
    makeFile(file, bytes, () => {
      const words = new Uint32Array(bytes / 4);
      for (let at = 0; at < words.length; at++) {
        word ^= word << 13;
        word ^= word >>> 17;
        word ^= word << 5;
        words[at] = word;
      }
      return new Uint8Array(words.buffer);
    });
    // Not a moment ago: a validator of a file that may still change is a weak one, and longer than others send.
    utimesSync(file, published, published);
    warm(file);
    return { size, url: `/${name}`, bytes, sha256: sha256(readFileSync(file)) };
  });
  return { root, pages };
}

/** The hash of a body, in hexadecimal. */
export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
