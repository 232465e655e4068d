// Numbers, times and sizes for people.

const NUMBER = new Intl.NumberFormat("en");
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const number = (value) => (typeof value === "number" ? NUMBER.format(value) : "–");
export const short = (value) => (value < 10_000 ? NUMBER.format(value) : SHORT.format(value));

export function bytes(value) {
  if (typeof value !== "number") return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** A span of milliseconds: its two largest units. */
export function span(ms) {
  const parts = [["d", 86_400_000], ["h", 3_600_000], ["min", 60_000], ["s", 1000]];
  let left = Math.abs(ms);
  if (left < 1000) return `${Math.round(left)} ms`;
  const words = [];
  for (const [unit, size] of parts) {
    const count = Math.floor(left / size);
    if (count > 0 || words.length > 0) words.push(`${count} ${unit}`);
    left -= count * size;
    if (words.length === 2) break;
  }
  return words.join(" ");
}

export const ago = (ms, now = Date.now()) => (ms > now + 1500 ? `in ${span(ms - now)}` : `${span(Math.max(0, now - ms))} ago`);

const two = (value, digits = 2) => String(value).padStart(digits, "0");

/** The local time; the day too, unless it is today's. */
export function time(ms, now = Date.now()) {
  const at = new Date(ms);
  if (Number.isNaN(at.getTime())) return "–";
  const clock = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return new Date(now).toDateString() === at.toDateString() ? clock : `${day} ${clock}`;
}

export function instant(ms) {
  const at = new Date(ms);
  return Number.isNaN(at.getTime()) ? "" : at.toISOString();
}

export const plural = (count, one, many) => `${number(count)} ${count === 1 ? one : many}`;
