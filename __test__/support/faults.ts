// Faults for scripts of specs: short transfers and errors that are injected between TypeScript and Rust, and those that the kernel
// makes itself when it is given a limit or a full disk.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { script } from '../drivers';
import type { Ended } from './command';
import { root } from './command';

/**
 * For a script: `inject(plan)`. `plan` is asked for each read and write command, with its number, opcode and length; all writes are commands then. A number > 0 is the most bytes
 * that the kernel gets to move: it really moves no more, on whichever driver. One < 0 is the result that TypeScript gets, minus an errno.
 * `undefined` leaves the command alone.
 */
export const INJECT = `
const fs = require('node:fs');
const { constants: { errno } } = require('node:os');
const layout = require(${JSON.stringify(join(root, 'dist/lib/wire/layout.generated.js'))});
const { CommandWriter } = require(${JSON.stringify(join(root, 'dist/lib/ring/command-writer.js'))});
const { Link } = require(${JSON.stringify(join(root, 'dist/lib/ring/link.js'))});
let plan, commands = 0, injected = 0;
const inject = (next) => { plan = next; commands = 0; injected = 0; };
{
  const results = new Map(); // By slot and generation.
  const { write } = CommandWriter.prototype;
  CommandWriter.prototype.write = function (word, slot, generation, fileSlot, fileGeneration, leaseSlot, leaseGeneration, length, operand) {
    const opcode = word & 0xffff;
    const fault = plan !== undefined && (opcode === layout.OPCODE_READ || opcode === layout.OPCODE_WRITE)
      ? plan(commands++, opcode, length) : undefined;
    if (fault !== undefined) injected++;
    if (fault < 0) results.set(slot + ':' + generation, fault);
    write.call(this, word, slot, generation, fileSlot, fileGeneration, leaseSlot, leaseGeneration, fault > 0 ? Math.min(fault, length) : length, operand);
  };
  const { finish, writeNow } = Link.prototype;
  Link.prototype.writeNow = function (file, bytes, start, end, position) {
    return plan === undefined ? writeNow.call(this, file, bytes, start, end, position) : layout.WRITE_ELSEWHERE;
  };
  Link.prototype.finish = function (slot, generation, result, extra) {
    const key = slot + ':' + generation;
    const fault = results.get(key);
    results.delete(key);
    finish.call(this, slot, generation, fault ?? result, extra);
  };
}
/** Numbers that look random and are the same in each run. */
const random = (seed) => (below) => {
  seed ^= seed << 13; seed ^= seed >>> 17; seed ^= seed << 5;
  return (seed >>> 0) % below;
};
const bytesOf = (length, seed = 1) => {
  const next = random(seed * 2654435761 | 1);
  return Uint8Array.from({ length }, () => next(256));
};
const same = (found, expected, what) => assert(Buffer.compare(found, expected) === 0, what + ': other bytes');
let names = 0;
const place = () => __filename + '.' + names++;
`;

/** Runs a script under a shell command that ends in the script's start, for instance `ulimit -n 64; exec "$0" "$1"`. */
export function under(command: string, body: string, env: Record<string, string> = {}): Promise<Ended> {
  return script(
    `
    if (process.env.RINGWHEEL_UNDER === undefined) {
      const { spawnSync } = require('node:child_process');
      const child = spawnSync('sh', ['-c', ${JSON.stringify(command)}, process.execPath, __filename],
        { env: { ...process.env, RINGWHEEL_UNDER: '1' }, encoding: 'utf8', timeout: 90_000 });
      process.stdout.write(child.stdout);
      process.stderr.write(child.stderr + (child.signal ?? ''));
      process.exit(child.status ?? 71);
    }
    ${INJECT}
    ${body}`,
    [],
    env,
  );
}

/** {@link smallDisk} on a new directory; undefined, with the reason on stderr and the test passed, where that cannot be. */
export function smallDiskFor(t: ExecutionContext, directory: string): string | undefined {
  mkdirSync(directory, { recursive: true });
  const small = smallDisk(directory);
  if ('command' in small) return small.command;
  process.stderr.write(`skip: ${t.title}: ${small.reason}\n`);
  t.pass();
  return undefined;
}

/** The part of a command that mounts a tmpfs of 1 MiB on `$RINGWHEEL_DISK`, in a mount namespace that goes with the script; or why that cannot be. */
export function smallDisk(directory: string): { command: string } | { reason: string } {
  const mount = `mount -t tmpfs -o size=1m none '${directory}'`;
  for (const unshare of ['unshare -m', 'unshare -rm']) {
    const tried = spawnSync('sh', ['-c', `${unshare} sh -c "${mount}"`], { encoding: 'utf8', timeout: 30_000 });
    if (tried.status === 0) {
      return { command: `exec ${unshare} sh -c "${mount} && exec \\"\\$0\\" \\"\\$1\\"" "$0" "$1"` };
    }
  }
  return { reason: 'neither root nor user namespaces may mount a tmpfs here' };
}
