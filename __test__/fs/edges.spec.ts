// Where the kernel, or who calls, is odd: directories that are gone, files that nobody may remove, memory that was given away, options that look back.
import {
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  opendirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { ended, fileOf, folder, script } from '../drivers';
import { type Fs, node, outcome, ring, same, sameHere } from './twins';

type Any = (...args: unknown[]) => Promise<unknown>;
const of = (fs: Fs, name: string): Any => (fs as unknown as Record<string, Any>)[name] as Any;

test.serial('a directory that was removed has no entries', async (t) => {
  const made = (at: (name: string) => string) => mkdirSync(at('gone'));
  await same(
    t,
    async (fs, at) => {
      const dir = await fs.opendir(at('gone'));
      rmdirSync(at('gone'));
      return [await dir.read(), await dir.read(), await dir.close()];
    },
    made,
  );
  for (const options of [undefined, { withFileTypes: true }, { recursive: true }] as const) {
    const { value } = await same(
      t,
      async (fs, at) => {
        const fd = openSync(at('gone'), 'r');
        rmdirSync(at('gone'));
        try {
          return await fs.readdir(`/proc/self/fd/${fd}`, options as never);
        } finally {
          closeSync(fd);
        }
      },
      made,
    );
    t.deepEqual(value, []);
  }
});

test.serial(
  "opendir rejects a bufferSize that is none, where Node's ends the process, and leaves nothing open",
  async (t) => {
    await ring.opendir(folder).then((dir) => dir.close());
    const open = readdirSync('/proc/self/fd').length;
    for (const bufferSize of [0, -1, 1.5, '2', 2 ** 32, null] as never[]) {
      const { error } = (await outcome(() => opendirSync(folder, { bufferSize }))) as { error: unknown };
      t.deepEqual(await outcome(() => ring.opendir(folder, { bufferSize })), { error });
    }
    t.true(readdirSync('/proc/self/fd').length <= open + 6, "Node 20's opendirSync leaves its own open");
  },
);

test.serial('rm of what nobody may remove', async (t) => {
  for (const path of ['/proc/version', '/proc/self', '/proc/sys/vm/swappiness', '/proc/none']) {
    for (const options of [undefined, { recursive: true }, { force: true }, { recursive: true, force: true }]) {
      const { error } = await sameHere(t, (fs) => fs.rm(path, options), path);
      if (path === '/proc/version') t.is(error?.message, "EPERM: operation not permitted, unlink '/proc/version'");
    }
  }
});

test('rm of a tree deeper than the process may have files open', async (t) => {
  const body = `
    const { spawnSync } = require('node:child_process');
    const { existsSync, mkdirSync, mkdtempSync, writeFileSync } = require('node:fs');
    if (process.argv[2] !== 'limited') {
      const { status, signal, stderr } = spawnSync('sh', ['-c', 'ulimit -n 40; exec "$@"', 'sh', process.execPath, __filename, 'limited'],
        { encoding: 'utf8', timeout: 80_000 });
      process.stderr.write(stderr + (signal ?? ''));
      process.exit(status ?? 71);
    }
    const fs = require(${JSON.stringify(join(__dirname, '../../dist/fs.js'))});
    const root = mkdtempSync(${JSON.stringify(join(folder, 'deep-'))});
    mkdirSync(root + '/k'.repeat(60), { recursive: true });
    for (let depth = 1; depth < 60; depth += 7) writeFileSync(root + '/k'.repeat(depth) + '/z', '');
    await fs.rm(root, { recursive: true });
    assert(!existsSync(root));
  `;
  ended(t, await script(body));
});

test.serial('copyFile with COPYFILE_FICLONE_FORCE from one file system to another', async (t) => {
  const elsewhere = '/dev/shm';
  if (
    statSync(elsewhere, { throwIfNoEntry: false })?.dev === undefined ||
    statSync(elsewhere).dev === statSync(folder).dev
  ) {
    process.stderr.write(`skip: ${t.title}: ${elsewhere} is no file system of its own here\n`);
    t.pass();
    return;
  }
  const place = mkdtempSync(join(elsewhere, 'ringwheel-spec-'));
  try {
    const source = fileOf('content');
    const { error } = await sameHere(t, (fs) =>
      fs.copyFile(source, join(place, 'copy'), constants.COPYFILE_FICLONE_FORCE),
    );
    t.true(error?.message.startsWith('EXDEV: '));
    t.deepEqual(readdirSync(place), []);
  } finally {
    rmSync(place, { recursive: true });
  }
});

test.serial('mkdtemp tells the letters that it tried', async (t) => {
  for (const prefix of ['none/x', 'file/x', `${'n'.repeat(300)}`, 'none/ü']) {
    const told = async (fs: Fs, at: (name: string) => string) => {
      const { error } = (await outcome(() => fs.mkdtemp(at(prefix)))) as { error: { message: string } };
      t.false(error.message.includes('XXXXXX'), error.message);
      return JSON.stringify(error).replaceAll(/(x|n|ü)\w{6}(?=[''"])/g, '$1******');
    };
    await same(t, told, (at) => writeFileSync(at('file'), ''), prefix);
  }
});

const detached = (view: NodeJS.ArrayBufferView): NodeJS.ArrayBufferView => {
  structuredClone(view.buffer, { transfer: [view.buffer as ArrayBuffer] });
  return view;
};
/** A few bytes, some that were given away, and a few more. */
const parts = (gone: (buffer: ArrayBuffer) => NodeJS.ArrayBufferView): NodeJS.ArrayBufferView[] => [
  Buffer.from('ab'),
  detached(gone(new ArrayBuffer(8))),
  new Uint16Array([0x6463]),
];
const KINDS: Record<string, (buffer: ArrayBuffer) => NodeJS.ArrayBufferView> = {
  Uint8Array: (buffer) => new Uint8Array(buffer),
  Buffer: (buffer) => Buffer.from(buffer),
  Float64Array: (buffer) => new Float64Array(buffer),
  DataView: (buffer) => new DataView(buffer),
};

for (const [kind, gone] of Object.entries(KINDS)) {
  test.serial(`memory that was given away among the parts: ${kind}`, async (t) => {
    const handled = (use: (file: Awaited<ReturnType<Fs['open']>>) => unknown) =>
      same(
        t,
        async (fs, at) => {
          const file = await fs.open(at('file'), 'r+');
          // What was detached ava cannot show.
          const shown = async () => {
            const result = await use(file);
            const { bytesRead, bytesWritten } = (result ?? {}) as Record<string, unknown>;
            return [bytesRead, bytesWritten, Array.isArray(result) && result];
          };
          try {
            return [await outcome(shown), readFileSync(at('file'), 'latin1')];
          } finally {
            await file.close();
          }
        },
        (at) => writeFileSync(at('file'), 'content'),
      );
    await handled((file) => file.writev(parts(gone)));
    await handled((file) => file.writev(parts(gone), 1));
    await handled((file) => file.writev([detached(gone(new ArrayBuffer(8)))]));
    await handled(async (file) => {
      const { bytesRead, buffers } = await file.readv(parts(gone));
      return [bytesRead, Buffer.from(buffers[0] as Buffer).toString(), buffers[2]];
    });
    await handled((file) => file.writeFile(parts(gone) as never));
    await handled((file) => file.writeFile(detached(gone(new ArrayBuffer(8))) as never));
    await handled((file) => file.write(detached(gone(new ArrayBuffer(8)))));
    await handled((file) => file.read(detached(gone(new ArrayBuffer(8)))));
    for (const name of ['writeFile', 'appendFile']) {
      await same(t, (fs, at) => of(fs, name)(at('new'), parts(gone)));
      await same(t, (fs, at) => of(fs, name)(at('new'), parts(gone).values()));
      await same(t, (fs, at) => of(fs, name)(at('new'), detached(gone(new ArrayBuffer(8)))));
    }
  });
}

/** An object that notes which of its properties are asked for. */
function watched(fields: Record<string, unknown>, asked: string[]): object {
  const made = {};
  for (const [name, value] of Object.entries(fields)) {
    const get = () => {
      asked.push(name);
      return value;
    };
    Object.defineProperty(made, name, { enumerable: true, get });
  }
  return made;
}

test.serial('options of read and write are asked for as often as by Node, and in its order', async (t) => {
  for (const name of ['read', 'write']) {
    for (const bytes of [0, 3]) {
      for (const fields of [
        {},
        { offset: 0, length: bytes, position: 0 },
        { offset: 9 },
        { length: -1 },
        { position: 1n },
      ]) {
        const buffer = Buffer.alloc(bytes);
        for (const args of name === 'read' ? [[buffer, fields], [{ buffer, ...fields }]] : [[buffer, fields]]) {
          for (const open of [true, false]) {
            await same(
              t,
              async (fs, at) => {
                const file = await fs.open(at('file'), 'r+');
                if (!open) await file.close();
                const asked: string[] = [];
                const given = args.map((value) => (Buffer.isBuffer(value) ? value : watched(value, asked)));
                const ended = await outcome(() => of(file as never, name).apply(file, given));
                await file.close();
                return [ended, asked];
              },
              (at) => writeFileSync(at('file'), 'content'),
              `${name} ${bytes} ${Object.keys(fields)} ${open}`,
            );
          }
        }
      }
    }
  }
});

test.serial('each function without arguments, and with too many', async (t) => {
  for (const [name, own] of Object.entries(ring)) {
    // A name that is Node's own is Node's function.
    if (typeof own !== 'function' || own === (node as never)[name]) continue;
    await sameHere(t, (fs) => of(fs, name)(), name);
  }
  await sameHere(t, (fs) => of(fs, 'opendir')('/none', {}, undefined), 'opendir');
  t.is(ring.opendir.length, node.opendir.length);
});
