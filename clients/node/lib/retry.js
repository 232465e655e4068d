// Which calls may be retried, and when.

import { randomUUID } from "node:crypto";

const KEYED = new Set(["CREATE_INSTANCE", "APPLY_EVENT", "TIMER_SET", "DELETE_INSTANCE"]);
const READS = new Set([
  "PING", "INFO", "WHOAMI", "GET_MACHINE", "LIST_MACHINES", "GET_INSTANCE", "LIST_INSTANCES", "ALLOWED_EVENTS", "TIMER_LIST",
  "LOCK_GET", "LOCK_LIST", "WAL_READ",
  "WAL_STATS", "REPLICATION_STATUS", "CLUSTER_STATUS", "ANCESTORS", "AUDIT_READ", "BACKUP_DESCRIBE", "BACKUP_SNAPSHOT",
  "BACKUP_LOG",
]);
// They concern the members of the cluster; a repetition is answered as the first try.
const OF_THE_CLUSTER = new Set([
  "CLUSTER_ADD", "CLUSTER_PROMOTE", "CLUSTER_REMOVE", "CLUSTER_SET_ADDRESS", "CLUSTER_TRANSFER_LEADER",
  "CLUSTER_FINALIZE_UPGRADE", "ROTATE_KEY", "RELOAD",
]);
// They concern the files of one node, so a retry stays at that node.
const OF_ONE_NODE = new Set(["SNAPSHOT_INSTANCE", "COMPACT"]);

const made = (params, repeatable, movable, writes) => ({ params, repeatable, movable, writes });

/**
 * Whether a call may be retried after its connection is lost. `params` has idempotency keys added where they were asked
 * for. `repeatable`: it may be sent twice, as long as the instance lives. `movable`: to another node, while the first
 * one still works on it. `writes`: an unknown outcome must be reported.
 */
export function plan(op, params, addKeys) {
  if (READS.has(op) || OF_THE_CLUSTER.has(op)) return made(params, true, true, false);
  if (OF_ONE_NODE.has(op)) return made(params, true, false, false);
  if (params.dry_run === true) return made(params, true, true, false);
  // The same definition again is answered with `created: false`.
  if (op === "PUT_MACHINE") return made(params, true, true, true);
  // An owner gets the token that it has. A node that waits for a lock is not left for another.
  if (op === "LOCK_ACQUIRE") return made(params, true, lockWait(op, params) === 0, true);
  // An expiry never moves back.
  if (op === "LOCK_RENEW") return made(params, true, true, true);
  // Pausing twice is the same as pausing once. Without `set` the call only asks.
  if (op === "AUTOMATION") return made(params, true, true, params.set != null);
  if (KEYED.has(op)) {
    const keyed = withKey(params, addKeys);
    const repeatable = keyed.idempotency_key != null;
    return made(keyed, repeatable, repeatable, true);
  }
  if (op === "BATCH") return planBatch(params, addKeys);
  // FLUSH_ALL, DELETE_MACHINE, LOCK_RELEASE, and operations that this version does not know.
  const repeatable = typeof params.idempotency_key === "string";
  return made(params, repeatable, repeatable, true);
}

/** For how many milliseconds the server may wait before it answers, beyond the usual time. */
export function waitOf(op, params) {
  // The server answers within this time, and goes on after it. A repetition would advance its clock twice.
  if (op === "CLOCK_ADVANCE") return params.by == null ? 0 : 600_000;
  return lockWait(op, params);
}

function lockWait(op, params) {
  const wait = op === "LOCK_ACQUIRE" ? params.wait_ms : undefined;
  // The server refuses more than a day at once.
  return Number.isInteger(wait) && wait > 0 && wait <= 86_400_000 ? wait : 0;
}

/**
 * The parameters of an attempt that is sent when so many milliseconds of the call have passed. Only the rest of the wait
 * for a lock is left: a server that waited for longer would grant the lock to a caller that has given up.
 */
export function paramsAfter(op, params, passed) {
  const wait = lockWait(op, params);
  return wait === 0 ? params : { ...params, wait_ms: Math.max(0, wait - Math.floor(passed)) };
}

function withKey(params, addKeys) {
  // A key that is null means that the caller wants none.
  if (!addKeys || params.idempotency_key !== undefined) return params;
  return { ...params, idempotency_key: randomUUID() };
}

/** A batch may be sent twice if each of its operations may. */
function planBatch(params, addKeys) {
  if (!Array.isArray(params.ops)) return made(params, false, false, true);
  let repeatable = true;
  let writes = false;
  const ops = [];
  for (const item of params.ops) {
    if (item === null || typeof item !== "object" || typeof item.op !== "string") return made(params, false, false, true);
    const inner = plan(item.op, item.params ?? {}, addKeys);
    ops.push({ ...item, params: inner.params });
    repeatable &&= inner.repeatable;
    writes ||= inner.writes;
  }
  return made({ ...params, ops }, repeatable, repeatable, writes);
}

/** Whether the call, or a part of it, only asks what a write would do. */
export function isDryRun(params) {
  const parts = Array.isArray(params.ops) ? params.ops.map((item) => item?.params) : [];
  return [params, ...parts].some((part) => Boolean(part?.dry_run));
}

/** Growing pauses. Each is shortened at random, so that many clients do not retry at the same time. */
export class Backoff {
  constructor(first, longest) {
    this.next = first;
    this.longest = longest;
  }

  /** The next pause: between half of it and all of it. */
  pause() {
    const full = Math.min(this.next, this.longest);
    this.next = full * 2;
    return full * (0.5 + Math.random() / 2);
  }
}
