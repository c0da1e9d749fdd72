// The options of FileServer.start: unit, range and default of each, and the rules that check them once.
import {
  either,
  listOf,
  mapOf,
  nothing,
  off,
  oneOf,
  oneOfNumbers,
  path,
  type Rule,
  rule,
  shape,
  text,
  truth,
  whole,
} from './validate.js';

/** What a server keeps in memory. */
export interface ServerCacheOptions {
  /** Bytes of ready-made responses per core, from 0 to 2^40. 0 turns that cache off. Default 33554432. */
  bytes?: number;
  /** Files up to this many bytes are kept whole, from 0 to 16777216. Default 65536. */
  fileBytesMax?: number;
  /** Larger files kept open per core, from 0 to 65536. Default 256. */
  openFiles?: number;
  /** Milliseconds for which an entry is trusted before its file is looked at again, from 0 to 86400000. Default 1000. */
  revalidateMs?: number;
  /**
   * Milliseconds for which a name that led to nothing is trusted to do so, from 0 to 86400000, never longer than `revalidateMs`. 0 looks at
   * every request. For at most 4096 names per core. Default 100.
   */
  missingMs?: number;
  /**
   * Bytes of files compressed on the fly, for all cores together, from 0 to 2^40; each core has ready-made responses of them in `bytes`
   * beside it. 0 keeps none. Default 33554432.
   */
  compressedBytes?: number;
}

/** What is compressed on the fly, and how. */
export interface ServerCompressOptions {
  /** Brotli's quality, from 0 to 11, or false for no brotli. Default 5. From 10 on it is slow: for files that are packed ahead. */
  brotli?: false | number;
  /** The level of gzip, from 1 to 9, or false for no gzip. Default 6. */
  gzip?: false | number;
  /** Smaller files are sent as they are, from 0 to maxBytes. Default 1024. */
  minBytes?: number;
  /** Larger files are sent as they are, from 0 to 16777216. Default 4194304. */
  maxBytes?: number;
}

/** What one client may cost. */
export interface ServerLimits {
  /** Bytes of a request head, from 256 to 1048576. Default 16384. Beyond: 431. */
  headerBytes?: number;
  /** Header fields, from 1 to 128. Default 100. Beyond: 431. */
  headerCount?: number;
  /** Bytes of the request target, from 16 to headerBytes. Default 8192. Beyond: 414. */
  uriBytes?: number;
  /** Bytes of a request body that are read and thrown away, from 0 to 67108864. Default 65536. Beyond: the connection closes. */
  bodyBytes?: number;
  /** Pieces of one multipart/byteranges response, from 0 to 256. Default 16. 0 turns ranges off. */
  ranges?: number;
  /** Bytes of a request body that a route's handler may read, from 0 to 2 ** 40. Default 1048576. Beyond: 413. */
  routeBodyBytes?: number;
  /** Requests that are with the handlers of routes at once, of all cores, from 1 to 1000000. Default 10000. Beyond: 503. */
  routeRequests?: number;
  /** Milliseconds for a route's handler to answer, from 10 to 86400000. Default 60000. Beyond: 503. The body of an answer may take longer. */
  routeTimeoutMs?: number;
  /** Open connections of all cores, from 1 to 10000000. Default 100000. Beyond: 503. */
  connections?: number;
  /**
   * Requests a second of one client, of all cores together, from 0 to 1000000; 0, the default: any. A client is an IPv4 address or a /64 of IPv6; behind a proxy who the PROXY header
   * names. Beyond: 429 with Retry-After, on a connection that stays.
   */
  requestsPerClient?: number;
  /** How many of them may come at once, from 1 to 1000000. Default 20. */
  burstPerClient?: number;
  /** Open connections of one client, from 0 to 10000000; 0, the default: any. Beyond: 429 and the end; over TLS the end alone. */
  connectionsPerClient?: number;
  /**
   * Bytes a second that one connection is sent, heads included: 0, the default, for any, else from 1024 to 2^40. Answers of up to 64 KiB go in one piece; what comes after them
   * waits longer.
   */
  bytesPerSecond?: number;
  /** Bytes of a connection that go at full speed before that, from 0 to 2^40. Default 0. */
  bytesAtFullSpeed?: number;
  /** Milliseconds for a whole request head, from 10 to 86400000. Default 15000. Beyond: 408. */
  headerTimeoutMs?: number;
  /** Milliseconds that a connection may stay open between requests, from 10 to 86400000. Default 60000. */
  idleTimeoutMs?: number;
  /** Milliseconds without any progress while sending, from 10 to 86400000. Default 30000. */
  sendTimeoutMs?: number;
}

/** A name that no file has, and the file that answers instead. */
export interface RewriteOptions {
  /** A pattern as in {@link RedirectOptions.from}. */
  from: string;
  /** A path below `root` and `mounts`, with the names of `from` and `:splat`; without a query. Up to 2048 bytes. */
  to: string;
}

/** A name that has moved. */
export interface RedirectOptions {
  /**
   * A path whose segments are literal, `:name` (any one segment) or, last, `*` (all the rest, nothing too): `/old`, `/blog/:year/:slug`,
   * `/docs/*`. A slash at the end makes no difference. Up to 2048 bytes.
   */
  from: string;
  /**
   * A path, or a URL with `http://` or `https://` and a host; behind the host it may hold the names of `from`, and `:splat` for what `*`
   * stands for, each encoded anew. A colon that is meant as one is `%3A`. The query of the request is kept. Up to 2048 bytes.
   */
  to: string;
  /** Default 301. After 307 and 308 a client repeats the method. */
  status?: 301 | 302 | 303 | 307 | 308;
}

/** What scripts of other origins may do (Cross-Origin Resource Sharing). GET and HEAD are allowed, as there is nothing else. */
export interface ServerCorsOptions {
  /**
   * Origins as browsers send them, such as `https://app.example`; at most 100. Default `[]`: everybody. Where there are several, answers vary
   * by Origin, and requests with an Origin cost a head that is written for them.
   */
  origins?: readonly string[];
  /** Request fields that a preflight allows, at most 64. Default `['*']`: all but Authorization. */
  headers?: readonly string[];
  /**
   * Response fields that scripts may read beside the usual ones, at most 64. Default
   * `['Accept-Ranges', 'Content-Encoding', 'Content-Range', 'ETag']`, which clients that read ranges need.
   */
  exposed?: readonly string[];
  /** Allows requests with cookies or a password, too. Only beside `origins` and `headers`. Default false. */
  credentials?: boolean;
  /** Seconds for which browsers remember a preflight, from 0 to 86400. Default: their own, 5 in most. */
  maxAge?: number;
}

/** A part of a site that asks for a name and a password (Basic, RFC 7617). */
export interface BasicAuthOptions {
  /**
   * Directories, by the paths of requests, with a slash at both ends, such as `/admin/`; from 1 to 64. Of all that a path lies below the longest counts, whichever part has
   * it. ASCII letters are alike whatever their case. Default `['/']`: all of the site.
   */
  paths?: readonly string[];
  /** What browsers show: up to 256 printable ASCII characters but `"` and `\`. Default `Restricted`. */
  realm?: string;
  /** Names, with their passwords hashed with bcrypt, as `htpasswd -nB NAME` prints them; at most 10000. */
  users?: Readonly<Record<string, string>>;
  /** A file of more of them, as `htpasswd -B` writes it, which {@link FileServer.reload} reads again. A name of `users` goes before it. */
  file?: string;
}

/** What one site serves, and how: all that may differ between the hosts of a server. */
export interface SiteOptions {
  /**
   * The directory to serve, or up to 16 of them: a name is looked for in each, in order. Nothing outside them is ever served, whatever
   * links point where (but see `symlinks`).
   */
  root: string | readonly string[];
  /**
   * More directories under paths of their own, such as `{ '/media/': '/srv/media' }`; at most 64. The longest path that fits is taken,
   * and what is below it is looked for nowhere else.
   */
  mounts?: Readonly<Record<string, string>>;
  /** Names that are tried in a directory, in order; at most 16. Default `['index.html']`. */
  index?: readonly string[];
  /**
   * Extensions, without their dot, that are tried in order for a name that is no file: `['html']` finds `about.html` for `/about`, before
   * a directory `about` redirects to `/about/`. At most 16. Default none. A name that is found at once costs nothing more.
   */
  extensions?: readonly string[];
  /**
   * Each page has one name, and its other names redirect (301, with the query) to it: `/about.html` to `/about`, `/docs/index.html` to
   * `/docs/`. Without `extensions` these are `['html']`. A name redirects only where the other one leads to that very file: where there is
   * also a file `about`, `/about.html` stays. Default false.
   */
  cleanUrls?: boolean;
  /**
   * Whether the name of a page (what an index or one of `extensions` answers) ends with a slash; the other form redirects to it. true:
   * `/about/` is about.html. false: `/docs` is docs/index.html, whose relative links then start from `/`. Files with their whole names have no
   * slash. Default: directories have one (`/docs/`), files have none (`/about`).
   */
  trailingSlash?: boolean;
  /**
   * The page of a single-page application: a file below `root` that answers GET and HEAD, with 200, where no file does; true means
   * `index.html`. Default false. Each such answer costs one look at the disk for the name and each of `extensions`; the page itself comes
   * from the cache.
   */
  single?: boolean | string;
  /**
   * Where `single` does not answer, so that what is missing is a 404: for names with an extension, below `/.well-known/`, and for these
   * patterns (at most 256; globs as in `headers`, such as `/api/**`). false: it answers everywhere. Default `[]`.
   */
  ignores?: false | readonly string[];
  /**
   * Names that have moved, at most 10000, whether or not a file has them: the first whose pattern fits is answered, to every method but
   * OPTIONS. No request chooses the host it is sent to; rules that lead back to themselves, also over others, are refused. Costs a request that the cache answers
   * nothing, every other a comparison with each pattern that has a name or `*`. Default none.
   */
  redirects?: readonly RedirectOptions[];
  /**
   * Names that no file has and another file answers, without a redirect, at most 1000: `{ from: '/app/*', to: '/app/index.html' }`. The first
   * whose pattern fits is taken, once: what it leads to is rewritten by none again. Files of that name, and directories that are listed, go
   * before; `single` comes after. The answer is kept under the file, however many names lead to it. Default none.
   */
  rewrites?: readonly RewriteOptions[];
  /**
   * Files below `root` that are the bodies of answers with the status 400, 403, 404, 405, 500 or 503, such as `{ 404: '404.html' }`; they have
   * the fields of `headers` for their own paths, and `Cache-Control: no-store` unless one of these says otherwise. What is no request at all
   * (408, 414, 431, 501, 505) and what a program asked for (412, 416) keeps the server's own page, and so does a status whose file cannot be
   * read. The page comes from the cache. Default none.
   */
  errorPages?: Readonly<Partial<Record<400 | 403 | 404 | 405 | 500 | 503, string>>>;
  /**
   * A directory without an index shows what it holds: to browsers as a page (light or dark, without scripts), to who accepts
   * `application/json` and no HTML as `{ path, entries: [{ name, href, type, size, mtime }], more }`. `?sort=name|size|time`,
   * `?order=asc|desc` and `?format=html|json` choose. Shown is what a request would find: names of all roots and mounts, links that stay
   * below their root, dotfiles only with `dotfiles: 'allow'`; at most 10000 names, those that come first, and how many more there are.
   * Goes before `single`. Read and written on other threads, one directory a core at a time, and kept for `cache.revalidateMs`. Default false.
   */
  listing?: boolean;
  /** Names that begin with a dot: `deny` (404, but `/.well-known/`; default), `allow`, `ignore` (404 without exception). */
  dotfiles?: 'deny' | 'allow' | 'ignore';
  /**
   * Symbolic links below `root` and `mounts`: `inside` follows those that stay below the directory they are in (default), `deny` none, so
   * that a path through one is a 404, `follow` all of them, wherever they lead: whoever can make a link there can then have every file served
   * that the server may read. Links in the paths of `root` and `mounts` themselves are always followed.
   */
  symlinks?: 'inside' | 'deny' | 'follow';
  /**
   * What an ETag is made from: size and time (`time`, default: the same on every machine of a fleet), the inode too
   * (`inode`), a hash of the content (`content`), or false for none; true is the default.
   */
  etag?: boolean | 'time' | 'inode' | 'content';
  /** Seconds of `Cache-Control: public, max-age=…`, from 0 to 2147483648. Default: no such header. */
  maxAge?: number;
  /** The whole value of Cache-Control, instead of `maxAge`. */
  cacheControl?: string;
  /**
   * Files that never change under their names (RFC 8246): true says so of all, beside `maxAge`; `hashed` of those with a hash in their
   * names, such as `app-5f3a9c1e.js` (after `-` or `.`, at least 8 letters, digits or `_`, one of them a digit), which get
   * `public, max-age=31536000, immutable`. Default false.
   */
  immutable?: boolean | 'hashed';
  /**
   * Header fields for the files that a pattern matches, at most 256 patterns, applied in order; a later value takes the place of an
   * earlier one, null takes the field away. Sent with 200, 206 and 304; those of `/**`, `**` and `*` with every answer, errors and
   * redirects included, but for `Cache-Control` and what is about content. `Cache-Control` and `Content-Type` are taken from here, too. A
   * pattern is a glob: `*.css` is about names anywhere, `/assets/**` about paths; a directory's index is matched by its own path.
   */
  headers?: Readonly<Record<string, Readonly<Record<string, string | null>>>>;
  /**
   * Files that browsers save instead of showing them (`Content-Disposition: attachment`): patterns as in `headers`, at most 256, or patterns
   * with the name under which each is saved, in which `:name` stands for the file's own: `['*.zip']`, `{ '/reports/*.csv': 'acme-:name' }`.
   * The last pattern that fits is taken; `headers` go over it. Names that are not ASCII are said as RFC 8187 has it. Default none.
   */
  download?: readonly string[] | Readonly<Record<string, string>>;
  /** Media types by file name extension (without its dot), before the usual ones, such as `{ mdx: 'text/markdown' }`. */
  mime?: Readonly<Record<string, string>>;
  /**
   * Packed files made ahead: `name.br` beside `name` is sent instead of it to clients that accept `br` (Accept-Encoding), with the
   * Content-Type of `name`, `Content-Encoding` and an ETag of its own, unless it is older than `name`. Every answer with a file then says
   * `Vary: Accept-Encoding`. Of codings that a client likes equally, `br` goes before `zstd`, `zstd` before `gzip`; who refuses all, the
   * file itself included, gets the file, never 406. Costs one to three more system calls each time a file is looked at. Default false.
   */
  brotli?: boolean;
  /** The same for `name.zst` and `zstd`. Default false. */
  zstd?: boolean;
  /** The same for `name.gz` and `gzip`. Default false. */
  gzip?: boolean;
  /**
   * Compression on the fly, with brotli or gzip, of text and what is like it (by media type), for clients that accept it. Each file is
   * compressed once for every coding that is asked for, on threads beside the cores; the first client waits for it (at most 5 seconds),
   * the others are answered from memory until the file changes. Where nothing is gained, or too much is waiting, the file is sent as it is.
   * A packed file made ahead goes before what would be made now in the same coding. Files with `no-transform` in their Cache-Control (see
   * `headers`) are left alone. Default false.
   */
  compress?: boolean | ServerCompressOptions;
  /**
   * Parts of the site that ask for a name and a password. What is below them is `Cache-Control: private` (with the age of `maxAge` and `immutable`), unless `cacheControl` or
   * `headers` say otherwise; OPTIONS, which a browser sends without a password, is answered. The hash is computed beside the cores, one at a time a core, and a password
   * that was right is remembered for 5 minutes; where too many wait the answer is 503. Over HTTP without TLS everybody on the way reads the password. Default none.
   */
  basicAuth?: BasicAuthOptions | readonly BasicAuthOptions[];
  /** Who may read the answers from other origins, errors included: true means everybody. Default false: nobody. */
  cors?: boolean | ServerCorsOptions;
  /**
   * Sends `X-Frame-Options: SAMEORIGIN`, `Referrer-Policy: strict-origin-when-cross-origin` and `Cross-Origin-Opener-Policy:
   * same-origin-allow-popups` with every answer (`X-Content-Type-Options: nosniff` is always sent). `headers` change or take them away, and have
   * what depends on the site: Content-Security-Policy, Permissions-Policy, and Strict-Transport-Security behind TLS. Default false.
   */
  securityHeaders?: boolean;
}

/** A site for hosts of its own. */
export interface VirtualHostOptions extends SiteOptions {
  /** Host names, without ports; `*.example.com` stands for all below. From 1 to 1000. */
  hosts: readonly string[];
}

/** Where a server tells how it is. */
export interface ServerAdminOptions {
  /** TCP port, from 0 to 65535; 0 picks a free one. */
  port: number;
  /** An IP address of this machine, or a name that resolves to one. Default `127.0.0.1`: whoever reaches it reads it. */
  host?: string;
}

/** A certificate and its key, as paths of PEM files. */
export interface ServerTlsOptions {
  /** The server's certificate, and behind it those of its issuers. */
  cert: string;
  /** Its private key: PKCS #8, PKCS #1 or SEC 1, not encrypted. */
  key: string;
}

/** A line for each answer. */
export interface AccessLogOptions {
  /**
   * The file that lines are appended to (made with mode 0o640), which {@link FileServer.reload} opens again; a FIFO that somebody reads, or a character device. Not below
   * a directory that is served. Default: standard output.
   */
  file?: string;
  /**
   * `common`: client, time (UTC), request line, status, bytes of the body that were sent. `combined` (default): with referer and user agent behind
   * these. `json`: an object with `time`, `client`, `request`, `status`, `bytes`, `durationUs`, `host`, `referer` and `userAgent`.
   */
  format?: 'common' | 'combined' | 'json';
  /** Bytes of lines that wait for the writer on each core, from 65536 to 67108864. Default 1048576. Beyond, lines are dropped and counted. */
  bufferBytes?: number;
}

/** A Unix socket with its mode. */
export interface UnixSocketOptions {
  /** Its path. */
  path: string;
  /** Its permission bits, from 0 to 0o777. Default: as the umask says. */
  mode?: number;
}

/** Options of {@link FileServer.start}. Those of {@link SiteOptions} are for every host that none of `sites` is for. */
export interface FileServerOptions extends SiteOptions {
  /** An IP address of this machine, or a name that resolves to one. Default `127.0.0.1`. */
  host?: string;
  /** TCP port, from 0 to 65535; 0 picks a free one. Default 8080. */
  port?: number;
  /**
   * A Unix socket to listen on, instead of `host` and `port`: its path, of 1 to 107 bytes (103 on macOS), or also the mode that says who
   * may connect (0 to 0o777; those who may write; default: as the umask says). A socket on which nobody listens is taken over, one that
   * somebody listens on is EADDRINUSE; the path is removed when the close begins.
   */
  unix?: string | UnixSocketOptions;
  /**
   * Sockets that listen already, TCP or Unix, instead of an address: their descriptors (at most 1024), or `systemd` for those that a service
   * manager passed on by sd_listen_fds(3) (LISTEN_PID, LISTEN_FDS), `systemd:NAME` for those of them with that name (LISTEN_FDNAMES). They are duplicated: what is passed here
   * stays open after a close, and what connects then waits for who serves it next.
   */
  fd?: number | readonly number[] | 'systemd' | `systemd:${string}`;
  /**
   * Threads, one a core: how many (1 to 1024), or on which CPUs. Default: every CPU that the process may use; where a quota of CPU time (a container's) lets
   * fewer run at once, as many as that, and the kernel places them.
   */
  cores?: number | readonly number[];
  /** The value of the Server header, or false to leave it out. Default `ringwheel`. */
  serverHeader?: false | string;
  /**
   * Every connection begins with a header of the PROXY protocol, version 1 or 2, as HAProxy (`send-proxy`, `send-proxy-v2`), Envoy, nginx
   * and the load balancers of clouds send it; one that does not is closed without a word and counted in `cut`. For a port that only the proxy
   * reaches. Default false.
   */
  proxyProtocol?: boolean;
  /**
   * Proxies that are believed when they say whose request they pass on: addresses, networks such as `10.0.0.0/8`, `loopback` (the machine itself, over
   * a Unix socket too) and `private` (RFC 1918, fc00::/7, addresses of a link); at most 100. The client is then the last address of
   * `X-Forwarded-For`, or where there is none of `Forwarded`, that is not one of them: for the access log, for limits of one client and for routes, whose URLs
   * are `https` after `X-Forwarded-Proto: https`. Default `[]`: nobody.
   */
  trustProxy?: readonly string[];
  /**
   * HTTPS, and nothing else on that address: TLS 1.2 and 1.3, ALPN `http/1.1`, sessions resumed by tickets. One certificate, or at most 100, of which a
   * client gets the first that is valid for the name it asks for (SNI), else the first. Changed files are noticed (see `tlsReloadMs`), and {@link FileServer.reload} reads them at once. A handshake has `limits.headerTimeoutMs`;
   * HTTP gets a 400. Default: HTTP.
   */
  tls?: ServerTlsOptions | readonly ServerTlsOptions[];
  /**
   * Writes a line for each answer, refusals and answers that were cut included: true to standard output, a string to that file. Lines are written by a
   * thread of their own, a few times a second; what it cannot write is dropped and counted (`accessLogDropped` and `accessLogError` of {@link FileServer.stats}), and never
   * holds an answer up. A close writes what waits. Default false.
   */
  accessLog?: boolean | string | AccessLogOptions;
  /** How often the files of `tls` are looked at, milliseconds; changed ones are read again. 0: not at all. 0 to 86400000. Default 60000. */
  tlsReloadMs?: number;
  /** What is kept in memory. */
  cache?: ServerCacheOptions;
  /** What one client may cost. */
  limits?: ServerLimits;
  /**
   * A second listener that tells how the server is: a page that shows it, `/metrics` for Prometheus, `/healthz` (200 while the process
   * answers), `/readyz` (503 from the moment that {@link FileServer.close} is called) and `/stats.json`. It asks for no password: leave it on
   * loopback or a network of your own. Default: none.
   */
  admin?: ServerAdminOptions;
  /** As for {@link ExecutorOptions.driver}. */
  driver?: 'auto' | 'uring' | 'poll';
  /** Pins each core by topology, as far apart as `cores` of them can be (`max-spread`) or close together. Default: none, as `cores` says. */
  placement?: 'max-spread' | 'max-pack';
  /** Milliseconds that a stop waits for answers being sent, where {@link FileServer.close} is told no others: from 0 to 3600000. Default 10000. */
  drainMs?: number;
  /** Where the JSON schema is, for editors; not read. */
  $schema?: string;
  /**
   * Sites for hosts of their own, at most 1000, by the host of the request: its name, else the longest `*.` that fits, else the options
   * beside this one. They share memory and limits, and inherit nothing.
   */
  sites?: readonly VirtualHostOptions[];
}

const DAY_MS = 86_400_000;

/** How long a close lets responses finish when it is not told, milliseconds. @internal */
export const DRAIN_MS = 10_000;
/** How often certificates are looked at when nobody says, milliseconds. @internal */
export const TLS_RELOAD_MS = 60_000;
/** Where the admin listener listens when nobody says. @internal */
export const ADMIN_HOST = '127.0.0.1';

const AUTH_RULE = shape({ paths: listOf(text, 64), realm: text, users: mapOf(text, text, 10_000), file: path });

const SITE_RULES: Record<string, Rule> = {
  root: either(path, listOf(path, 16)),
  mounts: mapOf(text, path, 64),
  index: listOf(text, 16),
  extensions: listOf(text, 16),
  cleanUrls: truth,
  trailingSlash: truth,
  single: either(truth, text),
  ignores: either(off, listOf(text, 256)),
  redirects: listOf(
    shape({ from: text, to: text, status: oneOfNumbers(301, 302, 303, 307, 308) }, ['from', 'to']),
    10_000,
  ),
  rewrites: listOf(shape({ from: text, to: text }, ['from', 'to']), 1000),
  errorPages: mapOf(oneOf('400', '403', '404', '405', '500', '503'), text, 6),
  listing: truth,
  dotfiles: oneOf('deny', 'allow', 'ignore'),
  symlinks: oneOf('inside', 'deny', 'follow'),
  etag: either(truth, oneOf('time', 'inode', 'content')),
  maxAge: whole(0, 2 ** 31),
  cacheControl: text,
  immutable: either(truth, oneOf('hashed')),
  headers: mapOf(text, mapOf(text, either(text, nothing), 64), 256),
  download: either(listOf(text, 256), mapOf(text, text, 256)),
  mime: mapOf(text, text, 1000),
  brotli: truth,
  zstd: truth,
  gzip: truth,
  compress: either(
    truth,
    shape({
      brotli: either(off, whole(0, 11)),
      gzip: either(off, whole(1, 9)),
      minBytes: whole(0, 16 * 2 ** 20),
      maxBytes: whole(0, 16 * 2 ** 20),
    }),
  ),
  basicAuth: either(AUTH_RULE, listOf(AUTH_RULE, 64)),
  cors: either(
    truth,
    shape({
      origins: listOf(text, 100),
      headers: listOf(text, 64),
      exposed: listOf(text, 64),
      credentials: truth,
      maxAge: whole(0, 86_400),
    }),
  ),
  securityHeaders: truth,
};

/** What others call these options: flags, sirv, express.static. */
const OTHER_NAMES: Readonly<Record<string, string>> = {
  tlsCert: 'tls: { cert, key }',
  tlsKey: 'tls: { cert, key }',
  tlsReload: 'tlsReloadMs',
  cert: 'tls: { cert, key }',
  key: 'tls: { cert, key }',
  drain: 'drainMs',
  cpus: 'cores, a list',
  setHeaders: 'headers, by pattern',
  onNoMatch: 'errorPages',
  fallthrough: 'errorPages, or a route',
  redirect: 'trailingSlash',
  spa: 'single',
  basicAuthRealm: 'basicAuth: { realm }',
};

/** What is meant by an option that is none. @internal */
export function saidElsewhere(key: string): string | undefined {
  return Object.hasOwn(OTHER_NAMES, key) ? `here it is ${OTHER_NAMES[key]}` : undefined;
}

/** The same in a site. */
function ofServer(key: string): string | undefined {
  return Object.hasOwn(SERVER_RULES, key) ? 'of the whole server: it stands beside `sites`' : saidElsewhere(key);
}

const TLS_RULE = shape({ cert: path, key: path }, ['cert', 'key']);

/** @internal */
export const SERVER_RULES: Record<string, Rule> = {
  ...SITE_RULES,
  host: text,
  port: whole(0, 65_535),
  unix: either(path, shape({ path, mode: whole(0, 0o777) }, ['path'])),
  fd: either(
    either(whole(0, 2 ** 31 - 1), listOf(whole(0, 2 ** 31 - 1), 1024)),
    rule(
      '"systemd", or "systemd:" and a name',
      (value) => typeof value === 'string' && /^systemd(:[^:]+)?$/.test(value),
      { type: 'string', pattern: '^systemd(:[^:]+)?$' },
    ),
  ),
  cores: either(whole(1, 1024), listOf(whole(0, 4095), 1024)),
  serverHeader: either(off, text),
  proxyProtocol: truth,
  trustProxy: listOf(text, 100),
  tls: either(TLS_RULE, listOf(TLS_RULE, 100)),
  accessLog: either(
    truth,
    either(
      path,
      shape({ file: path, format: oneOf('common', 'combined', 'json'), bufferBytes: whole(65_536, 64 * 2 ** 20) }),
    ),
  ),
  tlsReloadMs: whole(0, DAY_MS),
  sites: listOf(shape({ ...SITE_RULES, hosts: listOf(text, 1000) }, ['root', 'hosts'], ofServer), 1000),
  cache: shape({
    bytes: whole(0, 2 ** 40),
    fileBytesMax: whole(0, 16 * 2 ** 20),
    openFiles: whole(0, 65_536),
    revalidateMs: whole(0, DAY_MS),
    missingMs: whole(0, DAY_MS),
    compressedBytes: whole(0, 2 ** 40),
  }),
  limits: shape({
    headerBytes: whole(256, 2 ** 20),
    headerCount: whole(1, 128),
    uriBytes: whole(16, 2 ** 20),
    bodyBytes: whole(0, 64 * 2 ** 20),
    ranges: whole(0, 256),
    routeBodyBytes: whole(0, 2 ** 40),
    routeRequests: whole(1, 1_000_000),
    routeTimeoutMs: whole(10, DAY_MS),
    connections: whole(1, 10_000_000),
    requestsPerClient: whole(0, 1_000_000),
    burstPerClient: whole(1, 1_000_000),
    connectionsPerClient: whole(0, 10_000_000),
    bytesPerSecond: whole(0, 2 ** 40),
    bytesAtFullSpeed: whole(0, 2 ** 40),
    headerTimeoutMs: whole(10, DAY_MS),
    idleTimeoutMs: whole(10, DAY_MS),
    sendTimeoutMs: whole(10, DAY_MS),
  }),
  admin: shape({ port: whole(0, 65_535), host: text }, ['port']),
  driver: oneOf('auto', 'uring', 'poll'),
  placement: oneOf('max-spread', 'max-pack'),
  drainMs: whole(0, 3_600_000),
  $schema: text,
};
