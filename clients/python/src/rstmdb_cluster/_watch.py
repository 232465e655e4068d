"""Watches: streams of events that survive their connections."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Optional, Union

from ._connection import Connection
from ._options import check_wait
from ._position import Position, Progress, Tracker
from ._search import Begun, Search, Seen
from ._session import Session, in_loop
from .errors import (
    ClosedError,
    ConnectionLost,
    OffsetCompacted,
    ProtocolError,
    RstmdbError,
    ServerError,
    from_wire,
)
from .results import Event, build

_log = logging.getLogger("rstmdb_cluster")


class AsyncWatch:
    """The events of a watch, in ascending order of their offsets, each exactly once.

    A watch has a connection of its own, so a slow consumer delays nothing else. After a lost connection it resumes, on
    any of the addresses, right behind the last event it delivered, or behind the progress that the server has reported
    since. It ends with an error when that is impossible: no node has the offset any more
    (:class:`~rstmdb_cluster.errors.OffsetCompacted`), the log is another one
    (:class:`~rstmdb_cluster.errors.OffsetAhead`), or there was no server within ``watch_resume_timeout``.

    Use it with ``async with`` and iterate, or call :meth:`next`.
    """

    def __init__(self, session: Session, op: str, params: dict[str, Any], position: Optional[Position]) -> None:
        self._session = session
        self._op = op
        self._params = params
        self._given = position
        self._tracker: Optional[Tracker] = None
        self._cluster_id: Optional[str] = None
        # The state that the last event left its instance in, for a watch of one instance.
        self._last_state: Optional[str] = None
        self._begun: Mapping[str, Any] = {}
        self._connection: Optional[Connection] = None
        # Looks for a node. It goes on when the consumer stops waiting, or a consumer that waits only shortly would
        # never get a connection.
        self._search: Optional[asyncio.Task[Begun]] = None
        self._closed = asyncio.Event()
        self._error: Optional[RstmdbError] = None

    def __del__(self) -> None:
        # A loop that was left by `break` closes nothing. Its connection would stay, with a server that sends into it.
        connection, search = getattr(self, "_connection", None), getattr(self, "_search", None)
        if connection is not None or search is not None:
            in_loop(self._session.loop, _forget, connection, search)

    async def __aenter__(self) -> "AsyncWatch":
        try:
            await self.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __aiter__(self) -> "AsyncWatch":
        return self

    async def __anext__(self) -> Event:
        event = await self.next()
        if event is None:
            raise StopAsyncIteration
        return event

    async def start(self) -> Mapping[str, Any]:
        """Begins the watch, if it has not begun; gives what the server answered (the head, the current state …)."""
        self._session.check_loop()
        while self._tracker is None:
            if self._closed.is_set():
                raise ClosedError("the watch is closed")
            await self._connect(None)
        return self._begun

    async def next(self, timeout: Optional[float] = None) -> Optional[Event]:
        """The next event; None when the watch was closed, or after ``timeout`` seconds without one."""
        loop = asyncio.get_running_loop()
        timeout = check_wait(timeout)
        deadline = None if timeout is None else loop.time() + timeout
        while True:
            left = None if deadline is None else deadline - loop.time()
            item = await self.next_item(left)
            if item is None or isinstance(item, Event):
                return item

    async def next_item(self, timeout: Optional[float] = None) -> Union[Event, Progress, None]:
        """As :meth:`next`, with the server's notices that it has looked up to an offset where nothing matched."""
        self._session.check_loop()
        loop = asyncio.get_running_loop()
        timeout = check_wait(timeout)
        deadline = None if timeout is None else loop.time() + timeout
        while not self._closed.is_set():
            if self._error is not None:
                raise self._error
            if self._connection is None:
                await self._connect(deadline)
            else:
                # From here to the return nothing is awaited: an event that is counted is delivered.
                item = self._take(self._connection)
                if item is not None:
                    return item
            if deadline is not None and loop.time() >= deadline:
                return None
            if self._connection is not None:
                await self._wait(self._connection, deadline)
        return None

    @property
    def position(self) -> Position:
        """Where to go on after the last event that was delivered; keep it to resume in another program."""
        if self._tracker is None:
            return self._given or Position(0)
        return Position(self._tracker.offset, self._cluster_id, self._tracker.delivered)

    @property
    def closed(self) -> bool:
        """Whether the watch was closed."""
        return self._closed.is_set()

    def _forget(self) -> None:
        """As :meth:`close`, without a word to the server. Only in the loop of the watch."""
        self._closed.set()
        connection, self._connection = self._connection, None
        search, self._search = self._search, None
        _forget(connection, search)

    async def close(self) -> None:
        """Ends the watch. A task that waits for its next event gets None. Closing it twice does no harm."""
        if self._session.loop.is_closed():
            return
        self._session.check_loop()
        self._closed.set()
        search, self._search = self._search, None
        _forget(None, search)
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.say_bye()
            await connection.gone(0.2)
            connection.fail(ClosedError("the watch was closed"))

    def _take(self, connection: Connection) -> Union[Event, Progress, None]:
        """The next item that has arrived, if any. Notes why there will be no more over this connection."""
        while True:
            message = connection.pop_pushed()
            if message is None:
                if connection.lost is not None:
                    self._leave(connection, connection.lost)
                return None
            try:
                item = self._accept(message)
            except RstmdbError as error:
                self._leave(connection, error)
                return None
            if item is not None:
                return item

    def _accept(self, message: Mapping[str, Any]) -> Union[Event, Progress, None]:
        tracker = self._tracker
        if tracker is None:
            return None
        if message.get("type") == "end":
            raise from_wire(message.get("error"))
        if message.get("type") == "progress":
            offset = message.get("wal_offset")
            if not isinstance(offset, int):
                raise ProtocolError(f"the server sent progress at the offset {offset!r}")
            tracker.looked_at(offset)
            return Progress(offset)
        event = build(Event, message, "event")
        if not tracker.advance(event.wal_offset):
            return None
        if event.to_state:
            self._last_state = event.to_state
        return event

    def _leave(self, connection: Connection, error: RstmdbError) -> None:
        """Prepares to go on over another connection, or never."""
        self._connection = None
        connection.fail(ConnectionLost("the watch left this connection"))
        order = self._session.dialer.order_from(connection.address, after=True)
        search = Search(self._session.dialer, order)
        if isinstance(error, OffsetCompacted):
            # Another node may have kept more of the log.
            try:
                search.strike_out(connection.address, error)
            except ServerError as last:
                self._error = last
                return
        elif not error.retryable and not self._session.may_authenticate_anew(error):
            self._error = error
            return
        _log.debug("watch resumes at %s: %s", self.position.from_offset, error)
        self._begin_search(search)

    def _begin_search(self, search: Search) -> None:
        loop = asyncio.get_running_loop()
        options = self._session.options
        params = dict(self._params)
        seen = None
        if self._tracker is None:
            until = loop.time() + options.timeout
            if self._given is not None:
                params["from_offset"] = self._given.from_offset
                params.update({"cluster_id": self._given.cluster_id} if self._given.cluster_id else {})
        else:
            until = loop.time() + options.watch_resume_timeout
            params["from_offset"] = self._tracker.offset
            # An offset has a meaning only with its log.
            params.update({"cluster_id": self._cluster_id} if self._cluster_id else {})
            if self._op == "WATCH_INSTANCE":
                seen = Seen(self._tracker, self._last_state)
        self._search = loop.create_task(search.find(self._op, params, seen, until))

    async def _connect(self, deadline: Optional[float]) -> None:
        """Waits until there is a connection, the watch is closed, or the time is over."""
        if self._session.closed:
            raise ClosedError("the client is closed")
        if self._search is None:
            # Begin on the node that answers the client's calls.
            dialer = self._session.dialer
            self._begin_search(Search(dialer, dialer.order_from(self._session.at)))
        search = self._search
        if search is None:
            return
        await self._until_done(search, deadline)
        if not search.done() or self._search is not search:
            return
        self._search = None
        try:
            connection, begun = search.result()
        except RstmdbError as error:
            error.op = error.op or self._op
            if self._tracker is not None:
                self._error = error
            raise
        self._connection = connection
        if self._tracker is not None:
            self._tracker.resume()
            return
        self._begun = begun
        self._tracker = Tracker.begin(self._given, begun)
        cluster_id = begun.get("cluster_id")
        self._cluster_id = cluster_id if isinstance(cluster_id, str) else None
        state = begun.get("current_state")
        self._last_state = state if isinstance(state, str) else None

    async def _until_done(self, search: "asyncio.Task[Begun]", deadline: Optional[float]) -> None:
        loop = asyncio.get_running_loop()
        closed = loop.create_task(self._closed.wait())
        timeout = None if deadline is None else max(0.0, deadline - loop.time())
        try:
            await asyncio.wait({search, closed}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            closed.cancel()

    async def _wait(self, connection: Connection, deadline: Optional[float]) -> None:
        """Waits for something to arrive. On a quiet connection it asks for a sign of life.

        Otherwise a vanished server would look like a server without events.
        """
        loop = asyncio.get_running_loop()
        keepalive = self._session.options.watch_keepalive
        silent = loop.time() - connection.heard_at
        asked = connection.asked_at is not None and connection.asked_at > connection.heard_at
        if asked and connection.asked_at is not None and loop.time() - connection.asked_at >= keepalive:
            connection.fail(ConnectionLost("the server has sent nothing for too long"))
            return
        if not asked and silent >= keepalive:
            connection.ask_for_life()
            silent = 0.0
        pause = max(0.01, keepalive - silent) if not asked else keepalive
        if deadline is not None:
            pause = min(pause, max(0.0, deadline - loop.time()))
        await connection.arrival(pause)


def _forget(connection: Optional[Connection], search: "Optional[asyncio.Task[Begun]]") -> None:
    if connection is not None:
        connection.fail(ClosedError("the program no longer has the watch"))
    if search is not None:
        search.cancel()
        search.add_done_callback(_drop)


def _drop(search: "asyncio.Task[Begun]") -> None:
    """A connection that was found for a watch that is closed."""
    if not search.cancelled() and search.exception() is None:
        search.result()[0].fail(ConnectionLost("the watch was closed"))
