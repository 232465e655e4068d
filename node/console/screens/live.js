// The stream of events, filtered by the node.

import { follow, get } from "../api.js";
import { badge, empty, h, name, show } from "../dom.js";
import { number } from "../format.js";
import { problem, wantsSignIn } from "../problem.js";
import { link, note as noteUrl } from "../router.js";
import { Scope, later } from "../scope.js";
import { VirtualList } from "../virtual.js";

/** Older events leave the page. They stay in the log. */
const KEPT = 5000;
const NAMES = { event: "", created: "created", deleted: "deleted", timer_spent: "timer without effect", flushed: "everything removed" };

const names = (text) => text.split(",").map((one) => one.trim()).filter((one) => one !== "");

export default async function live(main, { query, scope }) {
  const field = (label, key, more) => h("input", { "aria-label": label, placeholder: label, value: query[key] ?? "", "data-key": key, autocomplete: "off", spellcheck: "false", ...more });
  const fields = [field("Machines", "machines", { "data-search": true, list: "machines" }), field("From states", "from_states"), field("To states", "to_states"), field("Events", "events"), field("Offset", "from_offset", { type: "number", min: 0 })];
  const kinds = h("label.inline", null, h("input", { type: "checkbox", checked: query.all !== "no" }), " creations, deletions, timers");
  const known = h("datalist", { id: "machines" });
  const pause = h("button", { type: "button", "aria-pressed": "false" }, "Pause");
  const state = h("span", { "aria-live": "polite" }, badge("connecting"));
  const sub = h("p.sub", null, state);
  const area = h("div.fills");
  main.append(h("header.head", null, h("h1", null, "Live"), sub, h("div.actions", null, pause)),
    h("form.filters", { onsubmit: (event) => event.preventDefault() }, fields, kinds, known), area);

  let events = [];
  let waiting = [];
  let isPaused = false;
  let stream = new Scope();
  scope.onEnd(() => stream.end());
  const list = new VirtualList({
    label: "Events, the newest first",
    rowHeight: 44,
    row: (index) => {
      const event = events[events.length - 1 - index];
      const what = event.kind && event.kind !== "event" ? NAMES[event.kind] ?? event.kind : event.event;
      return h("a.row.event-line", { href: event.instance_id === undefined ? link(["log", event.wal_offset]) : link(["instances", event.instance_id]) },
        h("span.when", null, number(event.wal_offset)),
        h("span.row-main", null, event.instance_id !== undefined && name(event.instance_id, "strong")),
        h("span.what", null, what ?? "–"),
        h("span.way", null, event.from_state && name(event.from_state), event.to_state && [" → ", name(event.to_state)]),
        h("span.row-end", null, event.machine && name(event.machine)));
    },
  });
  const draw = () => {
    if (isPaused) {
      show(pause, waiting.length > 0 ? `Go on (${number(waiting.length)} new)` : "Go on");
      return;
    }
    if (events.length === 0) {
      show(area, empty("Nothing has happened yet", "Events appear here as they happen. With an offset the stream begins there; 0 is the earliest that is kept."));
      return;
    }
    if (!list.element.isConnected) show(area, list.element);
    list.update(events.length);
  };
  let frame;
  const soon = () => {
    frame ??= requestAnimationFrame(() => {
      frame = undefined;
      draw();
    });
  };
  const take = (event) => {
    const into = isPaused ? waiting : events;
    into.push(event);
    if (into.length > KEPT) into.splice(0, into.length - KEPT);
  };
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.setAttribute("aria-pressed", String(isPaused));
    if (!isPaused) {
      events.push(...waiting);
      events = events.slice(-KEPT);
      waiting = [];
      show(pause, "Pause");
    }
    draw();
  });
  const begin = () => {
    stream.end();
    stream = new Scope();
    events = [];
    waiting = [];
    draw();
    const said = Object.fromEntries(fields.map((one) => [one.dataset.key, one.value.trim()]));
    const all = kinds.firstElementChild.checked;
    noteUrl(["live"], { ...said, all: all ? "" : "no" });
    const filter = { include_ctx: false, from_offset: said.from_offset };
    for (const key of ["machines", "from_states", "to_states", "events"]) filter[key] = names(said[key]);
    if (all) filter.include = ["created", "deleted", "timer_spent"];
    follow(["watch"], filter, {
      signal: stream.signal,
      onState: (now, error) => {
        if (now === "refused") {
          if (!wantsSignIn(error)) show(area, problem(error, begin));
          return;
        }
        show(state, now === "live" ? badge("live", "good") : now === "gap" ? badge("older events are gone", "warn") : badge("reconnecting", "warn"),
          now === "gap" && error.details.earliest_offset !== undefined && ` The log begins at offset ${number(error.details.earliest_offset)}.`);
      },
      onMessage: (message) => {
        if (message.type !== "event") return;
        take(message);
        soon();
      },
    });
  };
  const changed = later(300, begin);
  for (const one of [...fields, kinds]) one.addEventListener("input", changed);
  begin();
  const { items } = await get(["machines"], {}, scope.signal);
  known.append(...items.slice(0, 500).map((item) => h("option", { value: item.machine })));
}

