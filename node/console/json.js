// JSON that keeps the digits of every number, and the places in its text.

/** A number that a double cannot hold as it was written. */
export class ExactNumber {
  constructor(source) {
    this.source = source;
  }

  toString() {
    return this.source;
  }

  valueOf() {
    return Number(this.source);
  }

  toJSON() {
    return typeof JSON.rawJSON === "function" ? JSON.rawJSON(this.source) : Number(this.source);
  }
}

const keepDigits = (_key, value, context) =>
  typeof value === "number" && context?.source !== undefined && String(value) !== context.source
    ? new ExactNumber(context.source)
    : value;

/** Browsers without the source of a number round it, as they always did. */
export const parse = (text) => JSON.parse(text, keepDigits);

export const isObject = (value) =>
  value !== null && typeof value === "object" && !Array.isArray(value) && !(value instanceof ExactNumber);

export const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

class Scanner {
  constructor(text) {
    this.text = text;
    this.at = 0;
    this.places = new Map();
  }

  fail(wanted) {
    throw Object.assign(new SyntaxError(`expected ${wanted}`), { at: this.at });
  }

  space() {
    while (" \t\n\r".includes(this.text[this.at]) && this.at < this.text.length) this.at += 1;
  }

  string() {
    const begin = this.at;
    if (this.text[this.at] !== '"') this.fail("a string in double quotes");
    for (this.at += 1; this.at < this.text.length; this.at += 1) {
      const character = this.text[this.at];
      if (character === "\n") break;
      if (character === "\\") this.at += 1;
      else if (character === '"') {
        this.at += 1;
        try {
          return JSON.parse(this.text.slice(begin, this.at));
        } catch {
          this.at = begin;
          return this.fail("a valid string");
        }
      }
    }
    this.at = begin;
    return this.fail("the end of this string");
  }

  list(end, place, item) {
    this.at += 1;
    this.space();
    for (let index = 0; this.text[this.at] !== end; index += 1) {
      if (index > 0) {
        if (this.text[this.at] !== ",") this.fail(`, or ${end}`);
        this.at += 1;
        this.space();
      }
      item(place, index);
      this.space();
    }
    this.at += 1;
  }

  value(place) {
    this.space();
    const begin = this.at;
    const character = this.text[this.at];
    if (character === "{") {
      this.list("}", place, (above) => {
        const key = this.string();
        this.space();
        if (this.text[this.at] !== ":") this.fail(":");
        this.at += 1;
        this.value(above === "" ? key : `${above}.${key}`);
      });
    } else if (character === "[") {
      this.list("]", place, (above, index) => this.value(`${above}[${index}]`));
    } else if (character === '"') {
      this.string();
    } else {
      const word = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])/.exec(this.text.slice(begin, begin + 400));
      if (word === null) this.fail("a value");
      this.at += word[0].length;
    }
    this.places.set(place, [begin, this.at]);
  }
}

/** Where each value stands in the text, by a path such as `transitions[3].guard`. Throws with `at` where it is no JSON. */
export function places(text) {
  const scanner = new Scanner(text);
  scanner.value("");
  scanner.space();
  if (scanner.at < text.length) scanner.fail("the end of the document");
  return scanner.places;
}

/** The value at a path, or the nearest one around it. */
export function nearest(found, path) {
  for (let at = path; at !== ""; at = at.replace(/(?:\.?[^.[\]]+|\[\d+\])$/, "")) {
    if (found.has(at)) return found.get(at);
    if (!/[.[]/.test(at)) break;
  }
  return found.get("") ?? [0, 0];
}

/** Line and column, from 1. */
export function position(text, at) {
  const before = text.slice(0, at).split("\n");
  return { line: before.length, column: before.at(-1).length + 1 };
}
