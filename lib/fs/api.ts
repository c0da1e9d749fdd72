// The public face of `ringwheel/fs`: every function of node:fs/promises with Node's own type, and what it costs here.
import { constants as nodeConstants, type promises } from 'node:fs';
import * as copy from './copy.js';
import * as dir from './dir.js';
import * as directories from './directories.js';
import { node } from './node.js';
import * as paths from './paths.js';
import * as whole from './whole-files.js';

/** The constants of node:fs: `F_OK`, `O_CREAT`, `COPYFILE_EXCL`, … */
export const constants: typeof nodeConstants = nodeConstants;

/**
 * Opens a file. open(2).
 *
 * @returns A `FileHandle` of Node's class. Close it: a forgotten one is closed when it is collected, with Node's warnings.
 * @throws A system error of syscall `open`; for arguments that Node refuses, Node's error.
 *
 * @example
 * ```ts
 * import { open } from 'ringwheel/fs';
 * await using handle = await open('package.json');
 * for await (const line of handle.readLines()) console.log(line);
 * ```
 */
export const open = whole.open as unknown as typeof promises.open;

/**
 * The whole content of a file: bytes, or text with an `encoding`.
 *
 * @example
 * ```ts
 * import fs from 'ringwheel/fs';
 * const { name } = await fs.stat('package.json').then(() => fs.readFile('package.json', 'utf8')).then(JSON.parse);
 * console.log(name, await fs.readdir('.'));
 * ```
 *
 * @throws A system error of syscall `open`, `fstat` or `read`; `AbortError` when the option `signal` aborts; ERR_FS_FILE_TOO_LARGE from 2 GiB on.
 */
export const readFile = whole.readFile as unknown as typeof promises.readFile;

/**
 * Replaces the content of a file, or writes at the position of a FileHandle. `data`: text, bytes, or a sync or async iterable of them.
 *
 * @throws A system error of syscall `open`, `write`, `fsync` (option `flush`) or `close`; `AbortError` when the option `signal` aborts: a part
 * may be written then.
 */
export const writeFile = whole.writeFile as unknown as typeof promises.writeFile;

/** Adds to the end of a file; else as {@link writeFile}. */
export const appendFile = whole.appendFile as unknown as typeof promises.appendFile;

/** Sets the length of a file: cuts it, or fills it up with zeros. @throws A system error of syscall `open` or `ftruncate`. */
export const truncate = whole.truncate as unknown as typeof promises.truncate;

/** Whether a path exists and, with `R_OK`, `W_OK`, `X_OK`, may be used so. access(2). @throws A system error of syscall `access`. */
export const access = paths.access as unknown as typeof promises.access;

/** Copies a file, on the pool; shares its blocks where the file system can. `mode`: `COPYFILE_` bits. @throws A system error of syscall `copyfile`. */
export const copyFile = paths.copyFile as unknown as typeof promises.copyFile;

/** Renames, over what is there. rename(2). @throws A system error of syscall `rename`. */
export const rename = paths.rename as unknown as typeof promises.rename;

/** Removes a name. unlink(2). @throws A system error of syscall `unlink`. */
export const unlink = paths.unlink as unknown as typeof promises.unlink;

/** Removes an empty directory. rmdir(2). The deprecated options go to Node. @throws A system error of syscall `rmdir`. */
export const rmdir = directories.rmdir as unknown as typeof promises.rmdir;

/** Removes a file or, with `recursive`, a tree, on the pool; with `force` also what is not there. @throws A system error of syscall `lstat, unlink, rmdir or scandir`. */
export const rm = directories.rm as unknown as typeof promises.rm;

/** Makes a directory; with `recursive` those above it too, and gives the first that was made. @throws A system error of syscall `mkdir`. */
export const mkdir = directories.mkdir as unknown as typeof promises.mkdir;

/** The names in a directory, or `Dirent`s; with `recursive` of the tree below it. One call, whatever there is. @throws A system error of syscall `scandir`. */
export const readdir = directories.readdir as unknown as typeof promises.readdir;

/** The target of a symbolic link. readlink(2). @throws A system error of syscall `readlink`. */
export const readlink = paths.readlink as unknown as typeof promises.readlink;

/** Makes a symbolic link. symlink(2). @throws A system error of syscall `symlink`. */
export const symlink = paths.symlink as unknown as typeof promises.symlink;

/** Metadata of a path, of a link itself. statx(2). @throws A system error of syscall `lstat`. */
export const lstat = paths.lstat as unknown as typeof promises.lstat;

/** Metadata of a path: `Stats`, or `BigIntStats` with `bigint`. statx(2). @throws A system error of syscall `stat`. */
export const stat = paths.stat as unknown as typeof promises.stat;

/** Figures of a file system. statfs(2). @throws A system error of syscall `statfs`. */
export const statfs = paths.statfs as unknown as typeof promises.statfs;

/** Makes a hard link. link(2). @throws A system error of syscall `link`. */
export const link = paths.link as unknown as typeof promises.link;

/** Sets permission bits. chmod(2). @throws A system error of syscall `chmod`. */
export const chmod = paths.chmod as unknown as typeof promises.chmod;

/** Sets the owner and the group; −1 leaves one as it is. chown(2). @throws A system error of syscall `chown`. */
export const chown = paths.chown as unknown as typeof promises.chown;

/** The same of a link itself. lchown(2). @throws A system error of syscall `lchown`. */
export const lchown = paths.lchown as unknown as typeof promises.lchown;

/** Sets the times of access and change: seconds, or a Date. utimensat(2). @throws A system error of syscall `utime`. */
export const utimes = paths.utimes as unknown as typeof promises.utimes;

/** The same of a link itself. @throws A system error of syscall `lutime`. */
export const lutimes = paths.lutimes as unknown as typeof promises.lutimes;

/** The path without links, `.` and `..`. realpath(3). @throws A system error of syscall `realpath`. */
export const realpath = paths.realpath as unknown as typeof promises.realpath;

/** Makes a directory whose name begins with `prefix`. mkdtemp(3). @throws A system error of syscall `mkdtemp`. */
export const mkdtemp = paths.mkdtemp as unknown as typeof promises.mkdtemp;

/** Opens a directory to be read entry by entry: a `Dir` of Node's class. @throws A system error of syscall `opendir` or `scandir`. */
export const opendir = dir.opendir as unknown as typeof promises.opendir;

/**
 * Copies a file, a link or, with `recursive`, a tree: each entry with the functions above.
 *
 * @throws Theirs; and what Node refuses (ERR_FS_CP_…, ERR_FS_EISDIR) as Node's error.
 */
export const cp = copy.cp as unknown as typeof promises.cp;

/** Node's own: only macOS has what it needs. */
export const lchmod: typeof promises.lchmod = node.lchmod;

/** Node's own: events of the system about a file or a directory, as an async iterator. */
export const watch: typeof promises.watch = node.watch;
