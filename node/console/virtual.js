// Lists of any length: only the rows that one can see are elements.

import { h, show } from "./dom.js";

const SPARE_ROWS = 6;

/**
 * A list with rows of one height. `row(index)` gives the element of a row, which can have the focus. Arrows, Home, End
 * and Page keys go through it; `near(index)` is told the last row in view, to load more.
 */
export class VirtualList {
  constructor({ label, rowHeight, row, near = () => {} }) {
    this.rowHeight = rowHeight;
    this.row = row;
    this.near = near;
    this.count = 0;
    this.active = 0;
    this.inner = h("div.virtual-inner");
    this.element = h("div.virtual", { role: "group", "aria-label": label }, this.inner);
    this.element.addEventListener("scroll", () => this.later());
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.element.addEventListener("focusin", (event) => {
      const index = Number(event.target.closest("[data-row]")?.dataset.row);
      if (Number.isInteger(index)) this.active = index;
    });
    this.watcher = new ResizeObserver(() => this.later());
    this.watcher.observe(this.element);
  }

  later() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.draw();
    });
  }

  /** There are so many rows now, perhaps other ones. */
  update(count) {
    this.count = count;
    this.active = Math.min(this.active, Math.max(0, count - 1));
    this.draw();
  }

  draw() {
    const { rowHeight, count } = this;
    const height = Math.max(this.element.clientHeight, 400);
    const first = Math.max(0, Math.floor(this.element.scrollTop / rowHeight) - SPARE_ROWS);
    const last = Math.min(count, Math.ceil((this.element.scrollTop + height) / rowHeight) + SPARE_ROWS);
    const focused = this.inner.contains(document.activeElement) ? this.active : -1;
    const rows = [];
    for (let index = first; index < last; index += 1) {
      const row = this.row(index);
      row.dataset.row = String(index);
      row.tabIndex = index === this.active ? 0 : -1;
      row.style.top = `${index * rowHeight}px`;
      row.style.height = `${rowHeight}px`;
      rows.push(row);
    }
    this.inner.style.height = `${count * rowHeight}px`;
    show(this.inner, ...rows);
    if (focused >= first && focused < last) this.inner.querySelector(`[data-row="${focused}"]`)?.focus({ preventScroll: true });
    this.near(last);
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.element.clientHeight / this.rowHeight) - 1);
    const to = {
      ArrowDown: this.active + 1,
      ArrowUp: this.active - 1,
      PageDown: this.active + page,
      PageUp: this.active - page,
      Home: 0,
      End: this.count - 1,
    }[event.key];
    if (to === undefined || this.count === 0 || event.target.closest("input, textarea, select")) return;
    event.preventDefault();
    this.focus(Math.max(0, Math.min(this.count - 1, to)));
  }

  /** Moves the focus to a row. */
  focus(index) {
    this.active = index;
    const top = index * this.rowHeight;
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    else if (top + this.rowHeight > scrollTop + clientHeight) this.element.scrollTop = top + this.rowHeight - clientHeight;
    this.draw();
    this.inner.querySelector(`[data-row="${index}"]`)?.focus({ preventScroll: true });
  }
}
