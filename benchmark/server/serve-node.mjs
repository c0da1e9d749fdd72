// node:http, or node:https: kind `memory` has every body in memory and the headers made once, the ceiling of a JavaScript server of node; the
// others are the static file servers that people use, from the directory `modules`; `hello` is a handler.
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { createRequire } from 'node:module';
import path from 'node:path';
import process from 'node:process';
import { large, pages } from './pages.mjs';

const { root, port, kind, tls, modules, hello } = JSON.parse(process.argv[2]);
const load = (name) => createRequire(path.join(modules, 'package.json'))(name);

/** What some of them do not send by themselves. */
function sameHeaders(response) {
  response.setHeader('Server', 'node');
  response.setHeader('Accept-Ranges', 'bytes');
}

const handlers = {
  memory() {
    const all = new Map();
    for (const [url, file, headers] of pages(root, 'node', large))
      all.set(url, { body: fs.readFileSync(file), headers });
    return (request, response) => {
      const page = all.get(request.url);
      if (page === undefined) response.writeHead(404).end();
      else response.writeHead(200, page.headers).end(page.body);
    };
  },
  sirv() {
    const serve = load('sirv')(root, { etag: true, setHeaders: sameHeaders });
    return (request, response) => serve(request, response, () => response.writeHead(404).end());
  },
  send() {
    const send = load('send');
    return (request, response) =>
      send(request, request.url, { root, cacheControl: false }).on('headers', sameHeaders).pipe(response);
  },
  hello: () => (_, response) => response.setHeader('Content-Type', 'text/plain;charset=UTF-8').end(hello),
};

function listen(server) {
  // No time-out means no Keep-Alive header either, which the others do not send.
  server.keepAliveTimeout = 0;
  server.listen(port, '127.0.0.1');
}

if (kind === 'fastify') {
  const fastify = load('fastify')();
  fastify.register(load('@fastify/static'), {
    root,
    cacheControl: false,
    setHeaders: (reply) => reply.header('Server', 'node').header('Accept-Ranges', 'bytes'),
  });
  await fastify.ready();
  listen(fastify.server);
} else if (tls !== undefined) {
  listen(https.createServer({ cert: fs.readFileSync(tls.cert), key: fs.readFileSync(tls.key) }, handlers[kind]()));
} else listen(http.createServer(handlers[kind]()));
