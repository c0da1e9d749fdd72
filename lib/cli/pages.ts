// Pages that a site names and that are not there: for `serve --check`. A start does not ask, as they may come later.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { quoted } from '../api/errors.js';
import type { FileServerOptions, SiteOptions } from '../api/server-options.js';

/** A sentence for each page of `single` and `errorPages` that no root has. */
export async function missingPages(options: FileServerOptions): Promise<string[]> {
  const sites = [options, ...(options.sites ?? [])];
  const found = await Promise.all(
    sites.map((site, index) => missingOf(site, index === 0 ? '' : `sites[${index - 1}].`)),
  );
  return found.flat();
}

async function missingOf(site: SiteOptions, where: string): Promise<string[]> {
  const { single, errorPages = {} } = site;
  const named: [string, string][] = Object.entries(errorPages).map(([status, page]) => [`errorPages[${status}]`, page]);
  if (single) named.unshift(['single', single === true ? 'index.html' : single]);
  const told = await Promise.all(
    named.map(async ([option, page]) => {
      const places = placesOf(site, page.replace(/^\/+/, ''));
      const there = await Promise.all(places.map(isFile));
      if (there.includes(true)) return [];
      return [`${where}${option} is ${quoted(page)}, and there is no file ${places.map(quoted).join(' nor ')}`];
    }),
  );
  return told.flat();
}

/** Where a page may lie: the longest mount that fits has it, or one of the roots. */
function placesOf({ root, mounts = {} }: SiteOptions, page: string): string[] {
  const [mount] = Object.keys(mounts)
    .filter((path) => `/${page}`.startsWith(path))
    .sort((one, other) => other.length - one.length);
  if (mount !== undefined) return [join(mounts[mount] as string, page.slice(mount.length - 1))];
  return [root].flat().map((directory) => join(directory, page));
}

async function isFile(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found?.isFile() === true;
}
