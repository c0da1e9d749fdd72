// Ours: the public FileServer class in a node process, with one executor. Prints one line of JSON when it listens.
import process from 'node:process';

const { ringwheel, way, hello, ...options } = JSON.parse(process.argv[2]);
const { FileServer } = await import(ringwheel);

function absent(reason) {
  console.log(JSON.stringify({ absent: reason }));
  process.exit(0);
}

if (way === 'route' && FileServer.prototype.route === undefined) absent('this build has no server.route');
const server = await FileServer.start({ host: '127.0.0.1', cores: 1, ...options });
if (way === 'route') await server.route('/hello', () => new Response(hello));
process.once('SIGTERM', async () => {
  await server.close();
  process.exit(0);
});
console.log(JSON.stringify({ driver: `${server.driver} (${server.features.join(' ')})` }));
