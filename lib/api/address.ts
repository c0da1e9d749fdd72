// Addresses as people and URLs write them.

/** A host and its port, an IPv6 address in brackets. @internal */
export function authorityOf(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Where a listener is reached from this machine: for `0.0.0.0` and `::` that is the loopback address. @internal */
export function reachableAt(host: string, port: number): string {
  return authorityOf(host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host, port);
}
