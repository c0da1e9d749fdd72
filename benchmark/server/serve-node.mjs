// node:http with every body in memory and the headers made once: the ceiling of what a JavaScript server of node can do.
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import process from 'node:process';

const { root, port } = JSON.parse(process.argv[2]);
const pages = new Map();
for (const name of fs.readdirSync(root)) {
  const body = fs.readFileSync(path.join(root, name));
  const { mtime } = fs.statSync(path.join(root, name));
  const headers = {
    Server: 'node',
    'Content-Type': 'application/octet-stream',
    'Content-Length': String(body.length),
    'Last-Modified': mtime.toUTCString(),
    ETag: `"${mtime.getTime().toString(16)}-${body.length.toString(16)}"`,
    'Accept-Ranges': 'bytes',
  };
  pages.set(`/${name}`, { body, headers });
}
const server = http.createServer((request, response) => {
  const page = pages.get(request.url);
  if (page === undefined) {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, page.headers);
  response.end(page.body);
});
// No time-out means no Keep-Alive header either, which the others do not send.
server.keepAliveTimeout = 0;
server.listen(port, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })));
