// One connection that many calls share: their requests are written together, answers come in any order.

import net from "node:net";
import tls from "node:tls";
import { BINARY, Decoder, encode, parse, request, stringify } from "./frame.js";
import { timerMs } from "./options.js";
import { ConnectError, ConnectionLost, ProtocolError, RstmdbError, TlsError, fromWire } from "./errors.js";

// The server stops reading while it works on 1024 requests of a connection. A PING after that many proves nothing.
const ASKABLE_BEHIND_MAX = 1000;
// A watch stops reading the socket while this much waits for its consumer; the server then waits.
const PUSHED_MAX = 256;
const PUSHED_BYTES_MAX = 4 * 1024 * 1024;
const KEEPALIVE_MS = 10_000;
const WRITE_BYTES = 256 * 1024;

const now = () => performance.now();

export class Connection {
  constructor(address, secure) {
    this.address = address;
    /** Why it cannot be used any more. */
    this.lost = undefined;
    /** New calls should go elsewhere; those that wait still get their answers. */
    this.retired = false;
    /** How many times data have arrived, and when last. */
    this.heard = 0;
    this.heardAt = now();
    /** When the last PING for a sign of life was sent. */
    this.askedAt = undefined;
    /** What HELLO has agreed on, and what INFO said. */
    this.features = new Set();
    this.info = {};
    this.mode = BINARY;
    this.decoder = new Decoder();
    this.nextId = 0;
    this.waiting = new Map();
    this.unsent = [];
    this.flushing = false;
    this.full = false;
    this.patience = undefined;
    this.watcher = undefined;
    this.pushed = [];
    this.pushedBytes = 0;
    this.arrived = undefined;
    this.coming = undefined;
    this.opened = new Promise((resolve, reject) => {
      this.opening = { resolve, reject };
    });
    this.gone = new Promise((resolve) => {
      this.socket = secure
        ? tls.connect({ ...secure, host: address.host, port: address.port, servername: serverName(address, secure) })
        : net.connect({ host: address.host, port: address.port });
      this.socket.once("close", resolve);
    });
    this.socket.setNoDelay(true);
    this.socket.setKeepAlive(true, KEEPALIVE_MS);
    this.socket.once(secure ? "secureConnect" : "connect", () => this.opening.resolve());
    this.socket.on("data", (data) => this.take(data));
    this.socket.on("drain", () => {
      this.full = false;
      this.flush();
    });
    this.socket.on("error", (error) => this.fail(whyLost(error, secure)));
    this.socket.on("close", () => this.fail(new ConnectionLost("closed by the server")));
  }

  take(data) {
    this.heard += 1;
    this.heardAt = now();
    this.decoder.feed(data);
    try {
      while (this.lost === undefined) {
        const payload = this.decoder.take();
        if (payload === undefined) return;
        this.accept(parse(payload), payload.length);
      }
    } catch (error) {
      this.fail(error instanceof RstmdbError ? error : new ProtocolError(error.message));
    }
  }

  /** How messages are sent and read from the next one on. */
  useMode(mode) {
    this.mode = mode;
    this.decoder.mode = mode;
  }

  /** Queues a request. It leaves at the loop's next turn, with all that were queued by then. */
  enqueue(op, params) {
    if (this.lost !== undefined) throw this.lost;
    const id = String(this.nextId);
    const message = encode(this.mode, request(id, op, params));
    this.nextId += 1;
    const pending = { connection: this, id, message, sent: false, heard: this.heard, done: undefined };
    pending.outcome = new Promise((resolve) => {
      pending.done = resolve;
    });
    this.waiting.set(id, pending);
    this.unsent.push(pending);
    this.flushSoon();
    this.watchForSilence();
    return pending;
  }

  /**
   * Waits for the answer, at most so long: `{result, meta}`, `{error, meta}` (the server's), `{lost, sent}` or
   * `{expired: true, sent}`, also when the signal aborts.
   */
  async outcomeOf(pending, ms, signal) {
    const end = () => {
      pending.done({ expired: true, sent: pending.sent });
      this.forget(pending);
    };
    const timer = setTimeout(end, timerMs(ms));
    signal?.addEventListener("abort", end);
    try {
      return await pending.outcome;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
    }
  }

  /** Sends one request and waits for its result. */
  async request(op, params, ms) {
    const outcome = await this.outcomeOf(this.enqueue(op, stringify(params)), ms);
    if (outcome.lost) throw outcome.lost;
    if (outcome.expired) throw new ConnectionLost(`no answer to ${op} in time`);
    if (outcome.error) throw fromWire(outcome.error);
    return outcome.result;
  }

  /** The caller no longer waits for this answer. A request that is not sent yet is never sent. */
  forget(pending) {
    this.waiting.delete(pending.id);
    if (!pending.sent) pending.message = undefined;
    this.endIfRetired();
  }

  /** Whether new calls may be queued. */
  get usable() {
    return this.lost === undefined && !this.retired;
  }

  /** Sends new calls elsewhere. The connection ends once the last call that waits has its answer. */
  retire() {
    this.retired = true;
    this.endIfRetired();
  }

  /** Ends the connection; every call that waits gets this reason. */
  fail(error) {
    if (this.lost !== undefined) return;
    this.lost = error;
    clearTimeout(this.watcher);
    for (const pending of this.waiting.values()) pending.done({ lost: error, sent: pending.sent });
    this.waiting.clear();
    this.unsent = [];
    this.opening.reject(error);
    // A caller need not wait for it.
    this.opened.catch(() => {});
    this.announce();
    this.socket.destroy();
  }

  /** Lets the server end the connection in order, as far as it still listens. */
  sayBye() {
    if (this.lost !== undefined || this.full || this.socket.connecting) return;
    this.flush();
    this.socket.write(encode(this.mode, request("bye", "BYE", "{}")));
  }

  /** Closes the socket, after what was written has left or this time has passed. */
  async end(ms) {
    if (this.lost !== undefined) return;
    this.socket.end();
    await within(this.gone, ms);
    this.socket.destroy();
  }

  flushSoon() {
    if (this.flushing) return;
    this.flushing = true;
    setImmediate(() => {
      this.flushing = false;
      this.flush();
    });
  }

  flush() {
    if (this.lost !== undefined) return;
    const messages = [];
    let bytes = 0;
    let count = 0;
    // More than the socket wants at once stays here, where it still counts as not sent.
    while (count < this.unsent.length && !this.full && bytes < WRITE_BYTES) {
      const pending = this.unsent[count];
      count += 1;
      if (pending.message === undefined) continue;
      messages.push(pending.message);
      bytes += pending.message.length;
      pending.sent = true;
      pending.message = undefined;
    }
    this.unsent.splice(0, count);
    if (messages.length > 0) this.full = !this.socket.write(Buffer.concat(messages)) || this.full;
    if (this.unsent.length > 0 && !this.full) this.flushSoon();
  }

  accept(message, bytes) {
    if (message.type === "response") {
      this.answer(message);
    } else if (message.type === "event" || message.type === "progress" || message.type === "end") {
      this.pushed.push({ message, bytes });
      this.pushedBytes += bytes;
      if (this.pushed.length >= PUSHED_MAX || this.pushedBytes >= PUSHED_BYTES_MAX) this.socket.pause();
      this.announce();
    }
  }

  answer(message) {
    const { id, status, result, error, meta } = message;
    if (id === "" && status === "error") {
      // The server refuses the connection as a whole.
      this.fail(fromWire(error));
      return;
    }
    const pending = this.waiting.get(id);
    if (pending === undefined) return;
    if (status === "ok" && isObject(result)) {
      pending.done({ result, meta: isObject(meta) ? meta : {} });
    } else if (status === "error" && isObject(error)) {
      pending.done({ error, meta: isObject(meta) ? meta : {} });
    } else {
      throw new ProtocolError(`the server sent a response with status ${JSON.stringify(status)} and no content`);
    }
    this.waiting.delete(id);
    this.endIfRetired();
  }

  endIfRetired() {
    if (this.retired && this.waiting.size === 0) this.fail(new ConnectionLost("the client left this node for another one"));
  }

  /** The next event, progress or end, if one has arrived. */
  popPushed() {
    const next = this.pushed.shift();
    if (next === undefined) return undefined;
    this.pushedBytes -= next.bytes;
    if (this.pushed.length < PUSHED_MAX / 2 && this.pushedBytes < PUSHED_BYTES_MAX && this.socket.isPaused()) {
      this.socket.resume();
    }
    return next.message;
  }

  /** Waits until something has been pushed, the connection is lost, or the time is over. */
  async arrival(ms) {
    if (this.pushed.length > 0 || this.lost !== undefined) return;
    if (this.arrived === undefined) {
      // All who wait share it.
      this.coming = new Promise((resolve) => {
        this.arrived = resolve;
      });
    }
    await within(this.coming, ms);
  }

  announce() {
    this.arrived?.();
    this.arrived = undefined;
  }

  // A server that has gone silent while calls wait: a stopped process, a host without power, a network that drops all
  // packets. None of these closes the connection.

  /** How long the server may send nothing while calls wait; undefined: until each call's own deadline. */
  bePatient(ms) {
    this.patience = ms;
    this.watchForSilence();
  }

  watchForSilence() {
    if (this.patience === undefined || this.watcher !== undefined || this.waiting.size === 0) return;
    this.watcher = setTimeout(() => this.check(this.heard, false), this.patience / 2);
  }

  check(heard, asked) {
    this.watcher = undefined;
    if (this.lost !== undefined || this.patience === undefined || this.waiting.size === 0) return;
    if (heard !== this.heard || this.full || this.waiting.size > ASKABLE_BEHIND_MAX) {
      this.watchForSilence();
    } else if (asked) {
      this.fail(new ConnectionLost("the server has sent nothing for too long"));
    } else {
      // A server that is only slow, for example during an election, answers a PING at once.
      this.askForLife();
      this.watcher = setTimeout(() => this.check(heard, true), this.patience);
    }
  }

  /** Sends a PING whose answer no call takes; that data arrive is enough. */
  askForLife() {
    if (this.lost !== undefined) return;
    this.flush();
    this.socket.write(encode(this.mode, request("ping", "PING", "{}")));
    this.askedAt = now();
  }
}

/** Waits for a promise, but no longer than this. Whether it was in time. */
export async function within(promise, ms) {
  let timer;
  const over = new Promise((resolve) => {
    timer = setTimeout(() => resolve(false), timerMs(ms));
  });
  try {
    return await Promise.race([promise.then(() => true), over]);
  } finally {
    clearTimeout(timer);
  }
}

function isObject(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

function serverName(address, secure) {
  const name = secure.serverName ?? address.host;
  // An address has no place in the greeting; the certificate is checked against it all the same.
  return net.isIP(name) ? "" : name;
}

function whyLost(error, secure) {
  const code = typeof error.code === "string" ? error.code : "";
  if (code === "ERR_SSL_WRONG_VERSION_NUMBER" || code === "EPROTO" && /wrong version|packet length/i.test(error.message)) {
    return new TlsError("the server does not speak TLS on this port: connect without TLS, or to another port");
  }
  const certificate = /CERT|SELF_SIGNED|UNABLE_TO|ERR_TLS|ERR_SSL|HOSTNAME|alert/i.test(`${code} ${error.message}`);
  if (secure && certificate) return new TlsError(error.message);
  const refused = ["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "ETIMEDOUT"].includes(code);
  return refused ? new ConnectError(error.message) : new ConnectionLost(error.message);
}
