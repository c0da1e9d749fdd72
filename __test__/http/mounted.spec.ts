// Roots as others make them: a ConfigMap of Kubernetes, whose files are links that change all at once, and a root that is itself a link.
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { Client, serverOf, siteOf } from '../support/http';

/** As the kubelet and tools that release do it: a new link over the old one. */
function point(link: string, to: string): void {
  symlinkSync(to, `${link}.next`);
  renameSync(`${link}.next`, link);
}

test('a volume of Kubernetes is served through its links, and a new version of it as a whole', async (t) => {
  const root = siteOf(t, {});
  for (const version of ['1', '2']) {
    mkdirSync(join(root, `..v${version}`));
    for (const name of ['index.html', 'app.js']) writeFileSync(join(root, `..v${version}`, name), `${name} ${version}`);
  }
  for (const name of ['index.html', 'app.js']) symlinkSync(`..data/${name}`, join(root, name));
  point(join(root, '..data'), '..v1');
  const server = await serverOf(t, root, { cache: { revalidateMs: 0 } });
  const client = await Client.connect(t, server.port);
  const texts = async () => [await client.get('/'), await client.get('/app.js')].map(({ body }) => body.toString());
  t.deepEqual(await texts(), ['index.html 1', 'app.js 1']);
  point(join(root, '..data'), '..v2');
  t.deepEqual(await texts(), ['index.html 2', 'app.js 2']);
  t.is((await client.get('/..data/app.js')).status, 404, 'a name with dots at its beginning is nobody’s to ask for');
});

test('a root that is a link is the directory that it led to at the start', async (t) => {
  const place = siteOf(t, { '1/a': 'one', '2/a': 'two' });
  const link = join(place, 'current');
  point(link, '1');
  const server = await serverOf(t, link, { cache: { revalidateMs: 0 } });
  const client = await Client.connect(t, server.port);
  t.is((await client.get('/a')).body.toString(), 'one');
  point(link, '2');
  t.is((await client.get('/a')).body.toString(), 'one');
});
