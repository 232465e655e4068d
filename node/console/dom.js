// Elements. All text of the page is made here: as text nodes and attributes, never as markup.

/** Characters that would hide, reorder or end text: controls (ESC among them), marks of direction, invisible ones. */
// eslint-disable-next-line no-control-regex
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** The text with each of these characters as something that one can see. */
export function visible(text) {
  return String(text).replace(UNSEEN, (character) => {
    const code = character.codePointAt(0);
    if (code < 0x20) return String.fromCodePoint(0x2400 + code);
    if (code === 0x7f) return "␡";
    return `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
  });
}

/** Attributes that people read or hear. */
const SPOKEN = new Set(["title", "aria-label", "placeholder", "alt", "aria-description"]);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else if (value === true) element.setAttribute(name, "");
    else element.setAttribute(name, SPOKEN.has(name) ? visible(value) : String(value));
  }
  append(element, children);
  return element;
}

/** Adds children: elements, text, lists of these; null and false are left out. */
export function append(element, children) {
  for (const child of children.flat(3)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(visible(child)));
  }
}

/** An element: `h("p.note", {title: "…"}, "text", other)`. */
export function h(tag, attributes, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length > 0) element.className = classes.join(" ");
  return fill(element, attributes, children);
}

/** The same for SVG. */
export function s(tag, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

/** A name that users chose: what is in it cannot reorder the text around it. */
export const name = (text, tag = "bdi") => h(tag, { title: text }, text);

/** Replaces what is in an element. */
export function show(element, ...children) {
  element.replaceChildren();
  append(element, children);
}

/** Sets a text, if it is another one: nothing is announced or laid out again without need. */
export function setText(element, text) {
  const shown = visible(text);
  if (element.textContent !== shown) element.textContent = shown;
}

/** Tells users of a screen reader. */
export function say(text) {
  const said = document.getElementById("said");
  if (said) setText(said, text);
}

/** A word in a coloured field. */
export const badge = (text, kind = "") => h(`span.badge${kind ? `.${kind}` : ""}`, null, text);

export const note = (...children) => h("p.note", null, ...children);

/** What a screen shows while it has nothing else. */
export function empty(title, ...children) {
  return h("div.empty", null, h("p.empty-title", null, title), children.length > 0 && h("p", null, ...children));
}

export const loading = (what = "Loading …") => h("p.loading", { role: "status" }, what);
