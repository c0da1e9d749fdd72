// What a message is on its way: a number, or bytes; and the errors of those that are none.
import { types } from 'node:util';
import { serialize } from 'node:v8';
import { lengthOf } from '../ring/bytes.js';
import { BYTES, NUMBERS, recordBytes } from '../ring/channel-ring.js';
import { ourError } from './errors.js';
import { shown } from './validate.js';

/** The function where the stack of an error begins. */
type Caller = (...given: never[]) => unknown;

/** Checks a message, and makes bytes of one that is a value. Throws where it is not of the kind or larger than the channel. */
export function encode<T>(kind: number, capacity: number, message: T, caller: Caller): T | Uint8Array {
  if (kind === NUMBERS) {
    if (typeof message === 'number') return message;
    throw unfit('a number', message, caller);
  }
  if (kind === BYTES && !types.isUint8Array(message)) throw unfit('a Uint8Array', message, caller);
  const bytes = kind === BYTES ? (message as Uint8Array) : serialized(message, caller);
  const length = lengthOf(bytes);
  if (recordBytes(length) > capacity) {
    const text = `a message of ${length} bytes does not fit into a channel of ${capacity}: make it with a larger capacity, or send parts`;
    throw ourError('ERR_RINGWHEEL_INVALID_OPTION', text, caller);
  }
  return bytes;
}

/** Somebody took an array's bytes away before there was room for them. */
export function resized(length: number, caller: Caller): Error {
  const text = `the array of ${length} bytes was detached or resized while it waited for room: leave it alone until the promise resolves`;
  return ourError('ERR_RINGWHEEL_BUFFER', text, caller);
}

function serialized(message: unknown, caller: Caller): Uint8Array {
  try {
    return serialize(message);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.replace(/\.$/, '') : String(cause);
    const error = ourError('ERR_RINGWHEEL_CLONE', `the message cannot be sent: ${why}; use plain data`, caller);
    error.cause = cause;
    throw error;
  }
}

function unfit(what: string, message: unknown, caller: Caller): Error {
  return ourError('ERR_RINGWHEEL_INVALID_OPTION', `message must be ${what}; got ${shown(message)}`, caller);
}
