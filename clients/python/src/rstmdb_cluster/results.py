"""What operations answer.

Each class has ``raw``, the whole object as the server sent it, for fields that this version does not know. Offsets are
``int``, times Unix milliseconds.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Optional, TypeVar, Union, get_args, get_origin, get_type_hints

from ._typed import read
from .errors import ProtocolError, RstmdbError

Json = dict[str, Any]
R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True)
class Result:
    """An answer."""

    #: The object as the server sent it.
    raw: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Pong(Result):
    """PING."""

    pong: bool


@dataclass(frozen=True)
class Member(Result):
    """A node, in INFO."""

    node_id: int
    rcp_addr: str
    peer_addr: str = ""
    voter: bool = False


@dataclass(frozen=True)
class Leader(Result):
    """The leader, in INFO."""

    node_id: int
    rcp_addr: str


@dataclass(frozen=True)
class Info(Result):
    """INFO: what the answering node is and can do."""

    server_name: str
    server_version: str
    protocol_version: int
    features: list[str]
    max_frame_bytes: int
    max_batch_ops: int
    node_id: Optional[int] = None
    cluster_id: Optional[str] = None
    role: Optional[str] = None
    leader: Optional[Leader] = None
    term: Optional[int] = None
    last_applied: Optional[int] = None
    commit_index: Optional[int] = None
    members: Optional[list[Member]] = None
    uptime_secs: Optional[int] = None
    connections: Optional[int] = None
    instances: Optional[int] = None
    earliest_offset: Optional[int] = None
    state_digest: Optional[str] = None
    feature_level: Optional[int] = None
    understands_level: Optional[int] = None
    #: This node was removed from the cluster: ``by`` and ``membership``.
    removed: Optional[dict[str, int]] = None


@dataclass(frozen=True)
class RoleGrant(Result):
    """Verbs, and the machines on which the client may use them: names and patterns with ``*``."""

    verbs: list[str]
    machines: list[str]


@dataclass(frozen=True)
class Whoami(Result):
    """WHOAMI."""

    #: None without authentication.
    name: Optional[str] = None
    roles: list[str] = field(default_factory=list)
    #: What the roles allow together.
    grants: list[RoleGrant] = field(default_factory=list)
    #: When the token expires, Unix milliseconds.
    expires_at: Optional[int] = None


@dataclass(frozen=True)
class Warned(Result):
    """A part of a definition that is allowed and probably not meant."""

    place: str
    text: str


@dataclass(frozen=True)
class PutMachine(Result):
    """PUT_MACHINE."""

    machine: str
    version: int
    stored_checksum: str
    #: False when the same definition was there already.
    created: bool
    warnings: Optional[list[Warned]] = None
    dry_run: Optional[bool] = None


@dataclass(frozen=True)
class DeletedMachine(Result):
    """DELETE_MACHINE."""

    machine: str
    deleted: bool
    #: The versions that are gone.
    versions: list[int]
    #: None with ``dry_run``.
    wal_offset: Optional[int] = None
    dry_run: Optional[bool] = None


@dataclass(frozen=True)
class Machine(Result):
    """GET_MACHINE."""

    definition: Json
    checksum: str
    version: Optional[int] = None
    #: With ``include=["layout"]``: where the parts of its diagram stand. None also if it is too large for a picture.
    layout: Optional[Json] = None


@dataclass(frozen=True)
class MachineVersions(Result):
    """A machine, in LIST_MACHINES."""

    machine: str
    versions: list[int]
    #: The format of the highest version; None: 1.
    format: Optional[int] = None
    #: How many warnings the highest version has.
    warning_count: Optional[int] = None


@dataclass(frozen=True)
class MachineList(Result):
    """LIST_MACHINES."""

    items: list[MachineVersions]


@dataclass(frozen=True)
class Would(Result):
    """What a write would do, when asked with ``dry_run``."""

    set: Optional[list[str]] = None
    unset: Optional[list[str]] = None
    armed: Optional[list[str]] = None
    disarmed: Optional[list[str]] = None
    emits: Optional[list[Any]] = None
    #: The states that would be passed without an event.
    via: Optional[list[str]] = None


@dataclass(frozen=True)
class CreatedInstance(Result):
    """CREATE_INSTANCE."""

    state: str
    #: Empty with ``dry_run``, if the server would make one.
    instance_id: str = ""
    #: None with ``dry_run``.
    wal_offset: Optional[int] = None
    dry_run: Optional[bool] = None
    would: Optional[Would] = None
    #: With ``dry_run``: the context that it would have.
    ctx: Optional[Json] = None
    #: With ``dry_run``: True if an idempotency key would replay an earlier call.
    replayed: Optional[bool] = None

    def ctx_as(self, kind: type[T]) -> T:
        """The context as a dataclass or a TypedDict of the program. Raises :class:`ContextError` if it does not fit."""
        return read(kind, self.ctx, "ctx")


@dataclass(frozen=True)
class Timer(Result):
    """An armed timer."""

    name: str
    due_at: int
    #: The event that it applies. None: it deletes the instance.
    event: Optional[str] = None
    #: How often it has fired and was refused, where it is tried again.
    refusals: int = 0


@dataclass(frozen=True)
class Instance(Result):
    """GET_INSTANCE."""

    machine: str
    version: int
    state: str
    ctx: Json
    #: 0 in a batch that only asks, after an operation that would change the instance.
    last_wal_offset: int = 0
    last_event_id: Optional[str] = None
    #: Who changed it last, when and why, with ``include=["meta"]``; None also if the log no longer has that write.
    meta: Optional[Json] = None
    #: Its armed timers, by name; None: it has none.
    timers: Optional[list[Timer]] = None
    #: True while too many of its timers have fired: none fires until they are resumed.
    timers_suspended: Optional[bool] = None

    def ctx_as(self, kind: type[T]) -> T:
        """The context as a dataclass or a TypedDict of the program. Raises :class:`ContextError` if it does not fit."""
        return read(kind, self.ctx, "ctx")


@dataclass(frozen=True)
class InstanceSummary(Result):
    """An instance, in LIST_INSTANCES."""

    id: str
    machine: str
    version: int
    state: str
    created_at: int
    updated_at: int
    last_wal_offset: int


@dataclass(frozen=True)
class InstanceList(Result):
    """LIST_INSTANCES: a page."""

    instances: list[InstanceSummary]
    #: How many match on all pages.
    total: int
    #: Whether more follow this page.
    has_more: bool


@dataclass(frozen=True)
class DeletedInstance(Result):
    """DELETE_INSTANCE."""

    instance_id: str
    deleted: bool
    wal_offset: Optional[int] = None
    dry_run: Optional[bool] = None
    would: Optional[Would] = None
    #: With ``dry_run``: True if an idempotency key would replay an earlier call.
    replayed: Optional[bool] = None


@dataclass(frozen=True)
class AppliedEvent(Result):
    """APPLY_EVENT."""

    from_state: str
    to_state: str
    #: The whole context after the event. None only where an idempotency key repeats an event that the log no longer
    #: has.
    ctx: Optional[Json] = None
    #: None with ``dry_run``.
    wal_offset: Optional[int] = None
    #: False when an idempotency key replays an earlier call.
    applied: bool = True
    event_id: Optional[str] = None
    dry_run: Optional[bool] = None
    would: Optional[Would] = None
    #: With ``dry_run``: True if an idempotency key would replay an earlier call.
    replayed: Optional[bool] = None

    def ctx_as(self, kind: type[T]) -> T:
        """The context as a dataclass or a TypedDict of the program. Raises :class:`ContextError` if it does not fit."""
        return read(kind, self.ctx, "ctx")


@dataclass(frozen=True)
class TimersSet(Result):
    """TIMER_SET: the timers of the instance afterwards."""

    instance_id: str
    timers: list[Timer]
    #: None when nothing was changed, or with ``dry_run``.
    wal_offset: Optional[int] = None
    #: False when nothing was changed, also when an idempotency key replays an earlier call.
    applied: bool = True
    dry_run: Optional[bool] = None
    would: Optional[Would] = None
    #: With ``dry_run``: True if an idempotency key would replay an earlier call.
    replayed: Optional[bool] = None


@dataclass(frozen=True)
class ListedTimer(Result):
    """A timer, in TIMER_LIST."""

    instance_id: str
    machine: str
    version: int
    state: str
    name: str
    due_at: int
    event: Optional[str] = None
    refusals: int = 0


@dataclass(frozen=True)
class TimerList(Result):
    """TIMER_LIST: a page, in the order in which timers are due."""

    timers: list[ListedTimer]
    #: Where the next page begins; None: there is none.
    next: Optional[Json] = None
    #: How many timers there are, of all machines.
    armed: Optional[int] = None
    #: How many of them are overdue.
    overdue: Optional[int] = None


@dataclass(frozen=True)
class Lock(Result):
    """A lock that is held."""

    name: str
    owner: str
    #: The offset at which the owner got it: greater than every earlier token of the lock.
    token: int
    #: Unix milliseconds, by the cluster's time.
    expires_at: int
    ttl_ms: int = 0
    #: How many owners wait for it.
    waiting: int = 0


@dataclass(frozen=True)
class HeldLock(Lock):
    """LOCK_ACQUIRE, LOCK_RENEW."""

    #: None when nothing was written: the owner held it already.
    wal_offset: Optional[int] = None

    @property
    def fence(self) -> Mapping[str, Any]:
        """For the parameter ``fence`` of writes: they are refused once the lock is lost."""
        return {"lock": self.name, "token": self.token}


@dataclass(frozen=True)
class ReleasedLock(Result):
    """LOCK_RELEASE."""

    name: str
    owner: str
    token: int
    released: bool
    wal_offset: int
    #: Who holds it now: the first that has waited.
    next_owner: Optional[str] = None


@dataclass(frozen=True)
class LockList(Result):
    """LOCK_GET, LOCK_LIST."""

    locks: list[Lock]
    #: Where the next page begins; None: there is none.
    next: Optional[str] = None


@dataclass(frozen=True)
class TriedGuard(Result):
    """A guard that was tried, and what it read."""

    text: str
    holds: bool
    values: Optional[Json] = None
    #: The paths of which ``values`` has only the beginning.
    cut: Optional[list[str]] = None
    error: Optional[str] = None


@dataclass(frozen=True)
class AlwaysTried(Result):
    """A state with transitions without an event, and the guards that were tried there."""

    state: str
    guards: Optional[list[TriedGuard]] = None


@dataclass(frozen=True)
class AllowedEvent(Result):
    """What one event would do."""

    event: str
    #: ``taken`` or ``refused``.
    outcome: str
    to_state: Optional[str] = None
    guards: Optional[list[TriedGuard]] = None
    #: So many guards were tried and are not shown.
    guards_left_out: Optional[int] = None
    #: The states on its way that have transitions without an event.
    always: Optional[list[AlwaysTried]] = None
    #: The timers that it would arm, and those that it would disarm.
    armed: Optional[list[str]] = None
    disarmed: Optional[list[str]] = None
    #: The error with which it would be refused, where that is not for its guards.
    code: Optional[str] = None
    message: Optional[str] = None


@dataclass(frozen=True)
class AllowedEvents(Result):
    """ALLOWED_EVENTS."""

    state: str
    events: list[AllowedEvent]
    last_wal_offset: Optional[int] = None
    #: The state has more events, which were not looked at.
    has_more: Optional[bool] = None


@dataclass(frozen=True)
class BatchItem:
    """The outcome of one operation of a batch."""

    #: Its result, of the class that the operation's own method gives; None if it failed.
    result: Any
    #: Why it failed.
    error: Optional[RstmdbError]

    @property
    def ok(self) -> bool:
        """Whether it was done."""
        return self.error is None

    def unwrap(self) -> Any:
        """Its result; raises its error."""
        if self.error is not None:
            raise self.error
        return self.result


@dataclass(frozen=True)
class WalRecord(Result):
    """A record of the log."""

    sequence: int
    offset: int
    #: Its ``type`` says which other fields it has.
    entry: Json
    #: Who, when and why, with ``include_meta``.
    meta: Optional[Json] = None


@dataclass(frozen=True)
class WalPage(Result):
    """WAL_READ."""

    records: list[WalRecord]
    #: Where to read on. Equal to ``from_offset`` at the end of the log.
    next_offset: int


@dataclass(frozen=True)
class Ancestors(Result):
    """ANCESTORS: a write, its cause, the cause of that write, and so on."""

    facts: list[WalRecord]
    ended: Optional[str] = None
    next: Optional[int] = None


@dataclass(frozen=True)
class IoStats(Result):
    """Counters since the node started, in WAL_STATS."""

    bytes_written: int
    bytes_read: int
    writes: int
    reads: int
    fsyncs: int


@dataclass(frozen=True)
class WalStats(Result):
    """WAL_STATS."""

    entry_count: int
    segment_count: int
    total_size_bytes: int
    latest_offset: int
    io_stats: IoStats


@dataclass(frozen=True)
class InstanceSnapshot(Result):
    """SNAPSHOT_INSTANCE."""

    instance_id: str
    snapshot_id: str
    wal_offset: int
    size_bytes: int
    checksum: str


@dataclass(frozen=True)
class Compacted(Result):
    """COMPACT."""

    snapshots_created: int
    segments_deleted: int
    bytes_reclaimed: int
    total_snapshots: int
    wal_segments: int


@dataclass(frozen=True)
class Flushed(Result):
    """FLUSH_ALL."""

    flushed: bool
    instances_removed: int
    machines_removed: int


@dataclass(frozen=True)
class Automation(Result):
    """AUTOMATION."""

    #: ``paused`` or ``running``.
    automation: str
    since: Optional[int] = None
    reason: Optional[str] = None
    by: Optional[str] = None
    wal_offset: Optional[int] = None


@dataclass(frozen=True)
class Clock(Result):
    """CLOCK_ADVANCE."""

    #: What the clock shows, Unix milliseconds.
    now: int


@dataclass(frozen=True)
class ReplicationStatus(Result):
    """REPLICATION_STATUS: ``role`` says which fields are there."""

    role: str
    mode: Optional[str] = None
    primary_sequence: Optional[int] = None
    connected_replicas: Optional[int] = None
    replicas: Optional[list[Json]] = None
    upstream: Optional[str] = None
    last_applied_sequence: Optional[int] = None
    lag_entries: Optional[int] = None
    lag_seconds: Optional[float] = None


@dataclass(frozen=True)
class NodeStatus(Result):
    """A member, in CLUSTER_STATUS. What only the member itself knows is None while it does not answer."""

    node_id: int
    voter: bool
    peer_addr: str
    rcp_addr: str
    reachable: bool
    unreachable: Optional[str] = None
    role: Optional[str] = None
    term: Optional[int] = None
    last_log: Optional[int] = None
    applied: Optional[int] = None
    lag: Optional[int] = None
    version: Optional[str] = None
    digest: Optional[str] = None
    digest_offset: Optional[int] = None
    earliest_offset: Optional[int] = None
    read_only: Optional[str] = None
    diverged: bool = False
    uptime_secs: Optional[int] = None
    feature_level: Optional[int] = None
    understands_level: Optional[int] = None


@dataclass(frozen=True)
class ClusterStatus(Result):
    """CLUSTER_STATUS."""

    cluster_id: str
    cluster_name: str
    term: int
    nodes: list[NodeStatus]
    #: The leader's node id; None while none is known.
    leader: Optional[int] = None
    feature_level: Optional[int] = None
    #: The answering node was removed from the cluster: ``by`` and ``membership``.
    removed: Optional[dict[str, int]] = None


@dataclass(frozen=True)
class AddedNode(Result):
    """CLUSTER_ADD."""

    node_id: int
    peer_addr: str
    rcp_addr: str
    voter: bool


@dataclass(frozen=True)
class PromotedNode(Result):
    """CLUSTER_PROMOTE."""

    node_id: int
    voter: bool


@dataclass(frozen=True)
class RemovedNode(Result):
    """CLUSTER_REMOVE."""

    node_id: int
    removed: bool


@dataclass(frozen=True)
class NodeAddress(Result):
    """CLUSTER_SET_ADDRESS."""

    node_id: int
    peer_addr: str
    rcp_addr: str


@dataclass(frozen=True)
class NewLeader(Result):
    """CLUSTER_TRANSFER_LEADER."""

    leader: int


@dataclass(frozen=True)
class FinalizedUpgrade(Result):
    """CLUSTER_FINALIZE_UPGRADE: the feature level before (``raw["from"]``) and now."""

    to: int


@dataclass(frozen=True)
class RotatedKey(Result):
    """ROTATE_KEY."""

    key_id: int
    last_key_id: int
    last_key_fingerprint: str
    known: list[int]


@dataclass(frozen=True)
class Reloaded(Result):
    """RELOAD."""

    applied: list[str]
    files: list[str]
    needs_restart: list[str]


@dataclass(frozen=True)
class Event(Result):
    """An event of a watch. With ``include`` it may be another change: then ``kind`` says which, and what such a change
    does not have is empty."""

    wal_offset: int
    #: Empty if everything was removed at once.
    instance_id: str = ""
    machine: str = ""
    version: int = 0
    from_state: str = ""
    to_state: str = ""
    event: str = ""
    payload: Optional[Json] = None
    #: The whole context after the event; None when the watch does without.
    ctx: Optional[Json] = None
    kind: Optional[str] = None
    #: Who, when and why, with ``include_meta``.
    meta: Optional[Json] = None
    #: The names that a machine of format 2 emitted.
    emits: Optional[list[str]] = None
    #: The timer that has fired: ``name`` and ``due_at``.
    timer: Optional[Json] = None
    #: Of ``timer_spent``: why the timer had no effect.
    code: Optional[str] = None
    message: Optional[str] = None

    def ctx_as(self, kind: type[T]) -> T:
        """The context as a dataclass or a TypedDict of the program. Raises :class:`ContextError` if it does not fit."""
        return read(kind, self.ctx, "ctx")

    def payload_as(self, kind: type[T]) -> T:
        """The payload as a dataclass or a TypedDict of the program. Raises :class:`ContextError` if it does not fit."""
        return read(kind, self.payload, "payload")


def build(cls: type[R], raw: Any, op: str) -> R:
    """Reads an answer. An error names the field that is wrong."""
    made: R = _convert(cls, raw, op)
    return made


def _convert(kind: Any, value: Any, place: str) -> Any:
    if isinstance(kind, type) and issubclass(kind, Result):
        if not isinstance(value, Mapping):
            raise _wrong(place, "an object", value)
        return kind(**_members(kind, value, place))
    origin = get_origin(kind)
    if origin is list:
        if not isinstance(value, list):
            raise _wrong(place, "a list", value)
        (inner,) = get_args(kind)
        return [_convert(inner, item, f"{place}[{at}]") for at, item in enumerate(value)]
    if origin is dict:
        if not isinstance(value, dict):
            raise _wrong(place, "an object", value)
        return value
    if kind is Any:
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _wrong(place, kind.__name__, value)
    return value


def _members(kind: type[Result], value: Mapping[str, Any], place: str) -> dict[str, Any]:
    made: dict[str, Any] = {"raw": value}
    for name, inner, required in _plan(kind):
        given = value.get(name)
        if given is not None:
            made[name] = _convert(inner, given, f"{place}.{name}")
        elif required:
            raise ProtocolError(f"the server's answer has no {place}.{name}")
    return made


_plans: dict[type[Result], tuple[tuple[str, Any, bool], ...]] = {}


def _plan(kind: type[Result]) -> tuple[tuple[str, Any, bool], ...]:
    """The members of a class: name, kind, and whether it has to be there."""
    known = _plans.get(kind)
    if known is not None:
        return known
    hints = get_type_hints(kind)
    made: list[tuple[str, Any, bool]] = []
    for member in fields(kind):
        if member.name != "raw":
            required = member.default is MISSING and member.default_factory is MISSING
            made.append((member.name, _without_none(hints[member.name]), required))
    _plans[kind] = tuple(made)
    return _plans[kind]


def _without_none(hint: Any) -> Any:
    if get_origin(hint) is Union:
        kinds = [kind for kind in get_args(hint) if kind is not type(None)]
        return kinds[0]
    return hint


def _wrong(place: str, expected: str, value: Any) -> ProtocolError:
    return ProtocolError(f"the server's answer has {value!r:.100} as {place}, which is not {expected}")
