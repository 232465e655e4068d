"""The asynchronous client."""

import asyncio
import weakref
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Optional, TypeVar, Union

from ._lock import AsyncLock
from ._operations import AsyncOperations
from ._options import TLS, Options, Token, check_seconds, parse_addresses
from ._position import Position
from ._retry import plan, wait_of
from ._session import Session
from ._watch import AsyncWatch
from .errors import ClosedError, ProtocolError, RequestError
from .requests import Request, list_instances, lock_list, timer_list, wal_read
from .results import InstanceSummary, ListedTimer, Lock, WalRecord

R = TypeVar("R")

_WATCHES = frozenset({"WATCH_INSTANCE", "WATCH_ALL", "UNWATCH"})
_OF_THE_SESSION = frozenset({"HELLO", "AUTH", "BYE"})


class AsyncClient(AsyncOperations):
    """A client of a cluster, for asyncio.

    ``addresses`` are those of some or all nodes: a list, or one text with commas (``"db1:7401,db2:7401"``). Any node
    serves every call. Calls share one connection and are pipelined on it; when it is lost, the client goes to another
    node. Reads, and writes with an idempotency key, are sent again; a write takes effect once.

    - ``token``: for AUTH; a function is asked for it at each new connection, so tokens can be rotated without a restart
      of the program. ``tls``: see :class:`TLS`.
    - ``timeout``: seconds for a whole call, retries included; each call may give its own.
    - ``connect_timeout``: seconds for one attempt to reach one address.
    - ``auto_keys``: gives each write that has no idempotency key one of its own.
    - ``discover``: learns the addresses of the other members from the first node that answers, and tries them after
      those that were given. ``prefer_leader``: connects to the leader when it is known; writes then take one hop less.
    - ``wire_mode``: ``binary_json`` (frames with a checksum) or ``jsonl``.
    - ``backoff_min``, ``backoff_max``: the pauses between tries, in seconds.
    - ``watch_keepalive``: after so many seconds without a sign of life a watch asks for one, and after as many again it
      goes to another node. ``watch_resume_timeout``: how long it looks for one before it ends with an error.
    """

    def __init__(
        self,
        addresses: Union[str, Sequence[str]] = "127.0.0.1:7401",
        *,
        token: Token = None,
        tls: Optional[TLS] = None,
        timeout: float = 10.0,
        connect_timeout: float = 3.0,
        wire_mode: str = "binary_json",
        client_name: str = "rstmdb-cluster-py",
        auto_keys: bool = True,
        discover: bool = True,
        prefer_leader: bool = False,
        backoff_min: float = 0.01,
        backoff_max: float = 1.0,
        watch_keepalive: float = 5.0,
        watch_resume_timeout: float = 60.0,
    ) -> None:
        self._options = Options(
            addresses=parse_addresses(addresses),
            token=token,
            tls=tls,
            timeout=timeout,
            connect_timeout=connect_timeout,
            wire_mode=wire_mode,
            client_name=client_name,
            auto_keys=auto_keys,
            discover=discover,
            prefer_leader=prefer_leader,
            backoff_min=backoff_min,
            backoff_max=backoff_max,
            watch_keepalive=watch_keepalive,
            watch_resume_timeout=watch_resume_timeout,
        )
        self._session: Optional[Session] = None
        self._closed = False
        self._watches: weakref.WeakSet[AsyncWatch] = weakref.WeakSet()

    async def __aenter__(self) -> "AsyncClient":
        try:
            await self.connect()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def connect(self, *, timeout: Optional[float] = None) -> None:
        """Opens the connection, and tries until the deadline, as calls do by themselves: a node may be restarting."""
        session = self._the_session()
        await session.connect(session.loop.time() + self._seconds(timeout))

    async def close(self) -> None:
        """Ends all watches and the connection. Calls without an answer fail. To close it twice does no harm."""
        if self._session is None or self._session.loop.is_closed():
            # The connections have ended with their loop.
            self._closed = True
            return
        self._session.check_loop()
        self._closed = True
        await asyncio.gather(*(watch.close() for watch in list(self._watches)))
        await self._session.close()

    @property
    def closed(self) -> bool:
        """Whether the client was closed."""
        return self._closed

    @property
    def address(self) -> Optional[str]:
        """The node that the client is connected to, or was last."""
        at = self._session.at if self._session is not None else None
        return None if at is None else str(at)

    @property
    def last_wal_offset(self) -> int:
        """The highest offset that an answer to this client has named. As ``min_wal_offset`` of a ``local`` read it
        shows the client's own writes on any node."""
        return self._session.last_offset if self._session is not None else 0

    async def call(
        self, op: str, params: Optional[Mapping[str, Any]] = None, *, timeout: Optional[float] = None
    ) -> Mapping[str, Any]:
        """Calls any operation by its name, also one that this version does not know, and gives its result as it is.

        An operation that this version does not know counts as a write: it is sent again only with an
        ``idempotency_key``.
        """
        if not isinstance(op, str) or not op:
            raise RequestError(f"op: {op!r} is not the name of an operation")
        if op in _WATCHES:
            raise RequestError(f"op: {op} belongs to a watch: use watch_all or watch_instance")
        if op in _OF_THE_SESSION:
            raise RequestError(f"op: {op} belongs to the connection, and the client sends it by itself")
        params = {} if params is None else params
        seconds = self._seconds(timeout) + wait_of(op, params)
        answer = await self._the_session().call(op, params, seconds)
        return answer.result or {}

    def lock(self, name: str, *, owner: Optional[str] = None, ttl: float = 30.0, wait: float = 0.0) -> AsyncLock:
        """A lock, held inside ``async with db.lock("billing", wait=60) as lock:`` and renewed meanwhile.

        Without a renewal it expires after ``ttl`` seconds, a second to a day; ``wait`` says for how many seconds to
        wait while another owner has it. ``owner`` is for people who look at the lock.
        """
        return AsyncLock(self, name, owner, ttl, wait)

    def watch_all(
        self,
        *,
        machines: Optional[Sequence[str]] = None,
        from_states: Optional[Sequence[str]] = None,
        to_states: Optional[Sequence[str]] = None,
        events: Optional[Sequence[str]] = None,
        emits: Optional[Sequence[str]] = None,
        include_ctx: Optional[bool] = None,
        from_offset: Optional[int] = None,
        position: Optional[Position] = None,
        include: Optional[Sequence[str]] = None,
        include_meta: Optional[bool] = None,
    ) -> AsyncWatch:
        """WATCH_ALL: the events of all instances that match; within one list any entry matches, all lists have to.

        It starts at ``position`` if that is given, else at ``from_offset`` (0: the earliest that is retained), else
        with the next event. With ``include`` (``created``, ``deleted``) it tells other changes, too.
        """
        params = {
            "machines": _texts("machines", machines),
            "from_states": _texts("from_states", from_states),
            "to_states": _texts("to_states", to_states),
            "events": _texts("events", events),
            "emits": _texts("emits", emits),
            "include_ctx": include_ctx,
            "include": _texts("include", include),
            "include_meta": include_meta,
        }
        return self._watch("WATCH_ALL", params, from_offset, position)

    def watch_instance(
        self,
        instance_id: str,
        *,
        include_ctx: Optional[bool] = None,
        from_offset: Optional[int] = None,
        position: Optional[Position] = None,
        include: Optional[Sequence[str]] = None,
        include_meta: Optional[bool] = None,
    ) -> AsyncWatch:
        """WATCH_INSTANCE: the events of one instance, which has to exist. See :meth:`watch_all`."""
        params = {
            "instance_id": instance_id,
            "include_ctx": include_ctx,
            "include": _texts("include", include),
            "include_meta": include_meta,
        }
        return self._watch("WATCH_INSTANCE", params, from_offset, position)

    async def iter_instances(
        self,
        *,
        machine: Optional[str] = None,
        state: Optional[str] = None,
        page: int = 500,
        consistency: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> AsyncIterator[InstanceSummary]:
        """All instances that match, page by page; ``timeout`` is that of each page."""
        after: Optional[str] = None
        while True:
            request = list_instances(machine=machine, state=state, limit=page, after=after, consistency=consistency)
            found = await self._run(request, timeout)
            for instance in found.instances:
                yield instance
            if not found.has_more or not found.instances:
                return
            after = found.instances[-1].id

    async def iter_timers(
        self, *, machine: Optional[str] = None, page: int = 500, timeout: Optional[float] = None
    ) -> AsyncIterator[ListedTimer]:
        """The armed timers, the first that is due first, page by page; ``timeout`` is that of each page."""
        after: Optional[Mapping[str, Any]] = None
        while True:
            found = await self._run(timer_list(machine=machine, limit=page, after=after), timeout)
            for timer in found.timers:
                yield timer
            if found.next is None:
                return
            after = found.next

    async def iter_locks(
        self, *, prefix: Optional[str] = None, page: int = 500, timeout: Optional[float] = None
    ) -> AsyncIterator[Lock]:
        """The locks that are held, by name, page by page; ``timeout`` is that of each page."""
        after: Optional[str] = None
        while True:
            found = await self._run(lock_list(prefix=prefix, limit=page, after=after), timeout)
            for lock in found.locks:
                yield lock
            if found.next is None:
                return
            after = found.next

    async def iter_wal(
        self, from_offset: int = 0, *, page: int = 500, timeout: Optional[float] = None
    ) -> AsyncIterator[WalRecord]:
        """The records of the log up to its present end; ``timeout`` is that of each page."""
        while True:
            found = await self._run(wal_read(from_offset, limit=page), timeout)
            for record in found.records:
                yield record
            if found.next_offset == from_offset:
                return
            from_offset = found.next_offset

    async def _run(self, request: Request[R], timeout: Optional[float]) -> R:
        seconds = self._seconds(timeout) + wait_of(request.op, request.params)
        answer = await self._the_session().call(request.op, request.params, seconds)
        try:
            return request.read(answer.result or {})
        except ProtocolError as error:
            error.op, error.params = request.op, request.params
            if plan(request.op, request.params, False).writes:
                # It was done, although its answer cannot be read.
                error.details = {**error.details, "outcome": "applied"}
            raise

    def _watch(
        self, op: str, params: dict[str, Any], from_offset: Optional[int], position: Optional[Position]
    ) -> AsyncWatch:
        if position is None and from_offset is not None:
            if isinstance(from_offset, bool) or not isinstance(from_offset, int) or from_offset < 0:
                raise RequestError(f"from_offset: {from_offset!r} is not an integer from 0 on")
            position = Position(from_offset)
        sent = {name: value for name, value in params.items() if value is not None}
        watch = AsyncWatch(self._the_session(), op, sent, position)
        self._watches.add(watch)
        return watch

    def _the_session(self) -> Session:
        if self._closed:
            raise ClosedError("the client is closed")
        if self._session is None:
            self._session = Session(self._options)
        self._session.check_loop()
        return self._session

    def _seconds(self, timeout: Optional[float]) -> float:
        return self._options.timeout if timeout is None else check_seconds("timeout", timeout)


def _texts(name: str, given: Optional[Sequence[str]]) -> Optional[Sequence[str]]:
    if isinstance(given, str):
        raise RequestError(f"{name}: {given!r} is one text; a list of texts is needed, [{given!r}]")
    return None if given is None else list(given)
