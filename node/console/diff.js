// What differs between two definitions of a machine.

import { same } from "./json.js";

const stateName = (state) => (typeof state === "string" ? state : state.name);
const stateBody = (state) => {
  if (typeof state === "string") return {};
  const { name: _name, ...rest } = state;
  return rest;
};
const sources = (transition) => [transition.from].flat();

/** The transitions of a definition by state and event; several of them keep their order. */
function byKey(definition) {
  const found = new Map();
  for (const transition of definition.transitions ?? []) {
    const { from: _from, event, ...rest } = transition;
    for (const from of sources(transition)) {
      const key = JSON.stringify([from, event]);
      found.set(key, [...(found.get(key) ?? []), rest]);
    }
  }
  return found;
}

function pairs(before, after) {
  const keys = [...before.keys(), ...[...after.keys()].filter((key) => !before.has(key))];
  return keys.map((key) => ({ key, before: before.get(key), after: after.get(key) }));
}

const kind = (before, after) => (before === undefined ? "added" : after === undefined ? "removed" : same(before, after) ? "same" : "changed");

/** `{states, transitions, other}`: of each part its name, `kind` and what it was before and is after. */
export function diff(before, after) {
  const states = (definition) => new Map((definition.states ?? []).map((state) => [stateName(state), stateBody(state)]));
  const others = (definition) => {
    const { states: _states, transitions: _transitions, ...rest } = definition;
    return new Map(Object.entries(rest));
  };
  const told = ({ key, before: one, after: other }) => ({ name: key, kind: kind(one, other), before: one, after: other });
  const transitions = [];
  for (const pair of pairs(byKey(before), byKey(after))) {
    const [from, event] = JSON.parse(pair.key);
    const count = Math.max(pair.before?.length ?? 0, pair.after?.length ?? 0);
    for (let index = 0; index < count; index += 1) {
      const [one, other] = [pair.before?.[index], pair.after?.[index]];
      transitions.push({ from, event, kind: kind(one, other), before: one, after: other });
    }
  }
  return { states: pairs(states(before), states(after)).map(told), transitions, other: pairs(others(before), others(after)).map(told) };
}

/** What a transition does, on one line. */
export function sentence({ to, guard, ...rest }) {
  const more = Object.keys(rest).length > 0 ? ` ${JSON.stringify(rest)}` : "";
  return `→ ${to}${guard === undefined ? "" : ` if ${guard}`}${more}`;
}
