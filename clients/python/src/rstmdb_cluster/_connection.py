"""One connection that many calls share: their requests are written together, answers come in any order."""

import asyncio
import socket
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple, Optional, Union, cast

from . import _frame
from ._options import Address
from .errors import ConnectionLost, ProtocolError, RstmdbError, TlsError, from_wire

# The server stops reading while it works on 1024 requests of a connection. A PING after that many proves nothing.
_ASKABLE_BEHIND_MAX = 1000
# A watch stops reading the socket while this much waits for its consumer; the server then waits.
_PUSHED_MAX = 256
_PUSHED_BYTES_MAX = 4 * 1024 * 1024
# The time within which a vanished server is noticed in any state of the connection.
_KEEPALIVE_SECONDS = 30


class Answer(NamedTuple):
    """What the server answered to one request."""

    result: Optional[Mapping[str, Any]]
    error: Optional[Mapping[str, Any]]
    meta: Mapping[str, Any]


class Lost(NamedTuple):
    """The connection ended before the answer came."""

    error: RstmdbError
    #: A part of the request may have been sent.
    sent: bool


class Expired(NamedTuple):
    """The time for the answer is over."""

    sent: bool


class Pending:
    """A request that has been queued on a connection."""

    __slots__ = ("connection", "future", "heard", "ident", "message", "sent")

    def __init__(self, connection: "Connection", ident: str, message: bytes) -> None:
        self.connection = connection
        self.ident = ident
        self.message = message
        self.sent = False
        self.heard = connection.heard
        self.future: asyncio.Future[Union[Answer, Lost, Expired]] = connection.loop.create_future()

    async def outcome(self, deadline: float) -> Union[Answer, Lost, Expired]:
        """Waits for the answer until this time of the loop."""
        timer = self.connection.loop.call_at(deadline, self._expire)
        try:
            return await self.future
        finally:
            timer.cancel()
            self.connection.forget(self)

    def _expire(self) -> None:
        if not self.future.done():
            self.future.set_result(Expired(self.sent))
            self.connection.forget(self)


class Connection(asyncio.Protocol):
    """A connection that is open, and after HELLO and AUTH ready for requests."""

    def __init__(self, address: Address) -> None:
        self.loop = asyncio.get_running_loop()
        self.address = address
        #: Why it cannot be used any more.
        self.lost: Optional[RstmdbError] = None
        #: New calls should go elsewhere; those that wait still get their answers.
        self.retired = False
        #: How many times data have arrived, and when last.
        self.heard = 0
        self.heard_at = self.loop.time()
        #: When the last PING for a sign of life was sent.
        self.asked_at: Optional[float] = None
        #: What HELLO has agreed on.
        self.features: frozenset[str] = frozenset()
        #: What INFO said when the connection was opened.
        self.info: Mapping[str, Any] = {}
        self._mode = _frame.BINARY
        self._decoder = _frame.Decoder()
        self._transport: Optional[asyncio.Transport] = None
        self._next_id = 0
        self._waiting: dict[str, Pending] = {}
        self._unsent: deque[Pending] = deque()
        self._flushing = False
        self._full = False
        self._patience: Optional[float] = None
        self._watcher: Optional[asyncio.TimerHandle] = None
        self._pushed: deque[tuple[Mapping[str, Any], int]] = deque()
        self._pushed_bytes = 0
        self._paused = False
        self._arrival: Optional[asyncio.Future[None]] = None
        self._gone: asyncio.Future[None] = self.loop.create_future()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            _keep_alive(sock)

    def data_received(self, data: bytes) -> None:
        self.heard += 1
        self.heard_at = self.loop.time()
        self._decoder.feed(data)
        try:
            while self.lost is None:
                payload = self._decoder.take()
                if payload is None:
                    return
                self._accept(_frame.parse(payload), len(payload))
        except RstmdbError as error:
            self.fail(error)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._flush()

    def connection_lost(self, exc: Optional[Exception]) -> None:
        if not self._gone.done():
            self._gone.set_result(None)
        self.fail(_why_lost(exc))

    # Requests.

    def use_mode(self, mode: str) -> None:
        """How messages are sent and read from the next one on."""
        self._mode = mode
        self._decoder.mode = mode

    def enqueue(self, op: str, params: str) -> Pending:
        """Queues a request. It leaves at the loop's next turn, with all that were queued by then."""
        if self.lost is not None:
            raise self.lost
        ident = str(self._next_id)
        self._next_id += 1
        message = _frame.encode(self._mode, _frame.request(ident, op, params))
        pending = Pending(self, ident, message)
        self._waiting[ident] = pending
        self._unsent.append(pending)
        if not self._flushing:
            self._flushing = True
            self.loop.call_soon(self._flush)
        self._watch_for_silence()
        return pending

    async def request(self, op: str, params: Mapping[str, Any], deadline: float) -> Mapping[str, Any]:
        """Sends one request and waits for its result."""
        outcome = await self.enqueue(op, _frame.dumps(params)).outcome(deadline)
        if isinstance(outcome, Lost):
            raise outcome.error
        if isinstance(outcome, Expired):
            raise ConnectionLost(f"no answer to {op} in time")
        if outcome.error is not None:
            raise from_wire(outcome.error)
        return outcome.result or {}

    def forget(self, pending: Pending) -> None:
        """The caller no longer waits for this answer. A request that is not sent yet is never sent."""
        self._waiting.pop(pending.ident, None)
        if not pending.sent:
            pending.message = b""
        self._end_if_retired()

    @property
    def usable(self) -> bool:
        """Whether new calls may be queued."""
        return self.lost is None and not self.retired

    def retire(self) -> None:
        """Sends new calls elsewhere. The connection ends once the last call that waits has its answer."""
        self.retired = True
        self._end_if_retired()

    def fail(self, error: RstmdbError) -> None:
        """Ends the connection; every call that waits gets this reason."""
        if self.lost is not None:
            return
        self.lost = error
        waiting, self._waiting = self._waiting, {}
        for pending in waiting.values():
            if not pending.future.done():
                pending.future.set_result(Lost(error, pending.sent))
        self._unsent.clear()
        if self._watcher is not None:
            self._watcher.cancel()
        self._announce()
        if self._transport is not None:
            self._transport.abort()

    def say_bye(self) -> None:
        """Lets the server end the connection in order, as far as it still listens."""
        if self.lost is None and self._transport is not None and not self._full:
            self._flush()
            self._transport.write(_frame.encode(self._mode, _frame.request("bye", "BYE", "{}")))

    async def gone(self, seconds: float) -> None:
        """Closes the socket, after what was written has left or this time has passed."""
        if self._transport is None:
            return
        self._transport.close()
        await asyncio.wait({self._gone}, timeout=seconds)
        self._transport.abort()

    def _flush(self) -> None:
        self._flushing = False
        if self.lost is not None or self._transport is None:
            return
        messages: list[bytes] = []
        size = 0
        # More than the transport wants at once stays here, where it still counts as not sent.
        while self._unsent and not self._full and size < 256 * 1024:
            pending = self._unsent.popleft()
            if pending.message:
                messages.append(pending.message)
                size += len(pending.message)
                pending.sent = True
                pending.message = b""
        if messages:
            self._transport.write(b"".join(messages))
        if self._unsent and not self._full:
            self._flushing = True
            self.loop.call_soon(self._flush)

    def _accept(self, message: Mapping[str, Any], size: int) -> None:
        kind = message.get("type")
        if kind == "response":
            self._answer(message)
        elif kind in ("event", "progress", "end"):
            self._pushed.append((message, size))
            self._pushed_bytes += size
            if len(self._pushed) >= _PUSHED_MAX or self._pushed_bytes >= _PUSHED_BYTES_MAX:
                self._pause(True)
            self._announce()

    def _answer(self, message: Mapping[str, Any]) -> None:
        ident = message.get("id")
        status = message.get("status")
        error = message.get("error")
        if ident == "" and status == "error":
            # The server refuses the connection as a whole.
            self.fail(from_wire(error))
            return
        pending = self._waiting.pop(ident, None) if isinstance(ident, str) else None
        if pending is None:
            return
        result = message.get("result")
        meta = message.get("meta")
        if status == "ok" and isinstance(result, dict):
            answer = Answer(result, None, meta if isinstance(meta, dict) else {})
        elif status == "error" and isinstance(error, dict):
            answer = Answer(None, error, meta if isinstance(meta, dict) else {})
        else:
            self._waiting[pending.ident] = pending
            raise ProtocolError(f"the server sent a response with status {status!r} and neither result nor error")
        if not pending.future.done():
            pending.future.set_result(answer)
        self._end_if_retired()

    def _end_if_retired(self) -> None:
        if self.retired and not self._waiting:
            self.fail(ConnectionLost("the client left this node for another one"))

    # What is pushed for a watch.

    def pop_pushed(self) -> Optional[Mapping[str, Any]]:
        """The next event, progress or end, if one has arrived."""
        if not self._pushed:
            return None
        message, size = self._pushed.popleft()
        self._pushed_bytes -= size
        if len(self._pushed) < _PUSHED_MAX // 2 and self._pushed_bytes < _PUSHED_BYTES_MAX:
            self._pause(False)
        return message

    async def arrival(self, seconds: float) -> None:
        """Waits until something has been pushed, the connection is lost, or the time is over."""
        if self._pushed or self.lost is not None:
            return
        if self._arrival is None or self._arrival.done():
            self._arrival = self.loop.create_future()
        await asyncio.wait({self._arrival}, timeout=seconds)

    def _announce(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def _pause(self, pause: bool) -> None:
        if self._transport is None or self._paused == pause or self._transport.is_closing():
            return
        self._paused = pause
        if pause:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    # A server that has gone silent while calls wait: a stopped process, a host without power, a network that drops all
    # packets. None of these closes the connection.

    def be_patient(self, seconds: Optional[float]) -> None:
        """How long the server may send nothing while calls wait; None: until each call's own deadline."""
        self._patience = seconds
        self._watch_for_silence()

    def _watch_for_silence(self) -> None:
        if self._patience is not None and self._watcher is None and self._waiting:
            self._watcher = self.loop.call_later(self._patience / 2, self._check, self.heard, False)

    def _check(self, heard: int, asked: bool) -> None:
        self._watcher = None
        if self.lost is not None or self._patience is None or not self._waiting:
            return
        if heard != self.heard or self._full or len(self._waiting) > _ASKABLE_BEHIND_MAX:
            self._watch_for_silence()
        elif asked:
            self.fail(ConnectionLost("the server has sent nothing for too long"))
        elif self._transport is not None:
            # A server that is only slow, for example during an election, answers a PING at once.
            self.ask_for_life()
            self._watcher = self.loop.call_later(self._patience, self._check, heard, True)

    def ask_for_life(self) -> None:
        """Sends a PING whose answer no call takes; that data arrive is enough."""
        if self._transport is not None and self.lost is None:
            self._flush()
            self._transport.write(_frame.encode(self._mode, _frame.request("ping", "PING", "{}")))
            self.asked_at = self.loop.time()


def _why_lost(exc: Optional[Exception]) -> RstmdbError:
    if exc is None:
        return ConnectionLost("closed by the server")
    # In TLS 1.3 a server that does not accept our certificate says so after the handshake.
    if isinstance(exc, OSError) and "alert" in str(exc).lower():
        return TlsError(str(exc))
    return ConnectionLost(str(exc) or type(exc).__name__)


def _keep_alive(sock: Any) -> None:
    settings = [(socket.SOL_SOCKET, "SO_KEEPALIVE", 1), (socket.IPPROTO_TCP, "TCP_NODELAY", 1)]
    settings += [
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", _KEEPALIVE_SECONDS // 3),
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", _KEEPALIVE_SECONDS // 6),
        (socket.IPPROTO_TCP, "TCP_KEEPCNT", 4),
        (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", _KEEPALIVE_SECONDS * 1000),
    ]
    for level, name, value in settings:
        option = getattr(socket, name, None)
        if option is not None:
            try:
                sock.setsockopt(level, option, value)
            except OSError:
                # Not every system has every option; the client's own PING does the same, only later.
                continue
