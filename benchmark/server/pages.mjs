// The files of a site and the fields that all servers of JavaScript send with each.
import fs from 'node:fs';
import path from 'node:path';

/** Every file below `root`, as [path of the URL, file, fields]; those of `without`, directories of the root, are left out. */
export function* pages(root, server, without) {
  for (const entry of fs.readdirSync(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath ?? entry.path, entry.name);
    const name = path.relative(root, file);
    if (without.some((directory) => name.startsWith(`${directory}/`))) continue;
    const { mtime, size } = fs.statSync(file);
    yield [
      `/${name}`,
      file,
      {
        Server: server,
        'Content-Type': 'application/octet-stream',
        'Content-Length': String(size),
        'Last-Modified': mtime.toUTCString(),
        ETag: `"${mtime.getTime().toString(16)}-${size.toString(16)}"`,
        'Accept-Ranges': 'bytes',
      },
    ];
  }
}

/** Parts of the site that have too many files for a route each, or are too large to be held in memory. */
export const tooMany = ['many'];
export const large = ['many', 'cold'];
