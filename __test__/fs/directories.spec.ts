// mkdir, rmdir, rm, readdir, opendir and mkdtemp beside Node's own.
import { Dir, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import test from 'ava';
import { type Fs, outcome, ring, same } from './twins';

type At = (name?: string) => string;
type Any = (...args: unknown[]) => Promise<unknown>;
const of = (fs: Fs, name: string): Any => (fs as unknown as Record<string, Any>)[name] as Any;

const tree = (at: At): void => {
  for (const path of ['a/b/c', 'a/d', 'e', 'z y', 'ü']) mkdirSync(at(path), { recursive: true });
  for (const path of ['a/1', 'a/b/2', 'a/b/c/3', 'e/4', 'file', 'B', 'a.b', 'ü/ß']) writeFileSync(at(path), path);
  symlinkSync('../e', at('a/to-e'));
  symlinkSync('none', at('dangling'));
};
const odd = (at: At): void => {
  tree(at);
  writeFileSync(Buffer.from(`${at()}/\xfe\xff`, 'latin1'), '');
};

test.serial('mkdir, with and without what is above', async (t) => {
  for (const path of [
    'new',
    'new/x',
    'new/x/y/z',
    'a',
    'a/b',
    'file',
    'file/x',
    'file/x/y',
    'dangling',
    'dangling/x',
    'a/',
    'new/',
    './new/../new2',
    'ü/new',
  ]) {
    for (const options of [
      undefined,
      null,
      0o700,
      '700',
      {},
      { mode: 0o711 },
      { recursive: true },
      { recursive: true, mode: 0o700 },
      { recursive: false },
    ]) {
      await same(t, (fs, at) => of(fs, 'mkdir')(at(path), options), tree, `${path} ${JSON.stringify(options)}`);
    }
    await same(t, (fs, at) => fs.mkdir(Buffer.from(at(path)), { recursive: true }), tree, path);
    await same(t, (fs, at) => fs.mkdir(pathToFileURL(at(path)), { recursive: true }), tree, path);
  }
  for (const options of [
    { recursive: 1 },
    { recursive: 'x' },
    { mode: 'x' },
    { mode: -1 },
    'x',
    -1,
    { mode: {} },
    { recursive: null },
  ]) {
    await same(t, (fs, at) => of(fs, 'mkdir')(at('new'), options), tree, JSON.stringify(options));
  }
});

test.serial('rm and rmdir', async (t) => {
  const options: unknown[] = [
    undefined,
    {},
    { force: true },
    { recursive: true },
    { recursive: true, force: true },
    { recursive: true, maxRetries: 2, retryDelay: 1 },
    null,
    5,
    'x',
    { force: 1 },
    { recursive: 'x' },
    { maxRetries: -1 },
    { retryDelay: -1 },
    { retryDelay: 'x' },
  ];
  for (const option of options) {
    for (const path of ['a', 'e', 'file', 'none', 'dangling', 'a/to-e', 'none/x', 'file/x', 'z y', 'a/']) {
      await same(t, (fs, at) => of(fs, 'rm')(at(path), option), odd, `rm ${path} ${JSON.stringify(option)}`);
    }
  }
  for (const path of ['a', 'e', 'file', 'none', 'dangling', 'z y']) {
    await same(t, (fs, at) => fs.rmdir(at(path)), tree, `rmdir ${path}`);
    for (const option of [{}, { recursive: true }, { recursive: 1 }, null, { maxRetries: 'x' }]) {
      await same(t, (fs, at) => of(fs, 'rmdir')(at(path), option), tree, `rmdir ${path} ${JSON.stringify(option)}`);
    }
  }
  await same(t, (fs, at) => fs.rm(Buffer.from(`${at()}/\xfe\xff`, 'latin1')), odd);
  await same(t, (fs, at) => fs.rm(Buffer.from(at()), { recursive: true, force: true }).then(() => fs.mkdir(at())), odd);
});

/** Directories whose names are no UTF-8: Node looks them up under other names, and what it then finds is another's, or nothing. */
const noText = (at: At): void => {
  const bytes = (name: string): Buffer => Buffer.from(`${at()}/${name}`, 'latin1');
  for (const name of ['a\xff', 'b\xff', 'c', 'c/d\xc3', 'c/d\xc3/e']) {
    mkdirSync(bytes(name));
    writeFileSync(bytes(`${name}/file`), name);
  }
};

test.serial(
  'readdir of a tree with names that are no text, links in circles, and paths that grow too long',
  async (t) => {
    const both = (at: At): void => {
      noText(at);
      mkdirSync(at('a\ufffd/inside'), { recursive: true });
    };
    const circle = (at: At): void => {
      mkdirSync(at('deep/er'), { recursive: true });
      writeFileSync(at('deep/file'), '');
      symlinkSync('..', at('deep/er/up'));
    };
    const long = (at: At): void => {
      mkdirSync(at('x'.repeat(200)));
      symlinkSync('.', at(`${'x'.repeat(200)}/${'y'.repeat(250)}`));
    };
    for (const [name, prepare] of Object.entries({ noText, both, circle, long })) {
      for (const options of [{ recursive: true }, { recursive: true, withFileTypes: true }]) {
        // More roots than `at()`: errors tell a path below, which Node has joined.
        for (const from of ['', '.', './/']) {
          const call = (fs: Fs, at: At) => fs.readdir(`${at()}${from === '' ? '' : `/${from}`}`, options as never);
          const { value, error } = await same(t, call, prepare, `${name} ${from} ${JSON.stringify(options)}`);
          t.true(Array.isArray(value) || error !== undefined);
        }
      }
    }
  },
);

test.serial('readdir in every form', async (t) => {
  const encodings = [undefined, null, 'utf8', 'buffer', 'hex', 'latin1', 'base64', '', 'nonsense'];
  for (const path of ['', 'a', 'e', 'z y', 'file', 'none', 'dangling', 'a/to-e', 'a/', 'ü']) {
    for (const encoding of encodings) {
      await same(t, (fs, at) => of(fs, 'readdir')(at(path), encoding), odd, `${path} ${encoding}`);
      await same(
        t,
        (fs, at) => of(fs, 'readdir')(at(path), { encoding, withFileTypes: true }),
        odd,
        `${path} ${encoding} types`,
      );
    }
    for (const options of [
      { recursive: true },
      { recursive: true, withFileTypes: true },
      { recursive: 1 },
      { withFileTypes: 1 },
      { recursive: true, encoding: 'buffer' },
    ]) {
      await same(t, (fs, at) => of(fs, 'readdir')(at(path), options), tree, `${path} ${JSON.stringify(options)}`);
    }
    await same(t, (fs, at) => fs.readdir(Buffer.from(at(path))), odd, path);
    await same(t, (fs, at) => of(fs, 'readdir')(Buffer.from(at(path)), { withFileTypes: true }), odd, path);
    await same(t, (fs, at) => of(fs, 'readdir')(Buffer.from(at(path)), { recursive: true }), tree, path);
    await same(
      t,
      (fs, at) => fs.readdir(pathToFileURL(at(path)), { withFileTypes: true, recursive: true }),
      tree,
      path,
    );
  }
  for (const options of [5, true, { encoding: 5 }, { encoding: 'nonsense' }]) {
    await same(t, (fs, at) => of(fs, 'readdir')(at(), options), tree, JSON.stringify(options));
  }
  const many = (at: At): void => {
    for (let index = 0; index < 3000; index++) writeFileSync(at(`${index} ${'long'.repeat(index % 20)}`), '');
  };
  await same(t, (fs, at) => fs.readdir(at()), many, 'many');
});

/** Everything that a Dir does, as text: entries sorted, since their order is the file system's. */
async function walked(dir: Dir): Promise<unknown> {
  const names: string[] = [];
  for await (const entry of dir) {
    names.push(
      [entry.name, entry.parentPath, entry.isDirectory(), entry.isSymbolicLink(), entry.constructor.name].join(),
    );
  }
  return names.sort();
}

test.serial('opendir, read in all ways', async (t) => {
  for (const path of ['', 'a', 'z y', 'none', 'file', 'dangling']) {
    for (const options of [
      undefined,
      {},
      { bufferSize: 1 },
      { bufferSize: 1000 },
      { encoding: 'hex' },
      'latin1',
      { recursive: true },
    ]) {
      await same(
        t,
        async (fs, at) => {
          const dir = (await of(fs, 'opendir')(at(path), options)) as Dir;
          return [dir.path, await walked(dir), await outcome(() => dir.read()), await outcome(() => dir.close())];
        },
        odd,
        `${path} ${JSON.stringify(options)}`,
      );
    }
  }
  await same(t, async (fs, at) => (await fs.opendir(at(), { encoding: 'nonsense' as never })).close(), tree);
  await same(
    t,
    async (fs, at) => {
      const dir = await fs.opendir(Buffer.from(at()) as never);
      const found = [(await dir.read())?.constructor.name];
      const names = new Set<string>();
      // Reads that overlap are answered one after the other.
      const [one, two] = await Promise.all([dir.read(), dir.read()]);
      found.push(String(one?.name !== two?.name), String(Buffer.isBuffer(dir.path)));
      for (let entry = dir.readSync(); entry !== null; entry = dir.readSync()) names.add(entry.name);
      dir.closeSync();
      return [found, names.size, await outcome(() => dir.close()), await outcome(async () => dir.readSync())];
    },
    tree,
  );
  t.true((await ring.opendir('/')) instanceof Dir);
});

test.serial('mkdtemp', async (t) => {
  const shown = (made: unknown): string =>
    Buffer.from(made as string)
      .toString('latin1')
      .replace(/.{6}$/s, '......');
  for (const options of [undefined, 'utf8', 'buffer', { encoding: 'buffer' }, 'nonsense', null, 5]) {
    await same(
      t,
      async (fs, at) => {
        const made = await of(fs, 'mkdtemp')(at('new-ü-'), options);
        await fs.rmdir(made as string);
        return [typeof made, shown(made)];
      },
      undefined,
      JSON.stringify(options),
    );
  }
  for (const prefix of ['none/x', 'none/', 'x/y']) {
    // libuv may tell the letters that it tried.
    const failing = async (fs: Fs, at: At) => {
      const error = (await fs.mkdtemp(at(prefix)).catch((thrown) => thrown)) as NodeJS.ErrnoException;
      const { code, errno, syscall, path, message } = error;
      return [code, errno, syscall, shown(path), message.replace(/.{6}'$/, '')];
    };
    await same(t, failing, undefined, prefix);
  }
  await same(t, async (fs, at) => {
    const made = await of(fs, 'mkdtemp')(Buffer.from(`${at()}/\xff`, 'latin1'), 'buffer');
    await fs.rmdir(made as Buffer);
    return shown(made);
  });
  await same(t, async (fs, at) => {
    const made = await fs.mkdtemp(at('endsX'));
    await fs.rmdir(made);
    return shown(made);
  });
});
