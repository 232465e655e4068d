// One machine: its picture, its instances by state, and its events as they happen.

import { follow, get } from "../api.js";
import { Diagram } from "../diagram.js";
import { badge, h, loading, name, note, show } from "../dom.js";
import { number, plural, short } from "../format.js";
import { go, link } from "../router.js";
import { later } from "../scope.js";
import { tree } from "../tree.js";
import { VirtualList } from "../virtual.js";
import { COUNTED_MAX, count, countStates, stateName } from "./counts.js";

/** Counts are read again so often: events of a short absence may be missing. */
const RECOUNT_MS = 60_000;
const EVENTS_SHOWN = 30;

export default async function machine(main, { machine: id, query, scope }) {
  main.append(loading());
  const version = query.version ? Number(query.version) : undefined;
  const parts = version ? ["machines", id, "versions", String(version)] : ["machines", id];
  const [got, listed] = await Promise.all([get(parts, { include: "layout" }, scope.signal), get(["machines"], {}, scope.signal)]);
  const versions = listed.items.find((item) => item.machine === id)?.versions ?? [got.version];
  const states = got.definition.states.map(stateName);
  const counts = new Map();
  const recent = h("ol.events");
  const live = badge("connecting");
  const total = h("span");
  const picture = got.layout ? drawn(id, got.layout) : listedStates(id, got.definition, counts, scope);

  const choose = h("select", { "aria-label": "Version", onchange: (event) => go(["machines", id], { version: event.target.value }) },
    versions.toReversed().map((one) => h("option", { value: one, selected: one === got.version }, `Version ${one}`)));
  show(main,
    h("header.head", null, h("h1", null, name(id)), h("p.sub", null, total, " ", live),
      h("div.actions", null, choose,
        versions.length > 1 && h("a.button", { href: link(["machines", id, "versions"]) }, "Compare"),
        h("a.button", { href: link(["instances"], { machine: id }) }, "Instances"),
        h("a.button", { href: link(["machines", id, "edit"], { version: got.version }) }, "Edit"))),
    (got.warnings ?? []).length > 0 && h("details.card.warnings", null, h("summary", null, plural(got.warnings.length, "warning", "warnings")),
      h("ul", null, got.warnings.map((warning) => h("li", null, h("code", null, warning.place), " ", warning.text)))),
    h("section.card.picture", { "aria-label": "Diagram" }, picture.element),
    h("div.columns", null,
      h("section.card", null, h("h2", null, "As it happens"), recent, note("Events of this machine, since this screen was opened.")),
      h("section.card.definition", { tabindex: "0", "aria-label": "Definition" }, h("h2", null, "Definition"), tree(got.definition), h("p.note", null, "SHA-256 ", h("code.cut", null, got.checksum)))));

  const redraw = () => {
    picture.counts(counts);
    let sum = 0;
    for (const value of counts.values()) sum += value;
    show(total, states.length > COUNTED_MAX ? plural(states.length, "state", "states") : `${plural(sum, "instance", "instances")} in ${plural(states.length, "state", "states")}`);
  };
  const soon = later(120, redraw);
  scope.poll(RECOUNT_MS, async () => {
    if (states.length > COUNTED_MAX) return;
    for (const [state, value] of await countStates(id, states, scope.signal)) counts.set(state, value);
    redraw();
  });
  redraw();
  follow(["watch"], { machines: id, include: ["created", "deleted"], include_ctx: false }, {
    signal: scope.signal,
    onState: (state) => show(live, state === "live" ? "live" : state === "waiting" ? "reconnecting" : state),
    onMessage: (event) => {
      if (event.type !== "event" || event.machine !== id) return;
      count(counts, event);
      soon();
      picture.flow(event);
      recent.prepend(happened(event));
      while (recent.childElementCount > EVENTS_SHOWN) recent.lastChild.remove();
    },
  });
}

export function happened(event) {
  const what = event.kind === "created" ? "created" : event.kind === "deleted" ? "deleted" : event.event;
  return h("li.event-row", null,
    h("span.when", null, number(event.wal_offset)),
    h("a", { href: link(["instances", event.instance_id]) }, name(event.instance_id)),
    h("span.what", null, what ?? "–"),
    h("span.way", null, event.from_state !== null && name(event.from_state), " → ", event.to_state !== null && name(event.to_state)));
}

function drawn(id, layout) {
  const diagram = new Diagram(layout, { label: `The states and transitions of ${id}`, onState: (state) => go(["instances"], { machine: id, state }) });
  const frame = h("div.frame", { tabindex: "0", role: "region", "aria-label": "The picture; it scrolls" }, diagram.element);
  return {
    element: frame,
    counts: (counts) => diagram.setCounts(counts),
    flow: (event) => event.event && diagram.flow({ from: event.from_state, event: event.event, to: event.to_state }),
  };
}

/** A machine that is too large for a picture: its states as a list, each with its transitions. */
function listedStates(id, definition, counts, scope) {
  const names = definition.states.map(stateName);
  const leaving = new Map(names.map((state) => [state, []]));
  for (const transition of definition.transitions) {
    const from = [transition.from].flat();
    for (const state of from[0] === "*" ? names : from) leaving.get(state)?.push(`${transition.event} → ${transition.to}`);
  }
  let shown = names;
  const asked = new Set();
  const search = h("input", { type: "search", "data-search": true, placeholder: "Filter states", "aria-label": "Filter states" });
  const list = new VirtualList({
    label: "States",
    rowHeight: 52,
    row: (index) => {
      const state = shown[index];
      const ways = leaving.get(state);
      const value = counts.get(state);
      return h("a.row", { href: link(["instances"], { machine: id, state }) },
        h("span.row-main", null, name(state, "strong"), ways.length === 0 && badge("final")),
        h("span.row-side", null, ways.slice(0, 4).join(", "), ways.length > 4 && ` and ${ways.length - 4} more`),
        h("span.row-end", null, value === undefined ? "" : short(value)));
    },
    near: later(200, async () => {
      const rows = [...list.inner.children].map((row) => shown[Number(row.dataset.row)]);
      const wanted = rows.filter((state) => state !== undefined && !asked.has(state) && !counts.has(state)).slice(0, 100);
      if (wanted.length === 0) return;
      wanted.forEach((state) => asked.add(state));
      for (const [state, value] of await countStates(id, wanted, scope.signal)) counts.set(state, value);
      list.draw();
    }),
  });
  search.addEventListener("input", () => {
    shown = names.filter((state) => state.toLowerCase().includes(search.value.toLowerCase()));
    list.update(shown.length);
  });
  list.update(names.length);
  return {
    element: h("div", null, note("This machine is too large for a picture. Each state with the transitions that leave it:"), search, list.element),
    counts: () => list.draw(),
    flow: () => {},
  };
}
