// Which symbolic links are followed: for files, directories, indices, listings and packed files, also where links change meanwhile.
import { mkdirSync, renameSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { FileServer, type FileServerOptions } from '../../index';
import { Client, serverOf, siteOf } from '../support/http';
import { secure } from '../support/secure';

/** A root with links of all kinds, beside what they lead to. */
function linked(t: ExecutionContext): string {
  const place = siteOf(t, {
    secret: 'secret',
    'out/index.html': 'out',
    'root/dir/index.html': 'dir',
    'root/file': 'file',
  });
  const root = join(place, 'root');
  mkdirSync(join(root, 'page'));
  const links = {
    'to-file': 'file',
    'to-dir': 'dir',
    'page/index.html': '../file',
    'to-secret': '../secret',
    'to-out': '../out',
    absolute: join(place, 'secret'),
    round: 'round',
    dangling: 'none',
    magic: '/proc/self/root/etc/passwd',
  };
  for (const [name, target] of Object.entries(links)) symlinkSync(target, join(root, name));
  return root;
}

const PATHS = [
  '/file',
  '/dir/',
  '/to-file',
  '/to-dir/',
  '/page/',
  '/to-secret',
  '/to-out/',
  '/absolute',
  '/round',
  '/dangling',
  '/magic',
];

const POLICIES: Record<NonNullable<FileServerOptions['symlinks']>, (string | number)[]> = {
  inside: ['file', 'dir', 'file', 'dir', 'file', 404, 404, 404, 404, 404, 404],
  deny: ['file', 'dir', 404, 404, 404, 404, 404, 404, 404, 404, 404],
  follow: ['file', 'dir', 'file', 'dir', 'file', 'secret', 'out', 'secret', 404, 404, 404],
};

const seen = async (client: Client, path: string) => {
  const { status, body } = await client.get(path);
  return status === 200 ? body.toString() : status;
};

for (const [symlinks, expected] of Object.entries(POLICIES)) {
  test(`${symlinks}: what each kind of link leads to`, async (t) => {
    const root = linked(t);
    const options = { symlinks } as FileServerOptions;
    const sites = [{ hosts: ['own.test'], root }];
    const plain = await Client.connect(t, (await serverOf(t, root, { ...options, sites })).port);
    const client = await secure(t, root, options);
    for (const _ of [1, 2]) {
      for (const [at, path] of PATHS.entries()) {
        t.is(await seen(plain, path), expected[at] as string, path);
        t.is(await seen(client, path), expected[at] as string, `${path} over TLS`);
      }
    }
    t.is(await seen(plain, 'http://own.test/to-file'), 'file', 'another host has its own policy');
    t.is(await seen(plain, 'http://own.test/to-secret'), 404);
    const climb = await Client.connect(t, (await serverOf(t, root, options)).port);
    t.is((await climb.get('/%2e%2e/secret')).status, 400);
  });

  test(`${symlinks}: a listing shows what a request would find`, async (t) => {
    const server = await serverOf(t, linked(t), { symlinks, listing: true } as FileServerOptions);
    const client = await Client.connect(t, server.port);
    const { entries } = JSON.parse((await client.get('/?format=json')).body.toString());
    const names = (entries as { name: string }[]).map(({ name }) => name.replace(/\/$/, '')).sort();
    const found = ['dir', 'file', 'page'];
    if (symlinks !== 'deny') found.push('to-dir', 'to-file');
    if (symlinks === 'follow') found.push('absolute', 'to-out', 'to-secret');
    t.deepEqual(names, found.sort());
  });
}

for (const symlinks of ['inside', 'deny'] as const) {
  test(`${symlinks}: who swaps a directory for a link that leads out, again and again, has nothing outside served`, async (t) => {
    const root = linked(t);
    const server = await serverOf(t, root, { symlinks, cache: { revalidateMs: 0 } });
    const client = await Client.connect(t, server.port);
    const [directory, parked] = [join(root, 'swap'), join(root, 'parked')];
    mkdirSync(directory);
    writeFileSync(join(directory, 'index.html'), 'inside');
    let answered = 0;
    for (let round = 0; round < 200; round += 1) {
      // The requests are on their way while the names change.
      client.send('GET /swap/ HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(4));
      renameSync(directory, parked);
      symlinkSync('../out', directory);
      await new Promise(setImmediate);
      unlinkSync(directory);
      renameSync(parked, directory);
      for (let nth = 0; nth < 4; nth += 1) {
        const { status, body } = await client.reply();
        t.true(status === 404 || (status === 200 && body.toString() === 'inside'), `${status} ${body}`);
        answered += Number(status === 200);
      }
    }
    t.true(answered > 0);
    t.is(await seen(client, '/swap/'), 'inside');
  });
}

test('what is wrong is named', async (t) => {
  await t.throwsAsync(FileServer.start({ root: siteOf(t, {}), port: 0, symlinks: 'no' as never }), {
    code: 'ERR_RINGWHEEL_INVALID_OPTION',
    message: /symlinks must be one of .inside., .deny., .follow.; got .no./,
  });
  t.is((await FileServer.check({ root: siteOf(t, {}) })).symlinks, 'inside');
});
