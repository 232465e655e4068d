// The machines.

import { batch, get } from "../api.js";
import { badge, empty, h, loading, name, note, show } from "../dom.js";
import { plural } from "../format.js";
import { link } from "../router.js";
import { VirtualList } from "../virtual.js";

const BATCH_MAX = 100;

async function totals(machines, signal) {
  const ops = machines.map((machine) => ({ op: "LIST_INSTANCES", params: { machine, limit: 0 } }));
  const results = await batch(ops, signal);
  return results.map((item) => (item.status === "ok" ? item.result.total : undefined));
}

export default async function machines(main, { scope }) {
  const search = h("input", { type: "search", "data-search": true, placeholder: "Filter by name", "aria-label": "Filter by name" });
  const sub = h("p.sub");
  const area = h("div", null, loading());
  main.append(h("header.head", null, h("h1", null, "Machines"), sub,
    h("div.actions", null, search, h("a.button", { href: link(["new-machine"]) }, "New machine"))), area);
  const { items } = await get(["machines"], {}, scope.signal);
  if (items.length === 0) {
    show(area, empty("No machines yet", "A machine says which states its instances may have. ", h("a", { href: link(["new-machine"]) }, "Write the first one"), "."));
    return;
  }
  show(sub, plural(items.length, "machine", "machines"));
  const counted = new Map();
  let shown = items;
  const list = new VirtualList({
    label: "Machines",
    rowHeight: 56,
    row: (index) => {
      const item = shown[index];
      const total = counted.get(item.machine);
      return h("a.row", { href: link(["machines", item.machine]) },
        h("span.row-main", null, name(item.machine, "strong"), item.warning_count > 0 && badge(plural(item.warning_count, "warning", "warnings"), "warn")),
        h("span.row-side", null, item.versions.length > 1 ? `versions ${item.versions[0]}–${item.versions.at(-1)}` : `version ${item.versions[0]}`),
        h("span.row-end", null, total === undefined ? "…" : plural(total, "instance", "instances")));
    },
    near: () => count(),
  });
  const asked = new Set();
  const count = async () => {
    const rows = [...list.inner.children].map((row) => shown[Number(row.dataset.row)]?.machine);
    const wanted = rows.filter((machine) => machine !== undefined && !asked.has(machine)).slice(0, BATCH_MAX);
    if (wanted.length === 0) return;
    wanted.forEach((machine) => asked.add(machine));
    const found = await totals(wanted, scope.signal).catch(() => []);
    found.forEach((total, index) => counted.set(wanted[index], total));
    if (!scope.ended) list.draw();
  };
  const filter = () => {
    const text = search.value.toLowerCase();
    shown = items.filter((item) => item.machine.toLowerCase().includes(text));
    show(area, shown.length === 0 ? note("No machine has this in its name.") : list.element);
    list.update(shown.length);
  };
  search.addEventListener("input", filter);
  search.addEventListener("keydown", (event) => event.key === "ArrowDown" && shown.length > 0 && (event.preventDefault(), list.focus(0)));
  filter();
}

