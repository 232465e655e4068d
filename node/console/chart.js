// Small charts of numbers over time.

import { s } from "./dom.js";

/** The last values of something, one a poll. */
export class Series {
  constructor(length = 60) {
    this.length = length;
    this.values = [];
  }

  add(value) {
    this.values.push(value);
    if (this.values.length > this.length) this.values.shift();
  }

  get last() {
    return this.values.at(-1);
  }
}

/** A line with the area below it. */
export function sparkline(series, label) {
  const [width, height] = [240, 44];
  const top = Math.max(1e-9, ...series.values);
  const step = width / (series.length - 1);
  const begin = width - step * (series.values.length - 1);
  const points = series.values.map((value, index) => [begin + index * step, height - 3 - (value / top) * (height - 8)]);
  const line = points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" L");
  const chart = s("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label });
  if (points.length > 1) {
    chart.append(
      s("path", { class: "area", d: `M${points[0][0].toFixed(1)},${height} L${line} L${width},${height} Z` }),
      s("path", { class: "line", d: `M${line}` }),
    );
  }
  return chart;
}
