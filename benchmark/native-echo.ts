// One echo server on its core, and the load on the other one: a sample of the echo rows of `bench native`.
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { ForeignCpu, treeCpu } from './harness/cpu';
import type { BenchOptions } from './harness/options';
import { report, start, stop, tail } from './harness/processes';
import type { Contender } from './harness/rounds';

/** Who serves, and what it is sent. */
interface Echo {
  name: string;
  command: string;
  /** Its first argument. */
  what: string;
  /** The program of the load. */
  load: string;
  bytes: number;
  connections: number;
}

const startTimeoutMs = 20_000;

/** Starts the server, loads it once, ends it. The load compares every byte. */
export function echoContender(echo: Echo, options: BenchOptions): Contender {
  return {
    name: echo.name,
    async sample() {
      const others = new ForeignCpu();
      const server = start({ command: echo.command, arguments: [echo.what], core: options.core });
      let said = '';
      server.stderr?.setEncoding('utf8').on('data', (text: string) => {
        said = (said + text).slice(-10_000);
      });
      try {
        const port = await listening(server, () => said);
        const given = [`127.0.0.1:${port}`, echo.bytes, echo.connections, options.seconds, server.pid].map(String);
        const load = { command: echo.load, arguments: given, core: options.otherCore };
        const values = await report<Record<string, number>>(load, (options.seconds * 2 + 30) * 1000);
        return { values, foreign: others.foreign(server.pid === undefined ? 0 : treeCpu(server.pid)) };
      } catch (error) {
        throw new Error(
          `${error instanceof Error ? error.message : error}${said === '' ? '' : `; it said: ${tail(said)}`}`,
        );
      } finally {
        await stop(server);
      }
    },
  };
}

/** The port that the server says. Rejects when it ends, or says nothing in time. */
async function listening(server: ReturnType<typeof start>, said: () => string): Promise<number> {
  if (server.stdout === null) throw new Error('the server has no output');
  const lines = createInterface({ input: server.stdout });
  const patience = AbortSignal.timeout(startTimeoutMs);
  try {
    const ended = once(server, 'exit', { signal: patience }).then(([code]) => {
      throw new Error(`the server ended with ${code}: ${tail(said())}`);
    });
    ended.catch(() => {}); // Its end after the sample is no news.
    const [line] = (await Promise.race([once(lines, 'line', { signal: patience }), ended])) as [string];
    const { port } = JSON.parse(line) as { port?: number };
    if (port === undefined) throw new Error(`the server said ${line} instead of its port`);
    return port;
  } finally {
    lines.close();
    server.stdout.resume();
  }
}
