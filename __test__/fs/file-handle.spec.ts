// FileHandle beside Node's own: every method, every way to call it, closed handles, streams.
import { type EventEmitter, once } from 'node:events';
import { createReadStream, createWriteStream, fstatSync, mkdirSync, writeFileSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { finished, pipeline } from 'node:stream/promises';
import { MessageChannel } from 'node:worker_threads';
import test from 'ava';
import { ended, pattern, script } from '../drivers';
import { type Fs, node, outcome, ring, same, sameHere, timeOf } from './twins';

const BYTES = pattern(1000);
const withFile = (at: (name?: string) => string): void => writeFileSync(at('x'), BYTES);

/** Opens the twin's file, does something with it, tells its outcome, and closes it. */
const using =
  (work: (handle: FileHandle) => unknown, flags = 'r+') =>
  async (fs: Fs, at: (name?: string) => string): Promise<unknown> => {
    const handle = await fs.open(at('x'), flags);
    const result = await outcome(() => work(handle));
    await handle.close();
    return result;
  };

/** Handles that cannot be closed any more; collecting them would print warnings. */
const left: FileHandle[] = [];

type Any = (...args: unknown[]) => Promise<unknown>;
const call = (handle: FileHandle, name: string): Any => (handle as unknown as Record<string, Any>)[name].bind(handle);

test.serial('it is of the class of Node, with everything that one has', async (t) => {
  const theirs = await node.open('/dev/null');
  const handle = await ring.open('/dev/null');
  t.true(handle instanceof theirs.constructor);
  t.is(handle.constructor.name, theirs.constructor.name);
  for (const name of Object.getOwnPropertyNames(Object.getPrototypeOf(theirs))) t.true(name in handle, name);
  t.is(typeof handle.fd, 'number');
  t.true(fstatSync(handle.fd).isCharacterDevice());
  const [first, second] = [handle.close(), handle.close()];
  t.is(handle.fd, -1);
  t.deepEqual(await Promise.all([first, second, handle.close()]), [undefined, undefined, undefined]);
  await theirs.close();
});

test.serial('read, in all the ways to call it', async (t) => {
  const calls: [string, () => unknown[]][] = [
    ['nothing', () => []],
    ['a Buffer', () => [Buffer.alloc(10)]],
    ['null options', () => [null]],
    ['a Buffer at once past the end', () => [Buffer.alloc(2000)]],
    ['a part', () => [Buffer.alloc(10), 2, 5, 100]],
    ['its rest', () => [Buffer.alloc(10), 2]],
    ['null offset and length', () => [Buffer.alloc(10), null, null, 3]],
    ['position null', () => [Buffer.alloc(10), 0, 10, null]],
    ['position −1', () => [Buffer.alloc(10), 0, 10, -1]],
    ['position −5', () => [Buffer.alloc(10), 0, 10, -5]],
    ['position beyond the end', () => [Buffer.alloc(10), 0, 10, 5000]],
    ['position as text', () => [Buffer.alloc(10), 0, 10, '4']],
    ['position of no number', () => [Buffer.alloc(10), 0, 10, Number.NaN]],
    ['position with a fraction', () => [Buffer.alloc(10), 0, 10, 1.5]],
    ['position as bigint', () => [Buffer.alloc(10), 0, 10, 5n]],
    ['options beside', () => [Buffer.alloc(10), { offset: 1, length: 4, position: 7 }]],
    ['empty options beside', () => [Buffer.alloc(10), {}]],
    ['options alone', () => [{ buffer: Buffer.alloc(10), offset: 1, length: 4, position: 7 }]],
    ['options without a buffer', () => [{ length: 4, position: 7 }]],
    ['empty options', () => [{}]],
    ['a Uint16Array', () => [new Uint16Array(5)]],
    ['a DataView', () => [new DataView(new ArrayBuffer(20), 5, 10)]],
    ['length 0', () => [Buffer.alloc(10), 0, 0]],
    ['an empty buffer', () => [Buffer.alloc(0)]],
    ['an offset too far', () => [Buffer.alloc(10), 11]],
    ['an offset below 0', () => [Buffer.alloc(10), -1]],
    ['an offset with a fraction', () => [Buffer.alloc(10), 0.5]],
    ['an offset as text', () => [Buffer.alloc(10), '1']],
    ['a length too long', () => [Buffer.alloc(10), 0, 11]],
    ['a length below 0', () => [Buffer.alloc(10), 0, -1]],
    ['text for a buffer', () => ['x']],
    ['a number for a buffer', () => [5]],
    ['an array for a buffer', () => [[]]],
    ['no view in options', () => [{ buffer: 'x' }]],
    ['an ArrayBuffer', () => [new ArrayBuffer(10)]],
  ];
  for (const [what, make] of calls) {
    await same(
      t,
      using(async (handle) => [await call(handle, 'read')(...make()), await call(handle, 'read')(Buffer.alloc(3))]),
      withFile,
      what,
    );
  }
  await same(
    t,
    using((handle) => handle.read(Buffer.alloc(4)), 'w'),
    withFile,
    'not open for reading',
  );
  t.truthy(
    await same(t, async (fs) => {
      const handle = await fs.open('/');
      try {
        return await handle.read();
      } finally {
        await handle.close();
      }
    }),
  );
});

test.serial('write, in all the ways to call it', async (t) => {
  const source = Buffer.from('0123456789');
  const calls: [string, () => unknown[]][] = [
    ['nothing', () => []],
    ['a Buffer', () => [source]],
    ['a part', () => [source, 2, 5, 100]],
    ['its rest', () => [source, 2]],
    ['nulls', () => [source, null, null, null]],
    ['position 0', () => [source, 0, 10, 0]],
    ['position −1', () => [source, 0, 10, -1]],
    ['position as text', () => [source, 0, 10, '4']],
    ['position of no number', () => [source, 0, 10, Number.NaN]],
    ['position with a fraction', () => [source, 0, 10, 1.5]],
    ['position as bigint', () => [source, 0, 10, 5n]],
    ['position beyond the end', () => [source, 0, 10, 2000]],
    ['length as text', () => [source, 0, '5']],
    ['options', () => [source, { offset: 1, length: 4, position: 7 }]],
    ['empty options', () => [source, {}]],
    ['a Uint16Array', () => [Uint16Array.of(1, 2)]],
    ['a DataView', () => [new DataView(new ArrayBuffer(20), 5, 10)]],
    ['an empty buffer', () => [Buffer.alloc(0)]],
    ['length 0', () => [source, 0, 0]],
    ['an offset too far', () => [source, 11]],
    ['an offset below 0', () => [source, -1]],
    ['a length too long', () => [source, 0, 11]],
    ['a length below 0', () => [source, 0, -1]],
    ['text', () => ['grüße']],
    ['text at a position', () => ['grüße', 5]],
    ['text in latin1', () => ['grüße', 5, 'latin1']],
    ['text at null', () => ['grüße', null, 'utf16le']],
    ['text in hex', () => ['abcd', 0, 'hex']],
    ['odd text in hex', () => ['abc', 0, 'hex']],
    ['text in nonsense', () => ['abc', 0, 'nonsense']],
    ['empty text', () => ['']],
    ['a number', () => [5]],
    ['null', () => [null]],
    ['an object', () => [{}]],
    ['an array', () => [['a']]],
  ];
  for (const [what, make] of calls) {
    await same(
      t,
      using(async (handle) => [await call(handle, 'write')(...make()), await call(handle, 'write')('!')]),
      withFile,
      what,
    );
  }
  await same(
    t,
    using((handle) => handle.write('x'), 'r'),
    withFile,
    'not open for writing',
  );
  await same(
    t,
    using((handle) => handle.write(Buffer.alloc(700000, 5))),
    withFile,
    'more than a range',
  );
  await same(
    t,
    using((handle) => handle.write('end', 0), 'a'),
    withFile,
    'append at a position',
  );
});

test.serial('readv and writev', async (t) => {
  const parts = (): unknown[] => [
    Buffer.alloc(3),
    new Uint16Array(2),
    new DataView(new ArrayBuffer(5)),
    Buffer.alloc(0),
  ];
  for (const position of [undefined, null, 0, 5, -1, 990, 5000, 1.5, '3', {}, 5n]) {
    const what = String(position);
    await same(
      t,
      using((handle) => call(handle, 'readv')(parts(), position)),
      withFile,
      what,
    );
    await same(
      t,
      using((handle) => call(handle, 'writev')([Buffer.from('abc'), Uint16Array.of(1, 2)], position)),
      withFile,
      what,
    );
  }
  for (const bad of [undefined, null, [], {}, 'x', ['x'], [1], [Buffer.alloc(0)], [new ArrayBuffer(2)]]) {
    await same(
      t,
      using((handle) => call(handle, 'readv')(bad)),
      withFile,
    );
    await same(
      t,
      using((handle) => call(handle, 'writev')(bad)),
      withFile,
    );
  }
  const many = Array.from({ length: 1500 }, () => Buffer.alloc(1));
  await same(
    t,
    using(async (handle) => [await handle.readv(many), await handle.writev(many)]),
    withFile,
  );
});

test.serial('readFile, writeFile and appendFile go on at the position', async (t) => {
  await same(
    t,
    using(async (handle) => [await handle.read(Buffer.alloc(10)), await handle.readFile(), await handle.readFile()]),
    withFile,
  );
  await same(
    t,
    using((handle) => handle.readFile('latin1')),
    withFile,
  );
  await same(
    t,
    using((handle) => handle.readFile({ encoding: 'hex' })),
    withFile,
  );
  await same(
    t,
    using(async (handle) => {
      await handle.writeFile('one');
      await handle.appendFile('two');
      await handle.writeFile(['a', 'b'] as never, 'utf16le');
    }),
    withFile,
  );
  await same(t, async (fs, at) => {
    const handle = await fs.open(at('x'), 'w+');
    await fs.writeFile(handle, 'one');
    await fs.appendFile(handle, 'two');
    await handle.write('three', 0);
    const rest = [await fs.readFile(handle), await outcome(() => fs.readFile(handle, { signal: AbortSignal.abort() }))];
    await handle.close();
    return [rest, await outcome(() => fs.readFile(handle)), await outcome(() => fs.writeFile(handle, 'x'))];
  });
  for (const options of ['nonsense', 5, { encoding: 'nonsense' }, { signal: 5 }, 'buffer']) {
    await same(
      t,
      using((handle) => handle.readFile(options as never)),
      withFile,
      String(options),
    );
    await same(
      t,
      using((handle) => handle.writeFile('x', options as never)),
      withFile,
      String(options),
    );
  }
  await same(
    t,
    using((handle) => handle.writeFile(5 as never)),
    withFile,
  );
});

test.serial('stat, chmod, chown, utimes, truncate, sync, datasync', async (t) => {
  for (const options of [undefined, {}, { bigint: true }, { bigint: false }, { bigint: 1 }, null, 5]) {
    await sameHere(t, async (fs) => {
      const handle = await fs.open('/proc/self/exe');
      const result = await outcome(() => handle.stat(options as never));
      await handle.close();
      return result;
    });
  }
  for (const length of [undefined, 0, 5, 2000, -1, 1.5, '5', null, Number.NaN]) {
    await same(
      t,
      using((handle) => handle.truncate(length as never)),
      withFile,
      String(length),
    );
  }
  await same(
    t,
    using((handle) => handle.truncate(5), 'r'),
    withFile,
  );
  await same(
    t,
    using(async (handle) => [await handle.sync(), await handle.datasync()]),
    withFile,
  );
  for (const mode of [0o600, '640', 0o777, 'rw', -1, undefined, null, {}, 1.5]) {
    await same(
      t,
      using((handle) => handle.chmod(mode as never)),
      withFile,
      String(mode),
    );
  }
  for (const [uid, gid] of [
    [-1, -1],
    [0, 0],
    [1, 2],
    ['0', 0],
    [0, -2],
    [undefined, 0],
    [2 ** 32, 0],
  ]) {
    await same(
      t,
      using((handle) => handle.chown(uid as never, gid as never)),
      withFile,
      `${uid} ${gid}`,
    );
  }
  const times: unknown[] = [
    0,
    1.25,
    1e9 + 0.123,
    '5',
    '1.5',
    new Date(123456),
    new Date(Number.NaN),
    -1e9,
    undefined,
    null,
    'x',
    {},
    Infinity,
  ];
  for (const time of times.filter((each) => each !== -1e9)) {
    await same(
      t,
      using(async (handle) => {
        await handle.utimes(time as never, time as never);
        const { atimeNs, mtimeNs } = await handle.stat({ bigint: true });
        return [atimeNs, mtimeNs].map(timeOf);
      }),
      withFile,
      String(time),
    );
  }
});

test.serial('a closed handle refuses everything as Node does', async (t) => {
  const methods = [
    'read',
    'readv',
    'write',
    'writev',
    'readFile',
    'writeFile',
    'appendFile',
    'stat',
    'chmod',
    'chown',
    'utimes',
    'truncate',
    'sync',
    'datasync',
  ];
  for (const name of methods) {
    const result = await same(t, async (fs, at) => {
      const handle = await fs.open(at('x'), 'w');
      await handle.close();
      return outcome(() => call(handle, name)(Buffer.alloc(1)));
    });
    t.regex(JSON.stringify(result), /file closed/, name);
  }
  for (const name of ['createReadStream', 'createWriteStream', 'readLines', 'readableWebStream']) {
    await same(t, async (fs, at) => {
      const handle = await fs.open(at('x'), 'w');
      await handle.close();
      return outcome(async () => void (await call(handle, name)()));
    });
  }
});

test.serial('close waits for what is under way, says so once, and disposes', async (t) => {
  await same(
    t,
    async (fs, at) => {
      const handle = await fs.open(at('x'), 'r+');
      const events: string[] = [];
      (handle as unknown as EventEmitter).on('close', () => events.push('close'));
      const reading = handle.read(Buffer.alloc(1000)).then(({ bytesRead }) => events.push(`read ${bytesRead}`));
      const closing = handle.close().then(() => events.push('closed'));
      events.push(`fd ${handle.fd === -1}`);
      await Promise.all([reading, closing]);
      events.push(`fd ${handle.fd}`);
      const other = await fs.open(at('x'));
      await other[Symbol.asyncDispose]();
      return [events, other.fd];
    },
    withFile,
  );
});

test.serial('streams both ways, with all their options, of the handle and of node:fs', async (t) => {
  const read = async (stream: AsyncIterable<unknown>): Promise<unknown[]> => {
    const parts: unknown[] = [];
    for await (const part of stream) parts.push(part);
    return parts;
  };
  for (const options of [
    undefined,
    { start: 5, end: 10 },
    { highWaterMark: 300 },
    { encoding: 'latin1', start: 990 },
    { start: 2000 },
  ]) {
    await same(
      t,
      using((handle) => read(handle.createReadStream(options as never))),
      withFile,
      JSON.stringify(options),
    );
    await same(
      t,
      using((handle) => read(createReadStream('', { ...options, fd: handle } as never))),
      withFile,
      JSON.stringify(options),
    );
  }
  for (const options of [{ start: -1 }, { start: 'x' }, { start: 5, end: 1 }, { encoding: 'nonsense' }]) {
    // Node has counted the stream before it refuses it, so that `close` waits for ever: the handles stay open until the process ends.
    await same(
      t,
      async (fs, at) => {
        const handle = await fs.open(at('x'));
        left.push(handle);
        return outcome(() => handle.createReadStream(options as never));
      },
      withFile,
      JSON.stringify(options),
    );
  }
  for (const options of [undefined, { start: 5 }, { encoding: 'utf16le' }, { flush: true }, { highWaterMark: 1 }]) {
    for (const make of [
      (handle: FileHandle) => handle.createWriteStream(options as never),
      (handle: FileHandle) => createWriteStream('', { ...options, fd: handle } as never),
    ]) {
      await same(
        t,
        using(async (handle) => {
          const stream = make(handle);
          for (const part of ['one', Buffer.alloc(70000, 2), 'three']) stream.write(part);
          stream.end('end');
          await finished(stream);
          return [stream.bytesWritten, handle.fd === -1];
        }),
        withFile,
        JSON.stringify(options),
      );
    }
  }
  await same(t, async (fs, at) => {
    await fs.writeFile(at('from'), pattern(500000));
    const [from, to] = [await fs.open(at('from')), await fs.open(at('to'), 'w')];
    await pipeline(from.createReadStream(), to.createWriteStream());
    return [from.fd, to.fd];
  });
  await same(
    t,
    using((handle) => read(handle.createReadStream()), 'w'),
    withFile,
    'not open for reading',
  );
});

test.serial('lines', async (t) => {
  const text = 'one\r\ntwo\n\nfour ü\nno end';
  for (const options of [undefined, { encoding: 'latin1' }, { start: 5 }, { start: 5, end: 9 }]) {
    await same(
      t,
      using(async (handle) => {
        const lines: string[] = [];
        for await (const line of handle.readLines(options as never)) lines.push(line);
        return lines;
      }),
      (at) => writeFileSync(at('x'), text),
    );
  }
});

test.serial('web streams', async (t) => {
  const big = (at: (name?: string) => string): void => writeFileSync(at('x'), pattern(200000));
  for (const options of [undefined, {}, { type: 'bytes' }, { type: 'other' }, { type: 5 }, { type: null }]) {
    await same(
      t,
      using(async (handle) => {
        const kinds = new Set<string>();
        const parts: Buffer[] = [];
        for await (const part of handle.readableWebStream(options as never) as AsyncIterable<
          ArrayBuffer | Uint8Array
        >) {
          kinds.add(part.constructor.name);
          parts.push(Buffer.from(part as Uint8Array));
        }
        return [[...kinds], Buffer.concat(parts), await outcome(() => handle.readableWebStream())];
      }),
      big,
      JSON.stringify(options),
    );
  }
  // Node closes the descriptor when its stream is cancelled, and aborts the process when the handle is closed then.
  await same(
    t,
    async (fs, at) => {
      const handle = await fs.open(at('x'));
      const reader = handle.readableWebStream().getReader();
      const { done } = await reader.read();
      await reader.cancel();
      const result = [done, await reader.read()];
      if (fs === ring) await handle.close();
      else left.push(handle);
      return result;
    },
    big,
  );
  await same(
    t,
    async (fs, at) => {
      const handle = await fs.open(at('x'));
      const reader = handle.readableWebStream().getReader();
      await handle.close();
      return [await reader.read(), handle.fd];
    },
    withFile,
  );
});

test.serial('open: flags, permissions, arguments', async (t) => {
  for (const flags of [undefined, null, 'r', 'w', 'wx', 'a+', 'sr', 'nonsense', 0, 0o100, 1.5, -1, {}, true, '']) {
    for (const mode of [undefined, 0o600, '600', 'x', -1, {}]) {
      await same(
        t,
        async (fs, at) => (await fs.open(at('y'), flags as never, mode as never)).close(),
        withFile,
        `${flags} ${mode}`,
      );
    }
    await same(t, async (fs, at) => (await fs.open(at('x'), flags as never)).close(), withFile, `${flags}`);
  }
  await same(
    t,
    async (fs, at) => (await fs.open(at('d'), 'w')).close(),
    (at) => mkdirSync(at('d')),
  );
});

test.serial("a handle is moved to another thread as Node's are, and is of Node's own class there", async (t) => {
  await same(
    t,
    using(async (handle) => {
      const { port1, port2 } = new MessageChannel();
      await handle.read(Buffer.alloc(10));
      const { fd } = handle;
      port1.postMessage({ handle }, [handle as never]);
      const closed = [handle.fd, await outcome(() => handle.stat()), await outcome(() => handle.close())];
      const [{ handle: moved }] = (await once(port2, 'message')) as [{ handle: FileHandle }];
      port1.close();
      // The same open file: it goes on where this one was. The descriptor is another, and the old one free again.
      const text = await moved.readFile('latin1');
      const isNew = moved.fd !== -1 && !isOpenHere(fd, moved.fd);
      await moved.close();
      return [...closed, text, isNew, moved.constructor.name];
    }),
    withFile,
  );
});

/** Whether a descriptor that was closed is open still, unless it is the one that took its place. */
function isOpenHere(fd: number, other: number): boolean {
  try {
    fstatSync(fd);
    return fd !== other;
  } catch {
    return false;
  }
}

test.serial(
  'a handle in use, closing, closed, or with what cannot be moved, is not moved and stays as it is',
  async (t) => {
    /** What posting a message throws: a DOMException is no error to t.throws. */
    const posted = (message: unknown, moved: FileHandle[]): unknown => {
      const { port1 } = new MessageChannel();
      try {
        port1.postMessage(message, moved as never);
        return 'posted';
      } catch (error) {
        const { name, message: text } = error as Error;
        return [name, text];
      } finally {
        port1.close();
      }
    };
    await same(
      t,
      using(async (handle) => {
        const reading = handle.readFile('latin1');
        const results = [posted(handle, [handle]), posted([handle, () => {}], [handle])];
        results.push(await reading, typeof handle.fd, await handle.stat().then(({ size }) => size));
        const closing = handle.close();
        results.push(posted(handle, [handle]));
        await closing;
        return results;
      }),
      withFile,
    );
  },
);

test.serial('a forgotten handle is closed when it is collected, with the warnings of Node', async (t) => {
  const result = await script(
    `const fs = require(${JSON.stringify(`${process.cwd()}/dist/fs.js`)});
     const warnings = [];
     process.on('warning', ({ name, code, message }) => warnings.push(name + ' ' + code + ' ' + message));
     let fd = 0;
     await (async () => { fd = (await fs.open(__filename)).fd; })();
     for (let round = 0; round < 100 && warnings.length < 2; round++) { await sleep(10); gc(); }
     assert.match(warnings[0], new RegExp('^Warning undefined Closing file descriptor ' + fd + ' on garbage collection$'));
     assert.match(warnings[1], /^DeprecationWarning DEP0137 Closing a FileHandle object on garbage collection/);
     for (let round = 0; round < 100; round++) {
       try { require('fs').fstatSync(fd); } catch ({ code }) { assert.equal(code, 'EBADF'); return; }
       await sleep(10);
     }
     assert.fail('the descriptor is open');`,
    ['--expose-gc'],
  );
  ended(t, result);
});

test.serial('close tells what the system says', async (t) => {
  const body = (module: string) => `const { open } = require(${module});
    const handle = await open(__filename);
    require('fs').closeSync(handle.fd);
    await assert.rejects(handle.close(), { code: 'EBADF', syscall: 'close', message: 'EBADF: bad file descriptor, close' });`;
  // In processes of their own: the number is free in between.
  for (const module of ['node:fs/promises', `${process.cwd()}/dist/fs.js`])
    ended(t, await script(body(JSON.stringify(module))));
});
