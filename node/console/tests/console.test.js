// The parts of the console that think: run by `node --test`, without a browser.

import assert from "node:assert/strict";
import { test } from "node:test";

import { diff, sentence } from "../diff.js";
import { bytes, span } from "../format.js";
import { nearest, parse, places, position } from "../json.js";
import { link, match, read } from "../router.js";
import { fillContexts, step } from "../screens/history.js";
import { SseParser, backoff } from "../sse.js";

test("messages are the same however the stream is cut", () => {
  const text = 'event: watching\nid: 0\ndata: {"a":1}\n\n: a comment\r\n\r\nid: 5.1\r\ndata: one\r\ndata: two\r\n\r\nevent: progress\rid: 6\rdata:x\r\r';
  const whole = new SseParser().push(`${text}\n`);
  assert.deepEqual(whole, [
    { event: "watching", id: "0", data: '{"a":1}' },
    { event: "message", id: "5.1", data: "one\ntwo" },
    { event: "progress", id: "6", data: "x" },
  ]);
  for (let cut = 1; cut < text.length; cut += 1) {
    const parser = new SseParser();
    assert.deepEqual([...parser.push(text.slice(0, cut)), ...parser.push(`${text.slice(cut)}\n`)], whole, `cut at ${cut}`);
  }
});

test("a message that has not ended is not told, and the last id stays", () => {
  const parser = new SseParser();
  assert.deepEqual(parser.push("id: 7\ndata: x"), []);
  assert.deepEqual(parser.push("\n\ndata: y\n\n").map((message) => message.id), ["7", "7"]);
  assert.deepEqual(parser.push("data\n\n")[0].data, "");
});

test("the waits between tries grow to five seconds", () => {
  assert.ok(backoff(0) < backoff(1));
  assert.equal(backoff(100), 5000);
});

test("a link leads back to its parts, whatever names are in it", () => {
  for (const name of ["order", "a/b ü", "%", "?#&=", "..", "<b>", "\u202e\u001b[31m"]) {
    const found = read(link(["machines", name], { state: name, empty: "" }));
    assert.deepEqual(found, { parts: ["machines", name], query: { state: name } });
  }
  assert.deepEqual(read("#/instances/%E0%A4%A"), { parts: ["instances", "%E0%A4%A"], query: {} });
});

test("a route fits all parts or none", () => {
  const routes = [{ path: ["log"] }, { path: ["machines", ":machine", "edit"] }];
  assert.deepEqual(match(routes, ["machines", "edit", "edit"])?.given, { machine: "edit" });
  assert.equal(match(routes, ["machines", "order"]), null);
});

const ONE = { states: ["a", "b", { name: "c", final: true }], initial: "a", transitions: [
  { from: ["a", "b"], event: "GO", to: "c" },
  { from: "b", event: "TRY", to: "a", guard: "ctx.x > 1" },
  { from: "b", event: "TRY", to: "c" },
] };

test("a difference names each state, transition and key that is new, gone or other", () => {
  const two = { states: ["a", "b", { name: "c", final: true, emit: "x" }, "d"], initial: "b", transitions: [
    { from: "a", event: "GO", to: "c" },
    { from: "b", event: "TRY", to: "a", guard: "ctx.x > 2" },
    { from: "b", event: "TRY", to: "c" },
    { from: "d", event: "GO", to: "a" },
  ] };
  const found = diff(ONE, two);
  const news = (items) => items.filter((item) => item.kind !== "same").map((item) => [item.name ?? `${item.from} ${item.event}`, item.kind]);
  assert.deepEqual(news(found.states), [["c", "changed"], ["d", "added"]]);
  assert.deepEqual(news(found.transitions), [["b GO", "removed"], ["b TRY", "changed"], ["d GO", "added"]]);
  assert.deepEqual(news(found.other), [["initial", "changed"]]);
  assert.deepEqual(Object.values(diff(ONE, ONE)).flat().filter((item) => item.kind !== "same"), []);
  assert.equal(sentence({ to: "a", guard: "ctx.x", emit: "y" }), '→ a if ctx.x {"emit":"y"}');
});

test("each value of a definition has a place in its text", () => {
  const text = '{\n "states": ["a", "b"],\n "transitions": [{"from": "a", "guard": "ctx.\\"x"}]\n}';
  const found = places(text);
  const at = (path) => text.slice(...nearest(found, path));
  assert.equal(at("states[1]"), '"b"');
  assert.equal(at("transitions[0].guard"), '"ctx.\\"x"');
  assert.equal(at("transitions[0].to"), '{"from": "a", "guard": "ctx.\\"x"}', "what is missing is in what is there");
  assert.equal(at("nothing[9].here"), text);
  assert.deepEqual(position(text, found.get("transitions[0].from")[0]), { line: 3, column: 27 });
});

test("what is no JSON has a place, too", () => {
  for (const [text, at] of [['{"a": }', 6], ['{"a": 1', 7], ["[1, 2,]", 6], ['{"a" 1}', 5], ["01", 0], ['"x', 0], ["{} x", 3], ["", 0], ["tru", 0]]) {
    assert.throws(() => places(text), (error) => error.at === at, JSON.stringify(text));
  }
});

test("numbers keep the digits that a double would lose", { skip: typeof JSON.rawJSON !== "function" }, () => {
  const text = '{"a":12345678901234567890,"b":1.50,"c":7}';
  assert.equal(JSON.stringify(parse(text)), text);
  assert.equal(String(parse(text).a), "12345678901234567890");
});

test("sizes and spans have two digits of sense", () => {
  assert.equal(bytes(1536), "1.5 KiB");
  assert.equal(bytes(999), "999 B");
  assert.equal(span(90_061_000), "1 d 1 h");
  assert.equal(span(250), "250 ms");
});

test("a step without a context of its own has that of the step before", () => {
  const record = (offset, entry) => step({ offset, entry: { instance_id: "i", time_ms: 1, ...entry } });
  const steps = fillContexts([
    record(1, { type: "create_instance", initial_state: "a", initial_ctx: { n: 1 } }),
    record(2, { type: "timer_spent", state: "a" }),
    record(3, { type: "apply_event", event: "GO", from_state: "a", to_state: "b", ctx: { n: 2 } }),
    record(4, { type: "delete_instance" }),
  ]);
  assert.deepEqual(steps.map((one) => one.ctx.n), [1, 1, 2, 2]);
  assert.deepEqual([steps[2].from, steps[2].to], ["a", "b"]);
});
