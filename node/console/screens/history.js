// The history of an instance: from its last change back, entry by entry, as each names the one before it.

import { Problem, get } from "../api.js";

/** One record of the log at `offset` that is about the instance; an atomic batch may have several. */
async function recordsAt(offset, id, signal) {
  const page = await get(["wal"], { from_offset: offset, limit: 1, include_meta: true }, signal);
  return page.records.filter((record) => record.offset === offset && record.entry.instance_id === id);
}

const STATES = {
  create_instance: (entry) => ({ from: null, to: entry.initial_state, ctx: entry.initial_ctx }),
  apply_event: (entry) => ({ from: entry.from_state, to: entry.to_state, ctx: entry.ctx }),
  delete_instance: (entry) => ({ from: entry.from_state ?? null, to: null }),
  timer_spent: (entry) => ({ from: entry.state, to: entry.state }),
  set_timers: (entry) => ({ from: entry.state, to: entry.state }),
};

/** A record as a step: where from, where to, the context after it, and who did it why. */
export function step({ offset, entry, meta }) {
  const states = (STATES[entry.type] ?? (() => ({ from: null, to: null })))(entry);
  return { offset, type: entry.type, event: entry.event ?? null, at: entry.time_ms, meta: meta ?? {}, entry, ...states };
}

/** Steps without a context of their own have that of the step before. */
export function fillContexts(steps) {
  let ctx = {};
  for (const one of steps) {
    if (one.ctx === undefined) one.ctx = ctx;
    ctx = one.ctx;
  }
  return steps;
}

export class History {
  constructor(id, signal) {
    this.id = id;
    this.signal = signal;
    this.steps = [];
    this.older = undefined;
    this.isCut = false;
    this.reading = Promise.resolve();
  }

  /** Reads the steps from `offset` back, down to those that are known. Two at a time would both add the same ones. */
  readNew(offset, max = 50) {
    this.reading = this.reading.catch(() => {}).then(() => this.addNew(offset, max));
    return this.reading;
  }

  async addNew(offset, max) {
    const known = this.steps.at(-1)?.offset ?? 0;
    const found = await this.back(offset, known, max);
    if (this.steps.length === 0 || found.left === undefined) this.steps.push(...found.steps);
    // So much has happened that the steps between are not read: begin anew.
    else this.steps = found.steps;
    if (this.steps.length === found.steps.length) this.older = found.left;
    fillContexts(this.steps);
  }

  async readOlder(max = 50) {
    if (this.older === undefined) return;
    const found = await this.back(this.older, 0, max);
    this.steps.unshift(...found.steps);
    this.older = found.left;
    fillContexts(this.steps);
  }

  async back(offset, known, max) {
    const steps = [];
    let at = offset;
    while (at !== undefined && at > known && steps.length < max) {
      let records;
      try {
        records = await recordsAt(at, this.id, this.signal);
      } catch (error) {
        if (!(error instanceof Problem) || error.code !== "OFFSET_COMPACTED") throw error;
        this.isCut = true;
        return { steps, left: undefined };
      }
      if (records.length === 0) break;
      steps.unshift(...records.map(step));
      const first = records[0].entry;
      at = first.type === "create_instance" ? undefined : first.prev_offset;
    }
    return { steps, left: at !== undefined && at > known && steps.length >= max ? at : undefined };
  }
}
