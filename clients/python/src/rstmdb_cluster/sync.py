"""The blocking client: the asynchronous one, in a thread of its own."""

import concurrent.futures
import contextlib
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from typing import Any, Optional, TypeVar, Union

from ._lock import AsyncLock
from ._operations import Operations
from ._options import TLS, Token, check_wait
from ._position import Position, Progress
from ._retry import wait_of
from ._session import in_loop
from ._thread import LoopThread, remaining
from ._watch import AsyncWatch
from .aio import AsyncClient
from .errors import ClosedError, OutcomeUnknown, RstmdbError
from .requests import Request, list_instances, lock_list, timer_list, wal_read
from .results import Event, InstanceSummary, ListedTimer, WalRecord
from .results import Lock as HeldBy

T = TypeVar("T")
_Item = tuple[Union[Event, Progress, None], Position]


class Watch:
    """The events of a watch, in ascending order of their offsets, each exactly once.

    As :class:`~rstmdb_cluster.aio.AsyncWatch`, for ``with`` and ``for``. Iterating waits for the next event however
    long it takes; :meth:`next` with a ``timeout`` does not. Ctrl-C interrupts both, and loses no event. One thread
    iterates; any thread may close the watch, which ends the iteration.
    """

    def __init__(self, client: "Client", watch: AsyncWatch, given: Optional[Position]) -> None:
        self._client = client
        self._watch = watch
        # The wait for the next item. It stays when a wait in front of it is given up, so that its item is not lost.
        self._waiting: Optional[concurrent.futures.Future[_Item]] = None
        self._lock = threading.Lock()
        self._position = given or Position(0)

    def __del__(self) -> None:
        # A loop that was left by `break` closes nothing. Its connection would stay, with a server that sends into it.
        watch: Optional[AsyncWatch] = getattr(self, "_watch", None)
        if watch is not None and not watch.closed:
            in_loop(self._client._thread.loop, watch._forget)

    def __enter__(self) -> "Watch":
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> "Watch":
        return self

    def __next__(self) -> Event:
        event = self.next()
        if event is None:
            raise StopIteration
        return event

    def start(self) -> Mapping[str, Any]:
        """Begins the watch, if it has not begun; gives what the server answered (the head, the current state …)."""
        begun = self._client._wait(self._watch.start(), self._client._timeout)
        if self._waiting is None:
            self._position = self._watch.position
        return begun

    def next(self, timeout: Optional[float] = None) -> Optional[Event]:
        """The next event; None when the watch was closed, or after ``timeout`` seconds without one."""
        timeout = check_wait(timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            item = self.next_item(None if deadline is None else max(0.0, deadline - time.monotonic()))
            if item is None or isinstance(item, Event):
                return item

    def next_item(self, timeout: Optional[float] = None) -> Union[Event, Progress, None]:
        """As :meth:`next`, with the server's notices that it has looked up to an offset where nothing matched."""
        timeout = check_wait(timeout)
        if not self._lock.acquire(timeout=-1 if timeout is None else timeout):
            return None
        try:
            if self._waiting is None:
                if self._watch.closed:
                    return None
                self._waiting = self._client._submit(_next(self._watch))
            future = self._waiting
            try:
                found = remaining(future, timeout)
            except concurrent.futures.CancelledError:
                self._waiting = None
                raise ClosedError("the client was closed") from None
            except Exception:
                self._waiting = None
                raise
            if found is None:
                return None
            self._waiting = None
            item, self._position = found
            return item
        finally:
            self._lock.release()

    @property
    def position(self) -> Position:
        """Where to go on after the last event that was delivered; keep it to resume in another program."""
        return self._position

    @property
    def closed(self) -> bool:
        """Whether the watch was closed."""
        return self._watch.closed

    def close(self) -> None:
        """Ends the watch; a thread that waits for its next event gets None. To close it twice does no harm."""
        if not self._watch.closed:
            self._client._end(self._watch.close())


class Lock:
    """A lock, held inside ``with``. As :class:`~rstmdb_cluster.AsyncLock`; a thread of the client renews it."""

    def __init__(self, client: "Client", lock: AsyncLock, longest: float) -> None:
        self._client = client
        self._lock = lock
        # For how long acquiring it may take beyond the time of a call.
        self._longest = longest
        self.name, self.owner = lock.name, lock.owner

    def __enter__(self) -> "Lock":
        self.acquire()
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        if self._lock.over:
            return
        if kind is None:
            self.release()
            return
        # What went wrong inside says more.
        with contextlib.suppress(RstmdbError):
            self.release()

    def acquire(self) -> None:
        """Gets the lock, or raises :class:`LockHeld` if another owner has it when ``wait`` is over."""
        self._client._wait(self._lock.acquire(), None, self._longest)

    def release(self) -> None:
        """Gives the lock back. Raises :class:`LockLost` if it was lost before."""
        self._client._wait(self._lock.release(), None, self._client._timeout * 3)

    @property
    def held(self) -> bool:
        """Whether it is still held, as far as this process can know."""
        return self._lock.held

    @property
    def token(self) -> int:
        """The token with which the lock was granted. Raises :class:`LockLost`."""
        return self._lock.token

    @property
    def fence(self) -> Mapping[str, Any]:
        """For the parameter ``fence`` of writes. Raises :class:`LockLost`."""
        return self._lock.fence

    def lost(self, timeout: Optional[float] = None) -> bool:
        """Waits until the lock is lost or released; False after ``timeout`` seconds in which it was not."""
        waiting = self._client._submit(self._lock.lost())
        try:
            waiting.result(check_wait(timeout))
            return True
        except concurrent.futures.CancelledError:
            # The client was closed, so nothing renews it any more.
            return True
        except concurrent.futures.TimeoutError:
            return False
        finally:
            waiting.cancel()


async def _next(watch: AsyncWatch) -> _Item:
    item = await watch.next_item()
    return item, watch.position


class Client(Operations):
    """A client of a cluster, for programs without asyncio.

    The options are those of :class:`~rstmdb_cluster.aio.AsyncClient`. Threads may share it: their calls are pipelined
    on one connection. Every call ends at its deadline, and Ctrl-C ends the wait for it.
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
        self._client = AsyncClient(
            addresses,
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
        self._timeout = timeout
        self._thread = LoopThread()

    def __enter__(self) -> "Client":
        try:
            self.connect()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connect(self, *, timeout: Optional[float] = None) -> None:
        """Opens the connection, and tries until the deadline, as calls do by themselves: a node may be restarting."""
        self._wait(self._client.connect(timeout=timeout), timeout)

    def close(self) -> None:
        """Ends all watches and the connection. Calls without an answer fail. To close it twice does no harm."""
        if not self._client.closed:
            self._end(self._client.close())
        self._thread.stop()

    @property
    def closed(self) -> bool:
        """Whether the client was closed."""
        return self._client.closed

    @property
    def address(self) -> Optional[str]:
        """The node that the client is connected to, or was last."""
        return self._client.address

    @property
    def last_wal_offset(self) -> int:
        """The highest offset that an answer to this client has named. As ``min_wal_offset`` of a ``local`` read it
        shows the client's own writes on any node."""
        return self._client.last_wal_offset

    def call(
        self, op: str, params: Optional[Mapping[str, Any]] = None, *, timeout: Optional[float] = None
    ) -> Mapping[str, Any]:
        """Calls any operation by its name, also one that this version does not know, and gives its result as it is.

        An operation that this version does not know counts as a write: it is sent again only with an
        ``idempotency_key``.
        """
        waits = wait_of(op, params or {})
        return self._wait(self._client.call(op, params, timeout=timeout), timeout, waits)

    def lock(self, name: str, *, owner: Optional[str] = None, ttl: float = 30.0, wait: float = 0.0) -> Lock:
        """A lock, held inside ``with db.lock("billing", wait=60) as lock:`` and renewed meanwhile.

        Without a renewal it expires after ``ttl`` seconds, a second to a day; ``wait`` says for how many seconds to
        wait while another owner has it. ``owner`` is for people who look at the lock.
        """

        async def make() -> AsyncLock:
            return self._client.lock(name, owner=owner, ttl=ttl, wait=wait)

        return Lock(self, self._wait(make(), self._timeout), ttl + wait)

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
    ) -> Watch:
        """WATCH_ALL: the events of all instances that match; within one list any entry matches, all lists have to.

        It starts at ``position`` if that is given, else at ``from_offset`` (0: the earliest that is retained), else
        with the next event. With ``include`` (``created``, ``deleted``) it tells other changes, too.
        """

        async def make() -> AsyncWatch:
            return self._client.watch_all(
                machines=machines,
                from_states=from_states,
                to_states=to_states,
                events=events,
                emits=emits,
                include_ctx=include_ctx,
                from_offset=from_offset,
                position=position,
                include=include,
                include_meta=include_meta,
            )

        return self._watch(make(), position)

    def watch_instance(
        self,
        instance_id: str,
        *,
        include_ctx: Optional[bool] = None,
        from_offset: Optional[int] = None,
        position: Optional[Position] = None,
        include: Optional[Sequence[str]] = None,
        include_meta: Optional[bool] = None,
    ) -> Watch:
        """WATCH_INSTANCE: the events of one instance, which has to exist. See :meth:`watch_all`."""

        async def make() -> AsyncWatch:
            return self._client.watch_instance(
                instance_id,
                include_ctx=include_ctx,
                from_offset=from_offset,
                position=position,
                include=include,
                include_meta=include_meta,
            )

        return self._watch(make(), position)

    def iter_instances(
        self,
        *,
        machine: Optional[str] = None,
        state: Optional[str] = None,
        page: int = 500,
        consistency: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> Iterator[InstanceSummary]:
        """All instances that match, page by page; ``timeout`` is that of each page."""
        after: Optional[str] = None
        while True:
            request = list_instances(machine=machine, state=state, limit=page, after=after, consistency=consistency)
            found = self._run(request, timeout)
            yield from found.instances
            if not found.has_more or not found.instances:
                return
            after = found.instances[-1].id

    def iter_timers(
        self, *, machine: Optional[str] = None, page: int = 500, timeout: Optional[float] = None
    ) -> Iterator[ListedTimer]:
        """The armed timers, the first that is due first, page by page; ``timeout`` is that of each page."""
        after: Optional[Mapping[str, Any]] = None
        while True:
            found = self._run(timer_list(machine=machine, limit=page, after=after), timeout)
            yield from found.timers
            if found.next is None:
                return
            after = found.next

    def iter_locks(
        self, *, prefix: Optional[str] = None, page: int = 500, timeout: Optional[float] = None
    ) -> Iterator[HeldBy]:
        """The locks that are held, by name, page by page; ``timeout`` is that of each page."""
        after: Optional[str] = None
        while True:
            found = self._run(lock_list(prefix=prefix, limit=page, after=after), timeout)
            yield from found.locks
            if found.next is None:
                return
            after = found.next

    def iter_wal(
        self, from_offset: int = 0, *, page: int = 500, timeout: Optional[float] = None
    ) -> Iterator[WalRecord]:
        """The records of the log up to its present end; ``timeout`` is that of each page."""
        while True:
            found = self._run(wal_read(from_offset, limit=page), timeout)
            yield from found.records
            if found.next_offset == from_offset:
                return
            from_offset = found.next_offset

    def _run(self, request: Request[T], timeout: Optional[float]) -> T:
        waits = wait_of(request.op, request.params)
        return self._wait(self._client._run(request, timeout), timeout, waits)

    def _watch(self, making: "Coroutine[Any, Any, AsyncWatch]", position: Optional[Position]) -> Watch:
        return Watch(self, self._wait(making, self._timeout), position)

    def _submit(self, coroutine: "Coroutine[Any, Any, T]") -> "concurrent.futures.Future[T]":
        return self._thread.submit(coroutine)

    def _wait(self, coroutine: "Coroutine[Any, Any, T]", timeout: Optional[float], waits: float = 0.0) -> T:
        # A timeout that is no number of seconds is refused inside.
        is_seconds = isinstance(timeout, (int, float)) and 0 < timeout < 1e8
        seconds = timeout if timeout is not None and is_seconds else self._timeout
        return self._thread.run(coroutine, seconds + waits)

    def _end(self, coroutine: "Coroutine[Any, Any, None]") -> None:
        """For what has to be tried at the end, and must not fail because the loop has ended already."""
        try:
            self._thread.run(coroutine, 3.0)
        except (ClosedError, OutcomeUnknown):
            return
