"""Finds a node that can serve a watch from its position."""

import asyncio
from collections.abc import Mapping
from typing import Any, Optional

from ._connection import Connection
from ._dial import Dialer
from ._options import Address
from ._position import Tracker
from ._retry import Backoff
from .errors import ConnectionLost, OffsetAhead, OffsetCompacted, RstmdbError, ServerError

Begun = tuple[Connection, Mapping[str, Any]]


class Seen:
    """What a watch of one instance has seen of it."""

    def __init__(self, tracker: Tracker, last_state: Optional[str]) -> None:
        self.tracker = tracker
        self.last_state = last_state


class Search:
    """The addresses that may have what the watch needs, the next one to try first."""

    def __init__(self, dialer: Dialer, order: list[Address]) -> None:
        self._dialer = dialer
        self._order = order
        # The refusal of a node that does not have it. Nodes keep different parts of the log, and an address may lead
        # to another cluster's node.
        self._lacking: Optional[ServerError] = None

    def strike_out(self, address: Address, reason: ServerError) -> None:
        """Leaves this address out. Raises the reason if it was the last one."""
        self._order = [known for known in self._order if known != address]
        if not self._order:
            raise reason
        self._lacking = reason

    async def find(self, op: str, params: Mapping[str, Any], seen: Optional[Seen], deadline: float) -> Begun:
        """Asks one node after the other, with pauses, until one has begun the watch."""
        options = self._dialer.options
        loop = asyncio.get_running_loop()
        backoff = Backoff(options.backoff_min, options.backoff_max)
        failure: Optional[RstmdbError] = None
        while True:
            try:
                return await self._ask_next(op, params, seen, deadline)
            except RstmdbError as error:
                # An attempt that the deadline cut short has a less useful error than a complete one.
                if failure is None or loop.time() < deadline:
                    failure = error
            is_lacking = isinstance(failure, (OffsetCompacted, OffsetAhead))
            if not self._order or not (failure.retryable or is_lacking):
                raise failure
            pause = backoff.pause()
            if loop.time() + pause >= deadline:
                raise self._lacking or failure
            await asyncio.sleep(pause)

    async def _ask_next(self, op: str, params: Mapping[str, Any], seen: Optional[Seen], deadline: float) -> Begun:
        loop = asyncio.get_running_loop()
        connection = await self._dialer.dial(self._order, deadline)
        timeout = self._dialer.options.timeout
        # A node that is cut off answers late or never. If there are other addresses, try them too.
        until = min(deadline, loop.time() + (timeout / 2 if len(self._order) > 1 else timeout))
        try:
            return connection, await _ask(connection, op, params, seen, until)
        except BaseException as error:
            connection.fail(ConnectionLost("the watch went to another node"))
            if isinstance(error, (OffsetCompacted, OffsetAhead)):
                self.strike_out(connection.address, error)
            elif isinstance(error, RstmdbError) and connection.address in self._order:
                self._order = [known for known in self._order if known != connection.address]
                self._order.append(connection.address)
            raise


async def _ask(
    connection: Connection, op: str, params: Mapping[str, Any], seen: Optional[Seen], until: float
) -> Mapping[str, Any]:
    try:
        return await connection.request(op, params, until)
    except OffsetCompacted as compacted:
        if seen is None:
            raise
        # Retention may drop the last change of an instance that rarely changes. If the instance is still as the watch
        # has seen it, the watch has missed nothing and goes on from now.
        rest = {name: value for name, value in params.items() if name != "from_offset"}
        begun = await connection.request(op, rest, until)
        offset = begun.get("current_wal_offset")
        unmoved = isinstance(offset, int) and seen.tracker.covers(offset)
        if unmoved and begun.get("current_state") == seen.last_state:
            return begun
        raise compacted
