// Client of rstmdb: failover, retries that take effect once, watches that resume.

export { Client } from "./lib/client.js";
export { LockGuard } from "./lib/lock.js";
export { PositionFile } from "./lib/position.js";
export { Watch } from "./lib/watch.js";
export * as requests from "./lib/requests.js";
export {
  AuthFailed, AutomationPaused, BadRequest, ClosedError, ConfigError, Conflict, ConnectError, ConnectionLost,
  DeadlineExceeded, ExpressionFailed, ExpressionLimit, FeatureLevel, Forbidden, GuardFailed, IndexBuilding,
  InstanceExists, InstanceNotFound, InternalError, InvalidTransition, LeaseLost, LockHeld, LockLost, MachineInUse,
  MachineNotFound,
  MachineVersionExists, MachineVersionLimitExceeded, NoLeader, NotFound, OffsetAhead, OffsetCompacted, OutcomeUnknown,
  ProtocolError, QuotaExceeded, RateLimited, ReadOnlyMode, RequestError, RstmdbError, SchemaFailed, ServerError,
  ServerTimeout, TlsError, Unauthorized, UnsupportedProtocol, WalIoError,
} from "./lib/errors.js";
