// A client that speaks TLS with a server over a site, for specs of what is not about TLS.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import type { ExecutionContext } from 'ava';
import type { FileServerOptions } from '../../index';
import { root as checkout } from './command';
import { Client, serverOf } from './http';

/** A file of `support/tls`. */
export const fixture = (name: string): string => join(checkout, '__test__/support/tls', name);

/** A certificate and its key. */
export const pair = (name: string) => ({ cert: fixture(`${name}.cert.pem`), key: fixture(`${name}.key.pem`) });

/** Those of most specs. */
export const LOCALHOST = pair('localhost');

/** Serves `root` over HTTPS and connects to it. */
export async function secure(
  t: ExecutionContext,
  root: string,
  options: Partial<FileServerOptions> = {},
): Promise<Client> {
  return secured(t, (await serverOf(t, root, { tls: LOCALHOST, ...options })).port);
}

/** A connection to a server that has the certificate of most specs. */
export async function secured(t: ExecutionContext, port: number): Promise<Client> {
  const ca = readFileSync(LOCALHOST.cert);
  const socket = connect({ host: '127.0.0.1', servername: 'localhost', ca, port });
  t.teardown(() => socket.destroy());
  await new Promise<void>((settle, reject) => socket.once('secureConnect', settle).once('error', reject));
  return Client.over(socket);
}
