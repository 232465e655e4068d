"""A method for each operation. Made by tools/generate.py from requests.py; change that, and run it again."""

from collections.abc import Mapping, Sequence
from typing import Any, Optional, TypeVar

from . import requests, results
from ._typed import Context
from .requests import Key, Request
from .results import BatchItem

R = TypeVar("R")


class AsyncOperations:
    """The operations, asynchronous. Each ends at its ``timeout``, or at that of the client."""

    async def _run(self, request: Request[R], timeout: Optional[float]) -> R:
        raise NotImplementedError

    async def ping(
        self,
        *,
        timeout: Optional[float] = None,
    ) -> results.Pong:
        """PING: is the node there? It answers without asking the log or the leader."""
        request = requests.ping()
        return await self._run(request, timeout)

    async def info(
        self,
        *,
        timeout: Optional[float] = None,
    ) -> results.Info:
        """INFO: what the answering node is and can do, and who leads."""
        request = requests.info()
        return await self._run(request, timeout)

    async def whoami(
        self,
        *,
        timeout: Optional[float] = None,
    ) -> results.Whoami:
        """WHOAMI: who the client is to the answering node, and what it may do."""
        request = requests.whoami()
        return await self._run(request, timeout)

    async def put_machine(
        self,
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
        timeout: Optional[float] = None,
    ) -> results.PutMachine:
        """PUT_MACHINE: defines a version of a machine. The same definition again changes nothing."""
        request = requests.put_machine(
            machine,
            version,
            definition,
            checksum=checksum,
            headers=headers,
            reason=reason,
            correlation_id=correlation_id,
            causation_id=causation_id,
            fence=fence,
            dry_run=dry_run,
        )
        return await self._run(request, timeout)

    async def get_machine(
        self,
        machine: str,
        version: Optional[int] = None,
        *,
        consistency: Optional[str] = None,
        min_wal_offset: Optional[int] = None,
        include: Optional[Sequence[str]] = None,
        timeout: Optional[float] = None,
    ) -> results.Machine:
        """GET_MACHINE: the definition of a version, or of the highest version if none is given.

        ``include=["layout"]`` adds where the parts of its diagram stand; not inside a batch.
        """
        request = requests.get_machine(
            machine,
            version,
            consistency=consistency,
            min_wal_offset=min_wal_offset,
            include=include,
        )
        return await self._run(request, timeout)

    async def list_machines(
        self,
        *,
        limit: Optional[int] = None,
        offset: Optional[int] = None,
        consistency: Optional[str] = None,
        min_wal_offset: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> results.MachineList:
        """LIST_MACHINES: names and versions."""
        request = requests.list_machines(
            limit=limit,
            offset=offset,
            consistency=consistency,
            min_wal_offset=min_wal_offset,
        )
        return await self._run(request, timeout)

    async def delete_machine(
        self,
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
        timeout: Optional[float] = None,
    ) -> results.DeletedMachine:
        """DELETE_MACHINE: removes a version, or all. Raises :class:`MachineInUse` while an instance has it."""
        request = requests.delete_machine(
            machine,
            version,
            all_versions=all_versions,
            headers=headers,
            reason=reason,
            correlation_id=correlation_id,
            causation_id=causation_id,
            fence=fence,
            dry_run=dry_run,
        )
        return await self._run(request, timeout)

    async def create_instance(
        self,
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
        timeout: Optional[float] = None,
    ) -> results.CreatedInstance:
        """CREATE_INSTANCE: an instance of a machine. The server makes an id when none is given.

        A context may be a mapping, so also a TypedDict, or a dataclass. ``ctx_as`` of a result reads it back.

        ``initial_state``, ``created_at`` and ``updated_at`` are for imports, for which a token needs the right.
        """
        request = requests.create_instance(
            machine,
            version,
            instance_id,
            initial_ctx,
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
        return await self._run(request, timeout)

    async def get_instance(
        self,
        instance_id: str,
        *,
        consistency: Optional[str] = None,
        min_wal_offset: Optional[int] = None,
        include: Optional[Sequence[str]] = None,
        timeout: Optional[float] = None,
    ) -> results.Instance:
        """GET_INSTANCE: its state and context.

        ``consistency`` is ``linearizable`` (the default), ``lease`` or ``local``. With ``local`` and ``min_wal_offset``
        set to the offset of a write, any node answers by itself and shows that write. ``include=["meta"]`` adds who
        changed the instance last, when and why; not inside a batch.
        """
        request = requests.get_instance(
            instance_id,
            consistency=consistency,
            min_wal_offset=min_wal_offset,
            include=include,
        )
        return await self._run(request, timeout)

    async def list_instances(
        self,
        *,
        machine: Optional[str] = None,
        state: Optional[str] = None,
        limit: Optional[int] = None,
        offset: Optional[int] = None,
        after: Optional[str] = None,
        consistency: Optional[str] = None,
        min_wal_offset: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> results.InstanceList:
        """LIST_INSTANCES: a page in the order of ids; ``after`` is the last id of the page before. See also
        ``iter_instances``."""
        request = requests.list_instances(
            machine=machine,
            state=state,
            limit=limit,
            offset=offset,
            after=after,
            consistency=consistency,
            min_wal_offset=min_wal_offset,
        )
        return await self._run(request, timeout)

    async def delete_instance(
        self,
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
        timeout: Optional[float] = None,
    ) -> results.DeletedInstance:
        """DELETE_INSTANCE: removes it. Its history stays in the log.

        With ``expected_wal_offset`` it is refused unless the instance last changed at this offset.
        """
        request = requests.delete_instance(
            instance_id,
            expected_wal_offset=expected_wal_offset,
            idempotency_key=idempotency_key,
            headers=headers,
            reason=reason,
            correlation_id=correlation_id,
            causation_id=causation_id,
            fence=fence,
            dry_run=dry_run,
        )
        return await self._run(request, timeout)

    async def apply_event(
        self,
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
        timeout: Optional[float] = None,
    ) -> results.AppliedEvent:
        """APPLY_EVENT: moves an instance. The payload's top-level keys replace those of its context.

        A payload may be a mapping, so also a TypedDict, or a dataclass, whose fields are all sent, None as null.

        An ``idempotency_key`` made of what asked for the change (the offset of another event, the id of a request)
        makes the change happen once, however often a program runs. Without one the client makes a key for this call
        alone. ``timers`` says what becomes of the timers of the state that the event leads to, by name:
        ``{"after": "1h"}``, ``{"at": time}`` or None, which disarms.
        """
        request = requests.apply_event(
            instance_id,
            event,
            payload,
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
        return await self._run(request, timeout)

    async def allowed_events(
        self,
        instance_id: str,
        *,
        payloads: Optional[Mapping[str, Optional[Context]]] = None,
        headers: Optional[Mapping[str, str]] = None,
        consistency: Optional[str] = None,
        min_wal_offset: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> results.AllowedEvents:
        """ALLOWED_EVENTS: what each event of the instance's state would do. Needs a server with the feature
        ``lifecycle``."""
        request = requests.allowed_events(
            instance_id,
            payloads=payloads,
            headers=headers,
            consistency=consistency,
            min_wal_offset=min_wal_offset,
        )
        return await self._run(request, timeout)

    async def timer_set(
        self,
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
        timeout: Optional[float] = None,
    ) -> results.TimersSet:
        """TIMER_SET: sets, moves or disarms timers of an instance by name: ``{"after": "1h"}``, ``{"at": time}``, None.

        ``resume`` lets its timers fire again after too many have.
        """
        request = requests.timer_set(
            instance_id,
            timers,
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
        return await self._run(request, timeout)

    async def timer_list(
        self,
        *,
        machine: Optional[str] = None,
        due_before: Optional[int] = None,
        suspended: Optional[bool] = None,
        limit: Optional[int] = None,
        after: Optional[Mapping[str, Any]] = None,
        consistency: Optional[str] = None,
        min_wal_offset: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> results.TimerList:
        """TIMER_LIST: armed timers, the first that is due first; ``after`` is ``next`` of the page before."""
        request = requests.timer_list(
            machine=machine,
            due_before=due_before,
            suspended=suspended,
            limit=limit,
            after=after,
            consistency=consistency,
            min_wal_offset=min_wal_offset,
        )
        return await self._run(request, timeout)

    async def lock_acquire(
        self,
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
        timeout: Optional[float] = None,
    ) -> results.HeldLock:
        """LOCK_ACQUIRE: gets a lock for ``ttl_ms``, or waits for ``wait_ms`` while another owner has it.

        The same owner gets the same token again, so each process needs an owner of its own. The answer's ``fence`` goes
        to the writes that the lock is to protect. The wait adds to the call's ``timeout``. Raises :class:`LockHeld`.
        """
        request = requests.lock_acquire(
            name,
            owner,
            ttl_ms,
            wait_ms=wait_ms,
            headers=headers,
            reason=reason,
            correlation_id=correlation_id,
            causation_id=causation_id,
            fence=fence,
        )
        return await self._run(request, timeout)

    async def lock_renew(
        self,
        name: str,
        token: int,
        *,
        ttl_ms: Optional[int] = None,
        headers: Optional[Mapping[str, str]] = None,
        reason: Optional[str] = None,
        correlation_id: Optional[str] = None,
        causation_id: Optional[str] = None,
        fence: Optional[Mapping[str, Any]] = None,
        timeout: Optional[float] = None,
    ) -> results.HeldLock:
        """LOCK_RENEW: holds a lock for longer: ``ttl_ms`` from now, or as long as before. Raises :class:`LockLost`."""
        request = requests.lock_renew(
            name,
            token,
            ttl_ms=ttl_ms,
            headers=headers,
            reason=reason,
            correlation_id=correlation_id,
            causation_id=causation_id,
            fence=fence,
        )
        return await self._run(request, timeout)

    async def lock_release(
        self,
        name: str,
        token: int,
        *,
        headers: Optional[Mapping[str, str]] = None,
        reason: Optional[str] = None,
        correlation_id: Optional[str] = None,
        causation_id: Optional[str] = None,
        fence: Optional[Mapping[str, Any]] = None,
        timeout: Optional[float] = None,
    ) -> results.ReleasedLock:
        """LOCK_RELEASE: gives a lock back; the first that waits gets it. Raises :class:`LockLost`."""
        request = requests.lock_release(
            name,
            token,
            headers=headers,
            reason=reason,
            correlation_id=correlation_id,
            causation_id=causation_id,
            fence=fence,
        )
        return await self._run(request, timeout)

    async def lock_get(
        self,
        name: str,
        *,
        consistency: Optional[str] = None,
        min_wal_offset: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> results.LockList:
        """LOCK_GET: who holds a lock; no item when it is free."""
        request = requests.lock_get(name, consistency=consistency, min_wal_offset=min_wal_offset)
        return await self._run(request, timeout)

    async def lock_list(
        self,
        *,
        prefix: Optional[str] = None,
        limit: Optional[int] = None,
        after: Optional[str] = None,
        consistency: Optional[str] = None,
        min_wal_offset: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> results.LockList:
        """LOCK_LIST: the locks that are held, by name; ``after`` is ``next`` of the page before."""
        request = requests.lock_list(
            prefix=prefix,
            limit=limit,
            after=after,
            consistency=consistency,
            min_wal_offset=min_wal_offset,
        )
        return await self._run(request, timeout)

    async def batch(
        self,
        ops: Sequence[Request[Any]],
        *,
        atomic: bool = False,
        headers: Optional[Mapping[str, str]] = None,
        reason: Optional[str] = None,
        correlation_id: Optional[str] = None,
        causation_id: Optional[str] = None,
        fence: Optional[Mapping[str, Any]] = None,
        dry_run: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> list[BatchItem]:
        """BATCH: several operations in one request, at most 100, made by the functions of ``rstmdb_cluster.requests``.

        With ``atomic`` all take effect at one offset or none does: the first failure is raised, its ``index`` in the
        details. Without it each stands alone, and each item has its result or its error.
        """
        request = requests.batch(
            ops,
            atomic=atomic,
            headers=headers,
            reason=reason,
            correlation_id=correlation_id,
            causation_id=causation_id,
            fence=fence,
            dry_run=dry_run,
        )
        return await self._run(request, timeout)

    async def wal_read(
        self,
        from_offset: int,
        *,
        limit: Optional[int] = None,
        include_meta: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> results.WalPage:
        """WAL_READ: a page of the log, from this offset on; 0 for the earliest that is retained. See also
        ``iter_wal``."""
        request = requests.wal_read(from_offset, limit=limit, include_meta=include_meta)
        return await self._run(request, timeout)

    async def ancestors(
        self,
        offset: int,
        *,
        limit: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> results.Ancestors:
        """ANCESTORS: a write, its cause, the cause of that write, and so on. Needs a server with the feature
        ``lifecycle``."""
        request = requests.ancestors(offset, limit=limit)
        return await self._run(request, timeout)

    async def wal_stats(
        self,
        *,
        timeout: Optional[float] = None,
    ) -> results.WalStats:
        """WAL_STATS: how large the log is."""
        request = requests.wal_stats()
        return await self._run(request, timeout)

    async def snapshot_instance(
        self,
        instance_id: str,
        *,
        timeout: Optional[float] = None,
    ) -> results.InstanceSnapshot:
        """SNAPSHOT_INSTANCE: describes the instance as it is now."""
        request = requests.snapshot_instance(instance_id)
        return await self._run(request, timeout)

    async def compact(
        self,
        *,
        force_snapshot: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> results.Compacted:
        """COMPACT: the answering node takes a snapshot and drops what retention no longer keeps. It may take minutes,
        so give it a ``timeout``."""
        request = requests.compact(force_snapshot=force_snapshot)
        return await self._run(request, timeout)

    async def flush_all(
        self,
        *,
        headers: Optional[Mapping[str, str]] = None,
        reason: Optional[str] = None,
        correlation_id: Optional[str] = None,
        causation_id: Optional[str] = None,
        fence: Optional[Mapping[str, Any]] = None,
        timeout: Optional[float] = None,
    ) -> results.Flushed:
        """FLUSH_ALL: removes everything, where the server allows it."""
        request = requests.flush_all(
            headers=headers,
            reason=reason,
            correlation_id=correlation_id,
            causation_id=causation_id,
            fence=fence,
        )
        return await self._run(request, timeout)

    async def automation(
        self,
        *,
        set: Optional[str] = None,
        reason: Optional[str] = None,
        skip_overdue: Optional[bool] = None,
        shift_timers: Optional[bool] = None,
        fence: Optional[Mapping[str, Any]] = None,
        timeout: Optional[float] = None,
    ) -> results.Automation:
        """AUTOMATION: whether the database does something by itself; ``set`` (``paused``, ``running``) changes it."""
        request = requests.automation(
            set=set,
            reason=reason,
            skip_overdue=skip_overdue,
            shift_timers=shift_timers,
            fence=fence,
        )
        return await self._run(request, timeout)

    async def clock_advance(
        self,
        by: Optional[str] = None,
        *,
        timeout: Optional[float] = None,
    ) -> results.Clock:
        """CLOCK_ADVANCE: lets time pass (``30m``, ``90d``) on a server with ``--dev --clock manual``; all that is due
        by then is done when the answer comes. Without ``by`` it says what the clock shows."""
        request = requests.clock_advance(by)
        return await self._run(request, timeout)

    async def replication_status(
        self,
        *,
        timeout: Optional[float] = None,
    ) -> results.ReplicationStatus:
        """REPLICATION_STATUS: the answering node's part in replication."""
        request = requests.replication_status()
        return await self._run(request, timeout)

    async def cluster_status(
        self,
        *,
        timeout: Optional[float] = None,
    ) -> results.ClusterStatus:
        """CLUSTER_STATUS: every member, and its condition."""
        request = requests.cluster_status()
        return await self._run(request, timeout)

    async def cluster_add(
        self,
        peer_addr: str,
        *,
        node_id: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> results.AddedNode:
        """CLUSTER_ADD: takes in a node that was started to join, as a learner."""
        request = requests.cluster_add(peer_addr, node_id=node_id)
        return await self._run(request, timeout)

    async def cluster_promote(
        self,
        node_id: int,
        *,
        timeout: Optional[float] = None,
    ) -> results.PromotedNode:
        """CLUSTER_PROMOTE: gives a learner a vote."""
        request = requests.cluster_promote(node_id)
        return await self._run(request, timeout)

    async def cluster_remove(
        self,
        node_id: int,
        *,
        timeout: Optional[float] = None,
    ) -> results.RemovedNode:
        """CLUSTER_REMOVE: takes a node out of the cluster."""
        request = requests.cluster_remove(node_id)
        return await self._run(request, timeout)

    async def cluster_set_address(
        self,
        node_id: int,
        peer_addr: str,
        rcp_addr: str,
        *,
        timeout: Optional[float] = None,
    ) -> results.NodeAddress:
        """CLUSTER_SET_ADDRESS: sets the addresses at which a member is reached from now on."""
        request = requests.cluster_set_address(node_id, peer_addr, rcp_addr)
        return await self._run(request, timeout)

    async def cluster_transfer_leader(
        self,
        node_id: Optional[int] = None,
        *,
        timeout: Optional[float] = None,
    ) -> results.NewLeader:
        """CLUSTER_TRANSFER_LEADER: lets another voter lead; the leader chooses one when none is named."""
        request = requests.cluster_transfer_leader(node_id)
        return await self._run(request, timeout)

    async def cluster_finalize_upgrade(
        self,
        *,
        timeout: Optional[float] = None,
    ) -> results.FinalizedUpgrade:
        """CLUSTER_FINALIZE_UPGRADE: lets the log hold what only the new version understands, which all members run."""
        request = requests.cluster_finalize_upgrade()
        return await self._run(request, timeout)

    async def rotate_key(
        self,
        *,
        switch: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> results.RotatedKey:
        """ROTATE_KEY: the answering node reads its file of keys again; with ``switch`` it uses the last one for new
        files."""
        request = requests.rotate_key(switch=switch)
        return await self._run(request, timeout)

    async def reload(
        self,
        *,
        timeout: Optional[float] = None,
    ) -> results.Reloaded:
        """RELOAD: the answering node reads its configuration, tokens, certificates and keys again."""
        request = requests.reload()
        return await self._run(request, timeout)


class Operations:
    """The operations, blocking. Each ends at its ``timeout``, or at that of the client."""

    def _run(self, request: Request[R], timeout: Optional[float]) -> R:
        raise NotImplementedError

    def ping(
        self,
        *,
        timeout: Optional[float] = None,
    ) -> results.Pong:
        """PING: is the node there? It answers without asking the log or the leader."""
        request = requests.ping()
        return self._run(request, timeout)

    def info(
        self,
        *,
        timeout: Optional[float] = None,
    ) -> results.Info:
        """INFO: what the answering node is and can do, and who leads."""
        request = requests.info()
        return self._run(request, timeout)

    def whoami(
        self,
        *,
        timeout: Optional[float] = None,
    ) -> results.Whoami:
        """WHOAMI: who the client is to the answering node, and what it may do."""
        request = requests.whoami()
        return self._run(request, timeout)

    def put_machine(
        self,
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
        timeout: Optional[float] = None,
    ) -> results.PutMachine:
        """PUT_MACHINE: defines a version of a machine. The same definition again changes nothing."""
        request = requests.put_machine(
            machine,
            version,
            definition,
            checksum=checksum,
            headers=headers,
            reason=reason,
            correlation_id=correlation_id,
            causation_id=causation_id,
            fence=fence,
            dry_run=dry_run,
        )
        return self._run(request, timeout)

    def get_machine(
        self,
        machine: str,
        version: Optional[int] = None,
        *,
        consistency: Optional[str] = None,
        min_wal_offset: Optional[int] = None,
        include: Optional[Sequence[str]] = None,
        timeout: Optional[float] = None,
    ) -> results.Machine:
        """GET_MACHINE: the definition of a version, or of the highest version if none is given.

        ``include=["layout"]`` adds where the parts of its diagram stand; not inside a batch.
        """
        request = requests.get_machine(
            machine,
            version,
            consistency=consistency,
            min_wal_offset=min_wal_offset,
            include=include,
        )
        return self._run(request, timeout)

    def list_machines(
        self,
        *,
        limit: Optional[int] = None,
        offset: Optional[int] = None,
        consistency: Optional[str] = None,
        min_wal_offset: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> results.MachineList:
        """LIST_MACHINES: names and versions."""
        request = requests.list_machines(
            limit=limit,
            offset=offset,
            consistency=consistency,
            min_wal_offset=min_wal_offset,
        )
        return self._run(request, timeout)

    def delete_machine(
        self,
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
        timeout: Optional[float] = None,
    ) -> results.DeletedMachine:
        """DELETE_MACHINE: removes a version, or all. Raises :class:`MachineInUse` while an instance has it."""
        request = requests.delete_machine(
            machine,
            version,
            all_versions=all_versions,
            headers=headers,
            reason=reason,
            correlation_id=correlation_id,
            causation_id=causation_id,
            fence=fence,
            dry_run=dry_run,
        )
        return self._run(request, timeout)

    def create_instance(
        self,
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
        timeout: Optional[float] = None,
    ) -> results.CreatedInstance:
        """CREATE_INSTANCE: an instance of a machine. The server makes an id when none is given.

        A context may be a mapping, so also a TypedDict, or a dataclass. ``ctx_as`` of a result reads it back.

        ``initial_state``, ``created_at`` and ``updated_at`` are for imports, for which a token needs the right.
        """
        request = requests.create_instance(
            machine,
            version,
            instance_id,
            initial_ctx,
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
        return self._run(request, timeout)

    def get_instance(
        self,
        instance_id: str,
        *,
        consistency: Optional[str] = None,
        min_wal_offset: Optional[int] = None,
        include: Optional[Sequence[str]] = None,
        timeout: Optional[float] = None,
    ) -> results.Instance:
        """GET_INSTANCE: its state and context.

        ``consistency`` is ``linearizable`` (the default), ``lease`` or ``local``. With ``local`` and ``min_wal_offset``
        set to the offset of a write, any node answers by itself and shows that write. ``include=["meta"]`` adds who
        changed the instance last, when and why; not inside a batch.
        """
        request = requests.get_instance(
            instance_id,
            consistency=consistency,
            min_wal_offset=min_wal_offset,
            include=include,
        )
        return self._run(request, timeout)

    def list_instances(
        self,
        *,
        machine: Optional[str] = None,
        state: Optional[str] = None,
        limit: Optional[int] = None,
        offset: Optional[int] = None,
        after: Optional[str] = None,
        consistency: Optional[str] = None,
        min_wal_offset: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> results.InstanceList:
        """LIST_INSTANCES: a page in the order of ids; ``after`` is the last id of the page before. See also
        ``iter_instances``."""
        request = requests.list_instances(
            machine=machine,
            state=state,
            limit=limit,
            offset=offset,
            after=after,
            consistency=consistency,
            min_wal_offset=min_wal_offset,
        )
        return self._run(request, timeout)

    def delete_instance(
        self,
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
        timeout: Optional[float] = None,
    ) -> results.DeletedInstance:
        """DELETE_INSTANCE: removes it. Its history stays in the log.

        With ``expected_wal_offset`` it is refused unless the instance last changed at this offset.
        """
        request = requests.delete_instance(
            instance_id,
            expected_wal_offset=expected_wal_offset,
            idempotency_key=idempotency_key,
            headers=headers,
            reason=reason,
            correlation_id=correlation_id,
            causation_id=causation_id,
            fence=fence,
            dry_run=dry_run,
        )
        return self._run(request, timeout)

    def apply_event(
        self,
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
        timeout: Optional[float] = None,
    ) -> results.AppliedEvent:
        """APPLY_EVENT: moves an instance. The payload's top-level keys replace those of its context.

        A payload may be a mapping, so also a TypedDict, or a dataclass, whose fields are all sent, None as null.

        An ``idempotency_key`` made of what asked for the change (the offset of another event, the id of a request)
        makes the change happen once, however often a program runs. Without one the client makes a key for this call
        alone. ``timers`` says what becomes of the timers of the state that the event leads to, by name:
        ``{"after": "1h"}``, ``{"at": time}`` or None, which disarms.
        """
        request = requests.apply_event(
            instance_id,
            event,
            payload,
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
        return self._run(request, timeout)

    def allowed_events(
        self,
        instance_id: str,
        *,
        payloads: Optional[Mapping[str, Optional[Context]]] = None,
        headers: Optional[Mapping[str, str]] = None,
        consistency: Optional[str] = None,
        min_wal_offset: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> results.AllowedEvents:
        """ALLOWED_EVENTS: what each event of the instance's state would do. Needs a server with the feature
        ``lifecycle``."""
        request = requests.allowed_events(
            instance_id,
            payloads=payloads,
            headers=headers,
            consistency=consistency,
            min_wal_offset=min_wal_offset,
        )
        return self._run(request, timeout)

    def timer_set(
        self,
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
        timeout: Optional[float] = None,
    ) -> results.TimersSet:
        """TIMER_SET: sets, moves or disarms timers of an instance by name: ``{"after": "1h"}``, ``{"at": time}``, None.

        ``resume`` lets its timers fire again after too many have.
        """
        request = requests.timer_set(
            instance_id,
            timers,
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
        return self._run(request, timeout)

    def timer_list(
        self,
        *,
        machine: Optional[str] = None,
        due_before: Optional[int] = None,
        suspended: Optional[bool] = None,
        limit: Optional[int] = None,
        after: Optional[Mapping[str, Any]] = None,
        consistency: Optional[str] = None,
        min_wal_offset: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> results.TimerList:
        """TIMER_LIST: armed timers, the first that is due first; ``after`` is ``next`` of the page before."""
        request = requests.timer_list(
            machine=machine,
            due_before=due_before,
            suspended=suspended,
            limit=limit,
            after=after,
            consistency=consistency,
            min_wal_offset=min_wal_offset,
        )
        return self._run(request, timeout)

    def lock_acquire(
        self,
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
        timeout: Optional[float] = None,
    ) -> results.HeldLock:
        """LOCK_ACQUIRE: gets a lock for ``ttl_ms``, or waits for ``wait_ms`` while another owner has it.

        The same owner gets the same token again, so each process needs an owner of its own. The answer's ``fence`` goes
        to the writes that the lock is to protect. The wait adds to the call's ``timeout``. Raises :class:`LockHeld`.
        """
        request = requests.lock_acquire(
            name,
            owner,
            ttl_ms,
            wait_ms=wait_ms,
            headers=headers,
            reason=reason,
            correlation_id=correlation_id,
            causation_id=causation_id,
            fence=fence,
        )
        return self._run(request, timeout)

    def lock_renew(
        self,
        name: str,
        token: int,
        *,
        ttl_ms: Optional[int] = None,
        headers: Optional[Mapping[str, str]] = None,
        reason: Optional[str] = None,
        correlation_id: Optional[str] = None,
        causation_id: Optional[str] = None,
        fence: Optional[Mapping[str, Any]] = None,
        timeout: Optional[float] = None,
    ) -> results.HeldLock:
        """LOCK_RENEW: holds a lock for longer: ``ttl_ms`` from now, or as long as before. Raises :class:`LockLost`."""
        request = requests.lock_renew(
            name,
            token,
            ttl_ms=ttl_ms,
            headers=headers,
            reason=reason,
            correlation_id=correlation_id,
            causation_id=causation_id,
            fence=fence,
        )
        return self._run(request, timeout)

    def lock_release(
        self,
        name: str,
        token: int,
        *,
        headers: Optional[Mapping[str, str]] = None,
        reason: Optional[str] = None,
        correlation_id: Optional[str] = None,
        causation_id: Optional[str] = None,
        fence: Optional[Mapping[str, Any]] = None,
        timeout: Optional[float] = None,
    ) -> results.ReleasedLock:
        """LOCK_RELEASE: gives a lock back; the first that waits gets it. Raises :class:`LockLost`."""
        request = requests.lock_release(
            name,
            token,
            headers=headers,
            reason=reason,
            correlation_id=correlation_id,
            causation_id=causation_id,
            fence=fence,
        )
        return self._run(request, timeout)

    def lock_get(
        self,
        name: str,
        *,
        consistency: Optional[str] = None,
        min_wal_offset: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> results.LockList:
        """LOCK_GET: who holds a lock; no item when it is free."""
        request = requests.lock_get(name, consistency=consistency, min_wal_offset=min_wal_offset)
        return self._run(request, timeout)

    def lock_list(
        self,
        *,
        prefix: Optional[str] = None,
        limit: Optional[int] = None,
        after: Optional[str] = None,
        consistency: Optional[str] = None,
        min_wal_offset: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> results.LockList:
        """LOCK_LIST: the locks that are held, by name; ``after`` is ``next`` of the page before."""
        request = requests.lock_list(
            prefix=prefix,
            limit=limit,
            after=after,
            consistency=consistency,
            min_wal_offset=min_wal_offset,
        )
        return self._run(request, timeout)

    def batch(
        self,
        ops: Sequence[Request[Any]],
        *,
        atomic: bool = False,
        headers: Optional[Mapping[str, str]] = None,
        reason: Optional[str] = None,
        correlation_id: Optional[str] = None,
        causation_id: Optional[str] = None,
        fence: Optional[Mapping[str, Any]] = None,
        dry_run: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> list[BatchItem]:
        """BATCH: several operations in one request, at most 100, made by the functions of ``rstmdb_cluster.requests``.

        With ``atomic`` all take effect at one offset or none does: the first failure is raised, its ``index`` in the
        details. Without it each stands alone, and each item has its result or its error.
        """
        request = requests.batch(
            ops,
            atomic=atomic,
            headers=headers,
            reason=reason,
            correlation_id=correlation_id,
            causation_id=causation_id,
            fence=fence,
            dry_run=dry_run,
        )
        return self._run(request, timeout)

    def wal_read(
        self,
        from_offset: int,
        *,
        limit: Optional[int] = None,
        include_meta: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> results.WalPage:
        """WAL_READ: a page of the log, from this offset on; 0 for the earliest that is retained. See also
        ``iter_wal``."""
        request = requests.wal_read(from_offset, limit=limit, include_meta=include_meta)
        return self._run(request, timeout)

    def ancestors(
        self,
        offset: int,
        *,
        limit: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> results.Ancestors:
        """ANCESTORS: a write, its cause, the cause of that write, and so on. Needs a server with the feature
        ``lifecycle``."""
        request = requests.ancestors(offset, limit=limit)
        return self._run(request, timeout)

    def wal_stats(
        self,
        *,
        timeout: Optional[float] = None,
    ) -> results.WalStats:
        """WAL_STATS: how large the log is."""
        request = requests.wal_stats()
        return self._run(request, timeout)

    def snapshot_instance(
        self,
        instance_id: str,
        *,
        timeout: Optional[float] = None,
    ) -> results.InstanceSnapshot:
        """SNAPSHOT_INSTANCE: describes the instance as it is now."""
        request = requests.snapshot_instance(instance_id)
        return self._run(request, timeout)

    def compact(
        self,
        *,
        force_snapshot: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> results.Compacted:
        """COMPACT: the answering node takes a snapshot and drops what retention no longer keeps. It may take minutes,
        so give it a ``timeout``."""
        request = requests.compact(force_snapshot=force_snapshot)
        return self._run(request, timeout)

    def flush_all(
        self,
        *,
        headers: Optional[Mapping[str, str]] = None,
        reason: Optional[str] = None,
        correlation_id: Optional[str] = None,
        causation_id: Optional[str] = None,
        fence: Optional[Mapping[str, Any]] = None,
        timeout: Optional[float] = None,
    ) -> results.Flushed:
        """FLUSH_ALL: removes everything, where the server allows it."""
        request = requests.flush_all(
            headers=headers,
            reason=reason,
            correlation_id=correlation_id,
            causation_id=causation_id,
            fence=fence,
        )
        return self._run(request, timeout)

    def automation(
        self,
        *,
        set: Optional[str] = None,
        reason: Optional[str] = None,
        skip_overdue: Optional[bool] = None,
        shift_timers: Optional[bool] = None,
        fence: Optional[Mapping[str, Any]] = None,
        timeout: Optional[float] = None,
    ) -> results.Automation:
        """AUTOMATION: whether the database does something by itself; ``set`` (``paused``, ``running``) changes it."""
        request = requests.automation(
            set=set,
            reason=reason,
            skip_overdue=skip_overdue,
            shift_timers=shift_timers,
            fence=fence,
        )
        return self._run(request, timeout)

    def clock_advance(
        self,
        by: Optional[str] = None,
        *,
        timeout: Optional[float] = None,
    ) -> results.Clock:
        """CLOCK_ADVANCE: lets time pass (``30m``, ``90d``) on a server with ``--dev --clock manual``; all that is due
        by then is done when the answer comes. Without ``by`` it says what the clock shows."""
        request = requests.clock_advance(by)
        return self._run(request, timeout)

    def replication_status(
        self,
        *,
        timeout: Optional[float] = None,
    ) -> results.ReplicationStatus:
        """REPLICATION_STATUS: the answering node's part in replication."""
        request = requests.replication_status()
        return self._run(request, timeout)

    def cluster_status(
        self,
        *,
        timeout: Optional[float] = None,
    ) -> results.ClusterStatus:
        """CLUSTER_STATUS: every member, and its condition."""
        request = requests.cluster_status()
        return self._run(request, timeout)

    def cluster_add(
        self,
        peer_addr: str,
        *,
        node_id: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> results.AddedNode:
        """CLUSTER_ADD: takes in a node that was started to join, as a learner."""
        request = requests.cluster_add(peer_addr, node_id=node_id)
        return self._run(request, timeout)

    def cluster_promote(
        self,
        node_id: int,
        *,
        timeout: Optional[float] = None,
    ) -> results.PromotedNode:
        """CLUSTER_PROMOTE: gives a learner a vote."""
        request = requests.cluster_promote(node_id)
        return self._run(request, timeout)

    def cluster_remove(
        self,
        node_id: int,
        *,
        timeout: Optional[float] = None,
    ) -> results.RemovedNode:
        """CLUSTER_REMOVE: takes a node out of the cluster."""
        request = requests.cluster_remove(node_id)
        return self._run(request, timeout)

    def cluster_set_address(
        self,
        node_id: int,
        peer_addr: str,
        rcp_addr: str,
        *,
        timeout: Optional[float] = None,
    ) -> results.NodeAddress:
        """CLUSTER_SET_ADDRESS: sets the addresses at which a member is reached from now on."""
        request = requests.cluster_set_address(node_id, peer_addr, rcp_addr)
        return self._run(request, timeout)

    def cluster_transfer_leader(
        self,
        node_id: Optional[int] = None,
        *,
        timeout: Optional[float] = None,
    ) -> results.NewLeader:
        """CLUSTER_TRANSFER_LEADER: lets another voter lead; the leader chooses one when none is named."""
        request = requests.cluster_transfer_leader(node_id)
        return self._run(request, timeout)

    def cluster_finalize_upgrade(
        self,
        *,
        timeout: Optional[float] = None,
    ) -> results.FinalizedUpgrade:
        """CLUSTER_FINALIZE_UPGRADE: lets the log hold what only the new version understands, which all members run."""
        request = requests.cluster_finalize_upgrade()
        return self._run(request, timeout)

    def rotate_key(
        self,
        *,
        switch: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> results.RotatedKey:
        """ROTATE_KEY: the answering node reads its file of keys again; with ``switch`` it uses the last one for new
        files."""
        request = requests.rotate_key(switch=switch)
        return self._run(request, timeout)

    def reload(
        self,
        *,
        timeout: Optional[float] = None,
    ) -> results.Reloaded:
        """RELOAD: the answering node reads its configuration, tokens, certificates and keys again."""
        request = requests.reload()
        return self._run(request, timeout)
