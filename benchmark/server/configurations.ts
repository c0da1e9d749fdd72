// The configurations of the peers that read a file: one worker, no access log, caches of open files on, everything below a directory of ours.
import path from 'node:path';

/** What a configuration is made for. */
export interface Place {
  root: string;
  /** For pid files, logs and temporary files. */
  scratch: string;
  port: number;
  /** PEM files, for HTTPS. */
  tls?: { cert: string; key: string };
}

/** nginx: sendfile and open_file_cache, as its documentation recommends for static files; `more` goes into the http block. */
export function nginx({ root, scratch, port, tls }: Place, more = ''): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${path.join(scratch, name)};`,
  );
  // The workers must be able to read a temporary directory that is closed to others: they stay who we are.
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  // The kernel ciphers, where it can: so sendfile stays sendfile.
  const secure = tls
    ? `ssl_certificate ${tls.cert}; ssl_certificate_key ${tls.key}; ssl_protocols TLSv1.3; ssl_conf_command Options KTLS;`
    : '';
  return `${user} worker_processes 1; daemon off; pid ${path.join(scratch, 'nginx.pid')}; error_log ${path.join(scratch, 'nginx.log')} warn;
events { worker_connections 4096; }
http {
  ${temporary.join(' ')}
  access_log off; default_type application/octet-stream; types { }
  sendfile on; tcp_nopush on; tcp_nodelay on; ${more}
  keepalive_requests 1000000000; keepalive_timeout 65;
  open_file_cache max=10000 inactive=60s; open_file_cache_valid 30s;
  server { listen 127.0.0.1:${port}${tls ? ' ssl' : ''} backlog=1024 reuseport; root ${root}; ${secure} }
}
`;
}

/** nginx with a pool of threads that read what is not in the page cache. */
export function nginxThreads(place: Place): string {
  return nginx(place, 'aio threads;');
}

/** h2o: one thread; its file handler caches open files by itself. */
export function h2o({ root, scratch, port, tls }: Place): string {
  const user = process.getuid?.() === 0 ? 'user: root' : '';
  const secure = tls ? `, ssl: { certificate-file: "${tls.cert}", key-file: "${tls.key}" }` : '';
  return `num-threads: 1
${user}
listen: { host: 127.0.0.1, port: ${port}${secure} }
pid-file: ${path.join(scratch, 'h2o.pid')}
error-log: ${path.join(scratch, 'h2o.log')}
hosts:
  default:
    paths:
      /:
        file.dir: "${root}"
        file.mime.setdefaulttype: "application/octet-stream"
`;
}

/** lighttpd: one process; its cache of file attributes is on by default. */
export function lighttpd({ root, scratch, port }: Place): string {
  return `server.document-root = "${root}"
server.bind = "127.0.0.1"
server.port = ${port}
server.errorlog = "${path.join(scratch, 'lighttpd.log')}"
server.upload-dirs = ( "${scratch}" )
server.max-keep-alive-requests = 100000000
server.max-keep-alive-idle = 65
server.max-connections = 4096
server.max-fds = 8192
mimetype.assign = ( "" => "application/octet-stream" )
`;
}

/** Caddy: its file server, HTTP/1.1 only; it is told its number of threads by the environment. */
export function caddy({ root, port, tls }: Place): string {
  return `{
	admin off
	auto_https off
	log {
		output discard
	}
	servers {
		protocols h1
	}
}
${tls ? 'https' : 'http'}://127.0.0.1:${port} {
	${tls ? `tls ${tls.cert} ${tls.key}` : ''}
	root * ${root}
	header Content-Type application/octet-stream
	file_server
}
`;
}

/** static-web-server: it sends neither `Server` nor `ETag` by itself, so each answer gets both. */
export function staticWebServer({ root, port }: Place): string {
  return `[general]
host = "127.0.0.1"
port = ${port}
root = "${root}"
log-level = "error"
threads-multiplier = 1
compression = false
cache-control-headers = false
security-headers = false

[advanced]
[[advanced.headers]]
source = "**"
headers = { Server = "static-web-server", ETag = '"19421a22000-400"' }
`;
}
