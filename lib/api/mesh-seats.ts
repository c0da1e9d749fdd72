// Places in a mesh that a pool's owner has sent to this member, and those here that wait for one. In one place of the thread, as two
// copies of the package may be loaded: the one that runs the member, and the one that its modules import.

/** A port of a mesh: plain data, as it travels. */
export interface MeshPort {
  /** The other end's number. */
  readonly peer: number;
  readonly memory: SharedArrayBuffer;
  readonly side: 0 | 1;
  /** Whether this end may send, and whether it receives. */
  readonly sends: boolean;
  readonly receives: boolean;
}

/** One member's place in a mesh. */
export interface MeshSeat {
  readonly name: string;
  readonly id: number;
  readonly peers: number;
  readonly ports: readonly MeshPort[];
}

interface Places {
  readonly ready: Map<string, MeshSeat[]>;
  readonly waiting: Map<string, ((seat: MeshSeat) => void)[]>;
}

const KEY = Symbol.for('ringwheel.meshes');

function places(): Places {
  const world = globalThis as { [KEY]?: Places };
  world[KEY] ??= { ready: new Map(), waiting: new Map() };
  return world[KEY];
}

/** A place has come. */
export function seatCame(seat: MeshSeat): void {
  const { ready, waiting } = places();
  const first = waiting.get(seat.name)?.shift();
  if (first !== undefined) first(seat);
  else if (ready.has(seat.name)) ready.get(seat.name)?.push(seat);
  else ready.set(seat.name, [seat]);
}

/** Calls `then` with the next place in a mesh of this name, perhaps at once. Returns what takes that back. */
export function nextSeat(name: string, then: (seat: MeshSeat) => void): () => void {
  const { ready, waiting } = places();
  const seat = ready.get(name)?.shift();
  if (seat !== undefined) {
    then(seat);
    return () => {};
  }
  const line = waiting.get(name) ?? [];
  waiting.set(name, line);
  line.push(then);
  return () => {
    const index = line.indexOf(then);
    if (index >= 0) line.splice(index, 1);
  };
}
