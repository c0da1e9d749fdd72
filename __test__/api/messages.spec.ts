// What a wrong option is told: value, range and remedy, each once, and nothing that steers a terminal.
import test from 'ava';
import { Executor, File, FileServer, sleep } from '../../index';

const messages: [what: string, call: () => unknown, message: string][] = [
  [
    'a number out of its range',
    () => Executor.start({ entries: 7 }),
    'Executor.start: entries must be a power of two from 8 to 32768; got 7',
  ],
  [
    'a step that is missed',
    () => Executor.start({ memory: 65537 }),
    'Executor.start: memory must be a multiple of 4096 from 65536 to 1073741824; got 65537',
  ],
  [
    'a group that is none',
    () => Executor.start({ sqpoll: true as never }),
    'Executor.start: sqpoll must be false, or an object with idleMs, cpu, force; got true',
  ],
  [
    'an array for a group',
    () => Executor.start({ sqpoll: [] as never }),
    'Executor.start: sqpoll must be false, or an object with idleMs, cpu, force; got an array',
  ],
  [
    'a value in a group that can be off',
    () => Executor.start({ sqpoll: { idleMs: 0 } }),
    'Executor.start: sqpoll.idleMs must be a whole number from 1 to 10000; got 0',
  ],
  [
    'an unknown key in a group',
    () => Executor.start({ sqpoll: { idle: 1 } as never }),
    "Executor.start: unknown option 'sqpoll.idle' (did you mean 'sqpoll.idleMs'?). Known options: sqpoll.idleMs, sqpoll.cpu, sqpoll.force",
  ],
  [
    'a key with a line end',
    () => sleep(1, { 'ref\n': true } as never),
    "sleep: unknown option 'ref\\n' (did you mean 'ref'?). Known options: signal, ref, ",
  ],
  [
    'a value in a group',
    () => FileServer.start({ root: '.', limits: { connections: -1 } }),
    'FileServer.start: limits.connections must be a whole number from 1 to 10000000; got -1',
  ],
  [
    'an entry of a list',
    () => FileServer.start({ root: '.', index: ['a', ''] }),
    "FileServer.start: index[1] must be a string, not empty and without NUL; got ''",
  ],
  [
    'an entry where a number would do too',
    () => FileServer.start({ root: '.', cores: [0, 4096] }),
    'FileServer.start: cores[1] must be a whole number from 0 to 4095; got 4096',
  ],
  [
    'a list that is too long',
    () => FileServer.start({ root: '.', index: Array.from({ length: 17 }, () => 'a') }),
    'FileServer.start: index must be an array of at most 16 entries; got 17',
  ],
  [
    'a string of a closed list, with what would clear a screen',
    () => FileServer.start({ root: '.', dotfiles: '\x1b[2J' as never }),
    "FileServer.start: dotfiles must be one of 'deny', 'allow', 'ignore'; got '\\x1B[2J'",
  ],
  ['options that are none', () => sleep(1, 5 as never), 'sleep: options must be an object; got 5'],
  [
    'a path with NUL',
    () => File.open('a\0b'),
    "File.open: path must be a string, a file: URL or a Uint8Array, not empty and without NUL; got 'a\\x00b'",
  ],
];

for (const [what, call, message] of messages) {
  test(what, async (t) => {
    const error = await t.throwsAsync(async () => call(), { code: 'ERR_RINGWHEEL_INVALID_OPTION' });
    // A list of options that ends in a comma may get longer.
    t.is(message.endsWith(', ') ? error.message.slice(0, message.length) : error.message, message);
  });
}

test('a path is quoted in an error of the system and whole in its property', async (t) => {
  const path = '/nowhere/\n\x1b[31mred\x7f';
  const error = await t.throwsAsync(File.open(path), { code: 'ENOENT' });
  t.is(error.message, "ENOENT: no such file or directory, open '/nowhere/\\n\\x1B[31mred\\x7F'");
  t.is((error as NodeJS.ErrnoException).path, path);
});

test('a directory is quoted where it cannot be served', async (t) => {
  const error = await t.throwsAsync(FileServer.start({ root: '/nowhere/\x1b[31m', port: 0 }), { code: 'ENOENT' });
  t.true(error.message.includes('"/nowhere/\\u{1b}[31m" does not exist'), error.message);
});
