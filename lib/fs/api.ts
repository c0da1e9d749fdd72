// The public face of `ringwheel/fs`: every function of node:fs/promises with Node's own type, and what it costs here.
import { constants as nodeConstants, type promises } from 'node:fs';
import { node } from './node.js';
import * as whole from './whole-files.js';

/** The constants of node:fs: `F_OK`, `O_CREAT`, `COPYFILE_EXCL`, … */
export const constants: typeof nodeConstants = nodeConstants;

/**
 * Opens a file. open(2).
 *
 * @returns A `FileHandle` of Node's class. Close it: a forgotten one is closed when it is collected, with Node's warnings.
 * @throws A system error of syscall `open`; for arguments that Node refuses, Node's error.
 */
export const open = whole.open as unknown as typeof promises.open;

/**
 * The whole content of a file: bytes, or text with an `encoding`.
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

/** Node's own. */
export const access: typeof promises.access = node.access;

/** Node's own. */
export const copyFile: typeof promises.copyFile = node.copyFile;

/** Node's own. */
export const cp: typeof promises.cp = node.cp;

/** Node's own. */
export const opendir: typeof promises.opendir = node.opendir;

/** Node's own. */
export const rename: typeof promises.rename = node.rename;

/** Node's own. */
export const rm: typeof promises.rm = node.rm;

/** Node's own. */
export const rmdir: typeof promises.rmdir = node.rmdir;

/** Node's own. */
export const mkdir: typeof promises.mkdir = node.mkdir;

/** Node's own. */
export const readdir: typeof promises.readdir = node.readdir;

/** Node's own. */
export const readlink: typeof promises.readlink = node.readlink;

/** Node's own. */
export const symlink: typeof promises.symlink = node.symlink;

/** Node's own. */
export const lstat: typeof promises.lstat = node.lstat;

/** Node's own. */
export const stat: typeof promises.stat = node.stat;

/** Node's own. */
export const statfs: typeof promises.statfs = node.statfs;

/** Node's own. */
export const link: typeof promises.link = node.link;

/** Node's own. */
export const unlink: typeof promises.unlink = node.unlink;

/** Node's own. */
export const chmod: typeof promises.chmod = node.chmod;

/** Node's own. */
export const lchmod: typeof promises.lchmod = node.lchmod;

/** Node's own. */
export const lchown: typeof promises.lchown = node.lchown;

/** Node's own. */
export const chown: typeof promises.chown = node.chown;

/** Node's own. */
export const utimes: typeof promises.utimes = node.utimes;

/** Node's own. */
export const lutimes: typeof promises.lutimes = node.lutimes;

/** Node's own. */
export const realpath: typeof promises.realpath = node.realpath;

/** Node's own. */
export const mkdtemp: typeof promises.mkdtemp = node.mkdtemp;

/** Node's own. */
export const watch: typeof promises.watch = node.watch;
