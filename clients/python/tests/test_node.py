"""One real node: every operation, keys, consistency, watches, authentication and TLS."""

import asyncio
import json
import pathlib
import shutil
import subprocess
import time
import unittest

from rstmdb_cluster import TLS, AsyncClient, Client, Position, errors, requests

from .nodes import ORDER, Nodes, needs_nodes


class OneNode(unittest.TestCase):
    nodes: Nodes
    db: Client

    @classmethod
    def setUpClass(cls) -> None:
        cls.nodes = Nodes(1)
        cls.nodes.__enter__()
        cls.db = cls.nodes.client()
        cls.db.put_machine("order", 1, json.loads(ORDER.read_text()))

    @classmethod
    def tearDownClass(cls) -> None:
        if hasattr(cls, "db"):
            cls.db.close()
        cls.nodes.__exit__()

    def test_an_order_lives(self) -> None:
        db = self.db
        self.assertFalse(db.put_machine("order", 1, json.loads(ORDER.read_text())).created)
        self.assertEqual(db.get_machine("order").version, 1)
        layout = db.get_machine("order", include=["layout"]).layout
        assert layout is not None
        self.assertEqual(layout["states"][layout["initial"]]["name"], "CREATED")
        self.assertIn("order", [item.machine for item in db.list_machines().items])
        created = db.create_instance("order", 1, "life", {"total": 42})
        self.assertEqual((created.instance_id, created.state), ("life", "CREATED"))
        paid = db.apply_event("life", "PAY", {"by": "card"}, expected_state="CREATED", event_id="e-1")
        self.assertEqual((paid.from_state, paid.to_state, paid.ctx), ("CREATED", "PAID", {"total": 42, "by": "card"}))
        with self.assertRaises(errors.GuardFailed) as refused:
            db.apply_event("life", "SHIP")
        self.assertEqual(refused.exception.details["current_state"], "PAID")
        with self.assertRaises(errors.InvalidTransition):
            db.apply_event("life", "PAY")
        with self.assertRaises(errors.Conflict) as conflict:
            db.apply_event("life", "PACK", expected_wal_offset=1)
        self.assertEqual(conflict.exception.details["expected_wal_offset"], 1)
        found = db.get_instance("life")
        self.assertEqual((found.state, found.last_wal_offset, found.last_event_id), ("PAID", paid.wal_offset, "e-1"))
        db.apply_event("life", "PACK", {"packed": True}, expected_wal_offset=found.last_wal_offset)
        self.assertEqual(db.apply_event("life", "SHIP").to_state, "SHIPPED")
        self.assertEqual(db.snapshot_instance("life").instance_id, "life")
        self.assertTrue(db.delete_instance("life").deleted)
        with self.assertRaises(errors.InstanceNotFound):
            db.get_instance("life")

    def test_a_version_that_no_instance_has_is_deleted(self) -> None:
        db = self.db
        definition = json.loads(ORDER.read_text())
        for version in (1, 2):
            db.put_machine("old", version, definition)
        db.create_instance("old", 1, "old-1")
        with self.assertRaises(errors.MachineInUse) as used:
            db.delete_machine("old", all_versions=True)
        self.assertEqual(used.exception.details["instances"], 1)
        self.assertEqual(db.delete_machine("old", 2).versions, [2])
        db.delete_instance("old-1")
        self.assertIsNone(db.delete_machine("old", 1, dry_run=True).wal_offset)
        self.assertTrue(db.delete_machine("old", 1).deleted)
        with self.assertRaises(errors.MachineNotFound):
            db.delete_machine("old", 1)

    def test_an_import_needs_the_right(self) -> None:
        with self.assertRaises(errors.Forbidden):
            self.db.create_instance("order", 1, "foreign", initial_state="PAID", created_at=1, updated_at=2)

    def test_a_lock_fences_the_writes_of_its_holder(self) -> None:
        db = self.db
        db.create_instance("order", 1, "locked")
        first = db.lock_acquire("py", "a", 60_000)
        self.assertEqual(db.lock_acquire("py", "a", 60_000).token, first.token)
        with self.assertRaises(errors.LockHeld) as held:
            db.lock_acquire("py", "b", 60_000)
        self.assertEqual(held.exception.details["owner"], "a")
        self.assertEqual([lock.owner for lock in db.lock_get("py").locks], ["a"])
        self.assertIn("py", [lock.name for lock in db.lock_list(prefix="p").locks])
        self.assertEqual(db.lock_renew("py", first.token).token, first.token)
        db.apply_event("locked", "PAY", fence=first.fence)
        self.assertTrue(db.lock_release("py", first.token).released)
        second = db.lock_acquire("py", "b", 60_000, wait_ms=1000)
        self.assertGreater(second.token, first.token)
        with self.assertRaises(errors.LockLost) as lost:
            db.apply_event("locked", "PACK", {"packed": True}, fence=first.fence)
        self.assertEqual(lost.exception.details["current_token"], second.token)
        db.apply_event("locked", "PACK", {"packed": True}, fence=second.fence)
        self.assertEqual(db.lock_get("free").locks, [])

    def test_timers_are_set_shown_and_listed(self) -> None:
        db = self.db
        definition = {
            "format": 2,
            "states": [
                {"name": "open", "timers": [{"event": "EXPIRE", "after": "1h"}]},
                {"name": "expired", "final": True},
            ],
            "initial": "open",
            "transitions": [{"from": "open", "event": "EXPIRE", "to": "expired"}],
        }
        db.put_machine("timed", 1, definition)
        db.create_instance("timed", 1, "t-1")
        armed = db.get_instance("t-1").timers
        assert armed is not None
        self.assertEqual([timer.name for timer in armed], ["EXPIRE"])
        moved = db.timer_set("t-1", {"EXPIRE": {"after": "2h"}}, idempotency_key="later")
        self.assertGreater(moved.timers[0].due_at, armed[0].due_at)
        again = db.timer_set("t-1", {"EXPIRE": {"after": "2h"}}, idempotency_key="later")
        self.assertEqual((moved.applied, again.applied, again.wal_offset), (True, False, moved.wal_offset))
        self.assertEqual(again.timers, moved.timers)
        listed = db.timer_list(machine="timed")
        self.assertEqual([timer.instance_id for timer in listed.timers], ["t-1"])
        self.assertEqual(db.timer_set("t-1", {"EXPIRE": None}).timers, [])
        self.assertIsNone(db.get_instance("t-1").timers)

    def test_a_key_makes_a_change_once(self) -> None:
        db = self.db
        first = db.create_instance("order", 1, "once", idempotency_key="c")
        self.assertEqual(db.create_instance("order", 1, "once", idempotency_key="c").wal_offset, first.wal_offset)
        paid = db.apply_event("once", "PAY", idempotency_key="p")
        again = db.apply_event("once", "PAY", idempotency_key="p")
        self.assertEqual((paid.applied, again.applied, again.wal_offset), (True, False, paid.wal_offset))
        with self.assertRaises(errors.Conflict):
            db.apply_event("once", "PAY", {"other": 1}, idempotency_key="p")
        with self.assertRaises(errors.InstanceExists):
            db.create_instance("order", 1, "once")

    def test_batches_stand_together_or_each_alone(self) -> None:
        db = self.db
        made = [requests.create_instance("order", 1, f"batch-{at}") for at in range(3)]
        self.assertEqual([item.ok for item in db.batch(made, atomic=True)], [True] * 3)
        pay = [requests.apply_event(f"batch-{at}", "PAY") for at in range(3)]
        with self.assertRaises(errors.InvalidTransition) as refused:
            db.batch([*pay, requests.apply_event("batch-0", "PAY")], atomic=True)
        self.assertEqual(refused.exception.details["index"], 3)
        self.assertEqual(db.get_instance("batch-0").state, "CREATED")
        with db.watch_all(events=["PAY"]) as watch:
            items = db.batch([*pay, requests.get_instance("batch-1")], atomic=True)
            self.assertEqual(items[3].unwrap().state, "PAID")
            self.assertEqual(len({item.result.wal_offset for item in items[:3]}), 1)
            first = watch.next(5)
            self.assertEqual((first and first.instance_id, watch.position.delivered), ("batch-0", 1))
        # Another program goes on in the middle of the batch.
        with db.watch_all(events=["PAY"], position=Position.from_json(watch.position.to_json())) as rest:
            self.assertEqual([(rest.next(5) or first).instance_id for _ in range(2)], ["batch-1", "batch-2"])  # type: ignore[union-attr]
        items = db.batch([requests.apply_event("batch-0", "PAY"), requests.get_instance("batch-0")])
        self.assertIsInstance(items[0].error, errors.InvalidTransition)
        self.assertTrue(items[1].ok)

    def test_lists_come_whole_page_by_page(self) -> None:
        db = self.db
        ids = [f"list-{at:02}" for at in range(25)]
        for at in range(0, 25, 5):
            db.batch([requests.create_instance("order", 1, ident) for ident in ids[at : at + 5]])
        found = [item.id for item in db.iter_instances(machine="order", page=7) if item.id.startswith("list-")]
        self.assertEqual(found, ids)
        self.assertGreaterEqual(db.list_instances(machine="order", state="CREATED", limit=2).total, 25)

    def test_reads_take_a_consistency_and_wait_for_an_offset(self) -> None:
        db = self.db
        written = db.create_instance("order", 1, "read").wal_offset
        for consistency in ("linearizable", "lease", "local"):
            self.assertEqual(db.get_instance("read", consistency=consistency, min_wal_offset=written).state, "CREATED")
        self.assertGreaterEqual(db.last_wal_offset, written or 0)
        with self.assertRaises(errors.BadRequest) as refused:
            db.get_instance("read", consistency="never")
        self.assertIn("consistency", str(refused.exception.details))
        began = time.monotonic()
        with self.assertRaises(errors.DeadlineExceeded):
            db.get_instance("read", consistency="local", min_wal_offset=10**9, timeout=0.5)
        self.assertLess(time.monotonic() - began, 2)

    def test_the_log_can_be_read_and_the_cluster_seen(self) -> None:
        db = self.db
        written = db.create_instance("order", 1, "log").wal_offset or 0
        page = db.wal_read(written, limit=1)
        self.assertEqual((page.records[0].offset, page.records[0].entry["type"]), (written, "create_instance"))
        self.assertIn(written, [record.offset for record in db.iter_wal(page=3)])
        self.assertGreaterEqual(db.wal_stats().latest_offset, written)
        self.assertEqual(db.replication_status().role, "standalone")
        self.assertEqual([node.role for node in db.cluster_status().nodes], ["leader"])
        info = db.info()
        self.assertEqual((info.role, info.cluster_id), ("leader", db.cluster_status().cluster_id))
        who = db.whoami()
        self.assertEqual((who.name, who.roles, who.grants[0].machines), (None, ["admin"], ["*"]))
        self.assertEqual(db.reload().needs_restart, [])
        with self.assertRaises(errors.BadRequest):
            db.flush_all()
        with self.assertRaises(errors.ServerError):
            db.rotate_key()
        with self.assertRaises(errors.Forbidden):
            db.clock_advance("30m")

    def test_a_new_operation_is_refused_by_a_server_that_does_not_know_it(self) -> None:
        with self.assertRaises(errors.BadRequest):
            self.db.call("NOT_KNOWN", {"a": 1})

    def test_both_wire_modes_do_the_same(self) -> None:
        async def run(mode: str) -> "list[int]":
            async with AsyncClient(self.nodes.addresses, wire_mode=mode, timeout=20) as db:
                await db.create_instance("order", 1, f"mode-{mode}", {"text": "ä" * 3000})
                async with db.watch_instance(f"mode-{mode}", include_ctx=False) as watch:
                    # Pipelined on one connection, and in order, because they touch one instance.
                    await db.apply_event(f"mode-{mode}", "PAY")
                    done = await asyncio.gather(*(db.apply_event(f"mode-{mode}", "PACK") for _ in range(50)))
                    offsets = [event.wal_offset or 0 for event in done]
                    seen = [await watch.next(10) for _ in range(51)]
                    self.assertEqual([event and event.wal_offset for event in seen[1:]], offsets)
                    self.assertIsNone(seen[0] and seen[0].ctx)
                return offsets

        for mode in ("binary_json", "jsonl"):
            offsets = asyncio.run(run(mode))
            self.assertEqual(offsets, sorted(set(offsets)))

    def test_the_position_of_another_cluster_is_refused(self) -> None:
        with self.assertRaises(errors.OffsetAhead):
            with self.db.watch_all(position=Position(2, "another cluster")):
                self.fail("it has begun")


class Access(unittest.TestCase):
    def setUp(self) -> None:
        needs_nodes()
        if shutil.which("openssl") is None:
            self.skipTest("openssl is not installed, and makes the certificates")

    def test_tls_with_a_client_certificate_and_a_token(self) -> None:
        # SHA-256 of "hello".
        token_hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        nodes = Nodes(1, RSTMDB_TLS_ENABLED="true", RSTMDB_AUTH_REQUIRED="true", RSTMDB_AUTH_TOKEN_HASH=token_hash)
        ca, rogue = Authority(nodes.folder, "ca"), Authority(nodes.folder, "rogue")
        server, ours = ca.sign("server.test"), ca.sign("client.test")
        certificates = {"CERT": server[0], "KEY": server[1], "REQUIRE_CLIENT_CERT": "true", "CLIENT_CA": ca.cert}
        nodes.nodes[0].settings.update({f"RSTMDB_TLS_{name}": value for name, value in certificates.items()})
        good = TLS(ca=ca.cert, cert=ours[0], key=ours[1], server_name="server.test")
        with nodes:
            with nodes.client(tls=good, token="hello") as db:
                self.assertTrue(db.ping().pong)
                with db.watch_all() as watch:
                    self.assertIsNone(watch.next(0.1))
            refused: list[tuple[TLS | None, str | None, type[Exception] | tuple[type[Exception], ...]]] = [
                (good, "wrong", errors.AuthFailed),
                (good, None, errors.Unauthorized),
                (TLS(ca=rogue.cert, cert=ours[0], key=ours[1], server_name="server.test"), "hello", errors.TlsError),
                (TLS(ca=ca.cert, cert=ours[0], key=ours[1]), "hello", errors.TlsError),
                (TLS(ca=ca.cert, server_name="server.test"), "hello", (errors.TlsError, errors.ConnectError)),
                (None, "hello", errors.TlsError),
            ]
            for tls, token, expected in refused:
                with self.subTest(tls=tls, token=token), self.assertRaises(expected):
                    with Client(nodes.addresses, tls=tls, token=token, timeout=3) as db:
                        db.list_instances()


class Authority:
    """Signs certificates, of which openssl makes the files."""

    def __init__(self, folder: pathlib.Path, name: str) -> None:
        self.folder = folder
        self.cert, self.key = str(folder / f"{name}.pem"), str(folder / f"{name}.key")
        _openssl(
            "req", "-x509", *_NEW_KEY, "-days", "90", "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.cert
        )

    def sign(self, name: str) -> "tuple[str, str]":
        """A certificate for a host of this name, and its key."""
        cert, key, request = (str(self.folder / f"{name}.{end}") for end in ("pem", "key", "csr"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName=DNS:{name}\nbasicConstraints=CA:FALSE\n")
        _openssl("req", *_NEW_KEY, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        by = ["-CA", self.cert, "-CAkey", self.key, "-set_serial", "7", "-days", "90", "-extfile", str(extensions)]
        _openssl("x509", "-req", "-in", request, *by, "-out", cert)
        return cert, key


_NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
