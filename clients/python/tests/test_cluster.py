"""Three real nodes whose leaders are killed (`kill -9`) while programs write and watch."""

import asyncio
import collections
import contextlib
import signal
import threading
import time
import unittest
from typing import Any

from rstmdb_cluster import AsyncClient, Client, OutcomeUnknown, Position, RstmdbError

from .nodes import Node, Nodes

COUNTER: "dict[str, Any]" = {
    "states": ["ON"],
    "initial": "ON",
    "transitions": [{"from": "ON", "event": "ADD", "to": "ON"}],
}
INSTANCES = 8


class Writer(threading.Thread):
    """Adds numbers of its own, one after the other, until it is told to stop."""

    def __init__(self, nodes: Nodes, number: int) -> None:
        super().__init__()
        self.nodes = nodes
        self.number = number
        self.stop = threading.Event()
        self.done: dict[str, int] = {}
        self.unknown: set[str] = set()
        self.failed: list[RstmdbError] = []
        self.slowest = 0.0

    def run(self) -> None:
        with Client(self.nodes.addresses, timeout=8.0) as db:
            count = 0
            while not self.stop.is_set():
                count += 1
                name = f"{self.number}/{count}"
                began = time.monotonic()
                try:
                    added = db.apply_event(f"i-{count % INSTANCES}", "ADD", {"n": name})
                    self.done[name] = added.wal_offset or 0
                except OutcomeUnknown:
                    self.unknown.add(name)
                except RstmdbError as error:
                    self.failed.append(error)
                self.slowest = max(self.slowest, time.monotonic() - began)
                time.sleep(0.005)


class Watcher(threading.Thread):
    """Watches everything from the beginning; in the middle a new program goes on where the first one was."""

    def __init__(self, nodes: Nodes) -> None:
        super().__init__()
        self.nodes = nodes
        self.stop = threading.Event()
        self.seen: list[tuple[int, str]] = []
        self.last = 0
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            position: Position | None = None
            while not self.stop.is_set() or self._is_behind():
                with Client(self.nodes.addresses, watch_keepalive=1.0) as db:
                    with db.watch_all(machines=["counter"], from_offset=0, position=position) as watch:
                        for _ in range(200):
                            event = watch.next(0.2)
                            if event is not None:
                                self.seen.append((event.wal_offset, (event.payload or {})["n"]))
                            elif self.stop.is_set() and not self._is_behind():
                                break
                        position = Position.from_json(watch.position.to_json())
        except Exception as error:
            self.error = error

    def _is_behind(self) -> bool:
        return (self.seen[-1][0] if self.seen else 0) < self.last


class ThreeNodes(unittest.TestCase):
    def test_nothing_is_lost_or_done_twice_while_leaders_are_killed(self) -> None:
        with Nodes(3) as nodes, nodes.client() as db:
            db.put_machine("counter", 1, COUNTER)
            for at in range(INSTANCES):
                db.create_instance("counter", 1, f"i-{at}")
            writers = [Writer(nodes, number) for number in range(2)]
            watcher = Watcher(nodes)
            for thread in [*writers, watcher]:
                thread.start()
            try:
                for kills in range(2):
                    # A busy machine takes longer.
                    until = time.monotonic() + 30
                    while min(len(writer.done) for writer in writers) < (kills + 1) * 15 and time.monotonic() < until:
                        time.sleep(0.05)
                    self._kill_the_leader(nodes, db)
                time.sleep(0.5)
            finally:
                self._end(writers, watcher)
            self._check(db, writers, watcher)

    def test_nobody_notices_that_each_node_is_restarted_in_order(self) -> None:
        with Nodes(3) as nodes, nodes.client() as db:
            db.put_machine("counter", 1, COUNTER)
            for at in range(INSTANCES):
                db.create_instance("counter", 1, f"i-{at}")
            # The watcher begins at a node that goes away in any case, and so does the first writer.
            writers = [Writer(nodes, number) for number in range(2)]
            watcher = Watcher(nodes)
            for thread in [*writers, watcher]:
                thread.start()
            try:
                time.sleep(0.5)
                for node in nodes.nodes:
                    node.stop()
                    node.start()
                    self._wait_for(node)
            finally:
                self._end(writers, watcher)
            self.assertEqual([writer.unknown for writer in writers], [set(), set()])
            self._check(db, writers, watcher)

    def _wait_for(self, node: Node) -> None:
        """Until it serves again, and knows a leader."""
        db = Client(node.address, discover=False, timeout=20.0)
        with contextlib.closing(db):
            until = time.monotonic() + 20
            while time.monotonic() < until:
                try:
                    db.apply_event("i-0", "ADD", {"n": f"at {node.address}/{time.monotonic()}"})
                    return
                except RstmdbError:
                    time.sleep(0.05)
        raise AssertionError(node.log())

    def _kill_the_leader(self, nodes: Nodes, db: Client) -> None:
        killed = nodes.leader(db)
        killed.kill()
        until = time.monotonic() + 15
        while time.monotonic() < until and nodes.leader(db) is killed:
            time.sleep(0.05)
        db.apply_event("i-0", "ADD", {"n": f"after {killed.address}/{time.monotonic()}"}, timeout=15)
        killed.start()

    def _end(self, writers: "list[Writer]", watcher: Watcher) -> None:
        for writer in writers:
            writer.stop.set()
        for writer in writers:
            writer.join(20)
        watcher.last = max((offset for writer in writers for offset in writer.done.values()), default=0)
        watcher.stop.set()
        watcher.join(20)
        self.assertFalse(any(thread.is_alive() for thread in [*writers, watcher]), "a thread hangs")
        self.assertIsNone(watcher.error)

    def _check(self, db: Client, writers: "list[Writer]", watcher: Watcher) -> None:
        log = [
            (record.offset, record.entry["payload"]["n"])
            for record in db.iter_wal(timeout=20)
            if record.entry["type"] == "apply_event"
        ]
        times = collections.Counter(name for _, name in log)
        self.assertEqual([name for name, count in times.items() if count > 1], [], "done twice")
        by_name = {name: offset for offset, name in log}
        for writer in writers:
            self.assertEqual(writer.failed, [])
            self.assertGreater(len(writer.done), 20)
            self.assertLess(writer.slowest, 10.0)
            missing = {name: offset for name, offset in writer.done.items() if by_name.get(name) != offset}
            self.assertEqual(missing, {}, "acknowledged, and not there")
        until = watcher.seen[-1][0]
        self.assertEqual(watcher.seen, [entry for entry in log if entry[0] <= until], "each event once, in order")
        self.assertGreaterEqual(until, watcher.last)

    def test_a_leader_that_hangs_is_left_by_calls_and_watches(self) -> None:
        with Nodes(3) as nodes, nodes.client() as db:
            db.put_machine("counter", 1, COUNTER)
            db.create_instance("counter", 1, "i")
            hung = nodes.leader(db)
            with Client([hung.address, *nodes.addresses], timeout=10.0, watch_keepalive=0.5) as other:
                self.assertEqual(other.address, hung.address)
                with other.watch_instance("i") as watch:
                    assert hung.process is not None
                    hung.process.send_signal(signal.SIGSTOP)
                    try:
                        began = time.monotonic()
                        done = other.apply_event("i", "ADD", {"n": 1})
                        self.assertLess(time.monotonic() - began, 9.0)
                        event = watch.next(10)
                        self.assertEqual(event and event.wal_offset, done.wal_offset)
                        self.assertNotEqual(other.address, hung.address)
                    finally:
                        hung.process.send_signal(signal.SIGCONT)

    def test_one_address_is_enough_to_survive_its_node(self) -> None:
        async def run(nodes: Nodes, first: Node) -> None:
            async with AsyncClient(first.address, timeout=15) as db:
                await db.put_machine("counter", 1, COUNTER)
                await db.create_instance("counter", 1, "i")
                async with db.watch_instance("i") as watch:
                    await db.apply_event("i", "ADD", {"n": 1})
                    self.assertIsNotNone(await watch.next(10))
                    first.kill()
                    # Many at once, some of them in flight when the node is found to be gone.
                    await asyncio.gather(*(db.apply_event("i", "ADD", {"n": at}) for at in range(20)))
                    seen = [await watch.next(10) for _ in range(20)]
                    self.assertEqual({event and (event.payload or {})["n"] for event in seen}, set(range(20)))
                    self.assertIsNone(await watch.next(0.1))

        with Nodes(3) as nodes:
            with nodes.client() as db:
                leader = nodes.leader(db)
            asyncio.run(run(nodes, leader))
