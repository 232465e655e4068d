"""Locks that are renewed while a program holds them."""

import asyncio
import threading
import time
import unittest
from typing import Any, Optional

from rstmdb_cluster import AsyncClient, Client, errors

from .fake import Drop, FakeNode, Json, Peer, Refused, Silence
from .nodes import Nodes

HELD: Json = {"name": "l", "owner": "o", "token": 7, "expires_at": 9, "ttl_ms": 1000, "waiting": 0}
RELEASED: Json = {"name": "l", "owner": "o", "token": 7, "released": True, "wal_offset": 9}


def locking(**answers: Any) -> Any:
    """A script that grants, renews and releases; an entry for an operation has what its calls get, one after the other,
    the last one for all later. None is the usual answer."""
    usual = {"LOCK_ACQUIRE": HELD, "LOCK_RENEW": HELD, "LOCK_RELEASE": RELEASED}

    def script(op: str, _: Json, __: Peer) -> Optional[Json]:
        told = answers.get(op, [])
        now = (told.pop(0) if len(told) > 1 else told[0]) if told else None
        if isinstance(now, Exception):
            raise now
        return now or (dict(usual[op]) if op in usual else None)

    return script


class Scripted(unittest.IsolatedAsyncioTestCase):
    def client(self, node: FakeNode, **options: Any) -> AsyncClient:
        return AsyncClient(node.address, **{"timeout": 5.0, "discover": False, **options})

    async def test_a_lock_is_renewed_while_it_is_held_and_then_released(self) -> None:
        with FakeNode(locking()) as node:
            async with self.client(node) as db:
                # A busy machine stops for a second and more.
                async with db.lock("l", owner="me", ttl=4.0) as lock:
                    self.assertEqual((lock.fence, lock.held), ({"lock": "l", "token": 7}, True))
                    await asyncio.to_thread(node.wait_asked, "LOCK_RENEW", 3)
                    self.assertTrue(lock.held)
                self.assertFalse(lock.held)
                await lock.lost()
                with self.assertRaises(errors.LockLost):
                    self.fail(lock.fence)
                asked = node.asked("LOCK_ACQUIRE")[0]
                self.assertRegex(asked["owner"], r"^me-[0-9a-f]{12}$")
                self.assertEqual((asked["ttl_ms"], asked.get("wait_ms")), (4000, None))
                self.assertEqual(node.asked("LOCK_RENEW")[0], {"name": "l", "token": 7, "ttl_ms": 4000})
                self.assertEqual(node.asked("LOCK_RELEASE"), [{"name": "l", "token": 7}])
                count = len(node.asked("LOCK_RENEW"))
                await asyncio.sleep(1.6)
                self.assertEqual(len(node.asked("LOCK_RENEW")), count)

    async def test_a_lock_that_cannot_be_renewed_is_lost_in_time(self) -> None:
        for failure in (Silence(), Refused("LOCK_LOST"), Refused("NO_LEADER", retryable=True)):
            with FakeNode(locking(LOCK_RENEW=[failure])) as node:
                async with self.client(node) as db:
                    began = time.monotonic()
                    with self.assertRaises(errors.LockLost):
                        async with db.lock("l", ttl=2.0) as lock:
                            self.assertTrue(lock.held)
                            await asyncio.wait_for(lock.lost(), 15)
                            self.assertFalse(lock.held)
                    self.assertLess(time.monotonic() - began, 8.0)
                    self.assertEqual(node.asked("LOCK_RELEASE"), [])

    async def test_a_renewal_that_fails_once_is_tried_again(self) -> None:
        with FakeNode(locking(LOCK_RENEW=[Drop(), Refused("NO_LEADER", retryable=True), None])) as node:
            async with self.client(node) as db, db.lock("l", ttl=6.0) as lock:
                await asyncio.to_thread(node.wait_asked, "LOCK_RENEW", 4)
                self.assertTrue(lock.held)

    async def test_a_release_whose_outcome_is_unknown_is_tried_again(self) -> None:
        with FakeNode(locking(LOCK_RELEASE=[Drop(), Refused("LOCK_LOST")])) as node:
            async with self.client(node) as db:
                async with db.lock("l"):
                    pass
            self.assertEqual(len(node.asked("LOCK_RELEASE")), 2)

    async def test_what_goes_wrong_inside_is_not_hidden(self) -> None:
        with FakeNode(locking(LOCK_RELEASE=[Refused("LOCK_LOST")])) as node:
            async with self.client(node) as db:
                with self.assertRaises(ZeroDivisionError):
                    async with db.lock("l"):
                        raise ZeroDivisionError

    async def test_a_cancelled_wait_gives_up_its_place(self) -> None:
        with FakeNode(locking(LOCK_ACQUIRE=[Silence(), None])) as node:
            async with self.client(node) as db:
                waiting = asyncio.ensure_future(db.lock("l", wait=60).acquire())
                while not node.asked("LOCK_ACQUIRE"):
                    await asyncio.sleep(0.01)
                waiting.cancel()
                await asyncio.wait({waiting})
                until = time.monotonic() + 5
                while not node.asked("LOCK_RELEASE") and time.monotonic() < until:
                    await asyncio.sleep(0.01)
            first, second = node.asked("LOCK_ACQUIRE")
            self.assertGreater(first.pop("wait_ms"), 59_000)
            self.assertEqual(first, second)
            self.assertEqual(len(node.asked("LOCK_RELEASE")), 1)

    async def test_a_lock_that_was_waited_for_longer_than_its_time_is_renewed_first(self) -> None:
        def slow(op: str, params: Json, peer: Peer) -> Optional[Json]:
            if op == "LOCK_ACQUIRE":
                time.sleep(1.0)
            return locking()(op, params, peer)  # type: ignore[no-any-return]

        with FakeNode(slow) as node:
            async with self.client(node) as db, db.lock("l", ttl=2.0, wait=5) as lock:
                self.assertTrue(lock.held)
                self.assertEqual(len(node.asked("LOCK_RENEW")), 1)

    async def test_times_that_cannot_be_are_refused(self) -> None:
        with FakeNode(locking()) as node:
            async with self.client(node) as db:
                for wrong in ({"ttl": 0}, {"ttl": float("nan")}, {"wait": -1}, {"wait": float("inf")}):
                    with self.assertRaises(errors.ConfigError):
                        db.lock("l", **wrong)


class OneNode(unittest.TestCase):
    def test_one_of_several_programs_works_at_a_time(self) -> None:
        with Nodes(1) as nodes, nodes.client() as db:
            inside: list[int] = []
            most: list[int] = []

            def work(at: int) -> None:
                with Client(nodes.addresses, timeout=20) as other, other.lock("work", ttl=5, wait=60) as lock:
                    inside.append(at)
                    most.append(len(inside))
                    time.sleep(0.05)
                    self.assertTrue(lock.held)
                    self.assertFalse(lock.lost(0.01))
                    inside.remove(at)

            threads = [threading.Thread(target=work, args=(at,)) for at in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            self.assertEqual(most, [1] * 6)
            with db.lock("work") as lock:
                with self.assertRaises(errors.LockHeld):
                    with db.lock("work"):
                        self.fail("it is held twice")
                db.lock_release("work", lock.token)
                with self.assertRaises(errors.LockLost):
                    db.automation(set="running", fence=lock.fence)
                with self.assertRaises(errors.LockLost):
                    lock.release()
                lock.lost(10)
            with db.lock("work") as lock:
                lock.release()
            self.assertEqual(db.lock_get("work").locks, [])
