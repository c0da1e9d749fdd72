// What no function of node:fs takes as a path.

/** Arguments that no function takes as a path. */
export const BAD_PATHS: unknown[] = [
  undefined,
  null,
  true,
  5,
  -1,
  1n,
  {},
  [],
  () => {},
  Symbol('x'),
  'a\0b',
  Buffer.from('a\0b'),
  new Uint16Array(2),
  new URL('http://example.org/x'),
  new URL('file://host/x'),
  new URL('file:///a%00b'),
  new URL('file:///a%2Fb'),
];
