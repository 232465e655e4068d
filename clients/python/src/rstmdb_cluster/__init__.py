"""Client of rstmdb, a replicated database of state machines: failover, retries that take effect once, watches that
resume.

    from rstmdb_cluster import Client

    with Client("db1:7401,db2:7401,db3:7401") as db:
        db.apply_event("order-1", "PAY", {"method": "card"})

:class:`AsyncClient` is the same for asyncio.
"""

from . import errors, requests, results
from ._options import TLS
from ._position import Position, PositionFile, Progress
from ._watch import AsyncWatch
from .aio import AsyncClient
from .errors import (
    AuthFailed,
    BadRequest,
    ClosedError,
    ConfigError,
    Conflict,
    ConnectError,
    ConnectionLost,
    DeadlineExceeded,
    FeatureLevel,
    Forbidden,
    GuardFailed,
    InstanceExists,
    InstanceNotFound,
    InternalError,
    InvalidTransition,
    MachineNotFound,
    MachineVersionExists,
    MachineVersionLimitExceeded,
    NoLeader,
    NotFound,
    OffsetAhead,
    OffsetCompacted,
    OutcomeUnknown,
    ProtocolError,
    RateLimited,
    ReadOnlyMode,
    RequestError,
    RstmdbError,
    ServerError,
    ServerTimeout,
    TlsError,
    Unauthorized,
    UnsupportedProtocol,
    WalIoError,
)
from .requests import NO_KEY
from .results import Event
from .sync import Client, Watch

__version__ = "0.1.0"

__all__ = [
    "NO_KEY",
    "TLS",
    "AsyncClient",
    "AsyncWatch",
    "AuthFailed",
    "BadRequest",
    "Client",
    "ClosedError",
    "ConfigError",
    "Conflict",
    "ConnectError",
    "ConnectionLost",
    "DeadlineExceeded",
    "Event",
    "FeatureLevel",
    "Forbidden",
    "GuardFailed",
    "InstanceExists",
    "InstanceNotFound",
    "InternalError",
    "InvalidTransition",
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
    "RateLimited",
    "ReadOnlyMode",
    "RequestError",
    "RstmdbError",
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
