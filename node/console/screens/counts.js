// How many instances a machine has in each state: read once, then kept up by the events.

import { batch } from "../api.js";

const OPS_MAX = 100;
/** Machines with more states show counts only of those in view. */
export const COUNTED_MAX = 1000;

/** Totals of LIST_INSTANCES, which the node has at hand. */
export async function countStates(machine, states, signal) {
  const counts = new Map();
  for (let begin = 0; begin < states.length; begin += OPS_MAX) {
    const part = states.slice(begin, begin + OPS_MAX);
    const ops = part.map((state) => ({ op: "LIST_INSTANCES", params: { machine, state, limit: 0 } }));
    const results = await batch(ops, signal);
    results.forEach((item, index) => {
      if (item.status === "ok") counts.set(part[index], item.result.total);
    });
  }
  return counts;
}

/** What an event changes. */
export function count(counts, event) {
  const add = (state, by) => counts.has(state) && counts.set(state, Math.max(0, counts.get(state) + by));
  if (event.kind === "timer_spent") return;
  if (event.from_state !== null) add(event.from_state, -1);
  if (event.to_state !== null) add(event.to_state, 1);
}

export const stateName = (state) => (typeof state === "string" ? state : state.name);
