// The timers that are armed, by due time.

import { get } from "../api.js";
import { badge, empty, h, loading, name, show } from "../dom.js";
import { ago, instant, number, plural, time } from "../format.js";
import { problem, wantsSignIn } from "../problem.js";
import { go, link } from "../router.js";
import { VirtualList } from "../virtual.js";

const POLL_MS = 5000;
const PAGE = 100;

export default async function timers(main, { query, scope }) {
  const isSuspended = query.suspended === "yes";
  const sub = h("p.sub");
  const area = h("div.fills", null, loading());
  const which = h("select", { "aria-label": "Which timers", "data-search": true, onchange: (event) => go(["timers"], { suspended: event.target.value }) },
    h("option", { value: "" }, "By due time"), h("option", { value: "yes", selected: isSuspended }, "Suspended"));
  main.append(h("header.head", null, h("h1", null, "Timers"), sub, h("div.actions", null, which)), area);
  let items = [];
  let next;
  let isBusy = false;
  const list = new VirtualList({
    label: "Timers",
    rowHeight: 52,
    row: (index) => {
      const timer = items[index];
      const late = !isSuspended && timer.due_at < Date.now() - 2000;
      return h("a.row", { href: link(["instances", timer.instance_id]) },
        h("span.row-main", null, name(timer.instance_id, "strong"), timer.refusals > 0 && badge(plural(timer.refusals, "refusal", "refusals"), "warn")),
        h("span.row-side", null, name(timer.machine), " in ", name(timer.state)),
        h("span.row-state", null, name(timer.name)),
        h("span.row-end", null, h("time", { datetime: instant(timer.due_at), title: time(timer.due_at) }, ago(timer.due_at)), late && badge("overdue", "warn")));
    },
    near: (last) => last >= items.length - 20 && more(),
  });
  const read = (after) => get(["timers"], { limit: PAGE, suspended: isSuspended || undefined, after: after && JSON.stringify(after) }, scope.signal);
  const more = async () => {
    if (!next || isBusy) return;
    isBusy = true;
    try {
      const page = await read(next);
      items.push(...page.timers);
      next = page.next;
      list.update(items.length);
    } catch (error) {
      if (!scope.ended && !wantsSignIn(error)) show(area, problem(error));
    } finally {
      isBusy = false;
    }
  };
  scope.poll(POLL_MS, async () => {
    // A page that the user has scrolled away from stays as it is.
    if (list.element.scrollTop > 0) return;
    const page = await read();
    [items, next] = [page.timers, page.next];
    show(sub, `${number(page.armed)} armed`, page.overdue > 0 && [", ", badge(`${number(page.overdue)} overdue`, "warn")]);
    if (items.length === 0) show(area, isSuspended ? empty("No timers are suspended") : empty("No timers are armed", "States of a machine may have timers: events that the database applies by itself."));
    else {
      if (!list.element.isConnected) show(area, list.element);
      list.update(items.length);
    }
  }, (error) => !wantsSignIn(error) && items.length === 0 && show(area, problem(error)));
}
