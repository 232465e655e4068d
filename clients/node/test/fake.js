// A node that answers as a test tells it to.

import net from "node:net";
import { BINARY, Decoder, encode } from "../lib/frame.js";

/** Thrown by a script: the answer is this error. */
export class Refused {
  constructor(code, { retryable = false, ...details } = {}) {
    this.body = { code, message: `said ${code}`, retryable, details };
  }
}

/** Thrown by a script: the connection is closed without an answer, or there is no answer. */
export const DROP = { drop: true };
export const SILENCE = { silence: true };

/** A connection to the fake node, as its script sees it. */
class Peer {
  constructor(socket, number) {
    this.socket = socket;
    this.number = number;
    this.mode = BINARY;
  }

  send(message) {
    this.sendBytes(encode(this.mode, Buffer.from(JSON.stringify(message))));
  }

  sendBytes(bytes) {
    if (!this.socket.destroyed) this.socket.write(bytes);
  }

  event(offset, more = {}) {
    const event = { instance_id: `i-${offset}`, machine: "m", version: 1, wal_offset: offset };
    this.send({ type: "event", subscription_id: "s", ...event, from_state: "A", to_state: "B", event: "GO", ...more });
  }

  progress(offset) {
    this.send({ type: "progress", subscription_id: "s", wal_offset: offset });
  }

  end(code, more = {}) {
    this.send({ type: "end", subscription_id: "s", error: { code, message: code, retryable: false, ...more } });
  }

  close() {
    this.socket.destroySoon();
  }
}

export class FakeNode {
  /** Listens on a port of its own. What `script` gives undefined for is answered as a node does. */
  static async start(script = () => undefined, info = {}, port = 0) {
    const node = new FakeNode();
    Object.assign(node, { script, info, requests: [], peers: [] });
    node.server = net.createServer((socket) => node.serve(socket));
    await new Promise((resolve) => node.server.listen(port, "127.0.0.1", resolve));
    node.address = `127.0.0.1:${node.server.address().port}`;
    return node;
  }

  stop() {
    this.server.close();
    for (const { socket } of this.peers) socket.destroy();
  }

  /** The parameters of each request for this operation. */
  asked(op) {
    return this.requests.filter((request) => request.op === op).map(({ params }) => params);
  }

  async waitAsked(op, count = 1) {
    const until = Date.now() + 15_000;
    while (this.asked(op).length < count) {
      if (Date.now() > until) throw new Error(`${op} was asked ${this.asked(op).length} times, not ${count}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return this.asked(op);
  }

  serve(socket) {
    socket.setNoDelay(true);
    const peer = new Peer(socket, this.peers.length + 1);
    this.peers.push(peer);
    const decoder = new Decoder();
    socket.on("error", () => {});
    socket.on("data", (data) => {
      decoder.feed(data);
      for (;;) {
        decoder.mode = peer.mode;
        const payload = decoder.take();
        if (payload === undefined) return;
        this.handle(JSON.parse(payload), peer);
      }
    });
  }

  handle({ id, op, params }, peer) {
    this.requests.push({ number: peer.number, op, params });
    let answer;
    let then;
    try {
      const { then: act, ...result } = this.script(op, params, peer) ?? this.default(op, params);
      then = act;
      answer = { status: "ok", result };
    } catch (thrown) {
      if (thrown === DROP) peer.close();
      if (thrown === DROP || thrown === SILENCE) return;
      if (!(thrown instanceof Refused)) throw thrown;
      answer = { status: "error", error: thrown.body };
    }
    peer.send({ type: "response", id, ...answer });
    if (op === "HELLO" && answer.status === "ok") peer.mode = answer.result.wire_mode;
    then?.();
    if (op === "BYE") peer.close();
  }

  default(op, params) {
    const known = {
      HELLO: () => ({ protocol_version: 1, wire_mode: params.wire_modes[0], features: params.features }),
      INFO: () => ({ server_name: "rstmdb", ...this.info }),
      AUTH: () => ({ authenticated: true }),
      PING: () => ({ pong: true }),
      BYE: () => ({ goodbye: true }),
      GET_INSTANCE: () => ({ machine: "m", version: 1, state: "A", ctx: {}, last_wal_offset: 7 }),
      APPLY_EVENT: () => ({ from_state: "A", to_state: "B", ctx: {}, wal_offset: 9, applied: true }),
      WATCH_ALL: () => ({ subscription_id: "s", wal_offset: 10, earliest_offset: 1, cluster_id: "c" }),
      WATCH_INSTANCE: () => ({
        subscription_id: "s", instance_id: "i", current_state: "A", current_wal_offset: 5, earliest_offset: 1,
        cluster_id: "c",
      }),
    };
    if (!(op in known)) throw new Refused("BAD_REQUEST");
    return known[op]();
  }
}

/** Starts a node for this test. */
export async function fake(t, script, info, port) {
  const node = await FakeNode.start(script, info, port);
  t.after(() => node.stop());
  return node;
}

/** A script that throws this for the first so many requests for the operation. */
export function times(count, thrown, op = "APPLY_EVENT") {
  let left = count;
  return (asked) => {
    if (asked !== op || left === 0) return undefined;
    left -= 1;
    throw thrown;
  };
}

/** A script whose n-th watch does what the n-th entry says, once it has begun; the last stands for all later. */
export function pushing(...acts) {
  let begun = 0;
  return (op, _, peer) => {
    if (op !== "WATCH_ALL" && op !== "WATCH_INSTANCE") return undefined;
    const act = acts[Math.min(begun, acts.length - 1)];
    begun += 1;
    if (typeof act !== "function") throw act;
    const state = op === "WATCH_INSTANCE" ? { current_state: "A", current_wal_offset: 5 } : {};
    const result = { subscription_id: "s", wal_offset: 10, earliest_offset: 1, cluster_id: "c", ...state };
    return { ...result, then: () => act(peer) };
  };
}
