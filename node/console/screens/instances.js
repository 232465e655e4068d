// Instances, found by machine, state and the beginning of their ids.

import { Problem, get } from "../api.js";
import { badge, empty, h, loading, name, show } from "../dom.js";
import { ago, instant, plural } from "../format.js";
import { problem, wantsSignIn } from "../problem.js";
import { go, link, note as noteUrl } from "../router.js";
import { later } from "../scope.js";
import { VirtualList } from "../virtual.js";
import { stateName } from "./counts.js";

const PAGE = 100;

/** The greatest text that is before `prefix` and all that begins with it, as far as ids go. */
const before = (prefix) => {
  const last = prefix.codePointAt(prefix.length - 1);
  return last <= 1 || last > 0xffff || (last >= 0xd800 && last <= 0xe000) ? null : `${prefix.slice(0, -1)}${String.fromCodePoint(last - 1)}\u{10ffff}`;
};

export default async function instances(main, { query, scope }) {
  const filter = { machine: query.machine ?? "", state: query.state ?? "", id: query.id ?? "" };
  const search = h("input", { type: "search", "data-search": true, placeholder: "Id begins with …", "aria-label": "Id begins with", value: filter.id, autocomplete: "off", spellcheck: "false" });
  const machine = h("select", { "aria-label": "Machine" }, h("option", { value: "" }, "All machines"));
  const state = h("select", { "aria-label": "State" }, h("option", { value: "" }, "All states"));
  const sub = h("p.sub", { "aria-live": "polite" });
  const area = h("div.fills", null, loading());
  main.append(h("header.head", null, h("h1", null, "Instances"), sub, h("div.actions", null, search, machine, state)), area);

  const list = new VirtualList({
    label: "Instances",
    rowHeight: 52,
    row: (index) => {
      const item = items[index];
      return h("a.row", { href: link(["instances", item.id]) },
        h("span.row-main", null, name(item.id, "strong")),
        h("span.row-side", null, name(item.machine), ` v${item.version}`),
        h("span.row-state", null, badge(item.state)),
        h("span.row-end", null, h("time", { datetime: instant(item.updated_at), title: instant(item.updated_at) }, ago(item.updated_at))));
    },
    near: (last) => last >= items.length - 20 && more(),
  });
  let items = [];
  let after;
  let hasMore = false;
  let total = 0;
  let turn = 0;
  let busy = false;

  const more = async () => {
    if (busy || !hasMore) return;
    busy = true;
    const own = turn;
    try {
      const page = await get(["instances"], { machine: filter.machine, state: filter.state, limit: PAGE, after }, scope.signal);
      if (own !== turn) return;
      const fitting = page.instances.filter((item) => item.id.startsWith(filter.id));
      items.push(...fitting);
      after = page.instances.at(-1)?.id;
      hasMore = page.has_more && fitting.length === page.instances.length;
      if (items.length === fitting.length) total = page.total;
      list.update(items.length);
      tell();
    } catch (error) {
      if (own === turn && !scope.ended && !wantsSignIn(error)) {
        hasMore = false;
        show(area, problem(error, begin));
      }
    } finally {
      if (own === turn) busy = false;
    }
  };
  const tell = () => {
    const of = filter.id === "" ? plural(total, "instance", "instances") : `${plural(items.length, "instance", "instances")}${hasMore ? " and more" : ""}`;
    show(sub, of);
    if (items.length > 0) return;
    show(area, filter.machine || filter.state || filter.id
      ? empty("No instance fits", "Change the filter, or ", h("a", { href: link(["instances"]) }, "show all"), ".")
      : empty("No instances yet", "Programs create them, for example ", h("code", null, "rstmdb-cli create-instance"), "."));
  };
  const begin = async () => {
    turn += 1;
    const own = turn;
    busy = false;
    items = [];
    total = 0;
    hasMore = true;
    // `after` does not give the id itself, so the page begins before the first id that fits.
    after = filter.id === "" ? undefined : (before(filter.id) ?? undefined);
    show(area, list.element);
    list.element.scrollTop = 0;
    list.update(0);
    await more();
    if (own !== turn) return;
    if (filter.id !== "" && items.length === 0) await exact(own);
  };
  /** Ids that no `after` leads to are found as a whole. */
  const exact = async (own) => {
    try {
      const found = await get(["instances", filter.id], {}, scope.signal);
      if (own !== turn) return;
      items = [{ id: filter.id, machine: found.machine, version: found.version, state: found.state, updated_at: NaN }];
      show(area, list.element);
      list.update(1);
      tell();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
    }
  };
  const changed = () => {
    noteUrl(["instances"], filter);
    begin();
  };
  const fillStates = async () => {
    show(state, h("option", { value: "" }, "All states"));
    state.disabled = filter.machine === "";
    if (filter.machine === "") return;
    const got = await get(["machines", filter.machine], {}, scope.signal).catch(() => null);
    const names = (got?.definition.states ?? []).map(stateName);
    if (filter.state && !names.includes(filter.state)) names.unshift(filter.state);
    state.append(...names.map((one) => h("option", { value: one, selected: one === filter.state }, one)));
  };
  search.addEventListener("input", later(200, () => {
    filter.id = search.value;
    changed();
  }));
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && search.value !== "" && items.some((item) => item.id === search.value)) go(["instances", search.value]);
    if (event.key === "ArrowDown" && items.length > 0) {
      event.preventDefault();
      list.focus(0);
    }
  });
  machine.addEventListener("change", () => {
    Object.assign(filter, { machine: machine.value, state: "" });
    fillStates();
    changed();
  });
  state.addEventListener("change", () => {
    filter.state = state.value;
    changed();
  });
  begin();
  const { items: machines } = await get(["machines"], {}, scope.signal);
  machine.append(...machines.map((item) => h("option", { value: item.machine, selected: item.machine === filter.machine }, item.machine)));
  await fillStates();
}
