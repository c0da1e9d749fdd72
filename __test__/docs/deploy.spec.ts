// What deploy/ names exists: flags, options, ports, paths, metrics, and times that fit each other; and other people's checkers, where they are installed.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { parse, parseAllDocuments } from 'yaml';
import { FileServer } from '../../index';
import { CONFIG_RULES, type ServeConfig } from '../../lib/api/config';
import { collectMetrics } from '../../lib/api/metrics';
import { checked } from '../../lib/api/validate';
import { commands } from '../../lib/cli/program';
import { Running, root } from '../support/command';

const deploy = join(root, 'deploy');
const text = (path: string) => readFileSync(join(deploy, path), 'utf8');

/** A configuration of deploy/, checked by the rules of `ringwheel serve`. */
function configOf(path: string): ServeConfig {
  return checked(path, JSON.parse(text(path)), CONFIG_RULES) as ServeConfig;
}

/** What commander makes of the words after `ringwheel`; throws what it would say. */
function parsed(words: readonly string[]): Record<string, unknown> {
  const program = commands({});
  const serve = program.commands.find((each) => each.name() === 'serve');
  if (serve === undefined || words[0] !== 'serve') throw new Error(`not a command: ${words}`);
  serve.action(() => {});
  program.parse(words, { from: 'user' });
  return serve.opts();
}

/** A port that nobody has at the moment. */
async function freePort(): Promise<number> {
  const holder = createServer().listen(0, '127.0.0.1');
  await once(holder, 'listening');
  const { port } = holder.address() as AddressInfo;
  await new Promise((settle) => holder.close(settle));
  return port;
}

/** biome-ignore lint/suspicious/noExplicitAny: manifests of Kubernetes have no types here, and its schemas are checked below. */
type Manifest = any;

const manifest = (name: string): Manifest => parse(text(`kubernetes/${name}.yaml`));
const { spec: deployment } = manifest('deployment');
const pod = deployment.template.spec;
const [container] = pod.containers;
const config = configOf('kubernetes/ringwheel.config.json');

/** Names of all metrics that the admin listener and `ringwheel/metrics` have. */
const metrics = new Set<string>();
collectMetrics({
  registerMetric: ({ name }: { name: string }) => void metrics.add(name),
  removeSingleMetric: () => {},
} as never);

test('each manifest of Kubernetes is listed, and has the labels that others select by', (t) => {
  const { resources } = manifest('kustomization') as { resources: string[] };
  const others = ['kustomization.yaml', 'prometheus-adapter.yaml'];
  const all = readdirSync(join(deploy, 'kubernetes')).filter((name) => name.endsWith('.yaml'));
  t.deepEqual([...resources, ...others].sort(), all.sort());
  const { labels } = deployment.template.metadata;
  t.deepEqual(deployment.selector.matchLabels, labels);
  t.deepEqual(pod.topologySpreadConstraints[0].labelSelector.matchLabels, labels);
  t.deepEqual(manifest('service').spec.selector, labels);
  t.deepEqual(manifest('disruption-budget').spec.selector.matchLabels, labels);
  t.deepEqual(manifest('network-policy').spec.podSelector.matchLabels, labels);
  t.is(manifest('autoscaler').spec.scaleTargetRef.name, manifest('deployment').metadata.name);
});

test('the pod runs with the configuration beside it, on its ports', (t) => {
  const options = parsed(container.args);
  const [mount] = container.volumeMounts;
  t.is(options.config, join(mount.mountPath, 'ringwheel.config.json'));
  const [volume] = pod.volumes;
  const [generated] = manifest('kustomization').configMapGenerator;
  t.is(volume.configMap.name, generated.name);
  t.deepEqual(generated.files, ['ringwheel.config.json']);
  const ports = Object.fromEntries(container.ports.map(({ name, containerPort }: Manifest) => [name, containerPort]));
  t.deepEqual(ports, { http: config.port, admin: config.admin?.port });
  const named = [
    ...manifest('service').spec.ports.map(({ targetPort }: Manifest) => targetPort),
    ...manifest('network-policy').spec.ingress.flatMap(({ ports }: Manifest) =>
      ports.map(({ port }: Manifest) => port),
    ),
  ];
  for (const name of named) t.true(name in ports, name);
  t.is(deployment.template.metadata.annotations['prometheus.io/port'], `${config.admin?.port}`);
  t.is(config.host, '0.0.0.0', 'loopback of a pod is reached by nobody');
  t.is(config.admin?.host, '0.0.0.0');
  t.is(container.resources.requests.cpu, `${config.cores}`);
});

test('a pod ends only after it had time to finish, and a container and a unit too', (t) => {
  const seconds = container.lifecycle.preStop.sleep.seconds + (config.drainMs ?? 0) / 1000 + 1;
  t.true(pod.terminationGracePeriodSeconds > seconds, `${seconds} s are needed`);
  const { drainMs = 0 } = configOf('systemd/ringwheel.config.json');
  const timeout = Number(/^TimeoutStopSec=(\d+)$/m.exec(text('systemd/ringwheel.service'))?.[1]);
  t.true(timeout * 1000 > drainMs + 1000, `${timeout}`);
  t.true(Number(parsed(command('CMD')).drain) + 1000 < 10_000, 'docker stop waits for ten seconds');
});

test('probes and scrapes ask for what the admin listener has', async (t) => {
  const server = await FileServer.start({ root: join(root, 'examples/site'), port: 0, admin: { port: 0 }, cores: 1 });
  t.teardown(() => server.close({ deadlineMs: 0 }));
  const probes = [container.startupProbe, container.readinessProbe, container.livenessProbe].map(
    ({ httpGet }) => httpGet,
  );
  const paths = [...probes.map(({ path }) => path), deployment.template.metadata.annotations['prometheus.io/path']];
  for (const path of paths) t.is((await fetch(`${server.adminUrl}${path}`)).status, 200, path);
  for (const { port } of probes) t.is(port, 'admin');
});

test('the autoscaler asks for figures that the adapter makes of metrics that exist', (t) => {
  const { rules } = manifest('prometheus-adapter');
  const made = new Set<string>();
  for (const { seriesQuery, name } of rules.custom as {
    seriesQuery: string;
    name?: { matches: string; as: string };
  }[]) {
    const series = seriesQuery.match(/ringwheel_\w+/g) ?? [];
    t.true(series.length > 0, seriesQuery);
    for (const one of series) {
      t.true(metrics.has(one), `there is no metric ${one}`);
      made.add(name === undefined ? one : one.replace(new RegExp(name.matches), name.as.replace(/\$\{1\}/, '$$1')));
    }
  }
  const asked = manifest('autoscaler').spec.metrics.filter(({ type }: Manifest) => type === 'Pods');
  t.is(asked.length, 2);
  for (const { pods } of asked) t.true(made.has(pods.metric.name), pods.metric.name);
  const most = Number.parseInt(asked[1].pods.target.averageValue, 10) * 1000;
  t.true(most < (config.limits?.connections ?? 0), 'new pods have to come before clients are refused');
});

/** The words of an instruction of the Dockerfile in its JSON form; the last one of them. */
function command(instruction: string): string[] {
  const found = [...text('docker/Dockerfile').matchAll(new RegExp(`\\b${instruction} (\\[.*\\])$`, 'gm'))].at(-1);
  return JSON.parse(found?.[1] ?? 'null');
}

test("the image's command is one, and its files are there", (t) => {
  const options = parsed(command('CMD'));
  t.deepEqual(options.admin, { port: 9000 });
  const { bin, engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  t.deepEqual(command('ENTRYPOINT'), ['node', `/app/node_modules/ringwheel/${bin.ringwheel}`]);
  const dockerfile = text('docker/Dockerfile');
  for (const [, path = ''] of dockerfile.matchAll(/^COPY (?!--|\.)(\S+)/gm)) t.true(existsSync(join(root, path)), path);
  t.true(Number(/node:(\d+)/.exec(dockerfile)?.[1]) >= Number(/\d+/.exec(engines.node)?.[0]));
  const user = /^USER (\d+):\d+$/m.exec(dockerfile)?.[1];
  t.is(user, `${pod.securityContext.runAsUser}`, 'Kubernetes runs it as the image does');
});

test('the unit starts what the package has, with flags that exist', (t) => {
  const unit = text('systemd/ringwheel.service');
  const [node, main, ...words] = /^ExecStart=(.*)$/m.exec(unit)?.[1]?.split(' ') ?? [];
  t.is(basename(node ?? ''), 'node', 'sockets are passed on to the process itself');
  t.true(main?.endsWith('/node_modules/ringwheel/dist/lib/cli/main.js'));
  t.is(parsed(words).fd, 'systemd');
  t.regex(unit, /^Type=notify\nNotifyAccess=main$/m, 'service-manager.spec.ts has what it hears');
});

test('the health check knows who is well', async (t) => {
  const check = (url: string) =>
    new Running(process.execPath, [join(deploy, 'docker/healthy.mjs'), url]).ended.then(({ code }) => code);
  let status = 200;
  const admin = createServer((_, response) => response.writeHead(status).end('.')).listen(0, '127.0.0.1');
  await new Promise((settle) => admin.once('listening', settle));
  const url = `http://127.0.0.1:${(admin.address() as AddressInfo).port}/healthz`;
  t.is(await check(url), 0);
  status = 503;
  t.is(await check(url), 1);
  await new Promise((settle) => admin.close(settle));
  t.is(await check(url), 1);
});

test('io_uring is allowed beside all that a profile allows, and in no profile that is none', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'ringwheel-seccomp-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const allow = (profile: unknown) => {
    const path = join(directory, `${createHash('sha256').update(JSON.stringify(profile)).digest('hex')}.json`);
    writeFileSync(path, JSON.stringify(profile));
    return new Running(process.execPath, [join(deploy, 'docker/allow-io-uring.mjs'), path]).ended;
  };
  const rules = [
    { names: ['read', 'openat2'], action: 'SCMP_ACT_ALLOW' },
    { names: ['personality'], action: 'SCMP_ACT_ALLOW', args: [{ index: 0, value: 8, op: 'SCMP_CMP_EQ' }] },
  ];
  const profile = {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: 1,
    archMap: [{ architecture: 'SCMP_ARCH_X86_64' }],
  };
  const denied = [
    { names: ['io_uring_setup', 'ptrace'], action: 'SCMP_ACT_ERRNO' },
    { names: ['io_uring_enter'], action: 'SCMP_ACT_KILL_PROCESS' },
  ];
  const { code, stdout, stderr } = await allow({ ...profile, syscalls: [...rules, ...denied] });
  t.is(code, 0, stderr);
  const added = { names: ['io_uring_setup', 'io_uring_enter', 'io_uring_register'], action: 'SCMP_ACT_ALLOW' };
  const left = { names: ['ptrace'], action: 'SCMP_ACT_ERRNO' };
  t.deepEqual(JSON.parse(stdout), { ...profile, syscalls: [...rules, left, added] });
  for (const wrong of [[], { syscalls: [] }, { ...profile, defaultAction: 'SCMP_ACT_ALLOW', syscalls: [] }, null]) {
    const refused = await allow(wrong);
    t.is(refused.code, 1);
    t.regex(refused.stderr, /^allow-io-uring: /);
    t.is(refused.stdout, '');
  }
});

/** A test that needs a program of others, told as skipped where it is missing. */
function checker(program: string, args: readonly string[]): typeof test | typeof test.skip {
  return spawnSync(program, args, { stdio: 'ignore' }).status === 0 ? test : test.skip;
}

checker('kubernetes-validate', ['--version'])(
  'manifests are what the schemas of Kubernetes say (kubernetes-validate, from PyPI)',
  (t) => {
    const { resources } = manifest('kustomization') as { resources: string[] };
    for (const name of resources) t.is(parseAllDocuments(text(`kubernetes/${name}`)).length, 1);
    const paths = resources.map((name) => join(deploy, 'kubernetes', name));
    const { status, stdout, stderr } = spawnSync('kubernetes-validate', ['--strict', ...paths], { encoding: 'utf8' });
    t.is(status, 0, stdout + stderr);
  },
);

checker('systemd-analyze', ['--version'])('units are what systemd reads (systemd-analyze verify)', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'ringwheel-units-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const units = ['ringwheel.service', 'ringwheel.socket'].map((name) => {
    const path = join(directory, name);
    // It wants to see the program.
    writeFileSync(path, text(`systemd/${name}`).replace('/usr/bin/node', process.execPath));
    return path;
  });
  const { stdout, stderr } = spawnSync('systemd-analyze', ['verify', ...units], { encoding: 'utf8' });
  // Of our units: a machine's own may be wrong.
  t.deepEqual(
    `${stdout}${stderr}`.split('\n').filter((line) => line.includes('ringwheel')),
    [],
  );
});

checker('hadolint', ['--version'])('the Dockerfile is clean (hadolint)', (t) => {
  const { status, stdout } = spawnSync('hadolint', [join(deploy, 'docker/Dockerfile')], { encoding: 'utf8' });
  t.is(status, 0, stdout);
});

checker('haproxy', ['-v'])('haproxy.cfg is what HAProxy reads', (t) => {
  const { status, stderr } = spawnSync('haproxy', ['-c', '-f', join(deploy, 'proxies/haproxy.cfg')], {
    encoding: 'utf8',
  });
  t.is(status, 0, stderr);
});

checker('haproxy', ['-v'])('behind haproxy.cfg the site is there, and 503 as soon as a stop begins', async (t) => {
  const free = await freePort();
  const site = { root: join(root, 'examples/site'), port: 0, cores: 1, proxyProtocol: true, admin: { port: 0 } };
  const server = await FileServer.start(site);
  const admin = new URL(server.adminUrl as string).port;
  const directory = mkdtempSync(join(tmpdir(), 'ringwheel-haproxy-'));
  const file = join(directory, 'haproxy.cfg');
  const config = text('proxies/haproxy.cfg')
    .replace('bind :80\n', `bind 127.0.0.1:${free}\n`)
    .replace('127.0.0.1:8080', `127.0.0.1:${server.port}`)
    .replace('port 9000 inter 2s', `port ${admin} inter 100ms`)
    .replace('maxconn 20000', 'maxconn 100');
  writeFileSync(file, config);
  const proxy = new Running('haproxy', ['-db', '-f', file]);
  t.teardown(async () => {
    proxy.child.kill('SIGKILL');
    await Promise.all([proxy.ended, server.close({ deadlineMs: 0 })]);
    rmSync(directory, { recursive: true, force: true });
  });
  const status = () =>
    fetch(`http://127.0.0.1:${free}/`).then(
      ({ status }) => status,
      () => undefined,
    );
  /** A server is up until its first check has failed: so what counts is what stays. */
  const stays = async (wanted: number) => {
    for (let end = Date.now() + 30_000, row = 0; row < 10 && Date.now() < end; await sleep(100)) {
      row = (await status()) === wanted ? row + 1 : 0;
    }
    return status();
  };
  t.is(await stays(200), 200);
  const unfinished = connect(server.port, '127.0.0.1');
  unfinished.on('error', () => {}).write('PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\nGET / HTTP/1.1\r\n');
  while (server.stats().connections === 0) await sleep(20);
  const closing = server.close({ deadlineMs: 60_000 }); // Which waits for the head that is under way.
  t.is(await stays(503), 503);
  unfinished.destroy();
  await closing;
});

checker('nginx', ['-v'])('nginx.conf is what nginx reads', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'ringwheel-nginx-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const own = `pid ${directory}/nginx.pid; error_log stderr;`;
  const args = ['-t', '-c', join(deploy, 'proxies/nginx.conf'), '-g', own];
  const { status, stderr } = spawnSync('nginx', args, { encoding: 'utf8' });
  t.is(status, 0, stderr);
});

test("a proxy's connections rest for less than the server keeps them", async (t) => {
  const { limits } = await FileServer.check({ root: join(root, 'examples/site') });
  const idle = (limits?.idleTimeoutMs ?? 0) / 1000;
  const said = {
    'haproxy.cfg': /pool-purge-delay (\d+)s/,
    'nginx.conf': /keepalive_timeout (\d+)s/,
    'envoy.yaml': /idle_timeout: (\d+)s/,
  };
  for (const [name, pattern] of Object.entries(said)) {
    const seconds = Number(pattern.exec(text(`proxies/${name}`))?.[1]);
    t.true(seconds < idle, name);
  }
  const { host, path } = parse(text('proxies/envoy.yaml')).static_resources.clusters[0].health_checks[0]
    .http_health_check;
  t.deepEqual([host, path], ['localhost', '/readyz']);
});

const READ_BY_ENVOY = `
import json, sys
from google.protobuf import json_format
from envoy.config.bootstrap.v3 import bootstrap_pb2
import envoy.extensions.filters.http.router.v3.router_pb2
import envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2
import envoy.extensions.upstreams.http.v3.http_protocol_options_pb2
json_format.ParseDict(json.load(sys.stdin), bootstrap_pb2.Bootstrap())
`;

checker('python3', ['-c', 'import envoy.config.bootstrap.v3.bootstrap_pb2'])(
  'envoy.yaml has the fields of its protocol definitions (xds-protos, from PyPI)',
  (t) => {
    const read = (config: unknown) =>
      spawnSync('python3', ['-c', READ_BY_ENVOY], { input: JSON.stringify(config), encoding: 'utf8' });
    const config = parse(text('proxies/envoy.yaml'));
    const { status, stderr } = read(config);
    t.is(status, 0, stderr);
    t.not(read({ ...config, static: {} }).status, 0);
  },
);
