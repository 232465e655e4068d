// Requests to the node that this page comes from.

import { parse } from "./json.js";
import { SseParser, backoff } from "./sse.js";

/** The node sends something every 10 seconds. */
const SILENCE_MS = 25_000;
const REQUEST_MS = 30_000;
const KEY = "rstmdb.token";

/** A request that the node refused, with its code and details; status 0 if no answer came. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail ?? `HTTP ${status}`);
    this.status = status;
    this.code = body.code ?? "";
    this.details = body.details ?? {};
    this.retryable = body.retryable ?? status === 0;
  }
}

const listeners = { connection: new Set(), signIn: new Set() };

/** Calls back when the node is lost or found (`connection`), or wants a token (`signIn`). */
export function on(what, listener) {
  listeners[what].add(listener);
  return () => listeners[what].delete(listener);
}

const tell = (what, value) => listeners[what].forEach((listener) => listener(value));

/** The token lives as long as the tab. */
export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  clear: () => sessionStorage.removeItem(KEY),
};

let isUp = true;

function found(up) {
  if (up !== isUp) {
    isUp = up;
    tell("connection", up);
  }
}

/** A path of the API: `path("instances", id)`, with the query. */
export function path(parts, query = {}) {
  const said = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item !== undefined && item !== null && item !== "") said.append(key, String(item));
    }
  }
  const text = said.toString();
  return `/v1/${parts.map((part) => encodeURIComponent(part)).join("/")}${text && `?${text}`}`;
}

async function send(method, target, { body, headers = {}, signal } = {}) {
  const all = { ...headers };
  const given = token.get();
  if (given) all.Authorization = `Bearer ${given}`;
  if (body !== undefined) all["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(target, { method, headers: all, body, signal, cache: "no-store", credentials: "omit", redirect: "error" });
  } catch (error) {
    if (signal?.aborted && signal.reason?.name !== "TimeoutError") throw error;
    found(false);
    throw new Problem(0, { detail: "the node does not answer", code: "UNREACHABLE", retryable: true });
  }
  found(true);
  if (response.ok) return response;
  const text = await response.text();
  let problem = {};
  try {
    problem = parse(text);
  } catch {
    problem = { detail: text.slice(0, 200) };
  }
  if (response.status === 401 && given === token.get()) {
    tell("signIn", given === null ? "" : (problem.detail ?? ""));
  }
  throw new Problem(response.status, problem);
}

/** Sends a request and gives its result. `body` is a value, or JSON text that is sent as it is. */
export async function call(method, target, { body, headers, signal } = {}) {
  const limit = AbortSignal.timeout(REQUEST_MS);
  const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
  const both = signal ? AbortSignal.any([signal, limit]) : limit;
  const response = await send(method, target, { body: text, headers, signal: both });
  return parse(await response.text());
}

export const get = (parts, query, signal) => call("GET", path(parts, query), { signal });

/** Reads that belong together, as one request. Gives a result or an error for each. */
export async function batch(ops, signal) {
  const said = await call("POST", path(["batch"]), { body: { ops }, signal });
  return said.results;
}

const pause = (ms, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });

async function readStream(response, quiet, onMessage, state) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new SseParser();
  parser.lastId = state.id ?? "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    quiet();
    for (const message of parser.push(value)) {
      if (message.id !== "") state.id = message.id;
      const data = parse(message.data);
      if (data.type === "watching") state.cluster = data.cluster_id;
      if (data.type === "end") return;
      onMessage(data);
    }
  }
}

/**
 * Follows a stream of events until `signal` says to stop. After a lost connection it goes on behind the last message.
 * `onState` gets `live`, `waiting` (the node is away), or `gap`: events in between are not in the log any more.
 */
export async function follow(parts, query, { onMessage, onState, signal }) {
  const state = { id: undefined, cluster: undefined };
  let start = query;
  for (let tries = 0; !signal.aborted; ) {
    const alive = new AbortController();
    let timer;
    const quiet = () => {
      clearTimeout(timer);
      timer = setTimeout(() => alive.abort(), SILENCE_MS);
    };
    try {
      quiet();
      const headers = { Accept: "text/event-stream", ...(state.id !== undefined && { "Last-Event-ID": state.id }) };
      const target = path(parts, { ...start, cluster_id: state.id === undefined ? undefined : state.cluster });
      const response = await send("GET", target, { headers, signal: AbortSignal.any([signal, alive.signal]) });
      onState("live");
      tries = 0;
      await readStream(response, quiet, onMessage, state);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && (error.code === "OFFSET_COMPACTED" || error.code === "OFFSET_AHEAD")) {
        onState("gap", error);
        state.id = undefined;
        start = { ...query, from_offset: undefined };
      } else if (error instanceof Problem && error.status >= 400 && error.status < 500 && error.status !== 429) {
        onState("refused", error);
        return;
      }
    } finally {
      clearTimeout(timer);
      alive.abort();
    }
    if (signal.aborted) return;
    onState("waiting");
    await pause(backoff(tries), signal);
    tries += 1;
  }
}
