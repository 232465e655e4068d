"""An event loop in a thread of its own, for the blocking client."""

import asyncio
import concurrent.futures
import os
import threading
import weakref
from collections.abc import Coroutine
from typing import Any, Optional, TypeVar

from .errors import ClosedError, DeadlineExceeded, OutcomeUnknown

T = TypeVar("T")

# By how much a blocking wait may outlast the deadline of what it waits for, which ends by itself. Only a thread that is
# starved or gone needs it.
_GRACE = 2.0


class LoopThread:
    """Runs coroutines for other threads."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._pid = os.getpid()
        started = threading.Event()
        self._thread = threading.Thread(target=_run, args=(self.loop, started), name="rstmdb-client", daemon=True)
        self._thread.start()
        started.wait()
        # Also at the end of the program, and when the client was forgotten.
        self._stop = weakref.finalize(self, _stop, self.loop, self._thread, self._pid)

    def submit(self, coroutine: "Coroutine[Any, Any, T]") -> "concurrent.futures.Future[T]":
        """Begins a coroutine in the loop."""
        if os.getpid() != self._pid:
            coroutine.close()
            raise ClosedError("the client was made in another process; make one client after each fork")
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise ClosedError("a blocking call inside the client's own thread would wait for itself")
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        except RuntimeError:
            coroutine.close()
            raise ClosedError("the client is closed") from None

    def run(self, coroutine: "Coroutine[Any, Any, T]", timeout: float) -> T:
        """Waits for a coroutine that ends by itself within this time. Ctrl-C ends the wait, and the coroutine."""
        future = self.submit(coroutine)
        try:
            return future.result(timeout + _GRACE)
        except concurrent.futures.CancelledError:
            # The request may have been sent, and its answer was not read.
            raise OutcomeUnknown(ClosedError("the client was closed"), retryable=False) from None
        except concurrent.futures.TimeoutError:
            if future.done():
                raise
            future.cancel()
            late = DeadlineExceeded("the client's thread did not answer in time")
            raise OutcomeUnknown(late, retryable=False) from None
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """Ends the loop and its thread."""
        self._stop()


def _run(loop: asyncio.AbstractEventLoop, started: threading.Event) -> None:
    asyncio.set_event_loop(loop)
    loop.call_soon(started.set)
    try:
        loop.run_forever()
    finally:
        # Tasks under way end with CancelledError, so that no thread waits for them.
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=1.0))
        loop.run_until_complete(loop.shutdown_asyncgens())
        # Sockets that were given up close at the loop's next turns.
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread, pid: int) -> None:
    if os.getpid() != pid or loop.is_closed():
        return
    try:
        loop.call_soon_threadsafe(loop.stop)
    except RuntimeError:
        # The loop has closed between the check and this call.
        return
    if threading.current_thread() is not thread:
        thread.join(2.0)


def remaining(future: "concurrent.futures.Future[T]", timeout: Optional[float]) -> Optional[T]:
    """The future's result; None if there is none within the time, after which it goes on."""
    try:
        return future.result(timeout)
    except concurrent.futures.TimeoutError:
        if future.done():
            raise
        return None
