// The generated layout, and the one number that only this side needs.
export * from '../wire/layout.generated.js';

/** Opens have no command, since a path does not fit; the kind under which they wait. */
export const OPCODE_OPEN = 32;
