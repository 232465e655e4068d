// The picture of a machine. The node has laid it out: here it only becomes elements.

import { s, setText, visible } from "./dom.js";
import { short } from "./format.js";

/** What the layout of the node keeps free for a title, and the sizes of its parts. */
const TITLE = 30;
const HEAD = 28;
const PADDING = 12;
/** Events that move at one time. More of them only light their arrows. */
const MOVING_MAX = 40;
const MOVE_MS = 900;
const SHRINK_MIN = 0.72;

const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class Diagram {
  constructor(layout, { label, onState } = {}) {
    this.layout = layout;
    this.moving = 0;
    this.counts = [];
    const top = Math.min(TITLE, Math.max(0, layout.height - 1));
    this.element = s("svg", {
      class: "diagram",
      viewBox: `0 ${top} ${layout.width} ${layout.height - top}`,
      width: layout.width,
      height: layout.height - top,
      role: "group",
      "aria-label": label ?? "Diagram of the machine",
    });
    // A picture that is a little too wide shrinks. A wider one scrolls.
    this.element.style.minWidth = `${Math.round(layout.width * SHRINK_MIN)}px`;
    this.edges = layout.arrows.map((arrow) => this.edge(arrow));
    this.boxes = layout.states.map((state, index) => this.box(state, index, onState));
    this.dots = s("g", { class: "dots" });
    this.element.append(tips(), s("g", null, this.edges), this.start(), s("g", null, this.boxes), this.dots);
  }

  edge(arrow) {
    const [from, to] = [arrow.from, arrow.to].map((state) => this.layout.states[state].name);
    const guard = arrow.guard === undefined ? "" : ` [${arrow.guard}]`;
    const title = s("title", null, `${from} — ${arrow.event}${guard} → ${to}`);
    return s("path", { class: arrow.back ? "edge back" : "edge", d: arrow.path, "marker-end": "url(#tip)" }, title);
  }

  box(state, index, onState) {
    const { x, y, width, height } = state;
    const texts = this.layout.arrows.filter((arrow) => arrow.from === index).map((arrow) =>
      s("text", { class: "event", x: x + PADDING, y: arrow.y + 4 }, arrow.event,
        arrow.guard !== undefined && s("tspan", { class: "guard" }, ` [${arrow.guard}]`)));
    const count = s("text", { class: "count", x: x + width - 4, y: y - 5, "text-anchor": "end" });
    this.counts.push(count);
    const box = s("g", { class: state.final ? "state final" : "state" },
      s("rect", { class: "box", x, y, width, height, rx: 7 }),
      s("rect", { class: "head", x: x + 2, y: y + 2, width: width - 4, height: HEAD - 4, rx: 5 }),
      s("text", { class: "name", x: x + PADDING, y: y + 18.5 }, state.name),
      texts, count);
    if (onState) {
      box.classList.add("can-open");
      box.setAttribute("tabindex", "0");
      box.setAttribute("role", "link");
      box.setAttribute("aria-label", visible(`${state.name}: show its instances`));
      box.addEventListener("click", () => onState(state.name));
      box.addEventListener("keydown", (event) => event.key === "Enter" && onState(state.name));
    }
    return box;
  }

  start() {
    const initial = this.layout.states[this.layout.initial];
    if (!initial) return s("g");
    const y = initial.y + HEAD / 2;
    return s("g", null,
      s("circle", { class: "start", cx: initial.x - 26, cy: y, r: 5 }),
      s("path", { class: "edge", d: `M${initial.x - 26} ${y}H${initial.x - 2}`, "marker-end": "url(#tip)" }));
  }

  /** Shows how many instances there are in each state. */
  setCounts(counts) {
    this.layout.states.forEach((state, index) => {
      const count = counts.get(state.name);
      setText(this.counts[index], count === undefined ? "" : short(count));
      this.boxes[index].classList.toggle("none", count === 0);
    });
  }

  /** Lights the way that an instance has taken: `steps` of `{from, event, to}`, and the state where it is. */
  light(steps, current) {
    const taken = new Set(steps.map((step) => this.arrowOf(step)).filter((index) => index >= 0));
    const seen = new Set([current, ...steps.flatMap((step) => [step.from, step.to])]);
    this.edges.forEach((edge, index) => edge.classList.toggle("taken", taken.has(index)));
    this.layout.states.forEach((state, index) => {
      this.boxes[index].classList.toggle("current", state.name === current);
      this.boxes[index].classList.toggle("seen", state.name !== current && seen.has(state.name));
    });
    this.reveal(current);
  }

  /** Scrolls the frame around the picture to a state that is not in view. */
  reveal(name) {
    const frame = this.element.parentElement;
    const box = this.boxes[this.layout.states.findIndex((state) => state.name === name)];
    if (!frame || !box) return;
    const [inner, outer] = [box.getBoundingClientRect(), frame.getBoundingClientRect()];
    if (inner.left < outer.left || inner.right > outer.right) frame.scrollLeft += inner.left - outer.left - (outer.width - inner.width) / 2;
    if (inner.top < outer.top || inner.bottom > outer.bottom) frame.scrollTop += inner.top - outer.top - (outer.height - inner.height) / 2;
  }

  /** The arrow of a step. One that ended elsewhere, by `always` of the state that it led to, has the same beginning. */
  arrowOf({ from, event, to }) {
    const { states, arrows } = this.layout;
    const fits = (arrow) => states[arrow.from].name === from && arrow.event === event;
    const exact = arrows.findIndex((arrow) => fits(arrow) && states[arrow.to].name === to);
    return exact >= 0 ? exact : arrows.findIndex(fits);
  }

  /** An event happens: a dot moves along its arrow. */
  flow(step) {
    const edge = this.edges[this.arrowOf(step)];
    if (!edge) return;
    edge.classList.remove("lit");
    void edge.getBoundingClientRect();
    edge.classList.add("lit");
    if (calm.matches || document.hidden || this.moving >= MOVING_MAX) return;
    const dot = s("circle", { class: "dot", r: 4.5 });
    const length = edge.getTotalLength();
    const begin = performance.now();
    this.moving += 1;
    this.dots.append(dot);
    const move = (now) => {
      const part = Math.min(1, Math.max(0, (now - begin) / MOVE_MS));
      const at = edge.getPointAtLength(length * part * (2 - part));
      dot.setAttribute("cx", at.x);
      dot.setAttribute("cy", at.y);
      if (part < 1 && dot.isConnected) requestAnimationFrame(move);
      else {
        dot.remove();
        this.moving -= 1;
      }
    };
    requestAnimationFrame(move);
  }
}

function tips() {
  const tip = s("marker", { id: "tip", viewBox: "0 0 10 10", refX: 9, refY: 5, markerUnits: "userSpaceOnUse", markerWidth: 9, markerHeight: 9, orient: "auto" });
  tip.append(s("path", { d: "M0 0L10 5L0 10z", fill: "context-stroke" }));
  return s("defs", null, tip);
}
