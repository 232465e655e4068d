// How far a watch has come, and where it resumes.

import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { ConfigError, ProtocolError } from "./errors.js";

/**
 * Checks the position of a watch: `{from_offset, cluster_id, delivered}`. Events of one atomic batch share an offset, and
 * their order is the same on every node, so `delivered` says how many events at `from_offset` were delivered already.
 */
export function checkPosition(position) {
  const shown = JSON.stringify(position);
  if (position === null || typeof position !== "object") throw new ConfigError(`${shown} is not the position of a watch`);
  const { from_offset: fromOffset, cluster_id: clusterId, delivered = 0 } = position;
  for (const [name, value] of [["from_offset", fromOffset], ["delivered", delivered]]) {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new ConfigError(`${name}: ${JSON.stringify(value)} is not an integer from 0 on, in the position of a watch`);
    }
  }
  if (clusterId !== undefined && clusterId !== null && typeof clusterId !== "string") {
    throw new ConfigError(`cluster_id: ${JSON.stringify(clusterId)} is not a text, in the position of a watch`);
  }
  return { from_offset: fromOffset, cluster_id: clusterId ?? undefined, delivered };
}

/** Keeps the position of a watch in a file. After a crash the file has the position before, or the new one. */
export class PositionFile {
  constructor(path) {
    this.path = path;
  }

  /** The position; undefined if none was saved yet. */
  load() {
    let text;
    try {
      text = readFileSync(this.path, "utf8");
    } catch (error) {
      if (error.code === "ENOENT") return undefined;
      throw error;
    }
    try {
      return checkPosition(JSON.parse(text));
    } catch (error) {
      throw new ConfigError(`${this.path}: ${error.message}`);
    }
  }

  /** Replaces the file as a whole. */
  save(position) {
    const file = openSync(`${this.path}.new`, "w");
    try {
      writeSync(file, `${JSON.stringify(position)}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(`${this.path}.new`, this.path);
  }
}

/** Counts what a watch has delivered. */
export class Tracker {
  constructor(offset, delivered) {
    /** Where to resume from, inclusive. */
    this.offset = offset;
    /** How many events at that offset have been delivered. */
    this.delivered = delivered;
    // How many of those the current connection will bring again.
    this.repeats = delivered;
  }

  /** For a watch that has just begun: where it was asked to, or after the head. */
  static begin(given, begun) {
    const earliest = begun.earliest_offset ?? 0;
    if (given === undefined) {
      const head = begun.wal_offset ?? begun.current_wal_offset ?? 0;
      // The instance may not have changed since before the retained history. Then no event of it is missing.
      return new Tracker(Math.max(head + 1, earliest), 0);
    }
    // "The earliest" must stay the same offset, even if retention drops entries before the watch resumes.
    if (given.from_offset === 0) return new Tracker(earliest, 0);
    return new Tracker(given.from_offset, given.delivered);
  }

  /** The connection is a new one and starts at `offset` again. */
  resume() {
    this.repeats = this.delivered;
  }

  /** Whether the event at this offset is new. */
  advance(offset) {
    if (!Number.isSafeInteger(offset)) throw new ProtocolError("the server sent an event without an offset");
    if (offset < this.offset) {
      throw new ProtocolError(`the server sent an event at offset ${offset} after one at ${this.offset}`);
    }
    if (offset > this.offset) {
      Object.assign(this, { offset, delivered: 1, repeats: 0 });
      return true;
    }
    if (this.repeats > 0) {
      this.repeats -= 1;
      return false;
    }
    this.delivered += 1;
    return true;
  }

  /** The server has compared everything up to this offset with the filter, and has sent what matched. */
  lookedAt(offset) {
    if (!Number.isSafeInteger(offset)) throw new ProtocolError("the server sent progress without an offset");
    if (offset >= this.offset) Object.assign(this, { offset: offset + 1, delivered: 0, repeats: 0 });
  }

  /** Whether a change at this offset has been delivered, or is before the requested start. */
  covers(offset) {
    return offset < this.offset || (offset === this.offset && this.delivered > 0);
  }
}
