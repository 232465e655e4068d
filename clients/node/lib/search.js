// Finds a node that can serve a watch from its position.

import { Backoff } from "./retry.js";
import { sleep } from "./session.js";
import { ClosedError, ConnectionLost, OffsetAhead, OffsetCompacted, RstmdbError } from "./errors.js";

const now = () => performance.now();
const isLacking = (error) => error instanceof OffsetCompacted || error instanceof OffsetAhead;

/** The addresses that may have what the watch needs, the next one to try first. */
export class Search {
  constructor(dialer, order) {
    this.dialer = dialer;
    this.order = order;
    this.cancelled = false;
    // The refusal of a node that does not have it. Nodes keep different parts of the log, and an address may lead to
    // another cluster's node.
    this.lacking = undefined;
  }

  /** Leaves this address out. Throws the reason if it was the last one. */
  strikeOut(address, reason) {
    this.order = this.order.filter(({ name }) => name !== address.name);
    if (this.order.length === 0) throw reason;
    this.lacking = reason;
  }

  /** Asks one node after the other, with pauses, until one has begun the watch. */
  async find(op, params, seen, deadline) {
    const { backoffMin, backoffMax } = this.dialer.options;
    const backoff = new Backoff(backoffMin, backoffMax);
    let failure;
    for (;;) {
      if (this.cancelled) throw new ClosedError("the watch is closed");
      try {
        return await this.askNext(op, params, seen, deadline);
      } catch (error) {
        // An attempt that the deadline cut short has a less useful error than a complete one.
        if (failure === undefined || now() < deadline) failure = error;
      }
      if (this.order.length === 0 || !(failure.retryable || isLacking(failure))) throw failure;
      const pause = backoff.pause();
      if (now() + pause >= deadline) throw this.lacking ?? failure;
      await sleep(pause);
    }
  }

  async askNext(op, params, seen, deadline) {
    const connection = await this.dialer.dial(this.order, deadline);
    const { timeout } = this.dialer.options;
    // A node that is cut off answers late or never. If there are other addresses, try them too.
    const until = Math.min(deadline, now() + (this.order.length > 1 ? timeout / 2 : timeout));
    try {
      const begun = await ask(connection, op, params, seen, until);
      if (this.cancelled) throw new ClosedError("the watch is closed");
      return { connection, begun };
    } catch (error) {
      connection.fail(new ConnectionLost("the watch went to another node"));
      if (isLacking(error)) {
        this.strikeOut(connection.address, error);
      } else if (error instanceof RstmdbError) {
        const rest = this.order.filter(({ name }) => name !== connection.address.name);
        if (rest.length < this.order.length) this.order = [...rest, connection.address];
      }
      throw error;
    }
  }
}

async function ask(connection, op, params, seen, until) {
  try {
    return await connection.request(op, params, until - now());
  } catch (error) {
    if (seen === undefined || !(error instanceof OffsetCompacted)) throw error;
    // Retention may drop the last change of an instance that rarely changes. If the instance is still as the watch has
    // seen it, the watch has missed nothing and goes on from now.
    const { from_offset: _, ...rest } = params;
    const begun = await connection.request(op, rest, until - now());
    const unmoved = Number.isInteger(begun.current_wal_offset) && seen.tracker.covers(begun.current_wal_offset);
    if (unmoved && begun.current_state === seen.lastState) return begun;
    throw error;
  }
}
