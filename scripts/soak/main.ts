// `npm run soak -- [--requests N] [--seconds N] [--seed N] [--driver NAME]`: a soak of the file server, as long as one likes.
import { parseArgs } from 'node:util';
import { Progress, say } from '../../lib/cli/progress';
import { type SoakReport, soak } from './soak';

const USAGE = `npm run soak -- [--requests N] [--seconds N] [--seed N] [--driver auto|uring|poll]

Random, broken and climbing requests, and files that are replaced, removed, truncated and rewritten while they are sent. Each answer is looked at:
nothing from outside of the root, no undeserved 5xx, each body what its file held within the time of trust. The first that is wrong ends it with 1.

--requests  default 1000000
--seconds   default 3600
--seed      default: another each time; printed, so that a failure can be had again (as far as the machine's timing allows)
`;

function whole(name: string, text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value < 2 ** 31) return value;
  process.stderr.write(`ringwheel: --${name} is ${text}; allowed: a whole number from 1 to ${2 ** 31 - 1}\n\n${USAGE}`);
  process.exit(2);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      requests: { type: 'string', default: '1000000' },
      seconds: { type: 'string', default: '3600' },
      seed: { type: 'string', default: String(1 + (Date.now() % 1_000_000)) },
      driver: { type: 'string', default: 'auto' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return void process.stdout.write(USAGE);
  const [requests, seed] = [whole('requests', values.requests), whole('seed', values.seed)];
  say(`seed ${seed}`);
  const bar = new Progress(100);
  let percent = 0;
  const progress = (report: SoakReport): void => {
    const now = Math.min(99, Math.floor((100 * report.requests) / requests));
    const what = `${report.requests} requests, ${report.compared} bodies compared, ${report.changes} changes`;
    if (now === percent) bar.again(what);
    for (; percent < now; percent += 1) bar.step(what);
  };
  const driver = values.driver as 'auto' | 'uring' | 'poll';
  const report = await soak({ requests, seconds: whole('seconds', values.seconds), seed, driver, progress });
  bar.end();
  process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
}

main().catch((error) => {
  process.stderr.write(`\nringwheel: ${(error as Error).message}\n`);
  process.exit(1);
});
