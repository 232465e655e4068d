// Locks that are renewed while a program holds them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import * as rstmdb from "../index.js";
import { DROP, Refused, SILENCE, fake } from "./fake.js";
import { connected, missing, nodes } from "./nodes.js";

const HELD = { name: "l", owner: "o", token: 7, expires_at: 9, ttl_ms: 1000, waiting: 0 };
const USUAL = { LOCK_ACQUIRE: HELD, LOCK_RENEW: HELD, LOCK_RELEASE: { ...HELD, released: true } };

/** A node that grants, renews and releases; `answers` has what calls get instead, the last one for all later. */
async function locking(t, answers = {}) {
  const node = await fake(t, (op) => {
    const told = answers[op];
    const now = told?.length > 1 ? told.shift() : told?.[0];
    if (now !== undefined && now !== null) throw now;
    return USUAL[op] && { ...USUAL[op] };
  });
  const db = new rstmdb.Client(node.address, { timeout: 5000, discover: false });
  t.after(() => db.close());
  return { node, db };
}

test("a lock is renewed while it is held, and then released", async (t) => {
  const { node, db } = await locking(t);
  // A busy machine stops for a second and more.
  const lock = await db.lock("l", { owner: "me", ttl: 4000 });
  assert.deepEqual([lock.fence, lock.held, lock.name], [{ lock: "l", token: 7 }, true, "l"]);
  await node.waitAsked("LOCK_RENEW", 3);
  assert.ok(lock.held);
  await lock.release();
  assert.deepEqual([lock.held, lock.over], [false, true]);
  await lock.lost;
  assert.throws(() => lock.fence, rstmdb.LockLost);
  const [asked] = node.asked("LOCK_ACQUIRE");
  assert.match(asked.owner, /^me-[0-9a-f]{12}$/);
  assert.deepEqual([asked.ttl_ms, asked.wait_ms], [4000, undefined]);
  const renewed = node.asked("LOCK_RENEW");
  assert.deepEqual(renewed[0], { name: "l", token: 7, ttl_ms: 4000 });
  assert.deepEqual(node.asked("LOCK_RELEASE"), [{ name: "l", token: 7 }]);
  await sleep(1600);
  assert.equal(node.asked("LOCK_RENEW").length, renewed.length);
});

test("a lock that cannot be renewed is lost in time", async (t) => {
  for (const failure of [SILENCE, new Refused("LOCK_LOST"), new Refused("NO_LEADER", { retryable: true })]) {
    const { node, db } = await locking(t, { LOCK_RENEW: [failure] });
    const began = Date.now();
    const lock = await db.lock("l", { ttl: 2000 });
    assert.ok(lock.held);
    await lock.lost;
    assert.ok(!lock.held && Date.now() - began < 8000);
    await assert.rejects(lock.release(), rstmdb.LockLost);
    assert.deepEqual(node.asked("LOCK_RELEASE"), []);
  }
});

test("a renewal that fails once is tried again, and so is a release whose outcome is unknown", async (t) => {
  const failures = { LOCK_RENEW: [DROP, new Refused("NO_LEADER", { retryable: true }), null] };
  const { node, db } = await locking(t, { ...failures, LOCK_RELEASE: [DROP, new Refused("LOCK_LOST")] });
  const lock = await db.lock("l", { ttl: 6000 });
  await node.waitAsked("LOCK_RENEW", 4);
  assert.ok(lock.held);
  await lock.release();
  assert.equal(node.asked("LOCK_RELEASE").length, 2);
});

test("a wait that is given up gives up its place", async (t) => {
  const { node, db } = await locking(t, { LOCK_ACQUIRE: [SILENCE, null] });
  const control = new AbortController();
  const waiting = db.lock("l", { wait: 60_000, signal: control.signal });
  await node.waitAsked("LOCK_ACQUIRE");
  control.abort();
  await assert.rejects(waiting, { name: "AbortError" });
  await node.waitAsked("LOCK_RELEASE");
  const [{ wait_ms: waits, ...first }, second] = node.asked("LOCK_ACQUIRE");
  assert.ok(waits > 59_000);
  assert.deepEqual(first, second);
});

test("times that cannot be are refused", async (t) => {
  const { node, db } = await locking(t);
  for (const wrong of [{ ttl: 0 }, { ttl: NaN }, { wait: -1 }, { wait: Infinity }]) {
    await assert.rejects(db.lock("l", wrong), rstmdb.ConfigError);
  }
  assert.deepEqual(node.requests, []);
});

test("one of several programs works at a time", { skip: missing }, async (t) => {
  const all = await nodes(t);
  const db = await connected(t, all);
  let inside = 0;
  await Promise.all(Array.from({ length: 6 }, async () => {
    const other = new rstmdb.Client(all.addresses, { timeout: 20_000 });
    const lock = await other.lock("work", { ttl: 5000, wait: 60_000 });
    inside += 1;
    assert.equal(inside, 1);
    await sleep(50);
    assert.ok(lock.held);
    inside -= 1;
    await lock.release();
    await other.close();
  }));
  const lock = await db.lock("work");
  await assert.rejects(db.lock("work"), rstmdb.LockHeld);
  await db.lockRelease("work", lock.token);
  await assert.rejects(db.automation({ set: "running", fence: lock.fence }), rstmdb.LockLost);
  await assert.rejects(lock.release(), rstmdb.LockLost);
  assert.deepEqual((await db.lockGet("work")).locks, []);
});
