// The keyboard.

import { h } from "./dom.js";

/** After `g`, a letter goes to a screen. */
export const SCREENS = [
  { key: "c", path: "cluster", title: "Cluster" },
  { key: "m", path: "machines", title: "Machines" },
  { key: "i", path: "instances", title: "Instances" },
  { key: "l", path: "live", title: "Live" },
  { key: "o", path: "log", title: "Log" },
  { key: "t", path: "timers", title: "Timers" },
  { key: "k", path: "locks", title: "Locks" },
];
const SECOND_MS = 1500;

let help;

function openHelp() {
  if (help?.open) return;
  const rows = [
    ["/", "Search or filter"],
    ...SCREENS.map(({ key, title }) => [`g ${key}`, title]),
    ["↑ ↓", "Through a list; Enter opens"],
    ["← →", "On the slider: through the history of an instance"],
    ["Esc", "Leave a field, close a dialog"],
    ["?", "This help"],
  ];
  help = h("dialog.help", { "aria-label": "Keys" },
    h("h2", null, "Keys"),
    h("dl.keys", null, rows.map(([keys, what]) => [
      h("dt", null, keys.split(" ").map((key) => h("kbd", null, key))), h("dd", null, what)])),
    h("form", { method: "dialog" }, h("button", { type: "submit", autofocus: true }, "Close")));
  help.addEventListener("close", () => help.remove());
  document.body.append(help);
  help.showModal();
}

export function listen(go) {
  let waits = 0;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const inField = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (inField) {
      if (event.key === "Escape" && !event.target.closest("dialog")) event.target.blur();
      return;
    }
    if (document.querySelector("dialog[open]")) return;
    const isSecond = Date.now() - waits < SECOND_MS;
    waits = 0;
    const screen = isSecond && SCREENS.find(({ key }) => key === event.key);
    if (screen) go([screen.path]);
    else if (event.key === "g") waits = Date.now();
    else if (event.key === "?") openHelp();
    else if (event.key === "/") {
      const search = document.querySelector("#main [data-search]");
      if (!search) return;
      search.focus();
      search.select?.();
    } else return;
    event.preventDefault();
  });
}

export { openHelp };
