"""Client of rstmdb, a replicated database of state machines: failover, retries that take effect once, watches that
resume.

    from rstmdb_cluster import Client

    with Client("db1:7401,db2:7401,db3:7401") as db:
        db.apply_event("order-1", "PAY", {"method": "card"})

:class:`AsyncClient` is the same for asyncio.
"""

from . import errors, requests, results
from ._lock import AsyncLock
from ._options import TLS
from ._position import Position, PositionFile, Progress
from ._watch import AsyncWatch
from .aio import AsyncClient
from .errors import (
    AuthFailed,
    AutomationPaused,
    BadRequest,
    ClosedError,
    ConfigError,
    Conflict,
    ConnectError,
    ConnectionLost,
    ContextError,
    DeadlineExceeded,
    ExpressionFailed,
    ExpressionLimit,
    FeatureLevel,
    Forbidden,
    GuardFailed,
    IndexBuilding,
    InstanceExists,
    InstanceNotFound,
    InternalError,
    InvalidTransition,
    LeaseLost,
    LockHeld,
    LockLost,
    MachineInUse,
    MachineNotFound,
    MachineVersionExists,
    MachineVersionLimitExceeded,
    NoLeader,
    NotFound,
    OffsetAhead,
    OffsetCompacted,
    OutcomeUnknown,
    ProtocolError,
    QuotaExceeded,
    RateLimited,
    ReadOnlyMode,
    RequestError,
    RstmdbError,
    SchemaFailed,
    ServerError,
    ServerTimeout,
    TlsError,
    Unauthorized,
    UnsupportedProtocol,
    WalIoError,
)
from .requests import NO_KEY
from .results import Event
from .sync import Client, Lock, Watch

__version__ = "0.1.0"

__all__ = [
    "NO_KEY",
    "TLS",
    "AsyncClient",
    "AsyncLock",
    "AsyncWatch",
    "AuthFailed",
    "AutomationPaused",
    "BadRequest",
    "Client",
    "ClosedError",
    "ConfigError",
    "Conflict",
    "ConnectError",
    "ConnectionLost",
    "ContextError",
    "DeadlineExceeded",
    "Event",
    "ExpressionFailed",
    "ExpressionLimit",
    "FeatureLevel",
    "Forbidden",
    "GuardFailed",
    "IndexBuilding",
    "InstanceExists",
    "InstanceNotFound",
    "InternalError",
    "InvalidTransition",
    "LeaseLost",
    "Lock",
    "LockHeld",
    "LockLost",
    "MachineInUse",
    "MachineNotFound",
    "MachineVersionExists",
    "MachineVersionLimitExceeded",
    "NoLeader",
    "NotFound",
    "OffsetAhead",
    "OffsetCompacted",
    "OutcomeUnknown",
    "Position",
    "PositionFile",
    "Progress",
    "ProtocolError",
    "QuotaExceeded",
    "RateLimited",
    "ReadOnlyMode",
    "RequestError",
    "RstmdbError",
    "SchemaFailed",
    "ServerError",
    "ServerTimeout",
    "TlsError",
    "Unauthorized",
    "UnsupportedProtocol",
    "WalIoError",
    "Watch",
    "errors",
    "requests",
    "results",
]
