"""One real node: metadata, asking first, timers under a clock of the test, odd values, limits, ends."""

import asyncio
import math
import random
import threading
import time
import unittest
from dataclasses import dataclass
from typing import Any, Optional

from rstmdb_cluster import AsyncClient, Client, Event, errors, requests

from .nodes import Nodes

# A machine of format 2 with a guard on the payload, timers, and names that it emits.
LOAN: "dict[str, Any]" = {
    "format": 2,
    "initial": "open",
    "states": [
        {"name": "open", "timers": [{"event": "EXPIRE", "after": "1h"}]},
        {"name": "granted", "emit": "pay_out"},
        {"name": "expired", "final": True},
    ],
    "transitions": [
        {"from": "open", "event": "NOTE", "to": "open"},
        {
            "from": "open",
            "event": "GRANT",
            "to": "granted",
            "guard": "event.amount <= ctx.limit",
            "set": {"granted": "event.amount"},
        },
        {"from": "open", "event": "EXPIRE", "to": "expired"},
    ],
}


@dataclass
class Loan:
    limit: int
    granted: Optional[int] = None


class OneNode(unittest.TestCase):
    nodes: Nodes
    db: Client

    @classmethod
    def setUpClass(cls) -> None:
        cls.nodes = Nodes(1, "--dev", "--clock", "manual")
        cls.nodes.__enter__()
        cls.db = cls.nodes.client()
        cls.db.put_machine("loan", 1, LOAN)

    @classmethod
    def tearDownClass(cls) -> None:
        if hasattr(cls, "db"):
            cls.db.close()
        cls.nodes.__exit__()

    def test_who_why_and_with_what_is_kept_and_told(self) -> None:
        db = self.db
        with db.watch_all(machines=["loan"], include=["created", "deleted"], include_meta=True) as watch:
            made = db.create_instance("loan", 1, "meta", {"limit": 5}, correlation_id="case-7", headers={"täg": "ü\nx"})
            noted = db.apply_event("meta", "NOTE", reason="a call", causation_id=str(made.wal_offset))
            db.delete_instance("meta", causation_id=str(noted.wal_offset))
            seen = [watch.next(10) for _ in range(3)]
        self.assertEqual([event and event.kind for event in seen], ["created", "event", "deleted"])
        metas = [(event and event.meta) or {} for event in seen]
        self.assertEqual(metas[0]["headers"], {"täg": "ü\nx"})
        self.assertEqual(metas[1]["reason"], "a call")
        self.assertEqual([meta["correlation_id"] for meta in metas], ["case-7"] * 3, "a write inherits it")
        deleted = seen[2] and seen[2].wal_offset
        assert deleted
        history = db.ancestors(deleted)
        self.assertEqual([fact.offset for fact in history.facts], [deleted, noted.wal_offset, made.wal_offset])
        self.assertEqual(history.ended, "root")
        page = db.wal_read(noted.wal_offset or 0, limit=1, include_meta=True)
        self.assertEqual((page.records[0].meta or {})["reason"], "a call")
        with self.assertRaises(errors.BadRequest):
            db.create_instance("loan", 1, "long", headers={"a": "x" * 5000})

    def test_what_an_instance_is_told_to_be_next_is_true(self) -> None:
        db = self.db
        db.create_instance("loan", 1, "asked", Loan(100))
        offset = db.last_wal_offset
        for amount, outcome in ((100, "taken"), (101, "refused")):
            answer = db.allowed_events("asked", payloads={"GRANT": {"amount": amount}, "NOTE": None})
            grant = next(event for event in answer.events if event.event == "GRANT")
            self.assertEqual((answer.state, grant.outcome), ("open", outcome))
            assert grant.guards
            self.assertEqual(grant.guards[0].values, {"event.amount": amount, "ctx.limit": 100})
            if outcome == "taken":
                self.assertEqual((grant.to_state, grant.disarmed), ("granted", ["EXPIRE"]))
        tried = db.apply_event("asked", "GRANT", {"amount": 9}, dry_run=True)
        assert tried.would
        self.assertEqual((tried.to_state, tried.wal_offset), ("granted", None))
        self.assertEqual((tried.would.emits, tried.would.disarmed), (["pay_out"], ["EXPIRE"]))
        with self.assertRaises(errors.GuardFailed):
            db.apply_event("asked", "GRANT", {"amount": 101}, dry_run=True)
        self.assertTrue(db.delete_instance("asked", dry_run=True).dry_run)
        with self.assertRaises(errors.Conflict):
            db.delete_instance("asked", expected_wal_offset=1)
        self.assertTrue(db.create_instance("loan", 1, dry_run=True).dry_run)
        self.assertTrue(db.put_machine("other", 1, LOAN, dry_run=True).created)
        self.assertTrue(db.timer_set("asked", {"EXPIRE": None}, dry_run=True).dry_run)
        steps: list[requests.Request[Any]] = [
            requests.apply_event("asked", "GRANT", {"amount": 1}),
            requests.get_instance("asked"),
        ]
        self.assertEqual(db.batch(steps, atomic=True, dry_run=True)[1].unwrap().state, "granted")
        found = db.get_instance("asked")
        self.assertEqual((found.state, found.last_wal_offset, db.last_wal_offset), ("open", offset, offset))
        # And then for real, with the guard that the answer was for.
        done = db.apply_event("asked", "GRANT", {"amount": 100}, expected_wal_offset=answer.last_wal_offset)
        self.assertEqual(done.ctx_as(Loan), Loan(100, 100))
        with self.assertRaises(errors.Conflict) as conflict:
            db.apply_event("asked", "NOTE", expected_state="open")
        self.assertEqual(conflict.exception.details["actual_state"], "granted")

    def test_timers_fire_when_the_clock_says_so_and_watches_tell_it(self) -> None:
        db = self.db
        ids = [f"timed-{at}" for at in range(7)]
        for ident in ids:
            db.create_instance("loan", 1, ident, {"limit": 1})
        db.apply_event(ids[0], "NOTE", timers={"EXPIRE": {"after": "3h"}})
        listed = [timer.instance_id for timer in db.iter_timers(machine="loan", page=2) if timer.instance_id in ids]
        self.assertEqual((listed[-1], sorted(listed)), (ids[0], ids))
        with db.watch_all(events=["EXPIRE"], include=[]) as watch:
            before = db.clock_advance().now
            self.assertEqual(db.clock_advance("2h").now, before + 2 * 3_600_000)
            self.assertEqual(db.get_instance(ids[1]).state, "expired")
            self.assertEqual(db.get_instance(ids[0]).state, "open")
            seen: list[Event] = []
            while not seen or seen[-1].instance_id != ids[-1]:
                event = watch.next(10)
                assert event
                seen.append(event)
            self.assertEqual((seen[-1].timer or {})["name"], "EXPIRE")
        db.automation(set="paused", reason="a test")
        try:
            self.assertEqual((db.automation().automation, db.automation().reason), ("paused", "a test"))
        finally:
            self.assertEqual(db.automation(set="running").automation, "running")

    def test_locks_are_listed_page_by_page(self) -> None:
        for at in range(5):
            self.db.lock_acquire(f"page/{at}", "me", 60_000)
        listed = [lock.name for lock in self.db.iter_locks(prefix="page/", page=2)]
        self.assertEqual(listed, [f"page/{at}" for at in range(5)])

    def test_any_text_and_number_comes_back_as_it_was_sent(self) -> None:
        ctx = {
            "limit": 1,
            "größe": '日本 🦀 \u0000 \u2028 \\ud800 " \x7f',
            "🦀": [None, True, 2**53 + 1, -(2**64), 10**300, 0.1, 1e-300, -0.0, 1e300, 5e-324],
            "empty": {"": []},
            "long": "ä" * 100_000,
        }
        for mode in ("binary_json", "jsonl"):
            ident = f"größe/{mode}/日本🦀 \u0301 "
            with self.nodes.client(wire_mode=mode) as db, db.watch_instance(ident, include=["created"]) as watch:
                db.create_instance("loan", 1, ident, ctx)
                self.assertEqual(db.get_instance(ident).ctx, ctx)
                event = watch.next(10)
                self.assertEqual((event and event.instance_id, event and event.ctx), (ident, ctx))

    def test_what_the_server_cannot_take_is_refused_and_disturbs_no_other_call(self) -> None:
        def nested(levels: int) -> Any:
            value: Any = 1
            for _ in range(levels):
                value = [value]
            return value

        async def run() -> None:
            async with AsyncClient(self.nodes.addresses, timeout=20) as db:
                await db.create_instance("loan", 1, "odd", {"limit": 1})
                wrong = [nested(130), 10**400, math.inf, math.nan, "\ud800", {"\udc00": 1}, {1, 2}, nested(100_000)]
                for value in wrong:
                    others = [asyncio.ensure_future(db.get_instance("odd")) for _ in range(5)]
                    with self.assertRaises((errors.BadRequest, errors.RequestError)):
                        await db.apply_event("odd", "NOTE", {"a": value})
                    others += [asyncio.ensure_future(db.get_instance("odd")) for _ in range(5)]
                    self.assertEqual({found.state for found in await asyncio.gather(*others)}, {"open"})
                deep = await db.apply_event("odd", "NOTE", {"deep": nested(100)})
                self.assertEqual((deep.ctx or {})["deep"], nested(100))
                for ident in ("", "x" * 1025):
                    with self.assertRaises(errors.BadRequest):
                        await db.create_instance("loan", 1, ident, {"limit": 1})

        asyncio.run(run())

    def test_calls_are_cancelled_at_any_moment_and_the_others_get_their_answers(self) -> None:
        draw = random.Random(7)

        async def run() -> None:
            async with AsyncClient(self.nodes.addresses, timeout=20) as db:
                for at in range(20):
                    await db.create_instance("loan", 1, f"cancel-{at}", {"limit": at})
                for _ in range(10):
                    calls = [asyncio.ensure_future(db.get_instance(f"cancel-{at % 20}")) for at in range(300)]
                    cancelled = {at for at in range(300) if draw.random() < 0.5}
                    for at in cancelled:
                        if draw.random() < 0.2:
                            await asyncio.sleep(0)
                        calls[at].cancel()
                    kept = {at: await call for at, call in enumerate(calls) if at not in cancelled}
                    self.assertEqual(
                        {at: found.ctx["limit"] for at, found in kept.items()}, {at: at % 20 for at in kept}
                    )

        asyncio.run(run())

    def test_a_consumer_that_stops_reading_holds_nobody_up_and_misses_nothing(self) -> None:
        db = self.db
        db.create_instance("loan", 1, "slow", {"limit": 1})
        with db.watch_instance("slow") as slow:
            first = slow.next(0.01)
            self.assertIsNone(first)
            note = requests.apply_event("slow", "NOTE", {"text": "x" * 30_000})
            items = [item for _ in range(12) for item in db.batch([note] * 25)]
            offsets = [item.unwrap().wal_offset for item in items]
            self.assertEqual([event and event.wal_offset for event in (slow.next(10) for _ in offsets)], offsets)


class Limits(unittest.TestCase):
    def test_connections_that_the_server_refuses_are_told_at_the_deadline(self) -> None:
        with Nodes(1, RSTMDB_MAX_CONNECTIONS=3) as nodes, nodes.client() as db:
            watches = [db.watch_all() for _ in range(2)]
            for watch in watches:
                watch.start()
            began = time.monotonic()
            with self.assertRaises(errors.RateLimited):
                Client(nodes.addresses, timeout=1.0).get_instance("i")
            self.assertTrue(0.4 < time.monotonic() - began < 15.0)
            waits = Client(nodes.addresses, timeout=15.0)
            self.addCleanup(waits.close)
            threading.Timer(0.5, watches[0].close).start()
            self.assertTrue(waits.ping().pong)

    def test_a_server_that_goes_away_for_good_ends_calls_and_watches_with_a_reason(self) -> None:
        with Nodes(1) as nodes, nodes.client(timeout=2.0, watch_resume_timeout=1.0) as db:
            with db.watch_all() as watch:
                nodes.nodes[0].stop()
                began = time.monotonic()
                with self.assertRaises(errors.ConnectError):
                    db.get_instance("i")
                with self.assertRaises(errors.ConnectError) as ended:
                    watch.next()
                self.assertTrue(ended.exception.retryable)
                self.assertLess(time.monotonic() - began, 20.0)
