// Watches: streams of events that survive their connections.

import { within } from "./connection.js";
import { checkWait } from "./options.js";
import { Tracker } from "./position.js";
import { Search } from "./search.js";
import { ClosedError, ConnectionLost, OffsetCompacted, RstmdbError, fromWire } from "./errors.js";

const now = () => performance.now();

/** The events of a watch, in ascending order of their offsets, each exactly once. */
export class Watch {
  #session;
  #op;
  #params;
  #given;
  #tracker;
  #clusterId;
  // The state that the last event left its instance in, for a watch of one instance.
  #lastState;
  #begun;
  #connection;
  // Looks for a node. It goes on when the consumer stops waiting, or a consumer that waits only shortly would never get a
  // connection.
  #search;
  #error;
  #closed = false;
  #closing;
  #onClosed;
  #signal;
  #abort = () => this.close();

  constructor(session, op, params, position, signal) {
    this.#session = session;
    this.#op = op;
    this.#params = params;
    this.#given = position;
    this.#closing = new Promise((resolve) => {
      this.#onClosed = resolve;
    });
    this.#signal = signal;
    signal?.addEventListener("abort", this.#abort);
    if (signal?.aborted) this.#abort();
  }

  /** Begins the watch, if it has not begun; gives what the server answered (the head, the current state …). */
  async start() {
    while (this.#tracker === undefined) {
      if (this.#closed) throw new ClosedError("the watch is closed");
      await this.#connect(undefined);
    }
    return this.#begun;
  }

  /** The next event; undefined when the watch was closed, or after `timeout` milliseconds without one. */
  async next(timeout) {
    const wait = checkWait(timeout);
    const deadline = wait === undefined ? undefined : now() + wait;
    for (;;) {
      const item = await this.nextItem(deadline === undefined ? undefined : deadline - now());
      if (item === undefined || item.type === "event") return item;
    }
  }

  /** As `next`, with the server's notices that it has looked up to an offset where nothing matched. */
  async nextItem(timeout) {
    const wait = checkWait(timeout);
    const deadline = wait === undefined ? undefined : now() + wait;
    while (!this.#closed) {
      if (this.#error !== undefined) throw this.#error;
      if (this.#connection === undefined) {
        await this.#connect(deadline);
      } else {
        // From here to the return nothing is awaited: an event that is counted is delivered.
        const item = this.#take(this.#connection);
        if (item !== undefined) return item;
      }
      if (deadline !== undefined && now() >= deadline) return undefined;
      if (this.#connection !== undefined) await this.#wait(this.#connection, deadline);
    }
    return undefined;
  }

  async *[Symbol.asyncIterator]() {
    try {
      for (;;) {
        const event = await this.next();
        if (event === undefined) return;
        yield event;
      }
    } finally {
      await this.close();
    }
  }

  /** Where to go on after the last event that was delivered; keep it to resume in another program. */
  get position() {
    if (this.#tracker === undefined) return this.#given ?? { from_offset: 0, cluster_id: undefined, delivered: 0 };
    const { offset, delivered } = this.#tracker;
    return { from_offset: offset, cluster_id: this.#clusterId, delivered };
  }

  /** Whether the watch was closed. */
  get closed() {
    return this.#closed;
  }

  /** Ends the watch. A call that waits for its next event gets undefined. Closing it twice does no harm. */
  async close() {
    this.#closed = true;
    this.#onClosed();
    this.#signal?.removeEventListener("abort", this.#abort);
    if (this.#search !== undefined) {
      this.#search.cancel();
      this.#search = undefined;
    }
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection !== undefined) {
      connection.sayBye();
      await connection.end(200);
      connection.fail(new ClosedError("the watch was closed"));
    }
  }

  /** The next item that has arrived, if any. Notes why there will be no more over this connection. */
  #take(connection) {
    for (;;) {
      const message = connection.popPushed();
      if (message === undefined) {
        if (connection.lost !== undefined) this.#leave(connection, connection.lost);
        return undefined;
      }
      try {
        const item = this.#accept(message);
        if (item !== undefined) return item;
      } catch (error) {
        this.#leave(connection, error);
        return undefined;
      }
    }
  }

  #accept(message) {
    if (message.type === "end") throw fromWire(message.error);
    if (message.type === "progress") {
      this.#tracker.lookedAt(message.wal_offset);
      return { type: "progress", wal_offset: message.wal_offset };
    }
    if (!this.#tracker.advance(message.wal_offset)) return undefined;
    if (message.to_state) this.#lastState = message.to_state;
    // Other changes than events do not have all of these.
    const event = { ...message, version: message.version ?? 0 };
    for (const name of ["instance_id", "machine", "from_state", "to_state", "event"]) event[name] = message[name] ?? "";
    return event;
  }

  /** Prepares to go on over another connection, or never. */
  #leave(connection, error) {
    this.#connection = undefined;
    connection.fail(new ConnectionLost("the watch left this connection"));
    const { dialer } = this.#session;
    const search = new Search(dialer, dialer.orderFrom(connection.address, true));
    if (error instanceof OffsetCompacted) {
      // Another node may have kept more of the log.
      try {
        search.strikeOut(connection.address, error);
      } catch (last) {
        this.#error = last;
        return;
      }
    } else if (!(error instanceof RstmdbError) || !(error.retryable || this.#session.mayAuthenticateAnew(error))) {
      this.#error = error;
      return;
    }
    this.#beginSearch(search);
  }

  #beginSearch(search) {
    const { options } = this.#session;
    const params = { ...this.#params };
    let seen;
    const [from, clusterId] = this.#tracker === undefined
      ? [this.#given?.from_offset, this.#given?.cluster_id]
      : [this.#tracker.offset, this.#clusterId];
    if (from !== undefined) params.from_offset = from;
    // An offset has a meaning only with its log.
    if (from !== undefined && clusterId !== undefined) params.cluster_id = clusterId;
    if (this.#tracker !== undefined && this.#op === "WATCH_INSTANCE") {
      seen = { tracker: this.#tracker, lastState: this.#lastState };
    }
    const until = now() + (this.#tracker === undefined ? options.timeout : options.watchResumeTimeout);
    const running = { found: undefined, error: undefined, over: false };
    running.cancel = () => {
      search.cancelled = true;
      running.found?.connection.fail(new ConnectionLost("the watch was closed"));
    };
    running.done = search.find(this.#op, params, seen, until).then(
      (found) => Object.assign(running, { found, over: true }),
      (error) => Object.assign(running, { error, over: true }),
    );
    this.#search = running;
  }

  /** Waits until there is a connection, the watch is closed, or the time is over. */
  async #connect(deadline) {
    if (this.#session.closed) throw new ClosedError("the client is closed");
    if (this.#search === undefined) {
      // Begin on the node that answers the client's calls.
      const { dialer, at } = this.#session;
      this.#beginSearch(new Search(dialer, dialer.orderFrom(at)));
    }
    const search = this.#search;
    const ended = Promise.race([search.done, this.#closing]);
    await (deadline === undefined ? ended : within(ended, deadline - now()));
    if (!search.over || this.#search !== search) return;
    this.#search = undefined;
    if (search.error !== undefined) {
      search.error.op ??= this.#op;
      if (this.#tracker !== undefined) this.#error = search.error;
      throw search.error;
    }
    const { connection, begun } = search.found;
    this.#connection = connection;
    if (this.#tracker !== undefined) {
      this.#tracker.resume();
      return;
    }
    this.#begun = begun;
    this.#tracker = Tracker.begin(this.#given, begun);
    this.#clusterId = typeof begun.cluster_id === "string" ? begun.cluster_id : undefined;
    this.#lastState = begun.current_state;
  }

  /**
   * Waits for something to arrive. On a quiet connection it asks for a sign of life; otherwise a vanished server would
   * look like a server without events.
   */
  async #wait(connection, deadline) {
    const keepalive = this.#session.options.watchKeepalive;
    const asked = connection.askedAt !== undefined && connection.askedAt > connection.heardAt;
    if (asked && now() - connection.askedAt >= keepalive) {
      connection.fail(new ConnectionLost("the server has sent nothing for too long"));
      return;
    }
    let pause = keepalive;
    if (!asked) {
      const silent = now() - connection.heardAt;
      if (silent >= keepalive) connection.askForLife();
      else pause = keepalive - silent;
    }
    if (deadline !== undefined) pause = Math.min(pause, deadline - now());
    await connection.arrival(Math.max(1, pause));
  }
}
