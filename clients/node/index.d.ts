/** Any JSON object. */
export type Json = { [name: string]: unknown };

export interface TlsOptions {
  /** PEM file with the roots to trust; the system's if absent. */
  ca?: string;
  /** PEM file with the client's chain, for servers that ask for one. */
  cert?: string;
  /** PEM file with the key of `cert`, if it is not in the same file. */
  key?: string;
  /** The name that the certificate must carry; the host of the address if absent. */
  serverName?: string;
  /** Accept ANY certificate. An attacker on the network can read and change everything, also the token. For tests only. */
  insecure?: boolean;
}

/** Times are milliseconds. */
export interface ClientOptions {
  /** For AUTH. A function is asked at each new connection, so tokens can be rotated without a restart of the program. */
  token?: string | (() => string | Promise<string>);
  tls?: TlsOptions | boolean;
  /** For a whole call, retries included; each call may give its own. 10,000. */
  timeout?: number;
  /** For one attempt to reach one address. 3,000. */
  connectTimeout?: number;
  /** Frames with a checksum, or lines of JSON. `binary_json`. */
  wireMode?: "binary_json" | "jsonl";
  /** For the server's logs. */
  clientName?: string;
  /** Gives each write that has no idempotency key one of its own. true. */
  autoKeys?: boolean;
  /** Learns the addresses of the other members from the first node that answers. true. */
  discover?: boolean;
  /** Connects to the leader when it is known; writes then take one hop less. false. */
  preferLeader?: boolean;
  /** The first pause between tries; each further one is twice as long. 10. */
  backoffMin?: number;
  /** The longest pause. 1,000. */
  backoffMax?: number;
  /** After so long without a sign of life a watch asks for one, and after as long again it goes elsewhere. 5,000. */
  watchKeepalive?: number;
  /** How long a watch looks for a node before it ends with an error. 60,000. */
  watchResumeTimeout?: number;
}

export interface CallOptions {
  /** The deadline of this call, in milliseconds. */
  timeout?: number;
  /**
   * Gives the call up: it rejects with the signal's reason, and nothing is sent after that. A write that was sent before
   * may or may not take effect.
   */
  signal?: AbortSignal;
}

/** Parameters have the names of docs/protocol.md. What is undefined is not sent. */
export interface ReadOptions extends CallOptions {
  consistency?: "linearizable" | "lease" | "local";
  /** The node answers once it has applied this offset: read your own writes from any node. */
  min_wal_offset?: number;
}

export interface WriteOptions extends CallOptions {
  headers?: { [name: string]: string };
  reason?: string;
  correlation_id?: string;
  causation_id?: string;
  /** The write is refused with LOCK_LOST if this token no longer holds this lock. */
  fence?: Fence;
  /** Only asks what would happen. Refused by the client if the server does not offer `lifecycle`. */
  dry_run?: boolean;
}

/** A lock, and the token that it was acquired with. */
export interface Fence { lock: string; token: number }

export interface KeyedOptions extends WriteOptions {
  /** Makes the change happen once. null: the write gets no key, and is not sent again when its outcome is unknown. */
  idempotency_key?: string | null;
}

/** docs/machines.md describes each key. Those that only format 2 has are marked with 2. */
export interface Definition {
  format?: 1 | 2;
  states: (string | State)[];
  initial: string;
  transitions: Transition[];
  /** 2 */
  context?: { schema?: unknown; default?: object; meta?: unknown };
  /** 2 */
  events?: { [event: string]: { schema?: unknown; meta?: unknown } };
  /** 2 */
  merge?: boolean | "deep";
  meta?: unknown;
}
/** 2 */
export interface State {
  name: string;
  final?: boolean;
  emit?: string | string[];
  always?: Always | Always[];
  timers?: TimerDefinition[];
  delete_after?: string;
  meta?: unknown;
}
export interface Transition {
  from: string | string[];
  event: string;
  to: string;
  guard?: string;
  /** 2 */
  except?: string[];
  /** 2 */
  merge?: boolean | "deep";
  /** 2 */
  set?: { [path: string]: string };
  /** 2 */
  unset?: string | string[];
  /** 2 */
  emit?: string | string[];
  /** 2 */
  reenter?: boolean;
  meta?: unknown;
}
/** 2 */
export interface Always {
  to: string;
  guard?: string;
  set?: { [path: string]: string };
  unset?: string | string[];
  emit?: string | string[];
  meta?: unknown;
}
/** 2: docs/deadlines.md. */
export interface TimerDefinition {
  event: string;
  after?: string;
  at?: string;
  name?: string;
  payload?: object;
  jitter?: string;
  late?: "fire" | "skip" | { within: string };
  retry?: { after: string; times: number };
  optional?: boolean;
  meta?: unknown;
}

export interface MachineResult {
  definition: Definition;
  checksum: string;
  version: number;
  format?: number;
  warnings?: { place: string; text: string }[];
  /** With `include: ["layout"]`; null for a machine that is too large for a picture. */
  layout?: Layout | null;
}
/** Where the parts of a machine's diagram stand. */
export interface Layout {
  width: number;
  height: number;
  /** By index in `states`. */
  initial: number;
  states: { name: string; x: number; y: number; width: number; height: number; final?: boolean }[];
  /** `path` is written as in SVG; `from` and `to` are indexes in `states`. */
  arrows: { from: number; to: number; event: string; guard?: string; y: number; path: string; back?: boolean }[];
}
export interface PutMachineResult {
  machine: string;
  version: number;
  stored_checksum: string;
  created: boolean;
  warnings?: { place: string; text: string }[];
  dry_run?: boolean;
}
export interface DeletedMachine {
  machine: string;
  deleted: boolean;
  versions: number[];
  /** null with `dry_run`. */
  wal_offset: number | null;
  dry_run?: boolean;
}
/** For imports, for which a token needs the right: the state, and Unix ms. */
export interface ImportOptions { initial_state?: string; created_at?: number; updated_at?: number }
/** What a write would do, with `dry_run`. */
export interface Would {
  set: string[];
  unset: string[];
  armed: string[];
  disarmed: string[];
  emits: string[];
  /** The states that would be passed without an event. */
  via?: string[];
}
/** The answers of writes to `dry_run` have this beside their own fields; `wal_offset` then is null. */
export interface DryRun {
  dry_run?: boolean;
  /** An idempotency key is known: this is the first call's answer again. */
  replayed?: boolean;
  would?: Would;
}
export interface CreatedInstance<Ctx = Json> extends DryRun {
  /** null with `dry_run`, if the server would make one. */
  instance_id: string | null;
  state: string;
  wal_offset: number | null;
  /** With `dry_run`: the context that it would have. */
  ctx?: Ctx;
}
export interface Instance<Ctx = Json> {
  machine: string;
  version: number;
  state: string;
  ctx: Ctx;
  last_wal_offset: number;
  last_event_id?: string;
  /** With `include: ["meta"]`: who changed it last, when and why; null if the log no longer has that write. */
  meta?: Json | null;
  /** Its armed timers, by name; absent: it has none. */
  timers?: Timer[];
  timers_suspended?: boolean;
}
export interface Timer { name: string; due_at: number; event?: string; refusals?: number }
/** By a timer's name; null disarms it. */
export type TimerChanges = { [name: string]: { after: string | number } | { at: string | number } | null };
export interface TimersSet extends DryRun {
  instance_id: string;
  timers: Timer[];
  /** Absent when nothing was changed. */
  wal_offset?: number | null;
  /** False when nothing was changed, also when an idempotency key replays an earlier call. */
  applied: boolean;
}
export interface TimerPlace { due_at: number; instance_id: string; name: string }
export interface ListedTimer extends Timer { instance_id: string; machine: string; version: number; state: string }
export interface TimerList {
  timers: ListedTimer[];
  next?: TimerPlace;
  /** How many timers there are, of all machines. */
  armed: number;
  /** How many of them are overdue. */
  overdue: number;
}
export interface Lock {
  name: string;
  owner: string;
  /** Greater than every earlier token of the lock. */
  token: number;
  expires_at: number;
  ttl_ms: number;
  /** How many owners wait for it. */
  waiting: number;
}
export interface HeldLock extends Lock { wal_offset?: number }
export interface ReleasedLock { name: string; owner: string; token: number; released: true; next_owner?: string; wal_offset: number }
export interface LockList { locks: Lock[]; next?: string }
export interface InstanceSummary {
  id: string;
  machine: string;
  version: number;
  state: string;
  created_at: number;
  updated_at: number;
  last_wal_offset: number;
}
export interface InstanceList { instances: InstanceSummary[]; total: number; has_more: boolean }
export interface DeletedInstance extends DryRun { instance_id: string; deleted: boolean; wal_offset: number | null }
export interface AppliedEvent<Ctx = Json> extends DryRun {
  from_state: string;
  to_state: string;
  /** null only where a key repeats an event that the log no longer has. */
  ctx: Ctx | null;
  wal_offset: number | null;
  /** False when an idempotency key replays an earlier call. */
  applied: boolean;
  event_id?: string;
}
/** A guard that was tried, and what it read. */
export interface TriedGuard {
  text: string;
  holds: boolean;
  values: Json;
  /** The paths of which `values` has only the beginning. */
  cut?: string[];
  error?: string;
}
export interface AllowedEvent {
  event: string;
  outcome: "taken" | "refused";
  to_state?: string;
  guards: TriedGuard[];
  guards_left_out?: number;
  /** The states on its way that have transitions without an event, and what was tried there. */
  always?: { state: string; guards: TriedGuard[] }[];
  /** The timers that it would arm, and those that it would disarm. */
  armed?: string[];
  disarmed?: string[];
  /** The error with which it would be refused, where that is not for its guards. */
  code?: string;
  message?: string;
}
export interface AllowedEvents {
  state: string;
  last_wal_offset?: number;
  events: AllowedEvent[];
  /** The state has more events, which were not looked at. */
  has_more?: boolean;
}
export interface WalRecord { sequence: number; offset: number; entry: Json & { type: string }; meta?: Json }
export interface WalPage { records: WalRecord[]; next_offset: number }
export interface Ancestors { facts: WalRecord[]; ended?: string; next?: number }
/** Who the client is to the answering node, and what it may do. */
export interface Whoami {
  /** null without authentication. */
  name: string | null;
  roles: string[];
  /** What the roles allow together; machines are names and patterns with `*`. */
  grants: { verbs: string[]; machines: string[] }[];
  /** When the token expires, Unix milliseconds. */
  expires_at?: number;
}

export interface Info {
  server_name: string;
  server_version: string;
  protocol_version: number;
  features: string[];
  max_frame_bytes: number;
  max_batch_ops: number;
  node_id?: number;
  cluster_id?: string;
  role?: "leader" | "follower" | "learner" | "candidate";
  leader?: { node_id: number; rcp_addr: string } | null;
  term?: number;
  last_applied?: number;
  commit_index?: number;
  members?: { node_id: number; rcp_addr: string; peer_addr: string; voter: boolean }[];
  uptime_secs?: number;
  connections?: number;
  instances?: number;
  earliest_offset?: number;
  state_digest?: string;
  /** This node was removed from the cluster. */
  removed?: { by: number; membership: number };
}
export interface NodeStatus {
  node_id: number;
  voter: boolean;
  peer_addr: string;
  rcp_addr: string;
  reachable: boolean;
  unreachable?: string;
  role?: string;
  term?: number;
  last_log?: number;
  applied?: number;
  lag?: number;
  version?: string;
  digest?: string;
  digest_offset?: number;
  earliest_offset?: number;
  read_only?: string;
  diverged: boolean;
  uptime_secs?: number;
}
export interface ClusterStatus { cluster_id: string; cluster_name: string; leader?: number; term: number; removed?: { by: number; membership: number }; nodes: NodeStatus[] }

/** An operation with its parameters, for `Client.batch`. */
export interface Request { op: string; params: Json }
export type BatchItem =
  | { ok: true; result: any; error: undefined }
  | { ok: false; result: undefined; error: ServerError };

/**
 * An event of a watch. With `include` it may be another change: then `kind` says which, and what such a change does not
 * have is null or absent.
 */
export interface WatchEvent<Ctx = Json, Payload = Json> {
  type: "event";
  /** Absent if everything was removed at once. */
  instance_id?: string;
  machine?: string;
  version?: number;
  wal_offset: number;
  from_state?: string | null;
  to_state?: string | null;
  event?: string | null;
  payload?: Payload;
  /** Absent when the watch does without. */
  ctx?: Ctx;
  /** The names that a machine of format 2 emitted. */
  emits?: string[];
  kind?: "event" | "created" | "deleted" | "timer_spent" | "flushed" | string;
  /** Who, when and why, with `include_meta`. */
  meta?: Json;
  /** With `include`: the timer that has fired. */
  timer?: { name: string; due_at: number };
  /** Of `timer_spent`: why the timer had no effect. */
  code?: string;
  message?: string;
}
/** No event matched lately. The server has compared everything up to this offset, inclusive, with the filter. */
export interface Progress { type: "progress"; wal_offset: number }

/** Where a watch goes on, in this program or in a later one. It is plain JSON. */
export interface Position {
  /** The offset to go on at, inclusive. */
  from_offset: number;
  cluster_id?: string;
  /** How many events at `from_offset` were delivered already: the events of one atomic batch share their offset. */
  delivered?: number;
}

/** Keeps the position of a watch in a file. After a crash the file has the position before, or the new one. */
export class PositionFile {
  constructor(path: string);
  readonly path: string;
  load(): Position | undefined;
  save(position: Position): void;
}

export interface WatchOptions {
  include_ctx?: boolean;
  /** 0: the earliest that is retained. Without it and `position`: the next event. */
  from_offset?: number;
  position?: Position;
  include?: string[];
  include_meta?: boolean;
  /** Closes the watch, which ends the iteration. */
  signal?: AbortSignal;
}
export interface WatchAllOptions extends WatchOptions {
  machines?: string[];
  from_states?: string[];
  to_states?: string[];
  events?: string[];
  emits?: string[];
}

/**
 * The events of a watch, in ascending order of their offsets, each exactly once. After a lost connection it resumes, on
 * any node. It ends with an error when that is impossible. A `break` out of `for await` closes it.
 */
export class Watch<Ctx = Json, Payload = Json> implements AsyncIterable<WatchEvent<Ctx, Payload>> {
  private constructor();
  /** Begins the watch, if it has not begun; gives what the server answered. */
  start(): Promise<Json>;
  /** The next event; undefined when the watch was closed, or after `timeout` milliseconds without one. */
  next(timeout?: number): Promise<WatchEvent<Ctx, Payload> | undefined>;
  /** As `next`, with the server's notices of progress. */
  nextItem(timeout?: number): Promise<WatchEvent<Ctx, Payload> | Progress | undefined>;
  [Symbol.asyncIterator](): AsyncGenerator<WatchEvent<Ctx, Payload>, void, undefined>;
  /** Where to go on after the last event that was delivered. */
  readonly position: Position;
  readonly closed: boolean;
  close(): Promise<void>;
}

/**
 * A lock that this program holds, made by `Client.lock`. It is renewed each time a third of its time has passed. It can be
 * lost all the same: the process was paused, or no server could be reached in time. So put `fence` on each write that it is
 * to protect, and stop other work when `lost` resolves. The time counts from the moment at which the last renewal was sent,
 * by the monotonic clock. The lock counts as lost when seven eighths of the time have passed.
 */
export class LockGuard {
  private constructor();
  readonly name: string;
  /** As other clients see it. */
  readonly owner: string;
  /** Whether it is still held, as far as this process can know. */
  readonly held: boolean;
  /** What the lock was granted with. Throws LockLost. */
  readonly token: number;
  /** For `fence` in the options of writes. Throws LockLost. */
  readonly fence: Fence;
  /** Resolves when the lock is lost or released. */
  readonly lost: Promise<void>;
  /** Whether `release` was called. */
  readonly over: boolean;
  /** Gives the lock back. Throws LockLost if it was lost before. */
  release(): Promise<void>;
}

/**
 * A client of a cluster. Any node serves every call; calls share one connection and are pipelined on it. Each ends at
 * its deadline. Times are milliseconds.
 */
export class Client {
  /** The addresses of some or all nodes: a list, or one text with commas. */
  constructor(addresses?: string | string[], options?: ClientOptions);
  /** Opens the connection, and tries until the deadline, as calls do by themselves: a node may be restarting. */
  connect(options?: CallOptions): Promise<this>;
  /** Ends all watches and the connection. Calls without an answer fail. */
  close(): Promise<void>;
  readonly closed: boolean;
  /** The node that the client is connected to, or was last. */
  readonly address: string | undefined;
  /** The highest offset that an answer to this client has named. */
  readonly lastWalOffset: number;

  /** Any operation by its name. One that this version does not know counts as a write. */
  call(op: string, params?: Json, options?: CallOptions): Promise<any>;
  /** At most 100 operations. With `atomic` all take effect at one offset or none does. */
  batch(ops: Request[], options?: WriteOptions & { atomic?: boolean }): Promise<BatchItem[]>;
  /**
   * Gets a lock and renews it until it is released. Without a renewal it expires after `ttl` milliseconds (30,000); `wait`
   * (0) says for how long to wait while another owner has it. `owner` is for people who look at the lock.
   */
  lock(name: string, options?: { owner?: string; ttl?: number; wait?: number; signal?: AbortSignal }): Promise<LockGuard>;
  /** `Ctx` and `Payload` are types of the program; nothing checks that what arrives fits them. */
  watchAll<Ctx = Json, Payload = Json>(options?: WatchAllOptions): Watch<Ctx, Payload>;
  watchInstance<Ctx = Json, Payload = Json>(instanceId: string, options?: WatchOptions): Watch<Ctx, Payload>;
  iterInstances(options?: ReadOptions & { machine?: string; state?: string; page?: number }): AsyncGenerator<InstanceSummary, void>;
  iterTimers(options?: ReadOptions & { machine?: string; due_before?: number; suspended?: boolean; page?: number }): AsyncGenerator<ListedTimer, void>;
  iterLocks(options?: ReadOptions & { prefix?: string; page?: number }): AsyncGenerator<Lock, void>;
  iterWal(fromOffset?: number, options?: CallOptions & { page?: number; include_meta?: boolean }): AsyncGenerator<WalRecord, void>;

  ping(options?: CallOptions): Promise<Json>;
  info(options?: CallOptions): Promise<Info>;
  whoami(options?: CallOptions): Promise<Whoami>;
  putMachine(machine: string, version: number, definition: Definition, options?: WriteOptions & { checksum?: string }): Promise<PutMachineResult>;
  getMachine(machine: string, version?: number, options?: ReadOptions & { include?: string[] }): Promise<MachineResult>;
  listMachines(options?: ReadOptions & { limit?: number; offset?: number }): Promise<{ items: { machine: string; versions: number[]; format?: number; warning_count?: number }[] }>;
  /** A version, or with `all_versions` and without a version all of them. */
  deleteMachine(machine: string, version?: number, options?: WriteOptions & { all_versions?: boolean }): Promise<DeletedMachine>;
  createInstance<Ctx extends object = Json>(machine: string, version: number, instanceId?: string, initialCtx?: Ctx, options?: KeyedOptions & ImportOptions): Promise<CreatedInstance<Ctx>>;
  /** `Ctx` is a type of the program; nothing checks that what the server has fits it. */
  getInstance<Ctx = Json>(instanceId: string, options?: ReadOptions & { include?: string[] }): Promise<Instance<Ctx>>;
  listInstances(options?: ReadOptions & { machine?: string; state?: string; limit?: number; offset?: number; after?: string }): Promise<InstanceList>;
  deleteInstance(instanceId: string, options?: KeyedOptions & { expected_wal_offset?: number }): Promise<DeletedInstance>;
  applyEvent<Ctx = Json>(instanceId: string, event: string, payload?: object | null, options?: KeyedOptions & { expected_state?: string; expected_wal_offset?: number; event_id?: string; timers?: TimerChanges }): Promise<AppliedEvent<Ctx>>;
  timerSet(instanceId: string, timers?: TimerChanges, options?: KeyedOptions & { resume?: boolean; expected_state?: string; expected_wal_offset?: number }): Promise<TimersSet>;
  timerList(options?: ReadOptions & { machine?: string; due_before?: number; suspended?: boolean; limit?: number; after?: TimerPlace }): Promise<TimerList>;
  /** The same owner gets the same token again, so each process needs an owner of its own. The wait adds to the timeout. */
  lockAcquire(name: string, owner: string, ttlMs: number, options?: WriteOptions & { wait_ms?: number }): Promise<HeldLock>;
  lockRenew(name: string, token: number, options?: WriteOptions & { ttl_ms?: number }): Promise<HeldLock>;
  lockRelease(name: string, token: number, options?: WriteOptions): Promise<ReleasedLock>;
  lockGet(name: string, options?: ReadOptions): Promise<LockList>;
  lockList(options?: ReadOptions & { prefix?: string; limit?: number; after?: string }): Promise<LockList>;
  allowedEvents(
    instanceId: string,
    options?: ReadOptions & { payloads?: { [event: string]: object | null }; headers?: { [name: string]: string } },
  ): Promise<AllowedEvents>;
  walRead(fromOffset: number, options?: CallOptions & { limit?: number; include_meta?: boolean }): Promise<WalPage>;
  ancestors(offset: number, options?: CallOptions & { limit?: number }): Promise<Ancestors>;
  walStats(options?: CallOptions): Promise<Json>;
  snapshotInstance(instanceId: string, options?: CallOptions): Promise<Json>;
  compact(options?: CallOptions & { force_snapshot?: boolean }): Promise<Json>;
  flushAll(options?: WriteOptions): Promise<Json>;
  automation(options?: CallOptions & { set?: "paused" | "running"; reason?: string; skip_overdue?: boolean; shift_timers?: boolean; fence?: Fence }): Promise<Json & { automation: "paused" | "running" }>;
  clockAdvance(by?: string, options?: CallOptions): Promise<{ now: number }>;
  replicationStatus(options?: CallOptions): Promise<Json & { role: string }>;
  clusterStatus(options?: CallOptions): Promise<ClusterStatus>;
  clusterAdd(peerAddr: string, options?: CallOptions & { node_id?: number }): Promise<{ node_id: number; peer_addr: string; rcp_addr: string; voter: boolean }>;
  clusterPromote(nodeId: number, options?: CallOptions): Promise<{ node_id: number; voter: boolean }>;
  clusterRemove(nodeId: number, options?: CallOptions): Promise<{ node_id: number; removed: boolean }>;
  clusterSetAddress(nodeId: number, peerAddr: string, rcpAddr: string, options?: CallOptions): Promise<{ node_id: number; peer_addr: string; rcp_addr: string }>;
  clusterTransferLeader(nodeId?: number, options?: CallOptions): Promise<{ leader: number }>;
  clusterFinalizeUpgrade(options?: CallOptions): Promise<{ from: number; to: number }>;
  rotateKey(options?: CallOptions & { switch?: boolean }): Promise<Json>;
  reload(options?: CallOptions): Promise<{ applied: string[]; files: string[]; needs_restart: string[] }>;
}

/** The operations as values, for `Client.batch`. */
export namespace requests {
  function ping(): Request;
  function info(): Request;
  function whoami(): Request;
  function putMachine(machine: string, version: number, definition: Definition, options?: WriteOptions & { checksum?: string }): Request;
  function getMachine(machine: string, version?: number, options?: ReadOptions & { include?: string[] }): Request;
  function listMachines(options?: ReadOptions & { limit?: number; offset?: number }): Request;
  function deleteMachine(machine: string, version?: number, options?: WriteOptions & { all_versions?: boolean }): Request;
  function createInstance(machine: string, version: number, instanceId?: string, initialCtx?: object, options?: KeyedOptions & ImportOptions): Request;
  function getInstance(instanceId: string, options?: ReadOptions & { include?: string[] }): Request;
  function listInstances(options?: ReadOptions & { machine?: string; state?: string; limit?: number; offset?: number; after?: string }): Request;
  function deleteInstance(instanceId: string, options?: KeyedOptions & { expected_wal_offset?: number }): Request;
  function applyEvent(instanceId: string, event: string, payload?: object | null, options?: KeyedOptions & { expected_state?: string; expected_wal_offset?: number; event_id?: string; timers?: TimerChanges }): Request;
  function timerSet(instanceId: string, timers?: TimerChanges, options?: KeyedOptions & { resume?: boolean; expected_state?: string; expected_wal_offset?: number }): Request;
  function timerList(options?: ReadOptions & { machine?: string; due_before?: number; suspended?: boolean; limit?: number; after?: TimerPlace }): Request;
  function lockAcquire(name: string, owner: string, ttlMs: number, options?: WriteOptions & { wait_ms?: number }): Request;
  function lockRenew(name: string, token: number, options?: WriteOptions & { ttl_ms?: number }): Request;
  function lockRelease(name: string, token: number, options?: WriteOptions): Request;
  function lockGet(name: string, options?: ReadOptions): Request;
  function lockList(options?: ReadOptions & { prefix?: string; limit?: number; after?: string }): Request;
  function allowedEvents(
    instanceId: string,
    options?: ReadOptions & { payloads?: { [event: string]: object | null }; headers?: { [name: string]: string } },
  ): Request;
  function walRead(fromOffset: number, options?: CallOptions & { limit?: number; include_meta?: boolean }): Request;
  function ancestors(offset: number, options?: CallOptions & { limit?: number }): Request;
  function walStats(): Request;
  function snapshotInstance(instanceId: string): Request;
  function compact(options?: CallOptions & { force_snapshot?: boolean }): Request;
  function flushAll(options?: WriteOptions): Request;
  function automation(options?: CallOptions & { set?: "paused" | "running"; reason?: string; skip_overdue?: boolean; shift_timers?: boolean; fence?: Fence }): Request;
  function clockAdvance(by?: string): Request;
  function replicationStatus(): Request;
  function clusterStatus(): Request;
  function clusterAdd(peerAddr: string, options?: CallOptions & { node_id?: number }): Request;
  function clusterPromote(nodeId: number): Request;
  function clusterRemove(nodeId: number): Request;
  function clusterSetAddress(nodeId: number, peerAddr: string, rcpAddr: string): Request;
  function clusterTransferLeader(nodeId?: number): Request;
  function clusterFinalizeUpgrade(): Request;
  function rotateKey(options?: CallOptions & { switch?: boolean }): Request;
  function reload(): Request;
}

/** A call has no result, or a watch has ended. */
export class RstmdbError extends Error {
  code: string;
  /** Whether the same request, with the same key, may succeed when it is sent again, and does no harm. */
  retryable: boolean;
  details: Json;
  op?: string;
  /** The parameters as they were sent, with the keys that the client added. */
  params?: Json;
  readonly outcome: "not_applied" | "unknown" | "applied" | string | undefined;
  readonly idempotencyKey: string | undefined;
}
/** A write may or may not have taken effect; `cause` says why that is not known. */
export class OutcomeUnknown extends RstmdbError {}
export class ClosedError extends RstmdbError {}
export class ConfigError extends RstmdbError {}
export class ConnectError extends RstmdbError {}
export class ConnectionLost extends RstmdbError {}
export class DeadlineExceeded extends RstmdbError {}
export class ProtocolError extends RstmdbError {}
export class RequestError extends RstmdbError {}
export class TlsError extends RstmdbError {}
/** The server refused. A code that this version does not know is of this class itself. */
export class ServerError extends RstmdbError {}
export class AuthFailed extends ServerError {}
export class AutomationPaused extends ServerError {}
export class BadRequest extends ServerError {}
export class Conflict extends ServerError {}
export class ExpressionFailed extends ServerError {}
export class ExpressionLimit extends ServerError {}
export class FeatureLevel extends ServerError {}
export class Forbidden extends ServerError {}
export class GuardFailed extends ServerError {}
export class IndexBuilding extends ServerError {}
export class InstanceExists extends ServerError {}
export class InternalError extends ServerError {}
export class InvalidTransition extends ServerError {}
export class MachineVersionExists extends ServerError {}
export class MachineVersionLimitExceeded extends ServerError {}
export class NoLeader extends ServerError {}
export class NotFound extends ServerError {}
export class OffsetAhead extends ServerError {}
export class QuotaExceeded extends ServerError {}
export class RateLimited extends ServerError {}
export class ReadOnlyMode extends ServerError {}
export class SchemaFailed extends ServerError {}
export class ServerTimeout extends ServerError {}
export class Unauthorized extends ServerError {}
export class UnsupportedProtocol extends ServerError {}
export class WalIoError extends ServerError {}
export class MachineNotFound extends NotFound {}
export class InstanceNotFound extends NotFound {}
export class MachineInUse extends Conflict {}
export class LockHeld extends Conflict {}
export class LockLost extends Conflict {}
export class LeaseLost extends Conflict {}
/** The events before `earliestOffset` are lost to this reader. */
export class OffsetCompacted extends ServerError {
  readonly earliestOffset: number | undefined;
}
