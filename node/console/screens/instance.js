// One instance: its state and context, its history, and what can happen next.

import { follow, get } from "../api.js";
import { Diagram } from "../diagram.js";
import { badge, h, loading, name, note, show } from "../dom.js";
import { ago, instant, number, plural, time } from "../format.js";
import { guards, problem, wantsSignIn } from "../problem.js";
import { link } from "../router.js";
import { later } from "../scope.js";
import { changed, tree } from "../tree.js";
import { applyDialog } from "./apply.js";
import { History } from "./history.js";

const TITLES = { create_instance: "created", delete_instance: "deleted", timer_spent: "timer without effect", set_timers: "timers set" };

/** Everything about the write of a step that its client has said. */
function said({ meta, entry }) {
  const facts = [["By", meta.actor ?? entry.actor], ["Why", meta.reason], ["Work", meta.correlation_id], ["Cause", meta.causation_id],
    ["Fence", meta.fence && `${meta.fence.lock}, token ${meta.fence.token}`], ["Timer", entry.timer?.name], ["Key", entry.idempotency_key]];
  const headers = Object.entries(meta.headers ?? {});
  const shown = [...facts.filter(([, value]) => value !== undefined && value !== null), ...headers];
  return shown.length > 0 && h("dl.said", null, shown.map(([key, value]) => [h("dt", null, name(key)), h("dd", null,
    key === "Cause" && /^\d+$/.test(value) ? h("a", { href: link(["log", value]) }, value) : name(value))]));
}

function line(step, isShown, choose) {
  return h(`li.step${isShown ? ".shown" : ""}`, null,
    h("button.link.step-title", { type: "button", "aria-current": isShown ? "step" : null, onclick: choose },
      h("span.what", null, step.event ?? TITLES[step.type] ?? step.type)),
    h("span.way", null, step.from !== null && step.from !== step.to && [name(step.from), " → "], step.to !== null && name(step.to)),
    h("time", { datetime: instant(step.at), title: instant(step.at) }, time(step.at)),
    h("a.offset", { href: link(["log", step.offset]), title: "In the log" }, number(step.offset)),
    said(step));
}

function nextEvent(item, open) {
  const taken = item.outcome === "taken";
  return h("li.next", null,
    h("div.next-head", null, h("strong", null, name(item.event)), badge(taken ? "allowed" : "refused", taken ? "good" : "bad"),
      item.to_state !== undefined && h("span.way", null, "→ ", name(item.to_state)),
      h("button", { type: "button", onclick: () => open(item.event), "aria-label": `Apply ${item.event}` }, "Apply …")),
    item.message !== undefined && h("p.note", null, h("code", null, item.code), " ", item.message),
    item.guards.length > 0 && guards(item.guards),
    (item.always ?? []).map((always) => h("div", null, h("p.note", null, "on the way, in ", name(always.state)), guards(always.guards))));
}

export default async function instance(main, { id, scope }) {
  main.append(loading());
  const history = new History(id, scope.signal);
  const state = h("span");
  const sub = h("p.sub");
  const live = badge("connecting");
  const picture = h("div");
  const slider = h("input", { type: "range", min: 0, max: 0, value: 0, "aria-label": "Point of the history", disabled: true });
  const at = h("p.note", { "aria-live": "polite" });
  const context = h("div");
  const timers = h("div");
  const next = h("ol.plain-list");
  const steps = h("ol.steps");
  const older = h("button", { type: "button", hidden: true }, "Show older");
  const trouble = h("div");
  let found;
  let diagram;
  let machineKey;
  let point = 0;
  let follows = true;

  const drawPoint = () => {
    const all = history.steps;
    const step = all[point];
    slider.max = String(Math.max(0, all.length - 1));
    slider.value = String(point);
    slider.disabled = all.length < 2;
    slider.setAttribute("aria-valuetext", step ? `${step.event ?? step.type}, offset ${step.offset}` : "");
    const isLast = point >= all.length - 1;
    const ctx = isLast && found ? found.ctx : (step?.ctx ?? {});
    const marked = changed(all[point - 1]?.ctx, ctx);
    show(at, step ? `After step ${point + 1} of ${all.length}: ${step.event ?? TITLES[step.type] ?? step.type}, offset ${number(step.offset)}` : "Its history is not in the log any more.");
    show(context, tree(ctx, all.length > 1 && point > 0 ? marked : undefined));
    const walked = all.slice(0, point + 1).filter((one) => one.type === "apply_event");
    diagram?.light(walked, isLast && found ? found.state : step?.to);
    const lines = all.map((one, index) => line(one, index === point, () => choose(index)));
    show(steps, lines.reverse(), history.isCut && h("li.note", null, "Older steps are not in the log any more."));
    older.hidden = history.older === undefined;
  };
  const choose = (index) => {
    point = index;
    follows = index >= history.steps.length - 1;
    drawPoint();
  };
  slider.addEventListener("input", () => choose(Number(slider.value)));
  older.addEventListener("click", async () => {
    const before = history.steps.length;
    await history.readOlder();
    choose(point + history.steps.length - before);
  });
  const open = (event, events = []) => applyDialog({ id, events, chosen: event, instance: found, done: refresh, signal: scope.signal });

  const drawNext = async () => {
    try {
      const allowed = await get(["instances", id, "allowed-events"], {}, scope.signal);
      const names = allowed.events.map((item) => item.event);
      show(next, allowed.events.length === 0 ? h("li.note", null, "No event leads out of this state.") : allowed.events.map((item) => nextEvent(item, (event) => open(event, names))),
        allowed.has_more && h("li.note", null, "The state has more events, which the node did not look at."));
    } catch (error) {
      if (!wantsSignIn(error) && !scope.ended) show(next, h("li", null, problem(error)));
    }
  };
  const drawMachine = async () => {
    const key = `${found.machine} ${found.version}`;
    if (key === machineKey) return;
    machineKey = key;
    const got = await get(["machines", found.machine, "versions", String(found.version)], { include: "layout" }, scope.signal);
    diagram = got.layout ? new Diagram(got.layout, { label: `The way of ${id} through ${found.machine}` }) : undefined;
    show(picture, diagram ? h("div.frame", { tabindex: "0", role: "region", "aria-label": "The picture; it scrolls" }, diagram.element) : note("The machine is too large for a picture."));
  };
  const refresh = async () => {
    try {
      found = await get(["instances", id], {}, scope.signal);
      await Promise.all([drawMachine(), history.readNew(found.last_wal_offset), drawNext()]);
      if (scope.ended) return;
      show(trouble);
      show(state, badge(found.state, "accent"));
      show(sub, h("a", { href: link(["machines", found.machine], { version: found.version }) }, name(found.machine), ` v${found.version}`),
        " · last change at offset ", h("a", { href: link(["log", found.last_wal_offset]) }, number(found.last_wal_offset)), " ", live);
      const armed = found.timers ?? [];
      show(timers, found.timers_suspended && badge("suspended", "warn"),
        armed.length === 0 ? note("No timer is armed.") : h("ul.plain-list", null, armed.map((timer) => h("li", null, h("strong", null, name(timer.name)), ` ${ago(timer.due_at)}`,
          h("time.note", { datetime: instant(timer.due_at) }, ` ${time(timer.due_at)}`), timer.refusals > 0 && badge(plural(timer.refusals, "refusal", "refusals"), "warn")))));
      if (follows) point = Math.max(0, history.steps.length - 1);
      drawPoint();
    } catch (error) {
      if (!scope.ended && !wantsSignIn(error)) show(trouble, problem(error, refresh));
    }
  };

  found = await get(["instances", id], {}, scope.signal);
  show(main,
    h("header.head", null, h("h1", null, name(id), " ", state), sub,
      h("div.actions", null, h("button.primary", { type: "button", onclick: () => open(undefined) }, "Apply an event"))),
    trouble,
    h("section.card.picture", { "aria-label": "Its way" }, picture, h("div.slide", null, slider, at)),
    h("div.columns", null,
      h("section.card", null, h("h2", null, "Context"), context),
      h("section.card", null, h("h2", null, "What can happen next"), next)),
    h("div.columns", null,
      h("section.card", null, h("h2", null, "Time line"), steps, older),
      h("section.card", null, h("h2", null, "Timers"), timers)));
  await refresh();
  const soon = later(80, refresh);
  follow(["instances", id, "watch"], { include: ["created", "deleted", "timer_spent"], include_ctx: false }, {
    signal: scope.signal,
    onState: (now) => {
      show(live, now === "live" ? "live" : now === "waiting" ? "reconnecting" : now);
      if (now === "live") soon();
    },
    onMessage: (event) => {
      if (event.type !== "event") return;
      if (event.event) diagram?.flow({ from: event.from_state, event: event.event, to: event.to_state });
      soon();
    },
  });
}
