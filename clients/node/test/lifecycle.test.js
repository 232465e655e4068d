// One real node: metadata, asking first, timers under a clock of the test, odd values, TLS, limits, ends.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import * as rstmdb from "../index.js";
import { connected, leader, missing, nodes } from "./nodes.js";

const { Client, requests } = rstmdb;
const MANUAL = { args: ["--dev", "--clock", "manual"] };
// A machine of format 2 with a guard on the payload, timers, and names that it emits.
const LOAN = {
  format: 2,
  initial: "open",
  states: [
    { name: "open", timers: [{ event: "EXPIRE", after: "1h" }] },
    { name: "granted", emit: "pay_out" },
    { name: "expired", final: true },
  ],
  transitions: [
    { from: "open", event: "NOTE", to: "open" },
    { from: "open", event: "GRANT", to: "granted", guard: "event.amount <= ctx.limit", set: { granted: "event.amount" } },
    { from: "open", event: "EXPIRE", to: "expired" },
  ],
};

// Tests with loans share a node.
const ends = [];
let sharing;
after(async () => {
  for (const end of ends) await end();
});

async function loans(t) {
  sharing ??= nodes({ after: (end) => ends.push(end) }, 1, MANUAL);
  const all = await sharing;
  const db = await connected(t, all);
  await db.putMachine("loan", 1, LOAN);
  return { all, db };
}

async function collect(items) {
  const all = [];
  for await (const item of items) all.push(item);
  return all;
}

test("who, why and with what is kept and told", { skip: missing }, async (t) => {
  const { db } = await loans(t);
  const watch = db.watchAll({ machines: ["loan"], include: ["created", "deleted"], include_meta: true });
  await watch.start();
  const headers = { "täg": "ü\nx" };
  const made = await db.createInstance("loan", 1, "meta", { limit: 5 }, { correlation_id: "case-7", headers });
  const noted = await db.applyEvent("meta", "NOTE", null, { reason: "a call", causation_id: String(made.wal_offset) });
  const gone = await db.deleteInstance("meta", { causation_id: String(noted.wal_offset) });
  const seen = [await watch.next(10_000), await watch.next(10_000), await watch.next(10_000)];
  assert.deepEqual(seen.map(({ kind }) => kind), ["created", "event", "deleted"]);
  assert.deepEqual(seen[0].meta.headers, headers);
  assert.equal(seen[1].meta.reason, "a call");
  assert.deepEqual(seen.map(({ meta }) => meta.correlation_id), ["case-7", "case-7", "case-7"]);
  const history = await db.ancestors(gone.wal_offset);
  assert.deepEqual(history.facts.map(({ offset }) => offset), [gone, noted, made].map((write) => write.wal_offset));
  assert.equal(history.ended, "root");
  const long = db.createInstance("loan", 1, "long", {}, { headers: { a: "x".repeat(5000) } });
  await assert.rejects(long, rstmdb.BadRequest);
});

test("what an instance is told to be next is true, and asking changes nothing", { skip: missing }, async (t) => {
  const { db } = await loans(t);
  await db.createInstance("loan", 1, "asked", { limit: 100 });
  const before = db.lastWalOffset;
  for (const [amount, outcome] of [[100, "taken"], [101, "refused"]]) {
    const { state, events } = await db.allowedEvents("asked", { payloads: { GRANT: { amount }, NOTE: null } });
    const grant = events.find(({ event }) => event === "GRANT");
    assert.deepEqual([state, grant.outcome], ["open", outcome]);
    assert.deepEqual(grant.guards[0].values, { "event.amount": amount, "ctx.limit": 100 });
  }
  const dry = { dry_run: true };
  const tried = await db.applyEvent("asked", "GRANT", { amount: 9 }, dry);
  assert.deepEqual([tried.to_state, tried.wal_offset], ["granted", null]);
  assert.deepEqual([tried.would.emits, tried.would.disarmed], [["pay_out"], ["EXPIRE"]]);
  await assert.rejects(db.applyEvent("asked", "GRANT", { amount: 101 }, dry), rstmdb.GuardFailed);
  assert.equal((await db.deleteInstance("asked", dry)).dry_run, true);
  await assert.rejects(db.deleteInstance("asked", { expected_wal_offset: 1 }), rstmdb.Conflict);
  assert.equal((await db.createInstance("loan", 1, undefined, undefined, dry)).instance_id, null);
  assert.equal((await db.putMachine("other", 1, LOAN, dry)).created, true);
  assert.equal((await db.timerSet("asked", { EXPIRE: null }, dry)).dry_run, true);
  const steps = [requests.applyEvent("asked", "GRANT", { amount: 1 }), requests.getInstance("asked")];
  assert.equal((await db.batch(steps, { ...dry, atomic: true }))[1].result.state, "granted");
  const found = await db.getInstance("asked");
  assert.deepEqual([found.state, found.last_wal_offset, db.lastWalOffset], ["open", before, before]);
  const done = await db.applyEvent("asked", "GRANT", { amount: 100 }, { expected_wal_offset: before });
  assert.deepEqual(done.ctx, { limit: 100, amount: 100, granted: 100 });
  const late = db.applyEvent("asked", "NOTE", null, { expected_state: "open" });
  await assert.rejects(late, (error) => error instanceof rstmdb.Conflict && error.details.actual_state === "granted");
});

test("timers fire when the clock says so, and lists come page by page", { skip: missing }, async (t) => {
  const { db } = await loans(t);
  const ids = Array.from({ length: 5 }, (_, at) => `timed-${at}`);
  for (const id of ids) await db.createInstance("loan", 1, id, { limit: 1 });
  await db.applyEvent(ids[0], "NOTE", null, { timers: { EXPIRE: { after: "3h" } } });
  const timers = await collect(db.iterTimers({ machine: "loan", page: 2 }));
  const listed = timers.map(({ instance_id: id }) => id).filter((id) => ids.includes(id));
  assert.deepEqual([listed.at(-1), listed.sort()], [ids[0], ids]);
  const watch = db.watchAll({ events: ["EXPIRE"], include: [] });
  await watch.start();
  const { now } = await db.clockAdvance();
  assert.equal((await db.clockAdvance("2h")).now, now + 7_200_000);
  assert.equal((await db.getInstance(ids[1])).state, "expired");
  assert.equal((await db.getInstance(ids[0])).state, "open");
  assert.equal((await watch.next(10_000)).timer.name, "EXPIRE");
  for (const id of ids) await db.lockAcquire(`page/${id}`, "me", 60_000);
  const locks = await collect(db.iterLocks({ prefix: "page/", page: 2 }));
  assert.deepEqual(locks.map(({ name }) => name), ids.map((id) => `page/${id}`));
  assert.equal((await db.automation({ set: "paused", reason: "a test" })).automation, "paused");
  assert.equal((await db.automation({ set: "running" })).automation, "running");
});

test("any text and number comes back as it was sent, and what cannot be taken disturbs no other call", { skip: missing }, async (t) => {
  const { all, db: first } = await loans(t);
  const ctx = {
    limit: 1,
    "größe": "日本 🦀 \u0000 \u2028 \\ud800 \" \x7f",
    "🦀": [null, true, 2 ** 53 - 1, 0.1, 1e-300, 1e300, 5e-324],
    empty: { "": [] },
    long: "ä".repeat(100_000),
  };
  for (const wireMode of ["binary_json", "jsonl"]) {
    const db = await connected(t, all, { wireMode });
    const id = `größe/${wireMode}/日本🦀 \u0301 `;
    const watch = db.watchInstance(id, { include: ["created"] });
    await watch.start();
    await db.createInstance("loan", 1, id, ctx);
    assert.deepEqual((await db.getInstance(id)).ctx, ctx);
    const event = await watch.next(10_000);
    assert.deepEqual([event.instance_id, event.ctx], [id, ctx]);
  }
  const nested = (levels) => (levels === 0 ? 1 : [nested(levels - 1)]);
  await first.createInstance("loan", 1, "odd", { limit: 1 });
  for (const value of [nested(130), nested(5000), Infinity, NaN, "\ud800", { "\udc00": 1 }, 5n]) {
    const others = Array.from({ length: 5 }, () => first.getInstance("odd"));
    await assert.rejects(first.applyEvent("odd", "NOTE", { a: value }), (error) =>
      error instanceof rstmdb.BadRequest || error instanceof rstmdb.RequestError);
    for (const { state } of await Promise.all([...others, first.getInstance("odd")])) assert.equal(state, "open");
  }
  assert.deepEqual((await first.applyEvent("odd", "NOTE", { deep: nested(100) })).ctx.deep, nested(100));
});

test("calls are given up at any moment, and the others get their answers", { skip: missing }, async (t) => {
  const { db } = await loans(t);
  for (let at = 0; at < 20; at += 1) await db.createInstance("loan", 1, `given-${at}`, { limit: at });
  for (let round = 0; round < 5; round += 1) {
    const calls = Array.from({ length: 200 }, (_, at) => {
      const control = new AbortController();
      return { at, control, call: db.getInstance(`given-${at % 20}`, { signal: control.signal }) };
    });
    const given = calls.filter(({ at }) => (at * 7 + round) % 3 === 0);
    for (const { control, call, at } of given) {
      call.catch(() => {});
      if (at % 10 === 0) await sleep(1);
      control.abort();
    }
    for (const { at, call } of calls.filter((one) => !given.includes(one))) {
      assert.equal((await call).ctx.limit, at % 20);
    }
  }
});

test("connections that the server refuses are waited for, and told at the deadline", { skip: missing }, async (t) => {
  const all = await nodes(t, 1, { settings: () => ({ RSTMDB_MAX_CONNECTIONS: "3" }) });
  const db = await connected(t, all);
  const watches = [db.watchAll(), db.watchAll()];
  for (const watch of watches) await watch.start();
  const refused = new Client(all.addresses, { timeout: 1000 });
  const began = Date.now();
  await assert.rejects(refused.getInstance("i"), rstmdb.RateLimited);
  assert.ok(Date.now() - began > 300);
  await refused.close();
  const waits = new Client(all.addresses, { timeout: 15_000 });
  t.after(() => waits.close());
  setTimeout(() => watches[0].close(), 300);
  assert.equal((await waits.ping()).pong, true);
});

test("a server that goes away for good ends calls and watches with a reason", { skip: missing }, async (t) => {
  const all = await nodes(t);
  const db = await connected(t, all, { timeout: 2000, watchResumeTimeout: 1000 });
  const watch = db.watchAll();
  await watch.start();
  await all[0].stop();
  await assert.rejects(db.getInstance("i"), rstmdb.ConnectError);
  await assert.rejects(watch.next(), (error) => error instanceof rstmdb.ConnectError && error.retryable);
});

test("nobody notices that each node is restarted in order", { skip: missing }, async (t) => {
  const all = await nodes(t, 3);
  const db = await connected(t, all);
  await db.putMachine("counter", 1, { states: ["ON"], initial: "ON", transitions: [{ from: "ON", event: "ADD", to: "ON" }] });
  await db.createInstance("counter", 1, "i");
  const watcher = new Client(all.addresses);
  t.after(() => watcher.close());
  const watch = watcher.watchInstance("i");
  await watch.start();
  let isOver = false;
  const written = [];
  const writing = (async () => {
    const writer = new Client(all.addresses);
    while (!isOver) written.push((await writer.applyEvent("i", "ADD", { n: written.length })).wal_offset);
    await writer.close();
  })();
  for (const node of all) {
    await sleep(300);
    await node.stop();
    node.start();
    const alone = new Client(node.address, { discover: false, timeout: 20_000 });
    await alone.getInstance("i");
    await alone.close();
  }
  assert.ok((await leader(db, all)) !== undefined);
  isOver = true;
  await writing;
  const seen = [];
  while (seen.length < written.length) seen.push((await watch.next(10_000))?.wal_offset);
  assert.deepEqual(seen, written);
});

test("TLS with a client certificate and a token", { skip: missing }, async (t) => {
  if (spawnSync("openssl", ["version"]).error) {
    t.skip("openssl is not installed, and makes the certificates");
    return;
  }
  // SHA-256 of "hello".
  const hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
  let ca, rogue, ours;
  const all = await nodes(t, 1, {
    settings: (folder) => {
      ca = authority(folder, "ca");
      rogue = authority(folder, "rogue");
      ours = signed(folder, ca, "client.test");
      const server = signed(folder, ca, "server.test");
      return {
        RSTMDB_TLS_ENABLED: "true", RSTMDB_TLS_CERT: server.cert, RSTMDB_TLS_KEY: server.key,
        RSTMDB_TLS_REQUIRE_CLIENT_CERT: "true", RSTMDB_TLS_CLIENT_CA: ca.cert,
        RSTMDB_AUTH_REQUIRED: "true", RSTMDB_AUTH_TOKEN_HASH: hash,
      };
    },
  });
  const good = { ca: ca.cert, cert: ours.cert, key: ours.key, serverName: "server.test" };
  const db = await connected(t, all, { tls: good, token: "hello" });
  assert.equal(await db.watchAll().next(50), undefined);
  const { TlsError, ConnectError, AuthFailed, Unauthorized } = rstmdb;
  for (const [tls, token, ...expected] of [
    [good, "wrong", AuthFailed],
    [good, undefined, Unauthorized],
    [{ ...good, ca: rogue.cert }, "hello", TlsError],
    [{ ...good, serverName: "other.test" }, "hello", TlsError],
    [{ ca: ca.cert, cert: ours.cert, key: ours.key }, "hello", TlsError],
    [{ ca: ca.cert, serverName: "server.test" }, "hello", TlsError, ConnectError],
    [undefined, "hello", TlsError],
  ]) {
    const wrong = new Client(all.addresses, { tls, token, timeout: 3000 });
    await assert.rejects(wrong.listInstances(), (error) => expected.some((kind) => error instanceof kind), JSON.stringify(tls));
    await wrong.close();
  }
});

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

function openssl(...args) {
  execFileSync("openssl", args, { stdio: "pipe" });
}

/** Makes an authority that signs certificates. */
function authority(folder, name) {
  const [cert, key] = [join(folder, `${name}.pem`), join(folder, `${name}.key`)];
  openssl("req", "-x509", ...NEW_KEY, "-days", "90", "-subj", `/CN=${name}`, "-keyout", key, "-out", cert);
  return { cert, key };
}

/** Makes a certificate for a host of this name. */
function signed(folder, by, name) {
  const [cert, key, request, extensions] = ["pem", "key", "csr", "ext"].map((end) => join(folder, `${name}.${end}`));
  writeFileSync(extensions, `subjectAltName=DNS:${name}\nbasicConstraints=CA:FALSE\n`);
  openssl("req", ...NEW_KEY, "-subj", `/CN=${name}`, "-keyout", key, "-out", request);
  const ca = ["-CA", by.cert, "-CAkey", by.key, "-set_serial", "7", "-days", "90", "-extfile", extensions];
  openssl("x509", "-req", "-in", request, ...ca, "-out", cert);
  return { cert, key };
}
