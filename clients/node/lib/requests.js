// The operations as values: for batches, and behind the client's methods. Parameters have the names of docs/protocol.md.

import { RequestError } from "./errors.js";

function made(op, required, options = {}) {
  if (options === null || typeof options !== "object") throw new RequestError(`${op}: the options are not an object`);
  const params = {};
  for (const [name, value] of Object.entries({ ...options, ...required })) {
    // null is sent: as idempotency_key it means that the write must have none.
    if (value !== undefined && name !== "timeout" && name !== "signal") params[name] = value;
  }
  return { op, params };
}

export const ping = () => made("PING");
export const info = () => made("INFO");
export const whoami = () => made("WHOAMI");
export const putMachine = (machine, version, definition, options) =>
  made("PUT_MACHINE", { machine, version, definition }, options);
export const getMachine = (machine, version, options) => made("GET_MACHINE", { machine, version }, options);
export const listMachines = (options) => made("LIST_MACHINES", {}, options);
export const deleteMachine = (machine, version, options) => made("DELETE_MACHINE", { machine, version }, options);
export const createInstance = (machine, version, instanceId, initialCtx, options) =>
  made("CREATE_INSTANCE", { instance_id: instanceId, machine, version, initial_ctx: initialCtx }, options);
export const getInstance = (instanceId, options) => made("GET_INSTANCE", { instance_id: instanceId }, options);
export const listInstances = (options) => made("LIST_INSTANCES", {}, options);
export const deleteInstance = (instanceId, options) => made("DELETE_INSTANCE", { instance_id: instanceId }, options);
export const applyEvent = (instanceId, event, payload, options) =>
  made("APPLY_EVENT", { instance_id: instanceId, event, payload }, options);
export const timerSet = (instanceId, timers, options) =>
  made("TIMER_SET", { instance_id: instanceId, timers }, options);
export const timerList = (options) => made("TIMER_LIST", {}, options);
export const lockAcquire = (name, owner, ttlMs, options) =>
  made("LOCK_ACQUIRE", { name, owner, ttl_ms: ttlMs }, options);
export const lockRenew = (name, token, options) => made("LOCK_RENEW", { name, token }, options);
export const lockRelease = (name, token, options) => made("LOCK_RELEASE", { name, token }, options);
export const lockGet = (name, options) => made("LOCK_GET", { name }, options);
export const lockList = (options) => made("LOCK_LIST", {}, options);
export const allowedEvents = (instanceId, options) => made("ALLOWED_EVENTS", { instance_id: instanceId }, options);
export const walRead = (fromOffset, options) => made("WAL_READ", { from_offset: fromOffset }, options);
export const ancestors = (offset, options) => made("ANCESTORS", { offset }, options);
export const walStats = () => made("WAL_STATS");
export const snapshotInstance = (instanceId) => made("SNAPSHOT_INSTANCE", { instance_id: instanceId });
export const compact = (options) => made("COMPACT", {}, options);
export const flushAll = (options) => made("FLUSH_ALL", {}, options);
export const automation = (options) => made("AUTOMATION", {}, options);
export const clockAdvance = (by) => made("CLOCK_ADVANCE", { by });
export const replicationStatus = () => made("REPLICATION_STATUS");
export const clusterStatus = () => made("CLUSTER_STATUS");
export const clusterAdd = (peerAddr, options) => made("CLUSTER_ADD", { peer_addr: peerAddr }, options);
export const clusterPromote = (nodeId) => made("CLUSTER_PROMOTE", { node_id: nodeId });
export const clusterRemove = (nodeId) => made("CLUSTER_REMOVE", { node_id: nodeId });
export const clusterSetAddress = (nodeId, peerAddr, rcpAddr) =>
  made("CLUSTER_SET_ADDRESS", { node_id: nodeId, peer_addr: peerAddr, rcp_addr: rcpAddr });
export const clusterTransferLeader = (nodeId) => made("CLUSTER_TRANSFER_LEADER", { node_id: nodeId });
export const clusterFinalizeUpgrade = () => made("CLUSTER_FINALIZE_UPGRADE");
export const rotateKey = (options) => made("ROTATE_KEY", {}, options);
export const reload = () => made("RELOAD");

export function batch(ops, { atomic = false, ...options } = {}) {
  if (!Array.isArray(ops)) throw new RequestError("ops: a list of requests is needed");
  for (const [at, item] of ops.entries()) {
    if (typeof item?.op !== "string" || item.params === null || typeof item.params !== "object") {
      throw new RequestError(`ops[${at}]: ${JSON.stringify(item)} is not made by requests`);
    }
  }
  return made("BATCH", { mode: atomic ? "atomic" : "best_effort", ops: ops.map(({ op, params }) => ({ op, params })) }, options);
}
