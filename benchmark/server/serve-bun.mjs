// Bun.serve with static routes: kind `memory` holds the bytes, kind `file` names the file. Run by bun only.
import fs from 'node:fs';
import path from 'node:path';

const { root, port, kind } = JSON.parse(process.argv[2]);
const routes = {};
for (const name of fs.readdirSync(root)) {
  const file = Bun.file(path.join(root, name));
  const { mtime, size } = fs.statSync(path.join(root, name));
  const headers = {
    Server: 'bun',
    'Content-Type': 'application/octet-stream',
    'Last-Modified': mtime.toUTCString(),
    ETag: `"${mtime.getTime().toString(16)}-${size.toString(16)}"`,
    'Accept-Ranges': 'bytes',
  };
  routes[`/${name}`] = new Response(kind === 'file' ? file : await file.bytes(), { headers });
}
const server = Bun.serve({ port, hostname: '127.0.0.1', routes, fetch: () => new Response(null, { status: 404 }) });
console.log(JSON.stringify({ port: server.port }));
