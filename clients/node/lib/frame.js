// Messages on the wire: frames with a checksum, or lines of JSON.

import { crc32c } from "./crc32c.js";
import { ProtocolError, RequestError, TlsError } from "./errors.js";

export const BINARY = "binary_json";
export const JSONL = "jsonl";
export const PAYLOAD_BYTES_MAX = 16 * 1024 * 1024;

const HEADER_BYTES = 18;
const MAGIC = Buffer.from("RCPX");
const FLAG_CRC = 1;
const FLAG_COMPRESSED = 2;
const FLAGS_KNOWN = 0x0f;

/** JSON text that the server reads as this value. */
export function stringify(value, what = "params") {
  let text;
  try {
    text = JSON.stringify(value, (key, part) => {
      // JSON.stringify would make null of these.
      if (typeof part === "number" && !Number.isFinite(part)) throw new TypeError(`${key || what} is ${part}`);
      return part;
    });
  } catch (error) {
    throw new RequestError(`${what} cannot be sent as JSON: ${error.message}`);
  }
  if (text === undefined) throw new RequestError(`${what} cannot be sent as JSON`);
  return text;
}

/** The payload of a request whose parameters are JSON text already. */
export function request(id, op, params) {
  return Buffer.from(`{"type":"request","id":"${id}","op":${JSON.stringify(op)},"params":${params}}`);
}

/** A message as it goes over the wire. */
export function encode(mode, payload) {
  if (payload.length > PAYLOAD_BYTES_MAX) {
    throw new RequestError(`the request has ${payload.length} bytes; at most ${PAYLOAD_BYTES_MAX} can be sent`);
  }
  if (mode === JSONL) return Buffer.concat([payload, Buffer.from("\n")]);
  const header = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(header);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(FLAG_CRC, 6);
  header.writeUInt32BE(payload.length, 10);
  header.writeUInt32BE(crc32c(payload), 14);
  return Buffer.concat([header, payload]);
}

/** Cuts what arrives into messages. */
export class Decoder {
  constructor() {
    this.mode = BINARY;
    this.chunks = [];
    this.bytes = 0;
    // Fewer bytes than these cannot make a message.
    this.needed = 0;
    // Whether a line ends among the bytes.
    this.lineEnds = false;
  }

  feed(data) {
    this.chunks.push(data);
    this.bytes += data.length;
    if (!this.lineEnds) this.lineEnds = data.includes(10);
  }

  /** The payload of the next message, or undefined if it is not complete. */
  take() {
    if (this.bytes < this.needed || this.bytes === 0) return undefined;
    if (this.mode === JSONL && !this.lineEnds) {
      if (this.bytes <= PAYLOAD_BYTES_MAX + 1) return undefined;
      throw new ProtocolError(`the server sent a line of more than ${PAYLOAD_BYTES_MAX} bytes`);
    }
    const buffer = this.chunks.length === 1 ? this.chunks[0] : Buffer.concat(this.chunks);
    this.chunks = [buffer];
    return this.mode === JSONL ? this.takeLine(buffer) : this.takeFrame(buffer);
  }

  takeFrame(buffer) {
    const start = buffer.subarray(0, 4);
    if (!start.equals(MAGIC.subarray(0, start.length))) throw foreign(buffer);
    if (buffer.length < HEADER_BYTES) return this.wait(HEADER_BYTES);
    const version = buffer.readUInt16BE(4);
    const flags = buffer.readUInt16BE(6);
    const length = buffer.readUInt32BE(10);
    if (version !== 1) throw new ProtocolError(`the server sent a frame of version ${version}; this client speaks 1`);
    if (flags & ~FLAGS_KNOWN || flags & FLAG_COMPRESSED) {
      throw new ProtocolError(`the server sent a frame with unknown flags 0x${flags.toString(16)}`);
    }
    if (length > PAYLOAD_BYTES_MAX) {
      throw new ProtocolError(`the server announced a frame of ${length} bytes; at most ${PAYLOAD_BYTES_MAX} are valid`);
    }
    const begin = HEADER_BYTES + buffer.readUInt16BE(8);
    if (buffer.length < begin + length) return this.wait(begin + length);
    const payload = buffer.subarray(begin, begin + length);
    this.drop(buffer, begin + length);
    if (flags & FLAG_CRC && crc32c(payload) !== buffer.readUInt32BE(14)) {
      throw new ProtocolError("the checksum of a frame does not fit: the data were damaged on the way");
    }
    return payload;
  }

  takeLine(buffer) {
    const end = buffer.indexOf(10);
    const line = buffer.subarray(0, end > 0 && buffer[end - 1] === 13 ? end - 1 : end);
    this.drop(buffer, end + 1);
    return line;
  }

  wait(bytes) {
    this.needed = bytes;
    return undefined;
  }

  drop(buffer, count) {
    const rest = buffer.subarray(count);
    this.chunks = rest.length > 0 ? [rest] : [];
    this.bytes = rest.length;
    this.needed = 0;
    this.lineEnds = rest.includes(10);
  }
}

const UTF8 = new TextDecoder("utf-8", { fatal: true });

/** The JSON object of a message. */
export function parse(payload) {
  let message;
  try {
    message = JSON.parse(UTF8.decode(payload));
  } catch (error) {
    throw new ProtocolError(`the server sent a message that is not valid JSON: ${error.message}`);
  }
  if (message === null || typeof message !== "object" || Array.isArray(message)) {
    throw new ProtocolError("the server sent a message that is not a JSON object");
  }
  return message;
}

function foreign(first) {
  if ((first[0] === 0x15 || first[0] === 0x16) && (first.length < 2 || first[1] === 3)) {
    return new TlsError("the server speaks TLS on this port: connect with the option tls");
  }
  if (first.subarray(0, 4).toString("latin1") === "HTTP") {
    return new ProtocolError("the server speaks HTTP on this port: connect to its port for clients (7401)");
  }
  const shown = JSON.stringify(first.subarray(0, 8).toString("latin1"));
  return new ProtocolError(`the server does not speak RCP on this port; its first bytes are ${shown}`);
}
