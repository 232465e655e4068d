// Two versions of a machine side by side.

import { get } from "../api.js";
import { diff, sentence } from "../diff.js";
import { Diagram } from "../diagram.js";
import { badge, h, loading, name, note, show } from "../dom.js";
import { plural } from "../format.js";
import { go, link } from "../router.js";

const KINDS = { added: "good", removed: "bad", changed: "warn", same: "" };

function line(label, kind, before, after) {
  return h(`tr.${kind}`, null, h("th", { scope: "row" }, label, " ", kind !== "same" && badge(kind, KINDS[kind])),
    h("td", null, before), h("td", null, after));
}

const told = (value) => (value === undefined ? "" : typeof value === "object" && Object.keys(value).length === 0 ? "as a name" : h("code", null, JSON.stringify(value)));

function table(title, rows, heads) {
  if (rows.length === 0) return null;
  return h("section.card", null, h("h2", null, title), h("div.scrolls", null, h("table.diff", null,
    h("thead", null, h("tr", null, ["", ...heads].map((text) => h("th", { scope: "col" }, text)))), h("tbody", null, rows))));
}

export default async function versions(main, { machine: id, query, scope }) {
  main.append(loading());
  const listed = await get(["machines"], {}, scope.signal);
  const all = listed.items.find((item) => item.machine === id)?.versions ?? [];
  // The node says that there is no such machine.
  if (all.length === 0) await get(["machines", id], {}, scope.signal);
  const to = Number(query.to ?? all.at(-1));
  const from = Number(query.from ?? all.filter((one) => one < to).at(-1) ?? to);
  const load = (version) => get(["machines", id, "versions", String(version)], { include: "layout" }, scope.signal);
  const [one, other] = await Promise.all([load(from), load(to)]);
  const found = diff(one.definition, other.definition);
  const select = (label, chosen, key) => h("label.inline", null, label, " ", h("select", {
    onchange: (event) => go(["machines", id, "versions"], { from, to, [key]: event.target.value }),
  }, all.map((version) => h("option", { value: version, selected: version === chosen }, `Version ${version}`))));
  const isNew = (item) => item.kind !== "same";
  const changes = [found.states, found.transitions, found.other].flat().filter(isNew).length;
  const heads = [`Version ${from}`, `Version ${to}`];
  const picture = (got) => h("section.card.picture", null, h("h2", null, `Version ${got.version}`),
    got.layout ? h("div.frame", { tabindex: "0", role: "region", "aria-label": `The picture of version ${got.version}; it scrolls` }, new Diagram(got.layout).element) : note("Too large for a picture."));
  show(main,
    h("header.head", null, h("h1", null, h("a", { href: link(["machines", id]) }, name(id)), " versions"),
      h("p.sub", null, changes === 0 ? "They mean the same." : plural(changes, "difference", "differences")),
      h("div.actions", null, select("From", from, "from"), select("to", to, "to"))),
    h("div.columns", null, picture(one), picture(other)),
    table("States", found.states.filter(isNew).map((item) => line(name(item.name), item.kind, told(item.before), told(item.after))), heads),
    table("Transitions", found.transitions.filter(isNew).map((item) => line([name(String(item.from)), " — ", name(String(item.event))], item.kind,
      item.before && sentence(item.before), item.after && sentence(item.after))), heads),
    table("The rest", found.other.filter(isNew).map((item) => line(name(item.name), item.kind, told(item.before), told(item.after))), heads));
}
