"use strict";
// As much of a browser's document as the page's script uses; prints the finished page as HTML.
const escaped = (text) => String(text).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
class Node {
  constructor(tag) {
    Object.assign(this, { tag, attributes: "", children: [] });
  }
  setAttribute(name, value) {
    this.attributes += ` ${name}="${escaped(value)}"`;
  }
  append(...children) {
    this.children.push(...children);
  }
  html() {
    const inside = this.children.map((child) => (child instanceof Node ? child.html() : escaped(child)));
    return `<${this.tag}${this.attributes}>${inside.join("")}</${this.tag}>`;
  }
}
const document = {
  body: new Node("body"),
  createElement: (tag) => new Node(tag),
  createElementNS: (_, tag) => new Node(tag),
  getElementById: () => ({ textContent: RUN }),
};
process.on("exit", () => console.log(document.title, document.body.html()));
