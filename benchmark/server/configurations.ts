// The configurations of the peers that read a file: one worker, no access log, caches of open files on, everything below a directory of ours.
import path from 'node:path';

/** What a configuration is made for. */
export interface Place {
  root: string;
  /** For pid files, logs and temporary files. */
  scratch: string;
  port: number;
}

/** nginx: sendfile and open_file_cache, as its documentation recommends for static files. */
export function nginx({ root, scratch, port }: Place): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${path.join(scratch, name)};`,
  );
  // The workers must be able to read a temporary directory that is closed to others: they stay who we are.
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  return `${user} worker_processes 1; daemon off; pid ${path.join(scratch, 'nginx.pid')}; error_log ${path.join(scratch, 'nginx.log')} warn;
events { worker_connections 4096; }
http {
  ${temporary.join(' ')}
  access_log off; default_type application/octet-stream; types { }
  sendfile on; tcp_nopush on; tcp_nodelay on;
  keepalive_requests 1000000000; keepalive_timeout 65;
  open_file_cache max=10000 inactive=60s; open_file_cache_valid 30s;
  server { listen 127.0.0.1:${port} backlog=1024; root ${root}; }
}
`;
}

/** h2o: one thread; its file handler caches open files by itself. */
export function h2o({ root, scratch, port }: Place): string {
  const user = process.getuid?.() === 0 ? 'user: root' : '';
  return `num-threads: 1
${user}
listen: { host: 127.0.0.1, port: ${port} }
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
