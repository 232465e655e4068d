// One real node, and three whose leaders are killed (`kill -9`) while programs write and watch.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import * as rstmdb from "../index.js";
import { ROOT, connected, leader, missing, nodes } from "./nodes.js";

const { Client, requests } = rstmdb;
const ORDER = JSON.parse(readFileSync(join(ROOT, "docs", "examples", "order.json"), "utf8"));
const COUNTER = { states: ["ON"], initial: "ON", transitions: [{ from: "ON", event: "ADD", to: "ON" }] };

test("an order lives on a real node, in both wire modes", { skip: missing }, async (t) => {
  const all = await nodes(t);
  const first = await connected(t, all);
  assert.equal((await first.putMachine("order", 1, ORDER)).created, true);
  const { layout } = await first.getMachine("order", undefined, { include: ["layout"] });
  assert.equal(layout.states[layout.initial].name, ORDER.initial);
  for (const wireMode of ["binary_json", "jsonl"]) {
    const db = await connected(t, all, { wireMode });
    const id = `order-${wireMode}`;
    const watch = db.watchInstance(id);
    await assert.rejects(watch.start(), rstmdb.InstanceNotFound);
    await db.createInstance("order", 1, id, { total: 42, text: "ä".repeat(3000) });
    const events = db.watchInstance(id, { include_ctx: false });
    await events.start();
    const paid = await db.applyEvent(id, "PAY", { by: "card" }, { expected_state: "CREATED", idempotency_key: "p" });
    const again = await db.applyEvent(id, "PAY", { by: "card" }, { expected_state: "CREATED", idempotency_key: "p" });
    assert.deepEqual([paid.applied, again.applied, again.wal_offset], [true, false, paid.wal_offset]);
    await assert.rejects(db.applyEvent(id, "SHIP"), (error) => error instanceof rstmdb.GuardFailed && error.details.current_state === "PAID");
    await assert.rejects(db.applyEvent(id, "PAY"), rstmdb.InvalidTransition);
    await assert.rejects(db.applyEvent(id, "PACK", null, { expected_wal_offset: 1 }), rstmdb.Conflict);
    const own = { consistency: "local", min_wal_offset: db.lastWalOffset };
    assert.equal((await db.getInstance(id, own)).last_wal_offset, paid.wal_offset);
    // Pipelined, and in order, because they touch one instance.
    const packed = await Promise.all(Array.from({ length: 50 }, () => db.applyEvent(id, "PACK", { packed: true })));
    assert.equal((await events.next(5000)).wal_offset, paid.wal_offset);
    for (const { wal_offset: offset } of packed) assert.equal((await events.next(5000)).wal_offset, offset);
    const batch = [requests.applyEvent(id, "SHIP"), requests.getInstance(id)];
    const [, read] = await db.batch(batch, { atomic: true });
    assert.equal(read.result.state, "SHIPPED");
    await assert.rejects(db.batch(batch, { atomic: true }), (error) => error.details.index === 0);
    assert.equal((await db.deleteInstance(id)).deleted, true);
  }
  const ids = Array.from({ length: 25 }, (_, at) => `list-${String(at).padStart(2, "0")}`);
  await first.batch(ids.map((id) => requests.createInstance("order", 1, id)), { atomic: true });
  const listed = [];
  for await (const { id } of first.iterInstances({ machine: "order", page: 7 })) listed.push(id);
  assert.deepEqual(listed, ids);
  let last = 0;
  for await (const { offset } of first.iterWal(0, { page: 20 })) last = offset;
  assert.equal(last, first.lastWalOffset);
  assert.equal((await first.clusterStatus()).nodes[0].role, "leader");
  await assert.rejects(first.watchAll({ position: { from_offset: 2, cluster_id: "other" } }).start(), rstmdb.OffsetAhead);
});

test("a lock fences the writes of its holder, and timers are set and shown", { skip: missing }, async (t) => {
  const db = await connected(t, await nodes(t));
  await db.putMachine("counter", 1, COUNTER);
  await db.createInstance("counter", 1, "locked");
  const first = await db.lockAcquire("js", "a", 60_000);
  assert.equal((await db.lockAcquire("js", "a", 60_000)).token, first.token);
  await assert.rejects(db.lockAcquire("js", "b", 60_000), (error) => error instanceof rstmdb.LockHeld && error.details.owner === "a");
  const waits = db.lockAcquire("js", "b", 60_000, { wait_ms: 10_000 });
  const fence = { lock: "js", token: first.token };
  await db.applyEvent("locked", "ADD", null, { fence });
  assert.equal((await db.lockRenew("js", first.token)).token, first.token);
  assert.equal((await db.lockRelease("js", first.token)).released, true);
  const second = await waits;
  assert.ok(second.token > first.token);
  await assert.rejects(db.applyEvent("locked", "ADD", null, { fence }), rstmdb.LockLost);
  assert.deepEqual((await db.lockGet("js")).locks.map(({ owner }) => owner), ["b"]);
  assert.deepEqual((await db.lockList({ prefix: "none" })).locks, []);
  const timed = {
    format: 2,
    states: [{ name: "open", timers: [{ event: "EXPIRE", after: "1h" }] }, { name: "expired", final: true }],
    initial: "open",
    transitions: [{ from: "open", event: "EXPIRE", to: "expired" }],
  };
  await db.putMachine("timed", 1, timed);
  await db.createInstance("timed", 1, "t-1");
  assert.deepEqual((await db.getInstance("t-1")).timers.map(({ name }) => name), ["EXPIRE"]);
  const later = () => db.timerSet("t-1", { EXPIRE: { after: "2h" } }, { idempotency_key: "later" });
  const [moved, again] = [await later(), await later()];
  assert.deepEqual([moved.applied, again.applied, again.wal_offset], [true, false, moved.wal_offset]);
  assert.deepEqual(again.timers, moved.timers);
  assert.deepEqual((await db.timerSet("t-1", { EXPIRE: null })).timers, []);
  assert.deepEqual((await db.timerList({ machine: "timed" })).timers, []);
});

test("nothing is lost or done twice while leaders are killed", { skip: missing }, async (t) => {
  const all = await nodes(t, 3);
  const db = await connected(t, all);
  await db.putMachine("counter", 1, COUNTER);
  for (let at = 0; at < 8; at += 1) await db.createInstance("counter", 1, `i-${at}`);
  const stop = { now: false };
  const acknowledged = new Map();
  const write = async (number) => {
    const writer = new Client(all.addresses, { timeout: 8000 });
    for (let count = 1; !stop.now; count += 1) {
      const name = `${number}/${count}`;
      try {
        acknowledged.set(name, (await writer.applyEvent(`i-${count % 8}`, "ADD", { n: name })).wal_offset);
      } catch (error) {
        if (!(error instanceof rstmdb.OutcomeUnknown)) throw error;
      }
      await sleep(5);
    }
    await writer.close();
  };
  const seen = [];
  const watch = async () => {
    let position;
    const behind = () => (seen.at(-1)?.[0] ?? 0) < Math.max(0, ...acknowledged.values());
    while (!stop.now || behind()) {
      // Every 200 events another program goes on where this one was.
      const watcher = new Client(all.addresses, { watchKeepalive: 1000 });
      const events = watcher.watchAll({ machines: ["counter"], from_offset: 0, position });
      for (let at = 0; at < 200 && (!stop.now || behind()); at += 1) {
        const event = await events.next(200);
        if (event !== undefined) seen.push([event.wal_offset, event.payload.n]);
      }
      position = JSON.parse(JSON.stringify(events.position));
      await watcher.close();
    }
  };
  const running = Promise.all([write(0), write(1), watch()]);
  for (let kills = 0; kills < 2; kills += 1) {
    // A busy machine takes longer.
    for (const until = Date.now() + 30_000; acknowledged.size < (kills + 1) * 30 && Date.now() < until;) await sleep(50);
    const killed = await leader(db, all);
    await killed.kill();
    while ((await leader(db, all)) === killed) await sleep(50);
    await db.applyEvent("i-0", "ADD", { n: `after ${kills}` }, { timeout: 15_000 });
    killed.start();
  }
  await sleep(500);
  stop.now = true;
  await running;
  const log = [];
  for await (const { offset, entry } of db.iterWal()) if (entry.type === "apply_event") log.push([offset, entry.payload.n]);
  assert.equal(new Set(log.map(([, name]) => name)).size, log.length, "done twice");
  const byName = new Map(log.map(([offset, name]) => [name, offset]));
  assert.ok(acknowledged.size > 40);
  for (const [name, offset] of acknowledged) assert.equal(byName.get(name), offset, `${name} was acknowledged`);
  assert.deepEqual(seen, log.slice(0, seen.length), "each event once, in order");
});

test("a worker has twenty lines, and is the one of the documents", () => {
  const text = readFileSync(new URL("../examples/worker.js", import.meta.url), "utf8");
  const code = text.slice(text.indexOf("import {"));
  const lines = code.split("\n").filter((line) => line.trim() !== "" && !line.trim().startsWith("//"));
  assert.ok(lines.length <= 20, `${lines.length}`);
  assert.ok(readFileSync(join(ROOT, "docs", "clients.md"), "utf8").includes(`\`\`\`js\n${code}\`\`\`\n`));
});

test("workers ship each paid order once while they and the node are killed", { skip: missing }, async (t) => {
  const all = await nodes(t);
  const db = await connected(t, all);
  await db.putMachine("order", 1, ORDER);
  const worker = () => {
    const program = fileURLToPath(new URL("../examples/worker.js", import.meta.url));
    const child = spawn(process.execPath, [program, all.addresses[0], join(all.folder, "position")], { stdio: ["ignore", "pipe", "inherit"] });
    t.after(() => child.kill("SIGKILL"));
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const ended = new Promise((resolve) => child.once("exit", resolve));
    return {
      child,
      ended,
      upTo: async (end) => {
        const seen = [];
        while (!seen.at(-1)?.endsWith(end)) {
          const { value, done } = await lines.next();
          if (done) throw new Error(`it ended, after ${seen}`);
          seen.push(value);
        }
        return seen;
      },
    };
  };
  const pay = async (order) => {
    await db.createInstance("order", 1, order, { total: 42 });
    await db.applyEvent(order, "PAY");
  };
  await pay("order-1");
  const first = worker();
  await first.upTo("order-1 is shipped");
  await all[0].kill();
  all[0].start();
  await pay("order-2");
  await first.upTo("order-2 is shipped");
  first.child.kill("SIGKILL");
  await pay("order-3");
  const second = worker();
  assert.ok(!(await second.upTo("order-3 is shipped")).includes("order-1 is shipped"));
  second.child.kill("SIGINT");
  assert.equal(await second.ended, 0);
  for (const order of ["order-1", "order-2", "order-3"]) {
    const done = [];
    for await (const { entry } of db.iterWal()) if (entry.instance_id === order && entry.event) done.push(entry.event);
    assert.deepEqual(done, ["PAY", "PACK", "SHIP"]);
  }
});
