// Ours: the public FileServer class in a node process, with one executor. Prints one line of JSON when it listens.
import process from 'node:process';

const { ringwheel, root, port } = JSON.parse(process.argv[2]);
const { FileServer } = await import(ringwheel);
const server = await FileServer.start({ root, host: '127.0.0.1', port, cores: 1 });
process.once('SIGTERM', async () => {
  await server.close();
  process.exit(0);
});
console.log(JSON.stringify({ port: server.port, driver: `${server.driver} (${server.features.join(' ')})` }));
