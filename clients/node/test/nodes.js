// Real nodes. They need the program `rstmdb` in RSTMDB_BIN_DIR (`target/debug` by default).

import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, openSync, closeSync, readFileSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Client, InstanceNotFound } from "../index.js";

export const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const PROGRAM = join(process.env.RSTMDB_BIN_DIR || join(ROOT, "target", "debug"), "rstmdb");
// A node that is killed and started again must find its port free, so these are below the range that the system takes for
// outgoing connections. Two test processes at the same time begin at different places.
const [FIRST_PORT, PORTS] = [20_000, 12_000];
const taken = new Set();

/** Why tests with real nodes are skipped, if they are. */
export const missing = existsSync(PROGRAM) ? false : `${PROGRAM} does not exist: build it, or set RSTMDB_BIN_DIR`;

async function freePort() {
  for (let step = 0; step < PORTS; step += 1) {
    const port = FIRST_PORT + ((process.pid * 97 + step) % PORTS);
    if (taken.has(port)) continue;
    taken.add(port);
    const server = net.createServer();
    const free = await new Promise((resolve) => {
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
    });
    if (free) return port;
  }
  throw new Error("no port is free");
}

class Node {
  constructor(folder, port, args) {
    this.folder = folder;
    this.args = args;
    this.address = `127.0.0.1:${port}`;
    this.settings = {
      RSTMDB_BIND: this.address,
      RSTMDB_DATA: join(folder, "data"),
      RSTMDB_METRICS_ENABLED: "false",
      RSTMDB_HTTP_BIND: "none",
      RSTMDB_WAL_SEGMENT_SIZE_MB: "1",
      RSTMDB_MIN_FREE_MB: "16",
    };
  }

  start() {
    mkdirSync(this.folder, { recursive: true });
    const log = openSync(join(this.folder, "log"), "a");
    this.process = spawn(PROGRAM, this.args, { env: { ...process.env, ...this.settings }, stdio: ["ignore", log, log] });
    this.ended = new Promise((resolve) => this.process.once("exit", resolve));
    closeSync(log);
  }

  /** As `kill -9` does. */
  kill() {
    return this.end("SIGKILL");
  }

  /** As an operator does: the node finishes what it works on, and hands over its leadership. */
  stop() {
    return this.end("SIGTERM");
  }

  async end(signal) {
    if (this.process === undefined) return;
    this.process.kill(signal);
    await this.ended;
    this.process = undefined;
  }
}

/** Starts one node or several for this test. */
export async function nodes(t, count = 1, { args = [], settings = () => ({}) } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "rstmdb-node-"));
  const made = [];
  for (let at = 1; at <= count; at += 1) made.push(new Node(join(folder, String(at)), await freePort(), args));
  for (const node of made) Object.assign(node.settings, settings(folder));
  if (count > 1) {
    const peers = [];
    for (const _ of made) peers.push(`127.0.0.1:${await freePort()}`);
    const listed = made.map(({ address }, at) => `${at + 1}=${peers[at]}/${address}`).join(",");
    for (const [at, node] of made.entries()) {
      Object.assign(node.settings, { RSTMDB_NODE_ID: String(at + 1), RSTMDB_PEERS: listed, RSTMDB_PEER_BIND: peers[at] });
    }
  }
  t.after(async () => {
    for (const node of made) await node.kill();
    rmSync(folder, { recursive: true, force: true });
  });
  for (const node of made) node.start();
  return Object.assign(made, { folder, addresses: made.map(({ address }) => address) });
}

/** A client, once the nodes have a leader. */
export async function connected(t, all, options = {}) {
  const db = new Client(all.addresses, { timeout: 20_000, ...options });
  t.after(() => db.close());
  try {
    // A busy machine takes its time to start them.
    await db.getInstance("nothing", { timeout: 60_000 });
  } catch (error) {
    if (!(error instanceof InstanceNotFound)) {
      const logs = all.map(({ folder }) => readFileSync(join(folder, "log"), "utf8").slice(-3000));
      throw new Error(`${error}\n${logs.join("\n")}`);
    }
  }
  return db;
}

/** The node that leads, once there is one. */
export async function leader(db, all) {
  for (const until = Date.now() + 20_000; Date.now() < until; await sleep(100)) {
    const { leader: told } = await db.info();
    const node = all.find(({ address }) => address === told?.rcp_addr);
    if (node?.process !== undefined) return node;
  }
  throw new Error("no node leads");
}
