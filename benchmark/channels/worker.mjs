// One contender of `channels`, in a process of its own: messages to a worker thread that sends each back, so many on the way at
// once. Checks each answer, and reports one line of JSON.
import process from 'node:process';
import { isMainThread, MessageChannel, Worker, workerData } from 'node:worker_threads';

const { mode, kind, bytes, depth, seconds, ringwheel, port } = isMainThread ? JSON.parse(process.argv[2]) : workerData;

/** Sends back whatever comes. */
async function echo() {
  if (mode === 'MessageChannel') {
    port.on('message', (message) => port.postMessage(message));
    return;
  }
  const { Channel } = await import(ringwheel);
  const end = Channel.open(port);
  // There is room for all that is on the way.
  if (mode === 'ringwheel') end.listen((message) => end.trySend(message));
  else for await (const message of end) end.trySend(message);
}

async function pair() {
  if (mode === 'MessageChannel') {
    const { port1, port2 } = new MessageChannel();
    return { here: port1, there: port2, move: [port2] };
  }
  const { Channel } = await import(ringwheel);
  const [here, there] = Channel.pair({ kind });
  return { here, there, move: [] };
}

const message = (index) => (kind === 'numbers' ? index : new Uint8Array(bytes).fill(index));
const matches = (got, index) =>
  kind === 'numbers' ? got === index : got.length === bytes && got[0] === (index & 0xff);

/** Round trips until the time is over; each answer sends the next message. */
async function run(here, milliseconds) {
  const end = performance.now() + milliseconds;
  const begun = performance.now();
  let [sent, received] = [0, 0];
  const answered = (got) => {
    if (!matches(got, received)) throw new Error(`message ${received} came back as ${got}`);
    received++;
    // The clock is read now and then only: it would cost as much as a message.
    return (received & 63) !== 0 || performance.now() < end;
  };
  let open = true;
  const send = mode === 'MessageChannel' ? (value) => here.postMessage(value) : (value) => here.trySend(value);
  /** False at the end. */
  const next = (got) => {
    open = answered(got) && open;
    if (!open) return received !== sent;
    send(message(sent++));
    return true;
  };
  for (let index = 0; index < depth; index++) send(message(sent++));
  if (mode === 'for await') {
    for await (const got of here) if (!next(got)) break;
  } else {
    await new Promise((resolve) => {
      onMessage = (got) => {
        if (!next(got)) resolve();
      };
    });
  }
  return { received, took: performance.now() - begun };
}

/** Both listen in the same way. */
let onMessage = () => {};

if (isMainThread) {
  const { here, there, move } = await pair();
  if (mode === 'MessageChannel') here.on('message', (got) => onMessage(got));
  else if (mode === 'ringwheel') here.listen((got) => onMessage(got));
  const data = { mode, kind, bytes, depth, seconds, ringwheel, port: there };
  const worker = new Worker(new URL(import.meta.url), { workerData: data, transferList: move });
  await run(here, Math.min(300, seconds * 500));
  const cpu = process.cpuUsage();
  const { received, took } = await run(here, seconds * 1000);
  const { user, system } = process.cpuUsage(cpu);
  console.log(JSON.stringify({ 'round trip': (took * 1000) / received, CPU: (user + system) / received }));
  here.close();
  await worker.terminate();
} else {
  await echo();
}
