// One contender of `files`, in a process of its own: does its task once and reports one line of JSON. Node, bun and deno run it as it is.
import process from 'node:process';

const { suite, task, way, ...given } = JSON.parse(process.argv[2]);

try {
  const { [task]: ways } = await import(`./${suite}.mjs`);
  console.log(JSON.stringify(await ways[way](given)));
  process.exit(0);
} catch (error) {
  console.error(error?.stack ?? error);
  process.exit(1);
}
