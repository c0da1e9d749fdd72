// Makes a seccomp profile that allows io_uring out of the one that a container engine has by default: guide "Deploying".
//
//   node deploy/docker/allow-io-uring.mjs default.json > ringwheel.json
import { readFileSync } from 'node:fs';

/** All that ringwheel needs beside what the default profiles of Docker, containerd and Podman allow. */
const names = ['io_uring_setup', 'io_uring_enter', 'io_uring_register'];

/**
 * @param {string} why
 * @returns {never}
 */
function fail(why) {
  console.error(`allow-io-uring: ${why}`);
  process.exit(1);
}

const [path] = process.argv.slice(2);
if (path === undefined) fail('name the default profile of your engine: node allow-io-uring.mjs default.json');

/** @type {{ defaultAction?: unknown, syscalls?: { names?: string[], action?: string }[] }} */
let profile;
try {
  profile = JSON.parse(readFileSync(path, 'utf8'));
} catch (error) {
  fail(error instanceof Error ? error.message : String(error));
}
if (profile?.defaultAction !== 'SCMP_ACT_ERRNO' || !Array.isArray(profile.syscalls)) {
  fail(
    `${path} is not a profile that allows by name: it needs "defaultAction": "SCMP_ACT_ERRNO" and a list "syscalls"`,
  );
}
const syscalls = profile.syscalls.map((rule) =>
  rule.action === 'SCMP_ACT_ALLOW' ? rule : { ...rule, names: rule.names?.filter((name) => !names.includes(name)) },
);
syscalls.push({ names, action: 'SCMP_ACT_ALLOW' });
console.log(JSON.stringify({ ...profile, syscalls: syscalls.filter((rule) => rule.names?.length !== 0) }, null, 2));
