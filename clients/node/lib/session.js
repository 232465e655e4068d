// The connection that a client has now: calls with their deadlines and retries, reconnecting.

import { stringify } from "./frame.js";
import { within } from "./connection.js";
import { Dialer } from "./dial.js";
import { Backoff, isDryRun, paramsAfter, plan } from "./retry.js";
import {
  ClosedError, ConnectError, ConnectionLost, DeadlineExceeded, OutcomeUnknown, ProtocolError, RequestError, RstmdbError,
  ServerError, Unauthorized, fromWire,
} from "./errors.js";

// The longest silence of a server before the client sends a PING. Only used if there are other addresses.
const PATIENCE_MAX_MS = 1000;
// How many times a call is sent again after its connection was lost while it was in flight. If the call itself has ended
// the node, it must not end one node after the other.
const LOSSES_MAX = 1;
// An attempt is not left for another node before this time, which an election may take.
const ATTEMPT_MIN_MS = 1000;
// It is left after this time at the latest, so that a node that is cut off costs a call less than two seconds.
const ATTEMPT_MAX_MS = 1750;
// A server that refuses with one of these codes has done nothing, unless it says otherwise.
const UNDONE = new Set(["NO_LEADER", "RATE_LIMITED", "READ_ONLY_MODE", "QUOTA_EXCEEDED"]);
// Another node has the same limit.
const LIMITS = new Set(["RATE_LIMITED", "QUOTA_EXCEEDED"]);
// These codes may come from a later life of the instance, which does not know the key of an earlier attempt.
const OF_A_LATER_LIFE = new Set(["INSTANCE_NOT_FOUND", "INSTANCE_EXISTS", "MACHINE_NOT_FOUND"]);

const now = () => performance.now();
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Calls over one connection at a time, to any of the addresses. */
export class Session {
  constructor(options) {
    this.options = options;
    this.dialer = new Dialer(options);
    this.closed = false;
    /** Which address the client is connected to, or was last. */
    this.at = undefined;
    /** The highest offset that an answer to this client has named. */
    this.lastOffset = 0;
    this.current = undefined;
    this.left = [];
    // Calls that wait for a connection take turns, so that they leave in the order in which they were made. While there
    // are any, later calls queue up behind them.
    this.turn = Promise.resolve();
    this.queued = 0;
  }

  /** Opens the connection, if there is none. A node may be restarting, so it tries until the deadline. */
  connect(deadline) {
    return this.inTurn(deadline, () => this.reconnect(deadline));
  }

  /** Ends the connection. Calls that wait for an answer fail. */
  async close() {
    if (this.closed) return;
    this.closed = true;
    const error = new ClosedError("the client was closed");
    if (this.current !== undefined) {
      this.current.sayBye();
      await this.current.end(1000);
      this.current.fail(error);
    }
    for (const connection of this.left) connection.fail(error);
  }

  /** Calls an operation; every wait inside ends at the deadline at the latest. */
  async call(op, params, timeout, signal) {
    if (params === null || typeof params !== "object" || Array.isArray(params)) {
      throw new RequestError("params: an object is needed");
    }
    const planned = plan(op, params, this.options.autoKeys);
    try {
      const answer = await this.attempt(op, planned, timeout, isDryRun(params), signal);
      if (params.dry_run && answer.result.dry_run !== true) {
        throw new ProtocolError("the server did not heed dry_run, and wrote", { details: { outcome: "applied" } });
      }
      return answer;
    } catch (error) {
      if (error instanceof RstmdbError) {
        error.op = op;
        error.params = planned.params;
      }
      throw error;
    }
  }

  async attempt(op, planned, timeout, dryRun, signal) {
    const began = now();
    const asTold = stringify(planned.params);
    const text = () => {
      // Nothing is sent for a caller that has given up.
      signal?.throwIfAborted();
      const params = paramsAfter(op, planned.params, now() - began);
      return params === planned.params ? asTold : stringify(params);
    };
    const deadline = began + timeout;
    const backoff = new Backoff(this.options.backoffMin, this.options.backoffMax);
    // Whether any attempt so far may have taken effect. That stays true if a later attempt is not sent or is refused
    // because there is no leader.
    let maybeDone = false;
    let losses = 0;
    // A node's refusal of an earlier attempt.
    let refused;
    for (;;) {
      let pending;
      try {
        pending = await this.send(op, text, deadline, dryRun);
      } catch (error) {
        if (error instanceof RequestError || !(error instanceof RstmdbError)) throw error;
        if (maybeDone) throw new OutcomeUnknown(error, { retryable: planned.repeatable });
        throw orRefusal(error, refused, now() - began);
      }
      const attemptEnd = this.attemptEnd(planned, deadline);
      const outcome = await pending.connection.outcomeOf(pending, attemptEnd - now(), signal);
      signal?.throwIfAborted();
      if (outcome.result !== undefined) {
        this.noteOffset(outcome.result);
        for (const item of op === "BATCH" ? outcome.result.results ?? [] : []) this.noteOffset(item?.result);
        return outcome;
      }
      const failed = this.judge(op, planned, pending, outcome, attemptEnd < deadline, timeout);
      maybeDone ||= failed.maybeDone;
      losses += failed.lost ? 1 : 0;
      const pause = backoff.pause();
      const over = now() + pause >= deadline;
      if (!failed.again || losses > LOSSES_MAX || over) {
        if (maybeDone) throw inDoubt(failed.error, planned.repeatable);
        throw over ? orRefusal(failed.error, refused, now() - began) : failed.error;
      }
      if (failed.error instanceof ServerError) refused = failed.error;
      await sleep(pause);
    }
  }

  noteOffset(result) {
    if (Number.isSafeInteger(result?.wal_offset)) this.lastOffset = Math.max(this.lastOffset, result.wal_offset);
  }

  /** What an attempt that brought no result means. */
  judge(op, planned, pending, outcome, early, timeout) {
    if (outcome.expired) {
      this.afterSilence(pending, early);
      const error = new DeadlineExceeded(`no answer to ${op} within ${timeout} ms`);
      return { error, again: early, maybeDone: planned.writes && outcome.sent, lost: false };
    }
    if (outcome.lost) {
      const sent = planned.writes && outcome.sent;
      const again = (planned.repeatable || !outcome.sent) && outcome.lost.retryable;
      // A refusal of the whole connection is not one of the call.
      const refusal = outcome.lost instanceof ServerError && sent;
      const error = refusal ? new ConnectionLost(outcome.lost.message) : outcome.lost;
      return { error, again, maybeDone: sent, lost: outcome.sent };
    }
    const error = fromWire(outcome.error);
    const unknown = error.outcome === "unknown";
    const undone = UNDONE.has(error.code) && !unknown;
    const anew = this.mayAuthenticateAnew(error);
    if (anew) this.retire(pending.connection);
    // This node cannot serve for a while, but another may. At a limit, the client waits instead.
    if (error.retryable && !LIMITS.has(error.code)) this.leave(pending.connection);
    // Nodes have retried the call already, and it may be the reason why two leaders ended.
    const triedEnough = Boolean(error.details.leaders_lost);
    const again = anew || (error.retryable && !triedEnough && (planned.repeatable || undone));
    return { error, again, maybeDone: planned.writes && unknown, lost: false };
  }

  /**
   * When the call is retried at another node. A node that is cut off from the others answers every PING but no call, and
   * does not notice the cut before the call's deadline.
   */
  attemptEnd(planned, deadline) {
    const attempt = Math.min((deadline - now()) / 2, ATTEMPT_MAX_MS);
    return planned.movable && this.dialer.hasChoice && attempt >= ATTEMPT_MIN_MS ? now() + attempt : deadline;
  }

  afterSilence({ connection, heard }, early) {
    if (!early && connection.heard === heard) {
      // The server has sent nothing in all that time. It is more likely gone than slow, and nothing else would show that.
      connection.fail(new ConnectionLost("the server has sent nothing for too long"));
    } else {
      this.leave(connection);
    }
  }

  /** Whether a new connection may serve what this one refuses: its authentication has ended. */
  mayAuthenticateAnew(error) {
    return error instanceof Unauthorized && this.options.token !== undefined;
  }

  /** Makes the next call connect to another address. */
  leave(connection) {
    if (this.dialer.hasChoice) this.retire(connection);
  }

  retire(connection) {
    if (connection.retired) return;
    this.left = [...this.left.filter(({ lost }) => lost === undefined), connection];
    connection.retire();
  }

  /** Queues a call on the current connection; opens one if there is none. */
  async send(op, text, deadline, dryRun) {
    const pending = this.queued === 0 ? this.trySend(op, text, dryRun) : undefined;
    return pending ?? this.inTurn(deadline, () => this.reconnectAndSend(op, text, deadline, dryRun));
  }

  async reconnectAndSend(op, text, deadline, dryRun) {
    for (;;) {
      const pending = this.trySend(op, text, dryRun);
      if (pending !== undefined) return pending;
      await this.reconnect(deadline);
    }
  }

  /** Opens a connection, unless there is one; fails with an error that no other try would change, or at the deadline. */
  async reconnect(deadline) {
    const backoff = new Backoff(this.options.backoffMin, this.options.backoffMax);
    let failure;
    while (!this.current?.usable) {
      try {
        await this.replace(this.dialer.orderFrom(this.at, this.at !== undefined), deadline);
        continue;
      } catch (error) {
        // An attempt that the deadline cut short has a less useful error than a complete one.
        if (failure === undefined || now() < deadline) failure = error;
      }
      const pause = backoff.pause();
      if (!failure.retryable || now() + pause >= deadline) throw failure;
      await sleep(pause);
    }
  }

  trySend(op, text, dryRun) {
    if (this.closed) throw new ClosedError("the client is closed");
    if (!this.current?.usable) return undefined;
    if (dryRun && !this.current.features.has("lifecycle")) {
      // An older server would ignore the parameter, and write.
      const { name } = this.current.address;
      throw new RequestError(`dry_run: the server at ${name} does not offer the feature "lifecycle"`);
    }
    return this.current.enqueue(op, text());
  }

  /** Runs this after all earlier ones, or fails at the deadline. */
  async inTurn(deadline, act) {
    this.queued += 1;
    const before = this.turn;
    let release;
    this.turn = new Promise((resolve) => {
      release = resolve;
    });
    let mine = false;
    try {
      mine = await within(before, deadline - now());
      if (!mine) throw new ConnectError("still trying to connect");
      return await act();
    } finally {
      this.queued -= 1;
      // A call that gave up passes its turn on when it comes.
      if (mine) release();
      else before.then(release);
    }
  }

  async replace(order, deadline) {
    if (this.closed) throw new ClosedError("the client is closed");
    let connection = await this.dialer.dial(order, deadline);
    const leader = this.options.preferLeader ? this.dialer.leaderBeside(connection) : undefined;
    if (leader !== undefined) {
      try {
        const other = await this.dialer.dial([leader], Math.min(deadline, now() + 1000));
        connection.fail(new ConnectionLost("the client went to the leader"));
        connection = other;
      } catch (error) {
        // Every node serves every call; the leader only answers writes a little sooner.
        if (!(error instanceof RstmdbError)) throw error;
      }
    }
    if (this.closed) {
      const error = new ClosedError("the client is closed");
      connection.fail(error);
      throw error;
    }
    connection.bePatient(this.dialer.hasChoice ? Math.min(this.options.timeout / 3, PATIENCE_MAX_MS) : undefined);
    this.current = connection;
    this.at = connection.address;
  }
}

/**
 * The error of a call whose time is over and of which no attempt can have taken effect. If a node has refused an earlier
 * attempt, that refusal is the reason. That the last attempt had no time left for an answer does not help the caller.
 */
function orRefusal(last, earlier, spent) {
  if (earlier === undefined) return last;
  let told = `tried for ${Math.round(spent)} ms`;
  let refusal = earlier;
  if (last instanceof ServerError) {
    if (!last.retryable) return last;
    refusal = last;
  } else if (last instanceof DeadlineExceeded) told += "; the last try got no answer";
  else if (last instanceof ConnectError || last instanceof ConnectionLost) told += `; the last try failed: ${last.message}`;
  else return last;
  const { code, retryable, details } = refusal;
  return new refusal.constructor(`${refusal.message} (${told})`, { code, retryable, details });
}

/** The error of a call of which some attempt may have taken effect. */
function inDoubt(last, repeatable) {
  if (last instanceof ServerError && !last.retryable && last.outcome !== "unknown") {
    // The final answer to the call, whatever happened to earlier attempts: the server knows those by their key. But a
    // key ends with its instance, which may have been deleted or created anew since.
    return OF_A_LATER_LIFE.has(last.code) ? new OutcomeUnknown(last, { retryable: false }) : last;
  }
  return new OutcomeUnknown(last, { retryable: repeatable });
}
