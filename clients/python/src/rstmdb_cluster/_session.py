"""The connection that a client has now: calls with their deadlines and retries, reconnecting."""

import asyncio
from collections.abc import Mapping
from typing import Any, Callable, Optional, Union, cast

from . import _frame
from ._connection import Answer, Connection, Expired, Lost, Pending
from ._dial import Dialer
from ._options import Address, Options
from ._retry import Backoff, Plan, is_dry_run, params_after, plan
from .errors import (
    ClosedError,
    ConfigError,
    ConnectError,
    ConnectionLost,
    DeadlineExceeded,
    OutcomeUnknown,
    ProtocolError,
    RequestError,
    RstmdbError,
    ServerError,
    Unauthorized,
    from_wire,
)

# The longest silence of a server before the client sends a PING. Only used if there are other addresses.
_PATIENCE_MAX = 1.0
# How many times a call is sent again after its connection was lost while it was in flight. If the call itself has ended
# the node, it must not end one node after the other.
_LOSSES_MAX = 1
# An attempt is not left for another node before this time, which an election may take.
_ATTEMPT_MIN = 1.0
# It is left after this time at the latest, so that a node that is cut off costs a call less than two seconds.
_ATTEMPT_MAX = 1.75
# A server that refuses with one of these codes has done nothing, unless it says otherwise.
_UNDONE = frozenset({"NO_LEADER", "RATE_LIMITED", "READ_ONLY_MODE", "QUOTA_EXCEEDED"})
# These codes may come from a later life of the instance, which does not know the key of an earlier attempt.
_OF_A_LATER_LIFE = frozenset({"INSTANCE_NOT_FOUND", "INSTANCE_EXISTS", "MACHINE_NOT_FOUND"})


class _Failed:
    """An attempt that brought no result."""

    def __init__(self, error: RstmdbError, *, again: bool, maybe_done: bool, lost: bool = False) -> None:
        self.error = error
        #: Trying again does no harm and may help.
        self.again = again
        #: The attempt may have taken effect anyway.
        self.maybe_done = maybe_done
        #: The connection was lost while the server had the request.
        self.lost = lost


class Session:
    """Calls over one connection at a time, to any of the addresses."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.dialer = Dialer(options)
        self.loop = asyncio.get_running_loop()
        self.closed = False
        #: Which address the client is connected to, or was last.
        self.at: Optional[Address] = None
        #: The highest offset that an answer to this client has named.
        self.last_offset = 0
        self._current: Optional[Connection] = None
        self._left: list[Connection] = []
        self._reconnecting = asyncio.Lock()
        # Calls that wait for a connection. While there are any, later calls queue up behind them, so that calls leave
        # in the order in which they were made.
        self._queued = 0

    def __del__(self) -> None:
        # If the program drops a client without closing it, its connection is closed here.
        connection: Optional[Connection] = getattr(self, "_current", None)
        if connection is not None and connection.lost is None:
            in_loop(self.loop, connection.fail, ClosedError("the program no longer has the client"))

    def check_loop(self) -> None:
        """Refuses to be used in another event loop, where its connections do nothing."""
        if asyncio.get_running_loop() is not self.loop:
            raise ConfigError("the client belongs to another event loop; make one client for each loop")

    async def connect(self, deadline: float) -> None:
        """Opens the connection, if there is none. A node may be restarting, so it tries until the deadline."""
        await _acquire(self._reconnecting, deadline)
        try:
            await self._reconnect(deadline)
        finally:
            self._reconnecting.release()

    async def close(self) -> None:
        """Ends the connection. Calls that wait for an answer fail."""
        if self.closed:
            return
        self.closed = True
        connection = self._current
        if connection is not None:
            connection.say_bye()
            if connection.lost is None:
                await connection.gone(1.0)
            connection.fail(ClosedError("the client was closed"))
        for left in self._left:
            left.fail(ClosedError("the client was closed"))

    async def call(self, op: str, params: Mapping[str, Any], timeout: float) -> Answer:
        """Calls an operation; every wait inside ends at the deadline at the latest."""
        if not isinstance(params, Mapping):
            raise RequestError(f"params: {type(params).__name__} is not a mapping")
        made = plan(op, params, self.options.auto_keys)
        try:
            needs = "lifecycle" if is_dry_run(params) else None
            answer = await self._call(op, made, timeout, needs)
            if params.get("dry_run") and (answer.result or {}).get("dry_run") is not True:
                raise ProtocolError("the server did not heed dry_run, and wrote", details={"outcome": "applied"})
            return answer
        except RstmdbError as error:
            error.op = op
            error.params = made.params
            raise

    async def _call(self, op: str, made: Plan, timeout: float, needs: Optional[str]) -> Answer:
        began = self.loop.time()
        as_told = _frame.dumps(dict(made.params))

        def text() -> str:
            params = params_after(op, made.params, self.loop.time() - began)
            return as_told if params is made.params else _frame.dumps(dict(params))

        deadline = began + timeout
        backoff = Backoff(self.options.backoff_min, self.options.backoff_max)
        # Whether any attempt so far may have taken effect. That stays true if a later attempt is not sent or is refused
        # because there is no leader.
        maybe_done = False
        losses = 0
        # A node's refusal of an earlier attempt.
        refused: Optional[ServerError] = None
        while True:
            try:
                pending = await self._send(op, text, deadline, needs)
            except RequestError:
                raise
            except RstmdbError as error:
                if maybe_done:
                    raise OutcomeUnknown(error, retryable=made.repeatable) from error
                raise _or_refusal(error, refused, self.loop.time() - began) from error
            attempt_end = self._attempt_end(made, deadline)
            outcome = await pending.outcome(attempt_end)
            failed = self._judge(op, made, pending, outcome, attempt_end < deadline, timeout)
            if failed is None:
                answer = cast(Answer, outcome)
                self._note_offset(answer)
                return answer
            maybe_done = maybe_done or failed.maybe_done
            losses += int(failed.lost)
            pause = backoff.pause()
            over = self.loop.time() + pause >= deadline
            if not failed.again or losses > _LOSSES_MAX or over:
                last = failed.error
                if maybe_done:
                    raise _in_doubt(last, made.repeatable) from last
                raise _or_refusal(last, refused, self.loop.time() - began) if over else last
            if isinstance(failed.error, ServerError):
                refused = failed.error
            await asyncio.sleep(pause)

    def _judge(
        self, op: str, made: Plan, pending: Pending, outcome: Union[Answer, Lost, Expired], early: bool, timeout: float
    ) -> Optional[_Failed]:
        if isinstance(outcome, Expired):
            return self._after_silence(op, made, pending, outcome.sent, early, timeout)
        if isinstance(outcome, Lost):
            return _after_loss(outcome, made)
        if outcome.error is None:
            return None
        return self._after_refusal(from_wire(outcome.error), made, pending)

    def _attempt_end(self, made: Plan, deadline: float) -> float:
        """When the call is retried at another node.

        A node that is cut off from the others answers every PING but no call, and does not notice the cut before the
        call's deadline.
        """
        now = self.loop.time()
        attempt = min((deadline - now) / 2, _ATTEMPT_MAX)
        return now + attempt if made.movable and self.dialer.has_choice and attempt >= _ATTEMPT_MIN else deadline

    def _after_silence(self, op: str, made: Plan, pending: Pending, sent: bool, again: bool, timeout: float) -> _Failed:
        connection = pending.connection
        if not again and connection.heard == pending.heard:
            # The server has sent nothing in all that time. It is more likely gone than slow, and nothing else would
            # show that.
            connection.fail(ConnectionLost("the server has sent nothing for too long"))
        else:
            self._leave(connection)
        error = DeadlineExceeded(f"no answer to {op} within {timeout * 1000:.0f} ms")
        return _Failed(error, again=again, maybe_done=made.writes and sent)

    def _after_refusal(self, error: ServerError, made: Plan, pending: Pending) -> _Failed:
        unknown = error.outcome == "unknown"
        undone = error.code in _UNDONE and not unknown
        anew = self.may_authenticate_anew(error)
        if anew:
            self._retire(pending.connection)
        # This node cannot serve for a while, but another may. At a limit, the client waits instead.
        if error.retryable and error.code not in ("RATE_LIMITED", "QUOTA_EXCEEDED"):
            self._leave(pending.connection)
        # Nodes have retried the call already, and it may be the reason why two leaders ended.
        tried_enough = bool(error.details.get("leaders_lost"))
        return _Failed(
            error,
            again=anew or (error.retryable and not tried_enough and (made.repeatable or undone)),
            maybe_done=made.writes and unknown,
        )

    def may_authenticate_anew(self, error: RstmdbError) -> bool:
        """Whether a new connection may serve what this one refuses: its authentication has ended."""
        return isinstance(error, Unauthorized) and self.options.token is not None

    def _leave(self, connection: Connection) -> None:
        """Makes the next call connect to another address."""
        if self.dialer.has_choice:
            self._retire(connection)

    def _retire(self, connection: Connection) -> None:
        if not connection.retired:
            self._left = [left for left in self._left if left.lost is None]
            self._left.append(connection)
            connection.retire()

    async def _send(self, op: str, text: Callable[[], str], deadline: float, needs: Optional[str]) -> Pending:
        """Queues a call on the current connection; opens one if there is none."""
        if self._queued == 0:
            pending = self._try_send(op, text, needs)
            if pending is not None:
                return pending
        self._queued += 1
        try:
            await _acquire(self._reconnecting, deadline)
            try:
                return await self._reconnect_and_send(op, text, deadline, needs)
            finally:
                self._reconnecting.release()
        finally:
            self._queued -= 1

    async def _reconnect_and_send(
        self, op: str, text: Callable[[], str], deadline: float, needs: Optional[str]
    ) -> Pending:
        while True:
            pending = self._try_send(op, text, needs)
            if pending is not None:
                return pending
            await self._reconnect(deadline)

    async def _reconnect(self, deadline: float) -> None:
        """Opens a connection, unless there is one; fails with an error that no other try would change, or at the
        deadline."""
        backoff = Backoff(self.options.backoff_min, self.options.backoff_max)
        failure: Optional[RstmdbError] = None
        while self._current is None or not self._current.usable:
            try:
                await self._replace(self.dialer.order_from(self.at, after=self.at is not None), deadline)
                continue
            except RstmdbError as error:
                # An attempt that the deadline cut short has a less useful error than a complete one.
                if failure is None or self.loop.time() < deadline:
                    failure = error
            pause = backoff.pause()
            if not failure.retryable or self.loop.time() + pause >= deadline:
                raise failure
            await asyncio.sleep(pause)

    def _try_send(self, op: str, text: Callable[[], str], needs: Optional[str]) -> Optional[Pending]:
        if self.closed:
            raise ClosedError("the client is closed")
        if self._current is None or not self._current.usable:
            return None
        if needs is not None and needs not in self._current.features:
            # An older server would ignore the parameter, and write.
            raise RequestError(f"dry_run: the server at {self._current.address} does not offer the feature {needs!r}")
        return self._current.enqueue(op, text())

    async def _replace(self, order: list[Address], deadline: float) -> None:
        if self.closed:
            raise ClosedError("the client is closed")
        connection = await self.dialer.dial(order, deadline)
        leader = self.dialer.leader_beside(connection) if self.options.prefer_leader else None
        if leader is not None:
            try:
                other = await self.dialer.dial([leader], min(deadline, self.loop.time() + 1.0))
                connection.fail(ConnectionLost("the client went to the leader"))
                connection = other
            except RstmdbError:
                # Every node serves every call; the leader only answers writes a little sooner.
                pass
            except BaseException:
                connection.fail(ConnectionLost("the call was cancelled"))
                raise
        if self.closed:
            connection.fail(ClosedError("the client is closed"))
            raise ClosedError("the client is closed")
        share = min(self.options.timeout / 3, _PATIENCE_MAX)
        connection.be_patient(share if self.dialer.has_choice else None)
        self._current, self.at = connection, connection.address

    def _note_offset(self, answer: Answer) -> None:
        result = answer.result or {}
        items = result.get("results")
        in_batch = [item.get("result") for item in items if isinstance(item, dict)] if isinstance(items, list) else []
        for part in [result, *in_batch]:
            offset = part.get("wal_offset") if isinstance(part, dict) else None
            if isinstance(offset, int) and offset > self.last_offset:
                self.last_offset = offset


def in_loop(loop: asyncio.AbstractEventLoop, act: Callable[..., None], *arguments: Any) -> None:
    """Does this in the loop, from any thread; nothing if the loop has ended, because its connections have ended with
    it."""
    try:
        loop.call_soon_threadsafe(act, *arguments)
    except RuntimeError:
        return


async def _acquire(lock: asyncio.Lock, deadline: float) -> None:
    """Takes the lock, or fails at the deadline; a lock that is granted too late is given back."""
    loop = asyncio.get_running_loop()
    taking = loop.create_task(lock.acquire())
    try:
        done, _ = await asyncio.wait({taking}, timeout=max(0.0, deadline - loop.time()))
        if not done:
            raise ConnectError("still trying to connect")
    except BaseException:
        if not taking.cancel() and not taking.cancelled():
            lock.release()
        raise


def _after_loss(lost: Lost, made: Plan) -> _Failed:
    error = lost.error
    again = (made.repeatable or not lost.sent) and error.retryable
    # A refusal of the whole connection is not one of the call.
    if isinstance(error, ServerError) and made.writes and lost.sent:
        error = ConnectionLost(str(error))
    return _Failed(error, again=again, maybe_done=made.writes and lost.sent, lost=lost.sent)


def _or_refusal(last: RstmdbError, earlier: Optional[ServerError], spent: float) -> RstmdbError:
    """The error of a call whose time is over and of which no attempt can have taken effect.

    If a node has refused an earlier attempt, that refusal is the reason. That the last attempt had no time left for an
    answer does not help the caller.
    """
    if earlier is None:
        return last
    told = f"tried for {spent * 1000:.0f} ms"
    refusal = earlier
    if isinstance(last, ServerError):
        if not last.retryable:
            return last
        refusal = last
    elif isinstance(last, DeadlineExceeded):
        told += "; the last try got no answer"
    elif isinstance(last, (ConnectError, ConnectionLost)):
        told += f"; the last try failed: {last.message}"
    else:
        return last
    return type(refusal)(
        f"{refusal.message} ({told})", code=refusal.code, retryable=refusal.retryable, details=refusal.details
    )


def _in_doubt(last: RstmdbError, repeatable: bool) -> RstmdbError:
    """The error of a call of which some attempt may have taken effect."""
    if isinstance(last, ServerError) and not last.retryable and last.outcome != "unknown":
        # The final answer to the call, whatever happened to earlier attempts: the server knows those by their key.
        # But a key ends with its instance, which may have been deleted or created anew since.
        return OutcomeUnknown(last, retryable=False) if last.code in _OF_A_LATER_LIFE else last
    return OutcomeUnknown(last, retryable=repeatable)
