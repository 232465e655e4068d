"""A lock that is renewed for as long as a program holds it."""

import asyncio
import contextlib
import os
import uuid
from collections.abc import Mapping
from typing import Any, Optional

from ._operations import AsyncOperations
from ._options import check_seconds
from .errors import ClosedError, LockHeld, LockLost, OutcomeUnknown, RstmdbError

# The part of a lock's time after which it counts as lost if it was not renewed. The clock of the cluster may be faster.
_SAFE = 7 / 8
_RELEASES_MAX = 3
# Kept until they have ended: Python may free a task without references while it runs.
_giving_back: "set[asyncio.Task[None]]" = set()


class AsyncLock:
    """A lock, held inside ``async with``. It is renewed each time a third of its time has passed, over lost connections
    and changes of the leader.

    It can be lost all the same: the process was paused, or no server could be reached in time. So put :attr:`fence` on
    each write that it is to protect, and stop other work when :meth:`lost` returns. The time counts from the moment at
    which the last renewal was *sent*, by the monotonic clock. The lock counts as lost when seven eighths of the time
    have passed.
    """

    def __init__(self, client: AsyncOperations, name: str, owner: Optional[str], ttl: float, wait: float) -> None:
        self.name = name
        #: As other clients see it. The random part keeps two locks of one name apart, also within one process.
        self.owner = f"{owner or os.getpid()}-{uuid.uuid4().hex[:12]}"
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._ttl = check_seconds("ttl", ttl)
        self._wait = wait and check_seconds("wait", wait)
        self._token: Optional[int] = None
        # When the last renewal was sent, and until when the lock is surely held.
        self._sent = self._until = 0.0
        self._reason: Optional[str] = "it was not acquired"
        self._gone = asyncio.Event()
        self._keeper: Optional[asyncio.Task[None]] = None
        #: Whether :meth:`release` was called.
        self.over = False

    async def __aenter__(self) -> "AsyncLock":
        await self.acquire()
        return self

    async def __aexit__(self, kind: Any, *_: object) -> None:
        if self.over:
            return
        if kind is None:
            await self.release()
            return
        # What went wrong inside says more.
        with contextlib.suppress(RstmdbError):
            await self.release()

    async def acquire(self) -> None:
        """Gets the lock, or raises :class:`LockHeld` if another owner has it when ``wait`` is over."""
        sent = self._loop.time()
        try:
            wait_ms = int(self._wait * 1000) or None
            held = await self._client.lock_acquire(self.name, self.owner, self._ttl_ms, wait_ms=wait_ms)
            self._token = held.token
            self._extend(sent)
            if self._loop.time() - sent >= self._ttl / 3:
                # The time counts from the request, so after a long wait little of it is left, or none.
                await self._renew(self._ttl)
        except LockHeld:
            raise
        except BaseException:
            # The server may still wait for this caller, and would give it the lock, although it no longer wants it.
            self._end("it was not acquired")
            giving = self._loop.create_task(self._give_back())
            _giving_back.add(giving)
            giving.add_done_callback(_giving_back.discard)
            raise
        self._reason = None
        self._keeper = self._loop.create_task(self._keep())

    @property
    def held(self) -> bool:
        """Whether it is still held, as far as this process can know."""
        return self._reason is None and self._loop.time() < self._until

    @property
    def token(self) -> int:
        """The token with which the lock was granted. Raises :class:`LockLost`."""
        if self._token is None or not self.held:
            raise LockLost(f"the lock {self.name!r} is lost: {self._reason or 'it was not renewed in time'}")
        return self._token

    @property
    def fence(self) -> Mapping[str, Any]:
        """For the parameter ``fence`` of writes. Raises :class:`LockLost`."""
        return {"lock": self.name, "token": self.token}

    async def lost(self) -> None:
        """Returns when the lock is lost or released."""
        await self._gone.wait()

    async def release(self) -> None:
        """Gives the lock back. Raises :class:`LockLost` if it was lost before."""
        self.over = True
        token = self.token
        self._end("it was released")
        unknown: Optional[RstmdbError] = None
        for _ in range(_RELEASES_MAX):
            try:
                await self._client.lock_release(self.name, token)
                return
            except LockLost:
                # An earlier try has released it.
                if unknown is not None:
                    return
                raise
            except OutcomeUnknown as error:
                unknown = error
                await asyncio.sleep(0.1)
        assert unknown is not None
        raise unknown

    @property
    def _ttl_ms(self) -> int:
        return int(self._ttl * 1000)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(max(0.0, self._sent + self._ttl / 3 - self._loop.time()))
            try:
                await self._renew(max(0.001, self._until - self._loop.time()))
            except LockLost as error:
                return self._end(error.message)
            except RstmdbError as error:
                if not self.held or isinstance(error, ClosedError):
                    return self._end(f"it was not renewed in time: {error}")
                await asyncio.sleep(0.1)

    async def _renew(self, timeout: float) -> None:
        sent = self._loop.time()
        await self._client.lock_renew(self.name, self._token or 0, ttl_ms=self._ttl_ms, timeout=timeout)
        self._extend(sent)

    def _extend(self, sent: float) -> None:
        self._sent, self._until = sent, sent + self._ttl * _SAFE

    def _end(self, reason: str) -> None:
        self._reason = reason
        self._gone.set()
        if self._keeper is not None and self._keeper is not asyncio.current_task():
            self._keeper.cancel()

    async def _give_back(self) -> None:
        with contextlib.suppress(RstmdbError):
            if self._token is None:
                # An owner that asks again without waiting has no place among those that wait any more.
                self._token = (await self._client.lock_acquire(self.name, self.owner, self._ttl_ms)).token
            await self._client.lock_release(self.name, self._token)
