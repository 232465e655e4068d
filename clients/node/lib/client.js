// The client.

import * as requests from "./requests.js";
import { LockGuard } from "./lock.js";
import { checkMs, readOptions } from "./options.js";
import { checkPosition } from "./position.js";
import { waitOf } from "./retry.js";
import { Session } from "./session.js";
import { Watch } from "./watch.js";
import { ClosedError, ProtocolError, RequestError, fromWire } from "./errors.js";

const WATCHES = new Set(["WATCH_INSTANCE", "WATCH_ALL", "UNWATCH"]);
const OF_THE_SESSION = new Set(["HELLO", "AUTH", "BYE"]);

/** A client of a cluster. */
export class Client {
  #options;
  #session;
  #watches = new Set();

  constructor(addresses = "127.0.0.1:7401", options = {}) {
    this.#options = readOptions(addresses, options);
    this.#session = new Session(this.#options);
  }

  /** Opens the connection, and tries until the deadline, as calls do by themselves: a node may be restarting. */
  async connect({ timeout } = {}) {
    await this.#session.connect(performance.now() + this.#ms(timeout));
    return this;
  }

  /** Ends all watches and the connection. Calls without an answer fail. To close it twice does no harm. */
  async close() {
    await Promise.all([...[...this.#watches].map((watch) => watch.close()), this.#session.close()]);
    this.#watches.clear();
  }

  /** Whether the client was closed. */
  get closed() {
    return this.#session.closed;
  }

  /** The node that the client is connected to, or was last. */
  get address() {
    return this.#session.at?.name;
  }

  /** The highest offset that an answer to this client has named. */
  get lastWalOffset() {
    return this.#session.lastOffset;
  }

  /** Calls any operation by its name, also one that this version does not know, and gives its result as it is. */
  async call(op, params = {}, { timeout, signal } = {}) {
    signal?.throwIfAborted();
    if (typeof op !== "string" || op === "") throw new RequestError(`op: ${JSON.stringify(op)} is not an operation`);
    if (WATCHES.has(op)) throw new RequestError(`op: ${op} belongs to a watch: use watchAll or watchInstance`);
    if (OF_THE_SESSION.has(op)) throw new RequestError(`op: ${op} belongs to the connection, which sends it by itself`);
    const call = this.#session.call(op, params, this.#ms(timeout) + waitOf(op, params), signal);
    return (await (signal === undefined ? call : unlessAborted(call, signal))).result;
  }

  /** BATCH: several operations in one request, made by the functions of `requests`. */
  async batch(ops, options = {}) {
    const { op, params } = requests.batch(ops, options);
    const { results } = await this.call(op, params, options);
    if (!Array.isArray(results) || results.length !== ops.length) {
      throw new ProtocolError(`the server's answer to BATCH has not ${ops.length} results`);
    }
    return results.map((item, at) => {
      if (item?.status === "ok") return { ok: true, result: item.result, error: undefined };
      return { ok: false, result: undefined, error: Object.assign(fromWire(item?.error), ops[at]) };
    });
  }

  /** A lock that is held, and renewed until it is released. */
  lock(name, options) {
    return LockGuard.acquire(this, name, options);
  }

  /** WATCH_ALL: the events of all instances that match. */
  watchAll({ position, from_offset: fromOffset, signal, ...params } = {}) {
    return this.#watch("WATCH_ALL", params, fromOffset, position, signal);
  }

  /** WATCH_INSTANCE: the events of one instance, which has to exist. */
  watchInstance(instanceId, { position, from_offset: fromOffset, signal, ...params } = {}) {
    return this.#watch("WATCH_INSTANCE", { ...params, instance_id: instanceId }, fromOffset, position, signal);
  }

  /** All instances that match, page by page; `timeout` is that of each page. */
  async *iterInstances({ page = 500, ...options } = {}) {
    let after;
    for (;;) {
      const found = await this.listInstances({ ...options, limit: page, after });
      yield* found.instances;
      if (!found.has_more || found.instances.length === 0) return;
      after = found.instances.at(-1).id;
    }
  }

  /** The armed timers, the first that is due first, page by page; `timeout` is that of each page. */
  async *iterTimers({ page = 500, ...options } = {}) {
    let after;
    do {
      const found = await this.timerList({ ...options, limit: page, after });
      yield* found.timers;
      after = found.next;
    } while (after !== undefined);
  }

  /** The locks that are held, by name, page by page; `timeout` is that of each page. */
  async *iterLocks({ page = 500, ...options } = {}) {
    let after;
    do {
      const found = await this.lockList({ ...options, limit: page, after });
      yield* found.locks;
      after = found.next;
    } while (after !== undefined);
  }

  /** The records of the log up to its present end; `timeout` is that of each page. */
  async *iterWal(fromOffset = 0, { page = 500, ...options } = {}) {
    let from = fromOffset;
    for (;;) {
      const found = await this.walRead(from, { ...options, limit: page });
      yield* found.records;
      if (found.next_offset === from) return;
      from = found.next_offset;
    }
  }

  #watch(op, given, fromOffset, position, signal) {
    if (this.closed) throw new ClosedError("the client is closed");
    const params = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
    let from;
    if (position !== undefined) from = checkPosition(position);
    else if (fromOffset !== undefined) from = checkPosition({ from_offset: fromOffset });
    const watch = new Watch(this.#session, op, params, from, signal);
    for (const old of this.#watches) if (old.closed) this.#watches.delete(old);
    this.#watches.add(watch);
    return watch;
  }

  #ms(timeout) {
    return timeout === undefined ? this.#options.timeout : checkMs("timeout", timeout);
  }
}

/** Waits for a call, but no longer than until the signal aborts. The call itself ends then, too. */
async function unlessAborted(call, signal) {
  let abort;
  const aborted = new Promise((_, reject) => {
    abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort);
  });
  try {
    return await Promise.race([aborted, call]);
  } finally {
    signal.removeEventListener("abort", abort);
    call.catch(() => {});
  }
}

for (const [name, make] of Object.entries(requests)) {
  if (name === "batch") continue;
  // The last argument may be options, and they may have the call's deadline.
  Client.prototype[name] = { async [name](...given) {
    const { op, params } = make(...given);
    const options = given.length > 0 ? given[given.length - 1] : undefined;
    const isOptions = given.length >= make.length && options !== null && typeof options === "object";
    return this.call(op, params, isOptions ? options : undefined);
  } }[name];
}

if (Symbol.asyncDispose !== undefined) {
  for (const made of [Client, Watch]) {
    made.prototype[Symbol.asyncDispose] = function dispose() {
      return this.close();
    };
  }
  LockGuard.prototype[Symbol.asyncDispose] = async function dispose() {
    if (!this.over) await this.release();
  };
}
