// One contender of `reads`, in a process of its own: reads random blocks for a while and reports one line of JSON.
// Plain JavaScript: node, bun and deno run the same file, so that only what is measured differs.
import fs from 'node:fs';
import fsp from 'node:fs/promises';
import process from 'node:process';
import { blockBytes, blockNumbers, checkBlock, firstWord } from './blocks.mjs';
import { begin, end } from './meter.mjs';

const { mode, file, seconds, depth, direct, warmSeconds, samples, ringwheel, executor } = JSON.parse(process.argv[2]);
const blocks = Math.floor(fs.statSync(file).size / blockBytes);
const nextBlock = blockNumbers(blocks, 0x9e3779b9 ^ (Date.now() & 0xffff));

// Latency is sampled in runs of its own: one operation in eight reads the clock. Throughput runs never read it in the loop.
const sampling = samples !== undefined;
const latencies = new Float64Array(sampling ? 1 << 20 : 0);
let sampled = 0;
let operations = 0;
let measuring = false;
let stopping = false;

/** Called after every read: counts it, and checks length and first word. */
function landed(words, block, bytes) {
  if (bytes !== blockBytes || words[0] !== firstWord(block)) {
    throw new Error(
      `wrong read: ${bytes} bytes, first word ${words[0]} instead of ${firstWord(block)} of block ${block}`,
    );
  }
  operations++;
}

function sample(since) {
  if (measuring && sampled < latencies.length) latencies[sampled++] = performance.now() - since;
}

/** The measured time begins. */
function measure() {
  operations = 0;
  measuring = true;
  begin();
}

function finish(extra) {
  const used = end();
  measuring = false;
  if (sampling) fs.writeFileSync(samples, new Uint8Array(latencies.buffer, 0, sampled * 8));
  return { operations, ...used, ...extra };
}

/** Runs the lanes for the warm-up and the measured time. The timers run in the same loop as the reads. */
async function during(lanes, extra) {
  let found;
  setTimeout(measure, warmSeconds * 1000);
  setTimeout(
    () => {
      found = finish(extra());
      stopping = true;
    },
    (warmSeconds + seconds) * 1000,
  );
  await Promise.all(lanes.map((lane) => lane()));
  return found;
}

const wordsOf = (bytes) => new Uint32Array(bytes.buffer, bytes.byteOffset, blockBytes / 4);
const flags = fs.constants.O_RDONLY | (direct ? fs.constants.O_DIRECT : 0);

/** Memory for each lane; with O_DIRECT where the disk takes it, which is found by trying: JavaScript knows no addresses. */
function buffers() {
  if (!direct) return Array.from({ length: depth }, () => new Uint8Array(blockBytes));
  const descriptor = fs.openSync(file, flags);
  const found = Array.from({ length: depth }, () => {
    const room = new Uint8Array(2 * blockBytes);
    for (let start = 0; start < blockBytes; start += 16) {
      try {
        fs.readSync(descriptor, room, start, blockBytes, 0);
        return room.subarray(start, start + blockBytes);
      } catch (error) {
        if (error.code !== 'EINVAL') throw error;
      }
    }
    throw new Error('no part of a buffer is aligned as O_DIRECT wants it');
  });
  fs.closeSync(descriptor);
  return found;
}

const nothing = () => ({});

/** Before anything is measured: some blocks are compared whole. */
async function verify(read, words) {
  for (let round = 0; round < 200; round++) {
    const block = nextBlock();
    words.fill(0);
    const bytes = await read(block * blockBytes);
    if (bytes !== blockBytes) throw new Error(`a read of block ${block} gave ${bytes} bytes`);
    checkBlock(words, block);
  }
}

const modes = {
  /** Ours, through the public classes: a promise per read, into leases. */
  async ringwheel() {
    const { Executor, File } = await import(ringwheel);
    const running = Executor.start(executor);
    const opened = await File.open(file, 'r', { direct: direct === true });
    const leases = Array.from({ length: depth }, () => running.lease(blockBytes));
    await verify((position) => opened.readAt(leases[0], position), wordsOf(leases[0].bytes));
    const lanes = leases.map((lease) => async () => {
      const words = wordsOf(lease.bytes);
      for (let turn = 0; !stopping; turn++) {
        const block = nextBlock();
        const since = sampling && (turn & 7) === 0 ? performance.now() : 0;
        const bytes = await opened.readAt(lease, block * blockBytes);
        if (since !== 0) sample(since);
        landed(words, block, bytes);
      }
    });
    const found = await during(lanes, () => ({ driver: `${running.driver} (${running.features.join(' ')})` }));
    await opened.close();
    for (const lease of leases) lease.release();
    await running.close();
    return found;
  },

  /** Ours, a promise per batch: `depth` ranges at a time, whose bytes are looked at in the memory they were read into. */
  async readMany() {
    const { Executor, File } = await import(ringwheel);
    const running = Executor.start(executor);
    const opened = await File.open(file, 'r', { direct: direct === true });
    const words = new Uint32Array(blockBytes / 4);
    await verify(async (position) => {
      const batch = await opened.readMany([{ position, length: blockBytes }]);
      const view = batch.view(0);
      words.set(wordsOf(view));
      batch.release();
      return view.length;
    }, words);
    const first = new Uint32Array(1);
    const lane = async () => {
      for (let turn = 0; !stopping; turn++) {
        const ranges = [];
        for (let index = 0; index < depth; index++)
          ranges.push({ position: nextBlock() * blockBytes, length: blockBytes });
        const since = sampling && (turn & 7) === 0 ? performance.now() : 0;
        const batch = await opened.readMany(ranges);
        if (since !== 0) sample(since);
        for (let index = 0; index < depth; index++) {
          // No second view for each range: the first word is put together from its bytes.
          const view = batch.view(index);
          first[0] = view[0] | (view[1] << 8) | (view[2] << 16) | (view[3] << 24);
          landed(first, ranges[index].position / blockBytes, view.length);
        }
        batch.release();
      }
    };
    const found = await during([lane], () => ({ driver: `${running.driver} (${running.features.join(' ')})` }));
    await opened.close();
    await running.close();
    return found;
  },

  /** fs.promises: FileHandle.read. */
  async promises() {
    const handle = await fsp.open(file, flags);
    const targets = buffers();
    const first = targets[0];
    await verify(async (position) => (await handle.read(first, 0, blockBytes, position)).bytesRead, wordsOf(first));
    const lanes = targets.map((target) => async () => {
      const words = wordsOf(target);
      for (let turn = 0; !stopping; turn++) {
        const block = nextBlock();
        const since = sampling && (turn & 7) === 0 ? performance.now() : 0;
        const { bytesRead } = await handle.read(target, 0, blockBytes, block * blockBytes);
        if (since !== 0) sample(since);
        landed(words, block, bytesRead);
      }
    });
    const found = await during(lanes, nothing);
    await handle.close();
    return found;
  },

  /** fs.read with a callback. */
  async callback() {
    const descriptor = fs.openSync(file, flags);
    const targets = buffers();
    const first = targets[0];
    const once = (position) =>
      new Promise((resolve, reject) => {
        fs.read(descriptor, first, 0, blockBytes, position, (error, bytes) => (error ? reject(error) : resolve(bytes)));
      });
    await verify(once, wordsOf(first));
    const lanes = targets.map(
      (target) => () =>
        new Promise((resolve, reject) => {
          const words = wordsOf(target);
          let block = 0;
          let since = 0;
          let turn = 0;
          const next = () => {
            block = nextBlock();
            since = sampling && (turn++ & 7) === 0 ? performance.now() : 0;
            fs.read(descriptor, target, 0, blockBytes, block * blockBytes, done);
          };
          const done = (error, bytes) => {
            if (error) return reject(error);
            if (since !== 0) sample(since);
            landed(words, block, bytes);
            if (stopping) resolve();
            else next();
          };
          next();
        }),
    );
    const found = await during(lanes, nothing);
    fs.closeSync(descriptor);
    return found;
  },

  /** fs.readSync in a loop: blocks the thread, and is the floor of what a system call per read costs. */
  async sync() {
    const descriptor = fs.openSync(file, flags);
    const [target] = buffers();
    const words = wordsOf(target);
    await verify((position) => fs.readSync(descriptor, target, 0, blockBytes, position), words);
    const turns = (duration) => {
      const until = performance.now() + duration * 1000;
      while (performance.now() < until) {
        for (let turn = 0; turn < 256; turn++) {
          const block = nextBlock();
          const since = sampling && (turn & 7) === 0 ? performance.now() : 0;
          const bytes = fs.readSync(descriptor, target, 0, blockBytes, block * blockBytes);
          if (since !== 0) sample(since);
          landed(words, block, bytes);
        }
      }
    };
    turns(warmSeconds);
    measure();
    turns(seconds);
    const found = finish({});
    fs.closeSync(descriptor);
    return found;
  },
};

try {
  const found = await modes[mode]();
  console.log(JSON.stringify(found));
  process.exit(0);
} catch (error) {
  console.error(error?.stack ?? error);
  process.exit(1);
}
