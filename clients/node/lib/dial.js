// From an address to a connection that is ready for requests: TCP, TLS, HELLO, AUTH.

import { Connection, within } from "./connection.js";
import { BINARY, JSONL } from "./frame.js";
import { FEATURES, parseAddress } from "./options.js";
import { ConnectError, ConnectionLost, ProtocolError, RstmdbError, ServerError } from "./errors.js";

// How long one address is tried before the next one is tried at the same time.
const HEAD_START_MS = 250;

const now = () => performance.now();

/** Opens connections for a client and its watches. */
export class Dialer {
  constructor(options) {
    this.options = options;
    this.addresses = [...options.addresses];
    this.clusterId = undefined;
  }

  /** Whether there is another address. */
  get hasChoice() {
    return this.addresses.length > 1;
  }

  /** Every address once, beginning with this one, or with the one after it. */
  orderFrom(first, after = false) {
    const known = first === undefined ? -1 : this.addresses.findIndex(({ name }) => name === first.name);
    const at = (Math.max(known, 0) + (after ? 1 : 0)) % this.addresses.length;
    return [...this.addresses.slice(at), ...this.addresses.slice(0, at)];
  }

  /**
   * Opens a connection to one of these addresses, each tried once and the first preferred. A node that hangs accepts
   * connections and says nothing, so the next address does not wait for the one before it to fail.
   */
  async dial(order, deadline) {
    const untried = [...order];
    const running = new Set();
    const failures = [];
    try {
      while (untried.length > 0 || running.size > 0) {
        if (untried.length > 0) running.add(this.begin(untried.shift(), deadline));
        const first = Promise.race([...running].map(({ ended }) => ended));
        await (untried.length > 0 ? within(first, HEAD_START_MS) : first);
        for (const attempt of [...running].filter(({ over }) => over)) {
          running.delete(attempt);
          if (attempt.error === undefined) {
            this.learn(attempt.connection);
            return attempt.connection;
          }
          if (!(attempt.error instanceof RstmdbError)) throw attempt.error;
          // Every node has the same secrets, so another one will refuse as well.
          if (attempt.error instanceof ServerError && !attempt.error.retryable) throw attempt.error;
          failures.push(attempt);
        }
      }
      throw summary(failures);
    } finally {
      for (const { connection } of running) connection.fail(new ConnectionLost("another connection was faster"));
    }
  }

  begin(address, deadline) {
    const attempt = { address, connection: new Connection(address, this.options.secure), over: false, error: undefined };
    attempt.ended = this.open(attempt.connection, deadline).then(
      () => {
        attempt.over = true;
      },
      (error) => {
        attempt.over = true;
        attempt.error = error;
      },
    );
    return attempt;
  }

  async open(connection, deadline) {
    const ms = Math.min(this.options.connectTimeout, Math.max(0, deadline - now()));
    const greeted = connection.opened.then(() => this.greet(connection, ms));
    try {
      if (!(await within(greeted, ms))) throw new ConnectError(`no answer within ${Math.round(ms)} ms`);
    } catch (error) {
      greeted.catch(() => {});
      connection.fail(new ConnectionLost("the connection was given up"));
      throw error;
    }
  }

  async greet(connection, ms) {
    const { clientName, wireMode, token, discover, preferLeader } = this.options;
    const hello = { protocol_version: 1, client_name: clientName, wire_modes: [wireMode], features: FEATURES };
    const result = await connection.request("HELLO", hello, ms);
    if (result.wire_mode !== BINARY && result.wire_mode !== JSONL) {
      throw new ProtocolError(`the server chose the wire mode ${JSON.stringify(result.wire_mode)}`);
    }
    connection.useMode(result.wire_mode);
    connection.features = new Set(Array.isArray(result.features) ? result.features : []);
    if (token !== undefined) {
      const given = typeof token === "function" ? await token() : token;
      await connection.request("AUTH", { method: "bearer", token: given }, ms);
    }
    if (discover || preferLeader) {
      try {
        connection.info = await connection.request("INFO", {}, ms);
      } catch (error) {
        // The server tells nothing about the cluster, so the addresses are those that the caller gave.
        if (!(error instanceof ServerError)) throw error;
      }
    }
    this.checkCluster(connection);
  }

  /** A learned address may belong to another cluster by now. A given one is what the user wants. */
  checkCluster({ address, info }) {
    const given = this.options.addresses.some(({ name }) => name === address.name);
    if (this.clusterId !== undefined && info.cluster_id !== this.clusterId && !given) {
      throw new ConnectError(`this node is of another cluster (${info.cluster_id}, not ${this.clusterId})`);
    }
  }

  /** Takes the members' addresses, to be tried after those that were given. */
  learn({ info }) {
    if (!this.options.discover || typeof info.cluster_id !== "string") return;
    this.clusterId = info.cluster_id;
    const given = this.options.addresses;
    const learned = (Array.isArray(info.members) ? info.members : [])
      // This node is reached already, perhaps under another name.
      .filter((member) => member?.node_id !== info.node_id)
      .map(addressOf)
      .filter((address) => address !== undefined && !given.some(({ name }) => name === address.name));
    if (learned.length > 0) this.addresses = [...given, ...learned];
  }

  /** Where the leader is, if it is another node than this one and known. */
  leaderBeside({ address, info }) {
    const leader = info.role === "leader" ? undefined : addressOf(info.leader);
    return leader?.name === address.name ? undefined : leader;
  }
}

function addressOf(node) {
  try {
    const address = parseAddress(node?.rcp_addr);
    // The node listens on all addresses, and its configuration does not say under which clients reach it.
    return address.host === "0.0.0.0" || address.host === "::" ? undefined : address;
  } catch {
    return undefined;
  }
}

function summary(failures) {
  const [first] = failures;
  // No address can ever be used, and all for reasons of this kind: another try would not help.
  if (!failures.some(({ error }) => error.retryable)) return first.error;
  const other = !(first.error instanceof ConnectError || first.error instanceof ConnectionLost);
  if (failures.length === 1 && other) return first.error;
  return new ConnectError(failures.map(({ address, error }) => `${address.name}: ${error.message}`).join("; "));
}
