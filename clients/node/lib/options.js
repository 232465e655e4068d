// How a client reaches its cluster and how it behaves.

import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { BINARY, JSONL } from "./frame.js";
import { ConfigError, TlsError } from "./errors.js";

export const DEFAULT_PORT = 7401;
// What a timer of Node.js can wait for.
const TIMER_MAX = 2 ** 31 - 1;
export const FEATURES = ["idempotency", "batch", "wal_read", "cluster", "lifecycle"];

/** Reads `host`, `host:port`, `[ipv6]:port` or a bare IPv6 address. */
export function parseAddress(text) {
  const wrong = () => new ConfigError(`addresses: ${JSON.stringify(text)} is not HOST, HOST:PORT or [IPV6]:PORT`);
  if (typeof text !== "string") throw wrong();
  const given = text.trim();
  const bracketed = /^\[([^\]]+)\](?::(\d+))?$/.exec(given);
  const plain = /^([^:[\]]+)(?::(\d+))?$/.exec(given);
  const ipv6 = /^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$/.exec(given);
  let host, port;
  if (bracketed) [, host, port] = bracketed;
  else if (plain) [, host, port] = plain;
  else if (ipv6) host = given;
  else throw wrong();
  const number = port === undefined ? DEFAULT_PORT : Number(port);
  if (number < 1 || number > 65535) throw wrong();
  return { host, port: number, name: host.includes(":") ? `[${host}]:${number}` : `${host}:${number}` };
}

/** Reads a list of addresses, or one text with commas in between. One named twice counts once. */
export function parseAddresses(given) {
  const texts = typeof given === "string" ? given.split(",").filter((part) => part.trim()) : given;
  if (!Array.isArray(texts) || texts.length === 0) throw new ConfigError("addresses: no server address is given");
  const byName = new Map(texts.map(parseAddress).map((address) => [address.name, address]));
  return [...byName.values()];
}

/** Every wait has an end, so a time must be a positive, finite number. */
export function checkMs(name, value) {
  if (typeof value !== "number" || !(value > 0) || value > TIMER_MAX) {
    throw new ConfigError(`${name}: ${String(value)} is not a number of milliseconds from 1 to 2147483647`);
  }
  return value;
}

/** A wait that a timer can have: a longer one would end at once. */
export function timerMs(ms) {
  return Math.min(Math.max(0, ms), TIMER_MAX);
}

/** How long a watch waits for its next event; undefined: as long as it takes. */
export function checkWait(value) {
  if (value === undefined || value === Infinity) return undefined;
  if (typeof value !== "number" || Number.isNaN(value)) throw new ConfigError(`timeout: ${String(value)} is not a number of milliseconds`);
  return Math.max(0, value);
}

const DEFAULTS = {
  token: undefined,
  tls: undefined,
  timeout: 10_000,
  connectTimeout: 3_000,
  wireMode: BINARY,
  clientName: "rstmdb-cluster-node",
  autoKeys: true,
  discover: true,
  preferLeader: false,
  backoffMin: 10,
  backoffMax: 1_000,
  watchKeepalive: 5_000,
  watchResumeTimeout: 60_000,
};

export function readOptions(addresses, given) {
  for (const name of Object.keys(given)) {
    if (!(name in DEFAULTS)) {
      throw new ConfigError(`${name}: there is no such option; known are ${Object.keys(DEFAULTS).join(", ")}`);
    }
  }
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const options = { ...DEFAULTS, ...set, addresses: parseAddresses(addresses) };
  for (const name of ["timeout", "connectTimeout", "backoffMin", "backoffMax", "watchKeepalive", "watchResumeTimeout"]) {
    checkMs(name, options[name]);
  }
  if (options.wireMode !== BINARY && options.wireMode !== JSONL) {
    throw new ConfigError(`wireMode: ${JSON.stringify(options.wireMode)} is neither "${BINARY}" nor "${JSONL}"`);
  }
  options.secure = options.tls === undefined || options.tls === false ? undefined : tlsOptions(options.tls);
  return options;
}

function tlsOptions(tls) {
  const { ca, cert, key, serverName, insecure } = tls === true ? {} : tls;
  const read = (name, file) => {
    if (file === undefined) return undefined;
    try {
      return readFileSync(file);
    } catch (error) {
      throw new TlsError(`tls.${name}: ${JSON.stringify(file)} cannot be read: ${error.message}`);
    }
  };
  const files = { ca: read("ca", ca), cert: read("cert", cert), key: read("key", key ?? cert) };
  try {
    const secureContext = createSecureContext({ ...files, minVersion: "TLSv1.2" });
    return { secureContext, serverName, rejectUnauthorized: insecure !== true };
  } catch (error) {
    throw new TlsError(`tls: the certificates cannot be used: ${error.message}`);
  }
}
