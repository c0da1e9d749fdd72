// The commands and their options, as commander wants them: all that `--help` says is here.
import { Command, InvalidArgumentError, Option } from 'commander';
import { version } from '../api/version.js';
import { type CalibrateOptions, calibrate } from './calibrate.js';
import { doctor } from './doctor.js';
import { Failure, report } from './failure.js';
import type { ServeOptions } from './flags.js';
import {
  commaList,
  cpuList,
  descriptor,
  download,
  guarded,
  headerField,
  listenerAt,
  named,
  namedNumber,
  numberOrOff,
  octal,
  origins,
  page,
  redirect,
  repeated,
  rewrite,
  wholeNumber,
} from './numbers.js';
import { serve } from './serve.js';
import { type TopologyOptions, topology } from './topology.js';

/** What a host of the command line may preset. */
export interface Defaults {
  /** The directory that `serve` serves when none is named; the current one by default. */
  readonly directory?: string;
}

const EXAMPLES = `
Examples:
  ringwheel serve                          the current directory at http://127.0.0.1:8080
  ringwheel serve public --port 3000       another directory, another port
  ringwheel serve public --host 0.0.0.0    for other machines too
  ringwheel doctor                         which driver runs here, and what would make it faster
  ringwheel topology                       the machine's cores and caches, and what this process may use
  ringwheel calibrate /var/data            what the disk behind a directory does, for adaptive submission

Environment:
  RINGWHEEL_DRIVER=auto|uring|poll         poll makes not one io_uring call`;

const SERVE_EXAMPLES = `
Examples:
  ringwheel serve                          the current directory at http://127.0.0.1:8080
  ringwheel serve public --port 0 --json   a free port; one line of JSON says which
  ringwheel serve public --cores 4         four executors, where the kernel puts them
  ringwheel serve public --cores 4 --placement max-spread   … each pinned, physical cores before SMT siblings
  ringwheel serve dist --immutable hashed --header '*.html: Cache-Control: no-cache'
  ringwheel serve dist --brotli --gzip     files that were packed ahead: app.js.br, app.js.gz
  ringwheel serve dist --compress          the same made on the fly, once for each file
  ringwheel serve public --mount /media/=/srv/media
  ringwheel serve dist --single --ignores '/api/**'
  ringwheel serve downloads --listing      names, sizes and times; JSON for who accepts no HTML
  ringwheel serve dist --error-pages 404=404.html --error-pages 500=oops.html
  ringwheel serve dist --redirects '/blog/:year/* https://blog.example/:splat 301'
  ringwheel serve out --extensions html    /about is about.html
  ringwheel serve out --clean-urls         the same, and /about.html redirects to /about
  ringwheel serve public --unix /run/site/http.sock --unix-mode 660
  ringwheel serve public --port 443 --tls-cert full.pem --tls-key key.pem
  ringwheel serve public --fd systemd      from the sockets of a systemd socket unit
  ringwheel serve --config site.ts --check what a configuration means, without serving

Sites for hosts of their own (\`sites\`) and names with their hashed passwords (\`users\`) are for a configuration file.

Signals:
  SIGTERM, SIGINT   stop accepting, finish within --drain what is being sent, exit with 0
  a second one      stop at once, exit with 143 or 130; a third one kills
  SIGHUP            read the configuration again
  SIGUSR2           start this command line anew on the same sockets, and drain when that one serves

It exits with 1 when it cannot start, and with 2 when the command line or the configuration is wrong.`;

const TOPOLOGY_EXAMPLES = `
Examples:
  ringwheel topology                                    the machine as a picture
  ringwheel topology --placement max-spread --size 4    and where four members would run
  ringwheel topology --placement max-pack --nodes 1     close together on NUMA node 1`;

const CALIBRATE_EXAMPLES = `
Examples:
  ringwheel calibrate                                the disk behind the current directory
  ringwheel calibrate /var/data --output disk.json   another one, and where to put what was found
  ringwheel calibrate --size 4096 --seconds 60       a disk with a large cache of its own

Writes a file of --size MiB into the directory, without a name, and at most four times as much in all. Give what it found to
Executor.start({ adaptive: { properties: 'ringwheel-io.json' } }).`;

/** Builds the whole command line. */
export function commands(defaults: Defaults): Command {
  const program = new Command('ringwheel')
    .description('One io_uring executor per CPU core: serves files, and says what this machine allows.')
    .version(version(), '-V, --version', 'print the version')
    .addHelpText('after', EXAMPLES);
  quiet(program);
  quiet(program.command('serve'))
    .description('serve a directory over HTTP/1.1')
    .argument(
      '[directory...]',
      `what to serve (default: ${defaults.directory ?? 'the current one'}); of several, a name is the first's that has it`,
    )
    .option('-p, --port <number>', 'TCP port, 0 picks a free one (default: 8080)', wholeNumber(0, 65_535))
    .option('-H, --host <address>', 'address to listen on (default: 127.0.0.1)')
    .addOption(new Option('--unix <path>', 'listen on a Unix socket instead').conflicts(['port', 'host', 'fd']))
    .addOption(new Option('--unix-mode <octal>', 'who may connect to it, such as 660').argParser(octal))
    .addOption(
      new Option(
        '--fd <number>',
        'serve from a socket that listens already, or from those of `systemd`, `systemd:NAME`; may be repeated',
      )
        .argParser(descriptor)
        .conflicts(['port', 'host']),
    )
    .option('-c, --cores <number>', 'executors, one a core (default: every usable core)', wholeNumber(1, 1024))
    .addOption(
      new Option('--placement <name>', 'pin each core by topology: far apart or close together')
        .choices(['max-spread', 'max-pack'])
        .conflicts('cpus'),
    )
    .addOption(new Option('--cpus <list>', 'on which CPUs, instead of how many').argParser(cpuList).conflicts('cores'))
    .addOption(new Option('--driver <name>', 'instead of RINGWHEEL_DRIVER').choices(['auto', 'uring', 'poll']))
    .option('--index <name>', 'file that stands for its directory, may be repeated (default: index.html)', repeated)
    .option('--extensions <list>', 'tried for a name that is no file, such as html,htm', commaList)
    .option('--clean-urls', 'one name for each page: /about.html redirects to /about, /docs/index.html to /docs/')
    .option('--trailing-slash', 'names of pages end with a slash (default: those of directories do)')
    .option('--no-trailing-slash', 'no name of a page ends with a slash')
    .option(
      '--single [=file]',
      'what answers where no file does: index.html, or another page as in --single=app.html',
      page,
    )
    .option('--ignores <pattern>', 'where --single does not answer, such as /api/**, may be repeated', repeated)
    .option(
      '--redirects <rule>',
      "'FROM TO [STATUS]' of names that have moved, such as '/old/* /new/:splat 308', may be repeated",
      redirect,
    )
    .option('--rewrites <rule>', "'FROM TO': the file that answers where none has that name, may be repeated", rewrite)
    .option(
      '--error-pages <status=file>',
      'file below the directory that answers with 400, 403, 404, 405, 500 or 503, may be repeated',
      named,
    )
    .option('--listing', 'a directory without an index shows what it holds, as a page or as JSON')
    .addOption(
      new Option('--dotfiles <policy>', 'names that begin with a dot (default: deny)').choices([
        'deny',
        'allow',
        'ignore',
      ]),
    )
    .addOption(
      new Option('--symlinks <policy>', 'links below the directory (default: inside, those that stay in it)').choices([
        'inside',
        'deny',
        'follow',
      ]),
    )
    .addOption(
      new Option('--etag <kind>', 'what it is made from (default: time)').choices(['time', 'inode', 'content', 'off']),
    )
    .addOption(
      new Option('--max-age <seconds>', 'Cache-Control: public, max-age=…')
        .argParser(wholeNumber(0, 2 ** 31))
        .conflicts('cacheControl'),
    )
    .option('--cache-control <value>', 'the whole Cache-Control header')
    .option(
      '--immutable [which]',
      'files never change under their names: all (beside --max-age), or `hashed` names',
      immutable,
    )
    .option(
      '--header <rule>',
      "'PATTERN: NAME: VALUE' of files such as *.css or /assets/**, may be repeated; no value takes the field away",
      headerField,
    )
    .option(
      '--download <pattern[=name]>',
      'browsers save these files, such as *.zip, or /reports/*=acme-:name, may be repeated',
      download,
    )
    .option('--mime <extension=type>', 'media type by file name extension, may be repeated', named)
    .option('--brotli', 'send NAME.br for NAME to clients that accept it')
    .option('--zstd', 'send NAME.zst for NAME')
    .option('--gzip', 'send NAME.gz for NAME')
    .option(
      '--compress [name=number]',
      'compress text on the fly, may be repeated: brotli (0 to 11), gzip (1 to 9), =off for one, minBytes, maxBytes',
      numberOrOff,
    )
    .option(
      '--cors [origin]',
      'whose scripts may read the answers, may be repeated; everybody when none is named',
      origins,
    )
    .option(
      '--cors-headers <list>',
      'request fields that a preflight allows (default: all but Authorization)',
      commaList,
    )
    .option('--cors-exposed <list>', 'response fields that scripts may read', commaList)
    .option('--cors-credentials', 'also requests with cookies or a password')
    .option('--cors-max-age <seconds>', 'how long browsers remember a preflight', wholeNumber(0, 86_400))
    .option('--security-headers', 'X-Frame-Options, Referrer-Policy and Cross-Origin-Opener-Policy with every answer')
    .option('--mount <path=directory>', 'another directory under a path such as /media/, may be repeated', named)
    .option('--server-header <value>', 'the Server header')
    .option('--no-server-header', 'leave the Server header out')
    .option('--proxy-protocol', 'each connection begins with a PROXY protocol header, version 1 or 2')
    .option(
      '--trust-proxy <list>',
      'proxies whose X-Forwarded-For is believed: addresses, networks such as 10.0.0.0/8, loopback, private',
      commaList,
    )
    .option('--tls-cert <file>', 'HTTPS with this certificate (PEM; its issuers behind it), may be repeated', repeated)
    .option('--tls-key <file>', 'its key (PEM, not encrypted), as often as --tls-cert', repeated)
    .option(
      '--basic-auth <[path=]file>',
      'ask for a name and a password of this file, as `htpasswd -B` writes it; below a path such as /admin/=users alone; may be repeated',
      guarded,
    )
    .option('--basic-auth-realm <text>', 'what browsers show when they ask (default: Restricted)')
    .option('--access-log [file]', 'a line for each answer, to that file or to standard output')
    .addOption(
      new Option('--access-log-format <name>', 'of these lines (default: combined)').choices([
        'common',
        'combined',
        'json',
      ]),
    )
    .option(
      '--access-log-buffer <bytes>',
      'that may wait for being written, a core; what is more is dropped',
      wholeNumber(65_536, 64 * 2 ** 20),
    )
    .option(
      '--tls-reload <ms>',
      'how often these files are looked at for a change, 0 never (default: 60000)',
      wholeNumber(0, 86_400_000),
    )
    .option(
      '--cache <name=number>',
      'of the cache, may be repeated: bytes, fileBytesMax, openFiles, revalidateMs, missingMs or compressedBytes',
      namedNumber,
    )
    .option(
      '--limit <name=number>',
      'of clients, may be repeated: headerBytes, headerCount, uriBytes, bodyBytes, ranges, routeBodyBytes, routeRequests, routeTimeoutMs, connections, requestsPerClient, burstPerClient, connectionsPerClient, bytesPerSecond, bytesAtFullSpeed, headerTimeoutMs, idleTimeoutMs or sendTimeoutMs',
      namedNumber,
    )
    .option('--drain <ms>', 'how long a stop waits for answers being sent (default: 10000)', wholeNumber(0, 3_600_000))
    .addOption(
      new Option(
        '--log <shape>',
        'of what it says on standard error (default: pretty on a terminal, else json)',
      ).choices(['pretty', 'json']),
    )
    .option('--admin <[host:]port>', 'tell how the server is there: a page, /metrics, /healthz, /readyz', listenerAt)
    .option('--config <file>', 'options from this file (default: ringwheel.config.{ts,js,json} here, if there is one)')
    .option('--no-config', 'read no such file')
    .option('--check', 'say what would be served how, and end')
    .option('--json', 'print one line of JSON instead of the banner; with --check, the configuration')
    .addHelpText('after', SERVE_EXAMPLES)
    .action((directories: string[], options: ServeOptions) => serve(directories, options, defaults.directory));
  const serving = program.commands[0] as Command;
  const parse = serving.parseOptions.bind(serving);
  // Commander would take the directory behind it for its page.
  serving.parseOptions = (args) => parse(args.map((each) => (each === '--single' ? '--single=' : each)));
  quiet(program.command('doctor'))
    .description('say which driver runs here, with which kernel features and limits, and what would help')
    .option('--json', 'print JSON', false)
    .action((options: { json: boolean }) => doctor(options.json));
  quiet(program.command('topology'))
    .description('draw packages, caches, cores and NUMA nodes, what this process may use of them and what limits it')
    .option('--json', 'print JSON', false)
    .addOption(
      new Option('--placement <name>', 'show where the members of a pool would go').choices([
        'unbound',
        'fenced',
        'max-spread',
        'max-pack',
      ]),
    )
    .option('--size <number>', 'members (default: one for each CPU that may be used)', wholeNumber(1, 1024))
    .option('--packages <list>', 'only CPUs of these packages', cpuList)
    .option('--nodes <list>', 'only CPUs of these NUMA nodes', cpuList)
    .option('--cores <list>', 'only CPUs of these cores', cpuList)
    .option('--cpus <list>', 'only these CPUs', cpuList)
    .addHelpText('after', TOPOLOGY_EXAMPLES)
    .action((options: TopologyOptions) => topology(options));
  quiet(program.command('calibrate'))
    .description('measure the disk behind a directory, and write its properties for adaptive submission')
    .argument('[directory]', 'where to put the file that is read and written', '.')
    .option('-o, --output <file>', 'where the properties go', 'ringwheel-io.json')
    .option('--size <mebibytes>', 'of the file that is read and written', wholeNumber(8, 1 << 20), 512)
    .option('--seconds <number>', 'that all measurements take together', wholeNumber(1, 3600), 20)
    .option('--json', 'print the properties instead of a table', false)
    .addHelpText('after', CALIBRATE_EXAMPLES)
    .action((directory: string, options: CalibrateOptions) => calibrate(directory, options));
  return program;
}

function immutable(which: string): 'hashed' {
  if (which !== 'hashed') throw new InvalidArgumentError('It has to be hashed, or nothing for all files.');
  return which;
}

/** Makes commander throw instead of exiting, and report on one line that names the remedy. */
function quiet(command: Command): Command {
  const help = command.name() === 'ringwheel' ? 'ringwheel --help' : `ringwheel ${command.name()} --help`;
  return command.exitOverride().configureOutput({
    outputError: (text) => {
      const line = text.replace(/^error: /, '').trim();
      report(new Failure(`${line}${line.endsWith('.') || line.endsWith(')') ? '' : ':'} see \`${help}\``));
    },
  });
}
