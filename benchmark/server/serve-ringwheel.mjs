// Ours: the public FileServer class in a node process, with one executor. Prints one line of JSON when it listens.
import process from 'node:process';

const { ringwheel, way, hello, own, ...options } = JSON.parse(process.argv[2]);
const { FileServer, RouteResponse } = await import(ringwheel);

const server = await FileServer.start({ host: '127.0.0.1', cores: 1, ...options });
// In `own` it is our class: what Node's costs is to be seen beside it.
const Answer = own ? RouteResponse : Response;
if (way === 'route') server.route('/hello', () => new Answer(hello));
process.once('SIGTERM', async () => {
  await server.close();
  process.exit(0);
});
console.log(JSON.stringify({ driver: `${server.driver} (${server.features.join(' ')})` }));
