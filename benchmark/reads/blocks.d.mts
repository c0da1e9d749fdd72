// Types of blocks.mjs, which stays plain JavaScript because node, bun and deno run it as it is.
export const blockBytes: number;
export function firstWord(index: number): number;
export function fillBlock(words: Uint32Array, index: number): void;
export function checkBlock(words: Uint32Array, index: number): void;
export function blockNumbers(blocks: number, seed: number): () => number;
