"""From an address to a connection that is ready for requests: TCP, TLS, HELLO, AUTH."""

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from . import _frame
from ._connection import Connection
from ._options import FEATURES, Address, Options
from .errors import ConfigError, ConnectError, ConnectionLost, ProtocolError, RstmdbError, ServerError, TlsError

# How long one address is tried before the next one is tried at the same time.
_HEAD_START = 0.25


class Dialer:
    """Opens connections for a client and its watches."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._addresses: list[Address] = list(options.addresses)
        self._ssl = options.tls.make_context() if options.tls is not None else None
        self._cluster_id: Optional[str] = None

    @property
    def has_choice(self) -> bool:
        """Whether there is another address."""
        return len(self._addresses) > 1

    def order_from(self, first: Optional[Address], after: bool = False) -> list[Address]:
        """Every address once, beginning with this one, or with the one after it."""
        at = self._addresses.index(first) if first in self._addresses else 0
        at = (at + (1 if after else 0)) % len(self._addresses)
        return self._addresses[at:] + self._addresses[:at]

    async def dial(self, order: Sequence[Address], deadline: float) -> Connection:
        """Opens a connection to one of these addresses, each tried once and the first preferred.

        A node that hangs accepts connections and says nothing, so the next address does not wait for the one before
        it to fail.
        """
        loop = asyncio.get_running_loop()
        untried = deque(order)
        running: dict[asyncio.Task[Connection], Address] = {}
        failures: list[tuple[Address, RstmdbError]] = []
        try:
            while untried or running:
                if untried:
                    address = untried.popleft()
                    running[loop.create_task(self._dial_one(address, deadline))] = address
                patience = _HEAD_START if untried else self.options.connect_timeout + 1
                done, _ = await asyncio.wait(running, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    error = task.exception()
                    if error is None:
                        running.pop(task)
                        self._learn(task.result())
                        return task.result()
                    if not isinstance(error, RstmdbError):
                        raise error
                    # Every node has the same secrets, so another one will refuse as well.
                    if isinstance(error, ServerError) and not error.retryable:
                        raise error
                    failures.append((running.pop(task), error))
            raise _summary(failures)
        finally:
            for task in running:
                task.cancel()
                task.add_done_callback(_drop)

    async def _dial_one(self, address: Address, deadline: float) -> Connection:
        loop = asyncio.get_running_loop()
        timeout = min(self.options.connect_timeout, max(0.0, deadline - loop.time()))
        opening = loop.create_task(self._open(address, loop.time() + timeout))
        try:
            done, _ = await asyncio.wait({opening}, timeout=timeout)
            if not done:
                raise ConnectError(f"no answer within {timeout * 1000:.0f} ms")
            return opening.result()
        except BaseException:
            opening.cancel()
            opening.add_done_callback(_drop)
            raise

    async def _open(self, address: Address, deadline: float) -> Connection:
        loop = asyncio.get_running_loop()
        tls: dict[str, Any] = {}
        if self._ssl is not None and self.options.tls is not None:
            tls = {"ssl": self._ssl, "server_hostname": self.options.tls.server_name or address.host}
        try:
            _, connection = await loop.create_connection(lambda: Connection(address), address.host, address.port, **tls)
        except ssl.SSLError as error:
            raise _tls_failed(error) from error
        except (OSError, ValueError) as error:
            raise ConnectError(_told(error)) from error
        try:
            await self._greet(connection, deadline)
        except BaseException:
            connection.fail(ConnectionLost("the connection was given up"))
            raise
        return connection

    async def _greet(self, connection: Connection, deadline: float) -> None:
        options = self.options
        hello = {
            "protocol_version": 1,
            "client_name": options.client_name,
            "wire_modes": [options.wire_mode],
            "features": list(FEATURES),
        }
        result = await connection.request("HELLO", hello, deadline)
        mode = result.get("wire_mode")
        if mode not in (_frame.BINARY, _frame.JSONL):
            raise ProtocolError(f"the server chose the wire mode {mode!r}")
        connection.use_mode(mode)
        features = result.get("features")
        connection.features = frozenset(name for name in features if isinstance(name, str)) if features else frozenset()
        if options.token is not None:
            token = options.token if isinstance(options.token, str) else options.token()
            await connection.request("AUTH", {"method": "bearer", "token": token}, deadline)
        if options.discover or options.prefer_leader:
            try:
                connection.info = await connection.request("INFO", {}, deadline)
            except ServerError:
                # The server tells nothing about the cluster, so the addresses are those that the caller gave.
                connection.info = {}
        self._check_cluster(connection)

    def _check_cluster(self, connection: Connection) -> None:
        """A learned address may belong to another cluster by now. A given one is what the user wants."""
        known, told = self._cluster_id, connection.info.get("cluster_id")
        if known is not None and told != known and connection.address not in self.options.addresses:
            raise ConnectError(f"this node is of another cluster ({told!r}, not {known!r})")

    def _learn(self, connection: Connection) -> None:
        """Takes the members' addresses, to be tried after those that were given."""
        info = connection.info
        cluster_id = info.get("cluster_id")
        if not self.options.discover or not isinstance(cluster_id, str):
            return
        self._cluster_id = cluster_id
        members = info.get("members")
        learned: list[Address] = []
        for member in members if isinstance(members, list) else []:
            address = _address_of(member)
            # This node is reached already, perhaps under another name.
            is_new = isinstance(member, dict) and member.get("node_id") != info.get("node_id")
            if is_new and address is not None and address not in self.options.addresses:
                learned.append(address)
        if learned:
            self._addresses = [*self.options.addresses, *learned]

    def leader_beside(self, connection: Connection) -> Optional[Address]:
        """Where the leader is, if it is another node than this one and known."""
        info = connection.info
        leader = info.get("leader")
        if info.get("role") == "leader" or not isinstance(leader, dict):
            return None
        address = _address_of(leader)
        return None if address == connection.address else address


def _address_of(node: Any) -> Optional[Address]:
    text = node.get("rcp_addr") if isinstance(node, Mapping) else None
    try:
        address = Address.parse(text) if isinstance(text, str) else None
    except ConfigError:
        return None
    # The node listens on all addresses, and its configuration does not say under which clients reach it.
    return None if address is None or address.host in ("0.0.0.0", "::") else address


def _drop(task: "asyncio.Task[Connection]") -> None:
    """A connection that came too late for its caller."""
    if not task.cancelled() and task.exception() is None:
        task.result().fail(ConnectionLost("another connection was faster"))


def _told(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _tls_failed(error: ssl.SSLError) -> RstmdbError:
    reason = (error.reason or "").upper()
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return TlsError("the server does not speak TLS on this port: connect without TLS, or to another port")
    return TlsError(str(error))


def _summary(failures: Sequence[tuple[Address, RstmdbError]]) -> RstmdbError:
    first = failures[0][1]
    if not any(error.retryable for _, error in failures):
        # No address can ever be used, and all for reasons of this kind: another try would not help.
        return first
    if len(failures) == 1 and not isinstance(first, (ConnectError, ConnectionLost)):
        return first
    return ConnectError("; ".join(f"{address}: {error.message}" for address, error in failures))
