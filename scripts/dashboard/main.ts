// Makes dist/dashboard.html: the page of the admin listener with its style and its script inside, so that it needs nothing else.
//
// `tsx scripts/dashboard/main.ts`, after tsc; `npm run build` does so.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { root } from '../test/command';

const source = (name: string): string => join(root, 'dashboard', name);
const bundled = (entry: string, extra: object): string => {
  const { outputFiles } = buildSync({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    write: false,
    legalComments: 'inline',
    ...extra,
  });
  return (outputFiles?.[0]?.text ?? '').trim();
};

const style = `${bundled(join(root, 'node_modules/uplot/dist/uPlot.min.css'), {})}\n${bundled(source('style.css'), {})}`;
// A string in the script that looks like its end would be it.
const script = bundled(source('main.ts'), { format: 'iife', target: 'es2022', charset: 'utf8' }).replaceAll(
  '</script',
  '<\\/script',
);
const page = readFileSync(source('page.html'), 'utf8')
  .replace('/* style */', () => style)
  .replace('/* script */', () => script);
writeFileSync(join(root, 'dist/dashboard.html'), page);
