// Watches against nodes that answer as the test tells them to.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import * as rstmdb from "../index.js";
import { Refused, SILENCE, fake, pushing } from "./fake.js";

function client(t, nodes, options = {}) {
  const db = new rstmdb.Client(nodes.map(({ address }) => address), { timeout: 5000, discover: false, ...options });
  t.after(() => db.close());
  return db;
}

async function offsets(watch, count) {
  const seen = [];
  for (let at = 0; at < count; at += 1) seen.push((await watch.next(5000))?.wal_offset);
  return seen;
}

test("events come in order and the position follows", async (t) => {
  const node = await fake(t, pushing((peer) => {
    peer.event(11);
    peer.progress(20);
    peer.event(22, { ctx: { a: 1 } });
  }));
  const watch = client(t, [node]).watchAll({ machines: ["m"], include_meta: true });
  await watch.start();
  assert.deepEqual(watch.position, { from_offset: 11, cluster_id: "c", delivered: 0 });
  assert.equal((await watch.nextItem(1000)).wal_offset, 11);
  assert.deepEqual(watch.position, { from_offset: 11, cluster_id: "c", delivered: 1 });
  assert.deepEqual(await watch.nextItem(1000), { type: "progress", wal_offset: 20 });
  assert.equal(watch.position.from_offset, 21);
  assert.deepEqual((await watch.next(1000)).ctx, { a: 1 });
  assert.equal(await watch.next(30), undefined);
  assert.deepEqual(node.asked("WATCH_ALL"), [{ machines: ["m"], include_meta: true }]);
});

test("a lost watch resumes on another node without gap or duplicate", async (t) => {
  // A batch of three events at one offset, cut in its middle.
  const one = await fake(t, pushing((peer) => {
    for (const offset of [11, 12, 12]) peer.event(offset);
    peer.close();
  }));
  const other = await fake(t, pushing((peer) => {
    for (const offset of [12, 12, 12, 13]) peer.event(offset);
  }));
  const watch = client(t, [one, other]).watchAll();
  assert.deepEqual(await offsets(watch, 5), [11, 12, 12, 12, 13]);
  assert.equal(await watch.next(30), undefined);
  assert.deepEqual(other.asked("WATCH_ALL"), [{ from_offset: 12, cluster_id: "c" }]);
});

test("a change that is no event has its kind, and empty texts", async (t) => {
  const node = await fake(t, pushing((peer) => {
    peer.event(11, { kind: "deleted", instance_id: null, to_state: null, event: null });
  }));
  const change = await client(t, [node]).watchAll({ include: ["deleted"] }).next(1000);
  assert.deepEqual([change.kind, change.instance_id, change.to_state, change.event], ["deleted", "", "", ""]);
  assert.deepEqual(node.asked("WATCH_ALL"), [{ include: ["deleted"] }]);
});

test("a position of an earlier program skips what it had", async (t) => {
  const node = await fake(t, pushing((peer) => {
    for (const offset of [12, 12, 12]) peer.event(offset);
  }));
  const watch = client(t, [node]).watchAll({ position: { from_offset: 12, cluster_id: "c", delivered: 2 } });
  assert.equal((await watch.next(1000)).wal_offset, 12);
  assert.equal(await watch.next(30), undefined);
  assert.equal(watch.position.delivered, 3);
});

test("progress moves the offset of a resume, and a node that shuts down is left", async (t) => {
  const one = await fake(t, pushing((peer) => {
    peer.progress(500);
    peer.end("NO_LEADER", { retryable: true });
  }));
  const other = await fake(t, pushing((peer) => peer.event(501)));
  const watch = client(t, [one, other]).watchAll();
  assert.deepEqual(await offsets(watch, 1), [501]);
  assert.equal(other.asked("WATCH_ALL")[0].from_offset, 501);
});

test("an offset that fell out of retention is looked for on other nodes, and then ends the watch", async (t) => {
  const dropped = pushing((peer) => peer.end("OFFSET_COMPACTED", { details: { earliest_offset: 90 } }));
  const keeper = await fake(t, pushing((peer) => peer.event(11)));
  assert.deepEqual(await offsets(client(t, [await fake(t, dropped), keeper]).watchAll(), 1), [11]);
  const other = await fake(t, pushing(new Refused("OFFSET_COMPACTED", { earliest_offset: 95 })));
  const watch = client(t, [await fake(t, pushing((peer) => peer.end("OFFSET_COMPACTED"))), other]).watchAll();
  for (let twice = 0; twice < 2; twice += 1) {
    await assert.rejects(watch.next(2000), (error) => error instanceof rstmdb.OffsetCompacted && error.earliestOffset === 95);
  }
});

test("another cluster's log is refused", async (t) => {
  const node = await fake(t, pushing(new Refused("OFFSET_AHEAD")));
  await assert.rejects(client(t, [node]).watchAll({ position: { from_offset: 5, cluster_id: "x" } }).start(), rstmdb.OffsetAhead);
});

test("an instance that rests is watched on after retention", async (t) => {
  const asked = [];
  const node = await fake(t, (op, params, peer) => {
    if (op !== "WATCH_INSTANCE") return undefined;
    asked.push(params);
    if (asked.length === 2) throw new Refused("OFFSET_COMPACTED", { earliest_offset: 90 });
    const begun = { subscription_id: "s", current_state: "A", current_wal_offset: 5, cluster_id: "c", earliest_offset: 1 };
    return { ...begun, then: () => (asked.length === 1 ? peer.close() : peer.event(99)) };
  });
  assert.deepEqual(await offsets(client(t, [node]).watchInstance("i"), 1), [99]);
  assert.equal(asked[2].from_offset, undefined);
});

test("a silent node is asked for life and then left; a quiet one that answers is not", async (t) => {
  const mute = await fake(t, (op) => {
    if (op === "PING") throw SILENCE;
  });
  const other = await fake(t, pushing((peer) => peer.event(11)));
  const watch = client(t, [mute, other], { watchKeepalive: 100 }).watchAll();
  let event;
  // Short waits must not keep it from noticing.
  for (let at = 0; at < 100 && event === undefined; at += 1) event = await watch.next(20);
  assert.equal(event?.wal_offset, 11);
  assert.equal(mute.asked("PING").length, 1);
  const quiet = await fake(t);
  assert.equal(await client(t, [quiet], { watchKeepalive: 50 }).watchAll().next(300), undefined);
  assert.equal(quiet.asked("WATCH_ALL").length, 1);
});

test("a watch without any node ends with the reason", async (t) => {
  const node = await fake(t, pushing(() => {}));
  const watch = client(t, [node], { watchResumeTimeout: 200 }).watchAll();
  await watch.start();
  node.stop();
  await assert.rejects(watch.next(), (error) => error instanceof rstmdb.ConnectError && error.message.includes(node.address));
});

test("a slow consumer makes the server wait and loses nothing", async (t) => {
  const text = "x".repeat(10_000);
  const node = await fake(t, pushing((peer) => {
    for (let offset = 11; offset < 1211; offset += 1) peer.event(offset, { ctx: { text } });
  }));
  const watch = client(t, [node]).watchAll();
  await watch.start();
  await sleep(200);
  assert.deepEqual(await offsets(watch, 1200), Array.from({ length: 1200 }, (_, at) => at + 11));
});

test("closing ends the iteration, and a break closes the watch", async (t) => {
  for (const what of ["client", "watch", "break"]) {
    const node = await fake(t, pushing((peer) => peer.event(11)));
    const db = client(t, [node]);
    const watch = db.watchAll();
    const seen = [];
    if (what !== "break") setTimeout(() => (what === "client" ? db : watch).close(), 100);
    for await (const event of watch) {
      seen.push(event.wal_offset);
      if (what === "break") break;
    }
    assert.deepEqual(seen, [11]);
    assert.ok(watch.closed);
    assert.equal(watch.position.delivered, 1);
  }
});

test("closing ends a search for a node", async (t) => {
  const node = await fake(t, pushing(() => {}));
  const watch = client(t, [node]).watchAll();
  await watch.start();
  node.stop();
  const waiting = watch.next();
  await sleep(50);
  await watch.close();
  assert.equal(await waiting, undefined);
});

test("two consumers share the events, and each hears of them at once", async (t) => {
  const node = await fake(t, pushing(async (peer) => {
    for (let offset = 11; offset < 31; offset += 1) {
      await sleep(10);
      peer.event(offset);
    }
  }));
  const watch = client(t, [node]).watchAll();
  const began = Date.now();
  const [one, other] = await Promise.all([offsets(watch, 10), offsets(watch, 10)]);
  assert.deepEqual([...one, ...other].sort((a, b) => a - b), Array.from({ length: 20 }, (_, at) => at + 11));
  assert.ok(Date.now() - began < 4500);
});

test("a wait has a number of milliseconds, or no end", async (t) => {
  const node = await fake(t, pushing((peer) => setTimeout(() => peer.event(11), 50)));
  const watch = client(t, [node]).watchAll();
  for (const wrong of [NaN, "1", null]) await assert.rejects(watch.next(wrong), rstmdb.ConfigError);
  assert.equal((await watch.next(Infinity)).wal_offset, 11);
  assert.equal(await watch.next(-1), undefined);
});

test("a signal closes a watch", async (t) => {
  const node = await fake(t, pushing((peer) => peer.event(11)));
  const db = client(t, [node]);
  const control = new AbortController();
  const watch = db.watchAll({ signal: control.signal });
  const seen = [];
  for await (const event of watch) {
    seen.push(event.wal_offset);
    setTimeout(() => control.abort(), 50);
  }
  assert.deepEqual(seen, [11]);
  assert.deepEqual(node.asked("WATCH_ALL"), [{}]);
  assert.equal(await db.watchInstance("i", { signal: control.signal }).next(), undefined);
  assert.deepEqual(node.asked("WATCH_INSTANCE"), []);
});

test("a watch whose authentication ends authenticates anew", async (t) => {
  const tokens = ["old", "new", "bad"];
  const node = await fake(t, (op, params, peer) => {
    if (op === "AUTH" && params.token === "bad") throw new Refused("AUTH_FAILED");
    if (op !== "WATCH_ALL") return undefined;
    const begun = { subscription_id: "s", wal_offset: 10, earliest_offset: 1, cluster_id: "c" };
    return { ...begun, then: () => { peer.event(10 + peer.number); peer.end("UNAUTHORIZED"); } };
  });
  const watch = client(t, [node], { token: () => tokens.shift() }).watchAll();
  assert.deepEqual(await offsets(watch, 2), [11, 12]);
  await assert.rejects(watch.next(5000), rstmdb.AuthFailed);
  const without = client(t, [node]).watchAll();
  assert.equal((await without.next(5000)).wal_offset, 14);
  await assert.rejects(without.next(5000), rstmdb.Unauthorized);
});

test("a wait that times out loses no event", async (t) => {
  const node = await fake(t, pushing(async (peer) => {
    for (let offset = 11; offset < 61; offset += 1) {
      await sleep(2);
      peer.event(offset);
    }
  }));
  const watch = client(t, [node]).watchAll();
  const seen = [];
  for (let at = 0; at < 5000 && seen.length < 50; at += 1) {
    const event = await watch.next(1);
    if (event !== undefined) seen.push(event.wal_offset);
  }
  assert.deepEqual(seen, Array.from({ length: 50 }, (_, at) => at + 11));
});
