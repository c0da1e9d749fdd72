// The image's HEALTHCHECK, which has no curl: exits with 0 when the admin listener says that the server is well.
import { get } from 'node:http';

const url = process.argv[2] ?? 'http://127.0.0.1:9000/healthz';

/** @param {string} why */
function unwell(why) {
  console.error(`${url}: ${why}`);
  process.exit(1);
}

const asked = get(url, (response) => {
  response.resume();
  if (response.statusCode !== 200) unwell(`status ${response.statusCode}`);
});
asked.on('error', (error) => unwell(error.message));
asked.setTimeout(4000, () => unwell('no answer within 4 seconds'));
