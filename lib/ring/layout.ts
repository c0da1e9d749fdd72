// The generated layout, and the two words of its spare header lines that only an embedded executor uses.
export * from '../wire/layout.generated.js';

/** 1 while pending work is to keep the process alive. Ours. (crates/executor/src/bridge/keep.rs reads it.) */
export const KEEP_WORD = 80;
/** 1 while the event loop is held. Rust's. */
export const HELD_WORD = 96;
/** Opens have no command, since a path does not fit; the kind under which they wait. */
export const OPCODE_OPEN = 32;
