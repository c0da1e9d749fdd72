// A site that changes while it is served: files replaced by rename, gone and back, truncated, rewritten; links that lead in and out. It knows what
// each file held when.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Random } from './random';

/** What must never come out. */
export const SECRET = 'this is outside of the root and must never be sent 8f2c1e7a';

/** Files that are replaced as a whole. */
export const FILES = 12;

/** What a file held, and when: milliseconds of performance.now(), just before it appeared and just after it was gone. */
interface Version {
  readonly hash: string;
  readonly from: number;
  until: number;
}

export class ChangingSite {
  readonly root: string;
  readonly #place = mkdtempSync(join(tmpdir(), 'ringwheel-soak-'));
  readonly #random: Random;
  readonly #versions = Array.from({ length: FILES }, (): Version[] => []);
  #made = 0;
  /** Changes so far. */
  changes = 0;

  constructor(random: Random) {
    this.#random = random;
    this.root = join(this.#place, 'root');
    for (const directory of ['root/docs', 'root/app', 'root/swap', 'root/.well-known', 'outside']) {
      mkdirSync(join(this.#place, directory), { recursive: true });
    }
    writeFileSync(join(this.#place, 'secret'), SECRET);
    writeFileSync(join(this.#place, 'outside/secret'), SECRET);
    const files = [
      'index.html',
      'docs/index.html',
      'app/index.html',
      'page.html',
      '.hidden',
      '.well-known/x',
      'swap/index.html',
    ];
    for (const name of files) writeFileSync(join(this.root, name), name === '.hidden' ? SECRET : name);
    const links = {
      link: 'docs',
      'link-out': '../secret',
      'link-up': '..',
      absolute: join(this.#place, 'secret'),
      round: 'round',
    };
    for (const [name, target] of Object.entries(links)) symlinkSync(target, join(this.root, name));
    execFileSync('mkfifo', [join(this.root, 'fifo')]);
    writeFileSync(join(this.root, 'large'), Buffer.alloc(3 << 20, 1));
    for (let file = 0; file < FILES; file += 1) this.replace(file);
  }

  close(): void {
    rmSync(this.#place, { recursive: true, force: true });
  }

  /** One change of any kind. */
  change(): void {
    this.changes += 1;
    const file = this.#random.below(FILES);
    const large = join(this.root, 'large');
    const changes = [
      () => this.#remove(file),
      () => this.#swap(),
      () => truncateSync(large, this.#random.below(3 << 20)), // Who is being sent it finds it shorter.
      () => writeFileSync(large, Buffer.alloc(3 << 20, this.#random.below(256))),
      ...Array(4).fill(() => this.replace(file)),
    ];
    this.#random.of(changes)();
  }

  /** Puts other bytes in a file's place, as deployments do. */
  replace(file: number): void {
    this.#made += 1;
    const size = this.#random.of([0, 1, 100, 5000, 65_536, 65_537, 200_000, 1_200_000]);
    const bytes = Buffer.alloc(size, createHash('sha256').update(`${this.#made}`).digest());
    const [next, path] = [join(this.root, 'next'), join(this.root, `file-${file}`)];
    writeFileSync(next, bytes);
    this.#put(file, bytes, () => renameSync(next, path));
  }

  #remove(file: number): void {
    this.#put(file, undefined, () => rmSync(join(this.root, `file-${file}`), { force: true }));
  }

  #put(file: number, bytes: Buffer | undefined, change: () => void): void {
    const versions = this.#versions[file] as Version[];
    const from = performance.now();
    change();
    const last = versions.at(-1);
    if (last !== undefined) last.until = performance.now();
    versions.push({ hash: bytes === undefined ? 'none' : hashOf(bytes), from, until: Number.POSITIVE_INFINITY });
    if (versions.length > 1000) versions.shift();
  }

  /** A directory is a link that leads out for a moment. */
  #swap(): void {
    const [directory, parked] = [join(this.root, 'swap'), join(this.root, 'parked')];
    renameSync(directory, parked);
    symlinkSync('../outside', directory);
    unlinkSync(directory);
    renameSync(parked, directory);
  }

  /**
   * By how many milliseconds an answer to a request that was sent at `sent` is older than what was there then; infinite for what was never
   * there by `received`.
   */
  age(file: number, body: Buffer | undefined, sent: number, received: number): number {
    const hash = body === undefined ? 'none' : hashOf(body);
    const known = (this.#versions[file] as Version[]).filter(
      (version) => version.hash === hash && version.from <= received,
    );
    return Math.max(0, sent - Math.max(Number.NEGATIVE_INFINITY, ...known.map(({ until }) => until)));
  }
}

function hashOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
