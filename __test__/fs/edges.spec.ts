// Where the kernel, or who calls, is odd: directories that are gone, files that nobody may remove, memory that was given away, options that look back.
import { closeSync, mkdirSync, openSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import test from 'ava';
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

test.serial('rm of what nobody may remove', async (t) => {
  for (const path of ['/proc/version', '/proc/self', '/proc/sys/vm/swappiness', '/proc/none']) {
    for (const options of [undefined, { recursive: true }, { force: true }, { recursive: true, force: true }]) {
      const { error } = await sameHere(t, (fs) => fs.rm(path, options), path);
      if (path === '/proc/version') t.is(error?.message, "EPERM: operation not permitted, unlink '/proc/version'");
    }
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
  for (const name of Object.keys(node).filter((key) => !['watch', 'glob', 'constants'].includes(key))) {
    await sameHere(t, (fs) => of(fs, name)(), name);
  }
  await sameHere(t, (fs) => of(fs, 'opendir')('/none', {}, undefined), 'opendir');
  t.is(ring.opendir.length, node.opendir.length);
});
