// What can go wrong: a class for each code of the server, and those of the client itself.

/** A call has no result, or a watch has ended. */
export class RstmdbError extends Error {
  static code = "ERROR";
  static retryable = false;

  constructor(message, { code, retryable, details, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = new.target.name;
    this.code = code ?? new.target.code;
    this.retryable = retryable ?? new.target.retryable;
    this.details = details ?? {};
    this.op = undefined;
    this.params = undefined;
  }

  /** What became of the request, where the server said so: `not_applied`, `unknown` or `applied`. */
  get outcome() {
    return typeof this.details.outcome === "string" ? this.details.outcome : undefined;
  }

  /** The key that the failed write carried, given or added by the client. */
  get idempotencyKey() {
    return typeof this.params?.idempotency_key === "string" ? this.params.idempotency_key : undefined;
  }
}

/** A write may or may not have taken effect. */
export class OutcomeUnknown extends RstmdbError {
  static code = "OUTCOME_UNKNOWN";

  constructor(cause, { retryable }) {
    const details = { ...cause.details, outcome: "unknown" };
    super(`${cause.message} (the write may or may not have taken effect)`, { code: cause.code, retryable, details, cause });
  }
}

function kind(name, code, retryable = false, base = RstmdbError) {
  const made = { [name]: class extends base {} }[name];
  made.code = code;
  made.retryable = retryable;
  return made;
}

export const ConfigError = kind("ConfigError", "INVALID_OPTIONS");
export const RequestError = kind("RequestError", "INVALID_REQUEST");
export const ConnectError = kind("ConnectError", "CONNECT_FAILED", true);
export const ConnectionLost = kind("ConnectionLost", "CONNECTION_LOST", true);
export const DeadlineExceeded = kind("DeadlineExceeded", "DEADLINE_EXCEEDED", true);
export const ProtocolError = kind("ProtocolError", "PROTOCOL_ERROR");
export const TlsError = kind("TlsError", "TLS_ERROR");
export const ClosedError = kind("ClosedError", "CLOSED");

/** The server refused. Codes that this version does not know are of this class itself. */
export class ServerError extends RstmdbError {}

const refusal = (name, code, retryable = false, base = ServerError) => kind(name, code, retryable, base);

export const UnsupportedProtocol = refusal("UnsupportedProtocol", "UNSUPPORTED_PROTOCOL");
export const BadRequest = refusal("BadRequest", "BAD_REQUEST");
export const Unauthorized = refusal("Unauthorized", "UNAUTHORIZED");
export const AuthFailed = refusal("AuthFailed", "AUTH_FAILED");
export const Forbidden = refusal("Forbidden", "FORBIDDEN");
export const NotFound = refusal("NotFound", "NOT_FOUND");
export const MachineNotFound = refusal("MachineNotFound", "MACHINE_NOT_FOUND", false, NotFound);
export const InstanceNotFound = refusal("InstanceNotFound", "INSTANCE_NOT_FOUND", false, NotFound);
export const MachineVersionExists = refusal("MachineVersionExists", "MACHINE_VERSION_EXISTS");
export const MachineVersionLimitExceeded = refusal("MachineVersionLimitExceeded", "MACHINE_VERSION_LIMIT_EXCEEDED");
export const InstanceExists = refusal("InstanceExists", "INSTANCE_EXISTS");
export const InvalidTransition = refusal("InvalidTransition", "INVALID_TRANSITION");
export const GuardFailed = refusal("GuardFailed", "GUARD_FAILED");
export const Conflict = refusal("Conflict", "CONFLICT");
export const MachineInUse = refusal("MachineInUse", "MACHINE_IN_USE", false, Conflict);
export const LockHeld = refusal("LockHeld", "LOCK_HELD", false, Conflict);
export const LockLost = refusal("LockLost", "LOCK_LOST", false, Conflict);
export const LeaseLost = refusal("LeaseLost", "LEASE_LOST", false, Conflict);
export const ExpressionFailed = refusal("ExpressionFailed", "EXPRESSION_FAILED");
export const ExpressionLimit = refusal("ExpressionLimit", "EXPRESSION_LIMIT");
export const SchemaFailed = refusal("SchemaFailed", "SCHEMA_FAILED");
export const AutomationPaused = refusal("AutomationPaused", "AUTOMATION_PAUSED");
export const FeatureLevel = refusal("FeatureLevel", "FEATURE_LEVEL");
export const IndexBuilding = refusal("IndexBuilding", "INDEX_BUILDING", true);
export const QuotaExceeded = refusal("QuotaExceeded", "QUOTA_EXCEEDED", true);
export const WalIoError = refusal("WalIoError", "WAL_IO_ERROR", true);
export const InternalError = refusal("InternalError", "INTERNAL_ERROR", true);
export const RateLimited = refusal("RateLimited", "RATE_LIMITED", true);
export const NoLeader = refusal("NoLeader", "NO_LEADER", true);
export const ServerTimeout = refusal("ServerTimeout", "TIMEOUT", true);
export const ReadOnlyMode = refusal("ReadOnlyMode", "READ_ONLY_MODE", true);
export const OffsetAhead = refusal("OffsetAhead", "OFFSET_AHEAD");

/** The offset fell out of retention: the events before `earliestOffset` are lost to this reader. */
export class OffsetCompacted extends ServerError {
  static code = "OFFSET_COMPACTED";

  get earliestOffset() {
    return Number.isInteger(this.details.earliest_offset) ? this.details.earliest_offset : undefined;
  }
}

const BY_CODE = new Map(
  [
    UnsupportedProtocol, BadRequest, Unauthorized, AuthFailed, Forbidden, NotFound, MachineNotFound, InstanceNotFound,
    MachineVersionExists, MachineVersionLimitExceeded, InstanceExists, InvalidTransition, GuardFailed, Conflict,
    LockHeld, LockLost, LeaseLost, ExpressionFailed, ExpressionLimit, SchemaFailed, AutomationPaused, FeatureLevel,
    IndexBuilding, QuotaExceeded, WalIoError, InternalError, RateLimited, NoLeader, ServerTimeout, ReadOnlyMode,
    OffsetAhead, OffsetCompacted, MachineInUse,
  ].map((made) => [made.code, made]),
);

/** The error that a response, an item of a batch or the end of a watch carries. */
export function fromWire(body) {
  if (body === null || typeof body !== "object" || typeof body.code !== "string") {
    throw new ProtocolError("the server sent an error without a code");
  }
  const made = BY_CODE.get(body.code) ?? ServerError;
  return new made(typeof body.message === "string" ? body.message : body.code, {
    code: body.code,
    retryable: typeof body.retryable === "boolean" ? body.retryable : undefined,
    details: body.details !== null && typeof body.details === "object" ? body.details : undefined,
  });
}
