// What waits in a task queue, in order: promises to resolve and completions to settle, in a ring that doubles when it is full.

/** Goes on with who waits: without an argument, or with a rejected promise when nothing will run any more. Runs no code of the user's. */
export type Resume = (failed?: Promise<never>) => void;

/** Entries to begin with; a power of two. */
const FIRST = 16;
/** Numbers of a completion: slot, generation, result, second word. */
const NUMBERS = 4;

function nothing(): void {}

/** See the file's head. An entry without a function is a completion. */
export class Ready {
  #resumes: (Resume | undefined)[] = new Array(FIRST).fill(nothing);
  #numbers: Int32Array | undefined = undefined;
  #mask = FIRST - 1;
  #head = 0;
  #tail = 0;

  /** Entries that wait. */
  get length(): number {
    return (this.#tail - this.#head) | 0;
  }

  /** Puts one at the end. */
  push(resume: Resume): void {
    if (this.length > this.#mask) this.#grow();
    this.#resumes[this.#tail & this.#mask] = resume;
    this.#tail = (this.#tail + 1) | 0;
  }

  /** Puts a completion at the end. */
  pushCompletion(slot: number, generation: number, result: number, extra: number): void {
    if (this.length > this.#mask) this.#grow();
    this.#numbers ??= new Int32Array((this.#mask + 1) * NUMBERS);
    const at = this.#tail & this.#mask;
    this.#resumes[at] = undefined;
    const base = at * NUMBERS;
    this.#numbers[base] = slot;
    this.#numbers[base + 1] = generation;
    this.#numbers[base + 2] = result;
    this.#numbers[base + 3] = extra;
    this.#tail = (this.#tail + 1) | 0;
  }

  /** Takes the first one out and goes on with it. Call only when there is one. */
  goOn(finish: Finish, failed?: () => Promise<never>): void {
    const at = this.#head & this.#mask;
    const resume = this.#resumes[at];
    this.#resumes[at] = nothing;
    this.#head = (this.#head + 1) | 0;
    if (resume !== undefined) {
      resume(failed?.());
      return;
    }
    const numbers = this.#numbers as Int32Array;
    const base = at * NUMBERS;
    finish(numbers[base], numbers[base + 1], numbers[base + 2], numbers[base + 3]);
  }

  #grow(): void {
    const size = this.#mask + 1;
    const order = (index: number) => (this.#head + index) & this.#mask;
    const resumes = Array.from({ length: size * 2 }, (_, index) =>
      index < size ? this.#resumes[order(index)] : nothing,
    );
    if (this.#numbers !== undefined) {
      const numbers = new Int32Array(size * 2 * NUMBERS);
      for (let index = 0; index < size; index++) {
        const base = order(index) * NUMBERS;
        numbers.set(this.#numbers.subarray(base, base + NUMBERS), index * NUMBERS);
      }
      this.#numbers = numbers;
    }
    this.#resumes = resumes;
    this.#mask = size * 2 - 1;
    this.#head = 0;
    this.#tail = size;
  }
}

/** Settles the completion of a pending slot. */
export type Finish = (slot: number, generation: number, result: number, extra: number) => void;
