// Files that change while they are sent: what is written to ends the connection with a body too short, what is replaced is sent whole.
import {
  appendFileSync,
  chmodSync,
  closeSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { bytesOf, Client, place, serverOf, siteOf } from '../support/http';
import { secure } from '../support/secure';

/** More than the buffers of two sockets hold, so that the server is not through when the client has begun. */
const SIZE = 64 << 20;
const OLD = Buffer.alloc(SIZE, 'a');
const NEW = Buffer.alloc(SIZE, 'b');

/** What is received of `/f` when the file changes behind its first bytes. */
async function changed(client: Client, change: () => void): Promise<Buffer> {
  const chunks: Buffer[] = [];
  client.socket.removeAllListeners('data');
  client.socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  client.send('GET /f HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n');
  await new Promise((settle) => client.socket.once('data', settle));
  client.socket.pause();
  change();
  const over = new Promise((settle) => client.socket.once('close', settle).once('end', settle));
  client.socket.resume();
  await over;
  const all = Buffer.concat(chunks);
  const head = all.indexOf('\r\n\r\n') + 4;
  return all.subarray(head);
}

function overwrite(path: string, content: Uint8Array): void {
  const file = openSync(path, 'r+');
  writeSync(file, content);
  closeSync(file);
}

const clients = {
  'in the clear': async (t: ExecutionContext, root: string) => {
    // Nothing else looks at the file again meanwhile.
    const server = await serverOf(t, root, { cache: { revalidateMs: 60_000 } });
    return { server, connect: () => Client.connect(t, server.port) };
  },
  'over TLS': async (t: ExecutionContext, root: string) => ({
    server: undefined,
    connect: () => secure(t, root, { cache: { revalidateMs: 60_000 } }),
  }),
};

for (const [way, start] of Object.entries(clients)) {
  for (const [what, change] of Object.entries({
    'rewritten in place': (path: string) => overwrite(path, NEW),
    'rewritten in its last byte': (path: string) => {
      const file = openSync(path, 'r+');
      writeSync(file, 'b', SIZE - 1);
      closeSync(file);
    },
    truncated: (path: string) => truncateSync(path, 1000),
    'truncated and as long as before': (path: string) => {
      truncateSync(path, 1000);
      truncateSync(path, SIZE);
    },
    'longer, and no log': (path: string) => appendFileSync(path, 'more'),
  })) {
    test.serial(
      `${what} while it is sent, ${way}: the body ends too soon, and the next answer is the new file's`,
      async (t) => {
        const root = siteOf(t, { f: OLD });
        const { server, connect } = await start(t, root);
        const body = await changed(await connect(), () => change(join(root, 'f')));
        t.true(body.length < SIZE, `${body.length}`);
        if (server === undefined) return;
        t.is(server.stats().cut, 1);
        const { size } = statSync(join(root, 'f'));
        const next = await (await connect()).ask('HEAD', '/f');
        t.is(next.headers.get('content-length'), String(size));
      },
    );
  }

  for (const [what, change] of Object.entries({
    'replaced by rename': (path: string, root: string) => {
      place(root, 'new', NEW);
      renameSync(join(root, 'new'), path);
    },
    deleted: (path: string) => rmSync(path),
    'moved and of another mode': (path: string) => {
      chmodSync(path, 0o600);
      renameSync(path, `${path}.old`);
    },
  })) {
    test.serial(`${what} while it is sent, ${way}: the body is whole`, async (t) => {
      const root = siteOf(t, { f: OLD });
      const { server, connect } = await start(t, root);
      const body = await changed(await connect(), () => change(join(root, 'f'), root));
      t.true(body.equals(OLD), `${body.length}`);
      t.is(server?.stats().cut ?? 0, 0);
    });
  }
}

test.serial('a log that is being written is sent as long as it was', async (t) => {
  const root = siteOf(t, { f: OLD });
  utimesSync(join(root, 'f'), new Date(), new Date());
  const server = await serverOf(t, root);
  const body = await changed(await Client.connect(t, server.port), () => appendFileSync(join(root, 'f'), 'more'));
  t.true(body.equals(OLD), `${body.length}`);
});

test('a file that goes in one call and was written to since its descriptor was kept: nothing of it is sent', async (t) => {
  const root = siteOf(t, { f: OLD.subarray(0, 100_000) });
  const server = await serverOf(t, root, { cache: { revalidateMs: 60_000 } });
  const client = await Client.connect(t, server.port);
  t.true((await client.get('/f')).body.equals(OLD.subarray(0, 100_000)));
  overwrite(join(root, 'f'), NEW.subarray(0, 100_000));
  t.is((await changed(client, () => {})).length, 0);
  t.is(server.stats().cut, 1);
  const next = await (await Client.connect(t, server.port)).get('/f');
  t.true(next.body.equals(NEW.subarray(0, 100_000)));
});

test('a rewrite in place of the same length whose time is put back is seen, by everybody but who asks with a tag made of times', async (t) => {
  const [old, fresh] = ['a', 'b'].map((byte) => Buffer.alloc(200_000, byte)) as [Buffer, Buffer];
  for (const etag of ['time', 'content'] as const) {
    const root = siteOf(t, { small: old.subarray(0, 100), large: old, 'small.gz': old.subarray(0, 50) });
    const server = await serverOf(t, root, { cache: { revalidateMs: 0 }, gzip: true, etag });
    const client = await Client.connect(t, server.port);
    for (const [name, path, ...fields] of [
      ['small', '/small'],
      ['large', '/large'],
      ['small.gz', '/small', 'Accept-Encoding: gzip'],
    ] as const) {
      const before = await client.get(path, ...fields);
      t.is(before.body[0], 97, name);
      const { atime, mtime } = statSync(join(root, name));
      overwrite(join(root, name), fresh.subarray(0, before.body.length));
      utimesSync(join(root, name), atime, mtime);
      const after = await client.get(path, ...fields);
      t.true(after.body.equals(fresh.subarray(0, before.body.length)), name);
      // Size and mtime are what they were.
      const again = await client.get(path, ...fields, `If-None-Match: ${before.headers.get('etag')}`);
      t.is(again.status, etag === 'content' ? 200 : 304, name);
    }
  }
});

test('pieces of large files are whole to the last byte: one byte, around a window, several', async (t) => {
  const size = (1 << 20) + 70_000;
  const bytes = bytesOf(size);
  const root = siteOf(t, { f: bytes });
  const server = await serverOf(t, root);
  for (const client of [await Client.connect(t, server.port), await secure(t, root)]) {
    for (const [first, last] of [
      [0, 0],
      [size - 1, size - 1],
      [0, 1],
      [1, (1 << 20) - 1],
      [0, 1 << 20],
      [5, (1 << 20) + 5],
      [0, size - 1],
    ] as const) {
      const reply = await client.get('/f', `Range: bytes=${first}-${last}`);
      t.true(reply.body.equals(bytes.subarray(first, last + 1)), `${first}-${last}`);
    }
    const parts = await client.get('/f', 'Range: bytes=0-0,1048570-1048580');
    t.is(parts.status, 206);
    t.true(parts.body.includes(bytes.subarray(1_048_570, 1_048_581)));
    t.true((await client.get('/f')).body.equals(bytes));
  }
});
