// The bytes on the wire, as docs/protocol.md has them, and the parts that need no connection.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { crc32c } from "../lib/crc32c.js";
import { BINARY, Decoder, JSONL, encode, parse, stringify } from "../lib/frame.js";
import { parseAddress, readOptions } from "../lib/options.js";
import { Tracker } from "../lib/position.js";
import { Backoff, plan } from "../lib/retry.js";
import { fromWire } from "../lib/errors.js";
import * as rstmdb from "../index.js";

const PAYLOAD = Buffer.from('{"type":"request","id":"1","op":"PING"}');
const PING = Buffer.concat([Buffer.from("524350580001000100000000002715f193b1", "hex"), PAYLOAD]);

test("the checksums of the documents come out, at every length", () => {
  assert.equal(crc32c(Buffer.from("123456789")), 0xe3069283);
  assert.equal(crc32c(PAYLOAD), 0x15f193b1);
  const slow = (bytes) => {
    let crc = 0xffffffff;
    for (const byte of bytes) {
      crc ^= byte;
      for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    return (crc ^ 0xffffffff) >>> 0;
  };
  const data = randomBytes(200);
  for (let length = 0; length <= 200; length += 1) {
    assert.equal(crc32c(data.subarray(0, length)), slow(data.subarray(0, length)), `${length} bytes`);
  }
});

test("a frame has the documented bytes, and is read however it is cut", () => {
  assert.deepEqual(encode(BINARY, PAYLOAD), PING);
  for (let cut = 0; cut <= PING.length; cut += 1) {
    const decoder = new Decoder();
    decoder.feed(PING.subarray(0, cut));
    if (cut < PING.length) assert.equal(decoder.take(), undefined);
    decoder.feed(Buffer.concat([PING.subarray(cut), PING]));
    assert.deepEqual(decoder.take(), PAYLOAD);
    assert.deepEqual(decoder.take(), PAYLOAD);
    assert.equal(decoder.take(), undefined);
  }
});

test("what is no valid frame is refused with a reason", () => {
  const header = (version, flags, length) => {
    const made = Buffer.from(PING.subarray(0, 18));
    made.writeUInt16BE(version, 4);
    made.writeUInt16BE(flags, 6);
    made.writeUInt32BE(length, 10);
    return made;
  };
  for (const [bytes, reason] of [
    [header(2, 1, 0), /version 2/],
    [header(1, 0x10, 0), /flags/],
    [header(1, 3, 0), /flags/],
    [header(1, 1, 16 * 1024 * 1024 + 1), /16777217/],
    [Buffer.concat([PING.subarray(0, -1), Buffer.from("]")]), /checksum/],
    [Buffer.from("HTTP/1.1 400"), /HTTP/],
    [Buffer.from([0x15, 3, 3]), /TLS/],
    [Buffer.from("+OK"), /does not speak RCP/],
  ]) {
    const decoder = new Decoder();
    decoder.feed(bytes);
    assert.throws(() => decoder.take(), reason);
  }
});

test("lines are read with and without a carriage return", () => {
  const decoder = new Decoder();
  decoder.mode = JSONL;
  decoder.feed(Buffer.from('{"a":1}\n{"b":'));
  assert.equal(String(decoder.take()), '{"a":1}');
  assert.equal(decoder.take(), undefined);
  decoder.feed(Buffer.from("2}\r\n{}\n"));
  assert.equal(String(decoder.take()), '{"b":2}');
  assert.equal(String(decoder.take()), "{}");
});

test("a message that is no JSON object is refused, and so is what cannot be sent", () => {
  for (const bad of ["", "[1]", "nil", Buffer.from([0xff])]) assert.throws(() => parse(Buffer.from(bad)), rstmdb.ProtocolError);
  for (const bad of [{ a: NaN }, { a: [Infinity] }, 5n, undefined]) assert.throws(() => stringify(bad), rstmdb.RequestError);
});

test("addresses are read with and without a port", () => {
  for (const [text, host, port] of [
    ["db1", "db1", 7401], ["db1:99", "db1", 99], ["[::1]:99", "::1", 99], ["[::1]", "::1", 7401], ["::1", "::1", 7401],
  ]) {
    const read = parseAddress(text);
    assert.deepEqual([read.host, read.port], [host, port]);
  }
  for (const text of ["", ":99", "db1:", "db1:x", "db1:65536", "[::1", "[::1]99", "db1:0", 7]) {
    assert.throws(() => parseAddress(text), rstmdb.ConfigError, String(text));
  }
});

test("options that cannot be used are refused by name and value", () => {
  for (const [addresses, options, told] of [
    [[], {}, /addresses/],
    ["db", { timeout: 0 }, /timeout: 0/],
    ["db", { timeout: Infinity }, /timeout: Infinity/],
    ["db", { wireMode: "xml" }, /wireMode: "xml"/],
    ["db", { timeOut: 5 }, /timeOut: there is no such option/],
  ]) {
    assert.throws(() => readOptions(addresses, options), (error) => error instanceof rstmdb.ConfigError && told.test(error.message));
  }
  assert.throws(() => readOptions("db", { tls: { ca: "/nothing" } }), rstmdb.TlsError);
});

test("each code of the protocol's page has a class of its own", () => {
  const page = readFileSync(new URL("../../../docs/protocol.md", import.meta.url), "utf8");
  const rows = [...page.matchAll(/^\| \[`([A-Z_]+)`\]\(errors\/[A-Z_]+\.md\) \| (yes|no) \|/gm)];
  assert.ok(rows.length > 20);
  for (const [, code, retryable] of rows) {
    const error = fromWire({ code, message: "m" });
    assert.notEqual(error.constructor, rstmdb.ServerError, code);
    assert.deepEqual([error.code, error.retryable], [code, retryable === "yes"]);
    assert.ok(error instanceof rstmdb[error.name], code);
  }
  const unknown = fromWire({ code: "NEW", message: "m", retryable: true, details: { a: 1 } });
  assert.deepEqual([unknown.constructor, unknown.code, unknown.retryable], [rstmdb.ServerError, "NEW", true]);
});

test("every operation of the protocol's page has a method", () => {
  const page = readFileSync(new URL("../../../docs/protocol.md", import.meta.url), "utf8");
  const named = [...page.matchAll(/^### ([A-Z]+(?:_[A-Z]+)*)$/gm)].map(([, name]) => name);
  const others = new Set(["HELLO", "AUTH", "BYE", "UNWATCH"]);
  const types = readFileSync(new URL("../index.d.ts", import.meta.url), "utf8");
  for (const name of named.filter((one) => !others.has(one) && !/^(BACKUP|AUDIT)_/.test(one))) {
    const method = name.toLowerCase().replace(/_(.)/g, (_, letter) => letter.toUpperCase());
    assert.equal(typeof rstmdb.Client.prototype[method], "function", name);
    assert.match(types, new RegExp(`\\b${method}(<[^>]*>)?\\(`), name);
  }
});

test("every function that makes a request is declared", () => {
  const types = readFileSync(new URL("../index.d.ts", import.meta.url), "utf8");
  const declared = /^export namespace requests \{([^]*?)^\}/m.exec(types)[1];
  const names = [...declared.matchAll(/^  function (\w+)\(/gm)].map(([, name]) => name);
  // A batch is made by `Client.batch`.
  const made = Object.keys(rstmdb.requests).filter((name) => name !== "batch");
  assert.deepEqual(names.sort(), made.sort());
});

test("the types have every field that the protocol's page names", () => {
  const page = readFileSync(new URL("../../../docs/protocol.md", import.meta.url), "utf8");
  const types = readFileSync(new URL("../index.d.ts", import.meta.url), "utf8");
  // The fields of an interface, and of those that it extends.
  const fields = (name) => {
    const found = new RegExp(`export interface ${name}(?:<[^>]*>)?( extends (\\w+))? \\{([^]*?)\\}\\n`).exec(types);
    assert.ok(found, name);
    const own = [...found[3].matchAll(/(?:^|[{;])\s*(\w+)\??:/gm)].map(([, field]) => field);
    return new Set(found[2] ? [...own, ...fields(found[2])] : own);
  };
  // The names in the first column of the tables of a section; `within` is what they stand in.
  const named = (section, heading, within = "") => {
    const text = page.split(`\n### ${section}\n`)[1].split(/\n##/)[0];
    const table = text.split(`| ${heading} | type | |\n`)[1].split("\n\n")[0];
    const cells = table.split("\n").map((row) => row.split("|")[1] ?? "");
    // Of a row's names the first has the way to all of them.
    const names = cells.flatMap((cell) => {
      const [first, ...rest] = [...cell.matchAll(/`([\w.[\]]+)`/g)].map(([, name]) => name);
      const way = /^.*\./.exec(first ?? "")?.[0] ?? "";
      return first ? [first, ...rest.map((name) => (name.startsWith(way) ? name : way + name))] : [];
    });
    const inside = names.filter((name) => name.startsWith(within)).map((name) => name.slice(within.length));
    return inside.filter((name) => /^\w+$/.test(name));
  };
  // A position names the cluster.
  const others = new Set(["cluster_id", "subscription_id"]);
  for (const [type, section, heading, within] of [
    ["WatchAllOptions", "WATCH_ALL", "param"],
    ["AllowedEvents", "ALLOWED_EVENTS", "result"],
    ["AllowedEvent", "ALLOWED_EVENTS", "result", "events[]."],
    ["TriedGuard", "ALLOWED_EVENTS", "result", "events[].guards[]."],
    ["AppliedEvent", "APPLY_EVENT", "result"],
    ["AppliedEvent", "Dry runs", "result"],
    ["CreatedInstance", "Dry runs", "result"],
    ["TimersSet", "TIMER_SET", "result"],
    ["TimerList", "TIMER_LIST", "result"],
    ["HeldLock", "LOCK_ACQUIRE", "result"],
    ["ReleasedLock", "LOCK_RELEASE", "result"],
    ["LockList", "LOCK_LIST", "result"],
    ["Would", "Dry runs", "result", "would."],
  ]) {
    const names = named(section, heading, within);
    assert.ok(names.length > 1, `${section} ${within}`);
    const has = fields(type);
    const lacking = names.filter((name) => !others.has(name) && !has.has(name));
    assert.deepEqual(lacking, [], `${type} of ${section}`);
  }
  const events = page.split("\n### Events\n")[1].split(/\n##/)[0];
  const example = JSON.parse(/^\{"type":"event".*$/m.exec(events)[0]);
  const names = [...Object.keys(example), ...[...events.matchAll(/`(\w+)`/g)].map(([, name]) => name)];
  const has = fields("WatchEvent");
  const lacking = names.filter((name) => !others.has(name) && name !== "stream" && !has.has(name));
  assert.deepEqual(lacking, []);
});

test("calls are retried by the rules of the protocol", () => {
  for (const op of ["GET_INSTANCE", "PUT_MACHINE", "WAL_READ", "CLUSTER_ADD", "ALLOWED_EVENTS"]) {
    assert.ok(plan(op, {}, false).repeatable, op);
  }
  for (const op of ["APPLY_EVENT", "TIMER_SET", "CREATE_INSTANCE", "DELETE_INSTANCE"]) {
    assert.ok(!plan(op, {}, false).repeatable);
    assert.ok(plan(op, { idempotency_key: "k" }, false).repeatable);
    assert.equal(plan(op, {}, true).params.idempotency_key.length, 36);
    assert.ok(!plan(op, { idempotency_key: null }, true).repeatable);
  }
  for (const op of ["FLUSH_ALL", "FROM_THE_FUTURE"]) {
    assert.deepEqual([plan(op, {}, true).repeatable, plan(op, {}, true).writes], [false, true]);
  }
  const batch = { ops: [{ op: "APPLY_EVENT", params: { idempotency_key: "k" } }, { op: "APPLY_EVENT", params: {} }] };
  assert.ok(!plan("BATCH", batch, false).repeatable);
  assert.equal(plan("BATCH", batch, true).params.ops[1].params.idempotency_key.length, 36);
  assert.equal(plan("APPLY_EVENT", { dry_run: true }, true).params.idempotency_key, undefined);
});

test("the operations that the Rust client repeats without a key are repeated, too", () => {
  const source = readFileSync(new URL("../../../rcp/src/message/op.rs", import.meta.url), "utf8");
  const listed = [...source.matchAll(/^ {4}([A-Z_]+) (Session|Read|Write|Watch|Maintenance);$/gm)];
  // They belong to a connection, so no call sends them.
  const others = new Set(["HELLO", "AUTH", "BYE"]);
  const named = listed.filter(([, op]) => !others.has(op)).map(([, op, kind]) => [op, kind]);
  assert.ok(named.length > 30);
  const ofOneNode = new Set(["SNAPSHOT_INSTANCE", "COMPACT"]);
  for (const [op, kind] of named) {
    if (kind === "Watch") continue;
    const { repeatable, movable, writes } = plan(op, {}, false);
    if (kind === "Write") {
      // Without `set`, AUTOMATION only asks.
      assert.equal(writes, op !== "AUTOMATION", op);
    } else {
      assert.deepEqual([repeatable, movable, writes], [true, !ofOneNode.has(op), false], op);
    }
  }
});

test("pauses grow to the limit", () => {
  const backoff = new Backoff(10, 50);
  for (const full of [10, 20, 40, 50, 50]) {
    const pause = backoff.pause();
    assert.ok(pause >= full / 2 && pause <= full);
  }
});

test("events of one offset are counted, and going back is an error", () => {
  assert.equal(Tracker.begin(undefined, { wal_offset: 10, earliest_offset: 3 }).offset, 11);
  assert.equal(Tracker.begin({ from_offset: 0 }, { wal_offset: 10, earliest_offset: 3 }).offset, 3);
  assert.equal(Tracker.begin(undefined, { current_wal_offset: 2, earliest_offset: 9 }).offset, 9);
  const tracker = Tracker.begin(undefined, { wal_offset: 4 });
  assert.ok(!tracker.covers(5) && tracker.covers(4));
  assert.ok(tracker.advance(6) && tracker.advance(6));
  tracker.resume();
  assert.ok(!tracker.advance(6));
  // Lost again in the middle of the repetition.
  tracker.resume();
  assert.deepEqual([tracker.advance(6), tracker.advance(6), tracker.advance(6)], [false, false, true]);
  tracker.lookedAt(90);
  assert.ok(tracker.covers(90) && tracker.advance(91));
  assert.throws(() => tracker.advance(8), rstmdb.ProtocolError);
});

test("a position survives its file, and a damaged file is refused", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "rstmdb-node-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = new rstmdb.PositionFile(join(folder, "position"));
  assert.equal(file.load(), undefined);
  file.save({ from_offset: 7, cluster_id: "c", delivered: 2 });
  assert.deepEqual(file.load(), { from_offset: 7, cluster_id: "c", delivered: 2 });
  for (const bad of ["", "7", '{"from_offset":-1}', '{"from_offset":"7"}', '{"from_offset":1,"cluster_id":2}']) {
    writeFileSync(file.path, bad);
    assert.throws(() => file.load(), rstmdb.ConfigError);
  }
});
