// The log, page by page.

import { get } from "../api.js";
import { badge, empty, h, loading, name, show } from "../dom.js";
import { instant, number, time } from "../format.js";
import { problem, wantsSignIn } from "../problem.js";
import { go, link } from "../router.js";
import { tree } from "../tree.js";

const PAGE = 100;

function about(entry) {
  switch (entry.type) {
    case "put_machine": return [name(entry.machine), ` v${entry.version}`];
    case "create_instance": return [link0(entry), " in ", name(entry.initial_state)];
    case "apply_event": return [link0(entry), " ", h("span.what", null, name(entry.event)), " ", name(entry.from_state), " → ", name(entry.to_state)];
    case "delete_instance": case "timer_spent": case "set_timers": return link0(entry);
    case "lock_changed": return name(entry.name);
    default: return entry.fact ? String(entry.fact).replaceAll("_", " ") : "";
  }
}

const link0 = (entry) => h("a", { href: link(["instances", entry.instance_id]) }, name(entry.instance_id));

function row(record, isOpen) {
  const { entry, offset } = record;
  return h(`tr${isOpen ? ".open" : ""}`, null,
    h("td.number", null, h("a", { href: link(["log", offset]), "aria-current": isOpen ? "true" : null }, number(offset))),
    h("td", null, badge(entry.type.replaceAll("_", " "))),
    h("td.about", null, about(entry)),
    h("td", null, entry.time_ms !== undefined && h("time", { datetime: instant(entry.time_ms), title: instant(entry.time_ms) }, time(entry.time_ms))));
}

function whole(records) {
  return h("section.card.whole", { "aria-label": "The entry" },
    h("h2", null, "Entry ", number(records[0].offset)),
    records.map(({ entry, meta }) => [
      h("p", null, badge(entry.type.replaceAll("_", " "), "accent"), " ", about(entry)),
      entry.prev_offset !== undefined && h("p.note", null, "Before it: ", h("a", { href: link(["log", entry.prev_offset]) }, number(entry.prev_offset))),
      h("h3", null, "Entry"), tree(entry),
      meta !== undefined && [h("h3", null, "Who and why"), tree(meta)]]),
    h("p", null, h("a", { href: link(["log"], { from: Math.max(0, records[0].offset - 10) }) }, "Around it")));
}

export default async function log(main, { offset, query, scope }) {
  const search = h("input", { type: "search", "data-search": true, placeholder: "Filter this page", "aria-label": "Filter this page", value: query.text ?? "" });
  const jump = h("input", { type: "number", min: 0, placeholder: "Offset", "aria-label": "Jump to an offset" });
  const area = h("div", null, loading());
  const sub = h("p.sub");
  main.append(h("header.head", null, h("h1", null, "Log"), sub, h("div.actions", null, search,
    h("form", { onsubmit: (event) => (event.preventDefault(), jump.value !== "" && go(["log"], { from: jump.value })) }, jump, h("button", { type: "submit" }, "Jump")))), area);
  const chosen = offset === undefined ? undefined : Number(offset);
  if (chosen !== undefined && !Number.isSafeInteger(chosen)) {
    show(area, empty("This is no offset", h("a", { href: link(["log"]) }, "To the log")));
    return;
  }
  const [stats, info] = await Promise.all([get(["wal", "stats"], {}, scope.signal), get(["info"], {}, scope.signal)]);
  const last = Math.max(stats.latest_offset ?? 0, info.last_applied ?? 0);
  const earliest = info.earliest_offset ?? 0;
  const begin = Math.max(earliest, Number(query.from ?? chosen ?? Math.max(0, last - PAGE + 1)) || 0);
  show(sub, `offsets ${number(earliest)} to ${number(last)}`);
  let page;
  try {
    page = await get(["wal"], { from_offset: begin, limit: chosen === undefined ? PAGE : 1, include_meta: true }, scope.signal);
  } catch (error) {
    if (!scope.ended && !wantsSignIn(error)) show(area, problem(error));
    return;
  }
  if (chosen !== undefined) {
    const records = page.records.filter((record) => record.offset === chosen);
    show(area, records.length === 0 ? empty(`There is no entry at offset ${number(chosen)}`, "It holds no write, or it is not in the log any more. ", h("a", { href: link(["log"], { from: chosen }) }, "The entries after it")) : whole(records));
    return;
  }
  const body = h("tbody");
  const fill = () => {
    const text = search.value.toLowerCase();
    const fitting = page.records.filter((record) => text === "" || JSON.stringify(record).toLowerCase().includes(text));
    show(body, fitting.toReversed().map((record) => row(record, false)));
    if (fitting.length === 0) body.append(h("tr", null, h("td.note", { colspan: 4 }, "No entry of this page has this text.")));
  };
  search.addEventListener("input", fill);
  fill();
  const newer = page.next_offset <= last;
  show(area,
    page.records.length === 0 ? empty("No entries here", "The log has nothing at or after this offset.")
      : h("div.scrolls", { tabindex: "0", role: "region", "aria-label": "Entries; they scroll" }, h("table.log", null,
        h("thead", null, h("tr", null, ["Offset", "Type", "About", "Time"].map((title) => h("th", { scope: "col" }, title)))), body)),
    h("nav.pages", { "aria-label": "Pages" },
      newer && [h("a.button", { href: link(["log"]) }, "Newest"), h("a.button", { href: link(["log"], { from: page.next_offset }) }, "Newer")],
      begin > earliest && h("a.button", { href: link(["log"], { from: Math.max(earliest, begin - PAGE) }) }, "Older")));
}
