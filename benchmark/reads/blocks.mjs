// The file that is read: block i is a pseudo-random sequence that starts from i, so that any block read can be checked.
// Plain JavaScript without imports: node, bun and deno all run it as it is.

/** Bytes of one block, and of one read. */
export const blockBytes = 4096;

/** The first word of block `index`: all a hot loop has time to check. */
export function firstWord(index) {
  return Math.imul(index + 1, 0x9e3779b1) >>> 0;
}

/** Writes block `index` into `words`, 1024 of them. */
export function fillBlock(words, index) {
  let word = firstWord(index) || 1;
  words[0] = firstWord(index);
  for (let at = 1; at < 1024; at++) {
    word ^= word << 13;
    word ^= word >>> 17;
    word ^= word << 5;
    words[at] = word;
  }
}

/** Throws when `words` are not block `index`, whole. */
export function checkBlock(words, index) {
  const expected = new Uint32Array(1024);
  fillBlock(expected, index);
  for (let at = 0; at < 1024; at++) {
    if (words[at] !== expected[at])
      throw new Error(`wrong bytes: word ${at} of block ${index} is ${words[at]}, not ${expected[at]}`);
  }
}

/** A generator of block numbers below `blocks`. */
export function blockNumbers(blocks, seed) {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % blocks;
  };
}
