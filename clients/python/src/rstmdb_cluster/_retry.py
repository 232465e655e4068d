"""Which calls may be retried, and when."""

import random
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

KEY = "idempotency_key"

_KEYED = frozenset({"CREATE_INSTANCE", "APPLY_EVENT", "TIMER_SET", "DELETE_INSTANCE"})
_READS = frozenset(
    {
        "PING",
        "INFO",
        "WHOAMI",
        "GET_MACHINE",
        "LIST_MACHINES",
        "GET_INSTANCE",
        "LIST_INSTANCES",
        "ALLOWED_EVENTS",
        "TIMER_LIST",
        "LOCK_GET",
        "LOCK_LIST",
        "WAL_READ",
        "WAL_STATS",
        "REPLICATION_STATUS",
        "CLUSTER_STATUS",
        "ANCESTORS",
        "AUDIT_READ",
        "BACKUP_DESCRIBE",
        "BACKUP_SNAPSHOT",
        "BACKUP_LOG",
    }
)
# They concern the members of the cluster; a repetition is answered as the first try.
_OF_THE_CLUSTER = frozenset(
    {
        "CLUSTER_ADD",
        "CLUSTER_PROMOTE",
        "CLUSTER_REMOVE",
        "CLUSTER_SET_ADDRESS",
        "CLUSTER_TRANSFER_LEADER",
        "CLUSTER_FINALIZE_UPGRADE",
        "ROTATE_KEY",
        "RELOAD",
    }
)
# They concern the files of one node, so a retry stays at that node.
_OF_ONE_NODE = frozenset({"SNAPSHOT_INSTANCE", "COMPACT"})


class Plan(NamedTuple):
    """A call, and whether it may be repeated."""

    #: With idempotency keys added, where they were asked for.
    params: Mapping[str, Any]
    #: It may be sent twice: the second time changes nothing, as long as the instance lives.
    repeatable: bool
    #: It may be sent to another node while the first one still works on it.
    movable: bool
    #: It changes something, so an unknown outcome must be reported.
    writes: bool


def plan(op: str, params: Mapping[str, Any], add_keys: bool) -> Plan:
    """Decides whether a call may be retried after its connection is lost."""
    if op in _READS:
        return Plan(params, True, True, False)
    if op in _OF_THE_CLUSTER:
        return Plan(params, True, True, False)
    if op in _OF_ONE_NODE:
        return Plan(params, True, False, False)
    if params.get("dry_run") is True:
        return Plan(params, True, True, False)
    if op == "PUT_MACHINE":
        # The same definition again is answered with `created: false`.
        return Plan(params, True, True, True)
    if op == "LOCK_ACQUIRE":
        # An owner gets the token that it has. A node that waits for a lock is not left for another.
        return Plan(params, True, _lock_wait(op, params) == 0, True)
    if op == "LOCK_RENEW":
        # An expiry never moves back.
        return Plan(params, True, True, True)
    if op == "AUTOMATION":
        # Pausing twice is the same as pausing once. Without `set` the call only asks.
        return Plan(params, True, True, params.get("set") is not None)
    if op in _KEYED:
        params, repeatable = _with_key(params, add_keys)
        return Plan(params, repeatable, repeatable, True)
    if op == "BATCH":
        return _plan_batch(params, add_keys)
    # FLUSH_ALL, DELETE_MACHINE, LOCK_RELEASE, and operations that this version does not know.
    repeatable = isinstance(params.get(KEY), str)
    return Plan(params, repeatable, repeatable, True)


def wait_of(op: str, params: Mapping[str, Any]) -> float:
    """For how many seconds the server may wait before it answers, beyond the usual time."""
    if op == "CLOCK_ADVANCE":
        # The server answers within this time, and goes on after it. A repetition would advance its clock twice.
        return 0.0 if params.get("by") is None else 600.0
    return _lock_wait(op, params)


def _lock_wait(op: str, params: Mapping[str, Any]) -> float:
    wait = params.get("wait_ms") if op == "LOCK_ACQUIRE" else None
    # The server refuses more than a day at once.
    if isinstance(wait, bool) or not isinstance(wait, int) or not 0 < wait <= 86_400_000:
        return 0.0
    return wait / 1000


def params_after(op: str, params: Mapping[str, Any], passed: float) -> Mapping[str, Any]:
    """The parameters of an attempt that is sent when so many seconds of the call have passed.

    Only the rest of the wait for a lock is left: a server that waited for longer would grant the lock to a caller that
    has given up.
    """
    if _lock_wait(op, params) == 0:
        return params
    return {**params, "wait_ms": max(0, params["wait_ms"] - int(passed * 1000))}


def _with_key(params: Mapping[str, Any], add_keys: bool) -> tuple[Mapping[str, Any], bool]:
    if params.get(KEY) is not None:
        return params, True
    # A key that is None means that the caller wants none.
    if not add_keys or KEY in params:
        return params, False
    return {**params, KEY: str(uuid.uuid4())}, True


def _plan_batch(params: Mapping[str, Any], add_keys: bool) -> Plan:
    """A batch may be sent twice if each of its operations may."""
    ops = params.get("ops")
    if not isinstance(ops, (list, tuple)):
        return Plan(params, False, False, True)
    planned: list[Any] = []
    repeatable = True
    writes = False
    for item in ops:
        if not isinstance(item, Mapping) or not isinstance(item.get("op"), str):
            return Plan(params, False, False, True)
        inner = item.get("params")
        inner_plan = plan(item["op"], inner if isinstance(inner, Mapping) else {}, add_keys)
        new: dict[str, Any] = dict(item)
        if inner_plan.params:
            new["params"] = inner_plan.params
        planned.append(new)
        repeatable = repeatable and inner_plan.repeatable
        writes = writes or inner_plan.writes
    return Plan({**params, "ops": planned}, repeatable, repeatable, writes)


def is_dry_run(params: Mapping[str, Any]) -> bool:
    """Whether the call, or a part of it, only asks what a write would do."""
    ops = params.get("ops")
    parts = [item.get("params") for item in ops if isinstance(item, Mapping)] if isinstance(ops, (list, tuple)) else []
    return any(isinstance(part, Mapping) and bool(part.get("dry_run")) for part in [params, *parts])


class Backoff:
    """Growing pauses. Each is shortened at random, so that many clients do not retry at the same time."""

    def __init__(self, first: float, longest: float) -> None:
        self._next = first
        self._longest = longest

    def pause(self) -> float:
        """The next pause: between half of it and all of it."""
        full = min(self._next, self._longest)
        self._next = full * 2
        return full * (0.5 + random.random() / 2)
