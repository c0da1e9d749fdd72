// Bun.serve: kind `memory` has routes that hold the bytes, `file` routes that name files, `directory` one route for all, `fetch` a handler. Run by bun only.
import { large, pages, tooMany } from './pages.mjs';

const { root, port, kind, tls, hello } = JSON.parse(process.argv[2]);
const routes = {};
if (kind === 'directory') routes['/*'] = { dir: root };
else if (kind === 'fetch') routes['/hello'] = () => new Response(hello);
else {
  for (const [url, file, { 'Content-Length': _, ...headers }] of pages(
    root,
    'bun',
    kind === 'memory' ? large : tooMany,
  )) {
    const body = Bun.file(file);
    routes[url] = new Response(kind === 'file' ? body : await body.bytes(), { headers });
  }
}
Bun.serve({
  port,
  hostname: '127.0.0.1',
  routes,
  ...(tls && { tls: { cert: Bun.file(tls.cert), key: Bun.file(tls.key) } }),
  fetch: () => new Response(null, { status: 404 }),
});
