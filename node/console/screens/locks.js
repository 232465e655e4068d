// The locks that are held.

import { get } from "../api.js";
import { empty, h, loading, name, show } from "../dom.js";
import { ago, instant, number, plural } from "../format.js";
import { problem, wantsSignIn } from "../problem.js";
import { link, note as noteUrl } from "../router.js";
import { later } from "../scope.js";

const POLL_MS = 3000;

export default async function locks(main, { query, scope }) {
  const search = h("input", { type: "search", "data-search": true, placeholder: "Name begins with …", "aria-label": "Name begins with", value: query.prefix ?? "" });
  const sub = h("p.sub");
  const area = h("div", null, loading());
  main.append(h("header.head", null, h("h1", null, "Locks"), sub, h("div.actions", null, search)), area);
  const again = scope.poll(POLL_MS, async () => {
    const page = await get(["locks"], { prefix: search.value, limit: 1000 }, scope.signal);
    show(sub, page.next ? `the first ${number(page.locks.length)}` : plural(page.locks.length, "lock is held", "locks are held"));
    if (page.locks.length === 0) {
      show(area, search.value ? empty("No lock that is held begins like this") : empty("No locks are held", "A process that must be alone acquires a lock, for example with ", h("code", null, "rstmdb-cli lock"), "."));
      return;
    }
    const title = ["Name", "Owner", "Expires", "Waiting", "Token"];
    show(area, h("div.scrolls", { tabindex: "0", role: "region", "aria-label": "Locks; they scroll" }, h("table", null,
      h("thead", null, h("tr", null, title.map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", null, page.locks.map((lock) => h("tr", null,
        h("th", { scope: "row" }, name(lock.name)), h("td", null, name(lock.owner)),
        h("td", null, h("time", { datetime: instant(lock.expires_at) }, ago(lock.expires_at))),
        h("td.number", null, number(lock.waiting)),
        h("td.number", null, h("a", { href: link(["log", lock.token]) }, number(lock.token)))))))));
  }, (error) => !wantsSignIn(error) && show(area, problem(error)));
  search.addEventListener("input", later(200, () => {
    noteUrl(["locks"], { prefix: search.value });
    again();
  }));
}
