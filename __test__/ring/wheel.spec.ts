// The wheel against a sorted list: whatever is set, cancelled and moved, and however time jumps, the same timers fire.
import test from 'ava';
import { Wheel } from '../../lib/ring/wheel';

interface Expected {
  entry: number;
  generation: number;
  deadline: number;
}

/** The same numbers in every run. */
function randomOf(seed: number): (limit: number) => number {
  let state = seed | 1;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return ((state >>> 0) / 2 ** 32) * limit;
  };
}

/** Distances that lie on, before and behind the edges of the levels, and far beyond the last. */
function distance(random: (limit: number) => number): number {
  const kind = Math.floor(random(6));
  if (kind === 0) return random(3);
  if (kind === 1) return random(600);
  if (kind === 2) return Math.floor(random(70_000));
  if (kind === 3)
    return Math.max(
      0,
      2 ** (8 * (1 + Math.floor(random(4)))) * (1 + Math.floor(random(3))) + Math.floor(random(7)) - 3,
    );
  if (kind === 4) return random(2 ** 34);
  return 2 ** 53 - 1;
}

for (let seed = 1; seed <= 60; seed++) {
  test(`a wheel fires what a sorted list would (${seed})`, (t) => {
    const random = randomOf(seed * 7919);
    let now = random(4) < 1 ? 0 : random(2 ** 40);
    const wheel = new Wheel(now);
    const live = new Map<number, Expected>();
    const names = new Set<string>();
    const ended: Expected[] = [];
    let number = 0;
    const pick = (): [number, Expected] | undefined => {
      const all = [...live];
      return all[Math.floor(random(all.length))];
    };
    const fire = (most: number): void => {
      let last = Number.NEGATIVE_INFINITY;
      for (let fired = 0; fired < most; fired++) {
        const entry = wheel.due(now);
        if (entry === -1) {
          // All that is due has fired, or the wheel says itself that it has not come to an end.
          if (wheel.next() !== Number.NEGATIVE_INFINITY) {
            for (const { deadline } of live.values()) t.true(deadline > now, `${deadline} was left over at ${now}`);
          }
          return;
        }
        const which = wheel.whatOf(entry) as number;
        const expected = live.get(which) as Expected;
        t.is(expected.entry, entry);
        t.true(expected.deadline <= now, `${expected.deadline} fired early at ${now}`);
        t.true(Math.floor(expected.deadline) >= Math.floor(last), 'out of order');
        last = Math.max(last, expected.deadline);
        wheel.remove(entry);
        live.delete(which);
        ended.push(expected);
      }
    };
    for (let step = 0; step < 400; step++) {
      const what = random(20);
      if (what < 8) {
        const deadline = now + distance(random);
        const entry = wheel.insert(deadline, number, 0);
        const generation = wheel.generationOf(entry);
        const name = `${entry} ${generation}`;
        t.false(names.has(name), 'a name was given out twice');
        names.add(name);
        live.set(number++, { entry, generation, deadline });
      } else if (what < 11) {
        const picked = pick();
        if (picked !== undefined) {
          t.true(wheel.has(picked[1].entry, picked[1].generation));
          wheel.remove(picked[1].entry);
          live.delete(picked[0]);
          ended.push(picked[1]);
        }
      } else if (what < 14) {
        const picked = pick();
        if (picked !== undefined) {
          picked[1].deadline = now + distance(random);
          wheel.move(picked[1].entry, picked[1].deadline);
        }
      } else {
        now += random(3) < 2 ? random(700) : distance(random) % 2 ** 36;
        fire(random(4) < 1 ? Math.floor(random(4)) : Number.POSITIVE_INFINITY);
      }
      t.is(wheel.live, live.size);
      const first = Math.min(...[...live.values()].map(({ deadline }) => deadline));
      t.true(wheel.next() <= first, `the loop would sleep to ${wheel.next()}, past ${first}`);
    }
    for (const { entry, generation } of ended) t.false(wheel.has(entry, generation));
    now = 2 ** 54;
    for (let turns = 0; wheel.live > 0 && turns < 10; turns++) fire(Number.POSITIVE_INFINITY);
    t.is(live.size, 0);
    t.is(wheel.next(), Number.POSITIVE_INFINITY);
  });
}

test('one timer has the loop woken once: a look at its time finds it', (t) => {
  for (const ms of [1000, 65_536, 2 ** 24 + 5, 2 ** 31]) {
    const wheel = new Wheel(12.25);
    const entry = wheel.insert(12.25 + ms, 'x', 0);
    t.is(wheel.next(), 12.25 + ms);
    t.is(wheel.due(wheel.next() - 0.001), -1);
    t.is(wheel.due(12.25 + ms), entry);
  }
});

test('a crowded slot is moved in bounded pieces', (t) => {
  const wheel = new Wheel(0);
  for (let index = 0; index < 40_000; index++) wheel.insert(30_000, index, 0);
  let looks = 0;
  while (wheel.due(30_000) === -1) {
    t.is(wheel.next(), Number.NEGATIVE_INFINITY);
    looks++;
  }
  t.is(looks, 2); // 16,384 and 16,384; the rest with the first that is due.
  for (let index = 0; index < 40_000; index++) {
    const entry = wheel.due(30_000);
    t.is(wheel.whatOf(entry), index); // Timers of one deadline keep their order.
    wheel.remove(entry);
  }
});

test('a million cancelled timers keep no memory and no name', (t) => {
  const wheel = new Wheel(0);
  const first = wheel.insert(5, undefined, 0);
  const generation = wheel.generationOf(first);
  const entries = Array.from({ length: 1_000_000 }, (_, index) => wheel.insert(30_000 + index, undefined, 0));
  for (const entry of entries) wheel.remove(entry);
  t.true(wheel.capacity > 1_000_000);
  wheel.remove(first);
  t.true(wheel.capacity < 10_000, String(wheel.capacity));
  for (let index = 0; index < 1024; index++) {
    const entry = wheel.insert(9, undefined, 0);
    t.false(wheel.has(first, generation));
    t.true(wheel.generationOf(entry) > generation);
  }
});

test('an entry whose numbers are used up is not given out again', (t) => {
  const wheel = new Wheel(0, 0x7fff_ffff);
  const entry = wheel.insert(1, undefined, 0);
  t.is(wheel.generationOf(entry), 0x7fff_ffff);
  wheel.remove(entry);
  for (let index = 0; index < 3000; index++) t.not(wheel.insert(1, undefined, 0), entry);
});

test('timers of one millisecond lie together, whatever order they are set in', (t) => {
  const wheel = new Wheel(0);
  const of = new Map<number, number[]>();
  for (let index = 0; index < 6400; index++) {
    const ms = 1 + ((index * 37) % 100);
    of.set(ms, [...(of.get(ms) ?? []), wheel.insert(ms + 0.5, undefined, 0)]);
  }
  for (const [ms, entries] of of) {
    const lines = new Set(entries.map((entry) => entry >> 6)); // Blocks of 16 entries of 4 words.
    t.is(lines.size, 4, `64 timers of millisecond ${ms}`);
  }
});

test('a timer now and then does not leave memory with each millisecond', (t) => {
  const wheel = new Wheel(0);
  const { capacity } = wheel;
  for (let now = 0; now < 5000; now++) {
    const entry = wheel.insert(now + 0.5, undefined, 0);
    if (now % 3 === 0) wheel.remove(entry);
    else {
      t.is(wheel.due(now + 0.5), entry);
      wheel.remove(entry);
    }
  }
  t.is(wheel.capacity, capacity);
});
