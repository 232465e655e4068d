"""The operations as values: for batches, and as the source of the clients' methods.

``tools/generate.py`` makes a method of each function here. In a batch::

    client.batch([requests.apply_event("order-1", "PAY"), requests.get_instance("order-1")], atomic=True)

A parameter that is None is not sent, so the server's default counts.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Optional, TypeVar, Union

from . import results
from ._typed import Context
from .errors import ProtocolError, RequestError, from_wire
from .results import BatchItem, build

R = TypeVar("R")


class NoKey(enum.Enum):
    """The type of :data:`NO_KEY`."""

    NO_KEY = None


#: As ``idempotency_key``: the write gets no key, and is not sent again when its outcome is unknown.
NO_KEY = NoKey.NO_KEY
Key = Union[str, NoKey, None]


@dataclass(frozen=True)
class Request(Generic[R]):
    """An operation with its parameters."""

    op: str
    params: Mapping[str, Any]
    result: type[R]

    def read(self, answer: Mapping[str, Any]) -> R:
        """The result that the server answered."""
        return build(self.result, answer, self.op)


def _made(op: str, result: type[R], **params: Any) -> Request[R]:
    sent: dict[str, Any] = {}
    for name, value in params.items():
        if value is NO_KEY:
            # Null: the client adds no key, and the server counts it as absent.
            sent[name] = None
        elif value is not None:
            sent[name] = value
    return Request(op, sent, result)


def _names(name: str, given: Optional[Sequence[str]]) -> Optional[list[str]]:
    """A list of names. One text would otherwise be taken for the list of its letters."""
    if isinstance(given, str):
        raise RequestError(f"{name}: {given!r} is one text; a list of texts is needed, [{given!r}]")
    return None if given is None else list(given)


def ping() -> Request[results.Pong]:
    """PING: is the node there? It answers without asking the log or the leader."""
    return _made("PING", results.Pong)


def info() -> Request[results.Info]:
    """INFO: what the answering node is and can do, and who leads."""
    return _made("INFO", results.Info)


def whoami() -> Request[results.Whoami]:
    """WHOAMI: who the client is to the answering node, and what it may do."""
    return _made("WHOAMI", results.Whoami)


def put_machine(
    machine: str,
    version: int,
    definition: Mapping[str, Any],
    *,
    checksum: Optional[str] = None,
    headers: Optional[Mapping[str, str]] = None,
    reason: Optional[str] = None,
    correlation_id: Optional[str] = None,
    causation_id: Optional[str] = None,
    fence: Optional[Mapping[str, Any]] = None,
    dry_run: Optional[bool] = None,
) -> Request[results.PutMachine]:
    """PUT_MACHINE: defines a version of a machine. The same definition again changes nothing."""
    return _made(
        "PUT_MACHINE",
        results.PutMachine,
        machine=machine,
        version=version,
        definition=definition,
        checksum=checksum,
        headers=headers,
        reason=reason,
        correlation_id=correlation_id,
        causation_id=causation_id,
        fence=fence,
        dry_run=dry_run,
    )


def get_machine(
    machine: str,
    version: Optional[int] = None,
    *,
    consistency: Optional[str] = None,
    min_wal_offset: Optional[int] = None,
    include: Optional[Sequence[str]] = None,
) -> Request[results.Machine]:
    """GET_MACHINE: the definition of a version, or of the highest version if none is given.

    ``include=["layout"]`` adds where the parts of its diagram stand; not inside a batch.
    """
    return _made(
        "GET_MACHINE",
        results.Machine,
        machine=machine,
        version=version,
        consistency=consistency,
        min_wal_offset=min_wal_offset,
        include=_names("include", include),
    )


def list_machines(
    *,
    limit: Optional[int] = None,
    offset: Optional[int] = None,
    consistency: Optional[str] = None,
    min_wal_offset: Optional[int] = None,
) -> Request[results.MachineList]:
    """LIST_MACHINES: names and versions."""
    return _made(
        "LIST_MACHINES",
        results.MachineList,
        limit=limit,
        offset=offset,
        consistency=consistency,
        min_wal_offset=min_wal_offset,
    )


def delete_machine(
    machine: str,
    version: Optional[int] = None,
    *,
    all_versions: Optional[bool] = None,
    headers: Optional[Mapping[str, str]] = None,
    reason: Optional[str] = None,
    correlation_id: Optional[str] = None,
    causation_id: Optional[str] = None,
    fence: Optional[Mapping[str, Any]] = None,
    dry_run: Optional[bool] = None,
) -> Request[results.DeletedMachine]:
    """DELETE_MACHINE: removes a version, or all. Raises :class:`MachineInUse` while an instance has it."""
    return _made(
        "DELETE_MACHINE",
        results.DeletedMachine,
        machine=machine,
        version=version,
        all_versions=all_versions,
        headers=headers,
        reason=reason,
        correlation_id=correlation_id,
        causation_id=causation_id,
        fence=fence,
        dry_run=dry_run,
    )


def create_instance(
    machine: str,
    version: int,
    instance_id: Optional[str] = None,
    initial_ctx: Optional[Context] = None,
    *,
    idempotency_key: Key = None,
    initial_state: Optional[str] = None,
    created_at: Optional[int] = None,
    updated_at: Optional[int] = None,
    headers: Optional[Mapping[str, str]] = None,
    reason: Optional[str] = None,
    correlation_id: Optional[str] = None,
    causation_id: Optional[str] = None,
    fence: Optional[Mapping[str, Any]] = None,
    dry_run: Optional[bool] = None,
) -> Request[results.CreatedInstance]:
    """CREATE_INSTANCE: an instance of a machine. The server makes an id when none is given.

    A context may be a mapping, so also a TypedDict, or a dataclass. ``ctx_as`` of a result reads it back.

    ``initial_state``, ``created_at`` and ``updated_at`` are for imports, for which a token needs the right.
    """
    return _made(
        "CREATE_INSTANCE",
        results.CreatedInstance,
        instance_id=instance_id,
        machine=machine,
        version=version,
        initial_ctx=initial_ctx,
        idempotency_key=idempotency_key,
        initial_state=initial_state,
        created_at=created_at,
        updated_at=updated_at,
        headers=headers,
        reason=reason,
        correlation_id=correlation_id,
        causation_id=causation_id,
        fence=fence,
        dry_run=dry_run,
    )


def get_instance(
    instance_id: str,
    *,
    consistency: Optional[str] = None,
    min_wal_offset: Optional[int] = None,
    include: Optional[Sequence[str]] = None,
) -> Request[results.Instance]:
    """GET_INSTANCE: its state and context.

    ``consistency`` is ``linearizable`` (the default), ``lease`` or ``local``. With ``local`` and ``min_wal_offset``
    set to the offset of a write, any node answers by itself and shows that write. ``include=["meta"]`` adds who
    changed the instance last, when and why; not inside a batch.
    """
    return _made(
        "GET_INSTANCE",
        results.Instance,
        instance_id=instance_id,
        consistency=consistency,
        min_wal_offset=min_wal_offset,
        include=_names("include", include),
    )


def list_instances(
    *,
    machine: Optional[str] = None,
    state: Optional[str] = None,
    limit: Optional[int] = None,
    offset: Optional[int] = None,
    after: Optional[str] = None,
    consistency: Optional[str] = None,
    min_wal_offset: Optional[int] = None,
) -> Request[results.InstanceList]:
    """LIST_INSTANCES: a page in the order of ids; ``after`` is the last id of the page before. See also
    ``iter_instances``."""
    return _made(
        "LIST_INSTANCES",
        results.InstanceList,
        machine=machine,
        state=state,
        limit=limit,
        offset=offset,
        after=after,
        consistency=consistency,
        min_wal_offset=min_wal_offset,
    )


def delete_instance(
    instance_id: str,
    *,
    expected_wal_offset: Optional[int] = None,
    idempotency_key: Key = None,
    headers: Optional[Mapping[str, str]] = None,
    reason: Optional[str] = None,
    correlation_id: Optional[str] = None,
    causation_id: Optional[str] = None,
    fence: Optional[Mapping[str, Any]] = None,
    dry_run: Optional[bool] = None,
) -> Request[results.DeletedInstance]:
    """DELETE_INSTANCE: removes it. Its history stays in the log.

    With ``expected_wal_offset`` it is refused unless the instance last changed at this offset.
    """
    return _made(
        "DELETE_INSTANCE",
        results.DeletedInstance,
        instance_id=instance_id,
        expected_wal_offset=expected_wal_offset,
        idempotency_key=idempotency_key,
        headers=headers,
        reason=reason,
        correlation_id=correlation_id,
        causation_id=causation_id,
        fence=fence,
        dry_run=dry_run,
    )


def apply_event(
    instance_id: str,
    event: str,
    payload: Optional[Context] = None,
    *,
    expected_state: Optional[str] = None,
    expected_wal_offset: Optional[int] = None,
    event_id: Optional[str] = None,
    timers: Optional[Mapping[str, Any]] = None,
    idempotency_key: Key = None,
    headers: Optional[Mapping[str, str]] = None,
    reason: Optional[str] = None,
    correlation_id: Optional[str] = None,
    causation_id: Optional[str] = None,
    fence: Optional[Mapping[str, Any]] = None,
    dry_run: Optional[bool] = None,
) -> Request[results.AppliedEvent]:
    """APPLY_EVENT: moves an instance. The payload's top-level keys replace those of its context.

    A payload may be a mapping, so also a TypedDict, or a dataclass, whose fields are all sent, None as null.

    An ``idempotency_key`` made of what asked for the change (the offset of another event, the id of a request)
    makes the change happen once, however often a program runs. Without one the client makes a key for this call
    alone. ``timers`` says what becomes of the timers of the state that the event leads to, by name:
    ``{"after": "1h"}``, ``{"at": time}`` or None, which disarms.
    """
    return _made(
        "APPLY_EVENT",
        results.AppliedEvent,
        instance_id=instance_id,
        event=event,
        payload=payload,
        expected_state=expected_state,
        expected_wal_offset=expected_wal_offset,
        event_id=event_id,
        timers=timers,
        idempotency_key=idempotency_key,
        headers=headers,
        reason=reason,
        correlation_id=correlation_id,
        causation_id=causation_id,
        fence=fence,
        dry_run=dry_run,
    )


def allowed_events(
    instance_id: str,
    *,
    payloads: Optional[Mapping[str, Optional[Context]]] = None,
    headers: Optional[Mapping[str, str]] = None,
    consistency: Optional[str] = None,
    min_wal_offset: Optional[int] = None,
) -> Request[results.AllowedEvents]:
    """ALLOWED_EVENTS: what each event of the instance's state would do. Needs a server with the feature
    ``lifecycle``."""
    return _made(
        "ALLOWED_EVENTS",
        results.AllowedEvents,
        instance_id=instance_id,
        payloads=payloads,
        headers=headers,
        consistency=consistency,
        min_wal_offset=min_wal_offset,
    )


def timer_set(
    instance_id: str,
    timers: Optional[Mapping[str, Any]] = None,
    *,
    resume: Optional[bool] = None,
    expected_state: Optional[str] = None,
    expected_wal_offset: Optional[int] = None,
    idempotency_key: Key = None,
    headers: Optional[Mapping[str, str]] = None,
    reason: Optional[str] = None,
    correlation_id: Optional[str] = None,
    causation_id: Optional[str] = None,
    fence: Optional[Mapping[str, Any]] = None,
    dry_run: Optional[bool] = None,
) -> Request[results.TimersSet]:
    """TIMER_SET: sets, moves or disarms timers of an instance by name: ``{"after": "1h"}``, ``{"at": time}``, None.

    ``resume`` lets its timers fire again after too many have.
    """
    return _made(
        "TIMER_SET",
        results.TimersSet,
        instance_id=instance_id,
        timers=timers,
        resume=resume,
        expected_state=expected_state,
        expected_wal_offset=expected_wal_offset,
        idempotency_key=idempotency_key,
        headers=headers,
        reason=reason,
        correlation_id=correlation_id,
        causation_id=causation_id,
        fence=fence,
        dry_run=dry_run,
    )


def timer_list(
    *,
    machine: Optional[str] = None,
    due_before: Optional[int] = None,
    suspended: Optional[bool] = None,
    limit: Optional[int] = None,
    after: Optional[Mapping[str, Any]] = None,
    consistency: Optional[str] = None,
    min_wal_offset: Optional[int] = None,
) -> Request[results.TimerList]:
    """TIMER_LIST: armed timers, the first that is due first; ``after`` is ``next`` of the page before."""
    return _made(
        "TIMER_LIST",
        results.TimerList,
        machine=machine,
        due_before=due_before,
        suspended=suspended,
        limit=limit,
        after=after,
        consistency=consistency,
        min_wal_offset=min_wal_offset,
    )


def lock_acquire(
    name: str,
    owner: str,
    ttl_ms: int,
    *,
    wait_ms: Optional[int] = None,
    headers: Optional[Mapping[str, str]] = None,
    reason: Optional[str] = None,
    correlation_id: Optional[str] = None,
    causation_id: Optional[str] = None,
    fence: Optional[Mapping[str, Any]] = None,
) -> Request[results.HeldLock]:
    """LOCK_ACQUIRE: gets a lock for ``ttl_ms``, or waits for ``wait_ms`` while another owner has it.

    The same owner gets the same token again, so each process needs an owner of its own. The answer's ``fence`` goes
    to the writes that the lock is to protect. The wait adds to the call's ``timeout``. Raises :class:`LockHeld`.
    """
    return _made(
        "LOCK_ACQUIRE",
        results.HeldLock,
        name=name,
        owner=owner,
        ttl_ms=ttl_ms,
        wait_ms=wait_ms,
        headers=headers,
        reason=reason,
        correlation_id=correlation_id,
        causation_id=causation_id,
        fence=fence,
    )


def lock_renew(
    name: str,
    token: int,
    *,
    ttl_ms: Optional[int] = None,
    headers: Optional[Mapping[str, str]] = None,
    reason: Optional[str] = None,
    correlation_id: Optional[str] = None,
    causation_id: Optional[str] = None,
    fence: Optional[Mapping[str, Any]] = None,
) -> Request[results.HeldLock]:
    """LOCK_RENEW: holds a lock for longer: ``ttl_ms`` from now, or as long as before. Raises :class:`LockLost`."""
    return _made(
        "LOCK_RENEW",
        results.HeldLock,
        name=name,
        token=token,
        ttl_ms=ttl_ms,
        headers=headers,
        reason=reason,
        correlation_id=correlation_id,
        causation_id=causation_id,
        fence=fence,
    )


def lock_release(
    name: str,
    token: int,
    *,
    headers: Optional[Mapping[str, str]] = None,
    reason: Optional[str] = None,
    correlation_id: Optional[str] = None,
    causation_id: Optional[str] = None,
    fence: Optional[Mapping[str, Any]] = None,
) -> Request[results.ReleasedLock]:
    """LOCK_RELEASE: gives a lock back; the first that waits gets it. Raises :class:`LockLost`."""
    return _made(
        "LOCK_RELEASE",
        results.ReleasedLock,
        name=name,
        token=token,
        headers=headers,
        reason=reason,
        correlation_id=correlation_id,
        causation_id=causation_id,
        fence=fence,
    )


def lock_get(
    name: str,
    *,
    consistency: Optional[str] = None,
    min_wal_offset: Optional[int] = None,
) -> Request[results.LockList]:
    """LOCK_GET: who holds a lock; no item when it is free."""
    return _made("LOCK_GET", results.LockList, name=name, consistency=consistency, min_wal_offset=min_wal_offset)


def lock_list(
    *,
    prefix: Optional[str] = None,
    limit: Optional[int] = None,
    after: Optional[str] = None,
    consistency: Optional[str] = None,
    min_wal_offset: Optional[int] = None,
) -> Request[results.LockList]:
    """LOCK_LIST: the locks that are held, by name; ``after`` is ``next`` of the page before."""
    return _made(
        "LOCK_LIST",
        results.LockList,
        prefix=prefix,
        limit=limit,
        after=after,
        consistency=consistency,
        min_wal_offset=min_wal_offset,
    )


@dataclass(frozen=True)
class _BatchRequest(Request[list[BatchItem]]):
    ops: Sequence[Request[Any]]

    def read(self, answer: Mapping[str, Any]) -> list[BatchItem]:
        items = answer.get("results")
        if not isinstance(items, list) or len(items) != len(self.ops):
            raise ProtocolError(f"the server's answer to BATCH has not {len(self.ops)} results")
        return [_item(request, item) for request, item in zip(self.ops, items)]


def _item(request: Request[Any], item: Any) -> BatchItem:
    if isinstance(item, Mapping) and item.get("status") == "ok":
        return BatchItem(request.read(item.get("result") or {}), None)
    error = from_wire(item.get("error") if isinstance(item, Mapping) else None)
    error.op, error.params = request.op, request.params
    return BatchItem(None, error)


def batch(
    ops: Sequence[Request[Any]],
    *,
    atomic: bool = False,
    headers: Optional[Mapping[str, str]] = None,
    reason: Optional[str] = None,
    correlation_id: Optional[str] = None,
    causation_id: Optional[str] = None,
    fence: Optional[Mapping[str, Any]] = None,
    dry_run: Optional[bool] = None,
) -> Request[list[BatchItem]]:
    """BATCH: several operations in one request, at most 100, made by the functions of ``rstmdb_cluster.requests``.

    With ``atomic`` all take effect at one offset or none does: the first failure is raised, its ``index`` in the
    details. Without it each stands alone, and each item has its result or its error.
    """
    for at, request in enumerate(ops):
        if not isinstance(request, Request):
            raise RequestError(f"ops[{at}]: {request!r:.100} is not made by rstmdb_cluster.requests")
    made = _made(
        "BATCH",
        list,
        mode="atomic" if atomic else "best_effort",
        ops=[{"op": request.op, "params": dict(request.params)} for request in ops],
        headers=headers,
        reason=reason,
        correlation_id=correlation_id,
        causation_id=causation_id,
        fence=fence,
        dry_run=dry_run,
    )
    return _BatchRequest("BATCH", made.params, list, tuple(ops))


def wal_read(
    from_offset: int, *, limit: Optional[int] = None, include_meta: Optional[bool] = None
) -> Request[results.WalPage]:
    """WAL_READ: a page of the log, from this offset on; 0 for the earliest that is retained. See also
    ``iter_wal``."""
    return _made("WAL_READ", results.WalPage, from_offset=from_offset, limit=limit, include_meta=include_meta)


def ancestors(offset: int, *, limit: Optional[int] = None) -> Request[results.Ancestors]:
    """ANCESTORS: a write, its cause, the cause of that write, and so on. Needs a server with the feature
    ``lifecycle``."""
    return _made("ANCESTORS", results.Ancestors, offset=offset, limit=limit)


def wal_stats() -> Request[results.WalStats]:
    """WAL_STATS: how large the log is."""
    return _made("WAL_STATS", results.WalStats)


def snapshot_instance(instance_id: str) -> Request[results.InstanceSnapshot]:
    """SNAPSHOT_INSTANCE: describes the instance as it is now."""
    return _made("SNAPSHOT_INSTANCE", results.InstanceSnapshot, instance_id=instance_id)


def compact(*, force_snapshot: Optional[bool] = None) -> Request[results.Compacted]:
    """COMPACT: the answering node takes a snapshot and drops what retention no longer keeps. It may take minutes,
    so give it a ``timeout``."""
    return _made("COMPACT", results.Compacted, force_snapshot=force_snapshot)


def flush_all(
    *,
    headers: Optional[Mapping[str, str]] = None,
    reason: Optional[str] = None,
    correlation_id: Optional[str] = None,
    causation_id: Optional[str] = None,
    fence: Optional[Mapping[str, Any]] = None,
) -> Request[results.Flushed]:
    """FLUSH_ALL: removes everything, where the server allows it."""
    return _made(
        "FLUSH_ALL",
        results.Flushed,
        headers=headers,
        reason=reason,
        correlation_id=correlation_id,
        causation_id=causation_id,
        fence=fence,
    )


def automation(
    *,
    set: Optional[str] = None,
    reason: Optional[str] = None,
    skip_overdue: Optional[bool] = None,
    shift_timers: Optional[bool] = None,
    fence: Optional[Mapping[str, Any]] = None,
) -> Request[results.Automation]:
    """AUTOMATION: whether the database does something by itself; ``set`` (``paused``, ``running``) changes it."""
    return _made(
        "AUTOMATION",
        results.Automation,
        set=set,
        reason=reason,
        skip_overdue=skip_overdue,
        shift_timers=shift_timers,
        fence=fence,
    )


def clock_advance(by: Optional[str] = None) -> Request[results.Clock]:
    """CLOCK_ADVANCE: lets time pass (``30m``, ``90d``) on a server with ``--dev --clock manual``; all that is due
    by then is done when the answer comes. Without ``by`` it says what the clock shows."""
    return _made("CLOCK_ADVANCE", results.Clock, by=by)


def replication_status() -> Request[results.ReplicationStatus]:
    """REPLICATION_STATUS: the answering node's part in replication."""
    return _made("REPLICATION_STATUS", results.ReplicationStatus)


def cluster_status() -> Request[results.ClusterStatus]:
    """CLUSTER_STATUS: every member, and its condition."""
    return _made("CLUSTER_STATUS", results.ClusterStatus)


def cluster_add(peer_addr: str, *, node_id: Optional[int] = None) -> Request[results.AddedNode]:
    """CLUSTER_ADD: takes in a node that was started to join, as a learner."""
    return _made("CLUSTER_ADD", results.AddedNode, peer_addr=peer_addr, node_id=node_id)


def cluster_promote(node_id: int) -> Request[results.PromotedNode]:
    """CLUSTER_PROMOTE: gives a learner a vote."""
    return _made("CLUSTER_PROMOTE", results.PromotedNode, node_id=node_id)


def cluster_remove(node_id: int) -> Request[results.RemovedNode]:
    """CLUSTER_REMOVE: takes a node out of the cluster."""
    return _made("CLUSTER_REMOVE", results.RemovedNode, node_id=node_id)


def cluster_set_address(node_id: int, peer_addr: str, rcp_addr: str) -> Request[results.NodeAddress]:
    """CLUSTER_SET_ADDRESS: sets the addresses at which a member is reached from now on."""
    return _made("CLUSTER_SET_ADDRESS", results.NodeAddress, node_id=node_id, peer_addr=peer_addr, rcp_addr=rcp_addr)


def cluster_transfer_leader(node_id: Optional[int] = None) -> Request[results.NewLeader]:
    """CLUSTER_TRANSFER_LEADER: lets another voter lead; the leader chooses one when none is named."""
    return _made("CLUSTER_TRANSFER_LEADER", results.NewLeader, node_id=node_id)


def cluster_finalize_upgrade() -> Request[results.FinalizedUpgrade]:
    """CLUSTER_FINALIZE_UPGRADE: lets the log hold what only the new version understands, which all members run."""
    return _made("CLUSTER_FINALIZE_UPGRADE", results.FinalizedUpgrade)


def rotate_key(*, switch: Optional[bool] = None) -> Request[results.RotatedKey]:
    """ROTATE_KEY: the answering node reads its file of keys again; with ``switch`` it uses the last one for new
    files."""
    return _made("ROTATE_KEY", results.RotatedKey, switch=switch)


def reload() -> Request[results.Reloaded]:
    """RELOAD: the answering node reads its configuration, tokens, certificates and keys again."""
    return _made("RELOAD", results.Reloaded)
