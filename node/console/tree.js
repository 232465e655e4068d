// A JSON document as a tree that folds.

import { h } from "./dom.js";
import { ExactNumber, isObject } from "./json.js";

/** Deeper parts, and longer ones, begin folded. */
const OPEN_DEPTH = 3;
const ITEMS_MAX = 200;

function leaf(value) {
  if (typeof value === "string") return h("span.text-value", null, JSON.stringify(value));
  if (typeof value === "number" || value instanceof ExactNumber) return h("span.number-value", null, String(value));
  return h("span.word-value", null, String(value));
}

function node(key, value, depth, marked) {
  const label = key === null ? null : h("span.key", null, h("bdi", null, key), ": ");
  const mark = marked?.has(key) ? ".changed" : "";
  const items = Array.isArray(value) ? value.map((item, index) => [String(index), item]) : isObject(value) ? Object.entries(value) : null;
  if (items === null || items.length === 0) {
    const shown = items === null ? leaf(value) : h("span.word-value", null, Array.isArray(value) ? "[]" : "{}");
    return h(`li.leaf${mark}`, null, label, shown);
  }
  const count = h("span.count", null, Array.isArray(value) ? `[${items.length}]` : `{${items.length}}`);
  const details = h("details", { open: depth < OPEN_DEPTH && items.length <= 40 }, h("summary", null, label, count));
  // A folded part gets its elements when it is opened for the first time.
  const fill = () => {
    if (details.childElementCount > 1) return;
    const shown = items.slice(0, ITEMS_MAX).map(([name, item]) => node(name, item, depth + 1));
    const left = items.length - shown.length;
    details.append(h("ul", null, shown, left > 0 && h("li.leaf", null, `… and ${left} more`)));
  };
  if (details.open) fill();
  details.addEventListener("toggle", () => details.open && fill());
  return h(`li${mark}`, null, details);
}

/** The tree. The fields named in `marked` have changed. */
export function tree(value, marked) {
  if (!isObject(value) && !Array.isArray(value)) return h("ul.tree", null, node(null, value, 0));
  const items = Array.isArray(value) ? value.map((item, index) => [String(index), item]) : Object.entries(value);
  if (items.length === 0) return h("p.note", null, Array.isArray(value) ? "An empty list" : "An empty object");
  const shown = items.slice(0, ITEMS_MAX).map(([key, item]) => node(key, item, 1, marked));
  const left = items.length - shown.length;
  return h("ul.tree", null, shown, left > 0 && h("li.leaf", null, `… and ${left} more`));
}

/** The fields of an object that are new or have another value. */
export function changed(before, after) {
  const fields = Object.keys(after ?? {});
  return new Set(fields.filter((field) => JSON.stringify(before?.[field]) !== JSON.stringify(after[field])));
}
