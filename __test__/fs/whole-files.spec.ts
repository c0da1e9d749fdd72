// readFile, writeFile, appendFile and truncate beside Node's own.
import { execFileSync } from 'node:child_process';
import { chmodSync, constants, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import test from 'ava';
import { pattern } from '../drivers';
import { BAD_PATHS } from './bad-paths';
import { type Fs, ring, same } from './twins';

const ENCODINGS = [
  'utf8',
  'utf-8',
  'UTF8',
  'utf16le',
  'ucs2',
  'latin1',
  'binary',
  'ascii',
  'base64',
  'base64url',
  'hex',
];
const TEXT = 'grüße, 世界 🎡\n\u0000 end';

/** The ways in which options can be wrong. */
const BAD_OPTIONS: unknown[] = [
  5,
  true,
  Symbol('x'),
  'nonsense',
  { encoding: 'nonsense' },
  { encoding: 5 },
  { flag: 'nonsense' },
  { flag: -1 },
  { flag: 1.5 },
  { flag: 2 ** 40 },
  { mode: 'rw' },
  { mode: -1 },
  { mode: {} },
  { signal: 'now' },
  { signal: {} },
  { flush: 'yes' },
  { flush: 1 },
];

const withFile = (content: string | Uint8Array) => (at: (name?: string) => string) => writeFileSync(at('x'), content);

for (const size of [0, 1, 100, 4096, 65536, 262144, 262145, 524288, 1500000]) {
  test.serial(`a file of ${size} bytes reads, is written and grows`, async (t) => {
    const bytes = pattern(size);
    await same(t, (fs, at) => fs.readFile(at('x')), withFile(bytes));
    await same(t, (fs, at) => fs.readFile(at('x'), 'latin1'), withFile(bytes));
    await same(t, (fs, at) => fs.writeFile(at('x'), bytes), withFile(TEXT));
    await same(t, (fs, at) => fs.appendFile(at('x'), bytes), withFile(TEXT));
  });
}

test.serial('text in every encoding', async (t) => {
  for (const encoding of ENCODINGS as BufferEncoding[]) {
    await same(t, (fs, at) => fs.readFile(at('x'), encoding), withFile(TEXT), encoding);
    await same(t, (fs, at) => fs.readFile(at('x'), { encoding }), withFile(pattern(1001)), encoding);
    await same(t, (fs, at) => fs.writeFile(at('x'), TEXT, encoding), undefined, encoding);
    await same(
      t,
      (fs, at) => fs.writeFile(at('x'), Buffer.from(TEXT).toString(encoding), { encoding }),
      undefined,
      encoding,
    );
    await same(t, (fs, at) => fs.appendFile(at('x'), 'abcd', encoding), withFile(TEXT), encoding);
  }
  for (const none of [null, undefined, '', 'buffer']) {
    await same(t, (fs, at) => fs.readFile(at('x'), none as never), withFile(TEXT), String(none));
    await same(t, (fs, at) => fs.readFile(at('x'), { encoding: none as never }), withFile(TEXT), String(none));
    await same(t, (fs, at) => fs.writeFile(at('x'), TEXT, none as never), undefined, String(none));
    await same(t, (fs, at) => fs.writeFile(at('x'), TEXT, { encoding: none as never }), undefined, String(none));
  }
});

test.serial('all kinds of content', async (t) => {
  async function* later(parts: readonly unknown[]) {
    for (const part of parts) yield part;
  }
  const contents: [string, () => unknown][] = [
    ['text', () => TEXT],
    ['nothing', () => ''],
    ['half a surrogate pair', () => 'a\ud800b'],
    ['a Buffer', () => Buffer.from(TEXT)],
    ['a part of one', () => Buffer.from(TEXT).subarray(3, 7)],
    ['a Uint16Array', () => Uint16Array.of(1, 2, 3)],
    ['a DataView', () => new DataView(new ArrayBuffer(9), 2, 5)],
    ['shared memory', () => new Uint8Array(new SharedArrayBuffer(5)).fill(7)],
    ['a Float64Array', () => Float64Array.of(0.5)],
    ['an array of text', () => ['a', 'b', 'ç']],
    ['an array of bytes', () => [Buffer.from('a'), Uint8Array.of(1, 2)]],
    ['an empty array', () => []],
    ['a set', () => new Set(['x', 'y'])],
    ['an async generator', () => later(['a', Buffer.from('b'), 'c'])],
    ['a stream', () => Readable.from([Buffer.alloc(70000, 1), Buffer.alloc(600000, 2)])],
    ['a stream of text', () => Readable.from(['one', 'two'])],
    [
      'a generator that throws',
      () =>
        (function* () {
          yield 'a';
          throw new TypeError('from the generator');
        })(),
    ],
    ['a generator of numbers', () => [1, 2]],
    ['a generator of nothing', () => [undefined]],
    ['undefined', () => undefined],
    ['null', () => null],
    ['a number', () => 5],
    ['a boolean', () => true],
    ['an object', () => ({})],
    ['an object that is text', () => ({ toString: () => 'text' })],
    ['a function', () => () => {}],
    ['a bigint', () => 5n],
    ['a symbol', () => Symbol('x')],
    ['an ArrayBuffer', () => new ArrayBuffer(4)],
  ];
  for (const [what, make] of contents) {
    await same(t, (fs, at) => fs.writeFile(at('x'), make() as never), undefined, what);
    await same(t, (fs, at) => fs.appendFile(at('x'), make() as never), withFile(TEXT), what);
    await same(
      t,
      (fs, at) => fs.writeFile(at('x'), make() as never, { encoding: 'latin1', flush: true }),
      undefined,
      what,
    );
  }
});

test.serial('paths as text, bytes and URLs, with names that are no UTF-8', async (t) => {
  const odd = (at: (name?: string) => string) =>
    Buffer.concat([Buffer.from(at()), Buffer.from([0x2f, 0xff, 0xfe, 0x41])]);
  await same(t, (fs, at) => fs.writeFile(odd(at), TEXT));
  await same(
    t,
    (fs, at) => fs.readFile(odd(at)),
    (at) => writeFileSync(odd(at), TEXT),
  );
  const missing = await same(t, (fs, at) => fs.readFile(odd(at)));
  t.regex(missing.error?.message ?? '', /^ENOENT: no such file or directory, open '/);
  await same(t, (fs, at) => fs.writeFile(pathToFileURL(at('a b#ü')), TEXT));
  await same(
    t,
    (fs, at) => fs.readFile(pathToFileURL(at('a b#ü')), 'utf8'),
    (at) => writeFileSync(at('a b#ü'), TEXT),
  );
  await same(t, (fs, at) => fs.readFile(pathToFileURL(at('none'))));
  await same(t, (fs, at) => fs.writeFile(new Uint8Array(Buffer.from(at('bytes'))) as never, TEXT));
  await same(t, (fs, at) => fs.writeFile(at('a\ud800b'), TEXT));
  await same(t, (fs, at) => fs.readFile(at('a\ud800b')));
  await same(t, (fs) => fs.readFile(''));
  await same(t, (fs) => fs.readFile(Buffer.alloc(0)));
  await same(t, (fs) => fs.readFile('x'.repeat(5000)));
  await same(t, (fs, at) => fs.readFile(at('x'.repeat(300))));
});

test.serial('errors of the system', async (t) => {
  const prepare = (at: (name?: string) => string): void => {
    writeFileSync(at('file'), TEXT);
    mkdirSync(at('directory'));
    symlinkSync('loop', at('loop'));
    symlinkSync('gone', at('dangling'));
  };
  for (const name of ['none', 'directory', 'file/x', 'loop', 'dangling', 'directory/none', 'file/']) {
    await same(t, (fs, at) => fs.readFile(at(name)), prepare, name);
    await same(t, (fs, at) => fs.writeFile(at(name), TEXT), prepare, name);
    await same(t, (fs, at) => fs.appendFile(at(name), TEXT), prepare, name);
    await same(t, (fs, at) => fs.truncate(at(name), 3), prepare, name);
  }
  await same(t, (fs) => fs.readFile('/proc/self/mem', { flag: 'r' }));
  await same(t, (fs) => fs.writeFile('/dev/full', TEXT));
  await same(t, (fs) => fs.appendFile('/dev/full', [TEXT, TEXT] as never));
});

test.serial('what is no regular file', async (t) => {
  await same(t, (fs) => fs.readFile('/dev/null'));
  await same(t, (fs) => fs.readFile('/proc/version', 'utf8'));
  await same(t, (fs) => fs.writeFile('/dev/null', TEXT));
  const big = 200000;
  await same(
    t,
    async (fs, at) => {
      const writing = node(fs, at('fifo'), big);
      return [await fs.readFile(at('fifo')), await writing];
    },
    (at) => execFileSync('mkfifo', [at('fifo')]),
  );
});

test.serial('a FIFO without a writer is waited for, by path and by handle', async (t) => {
  const fifo = (at: (name?: string) => string): unknown => execFileSync('mkfifo', [at('fifo')]);
  const later = async (fs: Fs, path: string): Promise<void> => {
    await new Promise((resolve) => setTimeout(resolve, 50));
    await node(fs, path, 3000);
  };
  const reads = await same(
    t,
    async (fs, at) => {
      const writing = later(fs, at('fifo'));
      return [(await fs.readFile(at('fifo'))).length, await writing];
    },
    fifo,
  );
  t.deepEqual(reads.value, [3000, undefined], 'what does not wait for the writer finds nothing');
  await same(
    t,
    async (fs, at) => {
      const writing = later(fs, at('fifo'));
      const handle = await fs.open(at('fifo'), fs.constants.O_RDONLY);
      const content = await handle.readFile();
      await handle.close();
      return [content, await writing];
    },
    fifo,
  );
  await same(
    t,
    async (fs, at) => {
      const reading = fs.readFile(at('fifo'), 'utf8');
      await fs.writeFile(at('fifo'), TEXT);
      return reading;
    },
    fifo,
  );
});

test.serial('files that say that they are empty, or longer than they are', async (t) => {
  const paths = [
    '/proc/self/cmdline',
    '/proc/filesystems',
    '/proc/sys/kernel/ostype',
    '/proc/self/mem',
    '/proc/self/fd/9999',
    '/sys/kernel/mm/transparent_hugepage/enabled',
    '/sys/class/net/lo/address',
    '/sys/class/net/lo/speed',
    '/sys',
  ];
  for (const path of paths) {
    for (const flag of ['r', constants.O_RDONLY | constants.O_NONBLOCK]) {
      await same(t, (fs) => fs.readFile(path, { flag }), undefined, `${path} ${flag}`);
    }
    const byHandle = async (fs: Fs): Promise<unknown> => {
      const handle = await fs.open(path);
      return handle.readFile('utf8').finally(() => handle.close());
    };
    await same(t, byHandle, undefined, path);
  }
});

/** Somebody else, who writes into a FIFO in small pieces. */
function node(_fs: Fs, path: string, bytes: number): Promise<void> {
  const body = `const fs = require('fs'); const fd = fs.openSync(${JSON.stringify(path)}, 'w');
    for (let left = ${bytes}; left > 0; left -= 1000) fs.writeSync(fd, Buffer.alloc(Math.min(left, 1000), left));`;
  return import('node:child_process').then(
    ({ execFile }) =>
      new Promise((resolve, reject) => {
        execFile(process.execPath, ['-e', body], (error) => (error === null ? resolve() : reject(error)));
      }),
  );
}

test.serial('flags and permissions', async (t) => {
  const flags = [
    'r',
    'rs',
    'sr',
    'r+',
    'rs+',
    'sr+',
    'w',
    'wx',
    'xw',
    'w+',
    'wx+',
    'xw+',
    'a',
    'ax',
    'xa',
    'as',
    'sa',
    'a+',
    'ax+',
    'as+',
    'sa+',
    'xa+',
  ];
  for (const flag of [...flags, '', 0, 1, 0o102, 0o1101, 0o2001]) {
    for (const prepare of [undefined, withFile(TEXT)]) {
      await same(t, (fs, at) => fs.readFile(at('x'), { flag } as never), prepare, `read ${flag}`);
      await same(t, (fs, at) => fs.writeFile(at('x'), 'new', { flag } as never), prepare, `write ${flag}`);
      await same(t, (fs, at) => fs.appendFile(at('x'), 'new', { flag } as never), prepare, `append ${flag}`);
    }
  }
  for (const mode of [0, 0o600, 0o777, 0o4755, '644', '0755', null, undefined, 0o100644]) {
    await same(t, (fs, at) => fs.writeFile(at('x'), TEXT, { mode } as never), undefined, String(mode));
  }
  await same(
    t,
    (fs, at) => fs.writeFile(at('x'), TEXT),
    (at) => {
      writeFileSync(at('x'), '');
      chmodSync(at('x'), 0o400);
    },
  );
});

test.serial('arguments that Node refuses', async (t) => {
  for (const path of BAD_PATHS) {
    await same(t, (fs) => fs.readFile(path as never), undefined, `path ${String(path)}`);
    await same(t, (fs) => fs.writeFile(path as never, TEXT), undefined, `path ${String(path)}`);
    await same(t, (fs) => fs.appendFile(path as never, TEXT), undefined, `path ${String(path)}`);
    await same(t, (fs) => fs.truncate(path as never, 3), undefined, `path ${String(path)}`);
  }
  for (const options of BAD_OPTIONS) {
    const what = `options ${typeof options === 'object' ? JSON.stringify(options) : String(options)}`;
    await same(t, (fs, at) => fs.readFile(at('x'), options as never), withFile(TEXT), what);
    await same(t, (fs, at) => fs.writeFile(at('x'), TEXT, options as never), withFile(TEXT), what);
    await same(t, (fs, at) => fs.appendFile(at('x'), TEXT, options as never), withFile(TEXT), what);
  }
  for (const length of [undefined, null, 0, 1, 5, 100, -1, -0, 1.5, Number.NaN, '3', {}, 3n, 2 ** 53, Infinity]) {
    await same(t, (fs, at) => fs.truncate(at('x'), length as never), withFile(TEXT), `length ${String(length)}`);
  }
  await same(t, (fs, at) => fs.readFile(at('x'), (() => {}) as never), withFile(TEXT));
});

test.serial('signals: aborted before, during and after', async (t) => {
  const reason = new Error('enough');
  await same(t, (fs, at) => fs.readFile(at('x'), { signal: AbortSignal.abort(reason) }), withFile(TEXT));
  await same(t, (fs, at) => fs.readFile(at('none'), { signal: AbortSignal.abort() }));
  await same(t, (fs, at) => fs.writeFile(at('x'), TEXT, { signal: AbortSignal.abort('text') }), withFile('old'));
  await same(
    t,
    (fs, at) => fs.appendFile(at('x'), TEXT, { signal: AbortSignal.abort(undefined) } as never),
    withFile('old'),
  );
  const during = await same(
    t,
    (fs, at) => {
      const stop = new AbortController();
      const reading = fs.readFile(at('x'), { signal: stop.signal });
      stop.abort(reason);
      return reading;
    },
    withFile(pattern(3000000)),
  );
  t.is(during.error?.message, 'The operation was aborted');
  await same(t, (fs, at) => {
    const stop = new AbortController();
    return fs.writeFile(
      at('x'),
      (function* () {
        yield 'one';
        stop.abort(reason);
        yield 'two';
      })(),
      { signal: stop.signal },
    );
  });
  await same(
    t,
    async (fs, at) => {
      const stop = new AbortController();
      const content = await fs.readFile(at('x'), { signal: stop.signal });
      stop.abort();
      return content;
    },
    withFile(TEXT),
  );
});

test.serial('an error has the frames of the caller', async (t) => {
  for (const call of ['readFile', 'writeFile', 'open', 'truncate'] as const) {
    async function theCaller(): Promise<void> {
      await (ring[call] as (path: string, more?: string) => Promise<unknown>)(
        '/none/here',
        call === 'writeFile' ? '' : undefined,
      );
    }
    const { stack } = await t.throwsAsync(theCaller());
    t.regex(stack ?? '', /theCaller/, `${call}: ${stack}`);
  }
});
