// The files that are served: pseudo-random bytes, made as far as the rows that are wanted need them.
import { existsSync, mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeFile, warm } from '../harness/workspace';

/** One served file. */
export interface Page {
  /** Path of the URL. */
  url: string;
  bytes: number;
}

/** A part of the site: what one or several rows ask for. */
export type Part = '1 KiB' | '10 KiB' | '100 KiB' | '1 MiB' | '100 MiB' | 'thousand' | 'many' | 'cold';

const single: Readonly<Partial<Record<Part, number>>> = {
  '1 KiB': 2 ** 10,
  '10 KiB': 10 * 2 ** 10,
  '100 KiB': 100 * 2 ** 10,
  '1 MiB': 2 ** 20,
  '100 MiB': 100 * 2 ** 20,
};

/** How many files of which sizes a directory has; a smoke makes a few. */
const directories: Readonly<Partial<Record<Part, { count: number; smoke: number; bytes: readonly number[] }>>> = {
  thousand: { count: 1000, smoke: 20, bytes: [1, 2, 4, 8, 16].map((kibibytes) => kibibytes * 1024) },
  many: { count: 100_000, smoke: 200, bytes: [1, 2, 4, 8, 16].map((kibibytes) => kibibytes * 1024) },
  // CPU time is told in ticks of 10 ms: fewer would be too coarse.
  cold: { count: 512, smoke: 8, bytes: [2 ** 20] },
};

/** Not a moment ago: a validator of a file that may still change is a weak one, and longer than others send. */
const published = new Date('2025-01-01T00:00:00Z');

/** Files of a directory, so that none has too many. */
const perDirectory = 1000;

/** The directory that is served, and what is in it. */
export class Site {
  readonly root: string;
  readonly #pages = new Map<Part, readonly Page[]>();

  /** Makes the parts below `directory`, unless they are there from an earlier run. */
  constructor(directory: string, parts: Iterable<Part>, smoke: boolean) {
    // Otherwise a smoke's few files would be taken for all.
    this.root = path.join(directory, smoke ? 'site-smoke' : 'site');
    mkdirSync(this.root, { recursive: true });
    for (const part of parts) this.#pages.set(part, this.#make(part, smoke));
  }

  /** The files of a part, the most popular first. */
  pages(part: Part): readonly Page[] {
    return this.#pages.get(part) ?? [];
  }

  /** The file's bytes. */
  read({ url }: Page): Buffer {
    return readFileSync(this.file(url));
  }

  /** Where a page lies. */
  file(url: string): string {
    return path.join(this.root, url);
  }

  #make(part: Part, smoke: boolean): Page[] {
    const bytes = single[part];
    if (bytes !== undefined)
      return [this.#makeOne(`/${part.replace(' ', '')}.bin`, smoke ? Math.min(bytes, 2 ** 20) : bytes)];
    const { count, smoke: few, bytes: sizes } = directories[part] ?? { count: 0, smoke: 0, bytes: [] };
    const noise = pseudoRandom(Math.max(...sizes) + perDirectory * perDirectory, part.length);
    return Array.from({ length: smoke ? few : count }, (_, at) => {
      const url = `/${part}/${digits(at / perDirectory)}/${digits(at % perDirectory)}.bin`;
      // The sizes go round, so that a popular file may have any of them.
      const size = sizes[at % sizes.length] ?? 1024;
      return this.#makeSmall(url, noise.subarray(at, at + size));
    });
  }

  #makeOne(url: string, bytes: number): Page {
    const file = this.file(url);
    makeFile(file, bytes, (at) => pseudoRandom(Math.min(bytes - at, 2 ** 20), bytes + at));
    utimesSync(file, published, published);
    warm(file);
    return { url, bytes };
  }

  #makeSmall(url: string, content: Uint8Array): Page {
    const file = this.file(url);
    if (existsSync(file) && statSync(file).size === content.length) readFileSync(file);
    else {
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, content, { mode: 0o644 });
      utimesSync(file, published, published);
    }
    return { url, bytes: content.length };
  }
}

function digits(number: number): string {
  return String(Math.floor(number)).padStart(3, '0');
}

function pseudoRandom(bytes: number, seed: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(bytes / 4));
  let word = seed | 1;
  for (let at = 0; at < words.length; at++) {
    word ^= word << 13;
    word ^= word >>> 17;
    word ^= word << 5;
    words[at] = word;
  }
  return new Uint8Array(words.buffer, 0, bytes);
}
