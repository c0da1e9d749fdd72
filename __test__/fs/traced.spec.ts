// What only a system call that fails shows: strace lets those on one file fail, under Node's own functions and ours.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { ended, fileOf, folder, script } from '../drivers';

const mayTrace = spawnSync('strace', ['-o', '/dev/null', 'true']).status === 0;

/** Runs `call` of both sides where system calls on `path` fail as strace is told, and compares what they throw. */
async function sameFailure(
  t: ExecutionContext,
  faults: readonly string[],
  call: string,
  path = fileOf('before'),
): Promise<void> {
  if (!mayTrace) {
    process.stderr.write(`skip: ${t.title}: strace may not trace here\n`);
    t.pass();
    return;
  }
  const args = ['-f', '-o', '/dev/null', '-P', path, ...faults.flatMap((fault) => ['-e', `inject=${fault}`])];
  const body = `
    if (process.argv[2] !== 'traced') {
      const { status, signal, stderr } = require('node:child_process').spawnSync('strace',
        [...${JSON.stringify(args)}, process.execPath, __filename, 'traced'], { encoding: 'utf8', timeout: 60_000 });
      process.stderr.write(stderr + (signal ?? ''));
      process.exit(status ?? 71);
    }
    const path = ${JSON.stringify(path)};
    const described = ({ name, message, code, errno, syscall, path, errors }) =>
      ({ name, message, code, errno, syscall, path, errors: errors?.map(described) });
    const wanted = described((await settled((async (fs) => ${call})(require('node:fs/promises')))).error);
    const found = described((await settled((async (fs) => ${call})(require(${JSON.stringify(join(__dirname, '../../dist/fs.js'))})))).error);
    assert.deepEqual(found, wanted);
    assert(wanted.name === ${JSON.stringify(faults.length === 1 ? 'Error' : 'AggregateError')}, JSON.stringify(wanted));
  `;
  ended(t, await script(body));
}

const NO_WRITE = 'write,pwrite64,pwritev,writev:error=ENOSPC';
const NO_CLOSE = 'close:error=EIO';

for (const [what, call] of Object.entries({
  'of some bytes': "fs.writeFile(path, 'some')",
  'of some bytes, added': "fs.appendFile(path, Buffer.from('some'))",
})) {
  test(`writeFile ${what}: fails in write`, (t) => sameFailure(t, [NO_WRITE], call));
  test(`writeFile ${what}: fails in write and in close`, (t) => sameFailure(t, [NO_WRITE, NO_CLOSE], call));
  test(`writeFile ${what}: fails in close`, (t) => sameFailure(t, [NO_CLOSE], call));
}

test('opendir: fails in read', (t) =>
  sameFailure(
    t,
    ['getdents64:error=EIO'],
    '{ const dir = await fs.opendir(path); try { await dir.read(); } finally { await dir.close(); } }',
    folder,
  ));

// A ring's reads and writes are no system calls, which strace could see.
if (process.env.RINGWHEEL_DRIVER === 'poll') {
  test('a device is read and written at a position by pread and pwrite', async (t) => {
    const one = (name: string) =>
      `{ const file = await fs.open('/dev/zero', 'r+'); try { await file.${name}(new Uint8Array(9), 0, 9, 77); } finally { await file.close(); } }`;
    await sameFailure(t, ['pread64:error=EIO'], one('read'), '/dev/zero');
    await sameFailure(t, ['pwrite64:error=EIO'], one('write'), '/dev/zero');
  });
}
