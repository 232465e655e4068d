// Calls against nodes that answer as the test tells them to: retries, deadlines, failover.

import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import * as rstmdb from "../index.js";
import { DROP, Refused, SILENCE, fake, times } from "./fake.js";

function client(t, nodes, options = {}) {
  const db = new rstmdb.Client(nodes.map(({ address }) => address), { timeout: 5000, discover: false, ...options });
  t.after(() => db.close());
  return db;
}

async function thrown(promise, kind) {
  const error = await promise.then(
    () => assert.fail("nothing was thrown"),
    (reason) => reason,
  );
  assert.ok(error instanceof kind, `${error.stack}`);
  return error;
}

test("a session begins with HELLO and AUTH in both modes", async (t) => {
  for (const wireMode of ["binary_json", "jsonl"]) {
    const node = await fake(t);
    const db = client(t, [node], { token: "secret", wireMode });
    assert.equal((await db.getInstance("i")).state, "A");
    await db.close();
    await node.waitAsked("BYE");
    assert.deepEqual(node.requests.map(({ op }) => op), ["HELLO", "AUTH", "GET_INSTANCE", "BYE"]);
    assert.deepEqual(node.asked("AUTH"), [{ method: "bearer", token: "secret" }]);
  }
});

test("a wrong token is told at once and asked once", async (t) => {
  const node = await fake(t, times(9, new Refused("AUTH_FAILED"), "AUTH"));
  await thrown(client(t, [node], { token: "wrong" }).ping(), rstmdb.AuthFailed);
  assert.equal(node.asked("AUTH").length, 1);
});

test("calls are pipelined, and answers matched in any order", async (t) => {
  const waiting = [];
  const node = await fake(t, (op, params, peer) => {
    if (op !== "GET_INSTANCE") return undefined;
    waiting.push(params);
    if (waiting.length === 20) {
      // Requests are numbered in their order on the connection, HELLO first.
      for (let at = 19; at >= 0; at -= 1) {
        peer.send({ type: "response", id: String(at + 1), status: "ok", result: { machine: waiting[at].instance_id } });
      }
    }
    throw SILENCE;
  });
  const db = client(t, [node]);
  const found = await Promise.all(Array.from({ length: 20 }, (_, at) => db.getInstance(`i-${at}`)));
  assert.deepEqual(found.map(({ machine }) => machine), Array.from({ length: 20 }, (_, at) => `i-${at}`));
});

test("a wait for a lock adds to the deadline", async (t) => {
  const held = { name: "l", owner: "o", token: 7, expires_at: 9, ttl_ms: 1000, waiting: 0 };
  const node = await fake(t, (op, params, peer) => {
    if (op !== "LOCK_ACQUIRE") return undefined;
    setTimeout(() => peer.send({ type: "response", id: "1", status: "ok", result: held }), 600);
    throw SILENCE;
  });
  const db = client(t, [node], { timeout: 300 });
  assert.equal((await db.lockAcquire("l", "o", 1000, { wait_ms: 2000 })).token, 7);
  const [{ wait_ms: waits, ...asked }] = node.asked("LOCK_ACQUIRE");
  assert.deepEqual(asked, { name: "l", owner: "o", ttl_ms: 1000 });
  assert.ok(waits > 1000 && waits <= 2000, `${waits}`);
});

test("an advance of the clock has more time than other calls, and asking what it shows has not", async (t) => {
  const node = await fake(t, (op, params, peer) => {
    if (op !== "CLOCK_ADVANCE") return undefined;
    if (params.by !== undefined) {
      setTimeout(() => peer.send({ type: "response", id: "1", status: "ok", result: { now: 9 } }), 600);
    }
    throw SILENCE;
  });
  const db = client(t, [node], { timeout: 300 });
  assert.equal((await db.clockAdvance("30m")).now, 9);
  await thrown(db.clockAdvance(), rstmdb.OutcomeUnknown);
});

test("a wait for a lock that is sent again waits for what is left", async (t) => {
  const held = { name: "l", owner: "o", token: 7, expires_at: 9, ttl_ms: 1000, waiting: 0 };
  let asked = 0;
  const node = await fake(t, (op) => {
    if (op !== "LOCK_ACQUIRE") return undefined;
    asked += 1;
    if (asked < 4) throw new Refused("NO_LEADER", { retryable: true });
    return held;
  });
  await client(t, [node]).lockAcquire("l", "o", 1000, { wait_ms: 20_000 });
  const waits = node.asked("LOCK_ACQUIRE").map(({ wait_ms: left }) => left);
  assert.equal(waits.length, 4);
  for (const [at, left] of waits.entries()) assert.ok(left < (waits[at - 1] ?? 20_001) && left > 10_000, `${waits}`);
});

test("a wait that the server refuses is sent as it is", async (t) => {
  const node = await fake(t, times(1, new Refused("BAD_REQUEST"), "LOCK_ACQUIRE"));
  const refused = client(t, [node]).lockAcquire("l", "o", 1000, { wait_ms: 86_400_001 });
  await thrown(refused, rstmdb.BadRequest);
  assert.equal(node.asked("LOCK_ACQUIRE")[0].wait_ms, 86_400_001);
});

test("a lost write is sent again with the same key", async (t) => {
  const node = await fake(t, times(1, DROP));
  const db = client(t, [node]);
  assert.equal((await db.applyEvent("i", "GO")).wal_offset, 9);
  assert.equal(db.lastWalOffset, 9);
  const [first, second] = node.asked("APPLY_EVENT");
  assert.deepEqual(first, second);
  assert.equal(first.idempotency_key.length, 36);
});

test("a lost write without key is not sent again, and its outcome is unknown", async (t) => {
  const node = await fake(t, times(1, DROP));
  const error = await thrown(
    client(t, [node]).applyEvent("i", "GO", undefined, { idempotency_key: null }),
    rstmdb.OutcomeUnknown,
  );
  assert.equal(node.asked("APPLY_EVENT").length, 1);
  assert.equal(error.retryable, false);
  assert.ok(error.cause instanceof rstmdb.ConnectionLost);
});

test("a write that ends two connections is not sent to a third", async (t) => {
  const node = await fake(t, times(9, DROP));
  const error = await thrown(client(t, [node]).applyEvent("i", "GO"), rstmdb.OutcomeUnknown);
  const asked = node.asked("APPLY_EVENT");
  assert.equal(asked.length, 2);
  assert.deepEqual([error.retryable, error.idempotencyKey, error.params], [true, asked[0].idempotency_key, asked[0]]);
});

test("a cluster without leader is waited for, even without a key, and told as such at the deadline", async (t) => {
  const noLeader = new Refused("NO_LEADER", { retryable: true });
  const node = await fake(t, times(3, noLeader));
  await client(t, [node]).applyEvent("i", "GO", undefined, { idempotency_key: null });
  assert.equal(node.asked("APPLY_EVENT").length, 4);
  const never = await fake(t, times(9999, noLeader));
  const error = await thrown(client(t, [never]).applyEvent("i", "GO", undefined, { timeout: 2000 }), rstmdb.NoLeader);
  assert.match(error.message, /tried for/);
});

test("a refusal is final and has its details", async (t) => {
  const node = await fake(t, times(1, new Refused("GUARD_FAILED", { guards: ["ctx.x"] })));
  const error = await thrown(client(t, [node]).applyEvent("i", "GO"), rstmdb.GuardFailed);
  assert.deepEqual(error.details, { guards: ["ctx.x"] });
  assert.equal(node.asked("APPLY_EVENT").length, 1);
});

test("an unknown outcome with a key is tried again, but not one that may have ended leaders", async (t) => {
  const unknown = { retryable: true, outcome: "unknown" };
  const node = await fake(t, times(1, new Refused("INTERNAL_ERROR", unknown)));
  assert.equal((await client(t, [node]).applyEvent("i", "GO")).to_state, "B");
  const other = await fake(t, times(9, new Refused("INTERNAL_ERROR", { ...unknown, leaders_lost: 2 })));
  await thrown(client(t, [other]).applyEvent("i", "GO"), rstmdb.OutcomeUnknown);
  assert.equal(other.asked("APPLY_EVENT").length, 1);
});

test("a refusal after a lost try does not hide that its outcome is unknown", async (t) => {
  const tries = [DROP, new Refused("INSTANCE_NOT_FOUND"), DROP, new Refused("INVALID_TRANSITION")];
  const node = await fake(t, (op) => {
    if (op === "APPLY_EVENT") throw tries.shift();
  });
  const db = client(t, [node]);
  const error = await thrown(db.applyEvent("i", "GO"), rstmdb.OutcomeUnknown);
  assert.ok(error.cause instanceof rstmdb.InstanceNotFound);
  // The server would have known the key.
  await thrown(db.applyEvent("i", "GO"), rstmdb.InvalidTransition);
});

test("a silent node costs a read its deadline and no more", async (t) => {
  const node = await fake(t, times(9, SILENCE, "GET_INSTANCE"));
  const db = client(t, [node]);
  await thrown(db.getInstance("i", { timeout: 200 }), rstmdb.DeadlineExceeded);
  // The connection is given up, so the next call has a new one.
  assert.equal((await db.ping()).pong, true);
  assert.equal(node.requests.at(-1).number, 2);
});

test("a batch has a result or an error for each operation", async (t) => {
  const error = { code: "INSTANCE_NOT_FOUND", message: "gone", retryable: false };
  const results = [{ status: "ok", result: { wal_offset: 4 } }, { status: "error", error }];
  const node = await fake(t, (op) => (op === "BATCH" ? { results } : undefined));
  const db = client(t, [node]);
  const { requests } = rstmdb;
  const [first, second] = await db.batch([requests.applyEvent("i", "GO"), requests.getInstance("j")], { atomic: true });
  assert.deepEqual([first.ok, first.result.wal_offset], [true, 4]);
  assert.ok(second.error instanceof rstmdb.InstanceNotFound);
  assert.equal(node.asked("BATCH")[0].mode, "atomic");
  await thrown(db.batch(["PING"]), rstmdb.RequestError);
});

test("a server that does not know dry_run is never sent one", async (t) => {
  const node = await fake(t, (op) => (op === "HELLO" ? { wire_mode: "binary_json", features: ["cluster"] } : undefined));
  const db = client(t, [node]);
  const asked = rstmdb.requests.applyEvent("i", "GO", undefined, { dry_run: true });
  await thrown(db.applyEvent("i", "GO", undefined, { dry_run: true }), rstmdb.RequestError);
  await thrown(db.batch([asked]), rstmdb.RequestError);
  assert.deepEqual(node.requests.map(({ op }) => op), ["HELLO"]);
  const careless = client(t, [await fake(t)]);
  const error = await thrown(careless.applyEvent("i", "GO", undefined, { dry_run: true }), rstmdb.ProtocolError);
  assert.equal(error.outcome, "applied");
});

test("any operation can be called by its name but those of the connection", async (t) => {
  const node = await fake(t, (op, params) => (op === "NEW_OP" ? { got: params } : undefined));
  const db = client(t, [node]);
  assert.deepEqual(await db.call("NEW_OP", { a: 1 }), { got: { a: 1 } });
  for (const op of ["HELLO", "BYE", "WATCH_ALL", ""]) await thrown(db.call(op), rstmdb.RequestError);
  await thrown(db.applyEvent("i", "GO", { x: "y".repeat(17 * 1024 * 1024) }), rstmdb.RequestError);
});

test("a call is given up when its signal aborts, and disturbs no others", async (t) => {
  const node = await fake(t, (op, params) => {
    if (op === "GET_INSTANCE" && params.instance_id === "silent") throw SILENCE;
  });
  const db = client(t, [node]);
  for (const isLate of [false, true]) {
    const control = new AbortController();
    const call = db.getInstance("silent", { signal: control.signal });
    const other = db.getInstance("i");
    if (isLate) await node.waitAsked("GET_INSTANCE", 3);
    control.abort(new Error("given up"));
    await assert.rejects(call, /given up/);
    assert.equal((await other).state, "A");
  }
  const asked = node.requests.length;
  await assert.rejects(db.ping({ signal: AbortSignal.abort() }), { name: "AbortError" });
  assert.equal(node.requests.length, asked);
  assert.deepEqual(node.asked("GET_INSTANCE").at(-1), { instance_id: "i" });
  assert.deepEqual([...new Set(node.requests.map(({ number }) => number))], [1]);
});

test("nothing is sent any more for a call whose signal has aborted", async (t) => {
  const node = await fake(t, times(99, new Refused("NO_LEADER", { retryable: true })));
  const db = client(t, [node]);
  const call = db.applyEvent("i", "GO", null, { signal: AbortSignal.timeout(100) });
  await assert.rejects(call, { name: "TimeoutError" });
  const asked = node.asked("APPLY_EVENT").length;
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(node.asked("APPLY_EVENT").length, asked);
});

test("a token is asked for again when the authentication has ended", async (t) => {
  const tokens = ["old", "new"];
  const node = await fake(t, (op, _, peer) => {
    if (op === "APPLY_EVENT" && peer.number === 1) throw new Refused("UNAUTHORIZED");
  });
  const db = client(t, [node], { token: async () => tokens.shift() });
  // The refused try has done nothing.
  assert.equal((await db.applyEvent("i", "GO", null, { idempotency_key: null })).applied, true);
  assert.deepEqual(node.asked("AUTH").map(({ token }) => token), ["old", "new"]);
  const other = await fake(t, times(9, new Refused("UNAUTHORIZED")));
  await thrown(client(t, [other]).applyEvent("i", "GO"), rstmdb.Unauthorized);
  assert.equal(other.asked("APPLY_EVENT").length, 1);
});

test("the longest deadlines are none that end at once", async (t) => {
  const node = await fake(t, (op, _, peer) => {
    if (op !== "CLOCK_ADVANCE") return undefined;
    setTimeout(() => peer.send({ type: "response", id: "1", status: "ok", result: { now: 9 } }), 50);
    throw SILENCE;
  });
  const db = client(t, [node], { timeout: 2 ** 31 - 1 });
  assert.equal((await db.clockAdvance("30m")).now, 9);
});

test("closing ends calls, and later ones are refused", async (t) => {
  const node = await fake(t, times(9, SILENCE));
  const db = client(t, [node]);
  const call = thrown(db.applyEvent("i", "GO"), rstmdb.OutcomeUnknown);
  await node.waitAsked("APPLY_EVENT");
  await db.close();
  await call;
  await thrown(db.ping(), rstmdb.ClosedError);
  await db.close();
});

test("dead and hung addresses are passed over", async (t) => {
  const [dead, alive] = [await fake(t), await fake(t)];
  dead.stop();
  const hung = net.createServer(() => {});
  await new Promise((resolve) => hung.listen(0, "127.0.0.1", resolve));
  t.after(() => hung.close());
  const db = client(t, [dead, { address: `127.0.0.1:${hung.address().port}` }, alive]);
  await db.ping();
  assert.equal(db.address, alive.address);
});

test("nobody there is told with each address", async (t) => {
  const [one, other] = [await fake(t), await fake(t)];
  one.stop();
  other.stop();
  const error = await thrown(client(t, [one, other]).applyEvent("i", "GO", undefined, { timeout: 300 }), rstmdb.ConnectError);
  assert.ok(error.message.includes(one.address) && error.message.includes(other.address), error.message);
});

test("a first connection waits for a node that restarts, and no longer than its deadline", async (t) => {
  const node = await fake(t);
  const port = Number(node.address.split(":")[1]);
  node.stop();
  const db = client(t, [node]);
  let over = false;
  const opening = db.connect().then(() => {
    over = true;
  });
  await sleep(300);
  assert.equal(over, false, "the client has given up at once");
  await fake(t, undefined, undefined, port);
  await opening;
  const gone = await fake(t);
  gone.stop();
  const error = await thrown(client(t, [gone]).connect({ timeout: 400 }), rstmdb.ConnectError);
  assert.ok(error.message.includes(gone.address), error.message);
});

test("a first connection that no try would bring fails at once", async (t) => {
  const node = await fake(t, times(9, new Refused("AUTH_FAILED"), "AUTH"));
  const began = performance.now();
  await thrown(client(t, [node], { token: "wrong" }).connect(), rstmdb.AuthFailed);
  assert.ok(performance.now() - began < 3000);
});

test("a node that is lost or cannot serve is left for another", async (t) => {
  const refusals = ["NO_LEADER", "READ_ONLY_MODE", "TIMEOUT"].map((code) => new Refused(code, { retryable: true }));
  for (const failure of [DROP, ...refusals]) {
    const [first, second] = [await fake(t, times(1, failure)), await fake(t)];
    const db = client(t, [first, second]);
    await db.applyEvent("i", "GO");
    assert.equal(db.address, second.address);
    assert.deepEqual(first.asked("APPLY_EVENT"), second.asked("APPLY_EVENT"));
  }
});

test("a node that hangs is left after a moment", async (t) => {
  const first = await fake(t, (op) => {
    if (op === "PING" || op === "GET_INSTANCE") throw SILENCE;
  });
  const second = await fake(t);
  // Too short for an attempt elsewhere after half of it.
  const db = client(t, [first, second], { timeout: 1900 });
  await db.getInstance("i");
  assert.equal(db.address, second.address);
  assert.equal(first.asked("PING").length, 1);
});

test("a node that answers pings and no calls is left after half of the time or two seconds", async (t) => {
  for (const timeout of [2200, 60000]) {
    const [first, second] = [await fake(t, times(9, SILENCE, "GET_INSTANCE")), await fake(t)];
    const db = client(t, [first, second], { timeout });
    const asked = performance.now();
    await db.getInstance("i");
    assert.equal(db.address, second.address);
    assert.ok(performance.now() - asked < 3000);
  }
});

test("members are learned, and one of another cluster is not used", async (t) => {
  for (const cluster of ["c", "other"]) {
    const second = await fake(t, undefined, { cluster_id: cluster, node_id: 2 });
    const members = [{ node_id: 1, rcp_addr: "10.0.0.1:1" }, { node_id: 2, rcp_addr: second.address }];
    const first = await fake(t, undefined, { cluster_id: "c", node_id: 1, members });
    const db = client(t, [first], { discover: true });
    await db.ping();
    first.stop();
    if (cluster === "c") {
      await db.getInstance("i");
      assert.equal(db.address, second.address);
    } else {
      const error = await thrown(db.getInstance("i", { timeout: 400 }), rstmdb.ConnectError);
      assert.match(error.message, /another cluster/);
      assert.deepEqual(second.asked("GET_INSTANCE"), []);
    }
  }
});

test("the leader is preferred where that is asked for", async (t) => {
  const leader = await fake(t, undefined, { cluster_id: "c", role: "leader" });
  const told = { cluster_id: "c", role: "follower", leader: { node_id: 2, rcp_addr: leader.address } };
  const follower = await fake(t, undefined, told);
  const db = client(t, [follower, leader], { preferLeader: true });
  await db.ping();
  assert.equal(db.address, leader.address);
});
