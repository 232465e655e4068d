// Server-sent events over fetch: EventSource cannot send a token.

/** From text to messages, as the standard says. */
export class SseParser {
  constructor() {
    this.rest = "";
    this.lastId = "";
    this.clear();
  }

  clear() {
    this.event = "";
    this.data = [];
  }

  /** The messages that end in this piece. */
  push(text) {
    const messages = [];
    // A CR at the end may be the first half of a line's end.
    const all = this.rest + text;
    const held = all.endsWith("\r") ? 1 : 0;
    const lines = all.slice(0, all.length - held).split(/\r\n|\n|\r/);
    this.rest = lines.pop() + all.slice(all.length - held);
    for (const line of lines) {
      if (line === "") {
        if (this.data.length > 0) {
          messages.push({ event: this.event || "message", id: this.lastId, data: this.data.join("\n") });
        }
        this.clear();
      } else this.field(line);
    }
    return messages;
  }

  field(line) {
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.data.push(value);
    else if (field === "event") this.event = value;
    else if (field === "id" && !value.includes("\0")) this.lastId = value;
  }
}

/** How long to wait before the next try. */
export const backoff = (tries) => Math.min(5000, 300 * 2 ** Math.min(tries, 6));
