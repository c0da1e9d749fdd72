// One connection of a soak: bytes go out, answers come in until the server ends it; what is no answer, or takes for ever, is a failure.
import { connect } from 'node:net';

/** One answer. */
export interface Answer {
  readonly status: number;
  readonly head: string;
  readonly body: Buffer;
  /** All of the body came. */
  readonly whole: boolean;
}

/** How long a connection may take: load on a machine is no hang, a minute without an end is. */
const DEADLINE_MS = 60_000;

/** Sends `bytes`, says that nothing more will come, and gives all that came back, once the server has ended too. */
export function exchange(port: number, bytes: Buffer | string): Promise<Buffer> {
  return new Promise((settle, reject) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    const chunks: Buffer[] = [];
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error(`no end after ${DEADLINE_MS} ms: ${shown(bytes)}`));
    }, DEADLINE_MS);
    socket.on('data', (chunk) => chunks.push(chunk));
    // A reset after a refusal takes nothing away that has come: what is missing is found when the answers are read.
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(timer);
      settle(Buffer.concat(chunks));
    });
    socket.on('end', () => socket.end());
    socket.end(bytes);
  });
}

/** The answers in what came, to requests that were no HEAD. */
export function answersOf(bytes: Buffer): Answer[] {
  const answers: Answer[] = [];
  let rest = bytes;
  while (rest.length > 0) {
    const end = rest.indexOf('\r\n\r\n');
    const head = rest.subarray(0, end < 0 ? rest.length : end).toString('latin1');
    const status = /^HTTP\/1\.1 (\d{3}) [ -~]+(\r\n|$)/.exec(head);
    if (status === null || end < 0) throw new Error(`no answer: ${shown(rest)}`);
    const code = Number(status[1]);
    const bodiless = code === 304 || code === 204;
    const length = bodiless ? 0 : Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? Number.NaN);
    if (Number.isNaN(length)) throw new Error(`no length: ${shown(rest)}`);
    const body = rest.subarray(end + 4, end + 4 + length);
    answers.push({ status: code, head, body, whole: body.length === length });
    rest = rest.subarray(end + 4 + length);
  }
  return answers;
}

/** For messages. */
export function shown(bytes: Buffer | string): string {
  return JSON.stringify(bytes.toString('latin1').slice(0, 400));
}
