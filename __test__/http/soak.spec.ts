// A short soak on each driver; `npm run soak` is the long one.
import test from 'ava';
import { soak } from '../../scripts/soak/soak';

test('random and broken requests, and files that change while they are sent: every answer is right', async (t) => {
  t.timeout(300_000);
  const report = await soak({ seed: 20_261_129, requests: 3000, seconds: 120 });
  t.true(report.requests >= 300 && report.compared >= 50, JSON.stringify(report));
  for (const status of [200, 400, 404]) t.true((report.statuses[status] ?? 0) > 0, JSON.stringify(report));
});
