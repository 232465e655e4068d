"""What can go wrong, as classes: one for each code of the server, and those of the client itself.

All derive from :class:`RstmdbError`. Branch on the class, on ``code`` or on ``retryable``, never on the message.
"""

from collections.abc import Mapping
from typing import Any, Optional


class RstmdbError(Exception):
    """A call has no result, or a watch has ended."""

    #: The code of the server, or the client's own code.
    code: str = "ERROR"
    #: Whether the same request may succeed when it is sent again, and does no harm. For a write this holds for the
    #: request as it was sent, with the same ``idempotency_key``; ``client.call(error.op, error.params)`` sends it so.
    retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        code: Optional[str] = None,
        retryable: Optional[bool] = None,
        details: Optional[Mapping[str, Any]] = None,
    ) -> None:
        super().__init__(message)
        #: For people; the text may change at any time.
        self.message = message
        if code is not None:
            self.code = code
        if retryable is not None:
            self.retryable = retryable
        #: Data of the error; which, depends on its code.
        self.details: Mapping[str, Any] = dict(details or {})
        #: The operation that failed, where there was one.
        self.op: Optional[str] = None
        #: The parameters of the request as they were sent, with the idempotency keys that the client added.
        self.params: Optional[Mapping[str, Any]] = None

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    @property
    def outcome(self) -> Optional[str]:
        """What became of the request, where the server said so: ``not_applied``, ``unknown`` or ``applied``."""
        outcome = self.details.get("outcome")
        return outcome if isinstance(outcome, str) else None

    @property
    def idempotency_key(self) -> Optional[str]:
        """The key that the failed write carried, given or added by the client."""
        key = (self.params or {}).get("idempotency_key")
        return key if isinstance(key, str) else None


class OutcomeUnknown(RstmdbError):
    """A write may or may not have taken effect, and the client cannot tell which.

    ``retryable`` says whether the same request with the same idempotency key may be sent again: it then takes effect
    once, as long as no other client deletes the instance meanwhile. Without a key, read the instance to find out.
    ``code`` and ``details`` are those of the last failure, which is ``cause``.
    """

    code = "OUTCOME_UNKNOWN"

    def __init__(self, cause: RstmdbError, *, retryable: bool) -> None:
        details = {**cause.details, "outcome": "unknown"}
        super().__init__(cause.message, code=cause.code, retryable=retryable, details=details)
        #: Why there is no answer.
        self.cause = cause

    def __str__(self) -> str:
        return f"{self.code}: {self.message} (the write may or may not have taken effect)"


class ConfigError(RstmdbError, ValueError):
    """The options of the client cannot be used."""

    code = "INVALID_OPTIONS"


class RequestError(RstmdbError, ValueError):
    """The request cannot be sent; nothing was done."""

    code = "INVALID_REQUEST"


class ContextError(RstmdbError, ValueError):
    """A context or a payload does not have the type that the program reads it as; the message names the place."""

    code = "WRONG_TYPE"


class ConnectError(RstmdbError):
    """No server could be reached. The request was not sent, so nothing was done."""

    code = "CONNECT_FAILED"
    retryable = True


class ConnectionLost(RstmdbError):
    """The connection was lost before the answer came. A write in the same case is :class:`OutcomeUnknown`."""

    code = "CONNECTION_LOST"
    retryable = True


class DeadlineExceeded(RstmdbError, TimeoutError):
    """There was no answer within the deadline. A write in the same case is :class:`OutcomeUnknown`."""

    code = "DEADLINE_EXCEEDED"
    retryable = True


class ProtocolError(RstmdbError):
    """The server broke the protocol, or speaks another one."""

    code = "PROTOCOL_ERROR"


class TlsError(RstmdbError):
    """TLS could not be set up, or a certificate was not accepted."""

    code = "TLS_ERROR"


class ClosedError(RstmdbError):
    """The client was closed."""

    code = "CLOSED"


class ServerError(RstmdbError):
    """The server refused. Codes that this version does not know are of this class itself."""


class UnsupportedProtocol(ServerError):
    code = "UNSUPPORTED_PROTOCOL"


class BadRequest(ServerError):
    """``details["field"]`` is the path of the wrong parameter, where there is one."""

    code = "BAD_REQUEST"


class Unauthorized(ServerError):
    code = "UNAUTHORIZED"


class AuthFailed(ServerError):
    code = "AUTH_FAILED"


class Forbidden(ServerError):
    code = "FORBIDDEN"


class NotFound(ServerError):
    code = "NOT_FOUND"


class MachineNotFound(NotFound):
    code = "MACHINE_NOT_FOUND"


class InstanceNotFound(NotFound):
    code = "INSTANCE_NOT_FOUND"


class MachineVersionExists(ServerError):
    code = "MACHINE_VERSION_EXISTS"


class MachineVersionLimitExceeded(ServerError):
    code = "MACHINE_VERSION_LIMIT_EXCEEDED"


class InstanceExists(ServerError):
    code = "INSTANCE_EXISTS"


class InvalidTransition(ServerError):
    """``details`` has ``current_state`` and ``event``."""

    code = "INVALID_TRANSITION"


class GuardFailed(ServerError):
    """``details`` has ``current_state``, ``event`` and ``guards``, the conditions that were tried."""

    code = "GUARD_FAILED"


class Conflict(ServerError):
    """An expectation does not hold. ``details`` has what was expected and what is."""

    code = "CONFLICT"


class MachineInUse(Conflict):
    """``details`` has ``instances``, how many have the version, and ``versions``."""

    code = "MACHINE_IN_USE"


class LockHeld(Conflict):
    """``details`` has ``owner`` and ``expires_at``."""

    code = "LOCK_HELD"


class LockLost(Conflict):
    code = "LOCK_LOST"


class LeaseLost(Conflict):
    code = "LEASE_LOST"


class ExpressionFailed(ServerError):
    code = "EXPRESSION_FAILED"


class ExpressionLimit(ServerError):
    code = "EXPRESSION_LIMIT"


class SchemaFailed(ServerError):
    code = "SCHEMA_FAILED"


class AutomationPaused(ServerError):
    code = "AUTOMATION_PAUSED"


class IndexBuilding(ServerError):
    code = "INDEX_BUILDING"
    retryable = True


class QuotaExceeded(ServerError):
    code = "QUOTA_EXCEEDED"
    retryable = True


class FeatureLevel(ServerError):
    """The cluster has nodes of an older version, so it does not take this write yet."""

    code = "FEATURE_LEVEL"


class WalIoError(ServerError):
    code = "WAL_IO_ERROR"
    retryable = True


class InternalError(ServerError):
    code = "INTERNAL_ERROR"
    retryable = True


class RateLimited(ServerError):
    code = "RATE_LIMITED"
    retryable = True


class NoLeader(ServerError):
    code = "NO_LEADER"
    retryable = True


class ServerTimeout(ServerError, TimeoutError):
    """The server's own deadline for the request passed."""

    code = "TIMEOUT"
    retryable = True


class ReadOnlyMode(ServerError):
    code = "READ_ONLY_MODE"
    retryable = True


class OffsetCompacted(ServerError):
    """The offset fell out of retention: the events before ``earliest_offset`` are lost to this reader."""

    code = "OFFSET_COMPACTED"

    @property
    def earliest_offset(self) -> Optional[int]:
        """The lowest offset that can still be read."""
        offset = self.details.get("earliest_offset")
        return offset if isinstance(offset, int) else None


class OffsetAhead(ServerError):
    """The offset lies beyond the log, or is of another cluster: read the current state anew."""

    code = "OFFSET_AHEAD"


def _leaves(base: type[ServerError]) -> dict[str, type[ServerError]]:
    classes: dict[str, type[ServerError]] = {}
    for sub in base.__subclasses__():
        classes[sub.code] = sub
        classes.update(_leaves(sub))
    return classes


#: The class of each code.
BY_CODE: Mapping[str, type[ServerError]] = _leaves(ServerError)


def from_wire(body: Any) -> ServerError:
    """The error that a response, an item of a batch or the end of a watch carries."""
    if not isinstance(body, Mapping) or not isinstance(body.get("code"), str):
        raise ProtocolError(f"the server sent an error without a code: {body!r:.200}")
    code: str = body["code"]
    message = body.get("message")
    details = body.get("details")
    retryable = body.get("retryable")
    made = BY_CODE.get(code, ServerError)
    return made(
        message if isinstance(message, str) else code,
        code=code,
        retryable=retryable if isinstance(retryable, bool) else None,
        details=details if isinstance(details, Mapping) else None,
    )
