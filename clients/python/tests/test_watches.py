"""Watches against nodes that answer as the test tells them to."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import unittest
from typing import Any, Optional

from rstmdb_cluster import AsyncClient, Client, Position, Progress, errors

from .fake import Drop, FakeNode, Json, Peer, Refused, Silence
from .nodes import hear_ctrl_c

BEGUN: Json = {"subscription_id": "s", "wal_offset": 10, "earliest_offset": 1, "cluster_id": "c"}


def client(*nodes: FakeNode, **options: Any) -> AsyncClient:
    return AsyncClient([node.address for node in nodes], **{"timeout": 5.0, "discover": False, **options})


def pushing(*connections: Any) -> Any:
    """A script whose n-th watch does what the n-th entry says, once it has begun; the last stands for all later."""
    begun = [0]

    def script(op: str, params: Json, peer: Peer) -> Optional[Json]:
        if op not in ("WATCH_ALL", "WATCH_INSTANCE"):
            return None
        act = connections[min(begun[0], len(connections) - 1)]
        begun[0] += 1
        if isinstance(act, Exception):
            raise act
        state = {"current_state": "A", "current_wal_offset": 5} if op == "WATCH_INSTANCE" else {}
        return {**BEGUN, **state, "then": lambda: act(peer)}

    return script


def progress(peer: Peer, offset: int) -> None:
    peer.send({"type": "progress", "subscription_id": "s", "wal_offset": offset})


def end(peer: Peer, code: str, **more: Any) -> None:
    error = {"code": code, "message": code, "retryable": False, **more}
    peer.send({"type": "end", "subscription_id": "s", "error": error})


class Watches(unittest.IsolatedAsyncioTestCase):
    async def test_events_come_in_order_and_the_position_follows(self) -> None:
        def push(peer: Peer) -> None:
            peer.event(11)
            progress(peer, 20)
            peer.event(22, ctx={"a": 1}, emits=["ship"])

        with FakeNode(pushing(push)) as node:
            async with client(node) as db, db.watch_all(machines=["m"], emits=["ship"], include_meta=True) as watch:
                self.assertEqual(watch.position, Position(11, "c", 0))
                first = await watch.next_item(1)
                self.assertEqual(watch.position, Position(11, "c", 1))
                self.assertEqual(await watch.next_item(1), Progress(20))
                self.assertEqual(watch.position, Position(21, "c", 0))
                second = await watch.next(1)
                self.assertEqual([event and event.wal_offset for event in (first, second)], [11, 22])
                self.assertEqual(second and second.ctx, {"a": 1})
                self.assertEqual([getattr(event, "emits", 0) for event in (first, second)], [None, ["ship"]])
                self.assertIsNone(await watch.next(0.05))
            self.assertEqual(node.asked("WATCH_ALL"), [{"machines": ["m"], "emits": ["ship"], "include_meta": True}])

    async def test_a_lost_watch_resumes_on_another_node_without_gap_or_duplicate(self) -> None:
        def first(peer: Peer) -> None:
            # A batch of three events at one offset, cut in its middle.
            for offset in (11, 12, 12):
                peer.event(offset)
            peer.close()

        def second(peer: Peer) -> None:
            for offset in (12, 12, 12, 13):
                peer.event(offset)

        with FakeNode(pushing(first)) as one, FakeNode(pushing(second)) as other:
            async with client(one, other) as db, db.watch_all() as watch:
                seen = [await watch.next(2) for _ in range(5)]
                self.assertEqual([event and event.wal_offset for event in seen], [11, 12, 12, 12, 13])
                self.assertIsNone(await watch.next(0.05))
            self.assertEqual(other.asked("WATCH_ALL"), [{"from_offset": 12, "cluster_id": "c"}])

    async def test_a_position_of_an_earlier_program_skips_what_it_had(self) -> None:
        def push(peer: Peer) -> None:
            for offset in (12, 12, 12):
                peer.event(offset)

        with FakeNode(pushing(push)) as node:
            async with client(node) as db, db.watch_all(position=Position(12, "c", 2)) as watch:
                self.assertIsNotNone(await watch.next(1))
                self.assertIsNone(await watch.next(0.05))
                self.assertEqual(watch.position.delivered, 3)
            self.assertEqual(node.asked("WATCH_ALL"), [{"from_offset": 12, "cluster_id": "c"}])

    async def test_progress_moves_the_offset_of_a_resume(self) -> None:
        def first(peer: Peer) -> None:
            progress(peer, 500)
            peer.close()

        with FakeNode(pushing(first, lambda peer: peer.event(501))) as node:
            async with client(node) as db, db.watch_all() as watch:
                event = await watch.next(2)
                self.assertEqual(event and event.wal_offset, 501)
            self.assertEqual(node.asked("WATCH_ALL")[1]["from_offset"], 501)

    async def test_a_node_that_shuts_down_is_left_for_another(self) -> None:
        def first(peer: Peer) -> None:
            end(peer, "NO_LEADER", retryable=True)

        with FakeNode(pushing(first)) as one, FakeNode(pushing(lambda peer: peer.event(11))) as other:
            async with client(one, other) as db, db.watch_all() as watch:
                self.assertIsNotNone(await watch.next(2))
            self.assertEqual(len(other.asked("WATCH_ALL")), 1)

    async def test_an_offset_that_fell_out_of_retention_everywhere_ends_the_watch_with_its_class(self) -> None:
        def first(peer: Peer) -> None:
            end(peer, "OFFSET_COMPACTED", details={"earliest_offset": 90})

        compacted = Refused("OFFSET_COMPACTED", earliest_offset=95)
        with FakeNode(pushing(first)) as one, FakeNode(pushing(compacted)) as other:
            async with client(one, other) as db, db.watch_all() as watch:
                for _ in range(2):
                    with self.assertRaises(errors.OffsetCompacted) as raised:
                        await watch.next(2)
                    self.assertEqual(raised.exception.earliest_offset, 95)

    async def test_an_offset_that_another_node_has_kept_is_read_there(self) -> None:
        def first(peer: Peer) -> None:
            end(peer, "OFFSET_COMPACTED", details={"earliest_offset": 90})

        with FakeNode(pushing(first)) as one, FakeNode(pushing(lambda peer: peer.event(11))) as other:
            async with client(one, other) as db, db.watch_all() as watch:
                event = await watch.next(2)
                self.assertEqual(event and event.wal_offset, 11)

    async def test_another_clusters_log_is_refused(self) -> None:
        with FakeNode(pushing(Refused("OFFSET_AHEAD", head=3))) as node:
            async with client(node) as db:
                with self.assertRaises(errors.OffsetAhead):
                    await db.watch_all(position=Position(12, "other")).start()

    async def test_an_instance_that_rests_is_watched_on_after_retention(self) -> None:
        asked: list[Json] = []

        def script(op: str, params: Json, peer: Peer) -> Optional[Json]:
            if op != "WATCH_INSTANCE":
                return None
            asked.append(params)
            if len(asked) == 2:
                raise Refused("OFFSET_COMPACTED", earliest_offset=90)
            state = {"current_state": "A", "current_wal_offset": 5}
            act = peer.close if len(asked) == 1 else lambda: peer.event(99)
            return {**BEGUN, **state, "then": act}

        with FakeNode(script) as node:
            async with client(node) as db, db.watch_instance("i") as watch:
                event = await watch.next(2)
                self.assertEqual(event and event.wal_offset, 99)
        self.assertNotIn("from_offset", asked[2])

    async def test_an_instance_that_does_not_exist_is_told_at_the_start(self) -> None:
        with FakeNode(pushing(Refused("INSTANCE_NOT_FOUND"))) as node:
            async with client(node) as db:
                with self.assertRaises(errors.InstanceNotFound):
                    async with db.watch_instance("i"):
                        self.fail("it has begun")

    async def test_a_silent_node_is_asked_for_life_and_then_left(self) -> None:
        def mute(op: str, params: Json, peer: Peer) -> Optional[Json]:
            if op == "PING":
                raise Silence
            return None

        with FakeNode(mute) as one, FakeNode(pushing(lambda peer: peer.event(11))) as other:
            async with client(one, other, watch_keepalive=0.15) as db, db.watch_all() as watch:
                # Short waits must not keep it from noticing.
                until = time.monotonic() + 3
                event = None
                while event is None and time.monotonic() < until:
                    event = await watch.next(0.05)
                self.assertEqual(event and event.wal_offset, 11)
            self.assertEqual(len(one.asked("PING")), 1)

    async def test_a_quiet_node_that_answers_is_not_left(self) -> None:
        with FakeNode() as node:
            async with client(node, watch_keepalive=0.1) as db, db.watch_all() as watch:
                self.assertIsNone(await watch.next(0.5))
            self.assertEqual(len(node.asked("WATCH_ALL")), 1)
            self.assertGreaterEqual(len(node.asked("PING")), 2)

    async def test_a_watch_without_any_node_ends_with_the_reason(self) -> None:
        with FakeNode(pushing(lambda peer: None)) as node:
            async with client(node, watch_resume_timeout=0.3) as db, db.watch_all() as watch:
                node.stop()
                with self.assertRaises(errors.ConnectError) as raised:
                    await watch.next(5)
                self.assertIn(node.address, str(raised.exception))

    async def test_a_slow_consumer_makes_the_server_wait_and_loses_nothing(self) -> None:
        text = "x" * 10_000

        def push(peer: Peer) -> None:
            for offset in range(11, 1211):
                peer.event(offset, ctx={"text": text})

        with FakeNode(pushing(push)) as node:
            async with client(node) as db, db.watch_all() as watch:
                await asyncio.sleep(0.3)
                connection = watch._connection
                assert connection is not None
                self.assertLess(connection._pushed_bytes, 6 * 1024 * 1024)
                seen = [event.wal_offset async for event in _first(watch, 1200)]
                self.assertEqual(seen, list(range(11, 1211)))

    async def test_closing_ends_the_iteration(self) -> None:
        for close_client in (False, True):
            with FakeNode() as node:
                async with client(node) as db:
                    watch = db.watch_all()
                    await watch.start()
                    waiting = asyncio.ensure_future(watch.next())
                    await asyncio.sleep(0.05)
                    await (db.close() if close_client else watch.close())
                    self.assertIsNone(await asyncio.wait_for(waiting, 1))
                    self.assertEqual([event async for event in watch], [])

    async def test_closing_ends_a_search_for_a_node(self) -> None:
        with FakeNode(pushing(lambda peer: None)) as node:
            async with client(node) as db, db.watch_all() as watch:
                node.stop()
                waiting = asyncio.ensure_future(watch.next())
                await asyncio.sleep(0.1)
                await watch.close()
                self.assertIsNone(await asyncio.wait_for(waiting, 1))

    async def test_a_wait_that_is_cancelled_loses_no_event(self) -> None:
        def push(peer: Peer) -> None:
            for offset in range(11, 61):
                time.sleep(0.002)
                peer.event(offset)

        with FakeNode(pushing(push)) as node:
            async with client(node) as db, db.watch_all() as watch:
                seen: list[int] = []
                until = time.monotonic() + 5
                while len(seen) < 50 and time.monotonic() < until:
                    task = asyncio.ensure_future(watch.next())
                    await asyncio.wait({task}, timeout=0.001)
                    if not task.done():
                        task.cancel()
                        await asyncio.wait({task})
                    if not task.cancelled():
                        event = task.result()
                        seen.append(event.wal_offset if event else 0)
                self.assertEqual(seen, list(range(11, 61)))

    async def test_a_watch_that_nobody_has_any_more_leaves_no_connection(self) -> None:
        with FakeNode(pushing(lambda peer: peer.event(11))) as node:
            async with client(node) as db:
                async for event in db.watch_all():
                    self.assertEqual(event.wal_offset, 11)
                    break
                with self.assertRaises(asyncio.TimeoutError):
                    await asyncio.wait_for(db.watch_all(from_offset=0).start(), 1e-6)
                until = time.monotonic() + 5
                while node.open_connections() > 1 and time.monotonic() < until:
                    gc.collect()
                    await asyncio.sleep(0.01)
                self.assertEqual(node.open_connections(), 1)
                self.assertTrue((await db.ping()).pong)

    async def test_a_wait_has_a_number_of_seconds_or_no_end(self) -> None:
        with FakeNode(pushing(lambda peer: peer.event(11))) as node:
            async with client(node) as db, db.watch_all() as watch:
                for wrong in (float("nan"), "1", True):
                    with self.assertRaises(errors.ConfigError):
                        await watch.next(wrong)  # type: ignore[arg-type]
                event = await watch.next(float("inf"))
                self.assertEqual(event and event.wal_offset, 11)
                self.assertIsNone(await watch.next(-1))

    async def test_two_consumers_share_the_events(self) -> None:
        def push(peer: Peer) -> None:
            for offset in range(11, 31):
                time.sleep(0.005)
                peer.event(offset)

        with FakeNode(pushing(push)) as node:
            async with client(node) as db, db.watch_all() as watch:

                async def consume() -> "list[int]":
                    return [event.wal_offset async for event in _first(watch, 10)]

                began = time.monotonic()
                one, other = await asyncio.gather(consume(), consume())
                self.assertEqual(sorted(one + other), list(range(11, 31)))
                self.assertLess(time.monotonic() - began, 4.0)

    async def test_a_watch_whose_authentication_ends_authenticates_anew(self) -> None:
        tokens = iter(["old", "old", "new", "bad"])

        def script(op: str, params: Json, peer: Peer) -> Optional[Json]:
            if op == "AUTH" and params["token"] == "bad":
                raise Refused("AUTH_FAILED")
            if op == "WATCH_ALL":
                peer.event(9 + peer.number)
                return {**BEGUN, "then": lambda: end(peer, "UNAUTHORIZED")}
            return None

        with FakeNode(script) as node:
            async with client(node, token=lambda: next(tokens)) as db:
                watch = db.watch_all()
                seen = [await watch.next(5) for _ in range(2)]
                self.assertEqual([event and event.wal_offset for event in seen], [11, 12])
                with self.assertRaises(errors.AuthFailed):
                    await watch.next(5)
                await watch.close()
            without = client(node).watch_all()
            with self.assertRaises(errors.Unauthorized):
                while await without.next(5):
                    pass


async def _first(watch: Any, count: int) -> Any:
    for _ in range(count):
        event = await watch.next(5)
        if event is None:
            return
        yield event


class Blocking(unittest.TestCase):
    def test_a_loop_over_events_ends_when_another_thread_closes(self) -> None:
        with FakeNode(pushing(lambda peer: peer.event(11))) as node, Client(node.address, discover=False) as db:
            with db.watch_all() as watch:
                seen = []
                threading.Timer(0.2, watch.close).start()
                for event in watch:
                    seen.append(event.wal_offset)
                self.assertEqual(seen, [11])
                self.assertEqual(watch.position, Position(11, "c", 1))

    def test_a_wait_that_times_out_loses_no_event(self) -> None:
        def push(peer: Peer) -> None:
            for offset in range(11, 41):
                time.sleep(0.003)
                peer.event(offset)

        with FakeNode(pushing(push)) as node, Client(node.address, discover=False) as db, db.watch_all() as watch:
            seen: list[int] = []
            until = time.monotonic() + 5
            while len(seen) < 30 and time.monotonic() < until:
                event = watch.next(0.001)
                if event is not None:
                    seen.append(event.wal_offset)
                    self.assertEqual(watch.position.from_offset, event.wal_offset)
            self.assertEqual(seen, list(range(11, 41)))

    def test_a_watch_that_nobody_has_any_more_leaves_no_connection(self) -> None:
        with FakeNode(pushing(lambda peer: peer.event(11))) as node, Client(node.address, discover=False) as db:
            for _ in range(3):
                for event in db.watch_all():
                    self.assertEqual(event.wal_offset, 11)
                    break
            forgotten = db.watch_all()
            self.assertIsNotNone(forgotten.next(5))
            # Its wait for the second event goes on.
            self.assertIsNone(forgotten.next(0.01))
            del forgotten
            until = time.monotonic() + 5
            while node.open_connections() > 1 and time.monotonic() < until:
                gc.collect()
                time.sleep(0.01)
            self.assertEqual(node.open_connections(), 1)

    def test_a_wait_has_a_number_of_seconds_or_no_end(self) -> None:
        with FakeNode(pushing(lambda peer: peer.event(11))) as node, Client(node.address, discover=False) as db:
            with db.watch_all() as watch:
                with self.assertRaises(errors.ConfigError):
                    watch.next(float("nan"))
                event = watch.next(float("inf"))
                self.assertEqual(event and event.wal_offset, 11)

    def test_closing_the_client_ends_a_watch_in_another_thread(self) -> None:
        with FakeNode() as node:
            db = Client(node.address, discover=False)
            watch = db.watch_all()
            watch.start()
            ended: list[object] = []
            thread = threading.Thread(target=lambda: ended.append(watch.next()))
            thread.start()
            time.sleep(0.1)
            db.close()
            thread.join(2)
            self.assertFalse(thread.is_alive())
            self.assertEqual(ended, [None])

    def test_ctrl_c_ends_a_wait_for_events_and_for_a_call(self) -> None:
        for waits in ("for event in db.watch_all(): pass", "db.get_instance('i')"):

            def mute(op: str, _: Json, __: Peer) -> Optional[Json]:
                if op == "GET_INSTANCE":
                    raise Silence
                return None

            with FakeNode(mute) as node:
                program = f"""
import sys
from rstmdb_cluster import Client
try:
    with Client({node.address!r}, discover=False, timeout=30) as db:
        {waits}
except KeyboardInterrupt:
    sys.exit(7)
"""
                path = os.pathsep.join(sys.path)
                child = subprocess.Popen(
                    [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": path}, preexec_fn=hear_ctrl_c
                )
                try:
                    node.wait_asked("WATCH_ALL" if "watch" in waits else "GET_INSTANCE")
                    time.sleep(0.1)
                    child.send_signal(signal.SIGINT)
                    self.assertEqual(child.wait(5), 7, waits)
                finally:
                    child.kill()
                    child.wait()

    def test_a_program_that_closes_nothing_ends_all_the_same(self) -> None:
        with FakeNode() as node:
            program = (
                f"from rstmdb_cluster import Client; db = Client({node.address!r}); w = db.watch_all(); w.next(0.01)"
            )
            path = os.pathsep.join(sys.path)
            done = subprocess.run(
                [sys.executable, "-c", program],
                env={**os.environ, "PYTHONPATH": path},
                timeout=10,
                capture_output=True,
                check=False,
            )
            self.assertEqual((done.returncode, done.stderr), (0, b""))

    def test_dropped_connections_while_a_node_refuses_are_no_end(self) -> None:
        with FakeNode(pushing(Drop(), Drop(), lambda peer: peer.event(11))) as node:
            with Client(node.address, discover=False) as db, db.watch_all() as watch:
                event = watch.next(5)
                self.assertEqual(event and event.wal_offset, 11)
