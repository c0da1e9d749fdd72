// A client that speaks TLS with a server over a site, for specs of what is not about TLS.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import type { ExecutionContext } from 'ava';
import type { FileServerOptions } from '../../index';
import { root as checkout } from './command';
import { Client, serverOf } from './http';

/** Serves `root` over HTTPS and connects to it. */
export async function secure(
  t: ExecutionContext,
  root: string,
  options: Partial<FileServerOptions> = {},
): Promise<Client> {
  const [cert, key] = ['cert', 'key'].map((kind) => join(checkout, `__test__/support/tls/localhost.${kind}.pem`));
  const tls = { cert: cert as string, key: key as string };
  const server = await serverOf(t, root, { tls, ...options });
  const ca = readFileSync(tls.cert);
  const socket = connect({ host: '127.0.0.1', servername: 'localhost', ca, port: server.port });
  t.teardown(() => socket.destroy());
  await new Promise<void>((settle, reject) => socket.once('secureConnect', settle).once('error', reject));
  return Client.over(socket);
}
