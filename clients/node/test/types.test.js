// index.d.ts: it has the names that the modules have, and TypeScript accepts how a program uses it.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import * as rstmdb from "../index.js";
import { readOptions } from "../lib/options.js";
import { ROOT } from "./nodes.js";

const FOLDER = fileURLToPath(new URL("..", import.meta.url));
const TYPES = readFileSync(join(FOLDER, "index.d.ts"), "utf8");

/** The text between the braces of a declaration. */
function body(declaration) {
  const found = new RegExp(`^export ${declaration}[^{]*\\{([^]*?)^\\}`, "m").exec(TYPES);
  assert.ok(found, declaration);
  return found[1];
}

/** Where the compiler is: `.ci/tools` puts it below target/, a program's author into node_modules. */
function compiler() {
  const programs = process.env.RSTMDB_BIN_DIR || join(ROOT, "target", "debug");
  const tools = [join(programs, ".."), join(ROOT, "target")].map((target) => join(target, "tools", "typescript"));
  const places = [...tools, join(FOLDER, "node_modules", ".bin")];
  return [...places, ...(process.env.PATH ?? "").split(delimiter)].map((folder) => join(folder, "tsc")).find(existsSync);
}

test("every name that the module exports is declared, and no other", () => {
  const declared = [...TYPES.matchAll(/^export (?:class|namespace|const|function) (\w+)/gm)].map(([, name]) => name);
  assert.deepEqual(declared.sort(), Object.keys(rstmdb).sort());
});

test("every method and getter of the classes is declared, and no other", () => {
  for (const name of ["Client", "Watch", "PositionFile", "LockGuard"]) {
    const made = Object.getOwnPropertyNames(rstmdb[name].prototype).filter((one) => one !== "constructor");
    const members = body(`class ${name}\\b`).matchAll(/^ {2}(readonly )?(\w+)(<[^>]*>)?[(:]/gm);
    const declared = [...members].map(([, , member]) => member).filter((one) => one !== "constructor" && one !== "path");
    assert.deepEqual(declared.sort(), made.sort(), name);
  }
  assert.match(body("class Watch\\b"), /^ {2}\[Symbol\.asyncIterator\]\(\)/m);
  assert.equal(typeof rstmdb.Watch.prototype[Symbol.asyncIterator], "function");
  assert.equal(new rstmdb.PositionFile("there").path, "there");
});

test("every error has the declared base", () => {
  const declared = [...TYPES.matchAll(/^export class (\w+) extends (\w+)/gm)];
  assert.ok(declared.length > 30);
  for (const [, name, base] of declared) {
    assert.equal(Object.getPrototypeOf(rstmdb[name]), base === "Error" ? Error : rstmdb[base], name);
  }
  const error = Object.assign(new rstmdb.RstmdbError("m"), { op: "OP", params: {} });
  for (const [, name] of body("class RstmdbError").matchAll(/^ {2}(?:readonly )?(\w+)\??:/gm)) assert.ok(name in error, name);
});

test("every option is declared, and no other", () => {
  const declared = [...body("interface ClientOptions").matchAll(/^ {2}(\w+)\?:/gm)].map(([, name]) => name);
  // These are made of what was given.
  const made = Object.keys(readOptions("db", {})).filter((name) => name !== "addresses" && name !== "secure");
  assert.deepEqual(declared.sort(), made.sort());
});

test("TypeScript accepts the right uses, and refuses the wrong ones", (t) => {
  const tsc = compiler();
  if (tsc === undefined) {
    t.skip("TypeScript is not installed: .ci/tools, or npm install --no-save typescript");
    return;
  }
  // It is a script of Node.js, wherever it is.
  const done = spawnSync(process.execPath, [tsc, "-p", join(FOLDER, "types")], { encoding: "utf8" });
  assert.equal(done.status, 0, `${done.error ?? ""}${done.stdout}${done.stderr}`);
});
